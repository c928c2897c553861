"""README's parts: what the stored records say, in short."""

from collections.abc import Iterator
from operator import attrgetter

from backbone.command.options import KEEP_MEMORY
from backbone.record.stored import Stored, StoredMemory
from backbone.record.study import StudyRow, load_study
from backbone.record.titles import DATASET_TITLES, MAIN_NETWORK
from backbone.report.kinds import sum_by_kind, sum_rows, word_shares
from backbone.report.markdown import format_table
from backbone.report.modes import FIRST, fastest_modes, first_of_kind, show_difference
from backbone.report.numbers import show_interval, show_mean
from backbone.report.parts import parts_of
from backbone.report.statistics import mean_of_rounds
from backbone.report.tables import Results, memory_cells, sizes_of, time_cells
from backbone.report.text import format_rows

MOST = 3  # modes, or kinds of operations, that are told
LINES = 6  # of what is printed


def format_front(results: Results) -> dict[str, list[str]]:
    """The parts and their blocks, by title; one may have none."""
    modes = [each for inputs in results.modes for each in inputs if each.network == MAIN_NETWORK]
    has_ceilings = any(each.ceilings for each in results.main_network)
    return {
        "In short": [format_table(map(short_cells, modes))] if modes else [],
        "Performance Stats": [format_table(performance_cells(results))],
        "What is printed": [f"```\n{printed_lines(results)}\n```"],
        "Why": [" ".join(why_sentences(results))] if has_ceilings else [],
        "Fastest modes": [format_table(fastest_cells(modes))] if modes else [],
        "Networks in short": [format_table(network_cells(results))] if results.others else [],
    }


def short_cells(modes: Stored) -> dict[str, str]:
    """What a pass costs on an input; the fastest modes that there are for it, and their price."""
    stock = mean_of_rounds(modes.records["stock"])
    cells = {"Input": f"{modes.dataset}, {modes.device}", "Stock (ms)": show_mean(stock)}
    for kind in FIRST:
        cells[f"The fastest {kind}"] = "-"
        if first := first_of_kind(modes, kind):
            mode, speed_up = first
            cell = f"`{mode}`: {speed_up.mean:.1f} times"
            if not modes.records[mode].is_exact:
                cell += f", output difference {show_difference(modes.records[mode])}"
            cells[f"The fastest {kind}"] = cell
    return cells


def performance_cells(results: Results) -> Iterator[dict[str, str]]:
    """The study's table, dataset by dataset: ours, stock and with memory kept, and behind them the
    study's own rows."""
    study = load_study()
    for dataset, title in DATASET_TITLES.items():
        for times in results.main_network:
            if times.dataset == title and times.records["model"].is_exact:
                yield _our_cells(times, results.memory)
        for row in study:
            if row.dataset == dataset:
                yield _study_cells(row)


def _our_cells(times: Stored, memory: list[StoredMemory]) -> dict[str, str]:
    timed = time_cells(times)
    sizes = sizes_of(times, memory)
    heads = ("Allocated Memory (MB)", "# Params (M)", "# Tensors (M)")
    kept = ("Model", "Dataset", "Device", "Inference Time (ms)", "Std (ms)", "FPS")
    return {head: timed[head] for head in kept} | {head: sizes.get(head, "-") for head in heads}


def _study_cells(row: StudyRow) -> dict[str, str]:
    return {
        "Model": MAIN_NETWORK,
        "Dataset": DATASET_TITLES[row.dataset],
        "Device": f"{row.device}, the study's, in training mode",
        "Inference Time (ms)": row.inference_time_ms,
        "Std (ms)": row.std_ms,
        "FPS": row.fps,
        "Allocated Memory (MB)": row.allocated_memory_mb or "-",
        "# Params (M)": row.params_m or "-",
        "# Tensors (M)": row.tensors_m or "-",
    }


def printed_lines(results: Results) -> str:
    """The first lines of what a run of the stock network prints of its operations, and its last;
    of the smaller input."""
    times = [each for each in results.main_network if each.is_stock][-1]
    lines = format_rows(times.records["layer"].rows).splitlines()
    return "\n".join([*lines[: LINES - 2], "...", lines[-1]])


def why_sentences(results: Results) -> Iterator[str]:
    """What the stock pass is made of, and where its time goes against where its MACs are."""
    for times in results.main_network:
        if times.ceilings is None or not times.is_stock:
            continue
        parts = parts_of(times, results.times)
        made_of = "" if parts is None else f"{', '.join(word_shares(parts))}; by operation: "
        rows = times.rows("layer")
        whole = sum_rows(rows, times.ceilings)
        kinds = sum_by_kind(rows, times.ceilings)
        shares = [
            f"{kind} {100 * total.time.mean / whole.time.mean:.0f} % of the time for "
            f"{100 * total.macs / whole.macs:.0f} % of the MACs"
            for kind, total in list(kinds.items())[:MOST]
        ]
        yield (
            f"{times.title}, {show_mean(whole.time)} ms: {made_of}{', '.join(shares)}; "
            f"all floors together: {whole.floor:.0f} ms."
        )


def fastest_cells(modes: list[Stored]) -> Iterator[dict[str, str]]:
    """The fastest modes, a column for each input."""
    columns = {}
    for each in modes:
        fastest = fastest_modes(each)[:MOST]
        shown = [f"`{mode}`: {show_interval(times)} times" for mode, times in fastest]
        columns[each.dataset] = shown + ["-"] * (MOST - len(shown))
    for place in range(MOST):
        cells = {dataset: column[place] for dataset, column in columns.items()}
        yield {"The fastest modes": str(place + 1)} | cells


def network_cells(results: Results) -> Iterator[dict[str, str]]:
    """A row for each network: its size, and its times at the datasets' sizes, stock and with memory
    kept, on the first device that has it."""
    by_macs = sorted(results.networks, key=attrgetter("macs"))
    for network in dict.fromkeys(each.network for each in by_macs):
        alike = [each for each in by_macs if each.network == network]
        memory = [each for each in results.memory if each.network == network]
        cells = {
            "Model": network,
            "# Params (M)": memory_cells(memory[0])["# Params (M)"] if memory else "-",
        }
        for title in DATASET_TITLES.values():
            here = [each for each in alike if each.dataset == title]
            cells[f"{title}: MACs (G)"] = f"{here[0].macs / 1e9:.1f}" if here else "-"
            for head, mode in (("stock", ""), ("memory kept", KEEP_MEMORY)):
                times = [each for each in here if _mode_of(each) == mode]
                shown = show_mean(mean_of_rounds(times[0].records["model"])) if times else "-"
                cells[f"{title}: {head} (ms)"] = shown
        yield cells


def _mode_of(times: Stored) -> str:
    return str(times.records["model"].conditions.get("mode", ""))
