"""What a participant believes of the days to come: forecasts on columns, from what has been measured so far.

A forecaster is given the past and answers with the future. It never holds more than it was given, so it cannot look
ahead; `NoisyTruth` alone is built on the truth, to study what better forecasts would be worth, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agents.outside import imported

Floats = NDArray[np.float64]


class Forecaster(Protocol):
    """A belief about n series."""

    def ahead(self, past: Floats, slots: int) -> Floats:
        """(n, slots) expected values after `past` (n, t), the oldest first; any t, even 0, gets an answer."""


class Persistence:
    """Tomorrow is like today: the value of the same time on the last day that is known.

    Where a whole day is not known yet, the last value holds; without any past, 0.
    """

    def __init__(self, slots_per_day: int, days: int = 1) -> None:
        """`days` back: 1 is yesterday, 7 the same weekday a week ago."""
        self.period = slots_per_day * days

    def ahead(self, past: Floats, slots: int) -> Floats:
        n, known = past.shape
        if known == 0:
            return np.zeros((n, slots))
        if known < self.period:
            return np.repeat(past[:, -1:], slots, axis=1)
        return np.asarray(past[:, known - self.period + np.arange(slots) % self.period])


class SameWeekday:
    """The mean of the last `weeks` same weekdays at that time; before a week is known, yesterday."""

    def __init__(self, slots_per_day: int, weeks: int = 4) -> None:
        self._week, self._weeks = 7 * slots_per_day, weeks
        self._day = Persistence(slots_per_day)

    def ahead(self, past: Floats, slots: int) -> Floats:
        known = past.shape[1]
        weeks = min(known // self._week, self._weeks)
        if weeks == 0:
            return self._day.ahead(past, slots)
        back = known - self._week * np.arange(1, weeks + 1)[:, None] + np.arange(slots) % self._week
        return np.asarray(past[:, back].mean(axis=1))


class Smoothing:
    """Exponential smoothing by time of day, and a level that fades: Winters' method without trend.

    s_d = α x_d + (1 − α) s_{d−1} for each time of day; what the last hour was above it is carried on and halves every
    `half_life` slots. Source: P. R. Winters, Forecasting Sales by Exponentially Weighted Moving Averages, Management
    Science 6(3), 1960.
    """

    def __init__(self, slots_per_day: int, alpha: float = 0.2, half_life: float = 6.0) -> None:
        self._day, self._alpha, self._half_life = slots_per_day, alpha, half_life
        self._known = 0
        self._season: Floats = np.zeros((0, slots_per_day))

    def ahead(self, past: Floats, slots: int) -> Floats:
        n, known = past.shape
        if known == 0:
            return np.zeros((n, slots))
        self._learn(past)
        days = (known + np.arange(slots)) % self._day
        if known < self._day:
            return np.repeat(past[:, -1:], slots, axis=1)
        recent = np.arange(max(0, known - 4), known)
        above = (past[:, recent] - self._season[:, recent % self._day]).mean(axis=1)
        fading = 0.5 ** ((1 + np.arange(slots)) / self._half_life)
        return np.asarray(self._season[:, days] + above[:, None] * fading)

    def _learn(self, past: Floats) -> None:
        """Take in what is new since the last call; a past that is no continuation is learnt from its start."""
        n, known = past.shape
        if known < self._known or len(self._season) != n:
            self._season, self._known = np.zeros((n, self._day)), 0
        for slot in range(self._known, known):
            place, weight = slot % self._day, self._alpha if slot >= self._day else 1.0
            self._season[:, place] += weight * (past[:, slot] - self._season[:, place])
        self._known = known


class Analogs:
    """Several futures instead of one: each of the last days, and that it comes again.

    Their spread is what a plan has to be prepared for. The first is yesterday; where fewer days are known, the oldest
    is repeated. Source of the idea: L. Delle Monache et al., Probabilistic weather prediction with an analog ensemble,
    Monthly Weather Review 141(10), 2013.
    """

    def __init__(self, slots_per_day: int, count: int = 4) -> None:
        self._day, self.count = slots_per_day, count

    def futures(self, past: Floats, slots: int) -> Floats:
        """(count, n, slots) equally likely values after `past` (n, t)."""
        days = max(1, min(self.count, past.shape[1] // self._day))
        found = [
            Persistence(self._day).ahead(past[:, : past.shape[1] - back * self._day], slots) for back in range(days)
        ]
        return np.stack([found[min(number, days - 1)] for number in range(self.count)])

    def ahead(self, past: Floats, slots: int) -> Floats:
        """(n, slots) their mean."""
        return np.asarray(self.futures(past, slots).mean(axis=0))


class NoisyTruth:
    """The truth with an error of a set size: not a forecast, but what one of that quality would be worth.

    Each value is off by a normal error of `error` times the series' mean magnitude, correlated from slot to slot by
    `memory` (an autoregression of first order), so that errors last as those of real forecasts do.
    """

    def __init__(self, truth: Floats, error: float, rng: np.random.Generator, memory: float = 0.9) -> None:
        """`truth` (n, T) is everything that will be; `error` 0 is perfect foresight."""
        self._truth = truth
        noise = rng.standard_normal(truth.shape)
        for slot in range(1, truth.shape[1]):
            noise[:, slot] = memory * noise[:, slot - 1] + np.sqrt(1 - memory**2) * noise[:, slot]
        self._error = error * np.abs(truth).mean(axis=1, keepdims=True) * noise

    def ahead(self, past: Floats, slots: int) -> Floats:
        known = past.shape[1]
        seen = slice(known, known + slots)
        found = self._truth[:, seen] + self._error[:, seen]
        missing = slots - found.shape[1]
        return np.pad(found, ((0, 0), (0, missing)), mode="edge") if found.size else np.zeros((len(past), slots))


def bands(forecaster: Forecaster, past: Floats, slots: int, shares: Floats, days: int = 14) -> Floats:
    """(len(shares), n, slots) values that are not exceeded in these shares of cases.

    The errors that the same forecaster, seeing only what was known then, made at the same lead times on each of the
    last `days` days are added to its forecast, and their quantiles taken. Without a full day to learn from, all bands
    are the forecast itself.
    """
    expected = forecaster.ahead(past, slots)
    known = past.shape[1]
    errors = []
    for back in range(1, days + 1):
        at = known - back * slots
        if at <= 0:
            break
        errors.append(past[:, at : at + slots] - forecaster.ahead(past[:, :at], slots))
    forecaster.ahead(past, 0)
    if not errors:
        return np.repeat(expected[None], len(shares), axis=0)
    return expected[None] + np.quantile(np.stack(errors), shares, axis=0)


FORECASTERS: dict[str, Callable[[int], Forecaster]] = {
    "persistence": Persistence,
    "same_weekday": SameWeekday,
    "exponential_smoothing": Smoothing,
    "analogs": Analogs,
}
"""Honest forecasters by name; each is made with the slots of a day."""


def forecaster(name: str) -> Callable[[int], Forecaster]:
    """The honest forecaster of that name, or ``package.module:Class``. Raises ValueError."""
    return FORECASTERS[name] if name in FORECASTERS else imported(name, "forecast", FORECASTERS)


def choose(wish: str | float, slots_per_day: int, truth: Floats, rng: np.random.Generator) -> Forecaster:
    """A forecaster by its name; or, for a number, the truth (n, T) with that relative error."""
    return forecaster(wish)(slots_per_day) if isinstance(wish, str) else NoisyTruth(truth, wish, rng)
