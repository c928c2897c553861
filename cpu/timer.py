"""Inference times of MobileNet-V2 on the CPU, by time.perf_counter."""

import sys
from itertools import pairwise
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backbone import cli


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
    flags = cli.timer_parser(__doc__)
    flags.add_argument(
        "--threads",
        type=cli.whole_number(1, 1024),
        help="intra-op threads; None is PyTorch's choice",
    )
    args = flags.parse_args()
    with cli.importing():
        import torch

        from backbone import timing

    if args.threads:
        torch.set_num_threads(args.threads)
    machine = {"threads": torch.get_num_threads()}
    timing.run(args, torch.device("cpu"), CpuClock(), machine)


if __name__ == "__main__":
    cli.run(main)
