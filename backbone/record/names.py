"""The names of rows: MobileNet-V2's stages have their own names, all other rows type and path."""

from collections import Counter
from dataclasses import dataclass, replace

from backbone.record.rows import Row


@dataclass(frozen=True)
class Wording:
    """The wording of a stage: format strings for its name, which takes the stage's number, and for
    the details before the input's shape, which take the settings. path: the required path of its
    module, if any (another network may have a class with the same name)."""

    name: str
    details: str = ""
    settings: frozenset[str] = frozenset()
    path: str | None = None


CONVOLUTION = "kernel_size={kernel_size}, stride={stride} and "
CONVOLUTION_SETTINGS = frozenset({"kernel_size", "stride"})
STAGES = {
    "Conv2D": Wording("Conv2D", CONVOLUTION, CONVOLUTION_SETTINGS),
    "Inverted Residual Block": Wording("Inverted Residual Block at position {stage}"),
    "ConvLast": Wording("ConvLast", CONVOLUTION, CONVOLUTION_SETTINGS),
    "AvgPool": Wording("AvgPool", path=""),
    "Classifier": Wording(
        "Classifier", "Dropout={dropout} and dim={dim} ", frozenset({"dropout", "dim"})
    ),
}


def name_row(row: Row) -> str:
    """A row's name, unique within its level once rows are numbered."""
    if wording := _wording_of(row):
        return wording.name.format(stage=row.stage)
    number = f" #{row.number}" if row.number > 1 else ""
    return f"{row.type} {row.path}".strip() + number


def details_of(row: Row) -> str:
    """The text between a row's name and its input's shape."""
    wording = _wording_of(row)
    return wording.details.format(**row.settings) if wording else ""


def _wording_of(row: Row) -> Wording | None:
    """The wording of a row if it is one of MobileNet-V2's stages, otherwise None."""
    wording = STAGES.get(row.type) if row.level == "block" else None
    if wording is None or not wording.settings <= row.settings.keys():
        return None
    return wording if wording.path in (None, row.path) else None


def number_rows(rows: list[Row]) -> list[Row]:
    """Number the rows of a report that would have the same name: a ResNet's block calls one ReLU
    twice."""
    seen: Counter[tuple[str, str]] = Counter()
    numbered = []
    for row in rows:
        name = row.level, name_row(row)
        seen[name] += 1
        numbered.append(replace(row, number=seen[name]))
    return numbered
