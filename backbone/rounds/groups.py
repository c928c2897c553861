"""One round: a fresh process of each command, taking turns until all have finished.

Runs of a round see the same background load, so their ratio is meaningful. They also share a hash
seed and have no address space randomization, so two equal runs have the same memory layout. Rounds
are independent: each has its own hash seed.
"""

import contextlib
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log2

from backbone.command import ending
from backbone.command.errors import Failure
from backbone.measure.available import available_bytes, available_processors
from backbone.measure.reference import compute_reference
from backbone.record.rows import Record
from backbone.rounds.caches import cache_of_round
from backbone.rounds.commands import Command
from backbone.rounds.questions import Series
from backbone.rounds.runs import Memory, Run, RunFailed, first_prepared
from backbone.rounds.turn_lengths import turns_of_runs

RESERVE = 2**30  # bytes in reserve, on host and GPU, beyond the observed memory of runs


@dataclass
class Round:
    """The results of one round of a series: the record of each finished run, and why a command
    failed. (A command may have several runs if memory does not hold all runs at once.)"""

    series: str
    number: int
    runs: list[tuple[Command, Record]] = field(default_factory=list)
    failures: dict[Command, str] = field(default_factory=dict)

    def has_all(self, commands: Sequence[Command]) -> bool:
        """Whether all these commands took part."""
        return self.failures.keys() | {command for command, _ in self.runs} >= set(commands)


class RoundRunner:
    """Runs the rounds of the commands of one input.

    If memory does not hold all processes of a round at once, they are split into groups, each with
    a run of the first command, through which groups are compared.
    """

    def __init__(
        self,
        series: Series,
        seed: int,
        need_all: bool,
        locks: tuple[int, ...],
        variables: Mapping[str, str],
    ) -> None:
        """For the arguments see `run_rounds()` in schedule.py."""
        self._series = series
        self._passes: dict[Command, int] = {}  # timed passes of a process
        self._stock = series.stock  # None if its output could not be computed
        self._reference: bytes | None = None  # its output, once computed
        self._seed = seed
        self._need_all = need_all
        self._locks = locks
        self._variables = variables  # in the environment of all runs
        self._memory: dict[Command, Memory] = {}  # peak memory of a command's runs
        self._seconds: dict[Command, float] = {}  # duration of its shortest pass
        self._device_bytes: int | None = None  # a GPU's memory for all runs
        # One run computes while the others prepare, each on one processor.
        self._starts_at_once = available_processors() + 1

    def run(
        self,
        number: int,
        commands: Sequence[Command],
        earlier: Mapping[Command, Sequence[Record]],
        run_warmed_up: Callable[[], None],
        run_ended: Callable[[Run], None],
    ) -> Round:
        """Run one round of the participating commands, which include the first of the series. It
        ends early if the first fails or, if all are needed, if any fails. earlier: runs that have
        finished before. run_warmed_up: called when a run is warm; run_ended: when it finishes."""
        this_round = Round(self._series.name, number)
        self._run_warmed_up = run_warmed_up
        self._random = random.Random(f"{self._seed} {self._series.name} {number}")
        self._failures = this_round.failures
        first, *others = commands
        for command, before in earlier.items():
            self._passes[command] = before[0].whole.samples.shape[1]
        others = self._random.sample(others, len(others))
        group = 0
        while group == 0 or (others and not self._ends_early(first)):
            with contextlib.ExitStack() as stack:
                runs, others = self._start_group(stack, first, others, number)
                self._hand_out(runs, first)
                for run in runs:
                    if self._ends_early(first):
                        break
                    if run.command in self._failures:
                        continue
                    with self._noting_failure(run):
                        known = {*earlier, *(command for command, _ in this_round.runs)}
                        is_first = run.command not in known
                        reference = self._reference_for(run.command) if is_first else None
                        record = run.finish(is_first, reference)
                        place = {"round": number, "group": group, "order_seed": self._seed}
                        (fields,) = record.runs
                        record = replace(record, runs=[fields | place])
                        this_round.runs.append((run.command, record))
                        run_ended(run)
            group += 1
        return this_round

    def _ends_early(self, first: Command) -> bool:
        return first in self._failures or (self._need_all and bool(self._failures))

    def _reference_for(self, command: Command) -> bytes | None:
        """The stock output for a mode, computed once. None for other commands and, with a line on
        stderr, if it cannot be computed."""
        if command not in self._series.modes or self._stock is None:
            return None
        if self._reference is None:
            try:
                self._reference = compute_reference(self._stock, os.environ, self._locks)
            except Failure as failure:
                ending.say(f"{self._series.name}: no output differences: {failure}")
                self._stock = None
        return self._reference

    def _start_group(
        self, stack: contextlib.ExitStack, first: Command, others: list[Command], number: int
    ) -> tuple[list[Run], list[Command]]:
        """Start and warm up the first command and as many others as memory holds, at least two runs
        in all. Returns them and the remaining commands. The stack stops whatever was started."""
        available = available_bytes() - RESERVE
        runs: list[Run] = []
        left: list[Command] = []
        starting: list[Run] = []
        held = Memory()
        for command in (first, *others):
            room = Memory(available, self._device_bytes or 0)
            if len(runs) >= 2 and not (held + self._memory_of(command)).fits(room):
                left.append(command)
                continue
            variables = self._variables
            if not command.is_on_cpu:
                variables = cache_of_round(variables, number)
            run = Run(command, self._locks, variables)
            stack.callback(run.stop)
            with self._noting_failure(run):
                run.start(self._seed + number)
                if command not in self._memory:  # its memory is observed before the next one starts
                    self._see_memory(run)
                else:
                    starting.append(run)
                held += self._memory_of(command)
                runs.append(run)  # a failed run does not count
            if len(starting) >= self._starts_at_once:
                self._warm_one_of(starting)
            if self._ends_early(first):
                break
        while starting and not self._ends_early(first):
            self._warm_one_of(starting)
        return runs, left

    def _warm_one_of(self, starting: list[Run]) -> None:
        """Warm up the run that is prepared first, and remove it from the list."""
        run = first_prepared(starting)
        starting.remove(run)
        with self._noting_failure(run):
            self._wait_for(run)

    def _memory_of(self, command: Command) -> Memory:
        """The peak memory of a command's runs; if unknown, the largest of all commands."""
        seen = self._memory.values()
        largest = Memory(
            resident=max((memory.resident for memory in seen), default=0),
            on_device=max((memory.on_device for memory in seen), default=0),
        )
        return self._memory.get(command, largest)

    def _see_memory(self, run: Run) -> None:
        """Wait until a run is warm, and remember its memory. Raises RunFailed."""
        self._wait_for(run)
        self._memory[run.command] = run.memory
        if run.free_on_device is not None and self._device_bytes is None:
            self._device_bytes = run.free_on_device + run.memory.on_device - RESERVE

    def _wait_for(self, run: Run) -> None:
        """Wait until a run is warm. Raises RunFailed."""
        run.wait_until_ready()
        self._see_seconds(run)
        self._run_warmed_up()

    def _see_seconds(self, run: Run) -> None:
        """Remember the duration of its pass; the shortest counts, since warm-up passes may overlap
        with other runs."""
        before = self._seconds.get(run.command, run.seconds)
        self._seconds[run.command] = min(before, run.seconds)

    def _hand_out(self, runs: list[Run], first: Command) -> None:
        """Give turns to warm runs until all have had their passes, or the round ends early. All
        runs have the same number of turns, so they also finish together."""
        taking = [run for run in runs if run.command not in self._failures]
        if not taking or self._ends_early(first):
            return
        turns = turns_of_runs(
            [self._passes.get(run.command, self._series.passes) for run in taking],
            [self._seconds[run.command] for run in taking],
            [run.free_on_device is not None for run in taking],
        )
        self._passes |= {run.command: sum(of_it) for run, of_it in zip(taking, turns, strict=True)}
        left = {run: iter(of_it) for run, of_it in zip(taking, turns, strict=True)}
        for _ in turns[0]:
            for run in self._order_of(taking):
                if self._ends_early(first):
                    return
                with self._noting_failure(run):
                    run.take_turn(next(left[run]))
                    self._see_seconds(run)
            taking = [run for run in taking if run.command not in self._failures]

    def _order_of(self, runs: list[Run]) -> list[Run]:
        """Runs in random order, but grouped by the power of two of their pass time. Fast runs thus
        follow each other closely, without the long turn of a slow run between them."""

        def power(run: Run) -> int:
            return round(log2(self._seconds[run.command]))

        order = self._random.sample(runs, len(runs))
        return sorted(order, key=power, reverse=self._random.random() < 0.5)

    @contextlib.contextmanager
    def _noting_failure(self, run: Run) -> Iterator[None]:
        """Record a failure in the block as the run's failure; other runs continue."""
        try:
            yield
        except RunFailed as failure:
            self._failures[run.command] = str(failure)
