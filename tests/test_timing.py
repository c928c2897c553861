"""A pass cut into operations: what it returns, its times, its costs, and oneDNN's kernels."""

import ctypes
import os
import time
from unittest.mock import Mock, call

import pytest
import torch
from torch import nn

from backbone.command.options import Mode, TimerOptions, Workload
from backbone.measure import ceilings
from backbone.measure.captured import stdout_captured
from backbone.measure.kernels import collect_kernels
from backbone.measure.timing import time_network, with_cost
from backbone.network.build import Backbone, build_network
from backbone.network.stages import Stage
from backbone.record.rows import Cost, Kernels
from backbone.record.text import format_rows
from backbone.trace.costs import kind_of
from backbone.trace.instrument import CutPass, cut_pass
from cpu.timer import CpuClock
from timer import CudaClock

SHAPE = [1, 3, 64, 96]
BACKBONE = build_network()
LIBRARY = ctypes.CDLL(None)
LIBRARY.printf.restype = None
# It writes into C's own buffer, also where PYTHONUNBUFFERED has taken that away.
BUFFER = ctypes.create_string_buffer(4096)
LIBRARY.setvbuf(ctypes.c_void_p.in_dll(LIBRARY, "stdout"), BUFFER, 0, len(BUFFER))
PRINTED = b"""a library's line
no line, onednn_verbose,v1,primitive,exec,cpu,eltwise,mine,a,b,c,%d
onednn_verbose,v1,primitive,create:cache_hit,cpu,eltwise,unused,a,b,c,64
onednn_verbose,v1,primitive,exec,cpu,reorder,other,a,b,c,0.25
onednn_verbose,v1,primitive,exec,cpu,eltwise,mine,a,b,c,0.5
onednn_verbose,v1,primitive,exec,cpu,eltwise,more,a,b,c,0.5
"""


class FakeClock:
    """Interval i of pass p is i + 1 + p ms long."""

    passes = marks = 0

    def mark(self) -> None:
        self.marks += 1

    def read(self) -> list[float]:
        intervals = [i + 1.0 + self.passes for i in range(self.marks - 1)]
        self.passes, self.marks = self.passes + 1, 0
        return intervals


def measure(target, warmup=1, json=None, turns=None):
    options = TimerOptions(Workload(), Mode(), target, 3, warmup, None, json, turns is not None)
    return time_network(BACKBONE, torch.rand(SHAPE), FakeClock(), options, 0.0, turns)


@pytest.mark.parametrize(("target", "slow"), [("block", [0, 5, 20]), ("layer", [0, 37, 152])])
def test_returns_what_the_network_returns_and_time_goes_to_the_row_that_spends_it(target, slow):
    backbone, clock, image = build_network(), CpuClock(), torch.rand(SHAPE)
    forward = cut_pass(backbone, SHAPE, target).with_marks(clock.mark)
    for path in ("features.0.0", "features.5.conv.1.1", "classifier.1"):
        module = backbone.network.get_submodule(path)
        module.register_forward_hook(lambda *_: time.sleep(0.2))
    for _ in range(2):
        start = time.perf_counter()
        with torch.inference_mode():
            output = forward(image)
        outside = (time.perf_counter() - start) * 1e3
        intervals = clock.read()
    assert 0.95 * outside < sum(intervals) <= outside
    assert [i for i, ms in enumerate(intervals) if ms >= 200] == slow
    with torch.inference_mode():
        assert torch.equal(output, BACKBONE.network(image))


def test_rows_tile_the_pass_and_their_stages():
    (model,), _ = measure("model")
    blocks, _ = measure("block", json="record.json")
    layers, _ = measure("layer")
    assert model.samples.tolist() == [[2.0, 3.0, 4.0]]  # the warm-up is not in it
    # Page faults and kernels of operations are of a record of layers alone.
    assert [len(row.page_faults) for row in blocks] == [*21 * [0], 1]
    assert [len(row.page_faults) for row in layers] == [*174 * [0], 1]
    assert not any(row.kernels for row in layers)
    assert [row.mean for row in blocks] == [*range(3, 24), sum(range(3, 24))]
    operations = [row for row in layers if row.level == "layer"]
    assert [row.mean for row in operations] == [*range(3, 156)]
    *stages, whole = (row for row in layers if row.level != "layer")
    for number, stage in enumerate(stages):
        inside = [row for row in operations if row.stage == number]
        first = layers.index(stage) + 1
        assert layers[first : first + len(inside)] == inside
        assert stage.mean == sum(row.mean for row in inside)
        macs = sum(row.cost.macs for row in inside)
        assert stage.cost == Cost(macs, sum(row.cost.bytes_moved for row in inside))
    assert whole.mean == sum(row.mean for row in stages)
    assert whole.cost.macs == sum(row.cost.macs for row in stages) == 37_952_768
    assert [row.cost for row in blocks] == [row.cost for row in (*stages, whole)]
    assert with_cost([model], BACKBONE)[0].cost == whole.cost
    text = f"\n{format_rows(blocks)}{format_rows(layers)}"
    for line in (
        "\nConv2D with kernel_size=3, stride=2 and input shape: [1, 3, 64, 96] is 3.000 ms with",
        "\nInverted Residual Block at position 1 with input shape: [1, 32, 32, 48] is 4.000 ms",
        "\nAvgPool with input shape: [1, 1280, 2, 3] is 22.000 ms with std = 0.816 ms\n",
        "\nClassifier with Dropout=0.2 and dim=1280 input shape: [1, 1280] is 23.000 ms with std",
        "\n\nMobileNetV2 with input shape: [1, 3, 64, 96] is 273.000 ms with std = 17.146 ms\n",
        "\n  Conv2d features.1.conv.0.0 with input shape: [1, 32, 32, 48] is 6.000 ms with std",
    ):
        assert line in text.replace("Average Execution Time for ", "")


@pytest.mark.parametrize("is_first", [True, False])
def test_turns_time_all_passes_but_the_first_of_each(is_first):
    turns = Mock(is_first=is_first, **{"wait.side_effect": [2, 11, None]})
    rows, fields = measure("layer", warmup=0, turns=turns)
    # Passes 0, to get warm, 1 and 5 are not timed; 4, 17 and 18 are not cut.
    assert rows[1].samples.tolist() == [[1.0 + number for number in (2, 3, *range(6, 17))]]
    assert fields["cut_over_uncut"] == (153 * 154 / 2 + 153 * 10) / (1 + 17)  # both are medians
    assert len(rows[1].page_faults) == 1
    assert any(row.kernels for row in rows) is is_first


def test_cuda_clock_waits_only_when_it_is_read(monkeypatch):
    made = Mock()
    events = [made.first, made.second, made.last]
    monkeypatch.setattr(torch.cuda, "Event", Mock(side_effect=events))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "stream")
    clock = CudaClock()
    for _ in range(2):  # the second pass uses the first one's events
        for _ in events:
            clock.mark()
        assert clock.read() == [event.elapsed_time.return_value for event in events[:2]]
    torch.cuda.Event.assert_called_with(enable_timing=True)
    assert made.mock_calls == 2 * [
        *(call.first.record("stream"), call.second.record("stream"), call.last.record("stream")),
        call.last.synchronize(),
        *(call.first.elapsed_time(made.second), call.second.elapsed_time(made.last)),
    ]


class Small(nn.Module):
    """The paths of two modules, a.0 and a_0, are nearly the same."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8))
        self.a_0, self.activation = nn.BatchNorm2d(8), nn.ReLU6(inplace=True)
        self.drop, self.linear = nn.Dropout(), nn.Linear(128, 10, bias=False)

    def forward(self, x):
        x = self.activation(self.a_0(self.a(x)))
        return self.linear(self.drop(torch.flatten(x + x, 1)))


def cut(network: Small, batch_size: int) -> CutPass:
    return cut_pass(Backbone("Small", network.eval(), Stage), [batch_size, 8, 4, 4], "layer")


def test_costs_by_hand_and_modules_of_like_names():
    network, image = Small(), torch.rand(2, 8, 4, 4)
    with torch.inference_mode():
        assert torch.equal(cut(network, 2).with_marks(list)(image), network(image))
    batch_size = 10**12  # which no memory holds
    tensor = batch_size * 8 * 4 * 4
    operations = cut(network.bfloat16(), batch_size).operations
    assert [(each.kind, each.macs, each.bytes_moved / 2) for each in operations] == [
        ("depthwise convolution", tensor * 9, 2 * tensor + 8 * 9 + 8),
        ("batch norm", 0, 2 * tensor + 4 * 8),
        ("ReLU6", 0, 2 * tensor),  # in place: its tensor twice
        ("addition", 0, 3 * tensor),
        ("flatten", 0, 0),  # a view
        ("Dropout", 0, 0),  # inactive
        ("linear", tensor * 10, tensor + 128 * 10 + batch_size * 10),
    ]


def test_kinds():
    convolutions = ((8, 1, 8), (16, 3, 8), (8, 1, 1), (8, 3, 2), (8, (1, 3), 1))
    modules = [nn.Conv2d(8, out, size, groups=groups) for out, size, groups in convolutions]
    kinds = [kind_of(module, "Conv2d").removesuffix("convolution") for module in modules]
    assert kinds == ["depthwise ", "depthwise ", "pointwise ", "grouped ", ""]
    names = {"MaxPool2d": "pooling", "LayerNorm": "layer norm", "Hardswish": "Hardswish"}
    names |= {"add_": "addition", "mul": "multiplication", "relu": "ReLU"}
    assert {name: kind_of(None, name) for name in names} == names


def collect(*printed: bytes) -> list[Kernels | None]:
    """The kernels of Small, whose activation prints one of these texts in each pass."""
    texts, network = iter(printed), Small()
    parts = cut(network, 2)
    network.activation.register_forward_hook(lambda *_: LIBRARY.printf(next(texts)))
    return collect_kernels(parts, torch.rand(2, 8, 4, 4))


@pytest.mark.parametrize("is_asked", [True, False])
def test_kernels_are_medians_and_what_others_print_is_not_lost(monkeypatch, capfd, is_asked):
    BACKBONE.network(torch.rand(SHAPE))  # oneDNN itself reads the variable now, and then no more
    monkeypatch.setenv("DNNL_VERBOSE", str(int(is_asked)))
    texts = [PRINTED % milliseconds for milliseconds in (1, 8, 2)]
    convolution, _, *others = collect(*texts)
    assert is_asked or (convolution.implementation and convolution.kernel_ms > 0)
    assert others == [Kernels("mine + more", kernel_ms=3.0, reorder_ms=0.25), *4 * [None]]
    expected = b"".join(texts).decode() if is_asked else 3 * "a library's line\nno line, "
    assert capfd.readouterr().out == expected


def test_no_kernels(monkeypatch, capfd):
    line = b"onednn_verbose,v2,ran,cpu,convolution,brgconv:avx512_core,0.5\n"  # of another form
    assert collect(line, line, line) == []
    said, stderr = "oneDNN printed a line in an unknown format: v2,ran,cpu,", capfd.readouterr().err
    assert f": no kernels: {said}" in stderr and stderr.count("\n") == 1
    for name, value in (("enabled", False), ("is_available", lambda: False)):
        with monkeypatch.context() as patched:
            patched.setattr(torch.backends.mkldnn, name, value)
            assert collect() == []
    monkeypatch.delattr(os, "memfd_create")
    assert collect() == []


def test_what_is_not_written_yet_is_written_where_it_belongs(capfd):
    LIBRARY.printf(b"before, ")
    with stdout_captured() as captured:
        LIBRARY.printf(b"inside")
    LIBRARY.printf(b"after")
    LIBRARY.fflush(None)
    assert (captured, capfd.readouterr().out) == (b"inside", "before, after")


def test_ceilings_count_both_flops_of_a_mac_and_what_a_copy_reads_and_writes(monkeypatch):
    monkeypatch.setattr(ceilings, "COPIED_BYTES", 2**20)
    monkeypatch.setattr(ceilings, "MATRIX_SIDES", {"cpu": 64})
    # The shortest intervals are 1 and 2 ms for the products, and 3 ms for the copies.
    found = ceilings.measure_ceilings(torch.device("cpu"), torch.float32, FakeClock())
    assert found.flops_per_second == pytest.approx(2 * 64**3 / 1e-3)
    assert found.bytes_per_second == pytest.approx(2 * 2**20 / 3e-3)
