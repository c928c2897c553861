"""All rounds of a measurement, in their order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from backbone.command.errors import Failure
from backbone.record import records
from backbone.record.rows import Record
from backbone.rounds.commands import Command
from backbone.rounds.groups import Round, RoundRunner, Series
from backbone.rounds.progress import Progress
from backbone.rounds.runs import Run


@dataclass
class Outcome:
    """What all rounds gave: the runs of each command, in order; why a command failed; and whether
    all rounds have been run."""

    runs: dict[Command, list[Record]] = field(default_factory=dict)
    failures: dict[Command, str] = field(default_factory=dict)
    is_complete: bool = False

    @property
    def failed(self) -> str:
        """Which commands failed, and why, in one line."""
        return "; ".join(f"{each.name} failed: {why}" for each, why in self.failures.items())

    def add(self, ended: Round) -> None:
        """Add a round that has ended. Raises Failure if a condition of a command has changed."""
        for command, record in ended.runs:
            runs = self.runs.setdefault(command, [])
            if runs and (difference := records.find_difference(runs[0], record)):
                raise Failure(f"{command.name}: its processes disagree: {difference}")
            runs.append(record)
        self.failures |= ended.failures


def run_rounds(
    all_series: Sequence[Series],
    seed: int,
    progress: Progress,
    need_all: bool = False,
    ended: Sequence[Round] = (),
    keep: Callable[[Round], None] = lambda ended: None,
    locks: tuple[int, ...] = (),
) -> Outcome:
    """Run all rounds of several series, and return what they gave.

    A command that fails is left out of later rounds. It all ends early if the first command of a
    series fails, since the others are compared with it; if only that one is left; and with
    need_all if any fails. seed: from 0 to below 2**31; the order of turns follows from it, the
    series and the round, Python's hashes from it and the round. ended: rounds that are not run
    again. keep: called with each round that ends, before anything is shown of it. locks: open files
    that the processes keep open. Raises Failure if the conditions of a
    command differ between its processes, and if a user's signal ends one.
    """
    outcome = Outcome()
    known = {(each.series, each.number) for each in ended}
    for each in ended:
        outcome.add(each)
    runners = {each.name: RoundRunner(each, seed, need_all, locks) for each in all_series}
    noted: set[str] = set()

    def run_ended(run: Run) -> None:
        progress.run_ended("" if run.notes in noted else run.notes)
        noted.add(run.notes)

    for series, number in in_order(all_series):
        if (series.name, number) in known:
            continue
        progress.round_begins(series, number)
        left = [command for command in series.commands if command not in outcome.failures]
        this_round = runners[series.name].run(number, left, outcome.runs.keys(), run_ended)
        outcome.add(this_round)
        if not _can_go_on(all_series, outcome.failures, need_all):
            return outcome
        keep(this_round)
        progress.round_ended(this_round)
    outcome.is_complete = True
    return outcome


def in_order(all_series: Sequence[Series]) -> list[tuple[Series, int]]:
    """All rounds by series and number; each series is spread over the whole measurement."""
    rounds = [(each, number) for each in all_series for number in range(1, each.rounds + 1)]
    return sorted(rounds, key=lambda each: (each[1] - 0.5) / each[0].rounds)


def _can_go_on(all_series: Sequence[Series], failures: dict[Command, str], need_all: bool) -> bool:
    """Whether enough commands are left to compare."""
    if need_all and failures:
        return False
    for series in all_series:
        left = [command for command in series.commands if command not in failures]
        if series.commands[0] in failures or len(left) < min(2, len(series.commands)):
            return False
    return True
