"""Pictures of the stored times."""

import hashlib
import io
import re
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from backbone.files import write_whole
from backbone.inputs import DATASETS
from backbone.intervals import mean_of_runs
from backbone.script import ROOT, importing
from backbone.stored import Times, read

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from backbone.rows import Row

FIGURES = ROOT / "figures"
BLANK = "0" * 64  # in place of a picture's own digest, while it is made

PICTURES = {
    **{
        f"latency_{name}.svg": f"Latency of the 21 stages, {dataset.title}"
        for name, dataset in DATASETS.items()
    },
    "time_memory.svg": "Time against memory of the 21 stages",
}


def draw(times: list[Times], digest: str) -> None:
    """Draw the pictures: the latency of the stages, with its 95 % interval, of every device; and
    their shares of the time and of the memory traffic."""
    with importing():
        import matplotlib

        matplotlib.use("svg")
        from matplotlib import pyplot

    style = {"svg.hashsalt": digest, "font.size": 9, "axes.axisbelow": True}
    matplotlib.rcParams.update(style)
    FIGURES.mkdir(exist_ok=True)
    for dataset, (title, _) in DATASETS.items():
        figure, axes = pyplot.subplots(figsize=(8, 3.2), layout="constrained")
        latencies = {
            device.name: [mean_of_runs(row.samples) for row in device.stages(dataset)]
            for device in times
        }
        means = {name: [stage.mean for stage in stages] for name, stages in latencies.items()}
        widths = {name: [s.half_width or 0 for s in stages] for name, stages in latencies.items()}
        draw_bars(axes, means, widths)
        label_stages(axes, times[0])
        axes.set(title=f"{title}: latency by stage", ylabel="ms a pass (bars: 95 % interval)")
        save(figure, f"latency_{dataset}.svg", digest)
    figure, panels = pyplot.subplots(2, figsize=(8, 5), sharex=True, layout="constrained")
    for axes, (dataset, (title, _)) in zip(panels, DATASETS.items(), strict=True):
        parts = {
            f"time, {device.name}": [row.samples.mean() for row in device.stages(dataset)]
            for device in times
        }
        parts["activations read"] = activation_bytes(times[0].records["layer", dataset].rows)
        shares = {name: [100 * x / sum(xs) for x in xs] for name, xs in parts.items()}
        draw_bars(axes, shares)
        axes.set(title=f"{title}: time against memory by stage", ylabel="% of the pass")
    label_stages(axes, times[0])
    save(figure, "time_memory.svg", digest)


def draw_bars(
    axes: "Axes", heights: dict[str, list[float]], errors: dict[str, list[float]] | None = None
) -> None:
    """Bars side by side at each stage, one of each name."""
    width = 0.8 / len(heights)
    for index, (name, values) in enumerate(heights.items()):
        axes.bar(
            [place + (index + 0.5) * width - 0.4 for place in range(len(values))],
            values,
            width,
            yerr=errors and errors[name],
            label=name,
            error_kw={"elinewidth": 1, "capsize": 2},
        )
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.4)
    axes.legend()


def label_stages(axes: "Axes", device: Times) -> None:
    """Stages' names below the bars."""
    with importing():
        from backbone.rows import label_row

    names = [label_row(row) for row in device.stages("pascal")]
    axes.set_xticks(range(len(names)), names, rotation=60)


def activation_bytes(rows: "list[Row]") -> list[int]:
    """For each stage, the bytes of the activations (float32) that its operations read; an addition
    reads two of one shape."""
    sums: list[int] = []
    for row in rows:
        if row.level == "block":
            sums.append(0)
        elif row.level == "layer":
            sums[-1] += prod(row.input_shape) * 4 * (2 if row.type == "add" else 1)
    return sums


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


def stale_pictures(digest: str) -> list[Path]:
    """The pictures that are not of the stored files, or not as they were drawn."""
    stale = []
    for file in (FIGURES / name for name in PICTURES):
        text = read(file)
        own = re.search("this picture: sha256 ([0-9a-f]{64})", text)
        as_drawn = own and _sha256(text.replace(own[1], BLANK, 1)) == own[1]
        if not as_drawn or digest not in text:
            stale.append(file)
    return stale


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
