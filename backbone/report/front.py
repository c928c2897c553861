"""README's parts: what the stored records say, in short."""

from collections.abc import Callable, Iterator
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
        "In short": [format_table(short_cells(modes))] if modes else [],
        "Performance Stats": [format_table(performance_cells(results))],
        "What is printed": [f"```\n{printed_lines(results)}\n```"],
        "Why": ["\n".join(why_lines(results))] if has_ceilings else [],
        "Fastest modes": [format_table(fastest_cells(modes))] if modes else [],
        "Networks in short": [format_table(network_cells(results))] if results.others else [],
    }


def short_cells(modes: list[Stored]) -> Iterator[dict[str, str]]:
    """The fastest modes that there are of each kind, with their price, a column for each input."""
    for kind in FIRST:
        cells = {"The fastest": kind}
        for each in modes:
            stock = show_mean(mean_of_rounds(each.records["stock"]))
            cells[f"{each.dataset}, {each.device}: stock {stock} ms"] = _word_first(each, kind)
        yield cells


def _word_first(modes: Stored, kind: str) -> str:
    """The fastest mode of a kind on an input, how many times as fast as stock it is, and how far
    its output is from stock's."""
    first = first_of_kind(modes, kind)
    if first is None:
        return "-"
    mode, speed_up = first
    record = modes.records[mode]
    price = "" if record.is_exact else f", output difference {show_difference(record)}"
    return f"`{mode}`: {speed_up.mean:.1f} times{price}"


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


def why_lines(results: Results) -> Iterator[str]:
    """What the stock pass is made of, and where its time goes against where its MACs are, a line an
    input."""
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
            f"- {times.title}, {show_mean(whole.time)} ms: {made_of}{', '.join(shares)}; "
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
    """A row for each network: its size, and its times, stock and with memory kept, on the first
    device that has it; in each cell those of all datasets' sizes."""
    by_macs = sorted(results.networks, key=attrgetter("macs"))
    inputs = " / ".join(DATASET_TITLES.values())
    for network in dict.fromkeys(each.network for each in by_macs):
        alike = [each for each in by_macs if each.network == network]
        memory = [each for each in results.memory if each.network == network]
        cells = {
            "Model": network,
            "# Params (M)": memory_cells(memory[0])["# Params (M)"] if memory else "-",
            f"MACs (G): {inputs}": _of_inputs(alike, lambda times: f"{times.macs / 1e9:.1f}"),
        }
        for head, mode in (("Stock", ""), ("Memory kept", KEEP_MEMORY)):
            of_mode = [each for each in alike if _mode_of(each) == mode]
            cells[f"{head} (ms): {inputs}"] = _of_inputs(of_mode, _show_time)
        yield cells


def _of_inputs(times: list[Stored], show_one: Callable[[Stored], str]) -> str:
    """What is shown of the first times of each dataset; "-" where there are none."""
    firsts = {each.dataset: each for each in reversed(times)}
    return " / ".join(
        show_one(firsts[title]) if title in firsts else "-" for title in DATASET_TITLES.values()
    )


def _show_time(times: Stored) -> str:
    return show_mean(mean_of_rounds(times.records["model"]))


def _mode_of(times: Stored) -> str:
    return str(times.records["model"].conditions.get("mode", ""))
