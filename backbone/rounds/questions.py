"""The questions of a measurement, and the answers that its rounds give so far."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import inf, log

from backbone.measure.reference import StockPass
from backbone.record.rows import Record
from backbone.rounds.commands import Command
from backbone.statistics.intervals import Interval, scatter
from backbone.statistics.looks import StopRule, judge
from backbone.statistics.ratios import mean_of_rounds, speed_up


@dataclass(frozen=True)
class Question:
    """What is the speed-up of a command over its reference or, without a reference, the time of its
    pass?

    precision: largest half-width of the interval, in percent. same: percentage within which the two
    are called the same; None if no verdict is needed. outside: a ratio that the interval must
    exclude, if any.
    """

    command: Command
    reference: Command | None = None
    precision: float = inf
    same: float | None = None
    outside: float | None = None


@dataclass(frozen=True)
class Series:
    """Commands that are compared, and the questions about them.

    name: the name of their input. least: the first round after which they may stop. passes: timed
    passes of each process; None to choose by the duration of the first command's pass. modes:
    commands whose output is compared with that of `stock`, if there is one.
    """

    name: str
    commands: list[Command]
    questions: list[Question]
    least: int = 1
    passes: int | None = None
    modes: Collection[Command] = ()
    stock: StockPass | None = None


@dataclass(frozen=True)
class Answer:
    """An answer so far. milliseconds: per pass of the command. ratio: the speed-up; None without a
    reference. is_known: whether it satisfies the question. likely_last: the round at which it is
    expected to."""

    question: Question
    milliseconds: Interval
    ratio: Interval | None
    is_known: bool
    likely_last: int


def answer(
    question: Question,
    records: Mapping[Command, Record],
    first: Command,
    rule: StopRule,
    least: int,
) -> Answer:
    """Answer a question from the records of commands. first: the command in every group of a round.
    rule: the stop rule of the records. least: the first round that may be the last."""
    record = records[question.command]
    milliseconds = mean_of_rounds(record)
    ratio = None
    if question.reference is not None:
        ratio = speed_up(record, records[question.reference], records[first])
    measured = milliseconds if ratio is None else ratio
    return Answer(
        question,
        milliseconds,
        ratio,
        is_known=_is_known(question, measured),
        likely_last=_likely_last(question, measured, record.conditions["rounds"], rule, least),
    )


def _is_known(question: Question, measured: Interval) -> bool:
    if measured.half_width is None:
        return False
    if question.same is not None and judge(measured, question.same) == "undecided":
        return False
    if question.outside is not None and measured.low <= question.outside <= measured.high:
        return False
    return 100 * measured.half_width <= question.precision


def _likely_last(
    question: Question, measured: Interval, rounds: int, rule: StopRule, least: int
) -> int:
    """The look at which the interval is expected to be narrow enough, given the mean and scatter of
    the values so far."""
    if measured.half_width is None:
        return rule.round_within(1, 0, rounds, least)
    enough = log(1 + question.precision / 100)
    if question.same is not None:
        apart = abs(log(measured.mean))
        enough = min(enough, max(apart, log(1 + question.same / 100) - apart))
    if question.outside is not None:
        enough = min(enough, abs(log(measured.mean / question.outside)))
    return rule.round_within(enough, scatter(measured, rounds, rule.level), rounds, least)
