"""Rows: what was timed, its samples, and the line that is printed for it."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Row:
    """One line of a report.

    level: "model", "block" or "layer"; detail: what the line says between the name and the input's
    shape; samples: one elapsed time a pass, in milliseconds, shape (iterations,).
    """

    level: str
    name: str
    detail: str
    input_shape: list[int]
    samples: np.ndarray

    def __str__(self) -> str:
        """Mean and population standard deviation, in milliseconds."""
        return (
            f"{'  ' if self.level == 'layer' else ''}Average Execution Time for {self.name} "
            f"{self.detail} input shape: {self.input_shape} "
            f"is {self.samples.mean():.3f} ms with std = {self.samples.std():.3f} ms"
        )


def report(rows: list[Row]) -> str:
    """The printed text: a line a row, and the whole pass, which comes last, on its own."""
    *parts, whole = map(str, rows)
    return "\n".join([*parts, "", whole] if parts else [whole]) + "\n"
