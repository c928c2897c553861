"""Trials of compare.py, as tools/trials.py stores them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from backbone.command.errors import Failure
from backbone.command.files import ROOT

FILE = ROOT / "tools/trials.json"


@dataclass(frozen=True)
class Trial:
    """One comparison: how many times as fast the second command was as the first, with the interval
    of that."""

    speed_up: float
    low: float
    high: float


@dataclass(frozen=True)
class Trials:
    """Comparisons of the same two commands, of so many rounds each."""

    title: str
    commands: list[str]
    rounds: int
    date: str
    trials: list[Trial]


def load(file: Path = FILE) -> list[Trials]:
    """The trials in a file; none where there is no file. Raises Failure where they can't be
    read."""
    if not file.exists():
        return []
    try:
        return [
            Trials(**{**series, "trials": [Trial(**trial) for trial in series["trials"]]})
            for series in json.loads(file.read_text("utf-8"))
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise Failure(f"{file} holds no trials: {error!r}") from error


def with_series(series: Trials, file: Path) -> str:
    """The text of a file with a series of trials, which replaces one of the same title. Raises
    Failure if what the file holds can't be read."""
    new = {each.title: each for each in load(file)} | {series.title: series}
    return json.dumps([asdict(each) for each in new.values()], indent=1) + "\n"
