"""When auctions are held in a slot and how its orders trade meanwhile: pure functions of the settings and the time.

A slot with the design `cda` collects orders until its opening auction, if it has one, and then trades continuously. In
the other designs orders only rest, for the next auction. At gate closure an auction is held in all designs but `cda`,
and there too if `auction_closing` says so; those before it are listed here.
"""

from __future__ import annotations

from market.orders import MarketSettings
from market.slots import NS, SlotClock


def collects(settings: MarketSettings, clock: SlotClock, slot: int, now: int) -> bool:
    """Whether the orders of an open slot only rest at `now` [ns], for an auction to come."""
    return settings.design != "cda" or now < continuous_from(settings, clock, slot)


def continuous_from(settings: MarketSettings, clock: SlotClock, slot: int) -> int:
    """The moment [ns] at which continuous trading begins in a slot, where the design has any."""
    return clock.opens(slot) + settings.auction_opening * NS


def auctions(settings: MarketSettings, clock: SlotClock, slot: int, after: int, until: int) -> range:
    """Moments [ns] in (after, until] at which a slot has an auction before its gate closes."""
    opens, gate = clock.opens(slot), clock.gate(slot)
    if settings.auction_every:
        moments = range(opens, gate, settings.auction_every * NS)[1:]
    elif settings.auction_opening:
        moments = range(continuous_from(settings, clock, slot), gate, gate - opens)
    else:
        return range(0)
    passed = max(0, (after - moments.start) // moments.step + 1)
    known = max(0, (until - moments.start) // moments.step + 1)
    return moments[passed:known]


def closes(settings: MarketSettings) -> bool:
    """Whether an auction is held when the gate of a slot closes."""
    return settings.design != "cda" or settings.auction_closing
