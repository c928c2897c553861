"""Rounds: one fresh process of everything that is compared, taking turns until all have ended.

Runs of one round meet the same minutes, so that their ratio is worth something, and rounds are
independent of each other; METHOD.md says why. turns.py is a run's side of this, and says how the
two speak.
"""

import contextlib
import os
import random
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from backbone.measure.available import available_bytes

TURN_SECONDS = 0.1  # that the slowest run's turn takes at the least
LEAST_PASSES = 3  # that are counted in a turn
# A run is given up if a turn takes this many times as long as it should, and so many seconds.
PATIENCE = 20
LEAST_PATIENCE = 60  # seconds
START_SECONDS = 1800  # that a run may take to be warm, and to end after its last turn
RESERVE = 2**30  # bytes that runs may need beyond what they are seen to hold
ENDING_SECONDS = 5  # that a process which is told to end has for it


@dataclass(frozen=True, eq=False)
class Command:
    """What is compared: a timer's program and flags, variables of its environment, and the file
    that its stdout goes to. name: in messages."""

    name: str
    words: list[str]
    stdout: Path
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunEnded:
    """A run that has ended as it should: of which command, in which round and group."""

    command: Command
    round: int
    group: int


class RunFailed(Exception):
    """A run has not ended as it should; the message says how."""


class Run:
    """One process of a command, from its start to its end. Where it fails, the last line of its
    stderr is told.

    seconds: of a pass, the longest seen. resident_bytes: that it has held. passes_left: to come.
    """

    def __init__(self, command: Command) -> None:
        """Start the process. Raises RunFailed."""
        self.command = command
        self.seconds = 0.0
        self.resident_bytes = 0
        self.passes_left: int | None = None
        self._heard = b""
        self._stderr = command.stdout.with_suffix(".stderr")
        read_here, write_there = os.pipe()
        read_there, write_here = os.pipe()
        self._reader, self._writer = read_here, write_here
        turns = ["--turns", str(read_there), str(write_there)]
        try:
            with command.stdout.open("wb") as out, self._stderr.open("wb") as errors:
                self.process = subprocess.Popen(
                    [*command.words, *turns],
                    env={**os.environ, **command.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=errors,
                    pass_fds=(read_there, write_there),
                )
        except OSError as error:
            os.close(self._reader)
            os.close(self._writer)
            raise RunFailed(f"cannot start: {error.strerror}") from error
        finally:
            os.close(read_there)
            os.close(write_there)

    def wait_until_ready(self) -> None:
        """Wait until the run is warm. Raises RunFailed."""
        seconds, resident_bytes = self._hear("ready", START_SECONDS)
        self.seconds, self.resident_bytes = float(seconds), int(resident_bytes)

    def take_turn(self, passes: int) -> None:
        """Let the run have a turn, and wait for its end. Raises RunFailed."""
        self._tell(f"turn {passes}")
        begun = time.monotonic()
        patience = LEAST_PATIENCE + PATIENCE * (passes + 1) * self.seconds
        (passes_left,) = self._hear("ended", patience)
        self.passes_left = int(passes_left)
        self.seconds = max(self.seconds, (time.monotonic() - begun) / (passes + 1))

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

    def stop(self) -> None:
        """End the process, if it is there, and close what is open."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        os.close(self._reader)
        os.close(self._writer)
        self._stderr.unlink(missing_ok=True)

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
        word, *values = line.decode().split()
        if word != expected:
            raise RunFailed(f"said {line.decode()!r} where {expected!r} was expected")
        return values

    def _why_it_ended(self) -> str:
        """How a process has ended that should not have, and what it said last."""
        try:
            status = self.process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            return "has closed its pipes"
        lines = self._stderr.read_text("utf-8", "replace").strip().splitlines()
        if status == 2 and lines and "unrecognized arguments: --turns" in lines[-1]:
            return "its timer has no turns (--turns); it is of an older state of this project"
        if status == 0:
            return "has ended without taking turns; is it a timer?"
        how = f"exit status {status}" if status >= 0 else signal.Signals(-status).name
        return f"{how}: {lines[-1]}" if lines else how


class Rounds:
    """Commands that are compared, round by round.

    Where memory does not hold all processes of a round at once, they are in several groups, each
    with a run of the first command, by which groups are comparable. failures: how a command has
    failed, which later rounds go without.
    """

    def __init__(self, commands: Sequence[Command], seed: int) -> None:
        self.seed = seed
        self.failures: dict[Command, str] = {}
        self._commands = list(commands)
        self._random = random.Random(seed)
        self._resident_bytes: dict[Command, int] = {}  # that runs of a command have held

    def run(self, number: int) -> Iterator[RunEnded]:
        """One round, the number of which is from 1: the runs that end as they should. It ends
        early where a first command fails, without which the others are not comparable."""
        first, *others = [each for each in self._commands if each not in self.failures]
        others = self._random.sample(others, len(others))
        group = 0
        while group == 0 or (others and first not in self.failures):
            with contextlib.ExitStack() as stack:
                runs, others = self._start_group(stack, first, others)
                self._hand_out(runs)
                for run in runs:
                    if run.command in self.failures:
                        continue
                    with self._noting_failure(run):
                        run.finish(number, group, self.seed)
                        yield RunEnded(command=run.command, round=number, group=group)
            group += 1

    def _start_group(
        self, stack: contextlib.ExitStack, first: Command, others: list[Command]
    ) -> tuple[list[Run], list[Command]]:
        """Warm runs of the first command and of as many others as memory holds, two at the least;
        and the others that are left. What is started is stopped with the stack."""
        available = available_bytes() - RESERVE
        runs: list[Run] = []
        left: list[Command] = []
        held = 0
        for command in (first, *others):
            most = max(self._resident_bytes.values(), default=0)
            needed = self._resident_bytes.get(command, most)
            if len(runs) >= 2 and held + needed > available:
                left.append(command)
                continue
            known = command in self._resident_bytes
            try:
                run = Run(command)
            except RunFailed as failure:
                self.failures[command] = str(failure)
                continue
            stack.callback(run.stop)
            runs.append(run)
            if not known:  # what it holds is to be seen before the next one starts
                with self._noting_failure(run):
                    run.wait_until_ready()
                    self._resident_bytes[command] = run.resident_bytes
                needed = run.resident_bytes
            held += needed
        return runs, left

    def _hand_out(self, runs: list[Run]) -> None:
        """Wait until the runs are warm, and give them turns in random order until none has passes
        left. All turns have as many passes: the runs then have their last ones together too."""
        for run in runs:
            if run.seconds == 0 and run.command not in self.failures:
                with self._noting_failure(run):
                    run.wait_until_ready()
        taking = [run for run in runs if run.command not in self.failures]
        if not taking:
            return
        passes = max(LEAST_PASSES, ceil(TURN_SECONDS / max(run.seconds for run in taking)))
        while taking:
            for run in self._random.sample(taking, len(taking)):
                with self._noting_failure(run):
                    run.take_turn(passes)
            taking = [run for run in taking if run.command not in self.failures and run.passes_left]

    @contextlib.contextmanager
    def _noting_failure(self, run: Run) -> Iterator[None]:
        """What fails inside is the run's failure, and takes none of the others with it."""
        try:
            yield
        except RunFailed as failure:
            self.failures[run.command] = str(failure)
