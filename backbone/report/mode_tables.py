"""Tables of modes: for each input, one of their speed and one of their processes."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import ceil, isnan

from backbone.record.rows import Record, Row
from backbone.record.stored import StoredMode, StoredModes
from backbone.report.comparison import word_verdict
from backbone.report.fastest import CATEGORIES, by_speed, fastest_modes, over
from backbone.report.markdown import format_table
from backbone.report.numbers import (
    MIB,
    show,
    show_interval,
    show_mean,
    show_range,
    show_range_of_counts,
)
from backbone.statistics.intervals import Interval, geometric_interval
from backbone.statistics.looks import SAME, judge, level_of
from backbone.statistics.ratios import mean_of_rounds

MOST_STARTS = 3  # modes in the sentence on starts


def speed_blocks(inputs: list[StoredModes]) -> list[str]:
    """A table per input with the speed of the modes of one network and setting, fastest first; then
    what torch.compile adds, and when modes have amortized their start."""
    sentences = [word(modes) for word in (_word_compile, _word_starts) for modes in inputs]
    return [*_blocks(inputs, mode_cells), *filter(None, sentences)]


def process_blocks(inputs: list[StoredModes]) -> list[str]:
    """Tables of the modes' processes, in the same order."""
    return _blocks(inputs, lambda mode, modes: process_cells(mode.record.whole))


def _blocks(
    inputs: list[StoredModes], cells: Callable[[StoredMode, StoredModes], dict[str, str]]
) -> list[str]:
    """A table per input with a row for each mode, fastest first."""
    blocks = []
    for modes in inputs:
        rows = [{"Mode": _show_name(mode)} | cells(mode, modes) for mode in by_speed(modes)]
        blocks += [f"{modes.network}, {modes.title}:", format_table(rows)]
    return blocks


def _show_name(mode: StoredMode) -> str:
    return mode.name if mode.is_stock else f"`{mode.name}`"


def mode_cells(mode: StoredMode, modes: StoredModes) -> dict[str, str]:
    """A row for a mode: its speed-up over stock and over memory kept, time, output difference and
    peak memory."""
    over_stock = over(modes, mode, modes.stock)
    cells = {"Times as fast as stock": _show_ratio(over_stock, is_itself=mode is modes.stock)}
    if modes.kept is not None:
        over_kept = over(modes, mode, modes.kept)
        shown = _show_ratio(over_kept, is_itself=mode is modes.kept)
        cells["Times as fast as memory kept"] = shown
    return cells | {
        "Time (ms)": show_mean(mean_of_rounds(mode.record)),
        **gpu_cells(mode.record),
        output_head(modes): show_output(mode, modes),
        "Ready after (s)": show("{:.1f}", mode.record.ready_after),
        "Peak (MB)": _show_peak(mode.record),
    }


def gpu_cells(record: Record) -> dict[str, str]:
    """A mode's GPU time and enqueue time; "-" on a CPU."""
    queued = None
    if times := record.whole.queued_ms:
        queued = geometric_interval(times, level_of(record.conditions))
    enqueue = record.median("enqueue_time", 1e3)
    return {
        "GPU time (ms)": "-" if queued is None else show_mean(queued),
        "Enqueue time (ms)": show("{:.2f}", enqueue),
    }


def output_head(modes: StoredModes) -> str:
    """The head of the column on outputs: agreement on a user's images or, without images, the
    difference for a random image."""
    return "Stock's answer on" if have_images(modes) else "Output difference"


def show_output(mode: StoredMode, modes: StoredModes, is_short: bool = False) -> str:
    """A mode's cell in the column on outputs; "-" if unknown. is_short: omit the interval of an
    agreement."""
    if not have_images(modes):
        return show_difference(mode)
    agreement = mode.record.agreement
    if agreement is None:
        return "-"
    return agreement.short if is_short else agreement.text


def have_images(modes: StoredModes) -> bool:
    """Whether the modes were measured with a user's images."""
    return any(mode.record.agreement for mode in modes.modes)


def _word_compile(modes: StoredModes) -> str:
    """A sentence on what torch.compile adds to the mode that folds batch norms, or else to the mode
    with the most flags; "" if not measured."""
    pairs = [
        (mode, other)
        for mode in modes.modes
        for other in modes.modes
        if mode.mode.compile and replace(mode.mode, compile=False) == other.mode
        if mode.variables == other.variables and not other.is_again
    ]
    if not pairs:
        return ""
    mode, other = max(pairs, key=lambda pair: (pair[0].mode.fold, len(pair[0].mode.switched_on)))
    ratio = over(modes, mode, other)
    if ratio is None:
        return ""
    verdict = word_verdict(judge(ratio, SAME), SAME)
    speed = f"{show_interval(ratio)} times as fast ({verdict})"
    return f"{modes.title}: `torch.compile` makes {_show_name(other)} {speed}."


def _word_starts(modes: StoredModes) -> str:
    """A sentence on the number of passes after which the fastest modes, if certainly faster than
    memory kept, have amortized their longer start; "" if not measured."""
    if modes.kept is None or modes.kept.record.ready_after is None:
        return ""
    told = []
    for mode in by_speed(modes):
        ratio, ready = over(modes, mode, modes.kept), mode.record.ready_after
        if ready is not None and ratio is not None and judge(ratio, SAME) == "faster":
            kept_ms = mean_of_rounds(modes.kept.record).mean
            saved = kept_ms * (1 - 1 / ratio.mean) / 1e3
            passes = ceil(max(0, ready - modes.kept.record.ready_after) / saved)
            told.append(f"`{mode.name}` {passes:,}")
    if not told:
        return ""
    return (
        f"{modes.title}: compared with `{modes.kept.name}`, the fastest modes amortize their "
        f"longer start after this many passes: {', '.join(told[:MOST_STARTS])}."
    )


def process_cells(row: Row) -> dict[str, str]:
    """The number of processes, the fastest and the slowest of them, and the fewest and the most
    page faults per pass."""
    return {
        "Processes (ms)": f"{len(row.run_means)}: {show_range(row.run_means)}",
        "Page faults": show_range_of_counts(row.page_faults) if row.page_faults else "-",
    }


def first_cells(inputs: list[StoredModes]) -> Iterator[dict[str, str]]:
    """A row for each input and category: the fastest mode, its command, output difference and peak
    memory."""
    for modes in inputs:
        for category in CATEGORIES:
            for mode, ratio in fastest_modes(modes, category)[:1]:
                yield {
                    "Dataset": modes.dataset,
                    "The fastest": category.title,
                    "Command": f"`{_command_of(mode)}`",
                    "Times as fast as stock": show_interval(ratio),
                    "Output difference": _word_output(mode),
                    "Peak (MB)": _show_peak(mode.record),
                    "Stock's peak (MB)": _show_peak(modes.stock.record),
                }


def _word_output(mode: StoredMode) -> str:
    """A mode's effect on the output, for a table whose inputs may be measured with or without
    images."""
    agreement = mode.record.agreement
    return show_difference(mode) if agreement is None else f"stock's answer on {agreement.text}"


def _command_of(mode: StoredMode) -> str:
    """The command line that runs a mode."""
    conditions = mode.record.conditions
    script = "timer.py" if mode.record.is_of_gpu else "cpu/timer.py"
    variables = [f"{name}={value}" for name, value in mode.variables.items()]
    words = [*variables, "python", script, "--i", conditions["dataset"], mode.mode.flags]
    return " ".join(word for word in words if word)


def show_difference(mode: StoredMode) -> str:
    """The output difference of a mode."""
    if mode.is_exact:
        return "none"
    difference = mode.record.median("output_difference")
    return "NaN" if difference is not None and isnan(difference) else show("{:.0e}", difference)


def _show_peak(record: Record) -> str:
    """The peak memory of the process, or of a GPU's allocator, in MB."""
    peak = record.median("peak_resident_memory", 1 / MIB)
    if peak is None:
        peak = record.median("peak_allocated_memory", 1 / MIB)
    return show("{:,.0f}", peak)


def _show_ratio(ratio: Interval | None, is_itself: bool) -> str:
    if is_itself:
        return "1"
    return "of other rounds" if ratio is None else show_interval(ratio)
