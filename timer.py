"""Inference time of MobileNet-V2 or another network on a CUDA GPU, by torch.cuda.Event."""

import argparse
from collections.abc import Callable
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

from backbone.command import ending, flags
from backbone.command.errors import Failure
from backbone.command.options import TimerOptions
from backbone.measure import script

if TYPE_CHECKING:
    from backbone.measure.nvidia_smi import GpuState

CYCLES = 10**6  # of a first hold, which measures the clock rate


class CudaClock:
    """Marks as CUDA events that the stream reaches between kernels. The first pass creates the
    events; later passes only record them again."""

    def __init__(self) -> None:
        from torch.cuda import Event, current_stream

        self.new_event = Event
        self.stream = current_stream()
        self.events: list[Event] = []
        self.marks = 0
        self.cycles_per_ms = 0.0

    def mark(self) -> None:
        """Mark the moment at which the stream reaches this point."""
        if self.marks == len(self.events):
            self.events.append(self.new_event(enable_timing=True))
        self.events[self.marks].record(self.stream)
        self.marks += 1

    def read(self) -> list[float]:
        """The milliseconds between consecutive marks since the last call; waits for the last
        mark."""
        recorded = self.events[: self.marks]
        self.marks = 0
        recorded[-1].synchronize()
        return [start.elapsed_time(end) for start, end in pairwise(recorded)]

    def hold(self, milliseconds: float) -> None:
        """Keep the GPU busy for roughly this long, assuming its clock rate at the first call."""
        from torch.cuda import _sleep

        if not self.cycles_per_ms:
            _sleep(1)  # the first one loads the kernel
            self.mark()
            _sleep(CYCLES)
            self.mark()
            self.cycles_per_ms = CYCLES / self.read()[0]
        _sleep(ceil(milliseconds * self.cycles_per_ms))

    def is_held(self) -> bool:
        """Whether the stream has yet to reach the first mark since the last reading."""
        return not self.events[0].query()

    def query_state(self, keep_busy: Callable[[], object]) -> "GpuState | None":
        """The GPU's state under load; see `query_state()` in measure/nvidia_smi.py."""
        from backbone.measure.machine import gpu_id
        from backbone.measure.nvidia_smi import query_state

        return query_state(gpu_id(), keep_busy)


def make_parser() -> argparse.ArgumentParser:
    """A parser with the flags of this script."""
    parser = flags.timer_parser(__doc__)
    parser.add_argument(
        "--cuda-graph", action="store_true", help="launch the pass as one captured CUDA graph"
    )
    return parser


def prepare(options: TimerOptions) -> None:
    """Raise Failure if there is no CUDA device or this process cannot use it."""
    from backbone.measure.machine import why_gpu_is_closed, why_no_cuda

    if reason := why_no_cuda():
        raise Failure(f"{reason}; cpu/timer.py measures the CPU")
    if reason := why_gpu_is_closed():
        raise Failure(reason)


def describe(options: TimerOptions) -> dict[str, str | int]:
    """The conditions of a run on the current GPU."""
    from backbone.measure.machine import describe_cuda

    return describe_cuda()


def main() -> None:
    script.main(make_parser(), script.Device("cuda", CudaClock, prepare, describe))


if __name__ == "__main__":
    ending.run(main)
