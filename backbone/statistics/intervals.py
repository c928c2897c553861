"""Confidence intervals of means, by Student's t."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import fmean, stdev

ORDINARY_LEVEL = 0.05  # share of intervals that miss the true mean


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval; a single value has no limits (None)."""

    mean: float
    low: float | None = None
    high: float | None = None

    @property
    def half_width(self) -> float | None:
        """The distance from the mean to the upper limit, relative to the mean; None without
        limits."""
        return None if self.high is None else self.high / self.mean - 1

    def divided_by(self, amount: float) -> "Interval":
        """Mean and limits, each divided by a positive amount."""
        if self.low is None:
            return Interval(self.mean / amount)
        return Interval(self.mean / amount, low=self.low / amount, high=self.high / amount)


def interval(values: Sequence[float], level: float) -> Interval:
    """The mean of independent values, such as one value per round, and its confidence interval.
    Passes of one process are not independent. level: share of intervals that miss the true
    mean."""
    mean = fmean(values)
    if len(values) == 1:
        return Interval(mean)
    half_width = reach(len(values), level) * stdev(values)
    return Interval(mean, low=mean - half_width, high=mean + half_width)


def geometric_interval(values: Sequence[float], level: float) -> Interval:
    """The geometric mean of independent times or ratios, and its confidence interval, computed on
    the log scale. The limits are therefore positive, and inverting the values inverts them."""
    logs = interval([log(value) for value in values], level)
    if logs.low is None:
        return Interval(exp(logs.mean))
    return Interval(exp(logs.mean), low=exp(logs.low), high=exp(logs.high))


def reach(values: int, level: float) -> float:
    """The half-width of the interval of a mean, in units of the values' standard deviation. values:
    their number."""
    from scipy.special import stdtrit  # slow to import, and --help does not need it

    return float(stdtrit(values - 1, 1 - level / 2)) / sqrt(values)


def scatter(mean: Interval, values: int, level: float) -> float:
    """The standard deviation of the logarithms of values, from the interval of their geometric
    mean. values: their number."""
    return log(mean.high / mean.mean) / reach(values, level)


def per_pass(amount: float, milliseconds: Interval) -> Interval:
    """The rate per second of an amount per pass, such as images or bytes. milliseconds: per
    pass."""
    mean = 1000 * amount / milliseconds.mean
    if milliseconds.low is None or milliseconds.low <= 0:
        return Interval(mean)
    return Interval(mean, 1000 * amount / milliseconds.high, 1000 * amount / milliseconds.low)
