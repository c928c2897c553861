"""Inference times of MobileNet-V2, or another network, on the CPU, by time.perf_counter."""

import ctypes
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backbone.command import ending, flags
from backbone.command.errors import Failure
from backbone.command.options import TimerOptions
from backbone.network import catalog


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


def keep_freed_memory() -> None:
    """Have the C library keep what is freed for the next allocation, however large: to give it back
    and ask for it anew costs a page fault a page. Source: mallopt(3) of glibc. Raises
    Failure where there is none."""
    M_TRIM_THRESHOLD = -1
    M_MMAP_MAX = -4
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if not (mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1)):
        raise Failure("--keep-memory needs glibc's mallopt, which the C library here lacks")


def parse_options(words: Sequence[str] | None = None) -> TimerOptions:
    """The options of the command line, or of these words."""
    parser = flags.timer_parser(__doc__)
    parser.add_argument("--threads", type=flags.positive, help="intra-op; None: PyTorch's choice")
    parser.add_argument("--keep-memory", action="store_true", help="keep freed memory to use again")
    options = flags.timer_options(parser, words)
    catalog.check_named(options.workload, parser.error)
    return replace(
        options,
        iterations=options.share_of(options.iterations),
        warmup=options.share_of(options.warmup),
    )


def main() -> None:
    options = parse_options()
    if options.mode.keep_memory:
        keep_freed_memory()
    import torch

    from backbone.measure import machine
    from backbone.measure.timing import time_network, with_cost
    from backbone.measure.yardsticks import measure_yardsticks
    from backbone.network.build import build
    from backbone.network.modes import apply_mode, compile_network
    from backbone.report.text import format_rows
    from backbone.trace.observe import check_input

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    clock = CpuClock()
    backbone, image = build(options.workload, torch.device("cpu"))
    check_input(backbone, options.workload.input_shape, training=options.mode.train)
    image = apply_mode(backbone, image, options.mode)
    record = None
    if options.record_file is not None:
        from backbone.record.run_record import open_record  # it imports pyperf

        conditions = machine.describe_software() | machine.describe_cpu()
        conditions["keep_memory"] = str(options.mode.keep_memory)
        record = open_record(options, backbone.name, conditions)
    compiled = compile_network(backbone.network, image) if options.mode.compile else {}
    rows, run = time_network(backbone, image, clock, options)
    if record is not None:
        rows = record.store(with_cost(rows, backbone), compiled | run)
        record.amend(measure_yardsticks(options, backbone, image, clock))
    print(format_rows(rows), end="")


if __name__ == "__main__":
    ending.run(main)
