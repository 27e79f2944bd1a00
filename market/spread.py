"""The spread clock: early in a slot only the most valuable matches may use the wires, later any.

A match needs bid - ask >= a threshold that falls in a straight line from `spread_start` when the slot opens to 0 at
`spread_zero_ppm` of its trading time. Nobody computes a price; capacity is simply not given away first come first
served. What comes within the threshold as it falls trades then.
"""

from __future__ import annotations

from market.orders import MarketSettings
from market.slots import SlotClock


def threshold(settings: MarketSettings, clock: SlotClock, slot: int, now: int) -> int:
    """Least excess of bid over ask [milli-currency/MWh, whole ticks, rounded up] for a match at `now` [ns]."""
    if settings.spread_start == 0:
        return 0
    span = (clock.gate(slot) - clock.opens(slot)) * settings.spread_zero_ppm
    left = max(0, span - (now - clock.opens(slot)) * 1_000_000)
    ticks = -(-settings.spread_start * left // (span * settings.tick))
    return ticks * settings.tick
