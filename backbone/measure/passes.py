"""Passes: run, timed by a clock, and their page faults counted."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from backbone.command.options import TimerOptions
from backbone.measure.turns import Turns
from backbone.trace.instrument import CutPass

FAULT_PASSES = 3  # in which the page faults of each operation are counted
CONTEXT_BYTES = 2**29  # that a process has on a GPU beside its tensors, about


class Clock(Protocol):
    """What a timer brings of its own: how to mark a moment, and how to read the marks."""

    def mark(self) -> None:
        """Mark this moment, without waiting for anything."""

    def read(self) -> list[float]:
        """After a pass: milliseconds from each of its marks to the next."""


@dataclass(frozen=True)
class Passes:
    """Timed passes.

    samples: milliseconds from each mark to the next, shape (passes, intervals). page_faults,
    system_seconds: of each pass as a whole, outside its marks, shape (passes,). disturbances: what
    a record says of what has disturbed them, and of their turns.
    """

    samples: np.ndarray
    page_faults: np.ndarray
    system_seconds: np.ndarray
    disturbances: dict[str, float]


def run_passes(
    forward: Callable[[Tensor], Tensor], image: Tensor, clock: Clock, options: TimerOptions
) -> Passes:
    """Run a marked pass on an image (B, C, H, W), all at once or by turns, with a progress bar on a
    terminal. Raises Failure where the one who hands out turns has gone."""
    total = options.warmup + options.iterations
    with torch.inference_mode(), tqdm(total=total, disable=None, leave=False) as bar:
        series = _Series(forward, image, clock, bar)
        if options.turns is None:
            series.run_uncounted(options.warmup)
            series.run_counted(options.iterations)
        else:
            series.run_by_turns(Turns(*options.turns), options.warmup, options.iterations)
    return series.passes()


class _Series:
    """The passes of a run, as they are run."""

    def __init__(
        self, forward: Callable[[Tensor], Tensor], image: Tensor, clock: Clock, bar: tqdm
    ) -> None:
        self._forward = forward
        self._image = image
        self._clock = clock
        self._bar = bar
        self._readings: list[list[float]] = []
        self._page_faults: list[int] = []
        self._system_seconds: list[float] = []
        self._switches = 0
        self._stolen_seconds: float | None = 0.0
        self._of_the_round: dict[str, int] = {}
        self._last_seconds = 0.0  # that the last pass took

    def run_by_turns(self, turns: Turns, warmup: int, iterations: int) -> None:
        """Run the warm-up, of one pass at the least, and then the counted passes by turns. A turn's
        first pass finds caches and cores cold: it is run and not counted."""
        self.run_uncounted(max(1, warmup))
        turns.tell_ready(self._last_seconds, peak_resident_bytes(), *device_bytes(self._image))
        left = iterations
        while left > 0:
            passes = min(turns.wait(), left)
            self.run_uncounted(1)
            self.run_counted(passes)
            left -= passes
            turns.end(left)
        self._of_the_round = turns.fields

    def run_uncounted(self, passes: int) -> None:
        """Run passes that leave nothing behind."""
        for _ in range(passes):
            self._run_pass()

    def run_counted(self, passes: int) -> None:
        """Run passes and keep what is read of them."""
        stolen_before = stolen_seconds()
        for _ in range(passes):
            before = getrusage(RUSAGE_SELF)
            self._forward(self._image)
            after = getrusage(RUSAGE_SELF)
            self._page_faults.append(after.ru_minflt - before.ru_minflt)
            self._system_seconds.append(after.ru_stime - before.ru_stime)
            self._switches += after.ru_nivcsw - before.ru_nivcsw
            self._readings.append(self._clock.read())
            self._bar.update()
        stolen_after = stolen_seconds()
        if stolen_before is None or stolen_after is None:
            self._stolen_seconds = None
        else:
            self._stolen_seconds += stolen_after - stolen_before

    def passes(self) -> Passes:
        """The counted passes."""
        disturbances: dict[str, float] = {"involuntary_context_switches": self._switches}
        if self._stolen_seconds is not None:
            disturbances["stolen_time"] = round(self._stolen_seconds, 2)
        # Whole nanoseconds, one at the least: what a record holds (pyperf takes no zero).
        samples = np.maximum(np.round(self._readings, 6), 1e-6)
        return Passes(
            samples=samples,
            page_faults=np.array(self._page_faults),
            system_seconds=np.array(self._system_seconds),
            disturbances=disturbances | self._of_the_round,
        )

    def _run_pass(self) -> None:
        begun = perf_counter()
        self._forward(self._image)
        self._clock.read()
        self._last_seconds = perf_counter() - begun
        self._bar.update()


def count_faults(cut: CutPass, image: Tensor) -> list[int]:
    """The minor page faults of each part of a pass on an image (B, C, H, W), the medians of three
    passes whose marks count them."""
    counts: list[int] = []

    def mark() -> None:
        counts.append(getrusage(RUSAGE_SELF).ru_minflt)

    forward = cut.with_marks(mark)
    with torch.inference_mode():
        for _ in range(FAULT_PASSES):
            forward(image)
    faults = np.diff(np.reshape(counts, (FAULT_PASSES, -1)))
    return np.median(faults, axis=0).astype(int).tolist()


def stolen_seconds() -> float | None:
    """The time so far in which the host of a virtual machine ran something else on its processors,
    all together, by /proc/stat; None where there is none, as outside of Linux."""
    try:
        total = Path("/proc/stat").read_text().partition("\n")[0].split()
        return int(total[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None


def peak_resident_bytes() -> int:
    """The most memory that this process has had."""
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return getrusage(RUSAGE_SELF).ru_maxrss * unit


def device_bytes(image: Tensor) -> tuple[int, ...]:
    """Of the GPU that an image is on: the most that this process has had there, and what is free;
    nothing for an image on the CPU."""
    if not image.is_cuda:
        return ()
    free, _ = torch.cuda.mem_get_info(image.device)
    return torch.cuda.max_memory_reserved(image.device) + CONTEXT_BYTES, free
