"""When a measurement stops: after a fixed number of rounds, or at a look.

A look is a round after which intervals are evaluated and the measurement may stop. Looking several
times with ordinary 95 % intervals, and stopping when one excludes 1, would be wrong in far more
than 5 % of measurements. So each look uses one stricter level, chosen so that at most 5 % of
measurements miss the truth at any of their looks. The level depends on no unknown: for normal
values, Student's t does not depend on their mean and standard deviation. tools/simulation.py finds
it. Source: Pocock, "Group sequential methods in the design and analysis of clinical
trials", Biometrika 64(2), 1977, with Student's t in place of a known variance.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from backbone.statistics.intervals import ORDINARY_LEVEL, Interval, reach

LOOKS = (5, 8, 12, 16, 20)  # rounds
LEVEL = 0.0148  # of each look
BY_LOOKS = "looks"
FIXED = "fixed"
SAME = 2  # default percentage within which two commands are called the same


@dataclass(frozen=True)
class StopRule:
    """rounds: the exact number of rounds; None to stop at a look, at the latest at the last one."""

    rounds: int | None = None

    @property
    def name(self) -> str:
        """The rule's name in a record."""
        return BY_LOOKS if self.rounds is None else FIXED

    @property
    def description(self) -> str:
        """The rule in words, distinct for distinct rules."""
        if self.rounds is None:
            return f"at level {LEVEL} after rounds {', '.join(map(str, LOOKS))}"
        return f"after {self.rounds} round{'s' if self.rounds > 1 else ''}"

    @property
    def first(self) -> int:
        """The first round after which a measurement may stop."""
        return LOOKS[0] if self.rounds is None else self.rounds

    @property
    def last(self) -> int:
        """The last round, if nothing stops earlier."""
        return LOOKS[-1] if self.rounds is None else self.rounds

    @property
    def level(self) -> float:
        """The level of the intervals."""
        return LEVEL if self.rounds is None else ORDINARY_LEVEL

    def is_look(self, number: int, least: int) -> bool:
        """Whether a measurement may stop after this round. least: the first round at which it
        may."""
        return self.rounds is None and number in LOOKS and number >= least

    def round_within(self, half_width: float, scatter: float, number: int, least: int) -> int:
        """The look, after round `number`, at which an interval is expected to reach a half-width on
        the log scale, given the scatter of the values; otherwise the last round."""
        if self.rounds is None:
            for look in LOOKS:
                is_to_come = look >= max(number, least)
                if is_to_come and reach(look, self.level) * scatter <= half_width:
                    return look
        return self.last


def level_of(conditions: Mapping[str, object]) -> float:
    """The level of the intervals of a record with these conditions, from its stop rule."""
    return LEVEL if conditions.get("stop_rule") == BY_LOOKS else ORDINARY_LEVEL


def judge(speed_up: Interval, same: float) -> str:
    """The verdict from the interval of a ratio: "same" if it lies within `same` percent of 1,
    otherwise "faster" or "slower" if it excludes 1, otherwise "undecided"."""
    if speed_up.low is None:
        return "undecided"
    margin = 1 + same / 100
    if 1 / margin <= speed_up.low and speed_up.high <= margin:
        return "same"
    if speed_up.low > 1:
        return "faster"
    if speed_up.high < 1:
        return "slower"
    return "undecided"
