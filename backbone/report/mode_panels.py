"""What the pictures of modes show: panels of bars, drawn on axes."""

from re import sub
from textwrap import fill

from matplotlib.axes import Axes

from backbone.command.options import KEEP_MEMORY
from backbone.record.stored import Stored
from backbone.report.bars import Bar, draw_from_top
from backbone.report.numbers import MIB
from backbone.statistics.intervals import Interval
from backbone.statistics.ratios import speed_up

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
LABEL_WIDTH = 54  # characters in a line of a bar's label
REFERENCES = ("stock", "stock again", KEEP_MEMORY)  # which both pictures have


def has_allocators(modes: list[Stored]) -> bool:
    """Whether there is more among the modes that changes no arithmetic than the references."""
    return bool(set(_allocators(modes)) - set(REFERENCES))


def draw_modes(axes: Axes, modes: list[Stored]) -> None:
    """Bars of the modes' speed-up over the stock pass, with its interval, one of each dataset; of
    what changes no arithmetic the references alone."""
    left_out = set(_allocators(modes)) - set(REFERENCES)
    names = dict.fromkeys(mode for each in modes for mode in each.records if mode not in left_out)
    _draw_speed_ups(axes, modes, list(names))
    axes.set_title(f"{modes[0].network}, {modes[0].configuration}: modes")


def draw_allocators(left: Axes, right: Axes, modes: list[Stored]) -> None:
    """Bars of what changes no arithmetic, but where memory comes from: on the left the speed-up
    over the stock pass, on the right the most memory that the process has had; one of each
    dataset."""
    names = _allocators(modes)
    _draw_speed_ups(left, modes, names)
    groups = {}
    for each in modes:
        peaks = {
            mode: record.median("peak_resident_memory", 1 / MIB)
            for mode, record in each.records.items()
            if mode in names
        }
        groups[each.dataset] = [
            Bar(names.index(mode), Interval(peak))
            for mode, peak in peaks.items()
            if peak is not None
        ]
    draw_from_top(right, groups, [""] * len(names))
    right.set_xlabel("peak resident, MB")
    left.set_title(f"{modes[0].network}, {modes[0].configuration}: allocators")


def _allocators(modes: list[Stored]) -> list[str]:
    """The modes that change no arithmetic, but where memory comes from; stock among them."""
    return list(
        dict.fromkeys(
            mode for each in modes for mode, record in each.records.items() if record.is_exact
        )
    )


def _draw_speed_ups(axes: Axes, modes: list[Stored], names: list[str]) -> None:
    """Bars of the speed-up of named modes over the stock pass, from top to bottom."""
    groups = {}
    for each in modes:
        stock = each.records["stock"]
        ratios = {
            mode: speed_up(record, stock, stock)
            for mode, record in each.records.items()
            if mode in names
        }
        groups[each.dataset] = [
            Bar(names.index(mode), ratio) for mode, ratio in ratios.items() if ratio is not None
        ]
    draw_from_top(axes, groups, [_label_of(mode) for mode in names])
    axes.tick_params(axis="y", labelsize=8)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("times as fast as stock, with intervals")
    axes.legend()


def _label_of(mode: str) -> str:
    """A mode's name in lines, none of which ends between a flag and its value."""
    together = sub(r" (?!--)", NO_BREAK_SPACE, mode)
    return fill(together, LABEL_WIDTH, break_long_words=False, break_on_hyphens=False)
