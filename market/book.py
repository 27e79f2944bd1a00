"""The order book of one product: resting orders of one slot, matched by the kernel, bounded by the gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from market import auction, kernel
from market.capacity import CapacityRows, Gate
from market.events import Amended, Cancelled, Event, Expired, Limited, Rejected, Traded
from market.orders import MarketSettings, Side
from market.tariff import Fees

_LEVELS = (1024, 8192, 65536, 524_288)
_POOLS = (4096, 65536, 1_048_576)
MAX_LEVELS = _LEVELS[-1]
MAX_ORDERS = _POOLS[-1]
_EVENTS = 4096
_PAIRS = 256
STAGES = ("envelope", "rows", "gate")
_WHY = {
    kernel.WHY_PARTICIPANT: "participant",
    kernel.WHY_IOC: "ioc",
    kernel.WHY_AMENDED: "amended",
    kernel.WHY_SELF_TRADE: "self_trade",
}
_UNCROSS = np.array([(kernel.UNCROSS,) + (0,) * (len(kernel.MESSAGE.names or ()) - 1)], kernel.MESSAGE)


class Top(NamedTuple):
    """Best prices [milli-currency/MWh] and the energy [Wh] there; price None where a side is empty."""

    bid: int | None
    bid_quantity: int
    ask: int | None
    ask_quantity: int


class Order(NamedTuple):
    """What the exchange remembers of an accepted order while its slot trades."""

    number: int
    slot: int
    handle: int
    """Its number within the slot's book, counted from 0."""
    participant: str
    side: Side
    source: str
    node: int
    """Its connection, -1 for the utility's."""


Told = tuple[int, int, int, int, int, int, int, int, int]
"""An event of the kernel as plain integers: the fields of `kernel.EVENT` in order."""


def vain(events: list[Event]) -> list[Event]:
    """The verdicts behind events that were taken back: a replay is asked the same questions."""
    told: list[Event] = []
    trimmed = 0
    for event in events:
        if isinstance(event, Limited):
            told.append(event)
            trimmed = event.admitted
        elif isinstance(event, Traded):
            if (event.buy_flexible or event.sell_flexible) and not trimmed:
                mine, other = event.buy_order, event.sell_order
                order, resting = (mine, other) if event.resting == "sell" else (other, mine)
                told.append(Limited(order, resting, event.quantity, event.quantity, ""))
            trimmed = 0
    return told


def closed(order: int) -> Rejected:
    """Refusal of a command about an order that does not rest."""
    return Rejected("ORDER_CLOSED", f"order {order} is filled, cancelled, expired or was never accepted", "order")


class Book:
    """One slot's book."""

    def __init__(self, slot: int, settings: MarketSettings, connections: int, fees: Fees) -> None:
        levels = (settings.price_cap - settings.price_floor) // settings.tick + 1
        size = next(size for size in _LEVELS if size >= levels)
        pool = next(size for size in _POOLS if size >= settings.max_orders)
        self.slot = slot
        self.schedule = np.zeros(connections, np.int64)
        """Change of injection by flexible trades per connection [Wh]."""
        self.gross = np.zeros((4, connections), np.int64)
        """Flexible energy sold and bought per connection, and how much of each the envelope has room for [Wh]."""
        self.rows: CapacityRows | None = None
        self.orders: list[Order] = []
        """Every order that the book has seen, by handle."""
        self._most = settings.max_orders
        self.spread = 0
        """Levels by which a bid must exceed an ask to trade, beside the fee."""
        self._fees = fees
        self._lot = settings.lot
        self._floor = settings.price_floor
        self._tick = settings.tick
        self._books = kernel.empty_book(size, pool, settings.max_orders)
        self._match = kernel.entry(size, pool)
        self._where = np.full(1024, -1, np.int32)
        self._baseline = np.zeros((2, connections), np.int64)
        self._allowance = np.zeros((2, connections), np.int64)
        self._pairs = kernel.no_pairs(_PAIRS)
        self._capacity = _capacity(self.schedule, self.gross, None)
        self._tangents = 0
        self._settled = (-1, -1)
        # Names of limits that the gate answered with; the kernel's row numbers go on behind those of `rows`.
        self._constraints: list[str] = []
        self._cursor = kernel.new_cursor()
        self._events = np.zeros(_EVENTS, kernel.EVENT)

    def add(self, number: int, participant: str, side: Side, source: str, node: int) -> Order:
        """Make an order known, so that messages can speak of its handle."""
        # A named tuple's own constructor takes twice as long, and every order of a market comes by here.
        order = tuple.__new__(Order, (number, self.slot, len(self.orders), participant, side, source, node))
        self.orders.append(order)
        return order

    def rebase(self, baseline: NDArray[np.int64]) -> None:
        """Take a new baseline (C,) [Wh, injection positive]; what firm orders hold of the old one stays theirs."""
        fresh = np.stack([np.maximum(-baseline, 0), np.maximum(baseline, 0)])
        self._allowance += fresh - self._baseline
        self._baseline = fresh

    def limit(self, rows: CapacityRows | None) -> None:
        """Take the gate's capacity rows; their schedule becomes the book's. Raises ValueError if they do not fit."""
        self._adopt(rows)
        self._renew()
        self._forget()

    def adopt(self, rows: CapacityRows | None, gate: Gate) -> None:
        """Take the rows of another gate, which learns the schedule; what was refused is not asked again."""
        self._adopt(rows)
        if rows is not None and (rows.decides or rows.proof is not None):
            gate.refresh(self.slot)
        self._renew()

    def _adopt(self, rows: CapacityRows | None) -> None:
        self.rows = rows
        if rows is None:
            return
        size, count = len(self.schedule), len(rows.names)
        _require("schedule", rows.schedule, np.int64, (size,))
        _require("state", rows.state, np.float64, (2, count))
        _require("sensitivity", rows.sensitivity, np.float64, (size, 2, count))
        _require("lower", rows.lower, np.float64, (count,))
        _require("upper", rows.upper, np.float64, (count,))
        if rows.schedule is not self.schedule:
            rows.schedule[:] = self.schedule
        self.schedule = rows.schedule
        if rows.gross is not None:
            _require("gross", rows.gross, np.int64, (4, size))
            rows.gross[:2] = self.gross[:2]
            self.gross = rows.gross

    def state(self) -> list[object]:
        """Resting orders, best first, the schedule and the baseline energy not yet sold, as plain values."""
        rows = self._resting()
        best = np.where(rows["side"] == kernel.BUY, -rows["level"], rows["level"])
        rows = rows[np.lexsort((rows["turn"], best, rows["side"]))]
        names = ("side", "level", "quantity", "firm", "total", "origins", "node", "owner", "flexible")
        orders = [
            [self.orders[handle].number, *values]
            for handle, *values in zip(rows["handle"].tolist(), *(rows[name].tolist() for name in names), strict=True)
        ]
        return [
            orders,
            self.spread,
            len(self.orders),
            self.schedule.tolist(),
            self.gross[:2].tolist(),
            self._allowance.tolist(),
        ]

    def uncross(self, gate: Gate) -> list[Event]:
        """Let resting orders trade that may do so now, at the older one's price."""
        events = [event for _, event in self.run(_UNCROSS, gate)]
        self._settled = self._moment()
        return events

    def attempt(self, message: NDArray[Any], gate: Gate) -> tuple[list[NDArray[Any]], bool, list[Event]]:
        """Process an immediate order; returns the state before it, whether it was filled in full, and its events."""
        self._grow(message)
        before = [array.copy() for array in self._state()]
        events = [event for _, event in self.run(message, gate)]
        number = self.orders[int(message["handle"][0])].number
        trades = [event for event in events if isinstance(event, Traded)]
        filled = sum(trade.quantity for trade in trades if number in (trade.buy_order, trade.sell_order))
        return before, filled == message["quantity"][0], events

    def restore(self, before: list[NDArray[Any]], gate: Gate) -> None:
        """Take back what happened since `attempt` returned this state."""
        for array, copy in zip(self._state(), before, strict=True):
            array[...] = copy
        self._pairs = kernel.no_pairs(_PAIRS)
        self._cursor["pairs"] = 0
        if self.rows is not None and (self.rows.decides or self.rows.proof is not None):
            gate.refresh(self.slot)
            self._renew()
        self._forget()

    def rests(self, order: Order) -> bool:
        """True if the order is in the book."""
        return order.handle < len(self._where) and bool(self._where[order.handle] >= 0)

    def meets(self) -> bool:
        """True if the best bid reaches the best ask."""
        bid, _, ask, _ = kernel.top_of_book(self._books)
        return bool(bid >= 0 and ask >= 0 and bid >= ask)

    def crossed(self) -> bool:
        """True if resting orders might trade: some cross, and spread or schedule have changed since they were tried."""
        if self._settled == self._moment():
            return False
        bid, _, ask, _ = kernel.top_of_book(self._books)
        return bool(bid >= 0 and ask >= 0 and bid - ask >= self.spread)

    def run(self, messages: NDArray[Any], gate: Gate) -> list[tuple[int, Event]]:
        """Process messages (`kernel.MESSAGE`) in order; the gate answers what the rows cannot decide.

        Returns the events in order, each with the position of the message that caused it. Raises ValueError if
        `messages` is not an array that the kernel can take.
        """
        _require("messages", messages, kernel.MESSAGE, (len(messages),))
        self._grow(messages)
        cursor = self._cursor
        cursor["message"] = 0
        events: list[tuple[int, Event]] = []
        while True:
            cursor["count"] = 0
            status = self._match(
                self._books,
                self._where,
                self._allowance,
                self._pairs,
                self._mode(),
                self._capacity,
                self.spread,
                (self._fees.place, self._fees.levels),
                self._lot,
                messages,
                self._events,
                cursor,
            )
            self._tell(self._events[: int(cursor["count"][0])].tolist(), events)
            if status == kernel.DONE:
                return events
            if status == kernel.ASK:
                self._ask(gate)
            elif status == kernel.REFRESH:
                gate.refresh(self.slot)
                self._renew()
            elif 2 * cursor["pairs"][0] >= len(self._pairs):
                pairs, self._pairs = self._pairs, kernel.no_pairs(2 * len(self._pairs))
                kernel.move(pairs, self._pairs)

    def top(self) -> Top:
        bid, bid_quantity, ask, ask_quantity = kernel.top_of_book(self._books)
        return Top(
            self.price(bid) if bid >= 0 else None,
            bid_quantity,
            self.price(ask) if ask >= 0 else None,
            ask_quantity,
        )

    def depth(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Bids and asks as (price, Wh), best first."""
        orders = self._resting()
        sides: list[list[tuple[int, int]]] = []
        for side in (kernel.BUY, kernel.SELL):
            own = orders[orders["side"] == side]
            levels, place = np.unique(own["level"], return_inverse=True)
            total = np.zeros(len(levels), np.int64)
            np.add.at(total, place, own["quantity"])
            ladder = [(self.price(level), wh) for level, wh in zip(levels.tolist(), total.tolist(), strict=True)]
            sides.append(ladder[::-1] if side == kernel.BUY else ladder)
        return sides[0], sides[1]

    def resting(self) -> list[tuple[Order, int]]:
        """Every resting order and its Wh, oldest order first."""
        orders = self._resting()
        handles = orders["handle"].tolist()
        return [(self.orders[handle], wh) for handle, wh in zip(handles, orders["quantity"].tolist(), strict=True)]

    def columns(self) -> tuple[auction.Orders, list[Order]]:
        """What rests, as an auction takes it, and the orders, row by row."""
        rows = self._resting()
        price = self._floor + rows["level"].astype(np.int64) * self._tick
        side, node = rows["side"].astype(np.int64), rows["node"].astype(np.int64)
        orders = auction.Orders(side, price, rows["quantity"], rows["turn"], node, rows["firm"])
        return orders, [self.orders[handle] for handle in rows["handle"].tolist()]

    def field(self, name: str) -> list[int]:
        """One field of the resting orders, in the order of `columns`."""
        values: list[int] = self._resting()[name].tolist()
        return values

    def fill(self, fills: Sequence[tuple[Order, int, bool]]) -> None:
        """Fill resting orders as an auction has: order, Wh, and whether it is flexible energy of the order.

        What is left of them keeps its place. The auction has moved the schedule and had the gate renew its rows.
        """
        rows = [(order.handle, wh, flexible) for order, wh, flexible in fills]
        kernel.fill(self._books, self._where, np.array(rows, np.int64).reshape(-1, 3))
        self._renew()
        self._forget()

    def stages(self) -> dict[str, int]:
        """How many questions of capacity were decided by the envelope, by rows and by the gate itself."""
        cursor = self._cursor[0]
        return {stage: int(cursor[f"by_{stage}"]) for stage in STAGES}

    def price(self, level: int) -> int:
        return self._floor + level * self._tick

    def _tell(self, told: list[Told], events: list[tuple[int, Event]]) -> None:
        """Add what the kernel told, the commonest kinds first: every order of a market comes by here."""
        orders, floor, tick = self.orders, self._floor, self._tick
        for kind, flags, message, handle, resting, level, row, quantity, wanted in told:
            event: Event
            if kind == kernel.AMENDED:
                event = Amended(orders[handle].number, floor + level * tick, quantity, "kept" if flags else "lost")
            elif kind == kernel.TRADE:
                event = self._traded(orders[handle], orders[resting], floor + level * tick, quantity, flags)
            elif kind == kernel.LIMITED:
                pair = orders[handle].number, orders[resting].number
                event = Limited(*pair, wanted, quantity, self._constraint(row))
            elif kind == kernel.CANCELLED and flags == kernel.WHY_EXPIRED:
                event = Expired(orders[handle].number, quantity)
            elif kind == kernel.CANCELLED:
                event = Cancelled(orders[handle].number, quantity, _WHY[flags])
            elif kind == kernel.BOOK_FULL:
                event = Rejected("BOOK_FULL", f"{self._most} orders rest in this slot; use ioc or wait")
            elif kind == kernel.WOULD_TRADE:
                event = Rejected("WOULD_TRADE", "a post-only order may not trade at once; change its price", "price")
            else:
                event = closed(orders[handle].number)
            events.append((message, event))

    def _traded(self, incoming: Order, resting: Order, price: int, quantity: int, flags: int) -> Traded:
        buy, sell = (resting, incoming) if resting.side == "buy" else (incoming, resting)
        return Traded(
            self.slot,
            price,
            quantity,
            buy.participant,
            sell.participant,
            buy.number,
            sell.number,
            resting.side,
            bool(flags & kernel.BUY_FLEXIBLE),
            bool(flags & kernel.SELL_FLEXIBLE),
            sell.source,
            self._fees.of(buy.node, sell.node),
        )

    def _constraint(self, row: int) -> str:
        own = self.rows.names if self.rows is not None else []
        return own[row] if row < len(own) else self._constraints[row - len(own)]

    def _resting(self) -> NDArray[Any]:
        where = self._where[self._where >= 0]
        orders: NDArray[Any] = self._books[0]["orders"][where]
        return orders

    def _mode(self) -> int:
        if self.rows is None:
            return kernel.OPEN
        if self.rows.decides:
            return kernel.DECIDE
        return kernel.QUESTION if self.rows.proof is None else kernel.CERTIFY

    def _renew(self) -> None:
        """Take over rows whose tangent is new."""
        proof = None if self.rows is None else self.rows.proof
        self._capacity = _capacity(self.schedule, self.gross, self.rows)
        self._pairs["row"] = -1
        self._cursor["recent"] = -1
        self._cursor["moved"] = 0 if proof is None else proof.moved
        self._cursor["drift"] = 0 if proof is None else proof.drift
        self._cursor["beyond"] = bool((self.gross[:2] > self.gross[2:]).any())
        self._tangents = 0 if proof is None else proof.tangents

    def _forget(self) -> None:
        """Ask again about pairs that were refused. A replay, which has no rows, must forget at the same moments."""
        self._cursor["stamp"] += 1

    def _ask(self, gate: Gate) -> None:
        cursor = self._cursor[0]
        inject, withdraw = int(cursor["inject"]), int(cursor["withdraw"])
        wanted = int(cursor["wanted"])
        proof = None if self.rows is None else self.rows.proof
        if proof is not None:
            proof.decided = int(cursor["by_rows"])
        verdict = gate.check(self.slot, inject, withdraw, wanted, self._lot)
        if not 0 <= verdict.admitted <= wanted or verdict.admitted % self._lot:
            raise ValueError(f"the gate admitted {verdict.admitted} of {wanted} Wh: not a number of lots within it")
        cursor["answer"] = verdict.admitted
        if proof is not None:
            if proof.tangents != self._tangents:
                self._renew()
            cursor["moved"], cursor["drift"] = proof.moved, proof.drift
        if verdict.admitted < wanted:
            if verdict.constraint not in self._constraints:
                self._constraints.append(verdict.constraint)
            known = len(self.rows.names) if self.rows is not None else 0
            cursor["row"] = known + self._constraints.index(verdict.constraint)

    def _moment(self) -> tuple[int, int]:
        return self.spread, int(self._cursor["stamp"][0])

    def _state(self) -> list[NDArray[Any]]:
        own = [self._books, self._where, self._allowance, self._cursor]
        state = [*own, self.schedule, self.gross]
        return [*state, self.rows.state] if self.rows is not None and self.rows.decides else state

    def _grow(self, messages: NDArray[Any]) -> None:
        needed = int(messages["handle"].max(initial=-1)) + 1
        if needed > len(self._where):
            larger = np.full(max(needed, 2 * len(self._where)), -1, np.int32)
            larger[: len(self._where)] = self._where
            self._where = larger


def _require(name: str, array: NDArray[Any], kind: DTypeLike, shape: tuple[int, ...]) -> None:
    """The compiled kernel takes its arguments unseen; a wrong one would be read as something else."""
    if array.dtype != kind or array.shape != shape or not array.flags.carray:
        raise ValueError(f"{name} must be a writable C array of {kind} {shape}, got {array.dtype} {array.shape}")


def _capacity(schedule: NDArray[np.int64], gross: NDArray[np.int64], rows: CapacityRows | None) -> tuple[Any, ...]:
    """What the kernel takes for its capacity, see `kernel.run`."""
    if rows is None:
        none = np.zeros((len(schedule), 2, 0))
        return schedule, gross, np.zeros((2, 0)), none, none, np.zeros((2, 0)), np.zeros((5, 0)), 0
    bounds = np.zeros((5, len(rows.names)))
    if rows.proof is not None:
        bounds[:] = rows.lower, rows.upper, rows.proof.outer_lower, rows.proof.outer_upper, rows.proof.slope
    else:  # A row that is outside already may not go further.
        present = (rows.state**2).sum(axis=0)
        bounds[0] = np.minimum(np.maximum(rows.lower, 0.0) ** 2, present)
        bounds[1] = np.maximum(rows.upper**2, present)
    rising, falling = rows.sensitivity, rows.sensitivity if rows.withdrawal is None else rows.withdrawal
    return schedule, gross, rows.state, rising, falling, np.zeros_like(rows.state), bounds, rows.refresh_after
