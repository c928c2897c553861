"""Rows: what was timed, its cost and samples, the line that is printed, what a mean is worth."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from statistics import fmean, median, stdev
from typing import NamedTuple

import numpy as np


class Cost(NamedTuple):
    """What an operation is, in the field's words ("": operations of several kinds), its
    multiply-accumulates, and the bytes that it must move at the least."""

    kind: str
    macs: int
    bytes_moved: int


def sum_costs(costs: Iterable[Cost]) -> Cost:
    """The cost of several operations together."""
    _, macs, moved = zip(*costs, strict=True)
    return Cost("", sum(macs), sum(moved))


class Ceilings(NamedTuple):
    """A machine's: FLOPs of a matrix product (2 a MAC), bytes that a copy reads and writes."""

    flops_per_second: float
    bytes_per_second: float


@dataclass(frozen=True, eq=False)
class Row:
    """One line of a report.

    level: "model", "block" or "layer". type: of network, stage, module or function. path: of the
    module ("": the network itself). stage: its number in the pass, from 0; None for the whole pass.
    samples: elapsed milliseconds of each pass, shape (runs, iterations). settings: what else the
    line of a stage says. page_faults: of a pass, the median of each run; none where not counted.
    cost: of its operations together. number: among rows that would have the same name, from 1.
    """

    level: str
    type: str
    path: str
    stage: int | None
    input_shape: list[int]
    samples: np.ndarray
    settings: dict[str, int | float] = field(default_factory=dict)
    page_faults: list[int] = field(default_factory=list)
    cost: Cost | None = None
    number: int = 1

    @property
    def mean(self) -> float:
        """Milliseconds a pass."""
        return float(self.samples.mean())

    @property
    def run_means(self) -> np.ndarray:
        """Milliseconds a pass in each run, shape (runs,)."""
        return self.samples.mean(axis=1)

    @property
    def median_faults(self) -> float | None:
        """Page faults of a pass, the median of the runs'."""
        return median(self.page_faults) if self.page_faults else None

    def floor(self, ceilings: Ceilings) -> float:
        """The least milliseconds that the ceilings allow an operation: its arithmetic at the one,
        or its bytes at the other, whichever takes longer. Source: Williams, Waterman, Patterson,
        "Roofline: An Insightful Visual Performance Model ...", CACM 52(4), 2009."""
        arithmetic = 2 * self.cost.macs / ceilings.flops_per_second
        return 1e3 * max(arithmetic, self.cost.bytes_moved / ceilings.bytes_per_second)


# How MobileNet-V2's stages are worded: their name, and what stands between it and the input's
# shape. All else goes by type and path.
STAGES = {
    "Conv2D": ("Conv2D", "kernel_size={kernel_size}, stride={stride} and "),
    "Inverted Residual Block": ("Inverted Residual Block at position {stage}", ""),
    "ConvLast": ("ConvLast", "kernel_size={kernel_size}, stride={stride} and "),
    "AvgPool": ("AvgPool", ""),
    "Classifier": ("Classifier", "Dropout={dropout} and dim={dim} "),
}


def name_row(row: Row) -> str:
    """A row's name, which no other row of its level has once they are numbered."""
    if row.level == "block" and row.type in STAGES:
        return STAGES[row.type][0].format(stage=row.stage)
    return f"{row.type} {row.path}".strip() + (f" #{row.number}" if row.number > 1 else "")


def number_rows(rows: list[Row]) -> list[Row]:
    """A report's rows, in order, with their numbers: a ResNet calls one ReLU twice in a block."""
    seen, numbered = Counter(), []
    for row in rows:
        name = row.level, name_row(row)
        seen[name] += 1
        numbered.append(replace(row, number=seen[name]))
    return numbered


def format_row(row: Row) -> str:
    """Mean and population standard deviation over all passes, in milliseconds."""
    settings = STAGES[row.type][1].format(**row.settings) if row.type in STAGES else ""
    return (
        f"{'  ' if row.level == 'layer' else ''}Average Execution Time for {name_row(row)} "
        f"with {settings}input shape: {row.input_shape} "
        f"is {row.mean:.3f} ms with std = {row.samples.std():.3f} ms"
    )


def format_rows(rows: list[Row]) -> str:
    """The printed text: a line a row, and the whole pass, which comes last, on its own."""
    *parts, whole = map(format_row, rows)
    return "\n".join([*parts, "", whole] if parts else [whole]) + "\n"


# Student's t, two-sided 95 %, by degrees of freedom. Source: NIST/SEMATECH e-Handbook of
# Statistical Methods, 1.3.6.7.2.
T_95 = dict(enumerate((12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262), start=1))
T_95 |= {10: 2.228, 12: 2.179, 15: 2.131, 20: 2.086, 25: 2.060, 30: 2.042, 60: 2.000}


def interval(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean of independent values, such as the runs' means, or the ratios of two things round by
    round (passes of one process are not independent, processes by turns are); and half the width of
    its 95 % interval, which a single value has not."""
    freedom = len(values) - 1
    if freedom == 0:
        return values[0], None
    t = T_95[max(known for known in T_95 if known <= freedom)]  # the next lower: never too narrow
    return fmean(values), t * stdev(values) / sqrt(len(values))
