"""What a row is called: MobileNet-V2's stages have names of their own, all else type and path."""

from collections import Counter
from dataclasses import dataclass, replace

from backbone.record.rows import Row


@dataclass(frozen=True)
class Wording:
    """How a stage is worded: its name, and what stands between it and the input's shape."""

    name: str
    settings: str = ""


STAGES = {
    "Conv2D": Wording("Conv2D", "kernel_size={kernel_size}, stride={stride} and "),
    "Inverted Residual Block": Wording("Inverted Residual Block at position {stage}"),
    "ConvLast": Wording("ConvLast", "kernel_size={kernel_size}, stride={stride} and "),
    "AvgPool": Wording("AvgPool"),
    "Classifier": Wording("Classifier", "Dropout={dropout} and dim={dim} "),
}


def name_row(row: Row) -> str:
    """A row's name, which no other row of its level has once they are numbered."""
    if row.level == "block" and row.type in STAGES:
        return STAGES[row.type].name.format(stage=row.stage)
    number = f" #{row.number}" if row.number > 1 else ""
    return f"{row.type} {row.path}".strip() + number


def settings_of(row: Row) -> str:
    """What stands between a row's name and its input's shape."""
    return STAGES[row.type].settings.format(**row.settings) if row.type in STAGES else ""


def number_rows(rows: list[Row]) -> list[Row]:
    """A report's rows, in order, with their numbers: a ResNet calls one ReLU twice in a block."""
    seen: Counter[tuple[str, str]] = Counter()
    numbered = []
    for row in rows:
        name = row.level, name_row(row)
        seen[name] += 1
        numbered.append(replace(row, number=seen[name]))
    return numbered
