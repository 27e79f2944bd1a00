"""Work that takes electricity on farms and in industry: pumping, cooling, drying, shifts and batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from agents.devices.fleet import Floats, Site
from agents.devices.modelled import ModelFleet, add_run, column, working
from agents.devices.river import GRAVITY, WATER
from agents.steps import HOURS

ALL_YEAR = tuple(range(1, 13))
WORKDAYS = (0, 1, 2, 3, 4)
EVERY_DAY = tuple(range(7))
POWER_FACTOR = 0.9


def outside_radiation(day_of_year: ArrayLike, latitude: float) -> Floats:
    """Extraterrestrial radiation of a day [MJ/m²]: equation 21 of FAO Irrigation and Drainage Paper 56 (1998)."""
    j = 2 * np.pi * np.asarray(day_of_year, dtype=np.float64) / 365
    distance, declination = 1 + 0.033 * np.cos(j), 0.409 * np.sin(j - 1.39)
    north = np.radians(latitude)
    sunset = np.arccos(np.clip(-np.tan(north) * np.tan(declination), -1, 1))
    light = sunset * np.sin(north) * np.sin(declination) + np.cos(north) * np.cos(declination) * np.sin(sunset)
    return np.asarray(24 * 60 / np.pi * 0.0820 * distance * light, dtype=np.float64)


def evaporation(low: Floats, high: Floats, radiation: Floats) -> Floats:
    """Reference evapotranspiration of a day [mm], Hargreaves and Samani (1985), equation 52 of FAO paper 56.

    0.0023 (T_mean + 17.8) √(T_max − T_min) R_a, with R_a as the evaporation of 0.408 mm per MJ/m².
    """
    mean = (low + high) / 2
    made = 0.0023 * np.maximum(mean + 17.8, 0) * np.sqrt(np.maximum(high - low, 0)) * 0.408 * radiation
    return np.asarray(made, dtype=np.float64)


def placed(site: Site, kw: Floats, hours: Floats, window: Sequence[float], *, to_sun: bool) -> Floats:
    """(n, S) power [W] of a run of `hours` (n, D) at `kw` (n,) on each day, within a window [from, to] (UTC).

    It begins with the window, or, `to_sun`, such that its middle is at solar noon as far as the window allows.
    """
    watts = np.zeros((len(kw), site.steps.count))
    noon = 12 - site.weather.place.longitude / 15
    for d in range(site.steps.days):
        length = np.minimum(hours[:, d], window[1] - window[0])
        begin = np.clip(noon - length / 2, window[0], window[1] - length) if to_sun else np.full(len(kw), window[0])
        add_run(watts, d * 24 + begin, d * 24 + begin + length, kw * 1000)
    return watts


class Irrigation(ModelFleet):
    """A pump of `kw` (n,) that gives `area` (n,) [ha] what it lacks: crop · ET0 less the rain, lifted by `head` [m].

    Electricity of a day: V ρ g H / η. ET0 from the day's temperatures (`evaporation`); nothing outside `months`.
    """

    def __init__(
        self,
        site: Site,
        kw: ArrayLike,
        *,
        area: ArrayLike = 5.0,
        head: float = 40.0,
        efficiency: float = 0.6,
        crop: float = 1.0,
        months: Sequence[int] = (5, 6, 7, 8, 9),
        window: Sequence[float] = (4.0, 20.0),
        to_sun: bool = False,
        flexible: bool = False,
    ) -> None:
        n, sky, power = len(site), site.weather, column(kw, len(site))
        warmth, rain = sky.daily(sky.temperature), sky.daily(sky.rain).sum(axis=1) * HOURS
        outside = outside_radiation(site.steps.day_of_year, sky.place.latitude)
        lack = crop * evaporation(warmth.min(axis=1), warmth.max(axis=1), outside) - rain
        lack = np.where(working(site, EVERY_DAY, months), np.maximum(lack, 0), 0.0)
        kwh = column(area, n) * 10 * lack * WATER * GRAVITY * head / efficiency / 3.6e6
        watts = placed(site, power[:, 0], kwh / power, window, to_sun=to_sun)
        super().__init__("agricultural", "", site, watts, flexible=flexible, power_factor=POWER_FACTOR)


class Cooling(ModelFleet):
    """Milk cooled from 35 to 4 °C after each of two milkings, within two hours: Q = m c ΔT, P = Q / COP.

    c = 3.93 kJ/(kg K), 1.03 kg a litre; the COP is `grade` of Carnot's between 2 °C and the air (at least 10 K).
    """

    def __init__(
        self,
        site: Site,
        litres: ArrayLike,
        *,
        hours: Sequence[float] = (5.0, 16.0),
        grade: float = 0.3,
    ) -> None:
        n, sky = len(site), site.weather
        cold = 275.15
        cop = grade * cold / np.maximum(sky.temperature + 273.15 - cold, 10)
        thermal = column(litres, n)[:, 0] * 1.03 * 3.93 * 31 / 3600 / 2 * 1000 / 2
        heat = np.zeros((n, site.steps.count))
        for d in range(site.steps.days):
            for hour in hours:
                begin = np.full(n, d * 24 + hour)
                add_run(heat, begin, begin + 2, thermal)
        super().__init__("agricultural", "", site, heat / cop, power_factor=POWER_FACTOR)


class Drying(ModelFleet):
    """Grain dried in its months: m (w1 − w2)/(1 − w2) kg of water a day at `kwh_per_kg`, in a dryer of `kw` (n,).

    `tonnes` (n,) a day wet; moistures are shares of the wet mass; the mass balance is Brooker, Bakker-Arkema and Hall
    (1992), Drying and Storage of Grains and Oilseeds. 0.4 kWh a kg is usual for a dryer with a heat pump.
    """

    def __init__(
        self,
        site: Site,
        kw: ArrayLike,
        *,
        tonnes: ArrayLike = 10.0,
        moisture: tuple[float, float] = (0.20, 0.14),
        kwh_per_kg: float = 0.4,
        months: Sequence[int] = (7, 8, 9, 10),
        window: Sequence[float] = (6.0, 22.0),
        to_sun: bool = True,
        flexible: bool = False,
    ) -> None:
        power = column(kw, len(site))
        water = column(tonnes, len(site)) * 1000 * (moisture[0] - moisture[1]) / (1 - moisture[1])
        hours = water * kwh_per_kg / power * working(site, EVERY_DAY, months)
        watts = placed(site, power[:, 0], hours, window, to_sun=to_sun)
        super().__init__("agricultural", "", site, watts, flexible=flexible, power_factor=POWER_FACTOR)


class Shift(ModelFleet):
    """Machines of `kw` (n,) that run while people work, from `window[0]` to `window[1]` on workdays; `idle` else."""

    def __init__(
        self,
        site: Site,
        kw: ArrayLike,
        *,
        window: Sequence[float] = (5.0, 21.0),
        weekdays: Sequence[int] = WORKDAYS,
        idle: float = 0.1,
    ) -> None:
        power = column(kw, len(site))[:, 0]
        hours = np.broadcast_to(working(site, weekdays, ALL_YEAR) * 24.0, (len(site), site.steps.days))
        run = placed(site, power * (1 - idle), hours, window, to_sun=False)
        watts = run + (power * 1000 * idle)[:, None]
        super().__init__("industrial", "", site, watts, power_factor=POWER_FACTOR)


class Batch(ModelFleet):
    """A process of `kw` (n,) for `hours` on each workday, at any time within a window: at its begin, or `to_sun`.

    A flexible one runs as far as its energy is bought.
    """

    def __init__(
        self,
        site: Site,
        kw: ArrayLike,
        *,
        hours: float = 3.0,
        window: Sequence[float] = (6.0, 18.0),
        weekdays: Sequence[int] = WORKDAYS,
        to_sun: bool = False,
        flexible: bool = False,
    ) -> None:
        power = column(kw, len(site))[:, 0]
        length = np.broadcast_to(working(site, weekdays, ALL_YEAR) * hours, (len(site), site.steps.days))
        watts = placed(site, power, length, window, to_sun=to_sun)
        super().__init__("industrial", "", site, watts, flexible=flexible, power_factor=POWER_FACTOR)
