"""What falls due as the clock moves: ends of orders, openings, auctions and gate closures, each at its own moment.

One command may move the clock over many moments. They are carried out in time order, so that it makes no difference to
an auction whether the clock came to it in one step or in many. At one moment orders end first, then slots open, gates
close, and auctions are held; alike by slot.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, MutableMapping

from market import kernel
from market.book import Order
from market.books import NEVER, Books
from market.events import Event, GateClosed, Opened
from market.intake import about
from market.orders import MarketSettings
from market.slots import SlotClock
from market.spread import threshold
from market.timetable import auctions, collects

_OPENS, _CLOSES, _AUCTION = 0, 1, 2

Due = tuple[int, int, int]
"""Moment [ns], what happens, and in which slot."""


class Agenda:
    """The clock of a market, and what it sets off. `orders` are all that may still rest, by number."""

    def __init__(
        self, settings: MarketSettings, clock: SlotClock, books: Books, orders: MutableMapping[int, Order]
    ) -> None:
        self.now: int | None = None
        """The market's time [ns]; None before its first clock command."""
        self._settings, self._clock, self._books, self._orders = settings, clock, books, orders
        self._ends: list[tuple[int, int]] = []
        self._opened = range(0)

    def state(self) -> list[object]:
        """What is open and which orders end by themselves, as plain values."""
        ends = sorted(end for end in self._ends if end[1] in self._orders)
        return [self._opened.start, self._opened.stop, ends]

    def end(self, order: int, moment: int) -> None:
        """Note that an order ends at `moment` [ns], if it is still there."""
        heapq.heappush(self._ends, (moment, order))

    def advance(self, now: int) -> list[Event]:
        """Move the clock to `now` [ns], which is not before its time, and carry out all that falls due on the way."""
        due = sorted(self._due(now))
        open_now = self._clock.open_slots(now)
        begin = open_now.start if self.now is None else self._opened.stop
        self._opened = range(open_now.start, max(open_now.stop, begin))
        self.now = now
        events: list[Event] = []
        for moment, what, slot in due:
            events += self._expire(moment)
            if what == _OPENS:
                events.append(Opened(slot))
                if slot in open_now:
                    self._books.open(slot)
            elif what == _CLOSES:
                events += self._close(slot)
            else:
                events += self._books.auction(slot, moment)
                events += self._trade(slot, moment)
        events += self._expire(now)
        for slot in self._books.slots():
            events += self._trade(slot, now)
        return events

    def _due(self, now: int) -> Iterator[Due]:
        clock, open_now = self._clock, self._clock.open_slots(now)
        if self.now is None:
            yield from ((now, _OPENS, slot) for slot in open_now)
            return
        fresh = range(self._opened.stop, open_now.stop)
        yield from ((clock.opens(slot), _OPENS, slot) for slot in fresh)
        for slots in (self._opened, fresh):
            yield from ((clock.gate(slot), _CLOSES, slot) for slot in slots if slot < open_now.start)
        for slot in self._opened:  # where nobody could order yet, there is nothing to clear
            moments = auctions(self._settings, clock, slot, self.now, now)
            yield from ((moment, _AUCTION, slot) for moment in moments)

    def _close(self, slot: int) -> list[Event]:
        if slot not in self._books:  # The clock jumped over the whole time in which it would have traded.
            self._books.pass_over(slot)
            return [GateClosed(slot)]
        orders, events = self._books.close(slot, self._clock.gate(slot))
        for order in orders:
            self._orders.pop(order.number, None)
        return events

    def _trade(self, slot: int, now: int) -> list[Event]:
        """Let resting orders trade that the time has brought together, where a slot trades continuously."""
        if collects(self._settings, self._clock, slot, now):
            self._books[slot].spread = NEVER
            return []
        self._books[slot].spread = threshold(self._settings, self._clock, slot, now) // self._settings.tick
        return self._books.uncross(slot)

    def _expire(self, moment: int) -> list[Event]:
        """Take out orders whose own end has come, earliest first."""
        events: list[Event] = []
        while self._ends and self._ends[0][0] <= moment:
            order = self._orders.get(heapq.heappop(self._ends)[1])
            if order is not None and self._books[order.slot].rests(order):
                events += [event for _, event in self._books.run(order.slot, [about(kernel.EXPIRE, order)])]
        return events
