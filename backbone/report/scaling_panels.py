"""The picture of scaling: time per image over batch size, image size and threads."""

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from backbone.record.stored import StoredScaling
from backbone.report.bars import reach_of
from backbone.report.palette import MEMORY_KEPT, STOCK
from backbone.report.scaling import Panel, ms_per_image, panels_of
from backbone.statistics.intervals import Interval

AXES = 3  # side by side
COLOURS = {"stock": STOCK, "memory kept": MEMORY_KEPT}


def draw_scaling(*axes_and_scaling: Axes | StoredScaling) -> dict[str, Line2D]:
    """Lines of the time per image, stock and with memory kept, with intervals, on logarithmic axes;
    dotted lines show proportional scaling. Axes without a panel stay empty."""
    *all_axes, scaling = axes_and_scaling
    panels = panels_of(scaling)
    legend = {}
    for axes, panel in zip(all_axes, panels, strict=False):
        legend |= _draw_panel(axes, panel)
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    all_axes[0].set_ylabel("ms per image")
    all_axes[0].set_title(f"{scaling.network}, {scaling.configuration}", loc="left")
    return legend


def _draw_panel(axes: Axes, panel: Panel) -> dict[str, Line2D]:
    xs = [point.x for point in panel.points]
    lines = {"stock": [point.stock for point in panel.points]}
    if all(point.kept for point in panel.points):
        lines["memory kept"] = [point.kept for point in panel.points]
    for label, records in lines.items():
        values = [ms_per_image(record) for record in records]
        below, above = zip(*map(reach_of, values), strict=True)
        means = [value.mean for value in values]
        colour = COLOURS[label]
        axes.errorbar(xs, means, yerr=(below, above), marker="o", capsize=2, color=colour)
        for x, value in zip(xs, values, strict=True):
            _write_value(axes, x, value, is_above=label == "stock")
        ideal = [means[0] * (x / xs[0]) ** panel.slope for x in xs]
        axes.plot(xs, ideal, ":", color="grey", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel=panel.axis)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    rotation = 60 if panel.noun == "size" else 0
    axes.set_xticks(xs, [point.label for point in panel.points], rotation=rotation, fontsize=7)
    axes.grid(alpha=0.4)
    axes.margins(0.12)
    legend = {label: Line2D([], [], color=COLOURS[label], marker="o") for label in lines}
    return legend | {"proportional": Line2D([], [], linestyle=":", color="grey")}


def _write_value(axes: Axes, x: int, value: Interval, is_above: bool) -> None:
    below, above = reach_of(value)
    axes.annotate(
        f"{value.mean:,.0f}",
        (x, value.mean + above if is_above else value.mean - below),
        xytext=(0, 4 if is_above else -4),
        textcoords="offset points",
        ha="center",
        va="bottom" if is_above else "top",
        fontsize=7,
    )
