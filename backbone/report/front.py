"""README's parts: what the stored records say, in short."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from operator import attrgetter
from typing import TypeVar

from backbone.command.options import MEMORY_KEPT, STOCK
from backbone.record.stored import Stored, StoredModes, StoredTimes
from backbone.record.stored_memory import StoredMemory
from backbone.record.titles import DATASET_TITLES, MAIN_NETWORK, count
from backbone.report.kinds import sum_by_kind, sum_rows, word_shares
from backbone.report.markdown import format_table
from backbone.report.mode_tables import (
    CATEGORIES,
    Category,
    fastest_modes,
    may_be_as_fast,
    output_head,
    show_output,
)
from backbone.report.numbers import show_mean, show_small
from backbone.report.parts import parts_of, with_memory_kept
from backbone.report.summary import format_times
from backbone.report.tables import Results, memory_cells, sizes_of, time_cells
from backbone.statistics.looks import level_of
from backbone.statistics.ratios import mean_of_rounds

Kind = TypeVar("Kind", bound=Stored)

MOST = 3  # modes, or kinds of operations, that are told


def format_front(results: Results) -> dict[str, list[str]]:
    """The parts and their blocks, by title; one may have none. They are of the datasets' image
    sizes, if there are results of these."""
    results = replace(
        results,
        times=_of_datasets(results.times),
        modes=[inputs for inputs in map(_of_datasets, results.modes) if inputs],
    )
    modes = [each for inputs in results.modes for each in inputs if each.network == MAIN_NETWORK]
    has_ceilings = any(each.ceilings for each in results.main_network)
    return {
        "In short": [format_table(short_cells(modes))] if modes else [],
        "Performance Stats": [format_table(performance_cells(results))],
        "What is printed": list(printed_summary(results)),
        "Why": ["\n".join(why_lines(results))] if has_ceilings else [],
        "Networks in short": [format_table(network_cells(results))] if results.others else [],
    }


def _of_datasets(times: list[Kind]) -> list[Kind]:
    """The times at the datasets' image sizes; all times, if there are none."""
    return [each for each in times if each.dataset in DATASET_TITLES.values()] or times


def short_cells(inputs: list[StoredModes]) -> Iterator[dict[str, str]]:
    """The fastest modes that there are of each kind, with their price, a column for each input."""
    stock = [show_mean(mean_of_rounds(modes.stock.record)) for modes in inputs]
    heads = [f"{modes.title}: stock {time} ms" for modes, time in zip(inputs, stock, strict=True)]
    for category in CATEGORIES:
        fastest = [_word_fastest(modes, category) for modes in inputs]
        yield {"The fastest": category.title} | dict(zip(heads, fastest, strict=True))


def _word_fastest(modes: StoredModes, category: Category) -> str:
    """The fastest mode of a category on an input, with how many times as fast as stock it is and
    how far its output is from stock's; and which others may be as fast."""
    fastest = fastest_modes(modes, category)
    if not fastest:
        return "-"
    (mode, ratio), *others = fastest
    text = f"`{mode.name}`: {show_mean(ratio)} times"
    if not mode.is_exact:
        text += f", {output_head(modes).lower()} {show_output(mode, modes)}"
    as_fast = [f"`{other.name}`" for other, _ in others if may_be_as_fast(modes, other, mode)]
    return f"{text}; {', '.join(as_fast)} may be as fast" if as_fast else text


def performance_cells(results: Results) -> Iterator[dict[str, str]]:
    """The study's table, with our times, stock and with memory kept, dataset by dataset."""
    for title in DATASET_TITLES.values():
        for times in results.main_network:
            if times.dataset == title and times.model.is_exact:
                yield _our_cells(times, results.memory)


def _our_cells(times: StoredTimes, memory: list[StoredMemory]) -> dict[str, str]:
    timed = time_cells(times)
    sizes = sizes_of(times, memory)
    heads = ("Allocated Memory (MB)", "# Params (M)", "# Tensors (M)")
    kept = ("Model", "Dataset", "Device", "Inference Time (ms)", "Std (ms)", "FPS")
    cells = {head: timed[head] for head in kept} | {head: sizes.get(head, "-") for head in heads}
    cells["Device"] = ", ".join([times.device, *_threads_of(times), *times.labels])
    return cells


def _threads_of(times: StoredTimes) -> list[str]:
    """How many threads a CPU's times are of, unless labels say it."""
    conditions = times.model.conditions
    known = "threads" in conditions and "threads_chosen" not in conditions
    return [count(conditions["threads"], "thread")] if known else []


def printed_summary(results: Results) -> Iterator[str]:
    """What stats.sh prints at its end of the stock network, if there are times of it; of the
    smaller input alone."""
    stock = [times for times in results.main_network if times.is_stock and not times.settings]
    if stock:
        smallest = min(stock, key=attrgetter("macs"))
        alike = [
            times
            for times in results.main_network
            if times.dataset == smallest.dataset and times.device == smallest.device
        ]
        kept = with_memory_kept(smallest, alike)
        both = [smallest] if kept is None else [smallest, kept]
        yield f"```\n{format_times(both)}```"


def why_lines(results: Results) -> Iterator[str]:
    """What the stock pass is made of, and where its time goes against where its MACs are, a line an
    input."""
    for times in results.main_network:
        if times.ceilings is None or not times.is_stock:
            continue
        parts = parts_of(times, results.times)
        made_of = "" if parts is None else f"{', '.join(word_shares(parts))}; by operation: "
        rows = times.operations
        level = level_of(times.layer.conditions)
        whole = sum_rows(rows, times.ceilings, level)
        kinds = sum_by_kind(rows, times.ceilings, level)
        shares = [
            f"{kind} {100 * total.time.mean / whole.time.mean:.0f} % of the time for "
            f"{100 * total.macs / whole.macs:.0f} % of the MACs"
            for kind, total in list(kinds.items())[:MOST]
        ]
        yield (
            f"- {times.title}, {show_mean(whole.time)} ms: {made_of}{', '.join(shares)}; "
            f"all floors together: {show_small(whole.floor, 0)} ms."
        )


def network_cells(results: Results) -> Iterator[dict[str, str]]:
    """A row for each network on each device: its size, and its times, stock and with memory kept;
    in each cell those of all datasets' sizes."""
    by_macs = sorted(results.networks, key=attrgetter("macs"))
    inputs = " / ".join(DATASET_TITLES.values())
    has_devices = len({each.device for each in by_macs}) > 1
    for network, device in dict.fromkeys((each.network, each.device) for each in by_macs):
        alike = [each for each in by_macs if (each.network, each.device) == (network, device)]
        memory = [each for each in results.memory if each.network == network]
        cells = {
            "Model": network,
            **({"Device": device} if has_devices else {}),
            "# Params (M)": memory_cells(memory[0])["# Params (M)"] if memory else "-",
            f"MACs (G): {inputs}": _of_inputs(alike, lambda times: f"{times.macs / 1e9:,.1f}"),
        }
        for head, mode in (("Stock", STOCK), ("Memory kept", MEMORY_KEPT)):
            of_mode = [each for each in alike if each.mode == mode]
            cells[f"{head} (ms): {inputs}"] = _of_inputs(of_mode, _show_time)
        yield cells


def _of_inputs(times: list[StoredTimes], show_one: Callable[[StoredTimes], str]) -> str:
    """What is shown of the first times of each dataset; "-" where there are none."""
    firsts = {each.dataset: each for each in reversed(times)}
    return " / ".join(
        show_one(firsts[title]) if title in firsts else "-" for title in DATASET_TITLES.values()
    )


def _show_time(times: StoredTimes) -> str:
    return show_mean(mean_of_rounds(times.model))
