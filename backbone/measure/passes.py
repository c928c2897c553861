"""Passes: run, timed by a clock, and their page faults counted."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from resource import RUSAGE_SELF, getrusage
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from backbone.network.build import Backbone
from backbone.trace.instrument import mark_pass

FAULT_PASSES = 3  # in which the page faults of each operation are counted


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
    system_seconds: of each pass as a whole, outside its marks, shape (passes,).
    """

    samples: np.ndarray
    page_faults: np.ndarray
    system_seconds: np.ndarray


def run_passes(
    forward: Callable[[Tensor], Tensor], image: Tensor, clock: Clock, warmup: int, iterations: int
) -> Passes:
    """Run a marked pass on an image (B, C, H, W), with a progress bar on a terminal."""
    readings: list[list[float]] = []
    faults: list[int] = []
    seconds: list[float] = []
    total = warmup + iterations
    with torch.inference_mode(), tqdm(total=total, disable=None, leave=False) as bar:
        for _ in range(total):
            before = getrusage(RUSAGE_SELF)
            forward(image)
            after = getrusage(RUSAGE_SELF)
            faults.append(after.ru_minflt - before.ru_minflt)
            seconds.append(after.ru_stime - before.ru_stime)
            readings.append(clock.read())
            bar.update()
    # Whole nanoseconds, one at the least: what a record holds (pyperf takes no zero).
    samples = np.maximum(np.round(readings[warmup:], 6), 1e-6)
    return Passes(samples, np.array(faults[warmup:]), np.array(seconds[warmup:]))


def count_faults(backbone: Backbone, image: Tensor) -> list[int]:
    """The minor page faults of each operation in a pass on an image (B, C, H, W), the medians of
    three passes whose marks count them."""
    counts: list[int] = []

    def mark() -> None:
        counts.append(getrusage(RUSAGE_SELF).ru_minflt)

    marked = mark_pass(backbone, list(image.shape), "layer", mark)
    with torch.inference_mode():
        for _ in range(FAULT_PASSES):
            marked.forward(image)
    faults = np.diff(np.reshape(counts, (FAULT_PASSES, -1)))
    return np.median(faults, axis=0).astype(int).tolist()


def peak_resident_bytes() -> int:
    """The most memory that this process has had."""
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return getrusage(RUSAGE_SELF).ru_maxrss * unit
