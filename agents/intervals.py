"""Means and what they may be off by: Student's t over independent runs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

LEVEL = 0.95


class Interval(NamedTuple):
    """A mean with its confidence interval; `low` and `high` None for a single value, all None for no value."""

    mean: float | None
    low: float | None
    high: float | None
    seeds: int
    """Values that were there."""


def interval(values: Iterable[float | None], level: float = LEVEL) -> Interval:
    """Mean and interval of independent values that are about normal; None and NaN are values that are not there."""
    there = [float(value) for value in values if value is not None and not math.isnan(value)]
    count = len(there)
    if count == 0:
        return Interval(None, None, None, 0)
    mean = math.fsum(there) / count
    if count == 1:
        return Interval(mean, None, None, 1)
    variance = math.fsum((value - mean) ** 2 for value in there) / (count - 1)
    reach = quantile(level, count - 1) * math.sqrt(variance / count)
    return Interval(mean, mean - reach, mean + reach, count)


def quantile(level: float, freedom: int) -> float:
    """The t for which |T| <= t with probability `level` (0 < level < 1), T of Student's distribution.

    By bisection of the closed form for a whole number of degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4).
    """
    low, high = 0.0, math.pi / 2
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return math.tan(middle) * math.sqrt(freedom)
        if _within(middle, freedom) < level:
            low = middle
        else:
            high = middle


def _within(angle: float, freedom: int) -> float:
    """Probability that |T| <= sqrt(freedom) tan(angle)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    terms = [term] if freedom > 1 else []
    for k in range(2 + odd, freedom - 1, 2):
        term *= cosine**2 * (k - 1) / k
        terms.append(term)
    if odd:
        return 2 / math.pi * (angle + sine * math.fsum(terms))
    return sine * math.fsum(terms)
