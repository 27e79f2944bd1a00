"""Slots of flexible orders, traded by one book under the gate of a feeder: what is admitted, and by which stage."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grid.feeder import Feeder
from grid.gate import FeederGate, Violation, build
from market import intake, kernel
from market.book import Book
from market.capacity import Gate
from market.events import Limited, Traded
from market.orders import MarketSettings
from market.tariff import Fees

Ints = NDArray[np.int64]
LEVELS = 100


class Orders(NamedTuple):
    """N orders of one slot, all flexible, in order of arrival."""

    sells: NDArray[np.bool_]
    connection: Ints
    level: Ints
    """Of the price, from 0 to `LEVELS`."""
    quantity: Ints
    """[Wh]"""


@dataclass(frozen=True)
class Outcome:
    """What became of the orders of one slot."""

    trades: list[tuple[int, int, int]]
    """(buying order, selling order, Wh) in order."""
    refusals: list[tuple[int, int, int, int]]
    """(order, order, wanted, admitted) of every match that was not carried in full."""
    stages: dict[str, int]
    seconds: float
    """CPU time, opening the slot included."""
    tangents: int = 0
    violations: Sequence[Violation] = ()
    """What trading broke, by power-grid-model, if it was asked."""

    @property
    def energy(self) -> int:
        return sum(wh for *_, wh in self.trades)


def random_orders(rng: np.random.Generator, count: int, connections: int, largest: int) -> Orders:
    """Anybody buys or sells anywhere; half of the pairs agree on a price."""
    return Orders(
        rng.random(count) < 0.5,
        rng.integers(0, connections, count),
        rng.integers(0, LEVELS, count),
        rng.integers(1, largest + 1, count),
    )


def adverse_orders(rng: np.random.Generator, count: int, connections: int, largest: int) -> Orders:
    """Sellers at one end of the list of connections, buyers at the other: nothing nets, all flows add up."""
    drawn, third = random_orders(rng, count, connections, largest), max(connections // 3, 1)
    near = rng.integers(0, third, count)
    return drawn._replace(connection=np.where(drawn.sells, connections - 1 - near, near))


def trade(feeder: Feeder, settings: MarketSettings, baseline: Ints, orders: Orders) -> Outcome:
    """Let the orders trade in one slot under the gate of `settings`; `baseline` (C,) Wh flows anyway."""
    gate, none = build(feeder, settings), np.zeros_like(baseline)
    # What is found once per feeder is not a slot's cost.
    gate.open(-1, baseline, none)
    outcome = match(gate, 0, settings, len(feeder.connection_ids), baseline, none, orders)
    if not isinstance(gate, FeederGate):
        return outcome
    gate.close(0)
    found = [item for item in gate.verify([0]) if item.by_trade]
    return replace(outcome, tangents=gate.counts.tangents, violations=found)


def match(
    gate: Gate, slot: int, settings: MarketSettings, count: int, baseline: Ints, reactive: Ints, orders: Orders
) -> Outcome:
    """Open a slot of the gate, with `count` connections, and let the orders trade in it."""
    book = Book(slot, settings, count, Fees(settings, count))
    rows = zip(*(values.tolist() for values in orders), strict=True)
    messages = []
    for handle, (sells, connection, level, quantity) in enumerate(rows):
        book.add(handle + 1, f"p{handle}", "sell" if sells else "buy", "", connection)
        side = kernel.SELL if sells else kernel.BUY
        messages.append((kernel.SUBMIT, side, kernel.GTC, 1, 0, connection, handle, level, handle, quantity, 1))
    packed = intake.pack(messages)
    started = time.process_time()
    book.limit(gate.open(slot, baseline, reactive))
    events = [event for _, event in book.run(packed, gate)]
    return Outcome(
        [(event.buy_order, event.sell_order, event.quantity) for event in events if isinstance(event, Traded)],
        [(e.order, e.resting, e.wanted, e.admitted) for e in events if isinstance(e, Limited)],
        book.stages(),
        time.process_time() - started,
    )
