"""Pictures of the stored times."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from matplotlib import style
from matplotlib.figure import Figure

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
from backbone.report.tables import Results


@dataclass(frozen=True)
class Picture:
    """A picture: the part of RESULTS.md that it is in, its file's name, what it shows, and what
    draws its SVG text."""

    part: str
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


def list_pictures(results: Results) -> Iterator[Picture]:
    """The pictures that the stored files make, in the order of RESULTS.md."""
    passes = split_passes(results.main_network, results.times)
    if passes:
        by_input = [
            list(group) for _, group in groupby(passes, key=lambda each: each.times.dataset)
        ]
        draw = partial(_draw, partial(draw_parts, colour_kinds(passes)), by_input, 2.4)
        yield Picture("What a pass is made of", "parts.svg", "What a pass is made of", draw)
    names = {title: dataset for dataset, title in DATASET_TITLES.items()}
    for title in dict.fromkeys(times.dataset for times in results.main_network):
        dataset = names.get(title, title)
        here = [times for times in results.main_network if times.dataset == title]
        draw = partial(_draw, draw_latency, [here], 3.2)
        shows = f"Latency of the 21 stages, {title}"
        yield Picture("Stages", f"latency_{dataset}.svg", shows, draw)
        known = [times for times in here if times.is_stock and times.ceilings]
        if known:
            draw = partial(_draw, draw_roofline, known, 4.4, widths=(1, 3))
            shows = f"Roofline of the operations, {title}"
            yield Picture("Floors", f"roofline_{dataset}.svg", shows, draw)
    if results.modes:
        draw = partial(_draw, draw_modes, results.modes, 6.4)
        shows = "Speed-up of the modes over the stock pass"
        yield Picture("Speed-up of the modes", "modes.svg", shows, draw)
        with_variables = [inputs for inputs in results.modes if has_allocators(inputs)]
        if with_variables:
            draw = partial(_draw, draw_allocators, with_variables, 3.2, widths=(3, 2))
            shows = "Allocators: speed-up and peak memory"
            yield Picture("Allocators", "allocators.svg", shows, draw)
    if results.others:
        inputs = [
            [each for each in results.networks if each.dataset == title]
            for title in dict.fromkeys(each.dataset for each in results.networks)
        ]
        draw = partial(_draw, draw_networks, list(filter(None, inputs)), 3.6)
        shows = "Time that a billion MACs take in each network"
        yield Picture("Time against MACs", "networks.svg", shows, draw)


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
