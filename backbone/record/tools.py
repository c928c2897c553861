"""Results of the programs in tools/: lists of rows, stored as JSON beside them."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from backbone.command.errors import Failure
from backbone.command.files import ROOT

TRIALS = ROOT / "tools/trials.json"
LOOKS = ROOT / "tools/looks.json"
PASSES = ROOT / "tools/passes.json"


@dataclass(frozen=True)
class Trial:
    """One comparison by compare.py.

    title: describes the two commands; shared by all trials of a row. speed_up, low, high: speed-up
    of the second command, with its interval. verdict: "faster", "slower", "same" or "undecided".
    rounds: number of rounds. seconds: duration. rule: "looks" or "fixed".
    """

    title: str
    speed_up: float
    low: float
    high: float
    verdict: str
    rounds: int
    rule: str
    seconds: float
    date: str


@dataclass(frozen=True)
class Simulated:
    """Simulated comparisons that stop at looks.

    scatter: distribution of the rounds' ratios, in words. effect: percent by which the second
    command is faster (in the same heap state). precision: percent; see compare.py. rounds: mean
    number of rounds. holds: share of intervals that contain the true ratio. wrong: share of
    intervals that exclude 1 on the wrong side.
    """

    scatter: str
    effect: float
    precision: float
    rounds: float
    holds: float
    wrong: float


@dataclass(frozen=True)
class PassesTried:
    """A number of timed passes per process, and the precision it gives.

    title: describes the two commands. scatter: standard deviation of the logarithm of their ratio
    between rounds. seconds: duration of a round. half_width: of the ratio's 95 % interval after ten
    minutes of such rounds, in percent.
    """

    title: str
    passes: int
    scatter: float
    seconds: float
    half_width: float


Row = TypeVar("Row", Trial, Simulated, PassesTried)


def load(form: type[Row], file: Path) -> list[Row]:
    """The rows in a file; empty if there is no file. Raises Failure if it cannot be read."""
    if not file.exists():
        return []
    try:
        return [form(**row) for row in json.loads(file.read_text("utf-8"))]
    except (ValueError, TypeError) as error:
        raise Failure(f"{file} holds no {form.__name__}: {error!r}") from error


def dumps(rows: Iterable[Row]) -> str:
    """The text of a file with these rows, one per line."""
    lines = ",\n".join(json.dumps(asdict(row)) for row in rows)
    return f"[\n{lines}\n]\n"
