"""Inference times of MobileNet-V2, or another network, on the CPU, by time.perf_counter."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backbone.command import ending, flags
from backbone.command.options import PYTORCH, TimerOptions
from backbone.network import catalog

if TYPE_CHECKING:
    from backbone.record.rows import Row


class CpuClock:
    """Marks by the processor's own counter."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def mark(self) -> None:
        """Mark this moment."""
        self.marks.append(perf_counter())

    def read(self) -> list[float]:
        """Milliseconds from each mark since the last call to the next."""
        marks = self.marks
        self.marks = []
        return [(end - start) * 1e3 for start, end in pairwise(marks)]


def parse_options(words: Sequence[str] | None = None) -> TimerOptions:
    """The options of the command line, or of these words."""
    parser = flags.timer_parser(__doc__)
    parser.add_argument("--threads", type=flags.positive, help="intra-op; None: PyTorch's choice")
    parser.add_argument(
        "--flush-denormal",
        action="store_true",
        help="denormal values taken for 0, by torch.set_flush_denormal",
    )
    parser.add_argument("--keep-memory", action="store_true", help="keep freed memory to use again")
    parser.add_argument(
        "--runtime", choices=flags.RUNTIMES, default=PYTORCH, help="what runs the network"
    )
    options = flags.timer_options(parser, words)
    flags.check_runtime(options, parser.error)
    catalog.check_named(options.workload, parser.error)
    return replace(
        options,
        iterations=options.share_of(options.iterations),
        warmup=options.share_of(options.warmup),
    )


def main() -> None:
    options = parse_options()
    with redirect_stdout(sys.stderr):  # which a user's own network may print to
        rows = measure(options)
    from backbone.report.text import format_rows

    print(format_rows(rows), end="")


def measure(options: TimerOptions) -> "list[Row]":
    """The rows of a network's passes, whose record is stored. Raises Failure."""
    from backbone.measure.allocator import check_environment, keep_freed_memory

    check_environment()
    if options.mode.keep_memory:
        keep_freed_memory()
    import torch

    from backbone.measure import machine
    from backbone.measure.timing import time_network, with_cost
    from backbone.measure.yardsticks import measure_yardsticks
    from backbone.network.build import build
    from backbone.network.modes import apply_mode, flush_denormals, make_ready
    from backbone.network.runtimes import describe_runtime
    from backbone.trace.observe import check_input

    if options.mode.flush_denormal:
        flush_denormals()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    runtime = describe_runtime(options.mode.runtime)
    clock = CpuClock()
    backbone, image = build(options.workload, torch.device("cpu"))
    image = apply_mode(backbone, image, options.mode)
    check_input(backbone, options.workload.input_shape)
    record = None
    if options.record_file is not None:
        from backbone.record.run_record import open_record  # it imports pyperf

        conditions = machine.describe_software() | machine.describe_cpu() | runtime
        conditions["keep_memory"] = str(options.mode.keep_memory)
        record = open_record(options, backbone.name, conditions)
    ready, made = make_ready(backbone, image, options.mode)
    rows, run = time_network(ready, image, clock, options)
    if record is not None:
        rows = record.store(with_cost(rows, backbone), made | run)
        record.amend(measure_yardsticks(options, ready, image, clock, record.known))
    return rows


if __name__ == "__main__":
    ending.run(main)
