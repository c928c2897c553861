"""RESULTS.md's blocks about modes."""

from backbone.report.fastest import over
from backbone.report.markdown import format_table
from backbone.report.mode_tables import first_cells, process_blocks, speed_blocks
from backbone.report.numbers import show_interval
from backbone.report.parts import gain_of_memory_kept
from backbone.report.stored_results import Results

DISAGREE = (
    ": they differ by more than their intervals, which do not cover the change of heap states and "
    "background load from one session to another"
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
    blocks = [block for inputs in results.main_modes for block in speed_blocks(inputs)]
    blocks += _word_sessions(results)
    for inputs in results.other_modes:
        title = f"{inputs[0].network}, {inputs[0].configuration}"
        blocks += collapsed(title, speed_blocks(inputs))
    return blocks


def _word_sessions(results: Results) -> list[str]:
    """A sentence for each input on the speed-up of memory kept in the two sessions that measured
    it: with the modes, and with the times."""
    sentences = []
    stock = {times.title: times for times in results.main_network if times.is_stock}
    for modes in (modes for inputs in results.main_modes for modes in inputs):
        if modes.kept is None or modes.title not in stock:
            continue
        here = over(modes, modes.kept, modes.stock)
        there = gain_of_memory_kept(stock[modes.title], results.times)
        if here and there and here.low is not None and there.low is not None:
            overlap = here.low <= there.high and there.low <= here.high
            sentences.append(
                f"{modes.title}: `{modes.kept.name}` is {show_interval(here)} times as fast as "
                f"stock in the table above, and {show_interval(there)} times in the separate "
                f"session of [Inference time](#inference-time){'' if overlap else DISAGREE}."
            )
    return sentences


def mode_process_blocks(results: Results) -> list[str]:
    """The processes of the modes, a table per input, collapsed."""
    blocks = [block for inputs in results.modes for block in process_blocks(inputs)]
    return collapsed("Tables", blocks) if blocks else []


def collapsed(title: str, blocks: list[str]) -> list[str]:
    """Blocks that a page shows after a click on their title."""
    return [f"<details><summary>{title}</summary>", *blocks, "</details>"]
