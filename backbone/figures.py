"""Pictures of the stored times."""

import hashlib
import io
import re
from collections.abc import Callable
from functools import partial
from itertools import cycle, product
from pathlib import Path
from statistics import median
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backbone import files
from backbone.inputs import DATASETS
from backbone.intervals import interval
from backbone.rows import name_row
from backbone.script import ROOT
from backbone.stored import Stored, of_first, speed_ups, title_of

FIGURES = ROOT / "figures"
OWN_DIGEST = re.compile("(?<=this picture: sha256 )[0-9a-f]{64}")
BLANK = "0" * 64  # in its place, while it is made

# A colour (Okabe and Ito's, which the colour-blind can tell apart) and a marker for each kind.
LOOKS = {
    "pointwise convolution": ("#0072B2", "o"),
    "depthwise convolution": ("#D55E00", "^"),
    "convolution": ("#000000", "s"),
    "batch norm": ("#009E73", "v"),
    "ReLU6": ("#CC79A7", "D"),
    "addition": ("#E69F00", "P"),
    "pooling": ("#56B4E9", "X"),
    "linear": ("#F0E442", "*"),
}
OTHER = ("#999999", ".")


class Picture(NamedTuple):
    """The part of the README that a picture is in; what it shows; what each of its panels shows,
    their height in inches, what draws one on its axes, and the relative widths of these."""

    part: str
    alt: str
    panels: list
    height: float
    draw: Callable[..., None]
    widths: tuple[int, ...] = (1,)


def pictures(times: list[Stored], modes: list[Stored]) -> dict[str, Picture]:
    """The pictures that the stored files make, by their files' names."""
    first, times_part, why_part = of_first(times), "Inference time", "Where the time goes"
    found = {}
    for dataset, (title, _) in DATASETS.items():
        alt, show = f"Latency of the 21 stages, {title}", partial(draw_latency, dataset)
        part = why_part if found else times_part  # where the README begins, one picture
        found[f"latency_{dataset}.svg"] = Picture(part, alt, [first], 3.2, show)
    for dataset, (title, _) in DATASETS.items():
        alt, show = f"Roofline of the operations, {title}", partial(draw_roofline, dataset)
        devices = [device for device in first if device.lack(dataset) is None]
        found[f"roofline_{dataset}.svg"] = Picture(why_part, alt, devices, 4.4, show, (1, 3))
    alt = "Speed-up of the modes over the stock pass"
    found["modes.svg"] = Picture("Modes", alt, modes, 4.8, draw_modes)
    alt = "Time of the networks against their MACs"
    compared = [times] * (times != first)
    found["networks.svg"] = Picture("Networks", alt, compared, 4.4, draw_networks)
    return {name: picture for name, picture in found.items() if picture.panels}


def draw(pictures: dict[str, Picture], digest: str) -> None:
    """Write pictures whole, the same bytes for the same stored files. They carry their digest, and
    each one of its own bytes."""
    matplotlib.rcParams.update({"svg.hashsalt": digest, "font.size": 9, "axes.axisbelow": True})
    FIGURES.mkdir(exist_ok=True)
    about = f"stored files: sha256 {digest}; this picture: sha256 {BLANK}"
    look = {"facecolor": "white", "metadata": {"Date": None, "Description": about}}
    for name, (*_, panels, height, draw_panel, widths) in pictures.items():
        figure, text = Figure((8, height * len(panels)), layout="constrained"), io.StringIO()
        grid = figure.subplots(len(panels), len(widths), squeeze=False, width_ratios=widths)
        for axes, shown in zip(grid, panels, strict=True):
            draw_panel(*axes, shown)
        figure.savefig(text, format="svg", **look)
        files.write_whole(FIGURES / name, _sign(text.getvalue()))


def stale(pictures: dict[str, Picture], digest: str) -> list[Path]:
    """The pictures that are not of the stored files, or not as they were drawn."""
    texts = {FIGURES / name: files.read(FIGURES / name) for name in pictures}
    return [file for file, text in texts.items() if digest not in text or _sign(text) != text]


def _sign(text: str) -> str:
    """A picture's text with its own digest, of the text with none."""
    blank = OWN_DIGEST.sub(BLANK, text)
    return OWN_DIGEST.sub(hashlib.sha256(blank.encode()).hexdigest(), blank)


def draw_bars(
    bar: Callable, error: str, groups: list[tuple[str, dict[int, tuple[float, float, float]]]]
) -> None:
    """Bars by axes.bar or barh, the groups' side by side at each place. A group: its label and, by
    place, a bar's length and how far its interval reaches below and above."""
    width = 0.8 / len(groups)
    for index, (label, bars) in enumerate(groups):
        lengths, *reach = zip(*bars.values(), strict=True)
        places = [place + (index + 0.5) * width - 0.4 for place in bars]
        look = {"label": label, "error_kw": {"elinewidth": 1, "capsize": 2}}
        bar(places, lengths, width, **{error: reach}, **look)


def draw_latency(dataset: str, axes: Axes, times: list[Stored]) -> None:
    """Bars of the stages' latency, one of each device at each stage."""
    groups = []
    for device in times:
        latencies = [interval(row.run_means) for row in device.rows(dataset, "block")]
        bars = {i: (mean, width or 0, width or 0) for i, (mean, width) in enumerate(latencies)}
        groups.append((device.name, bars))
    draw_bars(axes.bar, "yerr", groups)
    # A block's name is its position, where there is little room.
    names = [name_row(row).split()[-1] for row in times[0].rows(dataset, "block")]
    axes.set_xticks(range(len(names)), names, rotation=60)
    axes.set(title=f"{DATASETS[dataset].title}: latency by stage", ylim=(0, None))
    axes.set_ylabel("ms a pass (bars: 95 % interval)")
    axes.grid(axis="y", alpha=0.4)
    axes.legend()


def draw_roofline(dataset: str, left: Axes, right: Axes, device: Stored) -> None:
    """Operations as points under the machine's lines: on the right by arithmetic intensity; on the
    left those without multiply-accumulates, kind by kind, by the bytes that they move."""
    flops_ceiling, bytes_ceiling = (ceiling / 1e9 for ceiling in device.ceilings(dataset))
    kinds: dict[str, list[tuple[float, float]]] = {}
    without: dict[str, int] = {}  # places on the left
    for row in device.rows(dataset, "layer"):
        kind, macs, moved = row.cost
        if moved:
            x = 2 * macs / moved if macs else without.setdefault(kind, len(without))
            y = (2 * macs or moved) / (row.mean / 1e3) / 1e9
            kinds.setdefault(kind, []).append((x, y))
    for kind, points in sorted(kinds.items(), key=lambda item: -len(item[1])):
        colour, marker = LOOKS.get(kind, OTHER)
        look = {"c": colour, "marker": marker, "s": 24, "linewidths": 0.3, "edgecolors": "black"}
        axes = left if kind in without else right
        axes.scatter(*zip(*points, strict=True), label=kind, **look)
    left.axhline(bytes_ceiling, color="black", linewidth=1)
    left.set(yscale="log", ylabel="GB/s", title="without MACs", xlim=(-0.6, len(without) - 0.4))
    left.set_xticks(range(len(without)), without, rotation=60)
    ridge = flops_ceiling / bytes_ceiling
    right.plot([ridge / 100, ridge, ridge * 30], [flops_ceiling / 100, *[flops_ceiling] * 2], "k-")
    ceilings = f"{bytes_ceiling:.1f} GB/s, {flops_ceiling:.0f} GFLOP/s"
    right.annotate(ceilings, (0.03, 0.94), xycoords="axes fraction")
    right.set(xscale="log", yscale="log", ylabel="GFLOP/s")
    right.set_xlabel("arithmetic intensity, FLOP a byte")
    right.set_title(f"{DATASETS[dataset].title}, {device.name}: roofline")
    right.legend(loc="lower right", fontsize=8)
    for axes in (left, right):
        axes.margins(y=0.1)
        axes.grid(alpha=0.3)


def draw_modes(axes: Axes, device: Stored) -> None:
    """Bars of the modes' speed-up over the stock pass, with its interval, one of each dataset."""
    names = list({mode: None for records in device.records.values() for mode in records})
    groups = []
    for dataset, records in device.records.items():
        ratios = {mode: speed_ups(record, records["stock"]) for mode, record in records.items()}
        bars = {names.index(mode): bar_of(found) for mode, found in ratios.items() if found}
        groups.append((DATASETS[dataset].title, bars))
    axes.set_prop_cycle(color=["#0072B2", "#E69F00"])
    draw_bars(axes.barh, "xerr", groups)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(names)), [mode.replace("--", "") for mode in names])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.4)
    axes.set_title(f"{title_of(device.network)}, {device.name}: speed-up over the stock pass")
    axes.set_xlabel("times as fast (bars: 95 % interval)")
    axes.legend()


def bar_of(ratios: list[float]) -> tuple[float, float, float]:
    """The median of ratios, and from it to the lower and the upper end of their mean's interval."""
    (mean, half_width), middle = interval(ratios), median(ratios)
    low, high = mean - (half_width or 0), mean + (half_width or 0)
    return middle, max(0, middle - low), max(0, high - middle)


def draw_networks(axes: Axes, times: list[Stored]) -> None:
    """Networks as points, time against multiply-accumulates, a colour each device and dataset."""
    points: dict[str, list[tuple[float, float]]] = {}
    for dataset, device in product(DATASETS, times):
        (row,) = device.rows(dataset, "model")
        if row.cost:
            point, label = (row.cost.macs / 1e9, row.mean), title_of(device.network)
            points.setdefault(f"{DATASETS[dataset].title}, {device.name}", []).append(point)
            axes.annotate(label, point, (4, 4), textcoords="offset points", fontsize=7)
    for (label, places), (colour, marker) in zip(points.items(), cycle(LOOKS.values())):
        axes.scatter(*zip(*places, strict=True), c=colour, marker=marker, label=label)
    axes.set(title="Time against MACs", xlabel="MACs, G", ylabel="ms a pass")
    axes.set(xscale="log", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize=8)
