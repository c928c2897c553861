"""Inference times of MobileNet-V2 on a CUDA GPU, by torch.cuda.Event."""

from itertools import pairwise

from backbone import cli


class CudaClock:
    """Marks on the GPU's own time line: events that the stream reaches between the kernels.

    Events are made once and recorded again in every pass, so that a pass pays for records alone.
    """

    def __init__(self) -> None:
        from torch.cuda import Event, current_stream

        self.new_event, self.stream = Event, current_stream()
        self.events, self.marks = [], 0

    def mark(self) -> None:
        if self.marks == len(self.events):
            self.events.append(self.new_event(enable_timing=True))
        self.events[self.marks].record(self.stream)
        self.marks += 1

    def read(self) -> list[float]:
        events, self.marks = self.events[: self.marks], 0
        events[-1].synchronize()
        return [start.elapsed_time(end) for start, end in pairwise(events)]


def main() -> None:
    args = cli.timer_parser(__doc__).parse_args()
    with cli.importing():
        import torch

        from backbone import timing

    if not torch.cuda.is_available():
        raise cli.Failure("no CUDA device here; cpu/timer.py measures the CPU")
    machine = {
        "device": torch.cuda.get_device_name(),
        "cuda_version": str(torch.version.cuda),
        "cudnn_version": str(torch.backends.cudnn.version()),
        "cudnn_allow_tf32": str(torch.backends.cudnn.allow_tf32),
    }
    timing.run(args, torch.device("cuda"), CudaClock(), machine)


if __name__ == "__main__":
    cli.run(main)
