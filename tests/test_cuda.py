"""What only a CUDA device can show."""

import os

import pytest
import torch
from project import ENVIRONMENT, python

from backbone.command.options import Mode
from backbone.network.build import build_network
from backbone.record import records
from backbone.record.remarks import remarks_on
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


def record_of(tmp_path, *flags):
    """The record of a few passes, whose stderr has nothing but remarks."""
    file = tmp_path / "record.json"
    result = python("timer.py", *flags, "--iterations", "20", "--json", str(file), env=VISIBLE)
    record = records.load(file)
    remarks = list(remarks_on(record))
    assert (result.returncode, result.stderr.count("\n")) == (0, len(remarks)), result.stderr
    assert result.stdout == format_rows(record.rows)
    return record


@pytest.mark.parametrize("dataset", ["pascal", "cityscapes"])
def test_record_of_layers(tmp_path, dataset):
    record = record_of(tmp_path, "--i", dataset, "--target", "layer")
    layers = [row for row in record.rows if row.level == "layer"]
    assert len(layers) == 153
    # Page faults and system time of the process would say nothing about the GPU's pass.
    assert not any(row.page_faults or row.kernels for row in record.rows)
    disturbances = {"involuntary_context_switches", "stolen_time", "cut_over_uncut"}
    clocks = {"sm_clocks", "memory_clocks", "throttle_reasons"}
    measured = {"peak_allocated_memory", "flops_per_second", "bytes_per_second", "ready_after"}
    measured |= {"enqueue_time", "mark_time"}
    (run,) = record.runs
    assert run.keys() - clocks == {"date"} | disturbances | measured
    assert all(run[field] > 0 for field in measured)
    # The GPU's time of the operations is that of the pass, and no more than a user sees.
    assert sum(row.device_mean for row in layers) == pytest.approx(
        record.whole.device_mean, rel=1e-3
    )
    assert 0 < record.whole.device_mean < 1.1 * record.whole.mean
    assert run["mark_time"] < 20e-6 and all(row.device_mean > 0 for row in layers)


def test_captured_pass_gives_the_same_answer_sooner(tmp_path):
    eager, graph = (
        record_of(tmp_path, "--i", "pascal", *flags) for flags in ((), ("--cuda-graph",))
    )
    assert graph.mode == Mode(cuda_graph=True)
    assert graph.median("output_difference") < 0.01  # TF32's, which stock has too
    assert graph.median("enqueue_time") < eager.median("enqueue_time") / 3
    assert graph.median("peak_allocated_memory") > eager.median("peak_allocated_memory") / 2


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
