"""Inference times of MobileNet-V2, or another network, on the CPU, by time.perf_counter."""

import ctypes
import sys
from itertools import pairwise
from math import ceil
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backbone import flags, script


class CpuClock:
    """Marks by the processor's own counter."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def mark(self) -> None:
        self.marks.append(perf_counter())

    def read(self) -> list[float]:
        marks, self.marks = self.marks, []
        return [(end - start) * 1e3 for start, end in pairwise(marks)]


def keep_freed_memory() -> None:
    """Have the C library keep what is freed for the next allocation, however large: to give it back
    and ask for it anew costs a page fault a page. Source: mallopt(3) of glibc. Raises
    script.Failure where there is none."""
    M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if not (mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1)):
        raise script.Failure("--keep-memory needs glibc's mallopt, which the C library here lacks")


def main() -> None:
    parser = flags.timer_parser(__doc__)
    parser.add_argument("--threads", type=flags.positive, help="intra-op; None: PyTorch's choice")
    parser.add_argument("--keep-memory", action="store_true", help="keep freed memory to use again")
    args = flags.parse_timer(parser)
    args.warmup = ceil(args.warmup / args.rounds)  # a GPU's clocks must rise in each process
    if args.keep_memory:
        keep_freed_memory()
    import torch

    from backbone import machine, timing

    if args.threads:
        torch.set_num_threads(args.threads)
    about = machine.describe_cpu() | {"keep_memory": str(args.keep_memory)}
    timing.report_times(args, torch.device("cpu"), CpuClock(), about)


if __name__ == "__main__":
    script.run(main)
