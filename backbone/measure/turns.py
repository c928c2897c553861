"""A timer's side of turns: it waits for each while the other runs of its round have theirs.

The timer and its parent process (backbone/rounds) exchange lines over the timer's stdin and stdout:

    timer   protocol 5           the version of this protocol, before torch is imported
    timer   prepared             the network is built, exported or compiled; what follows computes
    parent  start                no other run is computing
    timer   ready SECONDS BYTES [DEVICE_BYTES FREE_DEVICE_BYTES]
                                 it is warm; the duration of its last pass, its peak resident memory
                                 and, on a GPU, the memory it has reserved there and what is free
    parent  turn PASSES          run this many timed passes, after one that is not timed
    timer   ended                the turn has ended
    parent  finish FIRST BYTES   all runs have ended their last turn: measure the rest; FIRST is 1
                                 if no run of this command has finished before, else 0; followed by
                                 the stock network's output, if the run is to compare its own
    timer   record BYTES         followed by the record of this run, as --json writes it

Each side ends when the other has exited.
"""

import ctypes
import os
import re
import signal
import sys

from backbone.command.errors import Failure

PROTOCOL = 5
PR_SET_PDEATHSIG = 1  # prctl(2): a signal for this process when its parent exits


class Turns:
    """The turns of this run. The parent process decides how many there are, and how long.

    Known after the last turn: is_first, whether no run of the same command has finished before;
    reference, the bytes of the stock output that this run's is to be compared with, if it is.
    """

    def __init__(self) -> None:
        """Take stdin and stdout for the lines, and send the protocol's version. What is printed
        from now on is lost. The process gets a group of its own, so that a terminal's signals reach
        its parent alone (in a session of its own, Linux would schedule it apart from other runs,
        which makes their times differ); on Linux it ends with its parent, whatever it is doing."""
        self._reader = os.fdopen(os.dup(0), "rb")
        self._writer = os.fdopen(os.dup(1), "w", encoding="utf-8")
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 0)
        os.dup2(nowhere, 1)
        os.close(nowhere)
        self.is_first = True
        self.reference: bytes | None = None
        if os.getpgrp() != os.getpid():
            os.setpgrp()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        self._tell(f"protocol {PROTOCOL}")

    def wait_for_start(self) -> None:
        """Send that the network is prepared, and wait until no other run is computing: the threads
        of two would hinder each other, since they spin while they wait."""
        self._tell("prepared")
        self._hear("start")

    def tell_ready(self, seconds: float, *memory: int) -> None:
        """Send that the run is warm, the seconds of its last pass, and bytes of memory: its peak,
        and on a GPU what it has reserved and what is free."""
        self._tell(" ".join(["ready", f"{seconds:.6f}", *map(str, memory)]))

    def wait(self) -> int | None:
        """Wait for the next turn and return its number of timed passes; None if all runs have had
        their last turn. (What follows would disturb them.)"""
        heard = self._hear(r"turn (\d+)|finish ([01]) (\d+)")
        if heard[1]:
            return int(heard[1])
        self.is_first = heard[2] == "1"
        if length := int(heard[3]):
            self.reference = self._reader.read(length)
            if len(self.reference) < length:
                raise Failure("the parent process has exited")
        return None

    def end(self) -> None:
        """Send that the turn has ended."""
        self._tell("ended")

    def send(self, record: str) -> None:
        """Send the record of this run."""
        self._tell(f"record {len(record.encode())}\n{record}", end="")

    def _tell(self, text: str, end: str = "\n") -> None:
        try:
            print(text, file=self._writer, end=end, flush=True)
        except OSError as error:
            raise Failure("the parent process has exited") from error

    def _hear(self, expected: str) -> re.Match[str]:
        line = self._reader.readline().decode("utf-8", "replace")
        if not line:
            raise Failure("the parent process has exited")
        heard = re.fullmatch(f"(?:{expected})\n", line)
        if heard is None:
            raise Failure(f"--turns: expected '{expected}', got {line.strip()!r}")
        return heard
