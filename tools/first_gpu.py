"""Measurements for a first session on a GPU that timers do not report: how fast the clock rises
after a pause, whether a whole pass can be queued, and which kernels it runs.

tools/first_gpu.sh runs this together with everything else that a first session needs.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from backbone.command import ending
from backbone.command.options import DATASETS, Workload
from backbone.measure.queued import run_queued
from backbone.network.build import build
from backbone.trace.instrument import cut_pass, mark_uncut
from timer import CudaClock

WARMUP = 25
PAUSE = 5  # seconds, for the clock to fall
PASSES = 400  # passes during which it rises; every 20th is printed
QUEUED = 20


def show(dataset: str, device: str) -> None:
    """Print the measurements of MobileNet-V2 for an input."""
    backbone, image = build(Workload(dataset=dataset), device)
    clock = CudaClock()
    cut = cut_pass(backbone, list(image.shape), "layer")
    forwards = {"whole": mark_uncut(backbone.network, clock.mark)}
    forwards |= {"layers": cut.with_marks(clock.mark)}
    for name, forward in forwards.items():
        for _ in range(WARMUP):
            begun = time.perf_counter()
            forward(image)
            host = time.perf_counter() - begun
            clock.read()
        queued = run_queued(forward, image, clock, QUEUED, [host])
        spans = [f"{sum(rows):.3f}" for rows in queued]
        print(f"{dataset}, {name}: enqueued in {1e3 * host:.3f} ms, queued: {spans} ms")
    time.sleep(PAUSE)
    times = []
    for _ in range(PASSES):
        forwards["whole"](image)
        times += clock.read()
    print(f"{dataset}, after a pause: {[round(ms, 3) for ms in times[::20]]} ms")
    with torch.profiler.profile() as profile:
        backbone.network(image)
    sums = profile.key_averages()
    print(sums.table(sort_by="self_device_time_total", row_limit=12, max_name_column_width=60))


def main() -> None:
    with torch.inference_mode():
        for dataset in DATASETS:
            show(dataset, "cuda")


if __name__ == "__main__":
    ending.run(main)
