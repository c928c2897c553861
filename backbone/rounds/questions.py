"""What a measurement wants to know, and how far its rounds have answered it."""

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
    """How many times as fast is a command as its reference? Without a reference: how long does its
    pass take?

    precision: percent that half the interval's width must not exceed. same: percent within which
    the two are called the same, if a verdict is needed; otherwise None. outside: a ratio that the
    interval must exclude, if any.
    """

    command: Command
    reference: Command | None = None
    precision: float = inf
    same: float | None = None
    outside: float | None = None


@dataclass(frozen=True)
class Series:
    """Commands that are compared, and what is asked of them.

    name: of their input. least: the first round after which they may stop. passes: timed passes of
    each process; None: as many as suit the duration of the first command's pass. modes: commands
    whose output is compared with the output of `stock`, if there is one.
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
    """The answer so far. milliseconds: of a pass of the command. ratio: None without a reference.
    is_known: whether it is as certain as the question asks. likely_last: the round at which it is
    expected to be."""

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
    """The answer that the records of commands allow. first: the command that is in every group of a
    round. rule: that the records are made under. least: the first round that may be the last."""
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
    """The look at which half the interval's width will do, if values go on to scatter as they have
    so far, and their mean stays."""
    if measured.half_width is None:
        return rule.round_within(1, 0, rounds, least)
    enough = log(1 + question.precision / 100)
    if question.same is not None:
        apart = abs(log(measured.mean))
        enough = min(enough, max(apart, log(1 + question.same / 100) - apart))
    if question.outside is not None:
        enough = min(enough, abs(log(measured.mean / question.outside)))
    return rule.round_within(enough, scatter(measured, rounds, rule.level), rounds, least)
