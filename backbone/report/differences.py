"""The difference of two commands by stage or by operation."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, reduce
from operator import add

import numpy as np

from backbone.command.errors import Failure
from backbone.record.names import name_row
from backbone.record.rows import Record, Row
from backbone.statistics.intervals import Interval, interval
from backbone.statistics.looks import level_of

NOUNS = {"block": "stage", "layer": "operation"}  # names of a target's rows


@dataclass(frozen=True)
class Side:
    """A row in one of the two commands: mean milliseconds per pass over the rounds, page faults,
    and milliseconds of reorders (None if unknown)."""

    milliseconds: float
    page_faults: float | None
    reorder_ms: float | None

    def __add__(self, other: "Side") -> "Side":
        return Side(
            self.milliseconds + other.milliseconds,
            _sum_of_known([self.page_faults, other.page_faults]),
            _sum_of_known([self.reorder_ms, other.reorder_ms]),
        )


@dataclass(frozen=True)
class Difference:
    """The difference of a row, or of several rows together.

    first, second: None if the command does not have the row. by_round: milliseconds in the second
    command minus those in the first, for each round. level: share of intervals that miss the true
    difference.
    """

    name: str
    first: Side | None
    second: Side | None
    by_round: np.ndarray
    level: float

    @cached_property
    def milliseconds(self) -> Interval:
        """The arithmetic mean over the rounds, so that rows add up, with Student's interval."""
        return interval(self.by_round.tolist(), self.level)

    @property
    def is_certain(self) -> bool:
        """Whether the interval excludes 0."""
        low, high = self.milliseconds.low, self.milliseconds.high
        return low is not None and not low <= 0 <= high


@dataclass(frozen=True)
class Differences:
    """The differences of two commands, largest first; they add up to the difference of the whole
    passes. noun: name of a row. unit: unit of its time. A row's level is the level of the whole
    divided by the number of rows (Bonferroni's correction), so that all intervals of a table hold
    together at the level of the whole."""

    noun: str
    unit: str
    whole: Difference
    rows: list[Difference]

    def share_of(self, row: Difference) -> float | None:
        """A row's share of the whole difference, in percent; None if the latter is uncertain."""
        if not self.whole.is_certain:
            return None
        return 100 * row.milliseconds.mean / self.whole.milliseconds.mean

    @property
    def fields(self) -> list[dict[str, object]]:
        """The rows' fields in --json."""
        return [
            {
                "name": row.name,
                "first": row.first and asdict(row.first),
                "second": row.second and asdict(row.second),
                "difference_ms": row.milliseconds.mean,
                "low_ms": row.milliseconds.low,
                "high_ms": row.milliseconds.high,
                "share": self.share_of(row),
            }
            for row in self.rows
        ]


@dataclass(frozen=True)
class _Runs:
    """The runs of a record in shared rounds: their indices in each round."""

    record: Record
    indices: list[list[int]]
    images: int  # images per pass, or 1

    def times_of(self, rows: Sequence[Row]) -> np.ndarray:
        """Total milliseconds of several rows, shape (rounds,); GPU time if known."""
        means = sum((row.device_means for row in rows), np.zeros(len(self.record.runs)))
        return np.array([means[indices].mean() for indices in self.indices]) / self.images

    def side_of(self, rows: Sequence[Row]) -> Side | None:
        """The sum of several rows; None without rows."""
        sides = [
            Side(
                float(self.times_of([row]).mean()),
                _over(row.median_faults, self.images),
                _over(row.reorder_ms, self.images),
            )
            for row in rows
        ]
        return reduce(add, sides) if sides else None


def find_differences(first: Record, second: Record) -> Differences:
    """The differences of two commands with the same target, "block" or "layer"; per image, if their
    batch sizes differ. Rows are matched by path, type and number or, for two networks with
    different names and rows, by kind of operation (stages by type). Raises Failure if the commands
    cannot be compared this way."""
    target, other = (record.conditions["target"] for record in (first, second))
    if target != other:
        raise Failure(f"one command has --target {target}, the other --target {other}")
    is_per_image = first.images_per_pass != second.images_per_pass
    runs = _runs_of_shared_rounds(first, second, is_per_image)
    matched, noun = _match(first, second, target)
    level = level_of(first.conditions)

    def difference(name: str, rows: Sequence[Sequence[Row]], level: float) -> Difference:
        sides = [of_one.side_of(rows_of_it) for of_one, rows_of_it in zip(runs, rows, strict=True)]
        times = [of_one.times_of(rows_of_it) for of_one, rows_of_it in zip(runs, rows, strict=True)]
        return Difference(name, *sides, times[1] - times[0], level)

    whole = difference("the whole pass", ([first.whole], [second.whole]), level)
    found = [difference(name, rows, level / len(matched)) for name, rows in matched.items()]
    unit = "ms per image" if is_per_image else "ms per pass"
    unit += " on the GPU" if first.whole.queued_ms and second.whole.queued_ms else ""
    return Differences(
        noun, unit, whole, sorted(found, key=lambda row: -abs(row.milliseconds.mean))
    )


def _runs_of_shared_rounds(first: Record, second: Record, is_per_image: bool) -> list[_Runs]:
    """The runs of each record that share a group of a round with a run of the other record."""
    places = [
        {(run["order_seed"], run["round"], run["group"]): n for n, run in enumerate(record.runs)}
        for record in (first, second)
    ]
    shared: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for place in places[0].keys() & places[1].keys():
        shared[place[:2]].append((places[0][place], places[1][place]))
    if not shared:
        raise Failure("the commands share no round")
    return [
        _Runs(
            record,
            [[pair[side] for pair in shared[key]] for key in sorted(shared)],
            record.images_per_pass if is_per_image else 1,
        )
        for side, record in enumerate((first, second))
    ]


def _match(
    first: Record, second: Record, target: str
) -> tuple[dict[str, tuple[list[Row], list[Row]]], str]:
    """The rows of both records, by the name under which they are matched; and what that name
    denotes."""
    by_row = _rows_by(lambda row: (row.path, row.type, row.number), first, second, target)
    have_match = all(rows[0] and rows[1] for rows in by_row.values())
    if first.conditions["network"] == second.conditions["network"] or have_match:
        return {_name_of(*rows): rows for rows in by_row.values()}, NOUNS[target]
    by_kind = _rows_by(lambda row: row.cost.kind or row.type, first, second, target)
    return by_kind, f"kind of {NOUNS[target]}"


def _rows_by(
    key_of: Callable[[Row], Hashable], first: Record, second: Record, target: str
) -> Mapping[Hashable, tuple[list[Row], list[Row]]]:
    """The rows of a target in both records, by a key."""
    by_key: dict[Hashable, tuple[list[Row], list[Row]]] = defaultdict(lambda: ([], []))
    for side, record in enumerate((first, second)):
        for row in record.rows:
            if row.level == target:
                by_key[key_of(row)][side].append(row)
    return by_key


def _name_of(first: Sequence[Row], second: Sequence[Row]) -> str:
    """The name of a row, and the command that has it if only one does."""
    name = name_row([*first, *second][0])
    if first and second:
        return name
    return f"{name} (only in the {'first' if first else 'second'})"


def _over(value: float | None, amount: int) -> float | None:
    return None if value is None else value / amount


def _sum_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def together(name: str, rows: Sequence[Difference]) -> Difference:
    """Combine several rows into one."""
    sides = [
        [side for side in of_all if side is not None]
        for of_all in zip(*((row.first, row.second) for row in rows), strict=True)
    ]
    first, second = (reduce(add, known) if known else None for known in sides)
    return Difference(name, first, second, sum(row.by_round for row in rows), rows[0].level)
