"""Inference times of MobileNet-V2, or another network, on a CUDA GPU, by torch.cuda.Event."""

from itertools import pairwise

from backbone import flags, script


class CudaClock:
    """Marks on the GPU's own time line: events that the stream reaches between the kernels. They
    are made once and recorded again in every pass, which so pays for records alone."""

    def __init__(self) -> None:
        from torch.cuda import Event, current_stream

        self.new_event, self.stream = Event, current_stream()
        self.events, self.used = [], 0

    def mark(self) -> None:
        if self.used == len(self.events):
            self.events.append(self.new_event(enable_timing=True))
        self.events[self.used].record(self.stream)
        self.used += 1

    def read(self) -> list[float]:
        events, self.used = self.events[: self.used], 0
        events[-1].synchronize()
        return [start.elapsed_time(end) for start, end in pairwise(events)]


def main() -> None:
    args = flags.parse_timer(flags.timer_parser(__doc__))
    import torch

    from backbone import machine, timing

    if reason := machine.why_no_cuda():
        raise script.Failure(f"{reason}; cpu/timer.py measures the CPU")
    timing.report_times(args, torch.device("cuda"), CudaClock(), machine.describe_cuda())


if __name__ == "__main__":
    script.run(main)
