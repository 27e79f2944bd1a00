"""Electric vehicles that come home, need energy and leave again."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from agents.devices.fleet import Floats, Site
from agents.devices.modelled import ModelFleet, add_best, add_run, column
from agents.steps import PER_DAY

Part = Literal["required", "top_up", "given"]


class Stays(NamedTuple):
    """Every stay at home, each (n, D + 1): first the one that began on the day before the run."""

    arrival: Floats
    departure: Floats
    """[h since the first step]"""
    need: Floats
    """Energy that was driven, at the charger [kWh]."""


def stays(site: Site, kwh: ArrayLike, arrival: float, departure: float, spread: float) -> Stays:
    """Draw arrivals and departures [h of the day, UTC], normal with `spread` [h], and needs with the mean `kwh` (n,).

    Needs are log-normal with a coefficient of variation of one half, near what travel surveys find for the distance of
    a day (Plötz, Jakobsson and Sprei 2017, Transportation Research B 101).
    """
    n, days, rng = len(site), site.steps.days + 1, site.rng
    sigma = np.sqrt(np.log(1.25))
    midnight = (np.arange(days) - 1) * 24.0
    shift = np.clip(rng.standard_normal((2, n, days)), -2.5, 2.5) * spread
    need = column(kwh, n) * np.exp(sigma * rng.standard_normal((n, days)) - sigma**2 / 2)
    begin = midnight + arrival + shift[0]
    leave = midnight + departure + shift[1] + (24.0 if departure <= arrival else 0.0)
    return Stays(begin, np.maximum(leave, begin + 1.0), need)


class Trips(ModelFleet):
    """One part of what vehicles do at home, at their charger's `kw` (n,): charge what is required, charge more, give.

    Of the need of each stay, cut at what the charger can do until the departure, the share `required` is charged in any
    case, in the last hours that suffice ("required"); the rest is spread evenly over the time before and flows only if
    it is bought ("top_up"). With required 1 and `late` false a car charges at once. With `v2g_kwh` each stay begins by
    giving that energy ("given"), which is charged again with the rest, divided by the round-trip `efficiency`.

    `by_price` plans the stay by the utility's prices, which are published: given is in its dearest hours before the
    middle of the stay, charged in its cheapest, after that middle where something is given; what is required first.
    """

    def __init__(
        self,
        site: Site,
        kw: ArrayLike,
        kwh: ArrayLike,
        *,
        part: Part = "required",
        required: float = 1.0,
        late: bool = False,
        arrival: float = 17.0,
        departure: float = 6.5,
        spread: float = 1.0,
        v2g_kwh: float = 0.0,
        efficiency: float = 0.85,
        by_price: bool = False,
    ) -> None:
        n, power = len(site), column(kw, len(site))
        stay = stays(site, kwh, arrival, departure, spread)
        hours = stay.departure - stay.arrival
        give = np.minimum(v2g_kwh, power * hours / 4)
        start = stay.arrival + (np.where(give > 0, hours / 2, 0.0) if by_price else give / power)
        back = give / efficiency
        need = np.minimum(stay.need, power * (stay.departure - start) - back)
        firm = np.maximum(required * need, 0) + back
        rest = np.maximum(need, 0) + back - firm
        last = stay.departure - firm / power
        watts = np.zeros((n, site.steps.count))
        if by_price:
            watts = _planned(site, stay, start, power[:, 0] * 1000, (give, firm, rest), part)
        for d in range(0 if by_price else hours.shape[1]):
            if part == "given":
                add_run(watts, stay.arrival[:, d], start[:, d], power[:, 0] * 1000)
            elif part == "top_up":
                room = np.maximum(last[:, d] - start[:, d], 1e-9)
                add_run(watts, start[:, d], last[:, d], rest[:, d] / room * 1000)
            else:
                waits = late or required < 1
                begin = last[:, d] if waits else start[:, d]
                add_run(watts, begin, begin + (firm / power)[:, d], power[:, 0] * 1000)
        source = "storage" if part == "given" else ""
        super().__init__("ev", source, site, watts, flexible=part == "top_up")


def _planned(
    site: Site, stay: Stays, start: Floats, full: Floats, energies: tuple[Floats, Floats, Floats], part: Part
) -> Floats:
    """(n, S) power of one part by the utility's prices; the days before and after the run count as its first and last.

    `start` (n, D + 1) is when charging may begin, `full` (n,) the power [W], energies are given, required and the rest
    [kWh].
    """
    price = site.price.astype(np.float64)
    price = np.concatenate([price[:PER_DAY], price, price[-PER_DAY:]])
    watts, first, taken = np.zeros((3, len(site), len(price)))
    give, firm, rest = energies
    for d in range(start.shape[1]):
        arrival, begin, leave = (column[:, d] + 24.0 for column in (stay.arrival, start, stay.departure))
        if part == "given":
            add_best(watts, arrival, (arrival + leave) / 2, give[:, d] * 1000, full, -price, taken)
            continue
        add_best(first if part == "top_up" else watts, begin, leave, firm[:, d] * 1000, full, price, taken)
        if part == "top_up":
            add_best(watts, begin, leave, rest[:, d] * 1000, full, price, taken)
    return watts[:, PER_DAY:-PER_DAY]
