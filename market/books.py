"""The books of all open slots, and what each trade in them leads to: contracts, schedules, the gate's questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market import closing, kernel
from market.book import Book, Order, vain
from market.capacity import Gate
from market.delivery import Deliveries
from market.events import Auctioned, Event, Expired, GateClosed, Granted, Limited, Traded
from market.intake import about, pack
from market.orders import MarketSettings
from market.settlement import rules_of
from market.slots import format_time
from market.tariff import Fees
from market.timetable import closes

NEVER = 2**30
"""A spread that no two orders reach."""

Message = tuple[int, ...]
"""Fields of `kernel.MESSAGE`."""


class Books:
    """Open books by slot. A slot's capacity is asked of the gate when something is first to be matched there."""

    def __init__(self, gate: Gate, settings: MarketSettings, deliveries: Deliveries) -> None:
        self.gate = gate
        self.fees = Fees(settings, len(gate.connections()))
        self.size = len(gate.connections())
        """Number C of connections."""
        self._settings = settings
        self._deliveries = deliveries
        self._books: dict[int, Book] = {}
        self._asked: set[int] = set()
        self._stages: Counter[str] = Counter()
        self._baselines: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self._schedules: dict[int, NDArray[np.int64]] = {}

    def __contains__(self, slot: int) -> bool:
        return slot in self._books

    def __getitem__(self, slot: int) -> Book:
        return self._books[slot]

    def get(self, slot: int) -> Book | None:
        """The book of a slot, None if it is not open."""
        return self._books.get(slot)

    def slots(self) -> list[int]:
        """Slots that trade now, earliest first."""
        return sorted(self._books)

    def open(self, slot: int) -> None:
        """Make the book of a slot, in which orders only rest until its `spread` says else."""
        book = self._books[slot] = Book(slot, self._settings, self.size, self.fees)
        book.spread = NEVER

    def pass_over(self, slot: int) -> None:
        """Note a slot that never traded."""
        self._schedules[slot] = np.zeros(self.size, np.int64)

    def close(self, slot: int, gate: int) -> tuple[list[Order], list[Event]]:
        """Take a book away at `gate` [ns]; returns all orders it ever had, and its last events, its auction's first."""
        events = self.auction(slot, gate) if closes(self._settings) else []
        book = self._books.pop(slot)
        self._stages.update(book.stages())
        events += [Expired(order.number, wh) for order, wh in book.resting()]
        self._schedules[slot] = book.schedule.copy()
        self._baselines.pop(slot, None)
        if slot in self._asked:
            self._asked.discard(slot)
            self.gate.close(slot)
        return book.orders, [*events, GateClosed(slot)]

    def stages(self) -> dict[str, int]:
        """How many questions of capacity each stage has decided, see `Book.stages`."""
        return dict(sum((Counter(book.stages()) for book in self._books.values()), self._stages.copy()))

    def schedule(self, slot: int) -> NDArray[np.int64]:
        """(C,) change of injection by flexible trades [Wh], of open and closed slots until `forget`."""
        book = self._books.get(slot)
        return (self._schedules[slot] if book is None else book.schedule).copy()

    def forget(self, slot: int) -> None:
        """Drop the schedule of a slot that is settled."""
        self._schedules.pop(slot, None)

    def state(self) -> list[object]:
        """Open books and the schedules of closed ones, as plain values. What only speeds matching up is left out."""
        books = [[slot, self._books[slot].state(), slot in self._asked] for slot in self.slots()]
        return [books, sorted((slot, schedule.tolist()) for slot, schedule in self._schedules.items())]

    def adopt(self, gate: Gate) -> None:
        """Go on with another gate, which learns what is traded in each slot; pairs that were refused stay refused."""
        self.gate = gate
        none = np.zeros(self.size, np.int64)
        for slot in sorted(self._asked):
            self._books[slot].adopt(gate.open(slot, *self._baselines.get(slot, (none, none))), gate)

    def run(self, slot: int, messages: Sequence[Message]) -> list[tuple[int, Event]]:
        """Process messages of one slot; returns events, each with the position of the message that caused it."""
        told = self._limited(slot).run(pack(messages), self.gate)
        if trades := [event for _, event in told if type(event) is Traded]:
            self._deliveries.note(trades)
        return told

    def attempt(self, orders: Sequence[tuple[Order, Message]]) -> tuple[bool, list[Event]]:
        """Fill immediate orders of different slots, all in full, or leave every book as it was.

        Returns whether they were filled, and the events; in vain, the verdicts that the gate gave.
        """
        done: list[tuple[Book, list[NDArray[Any]]]] = []
        events: list[Event] = []
        for order, message in orders:
            book = self._limited(order.slot)
            before, filled, told = book.attempt(pack([message]), self.gate)
            done.append((book, before))
            events += told
            if not filled:
                for taken, state in done:
                    taken.restore(state, self.gate)
                return False, vain(events) if book.rows is not None else []
        self._deliveries.note(events)
        return True, events

    def uncross(self, slot: int) -> list[Event]:
        """Let resting orders trade that may do so now."""
        if not self._books[slot].crossed():
            return []
        events = self._limited(slot).uncross(self.gate)
        self._deliveries.note(events)
        return events

    def auction(self, slot: int, moment: int) -> list[Event]:
        """Clear all that rests in a slot at once, at `moment` [ns]; what is left rests on. Nothing if no bid reaches
        an ask.
        """
        if not self._books[slot].meets():
            return []
        book, design = self._limited(slot), self._settings.design
        columns, known = book.columns()
        owner, origins = (book.field(name) for name in ("owner", "origins"))
        outcome = closing.clear(
            "call" if design == "cda" else design,
            columns,
            [order.number for order in known],
            rules_of(self._settings, slot),
            self.gate,
            slot,
            book.schedule,
            book.rows,
            lambda buy, sell: owner[buy] != owner[sell] and origins[buy] & origins[sell] != 0,
            self.fees,
            book.gross,
        )
        events: list[Event] = [Auctioned(slot, format_time(moment), outcome.price)]
        if outcome.grant is not None:
            events.append(Granted(slot, sorted(outcome.grant.quantity.items()), tuple(outcome.grant.binding)))
        fills: list[tuple[Order, int, bool]] = []
        by_number = {order.number: order for order in known}
        for step in outcome.steps:
            if step.admitted < step.wanted:
                events.append(Limited(step.buy, step.sell, step.wanted, step.admitted, step.constraint))
            if step.admitted:
                events.append(_cleared(slot, step, by_number, self.fees))
                fills.append((by_number[step.buy], step.admitted, step.buy_flexible))
                fills.append((by_number[step.sell], step.admitted, step.sell_flexible))
        book.fill(fills)
        self._deliveries.note(events)
        return events

    def cancel(self, names: set[str], slots: Sequence[int]) -> list[Event]:
        """Take out everything that these participants have in these slots."""
        events: list[Event] = []
        for slot in slots:
            own = [order for order, _ in self._books[slot].resting() if order.participant in names]
            if own:
                events += [event for _, event in self.run(slot, [about(kernel.CANCEL, order) for order in own])]
        return events

    def rebase(self, slot: int, baseline: NDArray[np.int64], reactive: NDArray[np.int64]) -> list[Event]:
        """Take a slot's baseline (C,) [Wh, varh]; what it leaves room for now trades at once."""
        book = self._books[slot]
        book.rebase(baseline)
        self._baselines[slot] = (baseline, reactive)
        if slot not in self._asked:
            return []
        book.limit(self.gate.open(slot, baseline, reactive))
        return self.uncross(slot)

    def _limited(self, slot: int) -> Book:
        book = self._books[slot]
        if slot not in self._asked:
            none = np.zeros(self.size, np.int64)
            baseline, reactive = self._baselines.get(slot, (none, none))
            book.limit(self.gate.open(slot, baseline, reactive))
            self._asked.add(slot)
        return book


def _cleared(slot: int, step: closing.Step, orders: Mapping[int, Order], fees: Fees) -> Traded:
    buy, sell = orders[step.buy], orders[step.sell]
    return Traded(
        slot=slot,
        price=step.price,
        quantity=step.admitted,
        buyer=buy.participant,
        seller=sell.participant,
        buy_order=buy.number,
        sell_order=sell.number,
        resting="both",
        buy_flexible=step.buy_flexible,
        sell_flexible=step.sell_flexible,
        source=sell.source,
        fee=fees.of(buy.node, sell.node),
    )
