"""Pictures of the stored times."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from matplotlib import style
from matplotlib.figure import Figure

from backbone.record.stored import StoredTimes
from backbone.record.titles import DATASET_TITLES
from backbone.report.mode_panels import draw_allocators, draw_modes, has_allocators
from backbone.report.panels import (
    colour_kinds,
    draw_latency,
    draw_networks,
    draw_parts,
    draw_roofline,
)
from backbone.report.parts import split_passes
from backbone.report.scaling import panels_of
from backbone.report.scaling_panels import AXES, draw_scaling
from backbone.report.tables import Results


@dataclass(frozen=True)
class Picture:
    """A picture: its file's name, what it shows, and what draws its SVG text."""

    file: str
    shows: str
    draw: Callable[[str], str]

    @property
    def link(self) -> str:
        """What shows it in a page."""
        return f"![{self.shows}](figures/{self.file})"

    @property
    def svg(self) -> str:
        """Its text: the same wherever it is drawn, as long as what it shows is the same."""
        return self.draw(self.file)


def part_pictures(results: Results) -> Iterator[Picture]:
    """What passes are made of."""
    passes = split_passes(results.main_network, results.times)
    if passes:
        by_input = [
            list(group) for _, group in groupby(passes, key=lambda each: each.times.dataset)
        ]
        draw = partial(_draw, partial(draw_parts, colour_kinds(passes)), by_input, 2.4)
        yield Picture("parts.svg", "What a pass is made of", draw)


def stage_pictures(results: Results) -> Iterator[Picture]:
    """The latency of the stages, one of each dataset."""
    for title, times in _by_dataset(results.main_network).items():
        draw = partial(_draw, draw_latency, _by_device(times), 3.2)
        shows = f"Latency of the 21 stages, {title}"
        yield Picture(f"latency_{_name_of(title)}.svg", shows, draw)


def roofline_pictures(results: Results) -> Iterator[Picture]:
    """The operations under the roofline, one of each dataset."""
    for title, times in _by_dataset(results.main_network).items():
        known = [each for each in times if each.is_stock and each.ceilings]
        if known:
            draw = partial(_draw, draw_roofline, known, 4.4, widths=(1, 3))
            shows = f"Roofline of the operations, {title}"
            yield Picture(f"roofline_{_name_of(title)}.svg", shows, draw)


def mode_pictures(results: Results) -> Iterator[Picture]:
    """The speed-up of the modes."""
    if results.modes:
        draw = partial(_draw, draw_modes, results.modes, 6.4)
        yield Picture("modes.svg", "Speed-up of the modes over the stock pass", draw)


def allocator_pictures(results: Results) -> Iterator[Picture]:
    """The speed-up by allocators."""
    with_allocators = [inputs for inputs in results.modes if has_allocators(inputs)]
    if with_allocators:
        draw = partial(_draw, draw_allocators, with_allocators, 3.2, widths=(3, 2))
        yield Picture("allocators.svg", "Allocators: speed-up and peak memory", draw)


def network_pictures(results: Results) -> Iterator[Picture]:
    """The time of networks against their MACs."""
    if results.others:
        inputs = _by_dataset(results.networks).values()
        panels = [alike for times in inputs for alike in _by_device(times)]
        draw = partial(_draw, draw_networks, panels, 3.6)
        yield Picture("networks.svg", "Time that a billion MACs take in each network", draw)


def scaling_pictures(results: Results) -> Iterator[Picture]:
    """The time of an image over images, pixels and threads."""
    drawn = [scaling for scaling in results.scaling if panels_of(scaling)]
    if drawn:
        draw = partial(_draw, draw_scaling, drawn, 3.4, widths=(1,) * AXES)
        yield Picture("scaling.svg", "Time of an image over images, pixels and threads", draw)


def _by_dataset(times: list[StoredTimes]) -> dict[str, list[StoredTimes]]:
    """Times by the title of their dataset."""
    return {
        title: [each for each in times if each.dataset == title]
        for title in dict.fromkeys(each.dataset for each in times)
    }


def _by_device(times: list[StoredTimes]) -> list[list[StoredTimes]]:
    """Times device by device: on the axis of a slower one a fast one's bars would vanish."""
    devices = dict.fromkeys(each.device for each in times)
    return [[each for each in times if each.device == device] for device in devices]


def _name_of(title: str) -> str:
    """The name of a dataset, by its title; of an image size, that itself."""
    names = {title: name for name, title in DATASET_TITLES.items()}
    return names.get(title, title)


def _draw(
    draw_panel: Callable[..., None],
    panels: list,
    height: float,
    salt: str,
    widths: tuple[int, ...] = (1,),
) -> str:
    """A picture's SVG text, the same for the same salt: a panel, so many inches high, on axes of
    these relative widths for each of what is shown."""
    plot_style = {"svg.hashsalt": salt, "font.size": 9, "axes.axisbelow": True}
    style.use(["default", "seaborn-v0_8-colorblind", plot_style])
    figure = Figure((8, height * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), len(widths), squeeze=False, width_ratios=widths)
    for axes, shown in zip(grid, panels, strict=True):
        draw_panel(*axes, shown)
    text = io.StringIO()
    figure.savefig(text, format="svg", facecolor="white", metadata={"Date": None})
    return text.getvalue()
