"""Pictures of modes: their speed-up over stock, and the allocators'."""

from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from backbone.record.stored import StoredMode, StoredModes
from backbone.report.bars import Bar, draw_bars
from backbone.report.fastest import by_speed, over
from backbone.report.numbers import MIB, show_mean
from backbone.report.palette import PRECISIONS, STOCK
from backbone.report.words import TIMES, word_mode
from backbone.statistics.intervals import Interval

LOWEST = 0.5  # left end of the axis of speed-ups


def has_allocators(modes: StoredModes) -> bool:
    """Whether other allocators than stock's and memory kept were measured."""
    return any(mode.is_of_allocator and not _is_reference(mode) for mode in modes.modes)


def draw_modes(axes: Axes, modes: StoredModes) -> dict[str, Patch]:
    """Bars of the modes' speed-up over stock on a logarithmic axis, fastest first. Of the modes
    that change only the allocator, stock and memory kept are drawn."""
    drawn = [m for m in by_speed(modes) if _is_reference(m) or not m.is_of_allocator]
    bars = _speed_ups(modes, drawn)
    axes.set_xscale("log")
    draw_bars(axes, bars, lambda ratio: f"{show_mean(ratio)}{TIMES}")
    axes.axvline(1, color="black", linewidth=1)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("speed-up over stock")
    axes.set_title(modes.title, loc="left")
    lowest = min(bar.value.low or bar.value.mean for bar in bars)
    axes.set_xlim(left=min(LOWEST, 0.9 * lowest))
    return {_precision_of(mode): Patch(color=_colour_of(mode)) for mode in drawn}


def draw_allocators(left: Axes, right: Axes, modes: StoredModes) -> dict[str, Patch]:
    """Bars of the modes that change only the allocator: on the left their speed-up over stock, on
    the right the peak memory of the process."""
    drawn = [mode for mode in by_speed(modes) if mode.is_of_allocator]
    draw_bars(left, _speed_ups(modes, drawn), lambda ratio: f"{show_mean(ratio)}{TIMES}")
    left.set_xlabel("speed-up over stock")
    left.set_title(modes.title, loc="left")
    peaks = [mode.record.median("peak_resident_memory", 1 / MIB) for mode in drawn]
    bars = [
        Bar(place, "", Interval(peak), _colour_of(mode))
        for place, (mode, peak) in enumerate(zip(drawn, peaks, strict=True))
        if peak is not None
    ]
    draw_bars(right, bars, lambda peak: f"{peak.mean:,.0f}")
    right.set_xlabel("peak resident memory (MB)")
    return {}


def _is_reference(mode: StoredMode) -> bool:
    """Whether a mode is in both pictures: stock and memory kept."""
    return mode.is_stock or mode.is_kept


def _speed_ups(modes: StoredModes, drawn: list[StoredMode]) -> list[Bar]:
    ratios = {mode.name: over(modes, mode, modes.stock) for mode in drawn}
    return [
        Bar(place, word_mode(mode), ratios[mode.name], _colour_of(mode))
        for place, mode in enumerate(drawn)
        if ratios[mode.name] is not None
    ]


def _precision_of(mode: StoredMode) -> str:
    return "stock" if mode.is_stock else mode.mode.dtype


def _colour_of(mode: StoredMode) -> str:
    return STOCK if mode.is_stock else PRECISIONS[mode.mode.dtype]
