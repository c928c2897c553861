"""Inference time of MobileNet-V2 or another network on the CPU, by time.perf_counter."""

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backbone.command import ending, flag_types, flags
from backbone.command.options import PYTORCH, TimerOptions
from backbone.measure import script


class CpuClock:
    """Marks by time.perf_counter()."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def mark(self) -> None:
        """Mark this moment."""
        self.marks.append(perf_counter())

    def read(self) -> list[float]:
        """The milliseconds between consecutive marks since the last call."""
        marks = self.marks
        self.marks = []
        return [(end - start) * 1e3 for start, end in pairwise(marks)]


def make_parser() -> argparse.ArgumentParser:
    """A parser with the flags of this script."""
    parser = flags.timer_parser(__doc__)
    parser.add_argument(
        "--threads", type=flag_types.threads, help="intra-op threads (default: PyTorch's choice)"
    )
    parser.add_argument(
        "--keep-memory", action="store_true", help="keep freed memory in the process for reuse"
    )
    parser.add_argument(
        "--runtime",
        choices=flags.RUNTIMES,
        default=PYTORCH,
        help="runtime that executes the network (default: %(default)s)",
    )
    return parser


def prepare(options: TimerOptions) -> None:
    """Set up allocator and threads. Raises Failure if the requested settings are not available."""
    from backbone.measure.allocator import check_environment, keep_freed_memory

    check_environment()
    if options.mode.keep_memory:
        keep_freed_memory()
    import torch

    from backbone.network.runtimes import describe_runtime

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    describe_runtime(options.mode.runtime)  # report a missing runtime before the passes


def describe(options: TimerOptions) -> dict[str, str | int]:
    """The conditions of a run on the CPU."""
    from backbone.measure.machine import describe_cpu
    from backbone.network.runtimes import describe_runtime

    kept = {"keep_memory": str(options.mode.keep_memory)}
    return describe_cpu() | describe_runtime(options.mode.runtime) | kept


def main() -> None:
    script.main(make_parser(), script.Device("cpu", CpuClock, prepare, describe))


if __name__ == "__main__":
    ending.run(main)
