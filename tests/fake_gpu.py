"""A GPU in numbers alone: a host, and a stream that computes what the host has launched."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from backbone.measure import passes

CYCLES_PER_MS = 2e6


class FakeGpu(TorchDispatchMode):
    """While it is entered, each operator that computes launches a kernel.

    launch, kernel: milliseconds that the host takes to launch it, and the stream to compute it.
    mark: milliseconds of the stream for an event. host, stream: the milliseconds at which they have
    done what they have been given.
    """

    def __init__(self, launch: float, kernel: float, mark: float = 0.0) -> None:
        super().__init__()
        self.launch_ms, self.kernel_ms, self.mark_ms = launch, kernel, mark
        self.host = self.stream = 0.0
        self.queue_holds: float = float("inf")  # milliseconds that the host can be ahead

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.launch(self.kernel_ms)
        return func(*args, **(kwargs or {}))

    def launch(self, milliseconds: float) -> None:
        self.host += self.launch_ms
        if self.stream - self.host > self.queue_holds:
            self.host = self.stream
        self.stream = max(self.stream, self.host) + milliseconds

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let torch.cuda and the clock of passes be this GPU's."""
        monkeypatch.setattr(torch.cuda, "Event", lambda enable_timing: FakeEvent(self))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
        monkeypatch.setattr(torch.cuda, "_sleep", lambda c: self.launch(c / CYCLES_PER_MS))
        monkeypatch.setattr(passes, "perf_counter", lambda: self.host / 1e3)


class FakeEvent:
    """An event on the stream of a FakeGpu."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu, self.time = gpu, 0.0

    def record(self, stream: None) -> None:
        self.gpu.stream = max(self.gpu.stream, self.gpu.host) + self.gpu.mark_ms
        self.time = self.gpu.stream

    def query(self) -> bool:
        return self.gpu.host >= self.time

    def synchronize(self) -> None:
        self.gpu.host = max(self.gpu.host, self.time)

    def elapsed_time(self, end: "FakeEvent") -> float:
        return end.time - self.time
