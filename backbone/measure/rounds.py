"""Rounds: one fresh process of everything that is compared, taking turns until all have ended.

Runs of one round meet the same minutes, so that their ratio is worth something. They also have the
same hash seed and no random addresses, so that two which do the same have their memory at the same
places. Rounds are independent of each other: each has a seed of its own.
"""

import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, log2

from backbone.command.errors import Failure
from backbone.measure.available import available_bytes, available_processors
from backbone.measure.process import Command, Memory, Run, RunFailed

TURN_SECONDS = 0.1  # that the slowest run's turn takes at the least
LEAST_PASSES = 3  # that are counted in a turn
LONG_SECONDS = 0.5  # a pass of such a length outlasts the bursts that short turns average out,
LEAST_LONG_PASSES = 8  # and an uncounted one costs much
RESERVE = 2**30  # bytes, here and on a GPU, that runs may need beyond what they are seen to hold


@dataclass(frozen=True)
class RunEnded:
    """A run that has ended as it should: of which command, in which round and group. notes: what it
    said on stderr, unless a run before has said the same."""

    command: Command
    round: int
    group: int
    notes: str


class Rounds:
    """Commands that are compared, round by round. seed: from 0 up to 2**31, of the order of turns,
    and, with a round's number, of Python's hashes.

    Where memory does not hold all processes of a round at once, they are in several groups, each
    with a run of the first command, by which groups are comparable. failures: how a command has
    failed, which the others go on without, unless all are needed.
    """

    def __init__(self, commands: Sequence[Command], seed: int, need_all: bool = False) -> None:
        self.seed = seed
        self._need_all = need_all
        self.failures: dict[Command, str] = {}
        self._commands = list(commands)
        self._random = random.Random(seed)
        self._memory: dict[Command, Memory] = {}  # that runs of a command have held
        self._seconds: dict[Command, float] = {}  # that its passes have taken at the least
        self._noted: set[str] = set()
        self._device_bytes = 0  # that a GPU has for all runs together
        # More processes than processors hinder each other: their threads spin while they wait.
        self._starts_at_once = available_processors()

    def run(self, number: int) -> Iterator[RunEnded]:
        """One round, the number of which is from 1: the runs that end as they should. It ends
        early where the first command fails, without which the others are not comparable. Raises
        Failure where one fails and all are needed."""
        first, *others = [each for each in self._commands if each not in self.failures]
        others = self._random.sample(others, len(others))
        group = 0
        while group == 0 or (others and first not in self.failures):
            with contextlib.ExitStack() as stack:
                runs, others = self._start_group(stack, first, others, self.seed + number)
                self._hand_out(runs, first)
                for run in runs:
                    if {first, run.command} & self.failures.keys():
                        continue
                    with self._noting_failure(run):
                        run.finish(number, group, self.seed)
                        yield RunEnded(run.command, number, group, self._new_notes(run))
            group += 1

    def _start_group(
        self, stack: contextlib.ExitStack, first: Command, others: list[Command], hash_seed: int
    ) -> tuple[list[Run], list[Command]]:
        """Warm runs of the first command and of as many others as memory holds, two at the least;
        and the others that are left. What is started is stopped with the stack."""
        available = available_bytes() - RESERVE
        runs: list[Run] = []
        left: list[Command] = []
        starting: list[Run] = []
        held = Memory()
        for command in (first, *others):
            room = Memory(available, self._device_bytes)
            if len(runs) >= 2 and not (held + self._memory_of(command)).fits(room):
                left.append(command)
                continue
            run = Run(command)
            stack.callback(run.stop)
            with self._noting_failure(run):
                run.start(hash_seed)
                if command not in self._memory:  # to be seen before the next one starts
                    self._see_memory(run)
                else:
                    starting.append(run)
                held += self._memory_of(command)
                runs.append(run)  # one that has failed counts for nothing
            if len(starting) >= self._starts_at_once:
                earliest = starting.pop(0)
                with self._noting_failure(earliest):
                    self._wait_for(earliest)
            if first in self.failures:
                break
        return runs, left

    def _new_notes(self, run: Run) -> str:
        """What a run said on stderr, unless one before has said the same."""
        if run.notes in self._noted:
            return ""
        self._noted.add(run.notes)
        return run.notes

    def _memory_of(self, command: Command) -> Memory:
        """What a run of a command has held; what the largest has, where none of it is known."""
        seen = self._memory.values()
        largest = Memory(
            resident=max((memory.resident for memory in seen), default=0),
            on_device=max((memory.on_device for memory in seen), default=0),
        )
        return self._memory.get(command, largest)

    def _see_memory(self, run: Run) -> None:
        """Wait until a run is warm, and note what memory it holds. Raises RunFailed."""
        self._wait_for(run)
        self._memory[run.command] = run.memory
        if run.free_on_device is not None and self._device_bytes == 0:
            self._device_bytes = run.free_on_device + run.memory.on_device - RESERVE

    def _wait_for(self, run: Run) -> None:
        """Wait until a run is warm. Raises RunFailed."""
        run.wait_until_ready()
        self._see_seconds(run)

    def _see_seconds(self, run: Run) -> None:
        """Note how long its pass takes: where several get warm at once, none sees its own time."""
        before = self._seconds.get(run.command, run.seconds)
        self._seconds[run.command] = min(before, run.seconds)

    def _hand_out(self, runs: list[Run], first: Command) -> None:
        """Wait until the runs are warm, and give them turns until none has passes
        left, or the first command has failed. All turns have as many passes: the runs then have
        their last ones together too."""
        for run in runs:
            if run.seconds == 0 and run.command not in self.failures:
                with self._noting_failure(run):
                    self._wait_for(run)
        taking = [run for run in runs if run.command not in self.failures]
        if not taking:
            return
        passes = passes_of_a_turn(max(self._seconds[run.command] for run in taking))
        while taking and first not in self.failures:
            for run in self._order_of(taking):
                with self._noting_failure(run):
                    run.take_turn(passes)
                    self._see_seconds(run)
            taking = [run for run in taking if run.command not in self.failures and run.passes_left]

    def _order_of(self, runs: list[Run]) -> list[Run]:
        """Runs in random order, but those side by side whose passes take as long by powers of two,
        so that fast ones meet the same seconds: a slow one's turn between them may take many."""

        def power(run: Run) -> int:
            return round(log2(self._seconds[run.command]))

        order = self._random.sample(runs, len(runs))
        return sorted(order, key=power, reverse=self._random.random() < 0.5)

    @contextlib.contextmanager
    def _noting_failure(self, run: Run) -> Iterator[None]:
        """What fails inside is the run's failure, and takes none of the others with it, unless all
        are needed."""
        try:
            yield
        except RunFailed as failure:
            self._note_failure(run.command, failure)

    def _note_failure(self, command: Command, failure: RunFailed) -> None:
        if self._need_all:
            raise Failure(f"{command.name} failed: {failure}") from failure
        self.failures[command] = str(failure)


def passes_of_a_turn(seconds: float) -> int:
    """How many are counted in it, where the slowest run's pass takes so many seconds."""
    least = LEAST_PASSES if seconds < LONG_SECONDS else LEAST_LONG_PASSES
    return max(least, ceil(TURN_SECONDS / seconds))
