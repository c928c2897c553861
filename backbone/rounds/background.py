"""Disturbances of a measurement from outside: other work, or a limit on processor time."""

import os
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from time import monotonic

from backbone.measure.available import available_processors, quota_of_processors

STAT = Path("/proc/stat")
BUSY = (1, 2, 3, 6, 7, 8)  # fields of a processor's line: user, nice, system, irq, softirq, steal
LEAST_SHARE = 0.2  # share of the processors below which other work is not mentioned


class Background:
    """Watches rounds and notes each kind of disturbance once."""

    def __init__(self) -> None:
        self._noted: set[str] = set()
        self._before: tuple[float, float, float] | None = None

    def start(self) -> None:
        """Start watching a round."""
        self._before = _now()

    def notes(self) -> list[str]:
        """After a round: a line about each kind of disturbance not noted before."""
        found = {"quota": _note_on_quota(), "other work": self._note_on_other_work()}
        new = {kind: note for kind, note in found.items() if note and kind not in self._noted}
        self._noted |= new.keys()
        return list(new.values())

    def _note_on_other_work(self) -> str | None:
        """A note on other processes, including processor time taken by a virtual machine's host."""
        after = _now()
        if self._before is None or after is None:
            return None
        seconds, busy, own = (end - begun for begun, end in zip(self._before, after, strict=True))
        others = (busy - own) / seconds
        processors = available_processors()
        if others < LEAST_SHARE * processors:
            return None
        return (
            f"other processes use {others:.1f} of {processors} processors: "
            "times are longer, and scatter more"
        )


def _note_on_quota() -> str | None:
    quota, processors = quota_of_processors(), available_processors()
    if quota is None or quota >= processors:
        return None
    return (
        f"a control group limits this process to {quota:g} of {processors} processors: "
        "times include waiting for the next period"
    )


def _now() -> tuple[float, float, float] | None:
    """In seconds: the current time, the processor time used on the processors available to this
    process, and that of this process and its finished children. None outside Linux."""
    try:
        lines = [line.split() for line in STAT.read_text().splitlines()]
        names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        ticks = sum(int(line[field]) for line in lines if line[0] in names for field in BUSY)
    except (OSError, AttributeError, IndexError, ValueError):
        return None
    usages = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
    own = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return monotonic(), ticks / os.sysconf("SC_CLK_TCK"), own
