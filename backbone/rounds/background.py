"""What else the machine does during a measurement."""

import os
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from time import monotonic

from backbone.measure.available import available_processors

STAT = Path("/proc/stat")
BUSY = (1, 2, 3, 6, 7, 8)  # fields of a processor's line: user, nice, system, irq, softirq, steal
TICKS = 100  # per second, in /proc/stat (USER_HZ)
LEAST_SHARE = 0.2  # of the processors, below which other work is not mentioned


class Background:
    """Notes, once, if other processes, or the host of a virtual machine, take processor time."""

    def __init__(self) -> None:
        self._has_noted = False
        self._before: tuple[float, float, float] | None = None

    def start(self) -> None:
        """A round begins."""
        self._before = _now()

    def note(self) -> str | None:
        """After a round: one line if other work took a part of the machine's processors during it,
        unless that has been said before; otherwise None. (The host of a virtual machine
        counts as other work: it takes time from all of its processors.)"""
        after = _now()
        if self._has_noted or self._before is None or after is None:
            return None
        seconds, busy, own = (end - begun for begun, end in zip(self._before, after, strict=True))
        others = (busy - own) / seconds
        processors = available_processors()
        if others < LEAST_SHARE * processors:
            return None
        self._has_noted = True
        return (
            f"other processes use {others:.1f} of {processors} processors: "
            "times are longer, and scatter more"
        )


def _now() -> tuple[float, float, float] | None:
    """Seconds: the time; what the processors of this process have worked; and of that, what it and
    those of its children that have ended have. None outside of Linux."""
    try:
        lines = [line.split() for line in STAT.read_text().splitlines()]
        names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        ticks = sum(int(line[field]) for line in lines if line[0] in names for field in BUSY)
    except (OSError, AttributeError, IndexError, ValueError):
        return None
    usages = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
    own = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return monotonic(), ticks / TICKS, own
