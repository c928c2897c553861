"""The parts of a pass: page faults, reorders, kernels, and the rest."""

from collections import defaultdict
from dataclasses import dataclass, replace

from backbone.command.options import Mode
from backbone.record.rows import Record, Row
from backbone.record.stored import StoredTimes
from backbone.statistics.intervals import Interval
from backbone.statistics.ratios import speed_up

LEAST_SHARE = 0.03  # of a pass; kinds with a smaller share are combined
OTHERS = "other kernels"


@dataclass(frozen=True)
class Parts:
    """The parts of a pass in milliseconds, which add up to it. kernels: by kind of operation."""

    page_faults: float
    reorders: float
    kernels: dict[str, float]
    rest: float

    @property
    def whole(self) -> float:
        """The time of the pass."""
        return self.page_faults + self.reorders + sum(self.kernels.values()) + self.rest

    @property
    def largest(self) -> tuple[str, float]:
        """The largest part and its share of the pass."""
        parts = {
            "page faults": self.page_faults,
            "reorders": self.reorders,
            "kernel": sum(self.kernels.values()),
            "rest": self.rest,
        }
        name = max(parts, key=parts.__getitem__)
        return name, parts[name] / self.whole

    def __add__(self, other: "Parts") -> "Parts":
        kernels = {
            kind: self.kernels.get(kind, 0) + other.kernels.get(kind, 0)
            for kind in self.kernels | other.kernels
        }
        return Parts(
            self.page_faults + other.page_faults,
            self.reorders + other.reorders,
            kernels,
            self.rest + other.rest,
        )


@dataclass(frozen=True)
class SplitPass:
    """A pass and its parts."""

    times: StoredTimes
    parts: Parts


def split_passes(times: list[StoredTimes], all_times: list[StoredTimes]) -> list[SplitPass]:
    """The passes whose parts are known, by input, longest first."""
    split = [(entry, parts_of(entry, all_times)) for entry in times]
    known = [SplitPass(entry, parts) for entry, parts in split if parts is not None]
    datasets = list(dict.fromkeys(entry.dataset for entry in times))
    return sorted(
        known, key=lambda entry: (datasets.index(entry.times.dataset), -entry.parts.whole)
    )


def parts_of(times: StoredTimes, all_times: list[StoredTimes]) -> Parts | None:
    """The parts of a pass; None if kernels were not collected with memory kept.

    Page faults are the system time, divided by the threads that share it. Reorders and kernels come
    from the passes with memory kept, where their times contain no page faults. For an operation
    without oneDNN's kernels, its whole time counts as kernel.
    """
    kept = with_memory_kept(times, all_times)
    layers = times.layer
    system_seconds = layers.median("system_time")
    if kept is None or system_seconds is None:
        return None
    rows = kept.operations
    if not any(row.kernels for row in rows):
        return None
    by_kind: dict[str, float] = defaultdict(float)
    for row in rows:
        by_kind[row.cost.kind] += _kernel_ms(row)
    reorders = sum(row.reorder_ms or 0 for row in rows)
    page_faults = _page_fault_ms(system_seconds, layers)
    whole = layers.whole.mean
    return Parts(
        page_faults=page_faults,
        reorders=reorders,
        kernels=_largest(by_kind, LEAST_SHARE * kept.layer.whole.mean),
        rest=whole - page_faults - reorders - sum(by_kind.values()),
    )


def parts_of_operations(times: StoredTimes, kept: StoredTimes | None) -> list[Parts] | None:
    """The parts of each operation of a pass, in order; None if page faults or kernels are unknown.

    kept: the times of the same network with memory kept, if any. An operation's page faults are the
    pass's system time, weighted by its share of the pass's page faults. Otherwise like
    `parts_of()`."""
    layers = times.layer
    system_seconds = layers.median("system_time")
    rows = times.operations
    sources = (kept or times).operations
    if system_seconds is None or "threads" not in layers.conditions or len(rows) != len(sources):
        return None
    if not (all(row.page_faults for row in rows) and any(row.kernels for row in sources)):
        return None
    all_faults = sum(row.median_faults for row in rows)
    faults_ms = _page_fault_ms(system_seconds, layers)
    parts = []
    for row, source in zip(rows, sources, strict=True):
        kernel = _kernel_ms(source)
        reorders = source.reorder_ms or 0.0
        page_faults = faults_ms * row.median_faults / all_faults if all_faults else 0.0
        rest = max(0.0, row.mean - page_faults - reorders - kernel)
        parts.append(Parts(page_faults, reorders, {row.cost.kind: kernel}, rest))
    return parts


def _page_fault_ms(system_seconds: float, layers: Record) -> float:
    """Milliseconds of a pass spent in page faults: the system time, divided by the threads that
    share it."""
    return 1e3 * system_seconds / layers.conditions["threads"]


def _kernel_ms(row: Row) -> float:
    """Milliseconds in an operation's kernel; its whole time if oneDNN ran nothing for it."""
    return row.mean if row.kernel_ms is None else row.kernel_ms


def with_memory_kept(times: StoredTimes, all_times: list[StoredTimes]) -> StoredTimes | None:
    """The same network's times under the same conditions, but with memory kept, which may be these
    times themselves; None if there are none."""
    wanted = _what_it_is_of(times, replace(times.mode, keep_memory=True))
    for entry in (times, *all_times):
        if _what_it_is_of(entry, entry.mode) == wanted:
            return entry
    return None


def gain_of_memory_kept(times: StoredTimes, all_times: list[StoredTimes]) -> Interval | None:
    """The speed-up of the same network's times with memory kept over these; None if there are none,
    or the two share no round."""
    kept = with_memory_kept(times, all_times)
    return None if kept is None else speed_up(kept.model, times.model, times.model)


def _what_it_is_of(times: StoredTimes, mode: Mode) -> tuple[object, ...]:
    return times.network, times.device, times.dataset, times.settings, mode


def _largest(by_kind: dict[str, float], least: float) -> dict[str, float]:
    """The kinds that take at least this many milliseconds, slowest first; the others are
    combined."""
    kinds = sorted(by_kind, key=lambda kind: -by_kind[kind])
    large = {kind: by_kind[kind] for kind in kinds if by_kind[kind] >= least}
    small = sum(by_kind.values()) - sum(large.values())
    return large | {OTHERS: small} if len(large) < len(by_kind) else large
