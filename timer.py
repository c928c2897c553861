"""Inference times of MobileNet-V2, or another network, on a CUDA GPU, by torch.cuda.Event."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from backbone.command import ending, flags
from backbone.command.errors import Failure
from backbone.command.options import TimerOptions
from backbone.network import catalog

if TYPE_CHECKING:
    from backbone.record.rows import Row


class CudaClock:
    """Marks on the GPU's own time line: events that the stream reaches between the kernels. They
    are made once and recorded again in every pass, which so pays for records alone."""

    def __init__(self) -> None:
        from torch.cuda import Event, current_stream

        self.new_event = Event
        self.stream = current_stream()
        self.events: list[Event] = []
        self.marks = 0

    def mark(self) -> None:
        """Mark the moment at which the stream comes here."""
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


def parse_options(words: Sequence[str] | None = None) -> TimerOptions:
    """The options of the command line, or of these words."""
    parser = flags.timer_parser(__doc__)
    options = flags.timer_options(parser, words)
    catalog.check_named(options.workload, parser.error)
    # Each process has the whole warm-up: a GPU's clocks rise in each.
    return replace(options, iterations=options.share_of(options.iterations))


def main() -> None:
    options = parse_options()
    with redirect_stdout(sys.stderr):  # which a user's own network may print to
        rows = measure(options)
    from backbone.report.text import format_rows

    print(format_rows(rows), end="")


def measure(options: TimerOptions) -> "list[Row]":
    """The rows of a network's passes, whose record is stored. Raises Failure."""
    import torch

    from backbone.measure import machine
    from backbone.measure.timing import time_network, with_cost
    from backbone.measure.yardsticks import measure_yardsticks
    from backbone.network.build import build
    from backbone.network.modes import apply_mode, make_ready
    from backbone.trace.observe import check_input

    if reason := machine.why_no_cuda():
        raise Failure(f"{reason}; cpu/timer.py measures the CPU")
    clock = CudaClock()
    backbone, image = build(options.workload, torch.device("cuda"))
    image = apply_mode(backbone, image, options.mode)
    check_input(backbone, options.workload.input_shape)
    record = None
    if options.record_file is not None:
        from backbone.record.run_record import open_record  # it imports pyperf

        conditions = machine.describe_software() | machine.describe_cuda()
        record = open_record(options, backbone.name, conditions)
    ready, made = make_ready(backbone, image, options.mode)
    rows, run = time_network(ready, image, clock, options)
    if record is not None:
        rows = record.store(with_cost(rows, backbone), made | run)
        record.amend(measure_yardsticks(options, ready, image, clock, record.known))
    return rows


if __name__ == "__main__":
    ending.run(main)
