"""What only a CUDA device can show."""

import os

import pytest
import torch
from project import ENVIRONMENT, python

from backbone.network.build import build_network
from backbone.record import records
from backbone.record.text import format_rows
from backbone.trace.instrument import cut_pass
from timer import CudaClock

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

VISIBLE = {**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0")}


@pytest.mark.parametrize(("target", "parts"), [("block", 21), ("layer", 153)])
def test_returns_what_the_stock_network_returns(target, parts):
    clock, backbone, image = CudaClock(), build_network(), torch.rand(1, 3, 500, 334).cuda()
    backbone.network.cuda()
    forward = cut_pass(backbone, list(image.shape), target).with_marks(clock.mark)
    with torch.inference_mode():
        assert torch.equal(forward(image), backbone.network(image))
    intervals = clock.read()
    assert len(intervals) == parts and sum(intervals) > 0


@pytest.mark.parametrize("dataset", ["pascal", "cityscapes"])
def test_record_of_layers(tmp_path, dataset):
    file = tmp_path / "record.json"
    flags = ("--i", dataset, "--target", "layer", "--iterations", "5", "--json", str(file))
    result = python("timer.py", *flags, env=VISIBLE)
    assert (result.returncode, result.stderr) == (0, "")
    record = records.load(file)
    assert result.stdout == format_rows(record.rows)
    assert [row.level for row in record.rows].count("layer") == 153
    # Page faults and system time of the process would say nothing about the GPU's pass.
    assert not any(row.page_faults or row.kernels for row in record.rows)
    disturbances = {"involuntary_context_switches", "stolen_time", "cut_over_uncut"}
    measured = {"peak_allocated_memory", "flops_per_second", "bytes_per_second"}
    (run,) = record.runs
    assert run.keys() == {"date"} | disturbances | measured
    assert all(run[field] > 0 for field in measured)


@pytest.mark.parametrize(
    ("dataset", "elements", "allocated"),
    [("cityscapes", 9830492, "37.58M"), ("pascal", 4040036, "15.49M")],
)
def test_allocator_agrees_and_peak_is_measured(dataset, elements, allocated):
    result = python("mem.py", "--i", dataset, env=VISIBLE)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"Total Tensors: {elements} \tUsed Memory: {allocated}" in result.stdout
    assert f"The allocated memory on cuda:0: {allocated}\n" in result.stdout
    assert "Memory differs" not in result.stdout
    name = torch.cuda.get_device_name()
    assert f"Peak memory during inference (measured on {name}): " in result.stdout
