"""What a mean is worth: confidence intervals from the means of runs.

Passes of one process are not independent, processes by turns are: the runs are the sample.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

# Student's t, two-sided 95 %, for 1 to 30 degrees of freedom, then 40, 60, 100. Source:
# NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, critical values of Student's t.
TABLE = """
12.706 4.303 3.182 2.776 2.571 2.447 2.365 2.306 2.262 2.228
2.201 2.179 2.160 2.145 2.131 2.120 2.110 2.101 2.093 2.086
2.080 2.074 2.069 2.064 2.060 2.056 2.052 2.048 2.045 2.042
"""
T_95 = dict(enumerate(map(float, TABLE.split()), start=1)) | {40: 2.021, 60: 2.000, 100: 1.984}


class Interval(NamedTuple):
    """A mean, and the half width of its 95 % confidence interval: None where one run gives none."""

    mean: float
    half_width: float | None


def interval(values: Sequence[float]) -> Interval:
    """The 95 % confidence interval of the mean of independent values."""
    freedom = len(values) - 1
    if freedom == 0:
        return Interval(values[0], None)
    t = T_95[max(known for known in T_95 if known <= freedom)]  # the next lower: never too narrow
    return Interval(fmean(values), t * stdev(values) / sqrt(len(values)))


def mean_of_runs(samples: "np.ndarray") -> Interval:
    """The mean of samples, shape (runs, iterations), with the interval that its runs give."""
    return interval(samples.mean(axis=1).tolist())


def ratio_of_rounds(samples: "np.ndarray", base: "np.ndarray") -> Interval:
    """The mean ratio of two things, each shaped (runs, iterations), from the runs of each round;
    they have as many runs."""
    return interval((samples.mean(axis=1) / base.mean(axis=1)).tolist())
