"""The picture of the roofline: operations below the machine's ceilings."""

from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from backbone.record.rows import Ceilings, Row
from backbone.record.stored import StoredTimes
from backbone.report.kinds import by_loss
from backbone.report.numbers import show_small
from backbone.report.palette import colour_of_kind
from backbone.report.words import word_stored

MARKERS = "osv^DPX*"
# Offsets in points of the numbers of the operations with the most time above their bound: in
# different directions, so that numbers of close points do not overlap.
OFFSETS = ((-11, -3), (5, -3), (5, 6), (5, -12), (-11, 6))
HALO = withStroke(linewidth=2, foreground="white")
LINE = {"color": "black", "linewidth": 1}
POINT = {"markersize": 5, "markeredgewidth": 0.4, "markeredgecolor": "black"}


def draw_roofline(left: Axes, right: Axes, times: StoredTimes) -> dict[str, Line2D]:
    """Points for operations: on the right FLOP/s over arithmetic intensity; on the left, for kinds
    without multiply-accumulates, bytes per second."""
    ceilings = times.ceilings
    gflops = ceilings.flops_per_second / 1e9
    gbytes = ceilings.bytes_per_second / 1e9
    rows = [row for row in times.operations if row.cost.bytes_moved]
    kinds = list(dict.fromkeys(row.cost.kind for row in rows))
    markers = dict(zip(kinds, cycle(MARKERS)))
    without_macs = list(dict.fromkeys(row.cost.kind for row in rows if not row.cost.macs))
    legend = {}

    def place_of(row: Row) -> tuple[Axes, float, float]:
        per_second = 1e-6 / row.device_mean
        if row.cost.macs:
            flops = 2 * row.cost.macs
            return right, flops / row.cost.bytes_moved, flops * per_second
        return left, without_macs.index(row.cost.kind), row.cost.bytes_moved * per_second

    for row in rows:
        axes, x, y = place_of(row)
        kind = row.cost.kind
        (legend[kind],) = axes.plot(
            x, y, linestyle="", marker=markers[kind], color=colour_of_kind(kind), **POINT
        )
    worst = by_loss(rows, ceilings)[: len(OFFSETS)]
    for number, (row, offset) in enumerate(zip(worst, OFFSETS, strict=False), 1):
        axes, x, y = place_of(row)
        axes.annotate(
            str(number),
            (x, y),
            xytext=offset,
            textcoords="offset points",
            fontsize=9,
            fontweight="bold",
            path_effects=[HALO],
        )
    left.axhline(gbytes, **LINE)
    left.annotate(f"{gbytes:.1f} GB/s", (len(without_macs) - 0.5, gbytes), **_above("right"))
    left.set(yscale="log", ylabel="GB/s", xlim=(-0.6, len(without_macs) - 0.4))
    left.set_xticks(range(len(without_macs)), without_macs, rotation=60)
    left.set_title("without MACs", loc="left")
    ridge = gflops / gbytes
    ends = ridge / 300, ridge * 30
    right.plot([ends[0], ridge, ends[1]], [ends[0] * gbytes, gflops, gflops], **LINE)
    right.annotate(f"{gflops:.0f} GFLOP/s", (ends[1], gflops), **_above("right"))
    right.annotate(f"{gbytes:.1f} GB/s", (ends[0], ends[0] * gbytes), **_above("left", 12))
    right.set(xscale="log", yscale="log", ylabel="GFLOP/s")
    right.set_xlabel("arithmetic intensity (FLOP per byte)")
    right.set_title(f"{times.dataset}, {word_stored(times)}", loc="left")
    right.annotate(
        "\n".join(_words_of(place, row, ceilings) for place, row in enumerate(worst, 1)),
        (0.98, 0.03),
        xycoords="axes fraction",
        ha="right",
        multialignment="left",
        va="bottom",
        fontsize=8,
    )
    for axes in (left, right):
        axes.margins(y=0.1)
        axes.grid(alpha=0.3)
    return legend


def _words_of(number: int, row: Row, ceilings: Ceilings) -> str:
    time, bound = (show_small(ms, 1) for ms in (row.device_mean, row.bound(ceilings)))
    return f"{number}  {row.path or row.type}: {time} ms, bound {bound} ms"


def _above(side: str, points: int = 3) -> dict[str, object]:
    """Arguments of annotate() for a text above a line, aligned to a side."""
    return {
        "xytext": (0, points),
        "textcoords": "offset points",
        "ha": side,
        "va": "bottom",
        "fontsize": 8,
    }
