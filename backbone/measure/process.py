"""A run that takes turns, seen from outside: a process of a timer, and two pipes to it.

turns.py is the run's own side of this, and says how the two speak.
"""

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backbone.command.errors import Failure
from backbone.measure.addresses import fixed_addresses

# A run is given up if a turn takes this many times as long as it should, and so many seconds.
PATIENCE = 20
LEAST_PATIENCE = 60  # seconds
START_SECONDS = 1800  # that a run may take to be warm, and to end after its last turn
ENDING_SECONDS = 5  # that a process which is told to end has for it
VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Command:
    """What is compared: a timer's program and flags, variables of its environment, and the file
    that its stdout goes to. name: in messages."""

    name: str
    words: list[str]
    stdout: Path
    environment: dict[str, str] = field(default_factory=dict)


def read_command(
    name: str,
    words: Sequence[str],
    flags: Sequence[str],
    stdout: Path,
    interpreter: str = sys.executable,
) -> Command:
    """A command as one types it, and flags behind it: before the timer may stand variables of its
    environment and an interpreter of its own; else it has the one that is given here. Raises
    Failure where it names no timer."""
    words = list(words)
    environment = {}
    while words and (variable := VARIABLE.fullmatch(words[0])):
        environment[variable[1]] = variable[2]
        del words[0]
    if not words:
        raise Failure(f"{name!r} names no timer")
    if words[0].endswith(".py"):
        words.insert(0, interpreter)
    return Command(name=name, words=[*words, *flags], stdout=stdout, environment=environment)


@dataclass(frozen=True)
class Memory:
    """Bytes of the machine's memory, and of a GPU's."""

    resident: int = 0
    on_device: int = 0

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.resident + other.resident, self.on_device + other.on_device)

    def fits(self, room: "Memory") -> bool:
        """Whether there is room for so much."""
        return self.resident <= room.resident and self.on_device <= room.on_device


class RunFailed(Exception):
    """A run has not ended as it should; the message says how."""


class Run:
    """One process of a command, from its start to its end. Where it fails, the last line of its
    stderr is told; all of it with PROFILE_DEBUG=1.

    seconds: of a pass, the shortest seen; 0 until it is warm. memory: that it has held.
    free_on_device: bytes that a GPU still has; None on a CPU. passes_left: to come. notes: what a
    run that has ended said on stderr.
    """

    def __init__(self, command: Command) -> None:
        """A run that is yet to be started."""
        self.command = command
        self.process: subprocess.Popen | None = None
        self.seconds = 0.0
        self._longest_seconds = 0.0  # that a pass has taken
        self.memory = Memory()
        self.free_on_device: int | None = None
        self.passes_left: int | None = None
        self.notes = ""
        self._heard = b""
        self._stderr = command.stdout.with_suffix(".stderr")
        self._open: list[int] = []  # ends of the pipes, here

    def start(self, hash_seed: int) -> None:
        """Start the process, with Python's hashes by this seed unless the environment has another,
        and its memory at the same addresses whenever it does the same. Raises RunFailed."""
        command = self.command
        self._reader, write_there = os.pipe()
        read_there, self._writer = os.pipe()
        self._open = [self._reader, self._writer]
        turns = ["--turns", str(read_there), str(write_there)]
        try:
            with (
                command.stdout.open("wb") as out,
                self._stderr.open("wb") as errors,
                fixed_addresses(),
            ):
                self.process = subprocess.Popen(
                    [*command.words, *turns],
                    env={"PYTHONHASHSEED": str(hash_seed), **os.environ, **command.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=errors,
                    pass_fds=(read_there, write_there),
                )
        except OSError as error:
            raise RunFailed(f"cannot start: {error.strerror}") from error
        finally:
            os.close(read_there)
            os.close(write_there)

    def wait_until_ready(self) -> None:
        """Wait until the run is warm. Raises RunFailed."""
        said = self._hear("ready", START_SECONDS)
        try:
            seconds, resident, *on_device = float(said[0]), *map(int, said[1:])
            allocated, self.free_on_device = on_device or (0, None)
        except ValueError as error:
            raise RunFailed(f"said that it is ready, and {said}") from error
        self._see_seconds(max(seconds, 1e-6))
        self.memory = Memory(resident=resident, on_device=allocated)

    def take_turn(self, passes: int) -> None:
        """Let the run have a turn, and wait for its end. Raises RunFailed."""
        self._tell(f"turn {passes}")
        begun = time.monotonic()
        patience = LEAST_PATIENCE + PATIENCE * (passes + 1) * self._longest_seconds
        said = self._hear("ended", patience)
        try:
            (self.passes_left,) = map(int, said)
        except ValueError as error:
            raise RunFailed(f"said that its turn has ended, and {said}") from error
        if self.passes_left > 0:  # its last turn may have been a shorter one
            self._see_seconds((time.monotonic() - begun) / (passes + 1))

    def finish(self, number: int, group: int, seed: int) -> None:
        """Let the run measure what is left, store and print, and wait for its end. Raises
        RunFailed."""
        self._tell(f"finish {number} {group} {seed}")
        try:
            status = self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise RunFailed(f"has not ended {START_SECONDS} s after its last turn") from error
        if status != 0:
            raise RunFailed(self._why_it_ended())
        self.notes = self._stderr.read_text("utf-8", "replace")

    def stop(self) -> None:
        """End the process, if it is there, and close what is open. Where a signal has come in the
        middle of its start, it ends by itself, by its closed pipes."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for end in self._open:
            os.close(end)
        self._open = []
        self._stderr.unlink(missing_ok=True)

    def _see_seconds(self, seconds: float) -> None:
        self.seconds = min(self.seconds or seconds, seconds)
        self._longest_seconds = max(self._longest_seconds, seconds)

    def _tell(self, line: str) -> None:
        try:
            os.write(self._writer, f"{line}\n".encode())
        except OSError as error:
            raise RunFailed(self._why_it_ended()) from error

    def _hear(self, expected: str, seconds: float) -> list[str]:
        """The values of the line that is expected within so many seconds."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._heard:
            left = max(0, deadline - time.monotonic())
            readable, _, _ = select.select([self._reader], [], [], left)
            if not readable:
                raise RunFailed(f"has not said {expected!r} for {seconds:.0f} s, and is given up")
            heard = os.read(self._reader, 4096)
            if not heard:
                raise RunFailed(self._why_it_ended())
            self._heard += heard
        line, _, self._heard = self._heard.partition(b"\n")
        text = line.decode("utf-8", "replace")
        word, *values = text.split() or [""]
        if word != expected:
            raise RunFailed(f"said {text!r} where {expected!r} was expected")
        return values

    def _why_it_ended(self) -> str:
        """How a process has ended that should not have, and what it said last."""
        try:
            status = self.process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            return "has closed its pipes"
        said = self._stderr.read_text("utf-8", "replace")
        if os.environ.get("PROFILE_DEBUG") == "1":
            sys.stderr.write(said)
        lines = said.strip().splitlines()
        if status == 2 and lines and "unrecognized arguments: --turns" in lines[-1]:
            return "its timer has no turns (--turns); it is of an older state of this project"
        if status == 0 and self.seconds == 0:
            return "has ended without taking turns; is it a timer?"
        if status == 0:
            return "has ended before its last turn had"
        how = f"exit status {status}" if status >= 0 else signal.Signals(-status).name
        return f"{how}: {lines[-1]}" if lines else how
