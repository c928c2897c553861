"""What a timer brings of its own: how moments are marked, and read."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from backbone.measure.nvidia_smi import GpuState


class Clock(Protocol):
    """How to mark a moment, and how to read the marks."""

    def mark(self) -> None:
        """Mark this moment, without waiting for anything."""

    def read(self) -> list[float]:
        """After a pass: milliseconds from each of its marks to the next."""


@runtime_checkable
class GpuClock(Clock, Protocol):
    """Likewise of a GPU, which computes in order what the host has enqueued."""

    def hold(self, milliseconds: float) -> None:
        """Keep the GPU busy for roughly this long, so that work enqueued next has to wait."""

    def is_held(self) -> bool:
        """Whether the GPU has yet to reach the first mark since the last reading."""

    def query_state(self, keep_busy: Callable[[], object]) -> GpuState | None:
        """See `query_state()` of measure/nvidia_smi.py."""
