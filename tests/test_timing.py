"""The instrumented pass and the arithmetic of its rows."""

import time
import weakref

import pytest
import torch
from torch.utils import collect_env
from torch.utils._python_dispatch import TorchDispatchMode

from backbone.command.options import Mode, TimerOptions, Workload
from backbone.measure import machine
from backbone.measure.timing import time_network
from backbone.network.build import Backbone, build_network
from backbone.network.stages import Stage
from backbone.record.names import name_row
from backbone.record.text import format_row, format_rows
from backbone.trace.instrument import cut_pass
from backbone.trace.recorder import record_pass
from cpu.timer import CpuClock

SHAPE = [1, 3, 64, 96]


class FakeClock:
    """Interval i of pass p is i + 1 + drift * p ms long."""

    def __init__(self, drift: float = 0.0) -> None:
        self.drift, self.passes, self.marks = drift, 0, 0

    def mark(self) -> None:
        self.marks += 1

    def read(self) -> list[float]:
        intervals = [i + 1 + self.drift * self.passes for i in range(self.marks - 1)]
        self.passes, self.marks = self.passes + 1, 0
        return intervals


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return build_network()


def measure(backbone, target, clock, warmup=0, iterations=1, json=None):
    options = TimerOptions(
        Workload(), Mode(), target=target, iterations=iterations, warmup=warmup, json=json
    )
    rows, _ = time_network(backbone, torch.rand(SHAPE), clock, options)
    return rows


@pytest.mark.parametrize(("target", "marks"), [("block", 22), ("layer", 154)])
def test_returns_what_the_stock_network_returns(backbone, target, marks):
    clock = FakeClock()
    forward = cut_pass(backbone, SHAPE, target).with_marks(clock.mark)
    image = torch.rand(SHAPE)
    with torch.inference_mode():
        assert torch.equal(forward(image), backbone.network(image))
    assert clock.marks == marks


class LiveBytes(TorchDispatchMode):
    """The bytes of the tensors that are alive at each operation."""

    def __init__(self) -> None:
        super().__init__()
        self.live, self.history = {}, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        key = id(output)
        self.live[key] = output.nbytes
        weakref.finalize(output, self.live.pop, key, None)
        self.history.append((str(func), sum(self.live.values())))
        return output


@pytest.mark.parametrize("target", ["block", "layer"])
def test_holds_tensors_as_long_as_the_stock_network(backbone, target):
    forward = cut_pass(backbone, SHAPE, target).with_marks(lambda: None)
    histories = []
    for run in (backbone.network, forward):
        with torch.inference_mode(), LiveBytes() as live:
            run(torch.rand(SHAPE))
        histories.append(live.history)
    assert len(histories[0]) > 150
    assert histories[0] == histories[1]


def test_tracing_makes_no_tensor_on_the_device(backbone):
    devices = set()

    class Devices(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            output = func(*args, **(kwargs or {}))
            outputs = output if isinstance(output, (tuple, list)) else [output]
            devices.update(o.device.type for o in outputs if isinstance(o, torch.Tensor))
            return output

    with Devices():
        record_pass(backbone.network, SHAPE)
    assert devices == {"meta"}


def test_modules_of_like_names_are_not_taken_for_each_other():
    class Like(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = torch.nn.Sequential()
            self.a.b, self.a_b = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)

        def forward(self, x):
            return self.a_b(self.a(x))

    network = Like().eval()
    like = Backbone("Like", network, lambda *_: Stage(type="AvgPool", path=""))
    forward = cut_pass(like, [1, 3], "layer").with_marks(lambda: None)
    image = torch.rand(1, 3)
    with torch.inference_mode():
        assert torch.equal(forward(image), network(image))


SLEEP = 0.2


@pytest.mark.parametrize("target", ["block", "layer"])
def test_time_goes_to_the_row_that_spends_it_and_none_is_lost(target):
    backbone = build_network()
    network, slow = backbone.network, "features.5.conv.1.1"
    network.get_submodule(slow).register_forward_hook(lambda *_: time.sleep(SLEEP))
    clock = CpuClock()
    cut = cut_pass(backbone, SHAPE, target)
    forward = cut.with_marks(clock.mark)
    with torch.inference_mode():
        forward(torch.rand(SHAPE)), clock.read()
        start = time.perf_counter()
        forward(torch.rand(SHAPE))
        outside = (time.perf_counter() - start) * 1e3
    intervals = clock.read()
    paths = [operation.path for operation in cut.operations]
    expected = paths.index(slow) if target == "layer" else 5
    assert [i for i, ms in enumerate(intervals) if ms >= SLEEP * 1e3] == [expected]
    # The image is made outside the marks, and that is all.
    assert 0.95 * outside < sum(intervals) <= outside


def test_rows_of_model_target(backbone):
    (row,) = measure(backbone, "model", FakeClock(drift=2.0), warmup=1, iterations=3)
    assert row.samples.tolist() == [[3.0, 5.0, 7.0]]  # passes 1 to 3: the warm-up is not in it
    assert format_row(row) == (
        "Average Execution Time for MobileNetV2 with input shape: [1, 3, 64, 96] "
        "is 5.000 ms with std = 1.633 ms"  # population std
    )


def test_rows_of_block_target_tile_the_pass(backbone):
    rows = measure(backbone, "block", FakeClock())
    assert [row.samples.tolist() for row in rows[:-1]] == [[[i + 1.0]] for i in range(21)]
    assert rows[-1].samples.tolist() == [[21 * 22 / 2]]
    names = [name_row(row) for row in rows]
    blocks = [f"Inverted Residual Block at position {i}" for i in range(1, 18)]
    assert names == ["Conv2D", *blocks, "ConvLast", "AvgPool", "Classifier", "MobileNetV2"]
    lines = format_rows(rows).splitlines()
    for index, words in {
        0: "for Conv2D with kernel_size=3, stride=2 and input shape: [1, 3, 64, 96] is 1.000 ms",
        1: "for Inverted Residual Block at position 1 with input shape: [1, 32, 32, 48] is",
        17: "for Inverted Residual Block at position 17 with input shape: [1, 160, 2, 3] is",
        18: "for ConvLast with kernel_size=1, stride=1 and input shape: [1, 320, 2, 3] is",
        19: "for AvgPool with input shape: [1, 1280, 2, 3] is 20.000 ms",
        20: "for Classifier with Dropout=0.2 and dim=1280 input shape: [1, 1280] is",
        22: "for MobileNetV2 with input shape: [1, 3, 64, 96] is 231.000 ms with std = 0.000 ms",
    }.items():
        assert lines[index].startswith(f"Average Execution Time {words}")
    assert lines[21] == ""


def test_rows_of_layer_target_tile_their_stages(backbone):
    rows = measure(backbone, "layer", FakeClock())
    layers = [row for row in rows if row.level == "layer"]
    assert [row.samples.tolist() for row in layers] == [[[i + 1.0]] for i in range(153)]
    kinds = [row.type for row in layers]
    counts = {kind: kinds.count(kind) for kind in kinds}
    assert counts == {
        "Conv2d": 52,
        "BatchNorm2d": 52,
        "ReLU6": 35,
        "add": 10,
        "adaptive_avg_pool2d": 1,
        "flatten": 1,
        "Dropout": 1,
        "Linear": 1,
    }
    stages = [row for row in rows if row.level == "block"]
    assert len(stages) == 21
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        if row.level == "block":
            assert following.level == "layer"
    sums: list[float] = []
    for row in rows:
        if row.level == "block":
            sums.append(0.0)
        elif row.level == "layer":
            sums[-1] += row.samples.item()
    assert [row.samples.item() for row in stages] == sums
    assert rows[-1].samples.item() == sum(sums)
    text = format_rows(rows)
    assert (
        "\n  Average Execution Time for Conv2d features.1.conv.0.0 with input shape: [1, 32,"
        in text
    )
    assert (
        "\n  Average Execution Time for add features.3 with input shape: [1, 24, 16, 24] is" in text
    )


@pytest.mark.parametrize("json", [None, "record.json"])
def test_page_faults_of_operations_are_counted_only_for_a_record(backbone, json):
    *parts, whole = measure(backbone, "layer", FakeClock(), json=json)
    assert all(len(row.page_faults) == (0 if json is None else 1) for row in parts)
    assert len(whole.page_faults) == 1


def test_cpu_clock_reads_milliseconds(monkeypatch):
    ticks = iter([1.0, 1.5, 1.502, 9.0, 10.0])
    monkeypatch.setattr("cpu.timer.perf_counter", lambda: next(ticks))
    clock = CpuClock()
    for _ in range(3):
        clock.mark()
    assert clock.read() == pytest.approx([500.0, 2.0])
    clock.mark(), clock.mark()
    assert clock.read() == pytest.approx([1000.0])


def test_record_of_a_gpu_says_what_decides_its_time(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(collect_env, "get_nvidia_driver_version", lambda run: "570.86.15")
    about = machine.describe_cuda()
    assert about["compute_capability"] == "7.5" and about["cudnn_benchmark"] == "True"
    assert about["driver_version"] == "570.86.15"
    assert about["float32_matmul_precision"] == "highest"
    assert all(about.values())  # pyperf takes no empty string


def test_cuda_clock_waits_only_when_it_is_read(monkeypatch):
    calls, now = [], iter(range(100))

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing
            calls.append("make")

        def record(self, stream):
            assert stream == "current stream"
            calls.append("record")
            self.time = next(now) ** 2

        def synchronize(self):
            calls.append("synchronize")

        def elapsed_time(self, end):
            assert calls[-1] == "synchronize"
            return end.time - self.time

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "current stream")
    from timer import CudaClock

    clock = CudaClock()
    for first in (0, 3):  # the second pass uses the first one's events
        for _ in range(3):
            clock.mark()
        assert "synchronize" not in calls[-3:]
        assert clock.read() == [2 * first + 1, 2 * first + 3]
    assert [calls.count(call) for call in ("make", "record", "synchronize")] == [3, 6, 2]
