"""Pictures of a pass: its parts, by mode and by stage."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from backbone.command.options import PYTORCH
from backbone.record.names import name_row
from backbone.record.rows import Row
from backbone.record.stored import StoredModes, StoredTimes
from backbone.report.bars import finish, write_value
from backbone.report.fastest import Category, fastest_by_precision
from backbone.report.numbers import show_small
from backbone.report.palette import (
    CONVOLUTIONS,
    MEMORY_KEPT,
    NORMS,
    PAGE_FAULTS,
    PRECISIONS,
    REORDERS,
    REST,
    STOCK,
    colour_of_kind,
)
from backbone.report.parts import (
    OTHERS,
    Parts,
    SplitPass,
    parts_of_operations,
    with_memory_kept,
)
from backbone.report.words import TIMES, word_mode, word_stored

Legend = dict[str, Patch | Line2D]
WIDTH = 0.7  # of a bar
REST_LABEL = "the rest"
OTHER_RUNTIMES = Category("in another runtime", lambda mode: mode.mode.runtime != PYTORCH)


@dataclass(frozen=True)
class PassesOfInput:
    """The passes of one input, longest first, and the modes of the same network and input, if
    stored."""

    passes: list[SplitPass]
    modes: StoredModes | None


def draw_parts(axes: Axes, shown: PassesOfInput) -> Legend:
    """Stacked bars of the parts of passes, with the roofline bound of each as a line, then a bar
    for the fastest mode of each precision in another runtime. The length of these is the stock pass
    divided by their speed-up, since they were measured in another session."""
    names = []
    legend: Legend = {}
    for place, entry in enumerate(shown.passes):
        names.append(word_stored(entry.times))
        legend |= _stack(axes, place, entry.parts)
        ceilings = entry.times.ceilings
        if ceilings is not None:
            bound = sum(row.bound(ceilings) for row in entry.times.operations)
            axes.vlines(bound, place - 0.45, place + 0.45, colors="black", linewidth=2)
            legend["roofline bound"] = Line2D([], [], color="black", linewidth=2)
        write_value(axes, place, entry.parts.whole, f"{_show(entry.parts.whole)} ms")
    stock = next((entry for entry in shown.passes if entry.times.is_stock), None)
    if stock is not None and shown.modes is not None:
        for mode, speed_up in fastest_by_precision(shown.modes, OTHER_RUNTIMES).values():
            place = len(names)
            milliseconds = stock.parts.whole / speed_up.mean
            colour = PRECISIONS[mode.mode.dtype]
            names.append(word_mode(mode))
            axes.barh(place, milliseconds, WIDTH, color=colour)
            text = f"{_show(milliseconds)} ms, {speed_up.mean:.1f}{TIMES} stock"
            write_value(axes, place, milliseconds, text)
            legend[f"another runtime, {mode.mode.dtype}"] = Patch(color=colour)
    axes.set_yticks(range(len(names)), names)
    axes.set_title(shown.passes[0].times.dataset, loc="left")
    axes.set_xlabel("ms per pass")
    finish(axes)
    return legend


def draw_stages(*axes_and_times: Axes | list[StoredTimes]) -> Legend:
    """Stacked bars of the stages, on axes for each of several modes of the same network."""
    *all_axes, times = axes_and_times
    legend: Legend = {}
    for axes, entry in zip(all_axes, times, strict=True):
        kept = with_memory_kept(entry, times)
        parts = parts_of_operations(entry, kept)
        rows = [row for row in entry.layer.rows if row.level == "block"]
        for place, row in enumerate(rows):
            end = row.mean
            if parts is None:
                axes.barh(place, end, WIDTH, color=STOCK if entry.is_stock else MEMORY_KEPT)
            else:
                of_stage = [
                    part
                    for part, operation in zip(parts, entry.operations, strict=True)
                    if operation.stage == row.stage
                ]
                stage = sum(of_stage[1:], of_stage[0])
                legend |= _stack(axes, place, stage)
                end = stage.whole
            write_value(axes, place, end, _show(row.mean))
        axes.set_title(f"{entry.dataset}, {word_stored(entry)}", loc="left")
        axes.set_xlabel("ms per pass")
        finish(axes)
        names = _stage_names(rows) if axes is all_axes[0] else [""] * len(rows)
        axes.set_yticks(range(len(rows)), names)
    return legend


def in_order(legend: Legend) -> Legend:
    """Sort a legend: the parts of a pass in the order of a bar, then all other entries."""
    first = ("page faults", "reorders", *CONVOLUTIONS, *NORMS, OTHERS, REST_LABEL)
    order = dict.fromkeys((*first, *legend))
    return {label: legend[label] for label in order if label in legend}


def _stage_names(stages: list[Row]) -> list[str]:
    """Short names of MobileNet-V2's stages: "block 1" for "Inverted Residual Block at position
    1"."""
    names = [name_row(row) for row in stages]
    return [name.replace("Inverted Residual Block at position", "block") for name in names]


def _stack(axes: Axes, place: int, parts: Parts) -> Legend:
    """Draw the parts of a pass or a stage as one stacked bar."""
    # Kernels can exceed the pass if they met a noisier moment; then nothing is left.
    stacked = [
        ("page faults", parts.page_faults, PAGE_FAULTS),
        ("reorders", parts.reorders, REORDERS),
        *((kind, ms, colour_of_kind(kind)) for kind, ms in _by_colour(parts.kernels)),
        (REST_LABEL, max(0.0, parts.rest), REST),
    ]
    left = 0.0
    for _, milliseconds, colour in stacked:
        axes.barh(place, milliseconds, WIDTH, left=left, color=colour)
        left += milliseconds
    return {label: Patch(color=colour) for label, ms, colour in stacked if ms}


def _show(milliseconds: float) -> str:
    return show_small(milliseconds, 0 if milliseconds >= 100 else 1)


def _by_colour(kernels: dict[str, float]) -> Sequence[tuple[str, float]]:
    """The kinds with a colour of their own, then all others together."""
    other = colour_of_kind("")
    own = {kind: ms for kind, ms in kernels.items() if colour_of_kind(kind) != other}
    rest = sum(kernels.values()) - sum(own.values())
    ordered = [(kind, own[kind]) for kind in (*CONVOLUTIONS, *NORMS) if kind in own]
    return [*ordered, (OTHERS, rest)]
