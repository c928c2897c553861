"""Operations by kind, and by the time they lose against their roofline bound."""

from collections import defaultdict
from dataclasses import dataclass

from backbone.command.errors import Failure
from backbone.record.rows import Ceilings, Row
from backbone.record.stored import StoredTimes
from backbone.report.markdown import format_table
from backbone.report.numbers import show, show_mean, show_small
from backbone.report.parts import Parts, split_passes
from backbone.statistics.intervals import Interval, interval
from backbone.statistics.looks import level_of
from backbone.statistics.ratios import mean_of_rounds

NO_CEILINGS = "no ceilings are stored, perhaps because memory ran out; stats.sh measures them"
WORST = 10  # number of operations with the largest loss, which are listed separately


@dataclass(frozen=True)
class KindSum:
    """The sum of several operations: number, time with its interval over processes, reorders and
    bound in ms, MACs, bytes, and page faults (None if unknown)."""

    operations: int
    time: Interval
    reorders: float | None
    bound: float
    macs: int
    bytes_moved: int
    page_faults: float | None


def kind_blocks(times: StoredTimes) -> list[str]:
    """The table of operations by kind, with the pass's bound; or why there is no table."""
    ceilings = times.ceilings
    if ceilings is None:
        return [f"- {times.title}: {NO_CEILINGS}"]
    rows = times.operations
    level = level_of(times.layer.conditions)
    whole = sum_rows(rows, ceilings, level)
    kinds = sum_by_kind(rows, ceilings, level) | {"all": whole}
    gflops = ceilings.flops_per_second / 1e9
    gbytes = ceilings.bytes_per_second / 1e9
    takes = f"The pass takes {show_mean(whole.time)} ms"
    if times.layer.whole.queued_ms:
        latency = show_mean(mean_of_rounds(times.layer))
        takes = f"The GPU computes {show_mean(whole.time)} ms in a pass of {latency} ms"
    return [
        f"{times.title}. {takes}; its roofline bound is {show_small(whole.bound, 1)} ms, from "
        f"ceilings of {gflops:.0f} GFLOP/s and {gbytes:.1f} GB/s.",
        format_table(kind_cells(kind, total, whole) for kind, total in kinds.items()),
    ]


def part_cells(times: list[StoredTimes], all_times: list[StoredTimes]) -> list[dict[str, str]]:
    """A row per pass whose parts are known."""
    return [
        {
            "Dataset": split.times.dataset,
            "Device": split.times.configuration,
            "Pass (ms)": f"{split.parts.whole:,.0f}",
            **{name: f"{100 * share:.0f}" for name, share in shares_of(split.parts).items()},
        }
        for split in split_passes(times, all_times)
    ]


def shares_of(parts: Parts) -> dict[str, float]:
    """The share of each part in a pass."""
    kernels = sum(parts.kernels.values())
    return {
        "Page faults (%)": parts.page_faults / parts.whole,
        "Reorders (%)": parts.reorders / parts.whole,
        "Kernels (%)": kernels / parts.whole,
        "The rest (%)": parts.rest / parts.whole,
    }


def sum_by_kind(rows: list[Row], ceilings: Ceilings, level: float) -> dict[str, KindSum]:
    """The sum of each kind's operations, slowest kind first; kinds below one percent of the time
    are combined. level: of the intervals."""
    by_kind: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_kind[row.cost.kind].append(row)
    milliseconds = {
        kind: sum(row.device_mean for row in inside) for kind, inside in by_kind.items()
    }
    least = sum(milliseconds.values()) / 100
    small = [kind for kind, time in milliseconds.items() if time < least]
    if small:
        by_kind[", ".join(small)] = [row for kind in small for row in by_kind.pop(kind)]
    sums = {kind: sum_rows(inside, ceilings, level) for kind, inside in by_kind.items()}
    return dict(sorted(sums.items(), key=lambda item: -item[1].time.mean))


def sum_rows(rows: list[Row], ceilings: Ceilings, level: float) -> KindSum:
    """The sum of operations. level: of the interval."""
    counted = all(row.page_faults for row in rows)
    reorders = [row.reorder_ms for row in rows if row.reorder_ms is not None]
    return KindSum(
        operations=len(rows),
        time=interval(sum(row.device_means for row in rows).tolist(), level),
        reorders=sum(reorders) if reorders else None,
        bound=sum(row.bound(ceilings) for row in rows),
        macs=sum(row.cost.macs for row in rows),
        bytes_moved=sum(row.cost.bytes_moved for row in rows),
        page_faults=sum(row.median_faults for row in rows) if counted else None,
    )


def kind_cells(kind: str, total: KindSum, whole: KindSum) -> dict[str, str]:
    """A kind's time, its share of the whole pass, and its bound."""
    return {
        "Kind": kind,
        "Operations": str(total.operations),
        "Time (ms)": show_mean(total.time),
        "Reorders, with page faults (ms)": show("{:.1f}", total.reorders),
        "% of the time": f"{100 * total.time.mean / whole.time.mean:.1f}",
        "% of the MACs": f"{100 * total.macs / whole.macs:.1f}",
        "Bound (ms)": show_small(total.bound, 2),
        "Bound / time": show_small(total.bound / total.time.mean, 2),
        "Page faults": show("{:,.0f}", total.page_faults),
    }


def list_operations(times: list[StoredTimes]) -> str:
    """The operations of each configuration by the time they lose against their roofline bound, the
    ten largest first in a group, or why there is no list. Raises Failure if there is none at
    all."""
    if not any(stored.ceilings for stored in times):
        raise Failure(f"{times[0].title}: {NO_CEILINGS}")
    return "\n\n".join(_operation_lines(stored) for stored in times)


def by_loss(rows: list[Row], ceilings: Ceilings) -> list[Row]:
    """Operations by the time above their roofline bound, largest first."""
    return sorted(rows, key=lambda row: row.bound(ceilings) - row.device_mean)


def _operation_lines(times: StoredTimes) -> str:
    ceilings = times.ceilings
    if ceilings is None:
        return f"{times.title}: {NO_CEILINGS}"
    lines = []
    decimals = 4 if times.layer.whole.queued_ms else 3
    for row in by_loss(times.operations, ceilings):
        bound, time = row.bound(ceilings), row.device_mean
        columns = (time - bound, row.reorder_ms or 0, time, bound)
        numbers = " ".join(f"{milliseconds:9.{decimals}f}" for milliseconds in columns)
        what = f"{row.cost.kind:<22} {row.implementation or '-':<22} {row.path or '-':<22}"
        lines.append(f"{numbers}  {what} {row.input_shape}")
    head = " ".join(f"{name:>9}" for name in ("lost, ms", "reorders", "time, ms", "bound, ms"))
    head += f"  {'kind':<22} {'implementation':<22} {'path':<22} input shape"
    return "\n".join([times.title, head, *lines[:WORST], "", *lines[WORST:]])
