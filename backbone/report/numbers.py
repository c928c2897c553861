"""Numbers as text, with as many digits as their intervals justify."""

from collections.abc import Collection
from math import floor, log10

from backbone.statistics.intervals import Interval

MIB = 2**20
DIGITS_OF_AN_INTERVAL = 2  # digits shown of the half-width, as is usual for uncertainties
DIGITS_OF_ONE_VALUE = 3  # digits shown without an interval


def show(form: str, value: float | None) -> str:
    """A value in a format such as "{:.2f}"; "-" for None."""
    return "-" if value is None else form.format(value)


def show_small(value: float, decimals: int) -> str:
    """A value with this many decimals, or with two digits if it is too small for them."""
    return f"{value:,.{decimals}f}" if value >= 10**-decimals else f"{value:.2g}"


def show_mean(value: Interval) -> str:
    """A mean, with the digits that its interval justifies."""
    return f"{value.mean:,.{_decimals(value)}f}"


def show_limits(value: Interval) -> str:
    """The limits of an interval; "-" if it has none."""
    if value.low is None:
        return "-"
    decimals = _decimals(value)
    return f"{value.low:,.{decimals}f} to {value.high:,.{decimals}f}"


def show_interval(value: Interval) -> str:
    """A mean with its interval, if it has one."""
    return show_mean(value) + ("" if value.low is None else f" ({show_limits(value)})")


def show_range(values: Collection[float]) -> str:
    """The smallest and the largest value, to three digits of the largest."""
    return _show_ends(values, _decimals_of(max(values), DIGITS_OF_ONE_VALUE))


def show_range_of_counts(values: Collection[float]) -> str:
    """The smallest and the largest count."""
    return _show_ends(values, 0)


def _show_ends(values: Collection[float], decimals: int) -> str:
    ends = dict.fromkeys(f"{end:,.{decimals}f}" for end in (min(values), max(values)))
    return " to ".join(ends)


def _decimals(value: Interval) -> int:
    half_width = 0 if value.low is None else (value.high - value.low) / 2
    if half_width < 1e-6 * value.mean:  # values are equal up to rounding
        return _decimals_of(value.mean, DIGITS_OF_ONE_VALUE)
    return _decimals_of(half_width, DIGITS_OF_AN_INTERVAL)


def _decimals_of(number: float, digits: int) -> int:
    """The number of decimals that shows this many digits of a number."""
    return max(0, digits - 1 - floor(log10(abs(number)))) if number else 0
