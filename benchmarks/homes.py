"""Homes and buildings whose batteries learners, rule and plans control, what each saves, and the most there is.

Homes are made from a seed each: sizes, roof, heat pump, car and a weather year of their own. Those to train on and
those held out share no seed and no recorded household. The recorded buildings are those of `benchmarks/battery.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.dispatch import Sites
from agents.forecast import Analogs, Persistence
from agents.population import build
from benchmarks import battery as study
from scenarios import load

Floats = NDArray[np.float64]

DAY = 96
TO_TRAIN, HELD_OUT = ("H0-A", "H0-C", "H0-L"), ("H0-B", "H0-G", "H0-H")
"""Recorded households that give the shape of the rest of the load."""
FEED_IN = 0.0


def day_night(hour: Floats) -> Floats:
    """The two prices of the battery study [EUR/Wh]."""
    return np.where((hour >= 6) & (hour < 22), study.PEAK, study.LOW)


def time_of_use(hour: Floats) -> Floats:
    """Three prices: cheap until 6 o'clock, dear from 16 to 21 [EUR/Wh]."""
    return np.select([hour < 6, (hour >= 16) & (hour < 21)], [0.20e-3, 0.50e-3], 0.34e-3)


TARIFFS: dict[str, Callable[[Floats], Floats]] = {"day-night": day_night, "time-of-use": time_of_use}


def priced(sites: Sites, tariff: str) -> Sites:
    """The same sites under a tariff; a day begins with slot 0."""
    shape = sites.net_wh.shape
    buy, sell = np.broadcast_to(TARIFFS[tariff](np.arange(shape[1]) % DAY / 4), shape), np.broadcast_to(FEED_IN, shape)
    return Sites(sites.net_wh, sites.battery, buy, sell, sites.first_slot, sites.slot_seconds)


def made(seeds: Iterable[int], profiles: tuple[str, ...], days: int, tariff: str) -> Sites:
    """A home under a weather of its own for every seed. Every other has a heat pump, every other pair a car."""
    village = load("village").changed(**{"output.compare": []})
    year = {"time.start": "2015-12-31T23:00Z", "time.days": days, "weather": {"latitude": 51.5, "cloud": 0.6}}
    found = []
    for seed in seeds:
        home: dict[str, Any] = {
            "group": "home",
            "kind": "household",
            "count": 1,
            "load": {"annual_kwh": [2500, 8000], "profile": list(profiles)},
            "pv": {"kwp": [4, 10], "roof": {"tilt": [15, 50], "azimuth": [90, 270]}},
            "battery": {"kwh": [5, 12], "kw": [3, 6], "rule": "self_consumption", "efficiency": study.EFFICIENCY},
        }
        if seed % 2:
            home["heat_pump"] = {"kw": [2.5, 4], "building": {"loss": [120, 220]}}
        if seed // 2 % 2:
            home["ev"] = {"kw": 11, "trips": {"kwh": [4, 8]}}
        scenario = village.changed(participants=[home], **year)
        found.append(Sites.of(build(scenario, np.random.SeedSequence(seed)), 0.0, 0.0))
    return priced(Sites.stack(found), tariff)


def recorded(days: int, tariff: str) -> Sites:
    """The five buildings of the battery study."""
    net = study.nets(days * DAY)
    none = np.zeros_like(net)
    return priced(Sites(net, study.batteries(), none, none, np.full(len(net), study.FIRST), 900), tariff)


def stretches(sites: Sites, days: int) -> Sites:
    """So many days of each site, the first from the first day on, the last up to the last day, the others between."""
    first = np.linspace(0, sites.slots // DAY - days, len(sites)).astype(np.int64)
    return sites.cut(first * DAY, days * DAY)


def bills(sites: Sites) -> Floats:
    """(B,) without a battery [EUR]."""
    return study.bill(sites.net_wh, sites.buy[0], sites.sell[0])


def opponents(sites: Sites) -> dict[str, Floats]:
    """(B,) bills [EUR] by method, each of its own batteries; the bound, which no method may be below, is the last."""
    net, buy, sell = sites.net_wh, sites.buy[0], sites.sell[0]
    methods = {
        "greedy rule": study.greedy(net),
        "plan, yesterday comes again": study.predictive(net, buy, sell, Persistence(DAY)),
        "plan, last four days": study.predictive(net, buy, sell, Analogs(DAY)),
    }
    every = np.arange(len(sites))
    found = {
        name: study.bill(study.realised(net, sites.battery.some(every), decide), buy, sell)
        for name, decide in methods.items()
    }
    return found | {"bound": study.bound(net, sites.battery, buy, sell)}
