"""Bars with their intervals, side by side in groups."""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.axes import Axes

from backbone.statistics.intervals import Interval


@dataclass(frozen=True)
class Bar:
    """A bar at a place, as long as a mean, with its interval."""

    place: float
    value: Interval


def reach_of(value: Interval) -> tuple[float, float]:
    """How far an interval reaches below and above its mean."""
    if value.low is None:
        return 0, 0
    return value.mean - value.low, value.high - value.mean


def draw_bars(draw: Callable, error_axis: str, groups: dict[str, list[Bar]]) -> None:
    """Bars by axes.bar or barh, the groups' side by side at each place, with the groups' labels."""
    width = 0.8 / max(1, len(groups))
    for index, (label, bars) in enumerate(groups.items()):
        shift = (index + 0.5) * width - 0.4
        below, above = zip(*(reach_of(bar.value) for bar in bars), strict=True)
        draw(
            [bar.place + shift for bar in bars],
            [bar.value.mean for bar in bars],
            width,
            label=label,
            error_kw={"elinewidth": 1, "capsize": 2},
            **{error_axis: (below, above)},
        )


def draw_from_top(axes: Axes, groups: dict[str, list[Bar]], names: list[str]) -> None:
    """Bars in groups, from top to bottom at the places of these names."""
    draw_bars(axes.barh, "xerr", {label: bars for label, bars in groups.items() if bars})
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.4)
