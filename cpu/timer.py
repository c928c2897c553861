"""Inference times of MobileNet-V2 on the CPU, by time.perf_counter."""

import sys
from itertools import pairwise
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


def main() -> None:
    parser = flags.timer_parser(__doc__)
    parser.add_argument(
        "--threads",
        type=flags.whole_number(1, 1024),
        help="intra-op threads; None is PyTorch's choice",
    )
    args = parser.parse_args()
    with script.importing():
        import torch

        from backbone import machine, timing

    if args.threads:
        torch.set_num_threads(args.threads)
    timing.report_times(args, torch.device("cpu"), CpuClock(), machine.describe_cpu())


if __name__ == "__main__":
    script.run(main)
