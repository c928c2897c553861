"""The roofline model: what operations cost, what a machine attains, and the floor that follows.

Source: Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance Model for
Multicore Architectures", CACM 52(4), 2009.
"""

from collections.abc import Iterable
from typing import NamedTuple


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


def sum_costs(costs: Iterable[Cost]) -> Cost:
    """The cost of several operations together."""
    costs = list(costs)
    return Cost("", sum(cost.macs for cost in costs), sum(cost.bytes_moved for cost in costs))


def floor(cost: Cost, ceilings: Ceilings) -> float:
    """The least time in milliseconds that the ceilings allow one operation: its arithmetic at the
    one, or its bytes at the other, whichever takes longer."""
    arithmetic = 2 * cost.macs / ceilings.flops_per_second
    return 1e3 * max(arithmetic, cost.bytes_moved / ceilings.bytes_per_second)
