"""Rounds: one fresh process of everything that is compared, taking turns until all have ended.

Runs of one round meet the same minutes, so that their ratio is worth something, and rounds are
independent of each other.
"""

import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from backbone.measure.available import available_bytes
from backbone.measure.process import Command, Run, RunFailed

TURN_SECONDS = 0.1  # that the slowest run's turn takes at the least
LEAST_PASSES = 3  # that are counted in a turn
RESERVE = 2**30  # bytes that runs may need beyond what they are seen to hold


@dataclass(frozen=True)
class RunEnded:
    """A run that has ended as it should: of which command, in which round and group."""

    command: Command
    round: int
    group: int


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
