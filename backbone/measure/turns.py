"""A run's side of turns: it waits for each, while the other runs of its round have theirs.

The run and the one who hands out turns (rounds.py) speak by lines on two pipes:

    run     ready SECONDS BYTES [DEVICE_BYTES FREE_DEVICE_BYTES]
                                 it is warm, its last pass took so long, and it has held so much
                                 memory; on a GPU also so much of that one's, which has so much free
    other   turn PASSES          run so many, after one that is not counted
    run     ended PASSES         the turn has ended; so many passes are still to come
    other   finish ROUND GROUP SEED
                                 nobody has a turn left: measure what is left, store, and print

A run whose other side has gone ends by itself.
"""

import os

from backbone.command.errors import Failure

GONE = "the one who hands out turns has gone"


class Turns:
    """The turns of this run, on the file descriptors of two pipes: one to read from, one to write
    to. fields: what the record says of the round, once the last turn has ended."""

    def __init__(self, reading: int, writing: int) -> None:
        """Raises Failure where these are no open files."""
        try:
            self._reader = os.fdopen(reading, "r")
            self._writer = os.fdopen(writing, "w")
        except OSError as error:
            raise Failure(f"--turns {reading} {writing}: no such pipes are open here") from error
        self.fields: dict[str, int] = {}

    def tell_ready(self, seconds: float, *memory: int) -> None:
        """Say that the run is warm, how long its last pass took, and the bytes that it has held: of
        the machine's memory, of a GPU's, and what that one has free."""
        self._tell(" ".join(["ready", f"{seconds:.6f}", *map(str, memory)]))

    def wait(self) -> int:
        """Wait for the next turn; how many passes are counted in it."""
        (passes,) = self._hear("turn", 1)
        return passes

    def end(self, passes_left: int) -> None:
        """Say that the turn has ended, and how many passes are still to come. Where there are none,
        wait until nobody has a turn left: what follows would disturb the others."""
        self._tell(f"ended {passes_left}")
        if passes_left == 0:
            number, group, seed = self._hear("finish", 3)
            self.fields = {"round": number, "group": group, "order_seed": seed}

    def _tell(self, line: str) -> None:
        try:
            print(line, file=self._writer, flush=True)
        except OSError as error:
            raise Failure(GONE) from error

    def _hear(self, expected: str, numbers: int) -> list[int]:
        line = self._reader.readline()
        if not line:
            raise Failure(GONE)
        word, *values = line.split()
        if word != expected or len(values) != numbers:
            raise Failure(f"--turns: expected {expected!r}, was told {line.strip()!r}")
        return [int(value) for value in values]
