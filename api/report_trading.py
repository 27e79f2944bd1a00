"""How trades came about while slots traded: by how much bids exceeded asks against the spread clock, and the auctions.

Read from the journal, which alone knows the limits of the orders at the moment of a trade.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from market.events import Accepted, Amended, Auctioned, Entry, GateClosed, Rejected, Traded
from market.orders import AdvanceClock, Basket, Command, Leg, MarketSettings, Submit
from market.slots import MINUTE, NS, SlotClock, parse_time
from market.spread import threshold
from market.timetable import collects, continuous_from
from market.units import ct_per_kwh

MOST_POINTS = 3000
"""Trades drawn at most; of more, every second, third and so on."""
PARTS = 10
"""Rows of the table: tenths of the trading time."""


class Point(NamedTuple):
    """A trade between neighbours."""

    minutes: float
    """Since its slot opened."""
    spread: float
    """Bid less ask and fee [ct/kWh]."""
    kwh: float
    auction: bool


def is_special(settings: MarketSettings) -> bool:
    """Whether a market does anything beside continuous trading of whatever crosses."""
    return settings.design != "cda" or bool(
        settings.spread_start or settings.auction_opening or settings.auction_closing
    )


def trading(entries: Iterable[Entry], settings: MarketSettings) -> dict[str, Any]:
    """What the chart of the trading time shows, of a whole journal."""
    clock = SlotClock(settings.slot_seconds * NS, settings.opens_before_seconds * NS, settings.gate_before_seconds * NS)
    seen = _Follower(settings, clock)
    for entry in entries:
        seen.observe(entry)
    points = seen.points
    drawn = points[:: -(-len(points) // MOST_POINTS) or 1]
    span = (clock.gate(0) - clock.opens(0)) / MINUTE
    moments = sorted({round(minute, 3) for minute in seen.held})
    return {
        "unit": "ct/kWh",
        "minutes": span,
        "clock": _line(settings, clock),
        "auctions": moments if len(moments) <= PARTS * PARTS else [],
        "held": len(seen.held),
        "prices": seen.prices,
        "trades": len(points),
        "drawn": len(drawn),
        "points": {
            name: [[round(point.minutes, 2), round(point.spread, 2)] for point in drawn if point.auction == auction]
            for name, auction in (("continuous", False), ("auction", True))
        },
        "table": _table(points, settings, clock, span),
    }


def _line(settings: MarketSettings, clock: SlotClock) -> list[list[float]]:
    """Corners of the threshold over the time of a slot: minutes and ct/kWh; empty without a spread clock."""
    if not settings.spread_start:
        return []
    begin, gate = continuous_from(settings, clock, 0), clock.gate(0)
    zero = begin + (gate - begin) * settings.spread_zero_ppm // 1_000_000
    return [
        [(moment - clock.opens(0)) / MINUTE, ct_per_kwh(threshold(settings, clock, 0, moment))]
        for moment in sorted({begin, min(zero, gate), gate})
    ]


class _Follower:
    """Follows a journal: limits of the orders as they are changed, and what each trade had to spare."""

    def __init__(self, settings: MarketSettings, clock: SlotClock) -> None:
        self.points: list[Point] = []
        self.held: list[float] = []
        """Minutes of the auctions."""
        self.prices: list[tuple[int, float]] = []
        """Slot and price of the auctions that have one price."""
        self._utility, self._clock = settings.utility, clock
        self._now = 0
        self._at: dict[int, int] = {}
        """Moment of the last auction of each slot."""
        self._limits: dict[tuple[int, int], int] = {}
        """By slot and number of the order."""
        self._slots: dict[int, int] = {}

    def observe(self, entry: Entry) -> None:
        command = entry.command
        if isinstance(command, AdvanceClock) and not isinstance(entry.events[0], Rejected):
            self._now = parse_time(command.now)
        for event in entry.events:
            if isinstance(event, Accepted) and event.order == entry.seq:
                self._note(event.order, command)
            elif isinstance(event, Amended):
                self._limits[self._slots[event.order], event.order] = event.price
            elif isinstance(event, Auctioned):
                self._at[event.slot] = parse_time(event.at)
                self.held.append(self._minutes(event.slot, self._at[event.slot]))
                if event.price is not None:
                    self.prices.append((event.slot, ct_per_kwh(event.price)))
            elif isinstance(event, Traded):
                self._trade(event)
            elif isinstance(event, GateClosed):
                self._forget(event.slot)

    def _note(self, number: int, command: Command) -> None:
        if isinstance(command, Submit):
            self._slots[number] = command.slot
        for order in command.legs if isinstance(command, Basket) else [command]:
            if isinstance(order, Submit | Leg):
                self._limits[order.slot, number] = order.price

    def _trade(self, trade: Traded) -> None:
        if self._utility in (trade.buyer, trade.seller):
            return
        auction = trade.resting == "both"
        bid, ask = (self._limits[trade.slot, number] for number in (trade.buy_order, trade.sell_order))
        minutes = self._minutes(trade.slot, self._at[trade.slot] if auction else self._now)
        self.points.append(Point(minutes, ct_per_kwh(bid - ask - trade.fee), trade.quantity / 1000, auction))

    def _forget(self, slot: int) -> None:
        self._at.pop(slot, None)
        for place, number in [key for key in self._limits if key[0] == slot]:
            del self._limits[place, number]
            self._slots.pop(number, None)

    def _minutes(self, slot: int, moment: int) -> float:
        return (moment - self._clock.opens(slot)) / MINUTE


def _table(points: list[Point], settings: MarketSettings, clock: SlotClock, span: float) -> list[list[float | None]]:
    """Per tenth of the trading time: its begin [min], the threshold there, trades, energy and their mean spread."""
    tenth = np.minimum([int(point.minutes * PARTS / span) for point in points], PARTS - 1).astype(np.int64)
    energy = np.array([point.kwh for point in points])
    spread = np.array([point.spread for point in points])
    counts, kwh, weighed = (np.bincount(tenth, weights, PARTS) for weights in (None, energy, energy * spread))
    rows: list[list[float | None]] = []
    for part in range(PARTS):
        begin = clock.opens(0) + (clock.gate(0) - clock.opens(0)) * part // PARTS
        least = None if collects(settings, clock, 0, begin) else ct_per_kwh(threshold(settings, clock, 0, begin))
        mean = float(weighed[part] / kwh[part]) if kwh[part] else None
        rows.append([span * part / PARTS, least, int(counts[part]), float(kwh[part]), mean])
    return rows
