"""The pictures of stored results."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from matplotlib import rc_context, style
from matplotlib.figure import Figure

from backbone.record.stored import StoredModes, StoredTimes
from backbone.record.titles import DATASET_TITLES
from backbone.report.mode_panels import draw_allocators, draw_modes, has_allocators
from backbone.report.network_panels import draw_networks
from backbone.report.parts import split_passes
from backbone.report.pass_panels import PassesOfInput, draw_parts, draw_stages, in_order
from backbone.report.roofline import draw_roofline
from backbone.report.scaling import panels_of
from backbone.report.scaling_panels import AXES, draw_scaling
from backbone.report.stored_results import Results

WIDTH = 9  # inches: what GitHub shows without scaling


@dataclass(frozen=True)
class Picture:
    """A picture: its file's name, its alternative text, and a function that draws it as SVG."""

    file: str
    shows: str
    draw: Callable[[str], str]

    @property
    def link(self) -> str:
        """The Markdown that shows it in a page."""
        return f"![{self.shows}](figures/{self.file})"

    @property
    def svg(self) -> str:
        """Its SVG text, which depends only on what it shows."""
        return self.draw(self.file)


def part_pictures(results: Results) -> Iterator[Picture]:
    """The parts of passes, by input."""
    passes = split_passes(results.main_network, results.times)
    inputs = [list(alike) for _, alike in groupby(passes, key=lambda entry: entry.times.dataset)]
    if inputs:
        panels = [PassesOfInput(entry, _modes_of(entry[0].times, results)) for entry in inputs]
        draw = partial(_draw, draw_parts, panels, 2.6, order=in_order)
        yield Picture("parts.svg", "What a pass is made of", draw)


def stage_pictures(results: Results) -> Iterator[Picture]:
    """The latency of the stages, one picture per dataset: stock and memory kept."""
    for title, times in _by_dataset(results.main_network).items():
        panels = [_stock_and_kept(alike) for alike in _by_device(times)]
        panels = [panel for panel in panels if panel]
        if panels:
            columns = max(map(len, panels))
            draw = partial(_draw, draw_stages, panels, 5, widths=(1,) * columns, order=in_order)
            shows = f"Latency of the 21 stages, {title}"
            yield Picture(f"latency_{_name_of(title)}.svg", shows, draw)


def roofline_pictures(results: Results) -> Iterator[Picture]:
    """The operations below the roofline, one picture per dataset: stock and memory kept."""
    for title, times in _by_dataset(results.main_network).items():
        known = [
            entry
            for alike in _by_device(times)
            for entry in _stock_and_kept(alike)
            if entry.ceilings is not None
        ]
        if known:
            draw = partial(_draw, draw_roofline, known, 4, widths=(1, 3))
            shows = f"Roofline of the operations, {title}"
            yield Picture(f"roofline_{_name_of(title)}.svg", shows, draw)


def mode_pictures(results: Results) -> Iterator[Picture]:
    """The speed-up of the main network's modes, by input."""
    if panels := _modes_in(results):
        draw = partial(_draw, draw_modes, panels, 5.4)
        yield Picture("modes.svg", "Speed-up of the modes over the stock pass", draw)


def allocator_pictures(results: Results) -> Iterator[Picture]:
    """The speed-up and the peak memory of allocators, by input."""
    if panels := [modes for modes in _modes_in(results) if has_allocators(modes)]:
        draw = partial(_draw, draw_allocators, panels, 2.4, widths=(3, 2))
        yield Picture("allocators.svg", "Allocators: speed-up and peak memory", draw)


def network_pictures(results: Results) -> Iterator[Picture]:
    """The time of networks relative to their MACs, by input and device."""
    if results.others:
        inputs = _by_dataset(results.networks).values()
        panels = [alike for times in inputs for alike in _by_device(times)]
        draw = partial(_draw, draw_networks, panels, 5)
        yield Picture("networks.svg", "Time per billion multiply-accumulates by network", draw)


def scaling_pictures(results: Results) -> Iterator[Picture]:
    """The time per image over batch size, image size and threads."""
    if drawn := [scaling for scaling in results.scaling if panels_of(scaling)]:
        draw = partial(_draw, draw_scaling, drawn, 3.4, widths=(1,) * AXES)
        yield Picture("scaling.svg", "Time per image over batch size, image size, threads", draw)


def _modes_in(results: Results) -> list[StoredModes]:
    """The main network's modes, by setting and input."""
    return [modes for inputs in results.main_modes for modes in inputs]


def _modes_of(times: StoredTimes, results: Results) -> StoredModes | None:
    """The modes of the same network, device and input, if stored."""
    for modes in _modes_in(results):
        if (modes.dataset, modes.device) == (times.dataset, times.device) and not modes.settings:
            return modes
    return None


def _stock_and_kept(times: list[StoredTimes]) -> list[StoredTimes]:
    """Of the times of one network, input and device: stock and memory kept."""
    return [entry for entry in times if entry.is_stock or entry.is_kept]


def _by_dataset(times: list[StoredTimes]) -> dict[str, list[StoredTimes]]:
    """Times by the title of their dataset."""
    return {
        title: [entry for entry in times if entry.dataset == title]
        for title in dict.fromkeys(entry.dataset for entry in times)
    }


def _by_device(times: list[StoredTimes]) -> list[list[StoredTimes]]:
    """Times by device. (Next to a slow device's bars, a fast device's would be too short.)"""
    devices = dict.fromkeys(entry.device for entry in times)
    return [[entry for entry in times if entry.device == device] for device in devices]


def _name_of(title: str) -> str:
    """The name of a dataset with this title; an image size is its own name."""
    names = {title: name for name, title in DATASET_TITLES.items()}
    return names.get(title, title)


def _draw(
    draw_panel: Callable[..., dict],
    panels: list,
    height: float,
    salt: str,
    widths: tuple[int, ...] = (1,),
    order: Callable[[dict], dict] = dict,
) -> str:
    """A picture as SVG text, equal for equal panels and salt. Each panel takes a row, `height`
    inches high, of axes with these relative widths. draw_panel: draws a panel on its axes and
    returns the entries of the legend, which all panels share. order: sorts these entries."""
    plot_style = {"svg.hashsalt": salt, "font.size": 10, "axes.axisbelow": True}
    with rc_context():
        style.use(["default", plot_style])
        figure = Figure((WIDTH, height * len(panels)), layout="constrained")
        grid = figure.subplots(len(panels), len(widths), squeeze=False, width_ratios=widths)
        legend = {}
        for axes, shown in zip(grid, panels, strict=True):
            legend |= draw_panel(*axes, shown)
        legend = order(legend)
        if legend:
            figure.legend(
                legend.values(), legend.keys(), loc="outside lower center", ncols=4, fontsize=9
            )
        text = io.StringIO()
        figure.savefig(text, format="svg", facecolor="white", metadata={"Date": None})
    return text.getvalue()
