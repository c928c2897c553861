"""What only a CUDA device can show."""

import os
import re
import sys

import pytest
import torch
from project import ENVIRONMENT, python

from backbone.network.build import build_network
from backbone.record import records
from backbone.trace.instrument import cut_pass

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

VISIBLE = {**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0")}


@pytest.mark.parametrize("target", ["block", "layer"])
def test_returns_what_the_stock_network_returns(target):
    from timer import CudaClock

    clock = CudaClock()
    backbone, image = build_network(), torch.rand(1, 3, 500, 334, device="cuda")
    backbone.network.cuda()
    forward = cut_pass(backbone, list(image.shape), target).with_marks(clock.mark)
    with torch.inference_mode():
        assert torch.equal(forward(image), backbone.network(image))
    intervals = clock.read()
    assert len(intervals) == {"block": 21, "layer": 153}[target]
    assert sum(intervals) > 0


@pytest.mark.parametrize("dataset", ["pascal", "cityscapes"])
def test_rows_sum_to_the_pass(dataset):
    flags = ("--i", dataset, "--target", "layer", "--iterations", "20")
    result = python("timer.py", *flags, env=VISIBLE)
    assert (result.returncode, result.stderr) == (0, "")
    means = re.findall(r"^( *)Average.* is ([\d.]+) ms", result.stdout, re.MULTILINE)
    layers = [float(mean) for indent, mean in means if indent]
    assert (len(layers), len(means)) == (153, 175)
    # Each printed mean is rounded to a microsecond.
    assert sum(layers) == pytest.approx(float(means[-1][1]), rel=1e-3, abs=0.02)


def test_record_of_layers(tmp_path):
    file = tmp_path / "record.json"
    flags = ("--i", "pascal", "--target", "layer", "--iterations", "5", "--json", str(file))
    result = python("timer.py", *flags, env=VISIBLE)
    assert (result.returncode, result.stderr) == (0, "")
    record = records.load(file)
    (run,) = record.runs
    # Page faults and system time of the process would say nothing about the GPU's pass.
    disturbances = {"involuntary_context_switches"}
    disturbances |= {"stolen_time"} if sys.platform == "linux" else set()
    measured = {"peak_allocated_memory", "flops_per_second", "bytes_per_second"}
    assert run.keys() == {"date", "cut_over_uncut"} | disturbances | measured
    assert all(run[field] > 0 for field in measured)
    assert not any(row.page_faults or row.kernels for row in record.rows)
    assert record.rows[-1].cost.macs == 1031535392


@pytest.mark.parametrize(
    ("dataset", "totals"),
    [
        ("cityscapes", "Total Tensors: 9830492 \tUsed Memory: 37.58M"),
        ("pascal", "Total Tensors: 4040036 \tUsed Memory: 15.49M"),
    ],
)
def test_allocator_agrees_and_peak_is_measured(dataset, totals):
    result = python("mem.py", "--i", dataset, env=VISIBLE)
    assert (result.returncode, result.stderr) == (0, "")
    assert totals in result.stdout
    allocated = totals.split()[-1]
    assert f"The allocated memory on cuda:0: {allocated}\n" in result.stdout
    assert "Memory differs" not in result.stdout
    name = torch.cuda.get_device_name()
    assert f"Peak memory during inference (measured on {name}): " in result.stdout
