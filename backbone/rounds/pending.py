"""Pending results: the rounds of an unfinished measurement.

RESULTS/.pending/ has a folder for each wrapper and its arguments:

    measurement.json    start time, seed, conditions
    pascal-003.json     one round of a series: records and failures; never changed
    new/                the files to be stored, after the last round
    storing.json        their names, and failed commands; once it exists, they replace stored files

All files are synced to disk and written atomically. RESULTS/.pending/trash/ is being deleted.
"""

import errno
import hashlib
import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from backbone.command.errors import Failure
from backbone.command.files import sync_folder, write_whole
from backbone.command.interrupts import signals_held
from backbone.record import records
from backbone.rounds.commands import Command
from backbone.rounds.groups import Round

PENDING = ".pending"
MEASUREMENT = "measurement.json"
MARKER = "storing.json"
NEW = "new"
TRASH = "trash"


@dataclass(frozen=True)
class Measurement:
    """A measurement of several rounds. seed: see `run_rounds()`."""

    started: str
    seed: int
    conditions: dict[str, str]

    @property
    def when(self) -> str:
        """Its start time, with the date unless that is today's."""
        started = datetime.fromisoformat(self.started)
        is_today = started.date() == datetime.now().date()
        return f"{started:%H:%M}" if is_today else f"{started:%Y-%m-%d %H:%M}"

    def difference_from(self, conditions: dict[str, str]) -> str | None:
        """The first condition that differs, in words; None if all are equal."""
        for name in [*conditions, *self.conditions]:
            before, now = self.conditions.get(name, "unset"), conditions.get(name, "unset")
            if before != now and name in ("code", "commands"):
                return f"the {name} changed"
            if before != now:
                return f"{name} was {before} and is {now}"
        return None


@dataclass(frozen=True)
class Completed:
    """A measurement whose interrupted storing has been completed. measurement: None if it had no
    rounds. failed: names of commands without results."""

    measurement: Measurement | None
    failed: list[str]


class Pending:
    """The folder of pending results of a wrapper with certain arguments."""

    def __init__(self, results: Path, wrapper: str, arguments: Sequence[str]) -> None:
        self.results = results
        key = hashlib.sha256(json.dumps([wrapper, *arguments]).encode()).hexdigest()[:8]
        self.folder = results / PENDING / f"{wrapper.replace('/', '-')}-{key}"
        self.is_stored = False

    @property
    def is_being_stored(self) -> bool:
        """Whether storing has begun but not finished."""
        return (self.folder / MARKER).exists()

    def load(self) -> Measurement | None:
        """The pending measurement; None if there is none. Raises Failure if another version of this
        project wrote it."""
        return _load_measurement(self.folder)

    def start(self, measurement: Measurement) -> None:
        """Begin a measurement, discarding a pending one."""
        discard(self.folder)
        self.folder.mkdir(parents=True)
        write_whole(self.folder / MEASUREMENT, json.dumps(asdict(measurement), indent=1))

    def add(self, ended: Round, commands: Sequence[Command]) -> None:
        """Write a finished round."""
        content = {
            "series": ended.series,
            "number": ended.number,
            "runs": [
                [commands.index(command), records.dumps(record)] for command, record in ended.runs
            ],
            "failures": [[commands.index(command), why] for command, why in ended.failures.items()],
        }
        file = self.folder / f"{ended.series}-{ended.number:03}.json"
        write_whole(file, json.dumps(content))

    def rounds(self, commands: Sequence[Command]) -> list[Round]:
        """The finished rounds of a plan's commands, in order."""
        return [_load_round(file, commands) for file in self._round_files()]

    def count_rounds(self) -> int:
        """The number of finished rounds."""
        return len(self._round_files())

    def _round_files(self) -> list[Path]:
        return sorted(self.folder.glob("*-*.json"))

    def store(
        self, texts: dict[str, str], removed: Collection[str] = (), failed: Sequence[str] = ()
    ) -> None:
        """Replace stored results: write files with these texts, by their paths in the results
        folder, and remove others. failed: names of commands without results. Raises Failure or
        OSError, leaving stored results unchanged, if a file cannot be written."""
        shutil.rmtree(self.folder / NEW, ignore_errors=True)
        for path, text in texts.items():
            file = self.folder / NEW / path
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, text)
        for folder in [file for file in self.folder.rglob("*") if file.is_dir()]:
            sync_folder(folder)
        marker = {"files": sorted(texts), "removed": sorted(removed), "failed": list(failed)}
        with signals_held():
            write_whole(self.folder / MARKER, json.dumps(marker, indent=1))
            _replace_stored(self.folder, self.results)
            self.is_stored = True


def complete_storing(results: Path) -> dict[Path, Completed]:
    """Complete interrupted storing in a results folder; returns it by folder of pending results.
    Removes other remains of killed processes."""
    completed = {}
    shutil.rmtree(results / PENDING / TRASH, ignore_errors=True)
    folders = [path for path in (results / PENDING).glob("*") if path.is_dir()]
    for folder in folders:
        if (folder / MARKER).exists():
            failed = json.loads((folder / MARKER).read_text())["failed"]
            completed[folder] = Completed(_load_measurement(folder), failed)
            with signals_held():
                _replace_stored(folder, results)
        elif not (folder / MEASUREMENT).exists():
            shutil.rmtree(folder)
    return completed


def check_whole(results: Path) -> None:
    """Raise Failure if the results in a folder are only partly replaced."""
    for marker in (results / PENDING).glob(f"*.sh-*/{MARKER}"):
        wrapper = marker.parent.name.rpartition("-")[0].replace("-", "/")
        raise Failure(f"the results of {wrapper} are partly replaced; run it again to finish")


def discard(folder: Path) -> None:
    """Remove a folder of pending results atomically."""
    if folder.exists():
        trash = folder.with_name(TRASH)
        shutil.rmtree(trash, ignore_errors=True)
        folder.rename(trash)
        shutil.rmtree(trash)


def _replace_stored(folder: Path, results: Path) -> None:
    """Replace stored files as listed in storing.json; can be repeated. Raises Failure if it is cut
    short."""
    try:
        _move_files(folder, results)
    except OSError as error:
        raise Failure(f"cannot store {error.filename}: {error.strerror}") from error
    discard(folder)


def _move_files(folder: Path, results: Path) -> None:
    marker = json.loads((folder / MARKER).read_text())
    touched = set()
    for path in marker["files"]:
        new, stored = folder / NEW / path, results / path
        stored.parent.mkdir(parents=True, exist_ok=True)
        if new.exists():
            _move(new, stored)
        elif not stored.exists():
            raise Failure(f"{new}, which was to be stored, is missing; measure again with --new")
        touched.add(stored.parent)
    for path in marker["removed"]:
        (results / path).unlink(missing_ok=True)
        touched.add((results / path).parent)
    for stored_folder in filter(Path.exists, touched):
        sync_folder(stored_folder)


def _move(new: Path, stored: Path) -> None:
    """Move a text file, also through a symbolic link to another file system."""
    try:
        new.replace(stored)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        write_whole(stored, new.read_text("utf-8"))
        new.unlink()


def _load_measurement(folder: Path) -> Measurement | None:
    file = folder / MEASUREMENT
    if not file.exists():
        return None
    try:
        return Measurement(**json.loads(file.read_text()))
    except (TypeError, ValueError) as error:
        raise Failure(
            f"{file} was written by another version of this project; use --new"
        ) from error


def _load_round(file: Path, commands: Sequence[Command]) -> Round:
    content = json.loads(file.read_text())
    return Round(
        series=content["series"],
        number=content["number"],
        runs=[(commands[place], records.loads(text, file)) for place, text in content["runs"]],
        failures={commands[place]: reason for place, reason in content["failures"]},
    )
