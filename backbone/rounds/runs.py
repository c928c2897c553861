"""The parent's side of a run: a timer's process that takes turns over its stdin and stdout.

backbone/measure/turns.py is the timer's side, and defines the lines that the two exchange.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from backbone.command.errors import Failure
from backbone.command.interrupts import signals_held
from backbone.measure.addresses import fixed_addresses
from backbone.measure.turns import PROTOCOL
from backbone.record import records
from backbone.record.rows import Record
from backbone.rounds.commands import Command
from backbone.rounds.process import (
    ENDING_SECONDS,
    how_it_ended,
    last_words,
    read_text,
    stop_process,
    unnamed_file,
)

# A turn times out after this many times its expected duration plus these seconds.
PATIENCE = 20
LEAST_PATIENCE = 60  # seconds
PROTOCOL_SECONDS = 120  # until its first line, before it imports torch
START_SECONDS = 1800  # for warming up, and for sending the record after the last turn
NO_TIMER = "it is not a timer of this project, or one that is too old to take turns"
USERS_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@dataclass(frozen=True)
class Memory:
    """Bytes of host memory and of GPU memory."""

    resident: int = 0
    on_device: int = 0

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.resident + other.resident, self.on_device + other.on_device)

    def fits(self, room: "Memory") -> bool:
        """Whether both amounts fit into `room`."""
        return self.resident <= room.resident and self.on_device <= room.on_device


class RunFailed(Exception):
    """A run did not end properly; the message says why."""


def first_prepared(runs: Sequence["Run"]) -> "Run":
    """Wait until one of several runs is prepared or has exited, and return it."""
    deadline = time.monotonic() + START_SECONDS
    while not any(run.is_prepared for run in runs):
        by_pipe = {run.process.stdout: run for run in runs}
        readable, _, _ = select.select([*by_pipe], [], [], max(0, deadline - time.monotonic()))
        if not readable:
            return runs[0]  # the run is then given up
        for pipe in readable:
            by_pipe[pipe].hear_what_is_there()
    return next(run for run in runs if run.is_prepared)


class Run:
    """One process of a timer, from its start to its record.

    seconds: duration of its shortest pass; 0 until it is warm. memory: its peak memory.
    is_prepared: whether it waits for its start, or has exited. free_on_device: free bytes on a GPU;
    None on a CPU. notes: its stderr, once it has finished.
    """

    def __init__(
        self,
        command: Command,
        locks: tuple[int, ...] = (),
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """A run that is not yet started. locks: open files that the process keeps open. variables:
        added to its environment, before the command's own."""
        self.command = command
        self.process: subprocess.Popen | None = None
        self.seconds = 0.0
        self.is_prepared = False
        self._longest_seconds = 0.0  # of a pass
        self.memory = Memory()
        self.free_on_device: int | None = None
        self.notes = ""
        self._locks = locks
        self._variables = variables
        self._heard = b""
        self._stderr = unnamed_file()

    def start(self, hash_seed: int) -> None:
        """Start the process, with this hash seed unless the environment sets another, and without
        address space randomization. Two runs of a command get exactly the same arguments, since
        these affect the memory layout. Raises RunFailed."""
        command, seed = self.command, {"PYTHONHASHSEED": str(hash_seed)}
        try:
            with signals_held(), fixed_addresses():  # until it is known what is to be ended
                self.process = subprocess.Popen(
                    [*command.words, "--turns"],
                    env={**seed, **os.environ, **self._variables, **command.environment},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._stderr,
                    bufsize=0,
                    pass_fds=self._locks,
                )
        except OSError as error:
            raise RunFailed(f"cannot start: {error.strerror}") from error

    def wait_until_ready(self) -> None:
        """Let the run compute, and wait until it is warm; no other run may be computing. Raises
        RunFailed."""
        begun = time.monotonic()
        self._check_protocol(self._hear_line(begun + PROTOCOL_SECONDS, "its protocol"))
        self._hear("prepared", begun + START_SECONDS)
        self._tell("start")
        said = self._hear("ready", begun + START_SECONDS)
        try:
            seconds, resident, *on_device = float(said[0]), *map(int, said[1:])
            reserved, self.free_on_device = on_device or (0, None)
        except ValueError as error:
            raise RunFailed(f"sent an invalid line: ready {' '.join(said)}") from error
        self._see_seconds(max(seconds, 1e-6))
        self.memory = Memory(resident=resident, on_device=reserved)

    def take_turn(self, passes: int) -> None:
        """Give the run a turn of this many timed passes and wait for its end. Raises RunFailed."""
        self._tell(f"turn {passes}")
        begun = time.monotonic()
        patience = LEAST_PATIENCE + PATIENCE * (passes + 1) * self._longest_seconds
        self._hear("ended", begun + patience)
        self._see_seconds((time.monotonic() - begun) / (passes + 1))

    def finish(self, is_first: bool, reference: bytes | None = None) -> Record:
        """Let the run finish its other measurements, and wait for its record and its exit.
        is_first: whether no run of its command has finished before. reference: the stock output for
        comparison, if any. Raises RunFailed."""
        content = reference or b""
        self._tell(f"finish {int(is_first)} {len(content)}", content)
        deadline = time.monotonic() + START_SECONDS
        said = self._hear("record", deadline)
        try:
            (length,) = map(int, said)
            record = records.loads(self._hear_bytes(length, deadline).decode(), "what it sent")
        except (ValueError, Failure) as error:
            raise RunFailed(f"sent an invalid record: {error}") from error
        try:
            status = self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise RunFailed("timed out waiting for its exit") from error
        if status != 0:
            raise RunFailed(self._why_it_ended())
        self.notes = read_text(self._stderr)
        return record

    def stop(self) -> None:
        """Terminate the process if it is running, and close open files."""
        stop_process(self.process)
        if self.process is not None:
            self.process.stdin.close()
            self.process.stdout.close()
        self._stderr.close()

    def hear_what_is_there(self) -> None:
        """Read available output of the run, or detect its exit."""
        heard = self.process.stdout.read(2**16)
        self._heard += heard
        self.is_prepared = not heard or b"prepared\n" in self._heard

    def _see_seconds(self, seconds: float) -> None:
        self.seconds = min(self.seconds or seconds, seconds)
        self._longest_seconds = max(self._longest_seconds, seconds)

    def _check_protocol(self, line: str) -> None:
        """Raise RunFailed unless the timer speaks this protocol."""
        word, _, version = line.partition(" ")
        if word != "protocol" or not version.isdigit():
            raise RunFailed(NO_TIMER)
        if int(version) != PROTOCOL:
            age = "new" if int(version) > PROTOCOL else "old"
            raise RunFailed(f"its timer is too {age} for this version of the project")

    def _tell(self, line: str, content: bytes = b"") -> None:
        left = memoryview(f"{line}\n".encode() + content)
        pipe, deadline = self.process.stdin, time.monotonic() + START_SECONDS
        try:
            while left:
                seconds = max(0, deadline - time.monotonic())
                if not select.select([], [pipe], [], seconds)[1]:
                    raise RunFailed("timed out waiting for it to read")
                left = left[pipe.write(left[: select.PIPE_BUF]) :]  # which a pipe takes at once
        except OSError as error:
            raise RunFailed(self._why_it_ended()) from error

    def _hear(self, expected: str, deadline: float) -> list[str]:
        """Read the expected line and return its values."""
        line = self._hear_line(deadline, repr(expected))
        word, *values = line.split() or [""]
        if word != expected:
            raise RunFailed(f"sent {line!r} instead of {expected!r}")
        return values

    def _hear_line(self, deadline: float, expected: str) -> str:
        while b"\n" not in self._heard:
            self._hear_more(deadline, expected)
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode("utf-8", "replace")

    def _hear_bytes(self, length: int, deadline: float) -> bytes:
        while len(self._heard) < length:
            self._hear_more(deadline, "its record")
        return self._heard[:length]

    def _hear_more(self, deadline: float, expected: str) -> None:
        seconds = max(0, deadline - time.monotonic())
        readable, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not readable:
            raise RunFailed(f"timed out waiting for {expected}")
        heard = self.process.stdout.read(2**16)
        if not heard:
            raise RunFailed(self._why_it_ended())
        self._heard += heard

    def _why_it_ended(self) -> str:
        """Why the process ended unexpectedly, with its last line on stderr. Raises Failure if a
        user's signal ended it, since that is not the command's fault."""
        try:
            status = self.process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            return "it closed its pipes"
        lines = last_words(self._stderr)
        refuses_turns = status == 2 and "--turns" in lines
        if refuses_turns or (status == 0 and self.seconds == 0):
            return NO_TIMER
        if status == 0:
            return "it exited before its last turn"
        if -status in USERS_SIGNALS:
            raise Failure(f"{self.command.name} was ended by {how_it_ended(status)}")
        return f"{how_it_ended(status)}: {lines}" if lines else how_it_ended(status)
