"""The modes as tables, for each input one of how fast they are and one of their processes."""

from collections.abc import Callable, Iterator

from backbone.command.options import KEEP_MEMORY
from backbone.record.rows import Record, Row
from backbone.record.stored import Stored
from backbone.report.comparison import word_verdict
from backbone.report.markdown import format_table
from backbone.report.numbers import (
    MIB,
    show,
    show_interval,
    show_mean,
    show_range,
    show_range_of_counts,
)
from backbone.statistics.intervals import Interval
from backbone.statistics.looks import SAME, judge
from backbone.statistics.ratios import mean_of_rounds, speed_up

AS_KEPT = f"Times as fast as `{KEEP_MEMORY}`"
FIRST = {  # of what the fastest is told
    "that changes no arithmetic": lambda record: record.is_exact,
    "in float32": lambda record: record.conditions["dtype"] == "float32",
    "of all": lambda record: True,
}


def mode_blocks(inputs: list[Stored]) -> list[str]:
    """How fast the modes of one network and setting are, a table an input, the fastest first."""
    return _blocks(inputs, mode_cells)


def process_blocks(inputs: list[Stored]) -> list[str]:
    """What the processes of the modes were, in the same order."""
    return _blocks(inputs, lambda mode, modes: process_cells(modes.records[mode].whole))


def _blocks(inputs: list[Stored], cells: Callable[[str, Stored], dict[str, str]]) -> list[str]:
    """A table an input, with cells of each mode, the fastest first."""
    blocks = []
    for each in inputs:
        rows = [{"Mode": _show_mode(mode)} | cells(mode, each) for mode in _by_speed(each)]
        blocks += [f"{each.network}, {each.title}:", format_table(rows)]
    return blocks


def _by_speed(modes: Stored) -> list[str]:
    """The modes of an input, the fastest first."""
    return sorted(modes.records, key=lambda mode: -_speed_up(modes, mode, "stock").mean)


def _show_mode(mode: str) -> str:
    return mode if mode.startswith("stock") else f"`{mode}`"


def mode_cells(mode: str, modes: Stored) -> dict[str, str]:
    """How many times as fast a mode is as stock, and as memory kept; its verdict, time, output
    difference and peak."""
    record = modes.records[mode]
    over_stock = _speed_up(modes, mode, "stock")
    over_kept = _speed_up(modes, mode, KEEP_MEMORY)
    cells = {
        "Times as fast as stock": "1" if mode == "stock" else _show_speed_up(over_stock),
        AS_KEPT: "1" if mode == KEEP_MEMORY else _show_speed_up(over_kept),
        "Verdict": "-" if mode == "stock" else word_verdict(judge(over_stock, SAME), SAME),
        "Time (ms)": show_mean(mean_of_rounds(record)),
        "Output difference": show_difference(record),
        "Peak (MB)": _show_peak(record),
    }
    if KEEP_MEMORY not in modes.records:
        del cells[AS_KEPT]
    return cells


def process_cells(row: Row) -> dict[str, str]:
    """How many processes have run a pass, the fastest and the slowest of them, and the fewest and
    the most page faults of a pass."""
    return {
        "Processes (ms)": f"{len(row.run_means)}: {show_range(row.run_means)}",
        "Page faults": show_range_of_counts(row.page_faults) if row.page_faults else "-",
    }


def fastest_modes(modes: Stored) -> list[tuple[str, Interval]]:
    """The modes of an input that are faster than stock for certain, the fastest first, each with
    how many times; none that makes the network another function."""
    choices = [
        (mode, _speed_up(modes, mode, "stock"))
        for mode, record in modes.records.items()
        if not mode.startswith("stock") and not record.is_of_training
    ]
    faster = [choice for choice in choices if judge(choice[1], SAME) == "faster"]
    return sorted(faster, key=lambda choice: -choice[1].mean)


def fastest_of_kind(modes: Stored, kind: str) -> list[tuple[str, Interval]]:
    """The same of a kind in FIRST."""
    is_of_kind = FIRST[kind]
    return [each for each in fastest_modes(modes) if is_of_kind(modes.records[each[0]])]


def may_be_as_fast(modes: Stored, mode: str, other: str) -> bool:
    """Whether one mode is not known to be slower than another by more than what is called the
    same."""
    return judge(_speed_up(modes, mode, other), SAME) != "slower"


def first_cells(inputs: list[Stored]) -> Iterator[dict[str, str]]:
    """What to try first, input by input: the fastest modes of some kinds, with their command and
    their price."""
    for each in inputs:
        for kind in FIRST:
            for mode, ratio in fastest_of_kind(each, kind)[:1]:
                record = each.records[mode]
                yield {
                    "Dataset": each.dataset,
                    "The fastest": kind,
                    "Command": f"`{_command_of(mode, record)}`",
                    "Times as fast as stock": _show_speed_up(ratio),
                    "Output difference": show_difference(record),
                    "Peak (MB)": _show_peak(record),
                    "Stock's peak (MB)": _show_peak(each.records["stock"]),
                }


def _command_of(mode: str, record: Record) -> str:
    """The command line that runs a mode."""
    flags = record.conditions.get("mode", "")
    variables = mode.removesuffix(flags)
    script = "timer.py" if "cuda_version" in record.conditions else "cpu/timer.py"
    words = [variables, "python", script, "--i", record.conditions["dataset"], flags]
    return " ".join(word.strip() for word in words if word)


def show_difference(record: Record) -> str:
    """How far the output is from stock's."""
    return "none" if record.is_exact else show("{:.0e}", record.median("output_difference"))


def _show_peak(record: Record) -> str:
    """MB, of the process, or of a GPU's allocator."""
    peak = record.median("peak_resident_memory", 1 / MIB)
    if peak is None:
        peak = record.median("peak_allocated_memory", 1 / MIB)
    return show("{:,.0f}", peak)


def _show_speed_up(ratio: Interval) -> str:
    return show_interval(ratio) if ratio.mean else "of other rounds"


def _speed_up(modes: Stored, mode: str, other: str) -> Interval:
    """How many times as fast one mode is as another; 0, without limits, where they were not of the
    same rounds, or one is not there."""
    if other not in modes.records:
        return Interval(0)
    record, compared, stock = (modes.records[name] for name in (mode, other, "stock"))
    return speed_up(record, compared, stock) or Interval(0)
