"""What a pass costs the system beside time, by getrusage: page faults, system time, memory.

A minor page fault is the first touch of a page that the process has been given; a pass that gives
its memory back to the system and asks for it anew pays them each time.
"""

import sys
from collections.abc import Callable
from itertools import pairwise
from resource import RUSAGE_SELF, getrusage
from statistics import median
from typing import TypeVar

Argument, Result = TypeVar("Argument"), TypeVar("Result")


class FaultClock:
    """Counts minor page faults where a clock counts milliseconds."""

    def __init__(self) -> None:
        self.marks: list[int] = []

    def mark(self) -> None:
        self.marks.append(getrusage(RUSAGE_SELF).ru_minflt)

    def read(self) -> list[int]:
        marks, self.marks = self.marks, []
        return [end - start for start, end in pairwise(marks)]


class Usage:
    """The process's use of the system, pass by pass."""

    def __init__(self) -> None:
        self.faults: list[int] = []
        self.system: list[float] = []

    def watch(self, forward: Callable[[Argument], Result]) -> Callable[[Argument], Result]:
        """A pass with a reading before and one after it, outside its marks."""

        def watched(image: Argument) -> Result:
            before = getrusage(RUSAGE_SELF)
            output = forward(image)
            after = getrusage(RUSAGE_SELF)
            self.faults.append(after.ru_minflt - before.ru_minflt)
            self.system.append(after.ru_stime - before.ru_stime)
            return output

        return watched

    def page_faults(self, passes: int) -> int:
        """Minor page faults of a pass: the median of the last so many."""
        return round(median(self.faults[-passes:]))

    def of_run(self, passes: int) -> dict[str, int | float]:
        """The system time of a pass in seconds, the median of the last so many, and the process's
        peak resident memory in bytes."""
        unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
        return {
            "system_time": round(median(self.system[-passes:]), 6),
            "peak_resident_memory": getrusage(RUSAGE_SELF).ru_maxrss * unit,
        }
