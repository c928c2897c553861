"""Pictures of the stored times."""

import io
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from statistics import median

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backbone.rows import interval, name_row
from backbone.stored import TITLES, Stored, of_first, of_stock, speed_ups

MARKERS = "osv^DPX*"


def list_pictures(times: list[Stored], modes: list[list[Stored]]) -> Iterator[tuple]:
    """The pictures that the stored files make, in the README's order: the part that one is in, its
    file's name, what it shows, and what gives its SVG text for a digest of the stored files."""
    part = "Inference time"  # where the README begins: one picture
    for dataset, title in TITLES.items():
        here = [each for each in of_first(times) if each.dataset == title]
        shown = partial(draw, draw_latency, [here], 3.2)
        yield part, f"latency_{dataset}.svg", f"Latency of the 21 stages, {title}", shown
        part, known = "Where the time goes", [each for each in of_stock(here) if each.ceilings]
        shown = partial(draw, draw_roofline, known, 4.4, widths=(1, 3))
        if known:
            yield part, f"roofline_{dataset}.svg", f"Roofline of the operations, {title}", shown
    if modes:
        shown = partial(draw, draw_modes, modes, 4.8)
        yield "Modes", "modes.svg", "Speed-up of the modes over the stock pass", shown
    if times != of_first(times):
        shown = partial(draw, draw_networks, [times], 4.4)
        yield "Networks", "networks.svg", "Time of the networks against their MACs", shown


def draw(
    draw_panel: Callable[..., None], panels: list, height: float, digest: str, widths: tuple = (1,)
) -> str:
    """A picture's SVG text, the same for the same digest: a panel, so many inches high, on axes of
    these relative widths for each of what is shown."""
    look = {"svg.hashsalt": digest, "font.size": 9, "axes.axisbelow": True}
    style.use(["default", "seaborn-v0_8-colorblind", look])
    figure, text = Figure((8, height * len(panels)), layout="constrained"), io.StringIO()
    grid = figure.subplots(len(panels), len(widths), squeeze=False, width_ratios=widths)
    for axes, shown in zip(grid, panels, strict=True):
        draw_panel(*axes, shown)
    figure.savefig(text, format="svg", facecolor="white", metadata={"Date": None})
    return text.getvalue()


def draw_bars(bar: Callable, error: str, groups: dict[str, list[tuple[float, ...]]]) -> None:
    """Bars by axes.bar or barh, the groups' side by side at each place. A bar, by its group's
    label: its place, its length, and how far its interval reaches below and above."""
    width = 0.8 / len(groups)
    for index, (label, bars) in enumerate(groups.items()):
        places, lengths, *reach = zip(*bars, strict=True)
        places = [place + (index + 0.5) * width - 0.4 for place in places]
        look = {"label": label, "error_kw": {"elinewidth": 1, "capsize": 2}}
        bar(places, lengths, width, **{error: reach}, **look)


def draw_latency(axes: Axes, times: list[Stored]) -> None:
    """Bars of the stages' latency, one of each device at each stage."""
    groups = {}
    for each in times:
        latencies = [interval(row.run_means) for row in each.rows("block")]
        groups[each.device] = [(i, mean, w or 0, w or 0) for i, (mean, w) in enumerate(latencies)]
    draw_bars(axes.bar, "yerr", groups)
    names = [name_row(row).split()[-1] for row in times[0].rows("block")]  # a block's position
    axes.set_xticks(range(len(names)), names, rotation=60)
    axes.set(title=f"{times[0].dataset}: latency by stage", ylim=(0, None))
    axes.set_ylabel("ms a pass (bars: 95 % interval)")
    axes.grid(axis="y", alpha=0.4)
    axes.legend()


def draw_roofline(left: Axes, right: Axes, times: Stored) -> None:
    """Operations as points under the machine's lines: on the right by arithmetic intensity; on the
    left those without multiply-accumulates, kind by kind, by the bytes that they move."""
    flops_ceiling, bytes_ceiling = (ceiling / 1e9 for ceiling in times.ceilings)
    kinds: dict[str, list[tuple[float, float]]] = {}
    without: dict[str, int] = {}  # places on the left
    for row in times.rows("layer"):
        kind, macs, moved = row.cost
        if moved:
            x = 2 * macs / moved if macs else without.setdefault(kind, len(without))
            y = (2 * macs or moved) / (row.mean / 1e3) / 1e9
            kinds.setdefault(kind, []).append((x, y))
    for (kind, points), marker in zip(kinds.items(), cycle(MARKERS)):
        look = {"marker": marker, "s": 24, "linewidths": 0.3, "edgecolors": "black"}
        axes = left if kind in without else right
        axes.scatter(*zip(*points, strict=True), label=kind, **look)
    left.axhline(bytes_ceiling, color="black", linewidth=1)
    left.set(yscale="log", ylabel="GB/s", title="without MACs", xlim=(-0.6, len(without) - 0.4))
    left.set_xticks(range(len(without)), without, rotation=60)
    ridge = flops_ceiling / bytes_ceiling
    right.plot([ridge / 100, ridge, ridge * 30], [flops_ceiling / 100, *[flops_ceiling] * 2], "k-")
    ceilings = f"{bytes_ceiling:.1f} GB/s, {flops_ceiling:.0f} GFLOP/s"
    right.annotate(ceilings, (0.03, 0.94), xycoords="axes fraction")
    right.set(xscale="log", yscale="log", title=f"{times.title}: roofline")
    right.set(xlabel="arithmetic intensity, FLOP a byte", ylabel="GFLOP/s")
    right.legend(loc="lower right", fontsize=8)
    for axes in (left, right):
        axes.margins(y=0.1)
        axes.grid(alpha=0.3)


def draw_modes(axes: Axes, modes: list[Stored]) -> None:
    """Bars of the modes' speed-up over the stock pass, with its interval, one of each dataset."""
    names = list(dict.fromkeys(mode for each in modes for mode in each.records))
    groups = {}
    for each in modes:
        bars = groups[each.dataset] = []
        for mode, record in each.records.items():
            if ratios := speed_ups(record, each.records["stock"]):
                (mean, half_width), middle = interval(ratios), median(ratios)
                low, high = mean - (half_width or 0), mean + (half_width or 0)
                reach = max(0, middle - low), max(0, high - middle)
                bars.append((names.index(mode), middle, *reach))
    draw_bars(axes.barh, "xerr", groups)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(names)), [mode.replace("--", "") for mode in names])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.4)
    axes.set_title(f"{modes[0].network}, {modes[0].device}: speed-up over the stock pass")
    axes.set_xlabel("times as fast (bars: 95 % interval)")
    axes.legend()


def draw_networks(axes: Axes, times: list[Stored]) -> None:
    """Networks as points, time against multiply-accumulates, a colour each device and dataset."""
    points: dict[str, list[tuple[float, float]]] = {}
    for each in times:
        if each.macs:
            point = each.macs / 1e9, each.records["model"].rows[-1].mean
            points.setdefault(each.title, []).append(point)
            name = each.network.rpartition(", ")[2]  # of two dilated ones the output stride
            axes.annotate(name, point, (0, 5), textcoords="offset points", ha="center", fontsize=7)
    for (label, places), marker in zip(points.items(), cycle(MARKERS)):
        axes.scatter(*zip(*places, strict=True), marker=marker, label=label)
    axes.set(xlabel="MACs, G", ylabel="ms a pass", xscale="log", yscale="log")
    axes.margins(x=0.1)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize=8)
