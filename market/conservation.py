"""What no entry of a journal may break, told from the entries alone: no exchange, no gate, no matching.

Per order: what went in is filled, resting, cancelled or expired, and no fill goes beyond its limit or its quantity.
What must hold after the gate is in `market.delivery_check`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from market.delivery_check import AFTER_THE_GATE, NOTED, DeliveryCheck
from market.events import (
    Accepted,
    Amended,
    Auctioned,
    Cancelled,
    Entry,
    Expired,
    GateClosed,
    Rejected,
    Traded,
)
from market.ledger import Posting
from market.orders import (
    Amend,
    Basket,
    CreateMarket,
    Leg,
    MarketSettings,
    Register,
    Submit,
)
from market.tariff import Fees, connection_names

_LEAVING = (Cancelled, Expired)


@dataclass(slots=True)
class _Order:
    """An accepted order while it is in the book. Energy in Wh."""

    participant: str
    slot: int
    side: str
    price: int
    left: int
    filled: int
    source: str


@dataclass(slots=True)
class Totals:
    """Energy of all orders [Wh], counted on both sides; a trade fills two orders."""

    submitted: int = 0
    filled: int = 0
    cancelled: int = 0
    expired: int = 0


class Conservation:
    """Follows a journal entry by entry and says what does not add up."""

    def __init__(self) -> None:
        self.totals = Totals()
        self.trades = 0
        self._settings: MarketSettings | None = None
        self._participants: set[str] = set()
        self._connections: dict[str, int] = {}
        """Connection of the feeder -> its number."""
        self._nodes: dict[str, int] = {}
        """Participant -> number of its connection, -1 for the utility."""
        self._fees: Fees | None = None
        self._orders: dict[int, _Order] = {}
        self._legs: dict[tuple[int, int], _Order] = {}
        """By number and slot: the legs of a basket share a number."""
        self._baskets: dict[int, list[int]] = {}
        self._named: dict[tuple[str, str], int] = {}
        self._resting: dict[int, set[int]] = {}
        self._prices: dict[int, int | None] = {}
        """Price of the last auction of each slot whose gate is open."""
        self._deliveries = DeliveryCheck()

    @property
    def resting(self) -> int:
        """Energy that rests in the books [Wh]."""
        return sum(order.left for order in chain(self._orders.values(), self._legs.values()))

    def observe_all(
        self, entries: Sequence[Entry], posted: Mapping[int, Sequence[Posting]]
    ) -> Iterator[tuple[int, str]]:
        """Follow entries with their postings by number; yields the numbers of those in which something is wrong."""
        orders, totals = self._orders, self.totals
        for entry in entries:
            if type(entry.command) is Amend and len(entry.events) == 1 and type(entry.events[0]) is Amended:
                # Most of a journal: what `observe` comes to if nothing is wrong.
                event = entry.events[0]
                order = orders.get(event.order)
                if order is not None and event.quantity > order.filled:
                    left = event.quantity - order.filled
                    totals.submitted += left - order.left
                    order.left, order.price = left, event.price
                    continue
            for detail in self.observe(entry, posted.get(entry.seq, ())):
                yield entry.seq, detail

    def observe(self, entry: Entry, posted: Sequence[Posting]) -> list[str]:
        """Follow one entry and the postings stored with it; returns what is wrong, in words."""
        command, events = entry.command, entry.events
        found: list[str] = []
        if type(command) in NOTED and not any(isinstance(event, Rejected) for event in events):
            self._deliveries.note(command)
            if isinstance(command, CreateMarket | Register):
                found += self._note(command)
        for event in events:
            kind = type(event)
            if kind is Traded:
                found += self._trade(event)  # type: ignore[arg-type]
                self._deliveries.trade(event)  # type: ignore[arg-type]
            elif kind is Accepted:
                if isinstance(command, Submit | Basket):
                    found += self._accept(event, entry.seq, command)  # type: ignore[arg-type]
            elif kind is Amended:
                found += self._amend(event)  # type: ignore[arg-type]
            elif kind in _LEAVING:
                found += self._leave(event)  # type: ignore[arg-type]
            elif isinstance(event, Auctioned):
                self._prices[event.slot] = event.price
            elif isinstance(event, GateClosed):
                self._prices.pop(event.slot, None)
                for number in sorted(self._resting.pop(event.slot, ())):
                    found.append(f"the gate of slot {event.slot} closed, but order {number} still rests")
            elif kind in AFTER_THE_GATE:
                found += self._deliveries.check(event, command, posted)
        return found

    def close(self) -> Iterator[str]:
        """What does not add up over the whole journal."""
        totals = self.totals
        out = totals.filled + totals.cancelled + totals.expired + self.resting
        if totals.submitted != out:
            yield f"orders of {totals.submitted} Wh came in, but {out} Wh are filled, resting, cancelled or expired"

    def _note(self, command: CreateMarket | Register) -> Iterator[str]:
        if isinstance(command, CreateMarket):
            self._settings = command.settings
            try:
                names = connection_names(command.feeder)
                self._fees = Fees(command.settings, len(names))
            except (ValueError, LookupError, ArithmeticError) as error:
                yield f"the fees of the wires cannot be computed: {error}"
                return
            self._connections = {name: number for number, name in enumerate(names)}
        else:
            self._participants.add(command.participant)
            local = self._settings is not None and command.participant != self._settings.utility
            self._nodes[command.participant] = self._connections.get(command.connection, -1) if local else -1

    def _accept(self, event: Accepted, seq: int, command: Submit | Basket) -> Iterator[str]:
        name = (command.participant, command.client_order_id)
        if command.client_order_id and name in self._named:
            if event.order != self._named[name]:
                yield f"order {event.order} is not the one that {name[0]!r} called {name[1]!r} before"
            return
        if event.order != seq:
            yield f"the order is numbered {event.order}, not {seq}"
        if command.participant not in self._participants:
            yield f"{command.participant!r} orders, but never registered"
        if command.client_order_id:
            self._named[name] = seq
        if isinstance(command, Basket):
            self._baskets[seq] = [leg.slot for leg in command.legs]
            for leg in command.legs:
                self._legs[seq, leg.slot] = self._new(command.participant, leg)
        else:
            self._orders[seq] = self._new(command.participant, command)
            self._resting.setdefault(command.slot, set()).add(seq)

    def _new(self, participant: str, order: Submit | Leg) -> _Order:
        self.totals.submitted += order.quantity
        return _Order(participant, order.slot, order.side, order.price, order.quantity, 0, order.source)

    def _trade(self, trade: Traded) -> Iterator[str]:
        self.trades += 1
        if trade.quantity <= 0:
            yield f"a trade of {trade.quantity} Wh"
        buy, sell = self._at(trade.buy_order, trade.slot), self._at(trade.sell_order, trade.slot)
        for number, order, side, name in (
            (trade.buy_order, buy, "buy", trade.buyer),
            (trade.sell_order, sell, "sell", trade.seller),
        ):
            if order is None:
                yield f"order {number} trades, but is not in the book"
                continue
            if order.side != side or order.participant != name:
                yield f"order {number} is to {order.side} for {order.participant!r} in {order.slot}, unlike the trade"
            paid = trade.price + (trade.fee if side == "buy" else 0)
            if order.price < paid if side == "buy" else order.price > paid:
                yield f"order {number} has the limit {order.price}, but trades at {paid}"
            if trade.quantity > order.left:
                yield f"order {number} has {order.left} Wh left, but trades {trade.quantity} Wh"
            self._fill(number, order, trade.quantity)
        resting = buy if trade.resting == "buy" else sell if trade.resting == "sell" else None
        if resting is not None and resting.price != trade.price + (trade.fee if resting is buy else 0):
            yield f"the resting order's price is {resting.price}, the trade's {trade.price} and its fee {trade.fee}"
        nodes = self._nodes
        fee = self._fees.of(nodes.get(trade.buyer, -1), nodes.get(trade.seller, -1)) if self._fees is not None else 0
        if trade.fee != fee:
            yield f"the wires take {trade.fee} between {trade.buyer!r} and {trade.seller!r}, but the tariff says {fee}"
        if trade.resting == "both" and buy is not None and sell is not None:
            yield from self._auction_price(trade, sell.price, buy.price - trade.fee)
        if sell is not None and sell.source != trade.source:
            yield f"the ask offers {sell.source or 'no source'!r}, the trade has {trade.source or 'none'!r}"

    def _auction_price(self, trade: Traded, least: int, most: int) -> Iterator[str]:
        """An auction has one price, or one for each pair; the utility may keep to its tariff."""
        if trade.slot not in self._prices:
            yield f"two resting orders of slot {trade.slot} trade, but no auction was held"
            return
        price, settings = self._prices[trade.slot], self._settings
        utility = settings.utility if settings is not None else ""
        if price is not None and utility not in (trade.buyer, trade.seller):
            right = min(max(price, least), most)
            if trade.price != right:
                yield f"the auction's price is {price}, so that the two trade at {right}, not at {trade.price}"

    def _fill(self, number: int, order: _Order, quantity: int) -> None:
        order.left -= quantity
        order.filled += quantity
        self.totals.filled += quantity
        if order.left <= 0:
            self._remove(number, order)

    def _amend(self, event: Amended) -> Iterator[str]:
        order = self._orders.get(event.order)
        if order is None:
            yield f"order {event.order} is amended, but is not in the book"
            return
        left = event.quantity - order.filled
        if left <= 0:
            yield f"order {event.order} is amended to {event.quantity} Wh, but {order.filled} Wh are filled"
        self.totals.submitted += left - order.left
        order.left = left
        order.price = event.price

    def _leave(self, event: Cancelled | Expired) -> Iterator[str]:
        if event.order in self._baskets:
            yield from self._leave_whole(event)
            return
        order = self._orders.get(event.order)
        if order is None:
            yield f"{event.quantity} Wh of order {event.order} leave the book, but it is not in it"
            return
        if event.quantity != order.left:
            yield f"order {event.order} has {order.left} Wh left, but {event.quantity} Wh leave the book"
        if isinstance(event, Cancelled):
            self.totals.cancelled += event.quantity
        else:
            self.totals.expired += event.quantity
        self._remove(event.order, order)

    def _leave_whole(self, event: Cancelled | Expired) -> Iterator[str]:
        """A basket that was not filled leaves with all its legs."""
        legs = [self._legs.get((event.order, slot)) for slot in self._baskets[event.order]]
        left = sum(leg.left for leg in legs if leg is not None)
        if event.quantity != left or not isinstance(event, Cancelled) or any(leg is None or leg.filled for leg in legs):
            yield f"basket {event.order} has {left} Wh left, but {event.quantity} Wh leave the book"
        self.totals.cancelled += event.quantity
        for leg in legs:
            if leg is not None:
                self._remove(event.order, leg)

    def _at(self, number: int, slot: int) -> _Order | None:
        """What rests in the book of a slot under a number."""
        order = self._orders.get(number)
        if order is None:
            return self._legs.get((number, slot))
        return order if order.slot == slot else None

    def _remove(self, number: int, order: _Order) -> None:
        if self._orders.pop(number, None) is None:
            self._legs.pop((number, order.slot), None)
        elif order.slot in self._resting:
            self._resting[order.slot].discard(number)
