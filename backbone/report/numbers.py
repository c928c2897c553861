"""Numbers in text, with as many digits as their intervals carry."""

from collections.abc import Collection
from math import floor, log10

from backbone.statistics.intervals import Interval

MIB = 2**20
DIGITS_OF_AN_INTERVAL = 2  # that are shown of half its width, as is usual for uncertainties
DIGITS_OF_ONE_VALUE = 3  # that are shown where there is no interval


def show(form: str, value: float | None) -> str:
    """A value in a form such as "{:.2f}"; "-" where there is none."""
    return "-" if value is None else form.format(value)


def show_small(value: float, decimals: int) -> str:
    """A value with so many decimals, or with two digits if it is too small for these."""
    return f"{value:,.{decimals}f}" if value >= 10**-decimals else f"{value:.2g}"


def show_mean(value: Interval) -> str:
    """A mean, with the digits that its interval carries."""
    return f"{value.mean:,.{_decimals(value)}f}"


def show_limits(value: Interval) -> str:
    """An interval; "-" where there is none."""
    if value.low is None:
        return "-"
    decimals = _decimals(value)
    return f"{value.low:,.{decimals}f} to {value.high:,.{decimals}f}"


def show_interval(value: Interval) -> str:
    """A mean and its interval, if there is one."""
    return show_mean(value) + ("" if value.low is None else f" ({show_limits(value)})")


def show_range(values: Collection[float]) -> str:
    """The least and the largest of some values, to three digits of the largest."""
    return _show_ends(values, _decimals_of(max(values), DIGITS_OF_ONE_VALUE))


def show_range_of_counts(values: Collection[float]) -> str:
    """The least and the largest of some counts."""
    return _show_ends(values, 0)


def _show_ends(values: Collection[float], decimals: int) -> str:
    ends = dict.fromkeys(f"{end:,.{decimals}f}" for end in (min(values), max(values)))
    return " to ".join(ends)


def _decimals(value: Interval) -> int:
    half_width = 0 if value.low is None else (value.high - value.low) / 2
    if half_width < 1e-6 * value.mean:  # of values that are equal but for their rounding
        return _decimals_of(value.mean, DIGITS_OF_ONE_VALUE)
    return _decimals_of(half_width, DIGITS_OF_AN_INTERVAL)


def _decimals_of(number: float, digits: int) -> int:
    """How many decimals show so many digits of a number."""
    return max(0, digits - 1 - floor(log10(abs(number)))) if number else 0
