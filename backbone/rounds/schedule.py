"""The rounds of a measurement, in order, until its questions are answered."""

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
    """The results of all rounds: the runs of each command, in order; why a command failed; and
    whether the measurement finished."""

    rule: StopRule
    runs: dict[Command, list[Record]] = field(default_factory=dict)
    failures: dict[Command, str] = field(default_factory=dict)
    is_complete: bool = False

    @property
    def failed(self) -> str:
        """The failed commands and the reasons, in one line."""
        return "; ".join(f"{command.name} failed: {why}" for command, why in self.failures.items())

    def record_of(self, command: Command) -> Record:
        """The runs of a command, joined into one record."""
        record = records.join(self.runs[command])
        passes = record.whole.samples.size
        stopped = {"rounds": len(record.rounds), "stop_rule": self.rule.name, "passes": passes}
        return replace(record, conditions=record.conditions | stopped)

    def add(self, ended: Round, commands: Sequence[Command]) -> None:
        """Add the results of a round. Raises Failure if a condition of a command changed."""
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
        """The answers so far to the questions of a series about commands that have not failed."""
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
    """Run rounds of all series alternately until the stop rule ends them, and return the results.

    At a look, a command whose questions are answered drops out, unless others are still compared
    with it; a series ends when all its questions are answered. A command that fails is left out of
    later rounds. The measurement ends early if the first command of a series fails, since others
    are compared with it, if only the first is left, or, with need_all, if any command fails.

    seed: 0 to 2**31 - 1; with series and round it determines the order of turns, with the round
    Python's hash seed. ended: earlier rounds, which count if all commands that would run now took
    part. keep: called with each finished round before anything is shown. locks: open files that the
    processes keep open. variables: added to their environment. Raises Failure if the conditions of
    a command differ between its processes, or if a user's signal ends one.
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
            this_round = runners[series.name].run(
                number, commands, outcome.runs, progress.run_warmed_up, run_ended
            )
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
    """The order of all rounds, if nothing stops earlier: round 1 of each series, then round 2,
    ..."""
    return [(series, number) for number in range(1, rule.last + 1) for series in all_series]


def _commands_to_go_on(commands: Sequence[Command], answers: Sequence[Answer]) -> list[Command]:
    """The commands of the next round, including the first; empty if all questions are answered."""
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
    """Whether enough commands are left for a comparison."""
    if need_all and failures:
        return False
    for series in all_series:
        left = [command for command in series.commands if command not in failures]
        if series.commands[0] in failures or len(left) < min(2, len(series.commands)):
            return False
    return True
