"""Inference times of MobileNet-V2, or another network, on a CUDA GPU, by torch.cuda.Event."""

import argparse
from itertools import pairwise

from backbone.command import ending, flags
from backbone.command.errors import Failure
from backbone.command.options import TimerOptions
from backbone.measure import script


class CudaClock:
    """Marks on the GPU's own time line: events that the stream reaches between the kernels. The
    first pass makes them, the others record them again, which is all that they pay for."""

    def __init__(self) -> None:
        from torch.cuda import Event, current_stream

        self.new_event = Event
        self.stream = current_stream()
        self.events: list[Event] = []
        self.marks = 0

    def mark(self) -> None:
        """Mark the moment at which the stream gets here."""
        if self.marks == len(self.events):
            self.events.append(self.new_event(enable_timing=True))
        self.events[self.marks].record(self.stream)
        self.marks += 1

    def read(self) -> list[float]:
        """Milliseconds from each mark since the last call to the next; it waits for the last."""
        recorded = self.events[: self.marks]
        self.marks = 0
        recorded[-1].synchronize()
        return [start.elapsed_time(end) for start, end in pairwise(recorded)]


def make_parser() -> argparse.ArgumentParser:
    """The flags of this script."""
    return flags.timer_parser(__doc__)


def prepare(options: TimerOptions) -> None:
    """Raise Failure if there is no CUDA device."""
    from backbone.measure.machine import why_no_cuda

    if reason := why_no_cuda():
        raise Failure(f"{reason}; cpu/timer.py measures the CPU")


def describe(options: TimerOptions) -> dict[str, str | int]:
    """The conditions of a run on this GPU."""
    from backbone.measure.machine import describe_cuda

    return describe_cuda()


def main() -> None:
    script.main(make_parser(), script.Device("cuda", CudaClock, prepare, describe))


if __name__ == "__main__":
    ending.run(main)
