"""The spread clock: early in a slot only the most valuable matches may use the wires, later any.

A match needs bid - ask >= a threshold that falls from `spread_start` when the slot begins to trade continuously to 0 at
`spread_zero_ppm` of the time from there to its gate: start (1 - t / zero)^power, in a straight line for a
`spread_power` of 1, fast at first and then ever slower for more. Nobody computes a price; capacity is simply not given
away first come first served. What comes within the threshold as it falls trades then.
"""

from __future__ import annotations

from market.orders import MarketSettings
from market.slots import SlotClock
from market.timetable import continuous_from


def threshold(settings: MarketSettings, clock: SlotClock, slot: int, now: int) -> int:
    """Least excess of bid over ask [milli-currency/MWh, whole ticks, rounded up] for a match at `now` [ns]."""
    if settings.spread_start == 0:
        return 0
    begin = continuous_from(settings, clock, slot)
    span = (clock.gate(slot) - begin) * settings.spread_zero_ppm
    left = max(0, span - (now - begin) * 1_000_000)
    rest, whole = pow(left, settings.spread_power), pow(span, settings.spread_power)
    ticks: int = -(-settings.spread_start * rest // (whole * settings.tick))
    return ticks * settings.tick
