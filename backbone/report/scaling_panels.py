"""The picture of scaling: the time of an image over images, pixels and threads."""

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from backbone.record.stored import StoredScaling
from backbone.report.bars import reach_of
from backbone.report.scaling import Panel, ms_per_image, panels_of

AXES = 3  # side by side


def draw_scaling(*axes_and_scaling: Axes | StoredScaling) -> None:
    """Lines of the time of an image, stock and with memory kept, with intervals, on logarithmic
    axes; dotted, what it would be in proportion. Axes without a panel stay empty."""
    *all_axes, scaling = axes_and_scaling
    panels = panels_of(scaling)
    for axes, panel in zip(all_axes, panels, strict=False):
        _draw_panel(axes, panel)
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    all_axes[0].set_ylabel("ms per image")
    all_axes[0].set_title(f"{scaling.network}, {scaling.configuration}", loc="left")


def _draw_panel(axes: Axes, panel: Panel) -> None:
    xs = [point.x for point in panel.points]
    lines = {"stock": [point.stock for point in panel.points]}
    if all(point.kept for point in panel.points):
        lines["memory kept"] = [point.kept for point in panel.points]
    for label, records in lines.items():
        values = [ms_per_image(record) for record in records]
        below, above = zip(*map(reach_of, values), strict=True)
        means = [value.mean for value in values]
        axes.errorbar(xs, means, yerr=(below, above), marker="o", capsize=2, label=label)
        ideal = [means[0] * (x / xs[0]) ** panel.slope for x in xs]
        axes.plot(xs, ideal, ":", color="grey", linewidth=1)
    axes.plot([], [], ":", color="grey", linewidth=1, label="in proportion")
    axes.set(xscale="log", yscale="log", xlabel=panel.axis)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    rotation = 60 if panel.noun == "size" else 0
    axes.set_xticks(xs, [point.label for point in panel.points], rotation=rotation, fontsize=7)
    axes.grid(alpha=0.4)
    axes.legend(fontsize=7)
