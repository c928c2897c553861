"""The timer's side of turns: it waits for each turn while the other runs of its round have theirs.

The timer and its parent process (backbone/rounds) exchange lines over the timer's stdin and stdout:

    timer   protocol 5           the version of this protocol, before torch is imported
    timer   prepared             the network is built, exported or compiled, but has not yet run
    parent  start                no other run is computing
    timer   ready SECONDS BYTES [DEVICE_BYTES FREE_DEVICE_BYTES]
                                 it is warm; the duration of its last pass, its peak resident memory
                                 and, on a GPU, its reserved memory and the GPU's free memory
    parent  turn PASSES          run this many timed passes, after one untimed pass
    timer   ended                the turn has ended
    parent  finish FIRST BYTES   all runs have ended their last turn: measure everything else; FIRST
                                 is 1 if no run of this command has finished before, else 0;
                                 followed by the stock output, if the run compares its own with it
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
PR_SET_PDEATHSIG = 1  # prctl(2): send this process a signal when its parent exits


class Turns:
    """The turns of this run. The parent process decides their number and length.

    Known after the last turn: is_first, whether no run of the same command has finished before;
    reference, the stock output as bytes, or None if this run does not compare its output.
    """

    def __init__(self) -> None:
        """Reserve stdin and stdout for the protocol, and send its version. Later prints are lost.
        The process gets its own process group, so that a terminal's signals reach only its parent
        (in a session of its own, Linux would schedule it separately from other runs, and their
        times would differ). On Linux the process is killed when its parent exits."""
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
        """Report that the network is prepared, and wait until no other run is computing: waiting
        threads spin, so two computing runs would slow each other down."""
        self._tell("prepared")
        self._hear("start")

    def tell_ready(self, seconds: float, *memory: int) -> None:
        """Report that the run is warm, the seconds of its last pass, and bytes of memory: its peak
        and, on a GPU, its reserved memory and the GPU's free memory."""
        self._tell(" ".join(["ready", f"{seconds:.6f}", *map(str, memory)]))

    def wait(self) -> int | None:
        """Wait for the next turn and return its number of timed passes; None once all runs have had
        their last turn, so that further measurements disturb none of them."""
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
        """Report that the turn has ended."""
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
