"""What the programs in tools/ store: lists of plain rows, as JSON beside them."""

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
    """One comparison by compare.py. title: of the two commands, which other trials share.

    speed_up, low, high: how many times as fast the second command was. verdict: "faster", "slower",
    "same" or "undecided". rounds: after which it stopped. seconds: that it took. rule: "looks" or
    "fixed".
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

    scatter: how the rounds' ratios scatter, in words. effect: percent by which the second command
    is faster (in the same heap state). precision: percent; see compare.py. rounds: their mean.
    holds: the share of intervals that hold the true ratio. wrong: the share that excludes 1 on the
    wrong side.
    """

    scatter: str
    effect: float
    precision: float
    rounds: float
    holds: float
    wrong: float


@dataclass(frozen=True)
class PassesTried:
    """A number of timed passes per process, and what it is worth.

    title: of the two commands. scatter: standard deviation of the logarithm of their ratio from
    round to round. seconds: that a round takes. half_width: percent, of the ratio's 95 % interval
    after ten minutes of such rounds.
    """

    title: str
    passes: int
    scatter: float
    seconds: float
    half_width: float


Row = TypeVar("Row", Trial, Simulated, PassesTried)


def load(form: type[Row], file: Path) -> list[Row]:
    """The rows in a file; none if there is no file. Raises Failure if they cannot be read."""
    if not file.exists():
        return []
    try:
        return [form(**row) for row in json.loads(file.read_text("utf-8"))]
    except (ValueError, TypeError) as error:
        raise Failure(f"{file} holds no {form.__name__}: {error!r}") from error


def dumps(rows: Iterable[Row]) -> str:
    """The text of a file with these rows, a line each."""
    lines = ",\n".join(json.dumps(asdict(row)) for row in rows)
    return f"[\n{lines}\n]\n"
