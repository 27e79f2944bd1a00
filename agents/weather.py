"""One weather for all devices of a run: made from a seed for a place and its dates, or read from a file.

Nothing is reckoned before a device asks for it. Made weather is plausible, not a forecast and not a climatology: each
series has the named mean, a season, a day and random change that lasts hours to days.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import accumulate
from math import gamma

import numpy as np
from numpy.typing import NDArray

from agents import sun
from agents.seeds import generator
from agents.steps import DAY, HOURS, PER_DAY, STEP, Steps

Floats = NDArray[np.float64]

COLUMNS = ("ghi", "temperature", "wind", "rain", "inflow")
"""Columns that a file may have beside `time`; what it lacks is made."""
WIND_HEIGHT = 10.0
"""Height of the wind speeds above ground [m]."""


@dataclass(frozen=True)
class Place:
    """Where it is, and what is usual there."""

    latitude: float = 51.5
    """[degrees north]"""
    longitude: float = 9.5
    """[degrees east]"""
    temperature: float = 9.5
    """Mean of the year [°C]."""
    swing: float = 9.0
    """Half the difference between the mean of the warmest and of the coldest day [K]."""
    cloud: float = 0.75
    """Cloud cover at which the sky is as often clearer as cloudier, 0 to 1."""
    wind: float = 4.0
    """Mean wind speed 10 m above ground [m/s]."""
    rain: float = 2.0
    """Mean rain [mm/day]."""


@dataclass(frozen=True)
class Weather:
    """Series on the S steps of a run; each (S,)."""

    place: Place
    steps: Steps
    seed: np.random.SeedSequence
    table: Mapping[str, Floats] = field(default_factory=dict)
    """Series of a file, on the steps already."""

    @cached_property
    def sun(self) -> sun.Sun:
        """Position of the sun."""
        return sun.position(self.steps.seconds, self.place.latitude, self.place.longitude)

    @cached_property
    def clear(self) -> Floats:
        """Global horizontal irradiance of a cloudless sky [W/m²]."""
        return sun.clear_sky(self.sun.zenith)

    @cached_property
    def cloud(self) -> Floats:
        """Cloud cover, 0 to 1: a logistic of two Ornstein-Uhlenbeck processes, of fronts (30 h) and of clouds (1 h)."""
        middle = min(max(self.place.cloud, 0.01), 0.99)
        change = 1.6 * self._wandering("fronts", 30) + 0.8 * self._wandering("clouds", 1)
        return np.asarray(1 / (1 + np.exp(-(np.log(middle / (1 - middle)) + change))), dtype=np.float64)

    @cached_property
    def ghi(self) -> Floats:
        """Global horizontal irradiance [W/m²]."""
        return self.table.get("ghi", sun.through_clouds(self.clear, self.cloud))

    @cached_property
    def dhi(self) -> Floats:
        """Diffuse horizontal irradiance [W/m²]."""
        return sun.diffuse(self.ghi, self.sun.zenith, sun.above_atmosphere(self.steps.seconds))

    @cached_property
    def temperature(self) -> Floats:
        """Of the air [°C]: the year's and the day's first harmonic and a process that remembers three days.

        The year peaks 30 days after the longest day, the day at three in the afternoon of local solar time.
        """
        if "temperature" in self.table:
            return self.table["temperature"]
        peak = 202 if self.place.latitude >= 0 else 19
        year = np.cos(2 * np.pi * (self.steps.day_of_year - peak) / 365.25)[self.steps.day]
        day = np.cos(2 * np.pi * (self.steps.hour + self.place.longitude / 15 - 15) / 24)
        made = self.place.temperature + self.place.swing * year + 4 * day + 3 * self._wandering("warmth", 72)
        return np.asarray(made, dtype=np.float64)

    @cached_property
    def wind(self) -> Floats:
        """Speed 10 m above ground [m/s]: Weibull with shape 2 and an autocorrelation that falls to 1/e in 10 h.

        Half the sum of the squares of two independent standard normal processes is exponential with mean 1; its root
        1/k, scaled to the mean, has exactly the Weibull distribution of shape k (Johnson, Kotz and Balakrishnan 1994).
        """
        if "wind" in self.table:
            return self.table["wind"]
        shape = 2.0
        unit = (self._wandering("wind", 20) ** 2 + self._wandering("gusts", 20) ** 2) / 2
        return np.asarray(self.place.wind / gamma(1 + 1 / shape) * unit ** (1 / shape), dtype=np.float64)

    @cached_property
    def rain(self) -> Floats:
        """[mm/h]; falls where a process that remembers six hours is in its highest tenth, heavier the higher it is."""
        if "rain" in self.table:
            return self.table["rain"]
        above = np.maximum(self._wandering("rain", 6) - 1.2816, 0)
        return np.asarray(above / 0.0473 * self.place.rain / 24, dtype=np.float64)

    @cached_property
    def inflow(self) -> Floats:
        """Of a river, relative to its mean: a base flow with its season, and rain through a linear reservoir.

        Q decays as e^(−t/K) with K of 3 days (Maillet 1905); base flow gives 60 % of the mean and is largest in March.
        """
        if "inflow" in self.table:
            return self.table["inflow"]
        turn = 75 if self.place.latitude >= 0 else 258
        base = 0.6 * (1 + 0.4 * np.cos(2 * np.pi * (self.steps.day_of_year - turn) / 365.25))[self.steps.day]
        usual = max(self.place.rain, 1e-9) / 24
        keep = float(np.exp(-HOURS / 72))
        fed = (0.4 * (1 - keep) * self.rain / usual).tolist()
        stored = np.array(list(accumulate(fed, lambda flow, gain: keep * flow + gain, initial=0.4))[1:])
        return np.asarray(base + stored, dtype=np.float64)

    def daily(self, series: Floats) -> Floats:
        """(D, 288) a series, a row for each day."""
        return series.reshape(-1, PER_DAY)

    def _wandering(self, name: str, hours: float) -> Floats:
        """(S,) standard normal process whose autocorrelation falls to 1/e in so many hours."""
        keep = float(np.exp(-HOURS / hours))
        draws = generator(self.seed, "weather", name).standard_normal(self.steps.count)
        draws[1:] *= np.sqrt(1 - keep**2)
        return np.array(list(accumulate(draws.tolist(), lambda value, draw: keep * value + draw)))


def read_table(text: str, steps: Steps) -> dict[str, Floats]:
    """The series of a CSV text with a column `time` (ISO 8601 UTC) and some of COLUMNS, each row good until the next.

    Raises ValueError with what is wrong: columns, values that are no numbers, times that do not rise or do not cover
    the run's days.
    """
    rows = list(csv.DictReader(io.StringIO(text)))
    names = list(rows[0]) if rows else []
    unknown = [name for name in names if name not in ("time", *COLUMNS)]
    if "time" not in names or len(names) < 2 or unknown:
        raise ValueError(f"needs a column time and some of {', '.join(COLUMNS)}, got {', '.join(map(str, names))}")
    times = np.array([_seconds(row["time"]) for row in rows])
    if (np.diff(times) <= 0).any():
        raise ValueError("times must rise")
    spacing = times[-1] - times[-2] if len(times) > 1 else DAY
    first, last = steps.first_day * DAY, (steps.first_day + steps.days) * DAY
    if times[0] > first or times[-1] + spacing < last:
        raise ValueError(f"must cover the run's days, {_day(first)} to {_day(last)}")
    at = np.searchsorted(times, steps.seconds - STEP // 2, side="right") - 1
    table: dict[str, Floats] = {}
    for name in names[1:] if names[0] == "time" else [name for name in names if name != "time"]:
        column = np.array([float(row[name]) for row in rows])
        low = -100.0 if name == "temperature" else 0.0
        if not (np.isfinite(column) & (column >= low)).all():
            raise ValueError(f"{name}: must be finite numbers from {low:g}")
        table[name] = column[at]
    return table


def _seconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
