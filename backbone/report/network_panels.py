"""The picture of networks: their time per multiply-accumulate."""

from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from backbone.record.stored import StoredTimes
from backbone.report.bars import Bar, draw_bars
from backbone.report.numbers import show_mean
from backbone.report.palette import MEMORY_KEPT, STOCK
from backbone.report.words import word_stored
from backbone.statistics.ratios import mean_of_rounds


def draw_networks(axes: Axes, times: list[StoredTimes]) -> dict[str, Patch | Line2D]:
    """Bars of the time per billion multiply-accumulates of networks on one input and device, those
    with the fewest at the top, with a line at the machine's peak arithmetic."""
    known = [entry for entry in times if entry.macs]
    known.sort(key=lambda entry: (entry.macs, entry.network, not entry.is_stock))
    bars = []
    legend: dict[str, Patch | Line2D] = {}
    for place, (network, modes) in enumerate(groupby(known, key=lambda entry: entry.network)):
        for row, entry in enumerate(modes):
            gmacs = entry.macs / 1e9
            name = "" if row else f"{network}: {gmacs:,.1f} GMACs"
            colour = STOCK if entry.is_stock else MEMORY_KEPT
            time = mean_of_rounds(entry.model).divided_by(gmacs)
            bars.append(Bar(len(bars) + 0.7 * place, name, time, colour))
            legend[word_stored(entry)] = Patch(color=colour)
    draw_bars(axes, bars, show_mean)
    label = "ms per billion multiply-accumulates (GMAC)"
    ceilings = [entry.ceilings for entry in known if entry.ceilings]
    if ceilings:
        least = 2e9 * 1e3 / max(ceiling.flops_per_second for ceiling in ceilings)
        axes.axvline(least, color="black", linewidth=1)
        label += f"; at peak arithmetic: {least:.1f}"
        legend["peak arithmetic"] = Line2D([], [], color="black", linewidth=1)
    axes.set_title(f"{times[0].dataset}, {times[0].device}", loc="left")
    axes.set_xlabel(label)
    return legend
