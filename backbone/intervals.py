"""What a mean is worth: confidence intervals from the means of runs.

Passes of one process are not independent, processes by turns are: the runs are the sample.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev

# Student's t, two-sided 95 %, for 1 to 30 degrees of freedom, then 40, 60, 100. Source:
# NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, critical values of Student's t.
TABLE = """
12.706 4.303 3.182 2.776 2.571 2.447 2.365 2.306 2.262 2.228
2.201 2.179 2.160 2.145 2.131 2.120 2.110 2.101 2.093 2.086
2.080 2.074 2.069 2.064 2.060 2.056 2.052 2.048 2.045 2.042
"""
T_95 = dict(enumerate(map(float, TABLE.split()), start=1)) | {40: 2.021, 60: 2.000, 100: 1.984}


def interval(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean of independent values, such as the runs' means, or the ratios of two things in the
    runs of each round; and half the width of its 95 % interval, which a single value has not."""
    freedom = len(values) - 1
    if freedom == 0:
        return values[0], None
    t = T_95[max(known for known in T_95 if known <= freedom)]  # the next lower: never too narrow
    return fmean(values), t * stdev(values) / sqrt(len(values))
