"""All rounds of a measurement, in their order, until its questions are answered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from backbone.command.errors import Failure
from backbone.record import records
from backbone.record.rows import Record
from backbone.rounds.commands import Command
from backbone.rounds.groups import Round, RoundRunner
from backbone.rounds.progress import Progress
from backbone.rounds.questions import Answer, Series, answer
from backbone.rounds.runs import Run
from backbone.statistics.looks import StopRule


@dataclass
class Outcome:
    """What the rounds gave: the runs of each command, in order; why a command failed; and whether
    the measurement came to its end."""

    rule: StopRule
    runs: dict[Command, list[Record]] = field(default_factory=dict)
    failures: dict[Command, str] = field(default_factory=dict)
    is_complete: bool = False

    @property
    def failed(self) -> str:
        """Which commands failed, and why, in one line."""
        return "; ".join(f"{command.name} failed: {why}" for command, why in self.failures.items())

    def record_of(self, command: Command) -> Record:
        """The runs of a command as one record."""
        record = records.join(self.runs[command])
        passes = record.whole.samples.size
        stopped = {"rounds": len(record.rounds), "stop_rule": self.rule.name, "passes": passes}
        return replace(record, conditions=record.conditions | stopped)

    def add(self, ended: Round, commands: Sequence[Command]) -> None:
        """Add what a round gave of some commands. Raises Failure if a condition of a command has
        changed."""
        for command, record in ended.runs:
            if command not in commands:
                continue
            runs = self.runs.setdefault(command, [])
            if runs and (difference := records.find_difference(runs[0], record)):
                raise Failure(f"{command.name}: its processes disagree: {difference}")
            runs.append(record)
        self.failures |= {
            command: reason for command, reason in ended.failures.items() if command in commands
        }

    def answers_of(self, series: Series) -> list[Answer]:
        """How far the questions of a series are answered, of those commands that have not
        failed."""
        first = series.commands[0]
        questions = [
            question
            for question in series.questions
            if not self.failures.keys() & {question.command, question.reference}
        ]
        asked = {question.command for question in questions} | {first}
        asked |= {question.reference for question in questions} - {None}
        joined = {command: self.record_of(command) for command in asked}
        return [answer(question, joined, first, self.rule, series.least) for question in questions]


def run_rounds(
    all_series: Sequence[Series],
    rule: StopRule,
    seed: int,
    progress: Progress,
    need_all: bool = False,
    ended: Sequence[Round] = (),
    keep: Callable[[Round], None] = lambda ended: None,
    locks: tuple[int, ...] = (),
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Outcome:
    """Run rounds of each series in turn, until a rule stops it, and return what they gave.

    At a look, a command whose questions are answered takes no further part, unless others are still
    compared with it; a series ends when all of its questions are answered. A command that fails is
    left out of later rounds. It all ends early if the first command of a series fails, since the
    others are compared with it; if only that one is left; and with need_all if any fails.

    seed: from 0 to below 2**31; the order of turns follows from it, the series and the round,
    Python's hashes from it and the round. ended: earlier rounds, which count as if they were run
    now, if all commands took part that would now. keep: called with each round that ends, before
    anything is shown of it. locks: open files that the processes keep open. variables: to add to
    their environment. Raises Failure if the conditions of a command differ between its processes,
    and if a user's signal ends one.
    """
    outcome = Outcome(rule)
    known = {(earlier.series, earlier.number): earlier for earlier in ended}
    runners = {
        series.name: RoundRunner(series, seed, need_all, locks, variables) for series in all_series
    }
    going = {series.name: list(series.commands) for series in all_series}
    noted: set[str] = set()

    def run_ended(run: Run) -> None:
        progress.run_ended("" if run.notes in noted else run.notes)
        noted.add(run.notes)

    for series, number in in_order(all_series, rule):
        commands = [command for command in going[series.name] if command not in outcome.failures]
        if not commands:
            continue
        this_round = known.get((series.name, number))
        is_new = this_round is None or not this_round.has_all(commands)
        if is_new:
            progress.round_begins(series.name, number, len(commands))
            this_round = runners[series.name].run(number, commands, outcome.runs, run_ended)
        outcome.add(this_round, commands)
        if not _can_go_on(all_series, outcome.failures, need_all):
            return outcome
        if is_new:
            keep(this_round)
        answers = outcome.answers_of(series)
        if number == rule.last:
            going[series.name] = []
        elif rule.is_look(number, series.least):
            going[series.name] = _commands_to_go_on(commands, answers)
        is_last = not going[series.name]
        progress.round_ended(this_round, answers, is_new=is_new, is_last=is_last)
    outcome.is_complete = True
    return outcome


def in_order(all_series: Sequence[Series], rule: StopRule) -> list[tuple[Series, int]]:
    """All rounds by series and number, if nothing stops earlier: a round of each series, then the
    next of each."""
    return [(series, number) for number in range(1, rule.last + 1) for series in all_series]


def _commands_to_go_on(commands: Sequence[Command], answers: Sequence[Answer]) -> list[Command]:
    """The commands that take part in the next round, the first among them; none if all questions
    are answered."""
    still_open = [answer.question for answer in answers if not answer.is_known]
    if not still_open:
        return []
    asked = {answer.question.command for answer in answers}
    needed = {commands[0]}
    for question in still_open:
        needed |= {question.command, question.reference}
    return [command for command in commands if command in needed or command not in asked]


def _can_go_on(
    all_series: Sequence[Series], failures: Mapping[Command, str], need_all: bool
) -> bool:
    """Whether enough commands are left to compare."""
    if need_all and failures:
        return False
    for series in all_series:
        left = [command for command in series.commands if command not in failures]
        if series.commands[0] in failures or len(left) < min(2, len(series.commands)):
            return False
    return True
