"""Runs passes, times them by a clock, and counts their page faults."""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from backbone.command.options import TimerOptions
from backbone.measure.clocks import Clock, GpuClock
from backbone.measure.nvidia_smi import GpuState
from backbone.measure.queued import run_queued
from backbone.measure.turns import Turns
from backbone.trace.instrument import CutPass

FAULT_PASSES = 3  # passes in which the page faults of each operation are counted
PER_OTHER = 10  # timed passes per uncut pass, and per queued pass
WARM_SECONDS = 0.3  # of untimed passes before a turn on a GPU, whose clock rises under load
CONTEXT_BYTES = 2**29  # of a process on a GPU beside its tensors, roughly


@dataclass
class Passes:
    """The timed passes of a run.

    readings: milliseconds between consecutive marks, pass by pass. page_faults, system_seconds: per
    pass. switches: involuntary context switches in all passes. stolen_seconds: see
    `stolen_seconds()`. first_seconds, last_seconds: durations of the very first pass and of the
    last untimed pass. uncut: milliseconds of passes that are not cut into parts; empty if no pass
    is cut. On a GPU: enqueue_seconds, the host's time per timed pass; queued, the readings of
    passes that started after they were fully enqueued; states, the GPU's at the end of each turn.
    """

    readings: list[list[float]] = field(default_factory=list)
    page_faults: list[int] = field(default_factory=list)
    system_seconds: list[float] = field(default_factory=list)
    switches: int = 0
    stolen_seconds: float | None = 0.0
    first_seconds: float = 0.0
    last_seconds: float = 0.0
    uncut: list[float] = field(default_factory=list)
    enqueue_seconds: list[float] = field(default_factory=list)
    queued: list[list[float]] = field(default_factory=list)
    states: list[GpuState] = field(default_factory=list)

    @property
    def samples(self) -> np.ndarray:
        """Milliseconds, shape (passes, intervals), rounded to whole nanoseconds and at least one,
        since pyperf rejects zero."""
        return np.maximum(np.round(self.readings, 6), 1e-6)

    @property
    def fields(self) -> dict[str, float | str]:
        """A record's fields about disturbances of the passes and about a GPU's launches and
        clocks."""
        fields: dict[str, float | str] = {"involuntary_context_switches": self.switches}
        if self.stolen_seconds is not None:
            fields["stolen_time"] = round(self.stolen_seconds, 2)
        if self.uncut:
            cut = np.median(np.sum(self.readings, axis=1))
            fields["cut_over_uncut"] = round(float(cut / np.median(self.uncut)), 6)
        if self.enqueue_seconds:
            fields["enqueue_time"] = round(float(np.median(self.enqueue_seconds)), 9)
        if self.states:
            fields["sm_clocks"] = " ".join(str(state.sm) for state in self.states)
            fields["memory_clocks"] = " ".join(str(state.memory) for state in self.states)
            fields["throttle_reasons"] = " ".join(hex(state.reasons) for state in self.states)
        return fields


def run_passes(
    forward: Callable[[Tensor], Tensor],
    image: Tensor,
    clock: Clock,
    options: TimerOptions,
    turns: Turns | None = None,
    uncut: Callable[[Tensor], Tensor] | None = None,
) -> Passes:
    """Time a marked pass on an image (B, C, H, W). Without turns, run the number of passes in the
    options, with a progress bar on a terminal; otherwise run the passes that the parent process
    requests in each turn. On a GPU, untimed passes run for at least 0.3 s before the timed ones,
    and each turn also runs some queued passes. uncut: a pass that is timed a few times after the
    others (the untimed pass of the next turn restores the heap). Raises Failure if the parent
    process has exited."""
    passes = Passes()
    gpu = clock if isinstance(clock, GpuClock) else None
    total = options.warmup + options.iterations
    no_bar = None if turns is None else True  # None: only if stderr is a terminal
    with torch.inference_mode(), tqdm(total=total, disable=no_bar, leave=False) as bar:

        def run_untimed_pass() -> None:
            begun = perf_counter()
            forward(image)
            clock.read()
            passes.last_seconds = perf_counter() - begun
            passes.first_seconds = passes.first_seconds or passes.last_seconds

        def run_untimed(number: int) -> None:
            until = perf_counter() + (0 if gpu is None else WARM_SECONDS)
            for _ in range(number):
                run_untimed_pass()
                bar.update()
            while perf_counter() < until:
                run_untimed_pass()

        def run_timed(number: int) -> None:
            stolen_before = stolen_seconds()
            for _ in range(number):
                before = getrusage(RUSAGE_SELF)
                begun = perf_counter()
                forward(image)
                enqueued = perf_counter()
                after = getrusage(RUSAGE_SELF)
                passes.page_faults.append(after.ru_minflt - before.ru_minflt)
                passes.system_seconds.append(after.ru_stime - before.ru_stime)
                passes.switches += after.ru_nivcsw - before.ru_nivcsw
                passes.readings.append(clock.read())
                if gpu is not None:
                    passes.enqueue_seconds.append(enqueued - begun)
                passes.first_seconds = passes.first_seconds or sum(passes.readings[0]) / 1e3
                bar.update()
            others = ceil(number / PER_OTHER)
            if uncut is not None:
                for _ in range(others):
                    uncut(image)
                    passes.uncut += clock.read()
            stolen_after = stolen_seconds()
            if stolen_before is None or stolen_after is None:
                passes.stolen_seconds = None
            else:
                passes.stolen_seconds += stolen_after - stolen_before
            if gpu is not None:
                passes.queued += run_queued(forward, image, gpu, others, passes.enqueue_seconds)
                if state := gpu.query_state(run_untimed_pass):
                    passes.states.append(state)

        if turns is None:
            run_untimed(options.warmup)
            run_timed(options.iterations)
            return passes
        turns.wait_for_start()
        run_untimed(max(1, options.warmup))
        turns.tell_ready(passes.last_seconds, peak_resident_bytes(), *device_bytes(image))
        while (timed := turns.wait()) is not None:
            run_untimed(1)  # it finds caches and cores cold
            run_timed(timed)
            turns.end()
        return passes


def count_faults(cut: CutPass, image: Tensor) -> list[int]:
    """The minor page faults of each part of a pass on an image (B, C, H, W): medians over three
    passes whose marks read the count."""
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
    """The total time, summed over processors, in which a virtual machine's host ran something else,
    from /proc/stat; None if unknown, such as outside Linux."""
    try:
        total = Path("/proc/stat").read_text().partition("\n")[0].split()
        return int(total[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None


def peak_resident_bytes() -> int:
    """The peak resident memory of this process. On Linux it is VmHWM (proc_pid_status(5)), because
    getrusage()'s ru_maxrss is preserved across execve(2): it includes the peak of the process that
    started this one."""
    try:
        peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        peak = None
    if peak:
        return int(peak[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return getrusage(RUSAGE_SELF).ru_maxrss * unit


def device_bytes(image: Tensor) -> tuple[int, ...]:
    """For the GPU that holds an image: this process's peak there, and the free memory; empty for an
    image on the CPU."""
    if not image.is_cuda:
        return ()
    free, _ = torch.cuda.mem_get_info(image.device)
    return torch.cuda.max_memory_reserved(image.device) + CONTEXT_BYTES, free
