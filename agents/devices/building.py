"""Heat pumps that keep a building and a store of hot water warm."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agents.devices.fleet import Floats, Site
from agents.devices.heat_pump import POWER_FACTOR
from agents.devices.modelled import ModelFleet, column
from agents.steps import HOURS, PER_DAY

WATER_WH = 1.163
"""Heat capacity of a litre of water [Wh/K]."""


def performance(lift: ArrayLike, *, ground: bool = False) -> Floats:
    """Coefficient of performance at a lift of temperature [K] from source to sink, cut to 15 to 60 K.

    The regression of Staffell, Brett, Brandon and Hawkes (2012), Energy & Environmental Science 5, 9291: air source
    6.81 − 0.121 ΔT + 0.000630 ΔT², ground source 8.77 − 0.150 ΔT + 0.000734 ΔT².
    """
    k = np.clip(np.asarray(lift, dtype=np.float64), 15, 60)
    a, b, c = (8.77, 0.150, 0.000734) if ground else (6.81, 0.121, 0.000630)
    return np.asarray(a - b * k + c * k**2, dtype=np.float64)


class Heated(NamedTuple):
    """What a heat pump did, each (n, S)."""

    watts: Floats
    """Electrical."""
    room: Floats
    water: Floats
    """Temperatures at the end of each step [°C]."""


def after(now: Floats, outside: ArrayLike, heat: Floats, loss: ArrayLike, capacity: ArrayLike) -> Floats:
    """Temperature one step later, exactly: T∞ + (T − T∞) e^(−h·L/C) with T∞ = T_outside + Q/L.

    One resistance and one store, after Bacher and Madsen (2011), Energy and Buildings 43(7): heat Q [W], loss
    L = 1/R [W/K], capacity C [Wh/K].
    """
    end = outside + heat / np.asarray(loss)
    return np.asarray(end + (now - end) * np.exp(-HOURS * np.asarray(loss) / np.asarray(capacity)), dtype=np.float64)


def cheapest(site: Site) -> NDArray[np.bool_]:
    """(S,) steps whose price is in the lowest third of the range that its day has; none of a day of one price."""
    days = site.price.reshape(-1, PER_DAY)
    low, high = days.min(axis=1, keepdims=True), days.max(axis=1, keepdims=True)
    cheap: NDArray[np.bool_] = ((high > low) & (3 * (days - low) <= high - low)).reshape(-1)
    return cheap


class Building(ModelFleet):
    """A heat pump of `kw` (n,) electrical, in a building with `loss` [W/K] and a time constant of `hours`.

    The room is kept at `comfort[0]`; from 10 to 15 h of local solar time it is warmed up to `comfort[1]` if `preheat`,
    so that the sun's hours carry some of the night's heat, and with `by_price` in the cheapest third of a day's prices.
    Windows let in `windows` [m²] of the global irradiance, people and devices give `gains` [W]. The store of `litres`
    is heated first: from `water[0]` up to `water[1]` [°C],
    fed at 10 °C, drawn by `draw` [litres a day at 45 °C] around seven and nineteen o'clock. The result is `heated`.
    """

    def __init__(
        self,
        site: Site,
        kw: ArrayLike,
        *,
        loss: ArrayLike = 180.0,
        hours: float = 60.0,
        comfort: tuple[float, float] = (20.0, 22.0),
        preheat: bool = False,
        flow: float = 40.0,
        ground: bool = False,
        windows: float = 3.0,
        gains: float = 300.0,
        litres: float = 250.0,
        water: tuple[float, float] = (48.0, 55.0),
        draw: float = 120.0,
        by_price: bool = False,
    ) -> None:
        n, sky = len(site), site.weather
        leak = column(loss, n)[:, 0]
        source = np.full(site.steps.count, 10.0) if ground else sky.temperature
        local = (site.steps.hour + sky.place.longitude / 15) % 24
        warm = preheat & (local >= 10) & (local < 15)
        warm |= by_price & cheapest(site)
        peaks = np.exp(-(((local - 7) / 1) ** 2) / 2) + np.exp(-(((local - 19) / 1.5) ** 2) / 2)
        drawn = draw * peaks / (np.sqrt(2 * np.pi) * 2.5)
        self.heated = _heat(
            column(kw, n)[:, 0] * 1000, leak, leak * hours, sky.temperature, windows * sky.ghi + gains,
            np.where(warm, comfort[1], comfort[0]), performance(flow - source, ground=ground),
            performance(water[1] - source, ground=ground), drawn * WATER_WH * 35, litres * WATER_WH, water,
        )  # fmt: skip
        super().__init__("heat_pump", "", site, self.heated.watts, power_factor=POWER_FACTOR)


def _heat(
    rated: Floats, loss: Floats, capacity: Floats, outside: Floats, gains: Floats, target: Floats,
    cop: Floats, cop_water: Floats, drawn: Floats, store: float, water: tuple[float, float],
) -> Heated:  # fmt: skip
    """Run the steps: hot water first, then the heat that brings the room to its target, as far as the power goes."""
    n, count = len(rated), len(outside)
    watts, rooms, tanks = np.zeros((3, n, count))
    room, tank = np.full(n, target[0] if count else 0.0), np.full(n, sum(water) / 2)
    filling = np.zeros(n, dtype=np.bool_)
    keep = np.exp(-HOURS * loss / capacity)
    for t in range(count):
        filling = (tank < water[0]) | (filling & (tank < water[1]))
        wanted = np.maximum(water[1] - tank, 0) * store / HOURS + drawn[t]
        for_water = np.where(filling, np.minimum(rated, wanted / cop_water[t]), 0.0)
        tank = tank + (for_water * cop_water[t] - drawn[t]) * HOURS / store
        settled = (target[t] - room * keep) / (1 - keep)
        need = (settled - outside[t]) * loss - gains[t]
        for_room = np.clip(need / cop[t], 0, rated - for_water)
        room = after(room, outside[t], for_room * cop[t] + gains[t], loss, capacity)
        watts[:, t], rooms[:, t], tanks[:, t] = for_water + for_room, room, tank
    return Heated(watts, rooms, tanks)
