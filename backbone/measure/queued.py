"""Queued passes of a GPU, which start after the host has enqueued the whole pass.

A GPU that waits for launches runs at the host's pace. So a kernel that does nothing holds the
stream until everything to be timed is in the queue, like nvbench's blocking kernel.
"""

from collections.abc import Callable, Sequence
from statistics import median

from torch import Tensor

from backbone.measure.clocks import GpuClock

HOLDS = (2, 8, 32)  # multiples of the host's time per pass, tried until one is long enough
LEAST_HOLD = (
    1.0  # milliseconds, since enqueueing a captured pass takes less than the host's scatter
)
MARKS = 200
HOLD_OF_MARKS = 20  # milliseconds; the host takes one or two


def run_queued(
    forward: Callable[[Tensor], object],
    image: Tensor,
    clock: GpuClock,
    number: int,
    enqueue_seconds: Sequence[float],
) -> list[list[float]]:
    """The readings of up to `number` marked passes on an image (B, C, H, W). The GPU starts each
    pass only after the host has enqueued all of it. There are fewer readings, or none, if the
    forward waits for the GPU or has more launches than the GPU's queue holds. enqueue_seconds: the
    host's time to enqueue earlier passes."""
    readings: list[list[float]] = []
    host_ms = 1e3 * median(enqueue_seconds)
    holds = iter(HOLDS)
    hold = next(holds)
    while len(readings) < number:
        clock.hold(max(LEAST_HOLD, hold * host_ms))
        forward(image)
        is_queued = clock.is_held()
        reading = clock.read()
        if is_queued:
            readings.append(reading)
        elif (hold := next(holds, None)) is None:
            break
    return readings


def measure_mark(clock: GpuClock) -> float | None:
    """The milliseconds that a mark takes on the GPU: the median between 200 consecutive marks. None
    if the host was too slow to enqueue them."""
    clock.hold(HOLD_OF_MARKS)
    for _ in range(MARKS):
        clock.mark()
    is_queued = clock.is_held()
    intervals = clock.read()
    return median(intervals) if is_queued else None
