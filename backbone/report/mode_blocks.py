"""RESULTS.md's blocks about modes."""

from itertools import starmap

from backbone.record.stored import StoredModes, StoredTimes
from backbone.record.titles import MAIN_NETWORK
from backbone.report.fastest import over
from backbone.report.markdown import format_table
from backbone.report.mode_tables import first_cells, process_blocks, speed_blocks
from backbone.report.numbers import show_interval
from backbone.report.parts import gain_of_memory_kept
from backbone.report.stored_results import Results
from backbone.statistics.intervals import Interval
from backbone.statistics.ratios import mean_of_rounds

IN_TIMES = "[Inference time](#inference-time)"
IN_NETWORKS = "[Networks](#networks)"
DISAGREE = (
    " Some of these intervals do not overlap: heap states and background load differ between "
    "sessions, and an interval covers only its own."
)


def advice_blocks(results: Results) -> list[str]:
    """The fastest modes of the first network, a table per setting."""
    blocks = []
    for inputs in results.main_modes:
        if first := list(first_cells(inputs)):
            title = f"{inputs[0].network}, {inputs[0].configuration}:"
            blocks += [title, format_table(first)]
    return blocks


def mode_blocks(results: Results) -> list[str]:
    """The speed of the modes, a table per input, collapsed for all networks but the first."""
    blocks = [block for inputs in results.main_modes for block in _speed_blocks(inputs, results)]
    for inputs in results.other_modes:
        title = f"{inputs[0].network}, {inputs[0].configuration}"
        blocks += collapsed(title, _speed_blocks(inputs, results))
    return blocks


def _speed_blocks(inputs: list[StoredModes], results: Results) -> list[str]:
    """The speed of the modes of one network and setting, and how these results compare with those
    of the session that measured its times."""
    stock = {(times.network, times.title): times for times in results.times if times.is_stock}
    sentences = [
        _word_sessions(modes, stock[modes.network, modes.title], results.times)
        for modes in inputs
        if (modes.network, modes.title) in stock
    ]
    return [*speed_blocks(inputs), *filter(None, sentences)]


def _word_sessions(modes: StoredModes, stock: StoredTimes, all_times: list[StoredTimes]) -> str:
    """A sentence on the time of stock and the speed-up of memory kept in the two sessions that
    measured them: with the modes, and with the times; "" if either has no intervals."""
    ratios = (
        None if modes.kept is None else over(modes, modes.kept, modes.stock),
        gain_of_memory_kept(stock, all_times),
    )
    means = (mean_of_rounds(modes.stock.record), mean_of_rounds(stock.model))
    if not all(value and value.low is not None for value in (*ratios, *means)):
        return ""
    section = IN_TIMES if stock.network == MAIN_NETWORK else IN_NETWORKS
    (here, there), (fast_here, fast_there) = (map(show_interval, pair) for pair in (means, ratios))
    text = (
        f"{modes.title}: stock takes {here} ms in the table above, and {there} ms in the separate "
        f"session of {section}; `{modes.kept.name}` is {fast_here} and {fast_there} times as fast."
    )
    return text if all(starmap(_overlap, (means, ratios))) else f"{text}{DISAGREE}"


def _overlap(first: Interval, second: Interval) -> bool:
    return first.low <= second.high and second.low <= first.high


def mode_process_blocks(results: Results) -> list[str]:
    """The processes of the modes, a table per input, collapsed."""
    blocks = [block for inputs in results.modes for block in process_blocks(inputs)]
    return collapsed("Tables", blocks) if blocks else []


def collapsed(title: str, blocks: list[str]) -> list[str]:
    """Blocks that a page shows after a click on their title."""
    return [f"<details><summary>{title}</summary>", *blocks, "</details>"]
