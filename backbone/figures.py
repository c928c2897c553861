"""Pictures of the stored times."""

import hashlib
import io
import re
from collections.abc import Iterable
from itertools import cycle, product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from backbone.files import write_whole
from backbone.inputs import DATASETS
from backbone.intervals import interval, mean_of_runs
from backbone.script import ROOT, importing
from backbone.stored import Modes, Times, of_first, read, speed_ups, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURES = ROOT / "figures"
BLANK = "0" * 64  # in place of a picture's own digest, while it is made

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
BARS = ("#0072B2", "#E69F00")


def pictures(times: list[Times], modes: list[Modes]) -> dict[str, str]:
    """The pictures that the stored files make, file by file, and what they show."""
    first = of_first(times)
    latency = {
        f"latency_{name}.svg": f"Latency of the 21 stages, {dataset.title}"
        for name, dataset in DATASETS.items()
    }
    rooflines = {
        f"roofline_{name}.svg": f"Roofline of the operations, {dataset.title}"
        for name, dataset in DATASETS.items()
        if any(device.lack(name) is None for device in first)
    }
    compared = {"modes.svg": "Speed-up of the modes over the stock pass"} if modes else {}
    compared |= (
        {"networks.svg": "Time of the networks against their MACs"} if times != first else {}
    )
    return latency | rooflines | compared


def draw(times: list[Times], modes: list[Modes], digest: str) -> None:
    """Draw the pictures: the latency of the stages, with its 95 % interval, of every device; the
    rooflines; and the modes."""
    with importing():
        import matplotlib

        matplotlib.use("svg")
        from matplotlib import pyplot

    style = {"svg.hashsalt": digest, "font.size": 9, "axes.axisbelow": True}
    matplotlib.rcParams.update(style)
    FIGURES.mkdir(exist_ok=True)
    if "networks.svg" in pictures(times, modes):
        figure, axes = pyplot.subplots(figsize=(8, 4.4), layout="constrained")
        draw_networks(axes, times)
        save(figure, "networks.svg", digest)
    times = of_first(times)
    if modes:
        figure = pyplot.figure(figsize=(8, 4.8 * len(modes)), layout="constrained")
        panels = figure.subplots(len(modes), squeeze=False)
        for (axes,), device in zip(panels, modes, strict=True):
            draw_modes(axes, device)
        save(figure, "modes.svg", digest)
    for dataset, (title, _) in DATASETS.items():
        figure, axes = pyplot.subplots(figsize=(8, 3.2), layout="constrained")
        draw_latency(axes, times, dataset)
        axes.set(title=f"{title}: latency by stage", ylabel="ms a pass (bars: 95 % interval)")
        save(figure, f"latency_{dataset}.svg", digest)
        devices = [device for device in times if device.lack(dataset) is None]
        if devices:
            figure = pyplot.figure(figsize=(8, 4.4 * len(devices)), layout="constrained")
            panels = figure.subplots(len(devices), 2, squeeze=False, width_ratios=(1, 3))
            for (left, right), device in zip(panels, devices, strict=True):
                draw_roofline(left, right, device, dataset)
                right.set(title=f"{title}, {device.name}: roofline")
            save(figure, f"roofline_{dataset}.svg", digest)


def draw_latency(axes: "Axes", times: list[Times], dataset: str) -> None:
    """Bars of the stages' latency, one of each device at each stage."""
    with importing():
        from backbone.rows import label_row

    width = 0.8 / len(times)
    for index, device in enumerate(times):
        latencies = [mean_of_runs(row.samples) for row in device.stages(dataset)]
        axes.bar(
            [place + (index + 0.5) * width - 0.4 for place in range(len(latencies))],
            [latency.mean for latency in latencies],
            width,
            yerr=[latency.half_width or 0 for latency in latencies],
            label=device.name,
            error_kw={"elinewidth": 1, "capsize": 2},
        )
    names = [label_row(row) for row in times[0].stages(dataset)]
    axes.set_xticks(range(len(names)), names, rotation=60)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.4)
    axes.legend()


def draw_roofline(left: "Axes", right: "Axes", device: Times, dataset: str) -> None:
    """Operations as points under the machine's lines: on the right what they attain against their
    arithmetic intensity; on the left, kind by kind, those without multiply-accumulates, by the
    bytes that they move."""
    flops_ceiling, bytes_ceiling = (ceiling / 1e9 for ceiling in device.ceilings(dataset))
    kinds: dict[str, list[tuple[float, float]]] = {}
    for row in device.layers(dataset):
        kind, macs, moved = row.cost
        seconds = float(row.samples.mean()) / 1e3
        if macs:
            point = (2 * macs / moved, 2 * macs / seconds / 1e9)
            kinds.setdefault(kind, []).append(point)
        elif moved:
            kinds.setdefault(kind, []).append((0, moved / seconds / 1e9))
    without = [kind for kind, points in kinds.items() if points[0][0] == 0]
    for kind, points in sorted(kinds.items(), key=lambda item: -len(item[1])):
        colour, marker = LOOKS.get(kind, OTHER)
        axes, x = right, [x for x, _ in points]
        if kind in without:
            axes, x = left, [without.index(kind)] * len(points)
        look = {"c": colour, "marker": marker, "s": 24, "linewidths": 0.3, "edgecolors": "black"}
        axes.scatter(x, [y for _, y in points], label=kind, **look)
    left.axhline(bytes_ceiling, color="black", linewidth=1)
    left.set(yscale="log", ylabel="GB/s", title="without MACs")
    left.set_xlim(-0.6, len(without) - 0.4)
    left.set_xticks(range(len(without)), without, rotation=60)
    ridge = flops_ceiling / bytes_ceiling
    right.plot([ridge / 100, ridge, ridge * 30], [flops_ceiling / 100, *[flops_ceiling] * 2], "k-")
    ceilings = f"{bytes_ceiling:.1f} GB/s, {flops_ceiling:.0f} GFLOP/s"
    right.annotate(ceilings, (0.03, 0.94), xycoords="axes fraction")
    right.set(
        xscale="log", yscale="log", xlabel="arithmetic intensity, FLOP a byte", ylabel="GFLOP/s"
    )
    right.legend(loc="lower right", fontsize=8)
    for axes in (left, right):
        axes.margins(y=0.1)
        axes.grid(alpha=0.3)


def draw_networks(axes: "Axes", times: list[Times]) -> None:
    """Networks as points, time against multiply-accumulates, a colour each device and dataset."""
    points: dict[str, list[tuple[float, float]]] = {}
    for dataset, device in product(DATASETS, times):
        row = device.whole("model", dataset)
        if row.cost:
            point = (row.cost.macs / 1e9, float(row.samples.mean()))
            points.setdefault(f"{DATASETS[dataset].title}, {device.name}", []).append(point)
            axes.annotate(
                title_of(device.network), point, (4, 4), textcoords="offset points", fontsize=7
            )
    for (label, places), (colour, marker) in zip(points.items(), cycle(LOOKS.values())):
        axes.scatter(*zip(*places, strict=True), c=colour, marker=marker, label=label)
    axes.set(
        xscale="log", yscale="log", xlabel="MACs, G", ylabel="ms a pass", title="Time against MACs"
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize=8)


def draw_modes(axes: "Axes", device: Modes) -> None:
    """Bars of the modes' speed-up over the stock pass, with its interval, one of each dataset."""
    names = list({mode: None for records in device.records.values() for mode in records})
    width = 0.8 / len(device.records)
    for index, (dataset, records) in enumerate(device.records.items()):
        ratios = {mode: speed_ups(record, records["stock"]) for mode, record in records.items()}
        shown = [mode for mode in names if ratios.get(mode)]
        axes.barh(
            [names.index(mode) + (index + 0.5) * width - 0.4 for mode in shown],
            [median(ratios[mode]) for mode in shown],
            width,
            xerr=list(zip(*(distances(ratios[mode]) for mode in shown), strict=True)),
            label=DATASETS[dataset].title,
            color=BARS[index],
            error_kw={"elinewidth": 1, "capsize": 2},
        )
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(names)), [mode.replace("--", "") for mode in names])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.4)
    axes.set(
        title=f"{title_of(device.network)}, {device.name}: speed-up over the stock pass",
        xlabel="times as fast (bars: 95 % interval)",
    )
    axes.legend()


def distances(ratios: list[float]) -> tuple[float, float]:
    """From the median of ratios to the lower and the upper end of their mean's interval."""
    (mean, half_width), middle = interval(ratios), median(ratios)
    if half_width is None:
        return 0, 0
    return max(0, middle - mean + half_width), max(0, mean + half_width - middle)


def save(figure: "Figure", name: str, digest: str) -> None:
    """Write a picture whole, the same bytes for the same stored files. It carries their digest, and
    one of its own bytes."""
    text = io.StringIO()
    about = f"stored files: sha256 {digest}; this picture: sha256 {BLANK}"
    figure.savefig(
        text, format="svg", facecolor="white", metadata={"Date": None, "Description": about}
    )
    blank = text.getvalue()
    write_whole(str(FIGURES / name), blank.replace(BLANK, _sha256(blank), 1))


def stale_pictures(pictures: Iterable[str], digest: str) -> list[Path]:
    """The pictures that are not of the stored files, or not as they were drawn."""
    stale = []
    for file in (FIGURES / name for name in pictures):
        text = read(file)
        own = re.search("this picture: sha256 ([0-9a-f]{64})", text)
        as_drawn = own and _sha256(text.replace(own[1], BLANK, 1)) == own[1]
        if not as_drawn or digest not in text:
            stale.append(file)
    return stale


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
