"""The interface of a timer's clock."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from backbone.measure.nvidia_smi import GpuState


class Clock(Protocol):
    """Marks moments of a pass and reads the time between them."""

    def mark(self) -> None:
        """Mark this moment without waiting for anything."""

    def read(self) -> list[float]:
        """After a pass: the milliseconds between its consecutive marks."""


@runtime_checkable
class GpuClock(Clock, Protocol):
    """The clock of a GPU, which executes in order what the host has enqueued."""

    def hold(self, milliseconds: float) -> None:
        """Keep the GPU busy for roughly this long, so that work enqueued next has to wait."""

    def is_held(self) -> bool:
        """Whether the GPU has yet to reach the first mark since the last reading."""

    def query_state(self, keep_busy: Callable[[], object]) -> GpuState | None:
        """See `query_state()` of measure/nvidia_smi.py."""
