"""Confidence intervals of means and of ratios."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import fmean, geometric_mean, stdev

from scipy.special import stdtrit

from backbone.record.rows import Record


@dataclass(frozen=True)
class Interval:
    """A mean, and where it lies with 95 % confidence; a single value has no limits (None)."""

    mean: float
    low: float | None = None
    high: float | None = None

    def divided_by(self, amount: float) -> "Interval":
        """Mean and limits, each divided by a positive amount."""
        if self.low is None:
            return Interval(self.mean / amount)
        return Interval(self.mean / amount, low=self.low / amount, high=self.high / amount)


def interval(values: Sequence[float]) -> Interval:
    """The mean of independent values, such as the rounds' (passes of one process are not
    independent), by Student's t."""
    mean = fmean(values)
    if len(values) == 1:
        return Interval(mean)
    half_width = _students_t(len(values)) * stdev(values) / sqrt(len(values))
    return Interval(mean, low=mean - half_width, high=mean + half_width)


def geometric_interval(values: Sequence[float]) -> Interval:
    """The geometric mean of independent times or ratios, with its interval on the log scale, which
    cannot pass zero, and is that of the inverse values, inverted."""
    logs = interval([log(value) for value in values])
    if logs.low is None:
        return Interval(exp(logs.mean))
    return Interval(exp(logs.mean), low=exp(logs.low), high=exp(logs.high))


def scatter(reach: float, values: int) -> float:
    """The standard deviation of the logarithms of so many values whose geometric mean has an
    interval that reaches up to so many times the mean."""
    return log(reach) * sqrt(values) / _students_t(values)


def _students_t(values: int) -> float:
    """That of a 95 % interval of the mean of so many values."""
    return float(stdtrit(values - 1, 0.975))


def per_pass(amount: float, milliseconds: Interval) -> Interval:
    """What comes of an amount a pass in a second, such as images or bytes, where a pass takes so
    long."""
    mean = 1000 * amount / milliseconds.mean
    if milliseconds.low is None or milliseconds.low <= 0:
        return Interval(mean)
    return Interval(mean, 1000 * amount / milliseconds.high, 1000 * amount / milliseconds.low)


def speed_ups(record: Record, other: Record, first: Record) -> list[float]:
    """How many times as fast a record's pass is as another's, round by round; empty if the two have
    no rounds in common, as where one has none. Runs of one group took turns with each other; those
    of two groups of a round are compared by the runs of the first record, which both groups have.
    """
    means, others, firsts = (_means_by_round(each) for each in (record, other, first))
    in_each_round = [
        _speed_ups_in_round(means[key], others[key], firsts.get(key, {}))
        for key in means
        if key in others
    ]
    return [geometric_mean(ratios) for ratios in in_each_round if ratios]


def _speed_ups_in_round(
    means: dict[int, float], others: dict[int, float], firsts: dict[int, float]
) -> list[float]:
    """The same in one round, by the milliseconds of a pass in each group: that of the groups which
    both have been in, or else of those that the first has been in too."""
    shared = means.keys() & others.keys()
    if shared:
        return [others[group] / means[group] for group in shared]
    return [
        (others[there] / firsts[there]) * (firsts[here] / means[here])
        for here in means
        for there in others
        if {here, there} <= firsts.keys()
    ]


def mean_of_rounds(record: Record) -> Interval:
    """Milliseconds of a pass over the rounds; a run in each group of a round counts once."""
    by_round = _means_by_round(record).values()
    if not by_round:
        return geometric_interval(record.whole.run_means)
    return geometric_interval([geometric_mean(means.values()) for means in by_round])


def _means_by_round(record: Record) -> dict[tuple[int, int], dict[int, float]]:
    """Milliseconds of a pass in each run, by its round and its group there; empty for a run outside
    of rounds, whose timer was started by hand. The seed of the order of turns is part of a round's
    key: it is another in each measurement."""
    means: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)
    for run, mean in zip(record.runs, record.whole.run_means.tolist(), strict=True):
        if "round" in run:
            means[run["order_seed"], run["round"]][run["group"]] = mean
    return means
