"""Biomass plants with a fuel store, a least load, a least run and a ramp; and plants that stand by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from agents.devices.fleet import Floats, Site
from agents.devices.modelled import ModelFleet, column
from agents.steps import HOURS, PER_DAY

Part = Literal["minimum", "above"]


def operation(
    wanted: Floats, power: Floats, *, least: float, run_hours: float, store: Floats, delivery: Floats, filled: float
) -> tuple[Floats, Floats]:
    """When a plant is on, and whether it has fuel for full load: both (n, S), 1 or 0.

    Power (n, 1) [kW]; `store` and `delivery` (n, 1) in kWh and kW of electricity that the fuel gives; `filled` share
    of the store at the start; `wanted` (S,) 1 where the plant shall run. It starts if the store has the fuel of a whole
    least run at least load, and stops when the fuel is out or, after `run_hours`, when it is not wanted. Fuel is
    taken off as if all that is on offer were sold, so that what is on offer can always be delivered.
    """
    on, full = np.zeros((2, len(power), len(wanted)))
    level, rated = (store * filled)[:, 0], power[:, 0]
    size, gain = store[:, 0], delivery[:, 0]
    minimum = least * rated
    running = np.zeros(len(rated), dtype=np.bool_)
    since = np.zeros(len(rated))
    for t, want in enumerate(wanted.tolist()):
        reserve = minimum * np.maximum(run_hours - since, HOURS)
        may_start = level + gain * run_hours >= minimum * run_hours
        stay = running & ((since < run_hours - 1e-9) | bool(want)) & (level >= (minimum - gain) * HOURS)
        running = stay | (~running & bool(want) & may_start)
        since = np.where(running, since + HOURS, 0.0)
        all_out = running & (level - (rated - gain) * HOURS >= np.maximum(reserve - gain * run_hours, 0))
        on[:, t], full[:, t] = running, all_out
        used = np.where(all_out, rated, np.where(running, minimum, 0.0))
        level = np.clip(level + (gain - used) * HOURS, 0, size)
    return on, full


class Chp(ModelFleet):
    """One part of a combined heat and power plant on biomass: its least load, or what it can add to it.

    While it runs, `least` of its power `kw` (n,) flows anyway ("minimum"), and the rest is on offer ("above") as far
    as the ramp lets the plant take it up and down again within one slot: whatever is sold slot by slot can then be
    run. The hours are those when it is wanted, which its heat decides. See `operation` for fuel and least run.
    """

    def __init__(
        self,
        site: Site,
        kw: ArrayLike,
        *,
        part: Part = "above",
        least: float = 0.5,
        run_hours: float = 2.0,
        ramp: float = 1.0,
        store_hours: float = 8.0,
        delivery: float = 0.7,
        filled: float = 0.5,
        hours: Sequence[float] = (0.0, 24.0),
        by_price: bool = False,
    ) -> None:
        """`ramp` [share of the power per minute], `store_hours` at full load, `delivery` of fuel [share of the power].

        `hours` [from, to] of the day (UTC) when it is wanted; with `by_price` only while the utility charges no less
        than in the mean of the day, so that the fuel is there when it is worth most.
        """
        power = column(kw, len(site))
        hour = site.steps.hour
        begin, end = hours
        wanted = ((hour >= begin) & (hour < end)) if begin <= end else ((hour >= begin) | (hour < end))
        if by_price:
            day = site.price.reshape(-1, PER_DAY)
            wanted &= (day >= day.mean(axis=1, keepdims=True)).reshape(-1)
        on, full = operation(
            wanted.astype(np.float64), power, least=least, run_hours=run_hours,
            store=power * store_hours, delivery=power * delivery, filled=filled,
        )  # fmt: skip
        band = min(1 - least, ramp * site.slot_seconds / 60)
        share = least * on if part == "minimum" else band * full
        super().__init__("biomass", "biomass", site, power * 1000 * share, flexible=part == "above")


class Backup(ModelFleet):
    """A diesel generator or fuel cell that stands by: `kw` (n,) on offer in every slot, run only for what is sold."""

    def __init__(self, site: Site, kw: ArrayLike) -> None:
        power = np.broadcast_to(column(kw, len(site)) * 1000, (len(site), site.steps.count))
        super().__init__("backup", "fuel", site, power, flexible=True)
