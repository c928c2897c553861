"""Rows: what was timed, its samples, and the line that is printed for it."""

from dataclasses import dataclass, field, replace

import numpy as np

from backbone.roofline import Cost


@dataclass(frozen=True, eq=False)
class Row:
    """One line of a report.

    level: "model", "block" or "layer". type: of network, stage, module or function. path: of the
    module ("": the network itself). stage: which of the pass's stages, from 0; None for the whole
    pass. samples: one elapsed time a pass, in milliseconds, shape (runs, iterations). settings:
    what else the line of a stage says. page_faults: minor page faults of a pass, the median of each
    run; none where they were not counted. cost: of its operations together; its kind is "" where
    they are not of one. number: among the rows of its level that would have the same name, from 1.
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
    names = [(row.level, name_row(row)) for row in rows]
    return [replace(row, number=names[: i + 1].count(names[i])) for i, row in enumerate(rows)]


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
