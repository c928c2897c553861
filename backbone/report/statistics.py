"""Confidence intervals of means and of ratios."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log, sqrt
from statistics import fmean, stdev

from scipy.special import stdtrit

from backbone.record.records import Record


@dataclass(frozen=True)
class Interval:
    """A mean, and where it lies with 95 % confidence; a single value has no limits (None)."""

    mean: float
    low: float | None = None
    high: float | None = None

    @property
    def half_width(self) -> float | None:
        """From the mean to a limit, of an interval that is as wide on both sides."""
        return None if self.high is None else self.high - self.mean


def interval(values: Sequence[float]) -> Interval:
    """The mean of independent values, such as the runs' means (passes of one process are not
    independent, processes by turns are), by Student's t."""
    mean = fmean(values)
    if len(values) == 1:
        return Interval(mean)
    freedom = len(values) - 1
    t = float(stdtrit(freedom, 0.975))
    half_width = t * stdev(values) / sqrt(len(values))
    return Interval(mean, low=mean - half_width, high=mean + half_width)


def ratio_interval(ratios: Sequence[float]) -> Interval:
    """The geometric mean of ratios, such as those of two things round by round, with its interval
    on the log scale, which cannot pass zero, and is that of the inverse ratios, inverted."""
    logs = interval([log(ratio) for ratio in ratios])
    if logs.low is None:
        return Interval(exp(logs.mean))
    return Interval(exp(logs.mean), low=exp(logs.low), high=exp(logs.high))


def speed_ups(record: Record, stock: Record) -> list[float]:
    """The stock pass's time over a mode's, round by round; none where their runs were not by turns,
    and so can't be compared."""
    here, there = ([run["date"] for run in each.runs] for each in (record, stock))
    rounds = list(zip(here, there, strict=False))
    if len(here) != len(there):
        return []
    if any(max(dates) >= min(later) for dates, later in pairwise(rounds)):
        return []
    return (stock.whole.run_means / record.whole.run_means).tolist()
