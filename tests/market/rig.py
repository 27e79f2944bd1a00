"""Three exchanges side by side: fed in batches, command by command, and the plain one, which says what is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

import msgspec

from market import journal
from market.book import Top
from market.capacity import Gate, OpenGate
from market.events import Auctioned, Entry, Event, Granted, Limited, Rejected
from market.exchange import Exchange
from market.orders import Command
from market.replay import Replayer
from market.rules import CODES
from tests.market.naive import ConnectionLimits, NaiveBook
from tests.market.naive_exchange import NaiveExchange
from tests.market.traffic import LIMITS
from tests.market.watch import Watch

GATES = ("off", "linear", "mixed", "ac")
"""No gate; rows decide; rows decide small matches and the gate large ones; the gate is asked about everything."""

EVERYTHING = {kind.__name__ for kind in get_args(Event) if kind not in (Rejected, Auctioned, Granted)} | set(CODES)
"""Kinds of events and codes of refusals, without those that only auctions have."""


def gate_of(kind: str) -> Gate:
    if kind == "off":
        return OpenGate(list(LIMITS))
    return ConnectionLimits(LIMITS, decides=kind != "ac", refresh_after=90 if kind == "mixed" else 0)


class Rig:
    """Sends commands to all three and stops at the first event in which they differ."""

    def __init__(self, gate: str, *, singly: bool = True) -> None:
        """`singly`: also send every command alone to a third exchange, and look into its books after each."""
        self.gate = gate
        self.batched = Exchange(gate_of(gate))
        self.single = Exchange(gate_of(gate)) if singly else None
        self.naive = NaiveExchange(LIMITS, gate != "off")
        self.watch = Watch(None if gate == "off" else list(LIMITS.values()))
        self.entries: list[Entry] = []
        self.seen: Counter[str] = Counter()
        """Kinds of events, and codes of refusals."""

    def send(self, commands: Sequence[Command]) -> None:
        for entry in self.batched.apply_many(commands):
            expected = [self._plain(event) for event in self.naive.apply(entry.command)]
            told = [self._plain(event) for event in entry.events]
            assert told == expected, f"command {entry.seq}: {entry.command}"
            for event in entry.events:
                self.seen[event.code if isinstance(event, Rejected) else type(event).__name__] += 1
            self.watch.observe(entry)
            if self.single is not None:
                assert self.single.apply(entry.command) == entry
                slot = getattr(entry.command, "slot", None)
                if slot in self.naive.books:
                    self._compare_top(self.single.top(slot), self.naive.books[slot])
            self.entries.append(entry)
        assert self.batched.open_slots() == sorted(self.naive.books)
        for slot, book in self.naive.books.items():
            self._compare_book(slot, book)

    def _plain(self, event: Event) -> Event:
        """Without the reason of a refusal; of several limits that bind, rows and gate may name another."""
        if isinstance(event, Rejected):
            return Rejected(event.code, "", event.field)
        if isinstance(event, Limited) and self.gate != "ac":
            return msgspec.structs.replace(event, constraint="")
        return event

    def _compare_top(self, top: Top, book: NaiveBook) -> None:
        for side, best_of, price, wh in (
            ("buy", max, top.bid, top.bid_quantity),
            ("sell", min, top.ask, top.ask_quantity),
        ):
            best = best_of((order.price for order in book.orders if order.side == side), default=None)
            assert price == best
            assert wh == sum(order.quantity for order in book.orders if order.side == side and order.price == best)

    def _compare_book(self, slot: int, book: NaiveBook) -> None:
        """What rests, what the wires carry and what was contracted, after a batch."""
        self._compare_top(self.batched.top(slot), book)
        resting = sum(wh for side in self.batched.depth(slot) for _, wh in side)
        assert resting == sum(held.left for held in self.watch.books.get(slot, {}).values())
        assert self.batched.schedule(slot).tolist() == book.schedule
        assert self.batched.contracted(slot) == self.naive.contracts.get(slot, {})

    def replay(self) -> None:
        """The journal's bytes give the entries, and a fresh exchange without any gate gives them once more."""
        bodies = journal.encode_all(self.entries)
        entries = [journal.decode(body) for body in bodies]
        replayer = Replayer()
        for first in range(0, len(entries), 5_000):
            assert replayer.run(entries[first : first + 5_000]) is None
        assert list(self.watch.conservation.close()) == []
