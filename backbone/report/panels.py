"""What pictures show: panels of bars and points, each drawn on axes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle

from matplotlib import colormaps
from matplotlib.axes import Axes

from backbone.record.names import name_row
from backbone.record.rows import Row
from backbone.record.stored import StoredTimes
from backbone.report.bars import Bar, draw_bars, draw_from_top
from backbone.report.parts import SplitPass
from backbone.statistics.intervals import interval
from backbone.statistics.looks import level_of
from backbone.statistics.ratios import mean_of_rounds

MARKERS = "osv^DPX*"


@dataclass(frozen=True)
class Point:
    """A point in a plane."""

    x: float
    y: float


def draw_latency(axes: Axes, times: list[StoredTimes]) -> None:
    """Bars of the stages' latency, one of each configuration at each stage."""
    groups = {}
    for each, name in zip(times, _names_of(times), strict=True):
        level = level_of(each.block.conditions)
        groups[name] = [
            Bar(place, interval(row.run_means.tolist(), level))
            for place, row in enumerate(each.stages)
        ]
    draw_bars(axes.bar, "yerr", groups)
    names = [name_row(row).split()[-1] for row in times[0].stages]  # a block's position
    axes.set_xticks(range(len(names)), names, rotation=60)
    axes.set(title=f"{_place_of(times)}: latency by stage", ylim=(0, None))
    axes.set_xlabel("stage (numbers: inverted residual blocks)")
    axes.set_ylabel("ms a pass, with intervals")
    axes.grid(axis="y", alpha=0.4)
    axes.legend()


def colour_kinds(passes: Iterable[SplitPass]) -> dict[str, Sequence[float]]:
    """A colour for each kind of kernels that passes have."""
    kinds = dict.fromkeys(kind for each in passes for kind in each.parts.kernels)
    shades = colormaps["viridis"].resampled(len(kinds) + 1).colors[:-1]  # not its yellow
    return dict(zip(kinds, shades, strict=True))


def draw_parts(
    kind_colours: dict[str, Sequence[float]], axes: Axes, passes: list[SplitPass]
) -> None:
    """Stacked bars of what passes on an input are made of, and the floor of each as a line."""
    kinds = dict.fromkeys(kind for each in passes for kind in each.parts.kernels)
    colours = {"page faults": "tab:red", "reorders": "tab:orange", "the rest": "lightgrey"}
    colours |= kind_colours
    stacked = {
        "page faults": [each.parts.page_faults for each in passes],
        "reorders": [each.parts.reorders for each in passes],
        **{kind: [each.parts.kernels.get(kind, 0) for each in passes] for kind in kinds},
        # Kernels that met a worse minute than the passes leave less than nothing.
        "the rest": [max(0, each.parts.rest) for each in passes],
    }
    places = range(len(passes))
    lefts = [0.0] * len(passes)
    for label, widths in stacked.items():
        axes.barh(places, widths, left=lefts, height=0.6, label=label, color=colours[label])
        lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
    for place, each in zip(places, passes, strict=True):
        if each.times.ceilings is not None:
            floor = sum(row.floor(each.times.ceilings) for row in each.times.operations)
            axes.vlines(floor, place - 0.4, place + 0.4, colors="black", linewidth=2)
    axes.plot([], [], "k-", linewidth=2, label="floor")
    axes.set_yticks(places, _names_of([each.times for each in passes]))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.4)
    axes.set(title=f"{passes[0].times.dataset}: what a pass is made of")
    axes.set(xlabel="ms a pass", xlim=(0, None))
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1))


def _names_of(times: list[StoredTimes]) -> list[str]:
    """Their modes; their devices too where there are several."""
    if len({each.device for each in times}) > 1:
        return [each.configuration for each in times]
    return [", ".join(each.labels) or "stock" for each in times]


def _place_of(times: list[StoredTimes]) -> str:
    """Their dataset, and the GPU that they are of, if any."""
    first = times[0]
    return f"{first.dataset}, {first.device}" if first.model.is_of_gpu else first.dataset


def draw_roofline(left: Axes, right: Axes, times: StoredTimes) -> None:
    """Operations as points under the machine's lines: on the right by arithmetic intensity; on the
    left those without multiply-accumulates, kind by kind, by the bytes that they move."""
    gflops = times.ceilings.flops_per_second / 1e9
    gbytes = times.ceilings.bytes_per_second / 1e9
    places: dict[str, int] = {}  # on the left
    kinds: dict[str, list[Point]] = {}
    for row in times.operations:
        if row.cost.bytes_moved:
            kinds.setdefault(row.cost.kind, []).append(_roofline_point(row, places))
    for (kind, points), marker in zip(kinds.items(), cycle(MARKERS)):
        axes = left if kind in places else right
        axes.scatter(
            [point.x for point in points],
            [point.y for point in points],
            label=kind,
            marker=marker,
            s=24,
            linewidths=0.3,
            edgecolors="black",
        )
    left.axhline(gbytes, color="black", linewidth=1)
    left.set(yscale="log", ylabel="GB/s", title="without MACs", xlim=(-0.6, len(places) - 0.4))
    left.set_xticks(range(len(places)), places, rotation=60)
    ridge = gflops / gbytes
    right.plot([ridge / 100, ridge, ridge * 30], [gflops / 100, gflops, gflops], "k-")
    ceilings = f"{gbytes:.1f} GB/s, {gflops:.0f} GFLOP/s"
    right.annotate(ceilings, (0.03, 0.94), xycoords="axes fraction")
    right.set(xscale="log", yscale="log", title=f"{times.title}: roofline")
    right.set(xlabel="arithmetic intensity, FLOP a byte", ylabel="GFLOP/s")
    right.legend(loc="lower right", fontsize=8)
    for axes in (left, right):
        axes.margins(y=0.1)
        axes.grid(alpha=0.3)


def _roofline_point(row: Row, places: dict[str, int]) -> Point:
    """Where an operation stands: GFLOP/s over its arithmetic intensity; without arithmetic, GB/s at
    its kind's place, which it is given if it has none."""
    cost = row.cost
    per_second = 1e3 / row.device_mean / 1e9
    if cost.macs:
        return Point(2 * cost.macs / cost.bytes_moved, 2 * cost.macs * per_second)
    return Point(places.setdefault(cost.kind, len(places)), cost.bytes_moved * per_second)


def draw_networks(axes: Axes, times: list[StoredTimes]) -> None:
    """Bars of the time of a billion multiply-accumulates on an input, one of each configuration,
    network by network, that with the fewest of them at the top."""
    names: dict[str, str] = {}
    groups: dict[str, list[Bar]] = {}
    by_macs = sorted(times, key=lambda each: each.macs)
    for each, name in zip(by_macs, _names_of(by_macs), strict=True):
        if each.macs:
            gmacs = each.macs / 1e9
            names[each.network] = f"{each.network}: {gmacs:,.1f} G"
            time = mean_of_rounds(each.model).divided_by(gmacs)
            bar = Bar(list(names).index(each.network), time)
            groups.setdefault(name, []).append(bar)
    draw_from_top(axes, groups, list(names.values()))
    axes.set(title=f"{_place_of(times)}: time of a billion MACs", xlabel="ms a billion MACs")
    axes.legend()
