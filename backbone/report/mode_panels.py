"""What the pictures of modes show: panels of bars, drawn on axes."""

from re import sub
from textwrap import fill

from matplotlib.axes import Axes

from backbone.record.stored import StoredMode, StoredModes
from backbone.report.bars import Bar, draw_from_top
from backbone.report.mode_tables import over
from backbone.report.numbers import MIB
from backbone.statistics.intervals import Interval

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
LABEL_WIDTH = 54  # characters in a line of a bar's label


def has_allocators(inputs: list[StoredModes]) -> bool:
    """Whether there is more among the modes that changes no arithmetic than the references."""
    return any(not _is_reference(mode) for mode in _of_allocators(inputs))


def draw_modes(axes: Axes, inputs: list[StoredModes]) -> None:
    """Bars of the modes' speed-up over the stock pass, with its interval, one of each dataset; of
    what changes no arithmetic the references alone."""
    left_out = {mode.name for mode in _of_allocators(inputs) if not _is_reference(mode)}
    names = dict.fromkeys(mode.name for modes in inputs for mode in modes.modes)
    _draw_speed_ups(axes, inputs, [name for name in names if name not in left_out])
    axes.set_title(f"{inputs[0].network}, {inputs[0].configuration}: modes")


def draw_allocators(left: Axes, right: Axes, inputs: list[StoredModes]) -> None:
    """Bars of what changes no arithmetic, but where memory comes from: on the left the speed-up
    over the stock pass, on the right the most memory that the process has had; one of each
    dataset."""
    names = list(dict.fromkeys(mode.name for mode in _of_allocators(inputs)))
    _draw_speed_ups(left, inputs, names)
    groups = {}
    for modes in inputs:
        peaks = {
            mode.name: mode.record.median("peak_resident_memory", 1 / MIB)
            for mode in modes.modes
            if mode.name in names
        }
        groups[modes.dataset] = [
            Bar(names.index(name), Interval(peak))
            for name, peak in peaks.items()
            if peak is not None
        ]
    draw_from_top(right, groups, [""] * len(names))
    right.set_xlabel("peak resident, MB")
    left.set_title(f"{inputs[0].network}, {inputs[0].configuration}: allocators")


def _of_allocators(inputs: list[StoredModes]) -> list[StoredMode]:
    """The modes that change no arithmetic, but where memory comes from; stock among them."""
    return [mode for modes in inputs for mode in modes.modes if mode.is_of_allocator]


def _is_reference(mode: StoredMode) -> bool:
    """Whether both pictures have a mode: stock and memory kept."""
    return mode.is_stock or mode.is_kept


def _draw_speed_ups(axes: Axes, inputs: list[StoredModes], names: list[str]) -> None:
    """Bars of the speed-up of named modes over the stock pass, from top to bottom."""
    groups = {}
    for modes in inputs:
        ratios = {
            mode.name: over(modes, mode, modes.stock) for mode in modes.modes if mode.name in names
        }
        groups[modes.dataset] = [
            Bar(names.index(name), ratio) for name, ratio in ratios.items() if ratio is not None
        ]
    draw_from_top(axes, groups, [_label_of(name) for name in names])
    axes.tick_params(axis="y", labelsize=8)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("times as fast as stock, with intervals")
    axes.legend()


def _label_of(mode: str) -> str:
    """A mode's name in lines, none of which ends between a flag and its value."""
    together = sub(r" (?!--)", NO_BREAK_SPACE, mode)
    return fill(together, LABEL_WIDTH, break_long_words=False, break_on_hyphens=False)
