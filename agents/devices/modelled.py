"""Fleets whose power follows a model instead of a record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agents.devices.fleet import Floats, Ints, Site
from agents.steps import HOURS
from market.units import whole_wh


class ModelFleet:
    """A fleet whose power (n, S) [W] is known on the steps of the site's weather.

    The energy of a slot is the mean power times its length, rounded to whole Wh; reactive energy is −E · tan φ.
    """

    def __init__(
        self, label: str, source: str, site: Site, power: Floats, *, flexible: bool = False, power_factor: float = 1.0
    ) -> None:
        mean = site.steps.to_slots(np.maximum(power, 0.0))
        self.label = label
        self.source = source
        self.flexible = flexible
        self.energy_wh: Ints = whole_wh(np.maximum(mean, 0.0) * site.slot_hours)
        self.reactive_varh: Ints = -whole_wh(self.energy_wh * np.sqrt(1 / power_factor**2 - 1))
        self.power_w: Floats = power.max(axis=1, initial=0.0)


def column(values: ArrayLike, count: int) -> Floats:
    """(n, 1) a number for each device."""
    return np.broadcast_to(np.asarray(values, dtype=np.float64), count).reshape(-1, 1)


def running(begin: Floats, end: Floats, count: int) -> Floats:
    """(n, S) share of each of `count` steps within the interval (n,) from begin to end [h since the first step]."""
    edges = np.arange(count) * HOURS
    low, high = np.maximum(begin[:, None], edges), np.minimum(end[:, None], edges + HOURS)
    return np.asarray(np.clip(high - low, 0, None) / HOURS, dtype=np.float64)


def add_run(power: Floats, begin: Floats, end: Floats, watts: Floats) -> None:
    """Add `watts` (n,) to the power (n, S) from begin to end [h since the first step], as far as the steps reach."""
    count = power.shape[1]
    if len(power) == 0 or (end <= begin).all():
        return
    first = max(0, int(np.floor(begin.min() / HOURS)))
    last = min(count, int(np.ceil(end.max() / HOURS)))
    if last > first:
        shift = first * HOURS
        power[:, first:last] += running(begin - shift, end - shift, last - first) * watts[:, None]


def add_best(
    power: Floats, begin: Floats, end: Floats, need: Floats, watts: Floats, order: Floats, taken: Floats
) -> None:
    """Add runs of `watts` (n,) that sum to `need` (n,) [Wh] to the power (n, S), where `order` (S,) is least.

    Only from begin to end (n,) [h since the first step], and beside what is `taken` (n, S) [share of a step], which
    grows. Equals are taken as they come. What lies beyond the steps is lost, as with `add_run`.
    """
    count = power.shape[1]
    first, last = max(0, int(np.floor(begin.min() / HOURS))), min(count, int(np.ceil(end.max() / HOURS)))
    if not len(power) or last <= first:
        return
    free = np.minimum(running(begin - first * HOURS, end - first * HOURS, last - first), 1 - taken[:, first:last])
    ranked = np.argsort(order[first:last], kind="stable")
    hours = np.maximum(free[:, ranked], 0) * HOURS
    wanted = np.divide(need, watts, out=np.zeros_like(need), where=watts > 0)
    before = np.cumsum(hours, axis=1) - hours
    used = np.zeros_like(free)
    used[:, ranked] = np.clip(wanted[:, None] - before, 0, hours) / HOURS
    power[:, first:last] += used * watts[:, None]
    taken[:, first:last] += used


def working(site: Site, weekdays: Sequence[int], months: Sequence[int]) -> NDArray[np.bool_]:
    """(D,) days of these weekdays (0 is Monday) and months (1 to 12)."""
    steps = site.steps
    return np.asarray(np.isin(steps.weekday, list(weekdays)) & np.isin(steps.month, list(months)), dtype=np.bool_)
