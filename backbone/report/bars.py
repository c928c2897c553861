"""Horizontal bars with their values and intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from backbone.statistics.intervals import Interval

VALUE_SIZE = 8  # points
WHISKERS = {"color": "black", "elinewidth": 1, "capsize": 2}


@dataclass(frozen=True)
class Bar:
    """A bar at a place from the top, with the interval of its value. name: "" for none."""

    place: float
    name: str
    value: Interval
    colour: str


def reach_of(value: Interval) -> tuple[float, float]:
    """The distances of an interval's limits from its mean."""
    if value.low is None:
        return 0, 0
    return value.mean - value.low, value.high - value.mean


def draw_bars(axes: Axes, bars: Sequence[Bar], show: Callable[[Interval], str]) -> None:
    """Draw bars from top to bottom, each with its interval and, beside it, its value. show: the
    value as text."""
    for bar in bars:
        below, above = reach_of(bar.value)
        axes.barh(bar.place, bar.value.mean, color=bar.colour)
        if above:
            limits = [[below], [above]]
            axes.errorbar(bar.value.mean, bar.place, xerr=limits, **WHISKERS)
        write_value(axes, bar.place, bar.value.mean + above, show(bar.value))
    named = [bar for bar in bars if bar.name]
    axes.set_yticks([bar.place for bar in named], [bar.name for bar in named])
    finish(axes)


def write_value(axes: Axes, place: float, end: float, text: str) -> None:
    """Write a bar's value beside its end."""
    axes.annotate(
        text,
        (end, place),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=VALUE_SIZE,
        annotation_clip=False,
    )


def finish(axes: Axes) -> None:
    """Order bars from top to bottom, with room for their values."""
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.02)
    axes.grid(axis="x", alpha=0.4)
