"""The roofline model: what operations cost, what a machine attains, and the floor that follows.

Source: Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance Model for
Multicore Architectures", CACM 52(4), 2009.
"""

from collections import Counter
from collections.abc import Iterable
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from backbone.rows import Row


class Cost(NamedTuple):
    """What an operation does and needs: its kind, in the field's words ("": operations of several);
    multiply-accumulates; and the bytes that it must move at the least."""

    kind: str
    macs: int
    bytes_moved: int


class Ceilings(NamedTuple):
    """What a machine attains in a second: FLOPs of a matrix product (2 a multiply-accumulate), and
    bytes of a copy, read and written."""

    flops_per_second: float
    bytes_per_second: float


class Total(NamedTuple):
    """The operations of a kind together; time and floor are in milliseconds a pass, page_faults are
    None where they were not counted."""

    kind: str
    operations: int
    time: float
    floor: float
    macs: int
    bytes_moved: int
    page_faults: int | None


def sum_costs(costs: Iterable[Cost]) -> Cost:
    """The cost of several operations together."""
    costs = list(costs)
    return Cost("", sum(cost.macs for cost in costs), sum(cost.bytes_moved for cost in costs))


def floor(cost: Cost, ceilings: Ceilings) -> float:
    """The least time in milliseconds that the ceilings allow one operation: its arithmetic at the
    one, or its bytes at the other, whichever takes longer."""
    arithmetic = 2 * cost.macs / ceilings.flops_per_second
    return 1e3 * max(arithmetic, cost.bytes_moved / ceilings.bytes_per_second)


def total_by_kind(rows: "list[Row]", ceilings: Ceilings) -> list[Total]:
    """Layers' rows, kind by kind, the one that takes longest first; those of kinds that take less
    than one percent of the time are as one."""
    times, kinds = Counter(), {}
    for row in rows:
        times[row.cost.kind] += row.mean
    small = [kind for kind, time in times.items() if time < times.total() / 100]
    together = dict.fromkeys(small, ", ".join(small))
    for row in rows:
        kinds.setdefault(together.get(row.cost.kind, row.cost.kind), []).append(row)
    totals = [total(kind, inside, ceilings) for kind, inside in kinds.items()]
    return sorted(totals, key=lambda total: total.time, reverse=True)


def total(kind: str, rows: "list[Row]", ceilings: Ceilings) -> Total:
    """Layers' rows as one."""
    _, macs, bytes_moved = sum_costs(row.cost for row in rows)
    time = sum(row.mean for row in rows)
    least = sum(floor(row.cost, ceilings) for row in rows)
    counted = all(row.page_faults for row in rows)
    faults = round(sum(median(row.page_faults) for row in rows)) if counted else None
    return Total(kind, len(rows), time, least, macs, bytes_moved, faults)
