"""What only a GPU does, on one that exists in numbers alone, and on faked commands of NVIDIA's."""

import os
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from fake_gpu import FakeGpu
from project import script
from torch import nn

from backbone.command.errors import Failure
from backbone.command.options import Mode, TimerOptions, Workload
from backbone.measure import machine
from backbone.measure.nvidia_smi import GpuState, query_state
from backbone.measure.timing import time_network
from backbone.network.build import Backbone
from backbone.network.cuda_graph import WARMUP_PASSES, GraphNetwork
from backbone.network.modes import make_ready
from backbone.network.stages import Stage
from backbone.record import records, schema
from backbone.record.remarks import remarks_on
from backbone.record.rows import Ceilings, Record
from backbone.report.kinds import sum_rows
from backbone.report.mode_tables import gpu_cells
from backbone.rounds.caches import cache_of_round, empty_caches
from backbone.rounds.turn_lengths import turns_of_runs
from timer import CudaClock
from tools import first_gpu

KERNELS = 3  # of the network's pass
THROTTLED = GpuState(sm=1200, memory=3201, reasons=0x24)
IDLE = GpuState(sm=1980, memory=3201, reasons=0x1)


def network() -> Backbone:
    layers = nn.Sequential(nn.ReLU(), nn.Sigmoid(), nn.Tanh())
    return Backbone("Net", layers.eval(), lambda type_, path: Stage(type_, path))


def measure(gpu, monkeypatch, target="layer", states=(IDLE,), iterations=20) -> Record:
    """The record of a run on a GPU, with its state as nvidia-smi would tell it after its turn."""
    gpu.install(monkeypatch)
    states = iter(states)
    monkeypatch.setattr(CudaClock, "query_state", lambda self, keep_busy: next(states))
    options = TimerOptions(Workload(), Mode(), target, iterations, warmup=2)
    clock, image = CudaClock(), torch.rand(1, 3, 8, 8)
    with gpu:
        rows, fields = time_network(network(), image, clock, options, 0.0)
    return Record(rows, conditions={"cuda_version": "13.0"}, runs=[fields])


@pytest.mark.parametrize("target", ["model", "layer"])
def test_pass_that_waits_for_launches(monkeypatch, target):
    record = measure(FakeGpu(launch=0.5, kernel=0.1), monkeypatch, target)
    # The first mark, the launches, and the last kernel; the GPU waits between the others.
    assert record.whole.mean == pytest.approx(KERNELS * 0.5 + 0.1)
    assert record.whole.device_mean == pytest.approx(KERNELS * 0.1)
    for row in record.rows[:-1]:
        assert row.device_mean == pytest.approx(0.1)
    assert record.runs[0]["enqueue_time"] == pytest.approx(KERNELS * 0.5e-3)
    (remark,) = remarks_on(record)
    assert (
        "the GPU is busy for only 0.30 ms of a 1.60 ms pass, which takes 1.50 ms to enq" in remark
    )


def test_pass_that_the_gpu_takes_long_for(monkeypatch):
    record = measure(FakeGpu(launch=0.1, kernel=0.5), monkeypatch)
    assert record.whole.mean == pytest.approx(0.1 + KERNELS * 0.5)
    assert record.whole.device_mean == pytest.approx(KERNELS * 0.5)
    assert record.runs[0]["enqueue_time"] == pytest.approx(KERNELS * 0.1e-3)
    assert list(remarks_on(record)) == []


def test_marks_cost_something_and_are_counted(monkeypatch):
    record = measure(FakeGpu(launch=0.5, kernel=0.1, mark=0.003), monkeypatch)
    assert record.runs[0]["mark_time"] == pytest.approx(0.003e-3)
    assert record.rows[1].device_mean == pytest.approx(0.103)


def test_queue_that_is_too_short_gives_no_gpu_time(monkeypatch):
    gpu = FakeGpu(launch=0.5, kernel=0.1)
    gpu.queue_holds = 0.7  # the host waits in each pass, however long the GPU is held
    record = measure(gpu, monkeypatch)
    assert record.whole.queued_ms == () and list(remarks_on(record)) == []
    assert record.whole.device_mean == record.whole.mean
    assert gpu_cells(record) == {"GPU time (ms)": "-", "Enqueue time (ms)": "1.50"}


def test_untimed_passes_last_until_the_clock_has_risen(monkeypatch):
    gpu = FakeGpu(launch=5, kernel=1)
    record = measure(gpu, monkeypatch, target="model", iterations=1)
    # 2 warm-up passes of 16 ms are not enough; then one is timed, and one queued.
    assert gpu.host > 300 and record.whole.samples.shape == (1, 1)


def test_throttled_turns_are_reported(monkeypatch):
    gpu = FakeGpu(launch=0.1, kernel=0.5)
    records_ = [measure(gpu, monkeypatch, states=[state]) for state in (THROTTLED, IDLE, None)]
    record = records.join(records_)
    assert [run.get("throttle_reasons") for run in record.runs] == ["0x24", "0x1", None]
    assert [run.get("sm_clocks") for run in record.runs] == ["1200", "1980", None]
    (remark,) = remarks_on(record)
    assert remark == (
        "the GPU was throttled at the end of 1 of 2 turns "
        "(software power cap, software thermal slowdown)"
    )


def test_gpu_time_is_stored_and_its_kinds_are_summed(monkeypatch, tmp_path):
    gpu = FakeGpu(launch=0.5, kernel=0.1)
    record = records.join([measure(gpu, monkeypatch) for _ in range(2)])
    again = records.loads(records.dumps(record), "text")
    assert [row.queued_ms for row in again.rows] == [row.queued_ms for row in record.rows]
    assert len(again.whole.queued_ms) == 2 and again.runs == record.runs
    operations = [row for row in again.rows if row.level == "layer"]
    total = sum_rows(operations, Ceilings(1e15, 1e15), level=0.05)
    assert total.time.mean == pytest.approx(KERNELS * 0.1)
    unknown = replace(record, rows=[replace(row, queued_ms=()) for row in record.rows])
    joined = records.join([record, unknown])
    assert joined.whole.queued_ms == ()  # of some runs alone it would be another mean


def test_turns_take_a_second_on_a_gpu_and_ten_passes_on_a_cpu():
    def turns(passes, *seconds, on_gpu=True):
        runs = len(seconds)
        return turns_of_runs([passes] * runs, seconds, [on_gpu] * runs)

    assert turns(None, 0.006, 0.001, 0.0005) == [[167] * 2, [1000] * 2, [2000] * 2]
    assert turns(None, 0.2, 0.02) == [[10] * 30, [50] * 30]
    assert turns(500, 0.006, 0.005) == [[166, 167, 167]] * 2
    assert turns(50, 0.006, 0.005) == [[50], [50]]
    # In later rounds passes seem shorter; a run that is new there has as many turns.
    assert turns_of_runs([334, None], [0.0055, 0.001], [True] * 2) == [[167] * 2, [1000] * 2]
    # A CPU's run beside a GPU's is not to take minutes.
    assert turns_of_runs([None] * 2, [0.5, 0.006], [False, True]) == [[10] * 2, [167] * 2]
    of_cpu = [turns(None, first, 0.005, on_gpu=False) for first in (0.29, 0.3, 0.002)]
    assert of_cpu == [[[10] * 6] * 2, [[2]] * 2, [[20] * 3] * 2]


def test_a_round_on_a_gpu_compiles_anew():
    with empty_caches() as variables:
        first, second = (cache_of_round(variables, number) for number in (1, 2))
    assert first.keys() == variables.keys() and len(set(map(len, map(str, (first, second))))) == 1
    assert first["TORCHINDUCTOR_CACHE_DIR"] != second["TORCHINDUCTOR_CACHE_DIR"]


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A command of that name: what it says, by the fields that it is asked for."""

    def install(said: str, status: int = 0) -> None:
        file = tmp_path / "nvidia-smi"
        lines = f'echo "$@" >>"{tmp_path}/asked"\nsleep 0.1\necho "{said}"\nexit {status}\n'
        file.write_text(f"#!/bin/sh\n{lines}")
        file.chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return install


def test_state_of_the_gpu_is_asked_for_while_it_computes(nvidia_smi, tmp_path):
    nvidia_smi("1755 MHz, 2619 MHz, 0x0000000000000004")
    keep_busy = Mock()
    assert query_state("GPU-1", keep_busy) == GpuState(1755, 2619, 4)
    assert keep_busy.called
    asked = (tmp_path / "asked").read_text()
    assert "clocks.sm,clocks.mem,clocks_event_reasons.active" in asked and "--id=GPU-1" in asked


@pytest.mark.parametrize(
    ("said", "status"), [("[N/A], 2619 MHz, 0x0", 0), ("not valid", 2), ("", 0)]
)
def test_driver_that_does_not_say_is_none(nvidia_smi, said, status):
    nvidia_smi(said, status)
    assert query_state("GPU-1", lambda: None) is None


def test_record_of_a_gpu_says_what_decides_its_time(nvidia_smi, monkeypatch):
    for name in filter(schema.is_of_environment, [*os.environ]):
        monkeypatch.delenv(name)
    given = {"CUDA_CACHE_DISABLE": "1", "CUDA_VISIBLE_DEVICES": "GPU-8c6f-11", "TRITON_DEBUG": "1"}
    given |= {"TORCHINDUCTOR_MAX_AUTOTUNE": "1"}
    left_out = {"NVIDIA_REQUIRE_CUDA": "cuda>=12", "TORCHINDUCTOR_CACHE_DIR": "/a", "OMP_X": "1"}
    for name, value in (given | left_out).items():
        monkeypatch.setenv(name, value)
    nvidia_smi("580.65.06, 700.00 W, Enabled, Disabled")
    properties = SimpleNamespace(uuid="11-22")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda: properties)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    about = machine.describe_cuda()
    said = {"driver_version": "580.65.06", "power_limit": "700.00 W", "ecc_mode": "Enabled"}
    said |= {"persistence_mode": "Disabled", "compute_capability": "7.5", "cudnn_benchmark": "True"}
    said |= given | {"CUDA_VISIBLE_DEVICES": "GPU", "float32_matmul_precision": "highest"}
    assert said.items() <= about.items() and not about.keys() & left_out.keys()
    assert all(about.values())  # pyperf takes no empty text
    assert about.keys() <= {*schema.CONDITIONS, *given}
    nvidia_smi("", status=9)
    assert machine.describe_cuda()["power_limit"] == "unknown"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("CUDA error: all CUDA-capable devices are busy or unavailable\nmore", "exclusive-process"),
        ("CUDA error: unknown error\nmore", "the GPU cannot be used (CUDA error: unknown error)"),
        (None, None),
    ],
)
def test_gpu_that_admits_no_process_is_told(monkeypatch, error, said):
    effect = RuntimeError(error) if error else None
    monkeypatch.setattr(torch, "zeros", Mock(side_effect=effect))
    reason = machine.why_gpu_is_closed()
    assert reason is None if said is None else said in reason


def test_pytorch_for_rocm_is_no_cuda(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert "is built without CUDA" in machine.why_no_cuda()


def test_peak_counts_from_the_network_that_is_ready(monkeypatch):
    reset = Mock()
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    image = SimpleNamespace(is_cuda=True, device="cuda:0")
    make_ready(network(), image, Mode())
    reset.assert_called_once_with("cuda:0")


def test_reference_computes_without_tf32():
    before = """
import sys, torch
torch.save = lambda *_: print("TF32:", torch.backends.cudnn.allow_tf32, file=sys.stderr)
"""
    workload = '{"workload": {"dataset": "32x32"}, "device": "cpu", "threads": 1}'
    result = script("backbone/measure/reference.py", workload, before=before)
    assert (result.returncode, result.stderr) == (0, "TF32: False\n")


class FakeGraph:
    """In place of torch.cuda's: what is computed while it is entered is replayed by hand."""

    replays = 0

    def replay(self) -> None:
        self.replays += 1


def fake_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "Stream", Mock)
    monkeypatch.setattr(torch.cuda, "current_stream", Mock)
    for name in ("stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, lambda *_, **__: nullcontext())


def test_pass_is_captured_once_and_replayed(monkeypatch):
    fake_graphs(monkeypatch)
    inner, image = Mock(return_value=torch.ones(1)), torch.zeros(1, 3, 2, 2)
    graph = GraphNetwork(inner, image)
    captured = inner.call_count
    assert graph(image) is inner.return_value and graph.graph.replays == 1
    graph(torch.ones(1, 3, 2, 2))  # another image goes where the graph reads it
    assert image.sum() == 12 and graph.graph.replays == 2 and inner.call_count == captured


def test_pass_that_cannot_be_captured_is_one_line(monkeypatch):
    fake_graphs(monkeypatch)
    error = RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")
    with pytest.raises(Failure, match="--cuda-graph: the pass cannot be captured"):
        GraphNetwork(Mock(side_effect=[None] * WARMUP_PASSES + [error]), torch.zeros(1))


@pytest.mark.parametrize(
    ("warning", "said"),
    [
        ("The NVIDIA driver on your system is too old (found 12040).", "too old (found 12040)"),
        ("", "PyTorch finds no GPU"),
    ],
)
def test_driver_that_is_too_old_is_not_passed_over(warning, said):
    before = f"""
import os, torch, warnings
exists = os.path.exists
os.path.exists = lambda file: file == "/dev/nvidiactl" or exists(file)
os.environ["CUDA_VISIBLE_DEVICES"] = "0"
torch.version.cuda = "13.0"
def is_available():
    if {warning!r}:
        warnings.warn({warning!r})
    return False
torch.cuda.is_available = is_available
"""
    result = script("shell/check.py", "requirements.txt", before=before)
    assert result.returncode == 0 and result.stdout.startswith("PyTorch "), result
    assert said in result.stdout and "whl/cu126" in result.stdout


def test_what_a_first_session_shows(monkeypatch, capsys):
    gpu = FakeGpu(launch=0.05, kernel=0.01)
    gpu.install(monkeypatch)
    fake_time = SimpleNamespace(perf_counter=lambda: gpu.host / 1e3, sleep=lambda seconds: None)
    monkeypatch.setattr(first_gpu, "time", fake_time)
    with gpu, torch.inference_mode():
        first_gpu.show("32x32", "cpu")
    shown = capsys.readouterr().out
    assert "32x32, layers: enqueued in 7.650 ms, queued: ['1.530'," in shown
    assert "32x32, after a pause: [7.66, 7.66," in shown and "aten::convolution" in shown
