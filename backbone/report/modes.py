"""The modes as tables, one an input."""

from backbone.command.options import EXACT_MODES, KEEP_MEMORY
from backbone.record.stored import Stored
from backbone.report.comparison import judge, word_verdict
from backbone.report.markdown import format_table
from backbone.report.numbers import MIB, show, show_interval, show_mean, show_range
from backbone.report.statistics import (
    Interval,
    geometric_interval,
    mean_of_rounds,
    per_pass,
    speed_ups,
)

SAME = 2  # percent within which a mode is as fast as stock


def mode_blocks(inputs: list[Stored]) -> list[str]:
    """The modes of one network and setting, a table an input, the fastest first."""
    blocks = []
    for each in inputs:
        blocks.append(f"{each.network}, {each.dataset}, {each.configuration}:")
        over_stock = {mode: _speed_up(each, mode, "stock") for mode in each.records}
        by_speed = sorted(each.records, key=lambda mode: -over_stock[mode].mean)
        blocks.append(format_table(mode_cells(mode, each, over_stock[mode]) for mode in by_speed))
    return blocks


def mode_cells(mode: str, modes: Stored, over_stock: Interval) -> dict[str, str]:
    """How many times as fast a mode is as stock, and as memory kept, and what a pass takes."""
    record = modes.records[mode]
    row = record.whole
    mean = mean_of_rounds(record)
    peak = record.median("peak_resident_memory", 1 / MIB)
    if peak is None:
        peak = record.median("peak_allocated_memory", 1 / MIB)
    exact = record.conditions.get("mode", "") in EXACT_MODES
    difference = show("{:.0e}", record.median("output_difference"))
    over_kept = _speed_up(modes, mode, KEEP_MEMORY)
    cells = {
        "Mode": f"`{mode}`" if mode.startswith("-") else mode,
        "Times as fast as stock": "1" if mode == "stock" else _show_speed_up(over_stock),
        "As memory kept": "1" if mode == KEEP_MEMORY else _show_speed_up(over_kept),
        "Verdict": "-" if mode == "stock" else word_verdict(judge(over_stock, SAME), SAME),
        "Time (ms)": show_mean(mean),
        "FPS": show_mean(per_pass(row.input_shape[0], mean)),
        "Processes (ms)": f"{len(row.run_means)}: {show_range(row.run_means)}",
        "Page faults": show_range(row.page_faults) if row.page_faults else "-",
        "Output difference": "none" if exact else difference,
        "Peak (MB)": show("{:.0f}", peak),
    }
    if KEEP_MEMORY not in modes.records:
        del cells["As memory kept"]
    return cells


def _show_speed_up(speed_up: Interval) -> str:
    return show_interval(speed_up) if speed_up.mean else "of other rounds"


def _speed_up(modes: Stored, mode: str, other: str) -> Interval:
    """How many times as fast one mode is as another; 0, without limits, where they were not of the
    same rounds, or one is not there."""
    if other not in modes.records:
        return Interval(0)
    record, compared, stock = (modes.records[name] for name in (mode, other, "stock"))
    ratios = speed_ups(record, compared, stock)
    return geometric_interval(ratios) if ratios else Interval(0)
