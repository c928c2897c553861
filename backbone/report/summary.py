"""The summary that a wrapper prints at its end, at most 90 columns wide."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap

from backbone.record import loading
from backbone.record.names import name_row
from backbone.record.remarks import is_bound_by_launches
from backbone.record.rows import Record, Row
from backbone.record.stored import Stored, StoredModes, StoredTimes
from backbone.record.titles import count
from backbone.report.fastest import EXACT, fastest_modes, ranked_modes
from backbone.report.mode_tables import (
    gpu_cells,
    have_images,
    output_head,
    show_output,
)
from backbone.report.numbers import (
    show_interval,
    show_mean,
    show_range,
    show_range_of_counts,
)
from backbone.report.parts import Parts, parts_of_operations, with_memory_kept
from backbone.report.scaling import format_scaling
from backbone.statistics.ratios import mean_of_rounds, speed_up

COLUMNS = 90
NAME_COLUMNS = 54
# Processes whose page faults differ by more than this were in different heap states.
LEAST_RATIO = 1.05
LEAST_FAULTS = 100
SLOWEST = 3  # number of stages and operations listed
FASTEST = 5  # number of modes listed


def summarize_times(files: Sequence[Path]) -> str:
    """Summarize the times in records of whole passes, with the stages and operations stored beside
    them."""
    return format_times([loading.load_times_of(file.parent, file.name) for file in files])


def summarize_modes(starts: Sequence[Path]) -> str:
    """Summarize the modes of inputs. starts: the common beginning of the paths of an input's
    records."""
    return format_modes([loading.load_modes_of(start.parent, start.name) for start in starts])


def summarize_scaling(folder: Path) -> str:
    """Summarize a folder of scaling results."""
    return format_scaling(loading.load_scaling_of(folder))


def format_times(all_times: Sequence[StoredTimes]) -> str:
    """Each input's time, the speed-up from keeping memory, and the slowest stages and operations.
    all_times: one network's times in one configuration and, if measured, with memory kept."""
    blocks = []
    for times in all_times:
        kept = with_memory_kept(times, all_times)
        if kept is not times:
            blocks.append("\n".join(_lines_of_times(times, kept)))
    return "\n\n".join(blocks) + "\n"


def _lines_of_times(times: StoredTimes, kept: StoredTimes | None) -> Iterator[str]:
    record = times.model
    yield from _head(times, record)
    records = {times.mode.flags or "stock": record}
    if kept is not None:
        records["memory kept"] = kept.model
    width = max(map(len, records))
    for name, timed in records.items():
        text = f"  {name:<{width}}  {show_interval(mean_of_rounds(timed))} ms"
        ratio = None if timed is record else speed_up(timed, record, record)
        yield text if ratio is None else f"{text}, {show_interval(ratio)} times as fast"
    for name, timed in records.items():
        yield from _processes(name, timed.whole)
        yield from _launches(name, timed)
    yield ""
    yield from _slowest(times, kept)


def _head(stored: Stored, record: Record) -> list[str]:
    conditions = record.conditions
    height, width = record.whole.input_shape[-2:]
    size = "" if stored.dataset == f"{height}x{width}" else f" ({height} x {width})"
    threads = [count(conditions["threads"], "thread")] if "threads" in conditions else []
    where = ", ".join(dict.fromkeys([stored.device, *threads, *stored.settings]))
    rounds = count(len(record.rounds), "round")
    passes = count(conditions["iterations"], "pass")
    text = f"{stored.network}, {stored.dataset}{size}, {where}: {rounds}, {passes} each"
    return wrap(text, COLUMNS, subsequent_indent="  ")


def _processes(name: str, row: Row) -> Iterator[str]:
    """A line on the range of the processes' times and page faults, if their heap states
    differed."""
    faults = row.page_faults
    if faults and max(faults) > LEAST_RATIO * min(faults) + LEAST_FAULTS:
        text = (
            f"{show_range(row.run_means)} ms, {show_range_of_counts(faults)} page faults per pass"
        )
        yield f"  processes of {name}: {text}"


def _launches(name: str, record: Record) -> Iterator[str]:
    """A line on a pass's GPU time and enqueue time, if measured."""
    if record.whole.queued_ms:
        gpu, enqueue = gpu_cells(record).values()
        bound = "; the host is the bottleneck" if is_bound_by_launches(record) else ""
        yield f"  {name}: {gpu} ms on the GPU, {enqueue} ms to enqueue it{bound}"


def _slowest(times: StoredTimes, kept: StoredTimes | None) -> Iterator[str]:
    """The slowest stages and operations of a pass, with the largest part of each."""
    operations = times.operations
    parts = parts_of_operations(times, kept) or [None] * len(operations)
    by_stage: dict[int | None, Parts | None] = {}
    for row, part in zip(operations, parts, strict=True):
        before = by_stage.get(row.stage)
        by_stage[row.stage] = part if before is None or part is None else before + part
    whole = times.layer.whole.device_mean
    stages = [row for row in times.layer.rows if row.level == "block"]
    tables = (
        ("slowest stages", [(row, by_stage.get(row.stage)) for row in stages]),
        ("slowest operations", list(zip(operations, parts, strict=True))),
    )
    largest = "  largest part" if any(parts) else ""
    for title, rows in tables:
        unit = "GPU ms" if times.layer.whole.queued_ms else "ms"
        yield f"  {title:<{NAME_COLUMNS}} {unit:>8} {'share':>6}{largest}"
        rows.sort(key=lambda pair: -pair[0].device_mean)
        for row, part in rows[:SLOWEST]:
            yield _line_of_row(row, part, whole)


def _line_of_row(row: Row, part: Parts | None, whole: float) -> str:
    name = name_row(row)
    if row.level == "layer":
        name += f" ({row.cost.kind})"
    mean = row.device_mean
    time = f"{mean:,.{0 if mean >= 100 else 2 if mean >= 1 else 3}f}"
    text = f"    {_fit(name, NAME_COLUMNS - 2):<{NAME_COLUMNS - 2}} {time:>8}"
    text += f" {100 * mean / whole:>4.0f} %"
    if part is None:
        return text
    largest, share = part.largest
    return f"{text}  {largest} {100 * share:.0f} %"


def _fit(text: str, columns: int) -> str:
    return text if len(text) <= columns else f"{text[: columns - 3]}..."


def format_modes(inputs: Sequence[StoredModes]) -> str:
    """The fastest modes of each input, with a recommendation. After one round, which gives no
    intervals, modes that may not be faster than stock are listed too, and none is recommended."""
    blocks = ["\n".join(_lines_of_modes(modes)) for modes in inputs]
    return "\n\n".join(blocks) + "\n"


def _lines_of_modes(modes: StoredModes) -> Iterator[str]:
    stock = modes.stock.record
    yield from _head(modes, stock)
    yield f"  stock  {show_interval(mean_of_rounds(stock))} ms"
    yield from _processes("stock", stock.whole)
    has_intervals = len(stock.rounds) > 1
    fastest = fastest_modes(modes) if has_intervals else ranked_modes(modes)
    if not fastest:
        yield "  no mode is certainly faster than stock"
        return
    head = output_head(modes).lower()
    outputs = [show_output(mode, modes, is_short=True) for mode, _ in fastest[:FASTEST]]
    width = max(map(len, [head, *outputs]))
    yield f"  {'times as fast as stock':<24} {head:<{width}}  fastest modes"
    for (mode, ratio), output in zip(fastest, outputs, strict=False):
        first, *others = wrap(
            mode.name, COLUMNS - 29 - width, break_long_words=False, break_on_hyphens=False
        )
        yield f"  {show_interval(ratio):<24} {output:<{width}}  {first}"
        for line in others:
            yield f"{'':<{29 + width}}{line}"
    advice = _advice(modes) if has_intervals else "One round gives no intervals; more rounds do."
    yield from wrap(advice, COLUMNS, initial_indent="  ", subsequent_indent="  ")


def _advice(modes: StoredModes) -> str:
    """A sentence with the fastest mode, and the fastest one with identical output."""
    (fastest, ratio), *_ = fastest_modes(modes)
    text = f"Use {fastest.name} ({show_mean(ratio)} times as fast as stock)"
    if fastest.is_exact:
        return f"{text}; its output is identical."
    output = show_output(fastest, modes, is_short=True)
    known = f"an output difference of {output}"
    if have_images(modes):
        known = f"stock's answer on {output}"
    text += f" if {known if output != '-' else 'an unknown output difference'} will do"
    exact = fastest_modes(modes, EXACT)
    if not exact:
        return f"{text}."
    mode, ratio = exact[0]
    return f"{text}, otherwise {mode.name} ({show_mean(ratio)} times)."
