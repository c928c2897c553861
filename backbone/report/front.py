"""README's generated parts."""

from collections.abc import Iterator
from dataclasses import replace
from operator import attrgetter
from typing import TypeVar

from backbone.record.stored import Stored, StoredTimes
from backbone.record.stored_memory import StoredMemory
from backbone.record.titles import DATASET_TITLES, count
from backbone.report.findings import finding_lines
from backbone.report.markdown import format_table
from backbone.report.parts import with_memory_kept
from backbone.report.stored_results import Results
from backbone.report.summary import format_times
from backbone.report.tables import sizes_of, time_cells

Kind = TypeVar("Kind", bound=Stored)


def format_front(results: Results) -> dict[str, list[str]]:
    """The blocks of each part, by title; a part may be empty. They show the datasets' image sizes
    if there are results for these."""
    results = replace(
        results,
        times=_of_datasets(results.times),
        modes=[inputs for inputs in map(_of_datasets, results.modes) if inputs],
    )
    findings = finding_lines(results)
    return {
        "Findings": ["\n".join(findings)] if findings else [],
        "Performance Stats": [format_table(performance_cells(results))],
        "What is printed": list(printed_summary(results)),
    }


def _of_datasets(times: list[Kind]) -> list[Kind]:
    """The results at the datasets' image sizes; all results if there are none."""
    return [entry for entry in times if entry.dataset in DATASET_TITLES.values()] or times


def performance_cells(results: Results) -> Iterator[dict[str, str]]:
    """The study's table with our times, stock and with memory kept, by dataset."""
    for title in DATASET_TITLES.values():
        for times in results.main_network:
            if times.dataset == title and times.model.is_exact:
                yield _our_cells(times, results.memory)


def _our_cells(times: StoredTimes, memory: list[StoredMemory]) -> dict[str, str]:
    timed = time_cells(times)
    sizes = sizes_of(times, memory)
    heads = ("Allocated Memory (MB)", "# Params (M)", "# Tensors (M)")
    kept = ("Dataset", "Device", "Inference Time (ms)", "Std (ms)", "FPS")
    cells = {head: timed[head] for head in kept} | {head: sizes.get(head, "-") for head in heads}
    cells["Device"] = ", ".join([times.device, *_threads_of(times), *times.labels])
    return cells


def _threads_of(times: StoredTimes) -> list[str]:
    """The number of threads of a CPU's times, unless a label already has it."""
    conditions = times.model.conditions
    known = "threads" in conditions and "threads_chosen" not in conditions
    return [count(conditions["threads"], "thread")] if known else []


def printed_summary(results: Results) -> Iterator[str]:
    """The summary that stats.sh prints of the stock network at the smaller input, if stored."""
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
