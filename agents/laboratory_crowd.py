"""Who takes part in a laboratory, and the rules of its market in the exchange's own terms."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from agents.laboratory_file import Laboratory
from market.orders import MarketSettings

PPM = 1_000_000


@dataclass(frozen=True)
class Crowd:
    """All traders of a laboratory, in the order of the file; N rows."""

    names: list[str]
    """buyer-1, buyer-2, …, seller-1, …"""
    sell: list[bool]
    units: list[tuple[int, ...]]
    zones: list[str]
    group: list[int]
    """(N,) index into `uses`."""
    uses: list[tuple[str, dict[str, Any]]]
    """Different strategies and their parameters."""

    @classmethod
    def of(cls, lab: Laboratory) -> Crowd:
        """Traders with the same strategy and parameters share one instance of it."""
        crowd = cls([], [], [], [], [], [])
        known: dict[str, int] = {}
        number = {"buy": 0, "sell": 0}
        for item in lab.traders:
            use = (item.strategy.name, item.strategy.params)
            group = known.setdefault(json.dumps(use, sort_keys=True, default=str), len(known))
            if group == len(crowd.uses):
                crowd.uses.append(use)
            for _ in range(item.count):
                number[item.side] += 1
                crowd.names.append(f"{item.side}er-{number[item.side]}")
                crowd.sell.append(item.side == "sell")
                crowd.units.append(item.units)
                crowd.zones.append(item.zone)
                crowd.group.append(group)
        return crowd


def settings(lab: Laboratory) -> MarketSettings:
    """The rules in the exchange's own terms: a period is a slot, a quote takes a second of it."""
    price, clock = lab.price, lab.spread_clock
    length = lab.quotes_per_period or 1
    # The exchange wants a clock within its range of prices; one that starts above lets nothing trade for a while.
    beyond = price.floor - (-clock.start // price.tick) * price.tick if clock else price.cap
    return MarketSettings(
        name=lab.name,
        currency="EUR",
        slot_seconds=length,
        opens_before_seconds=length,
        gate_before_seconds=0,
        tick=price.tick,
        price_floor=price.floor,
        price_cap=max(price.cap, beyond),
        lot=1,
        max_orders=len(Crowd.of(lab).names),
        gate="linear" if lab.lines else "off",
        voltage_min_ppm=0,
        voltage_max_ppm=1,
        loading_max_ppm=1,
        utility="utility",
        retail=price.cap,
        feed_in=price.floor,
        grid_fee=0,
        spread_start=clock.start if clock else 0,
        spread_zero_ppm=round(clock.zero_at * PPM) if clock else PPM,
        spread_power=clock.power if clock else 1,
        auction_closing=lab.closing,
    )
