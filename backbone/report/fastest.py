"""The fastest modes of an input, overall and by category."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from backbone.record.stored import StoredMode, StoredModes
from backbone.statistics.intervals import Interval
from backbone.statistics.looks import SAME, judge
from backbone.statistics.ratios import speed_up


@dataclass(frozen=True)
class Category:
    """A category of modes, of which the fastest is shown. includes: whether a mode belongs to
    it."""

    title: str
    includes: Callable[[StoredMode], bool]


EXACT = Category("with identical output", lambda mode: mode.is_exact)
FLOAT32 = Category("in float32", lambda mode: mode.mode.dtype == "float32")
ALL = Category("overall", lambda mode: True)
CATEGORIES = (EXACT, FLOAT32, ALL)


def over(modes: StoredModes, mode: StoredMode, other: StoredMode) -> Interval | None:
    """The speed-up of one mode over another; None if they share no round."""
    return speed_up(mode.record, other.record, modes.stock.record)


def by_speed(modes: StoredModes) -> list[StoredMode]:
    """The modes of an input, fastest first, then modes that share no round with stock."""

    def slowness(mode: StoredMode) -> float:
        ratio = over(modes, mode, modes.stock)
        return inf if ratio is None else -ratio.mean

    return sorted(modes.modes, key=slowness)


def ranked_modes(modes: StoredModes, category: Category = ALL) -> list[tuple[StoredMode, Interval]]:
    """The modes of an input with their speed-up over stock, fastest first; without training mode,
    which computes another function."""
    ratios = [
        (mode, over(modes, mode, modes.stock))
        for mode in by_speed(modes)
        if not mode.is_stock and not mode.mode.train and category.includes(mode)
    ]
    return [(mode, ratio) for mode, ratio in ratios if ratio]


def fastest_modes(
    modes: StoredModes, category: Category = ALL
) -> list[tuple[StoredMode, Interval]]:
    """Like `ranked_modes()`, but only the modes that are certainly faster than stock."""
    ranked = ranked_modes(modes, category)
    return [(mode, ratio) for mode, ratio in ranked if judge(ratio, SAME) == "faster"]


def fastest_by_precision(
    modes: StoredModes, category: Category = ALL
) -> dict[str, tuple[StoredMode, Interval]]:
    """By dtype, the fastest mode of a category that is certainly faster than stock, with its
    speed-up; the slowest of these modes first."""
    fastest: dict[str, tuple[StoredMode, Interval]] = {}
    for mode, ratio in fastest_modes(modes, category):
        fastest.setdefault(mode.mode.dtype, (mode, ratio))
    return dict(reversed(fastest.items()))
