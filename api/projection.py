"""What clients may see of the journal: a pure function of its entries, one message per entry and channel.

Public channels name no participant. What a participant does and owns goes to channels of its own. Since a message
carries the number of the entry it comes from, its number never changes, whatever restarts lie between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec
from msgspec.structs import astuple

from api import messages
from market.events import (
    Accepted,
    Amended,
    Cancelled,
    Corrected,
    Entry,
    Expired,
    GateClosed,
    Granted,
    Halted,
    Limited,
    Opened,
    Rejected,
    Resumed,
    Settled,
    Traded,
)
from market.ledger import MOVING, fold, postings
from market.orders import (
    AdvanceClock,
    Amend,
    Basket,
    Cancel,
    CreateMarket,
    MarketSettings,
    MassCancel,
    Side,
    Submit,
    UpdateGrid,
)
from market.slots import SlotClock, parse_time

CAME: dict[str, Literal["buy", "sell", ""]] = {"buy": "sell", "sell": "buy", "both": ""}
"""Side that rested -> side that came later; in an auction none did."""
IMMEDIATE = frozenset({"ioc", "fok"})
"""Times in force of orders that never rest."""
PUBLIC = ("market", "book", "trades", "limits", "grid", "system")
PRIVATE = ("orders", "account")

Key = tuple[str, str]
"""A channel and its owner; the owner of a public one is empty."""
Item = dict[str, Any]
Items = dict[Key, list[messages.Told]]
"""What is told, by channel."""
Ladder = list[tuple[int, int]]
"""Levels (price, Wh), best first."""


class OpenOrder(msgspec.Struct):
    """A resting order as its owner sees it. Prices in milli-currency/MWh, energy in Wh."""

    order: int
    slot: int
    side: Side
    price: int
    quantity: int
    """In all, what has been filled included."""
    filled: int
    flexible: bool
    client_order_id: str


class Projection:
    """The market as its entries have made it, and what each entry tells to whom."""

    settings: MarketSettings

    def __init__(self) -> None:
        self.seq = 0
        self.now = ""
        """The market's time, ISO 8601 UTC."""
        self.open: set[int] = set()
        """Slots that trade."""
        self.forecast: dict[int, messages.SlotForecast] = {}
        """Slot -> what flows anyway [Wh], fed in and drawn; of the slots that trade."""
        self.halts: set[Key] = set()
        """Scope and participant of every halt in force."""
        self.orders: dict[str, dict[int, OpenOrder]] = defaultdict(dict)
        """Resting orders of each participant, by number."""
        self.contracted: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        """Slot -> participant -> sold less bought [Wh]; until the slot is settled."""
        self.balances: dict[tuple[str, str], int] = {}
        """(account, asset) -> received less given."""
        self.touched: set[str] = set()
        """Accounts that have changed since somebody last emptied this set."""
        self.books: dict[int, tuple[dict[int, int], dict[int, int]]] = {}
        """Slot that trades -> bids and asks as price -> Wh, in no order."""
        self.changed: set[int] = set()
        """Slots whose book has changed since somebody last emptied this set."""
        self._owner: dict[int, str] = {}
        """Of every order that has rested, until its slot's gate closes."""
        self._tellers: dict[type, Callable[[Entry, int, Any, Items], None]] = {
            Traded: self._trade, Accepted: self._accept, Cancelled: self._cancel, Rejected: self._reject,
            Amended: self._amend, Expired: self._expire, Limited: self._limit, Opened: self._open,
            GateClosed: self._close, Settled: self._settle, Corrected: self._correct, Granted: self._grant,
            Halted: self._halt, Resumed: self._resume,
        }  # fmt: skip
        self._numbers: dict[int, list[int]] = defaultdict(list)
        """Orders to forget once a slot's gate has closed."""

    @property
    def clock(self) -> SlotClock:
        s = self.settings
        return SlotClock(s.slot_seconds * 10**9, s.opens_before_seconds * 10**9, s.gate_before_seconds * 10**9)

    def take(self, entry: Entry) -> Items:
        """Take in the next entry; returns what it tells."""
        self.seq = entry.seq
        told: Items = defaultdict(list)
        if type(entry.command) is not Submit:
            self._command(entry, told)
        tellers, moves = self._tellers, False
        for place, event in enumerate(entry.events):
            kind = type(event)
            if kind in tellers:
                tellers[kind](entry, place, event, told)
            if kind in MOVING:
                moves = True
        if moves:
            moved = postings(entry, self.settings)
            fold(moved, self.balances)
            self.touched.update(posting.account for posting in moved)
        return told

    def depth(self, slot: int) -> tuple[Ladder, Ladder]:
        """Bids and asks of an open slot as (price, Wh), best first. Raises KeyError for another slot."""
        bids, asks = self.books[slot]
        return sorted(bids.items(), reverse=True), sorted(asks.items())

    def _command(self, entry: Entry, told: Items) -> None:
        """What a command itself says, if it was not refused."""
        command = entry.command
        if any(type(event) is Rejected for event in entry.events):
            return
        if isinstance(command, CreateMarket):
            self.settings = command.settings
        elif isinstance(command, AdvanceClock):
            self.now = command.now
        elif isinstance(command, UpdateGrid):
            fed, drawn = (sum(max(sign * wh, 0) for wh in command.baseline) for sign in (1, -1))
            self.forecast[command.slot] = messages.SlotForecast(command.slot, fed, drawn)
            told["market", ""].append(messages.Forecast(command.slot, fed, drawn))

    # -- orders ------------------------------------------------------------------------------------------------------

    def _accept(self, entry: Entry, place: int, event: Accepted, told: Items) -> None:
        command, order = entry.command, event.order
        if order != entry.seq:
            return
        if type(command) is Submit:
            name = command.participant
            accepted = messages.OwnAccepted(
                order, command.slot, command.side, command.price, command.quantity, 0, command.flexible,
                command.client_order_id,
            )  # fmt: skip
            told["orders", name].append(accepted)
            if command.time_in_force not in IMMEDIATE:
                self.orders[name][order] = mine = OpenOrder(*astuple(accepted))
                self._know(order, name, command.slot)
                self._level(mine, mine.price, mine.quantity)
        elif isinstance(command, Basket):
            self._know(order, command.participant, max(leg.slot for leg in command.legs))

    def _reject(self, entry: Entry, place: int, event: Rejected, told: Items) -> None:
        command = entry.command
        if isinstance(command, Submit | Amend | Cancel | MassCancel | Basket):
            refused = messages.OwnRejected(event.code, event.reason, event.field)
            told["orders", command.participant].append(refused)

    def _amend(self, entry: Entry, place: int, event: Amended, told: Items) -> None:
        owner = self._owner[event.order]
        resting = self.orders[owner].get(event.order)
        if resting is not None:
            self._level(resting, resting.price, resting.filled - resting.quantity)
            resting.price, resting.quantity = event.price, event.quantity
            self._level(resting, resting.price, resting.quantity - resting.filled)
        amended = messages.OwnAmended(event.order, event.price, event.quantity, event.priority)
        told["orders", owner].append(amended)

    def _cancel(self, entry: Entry, place: int, event: Cancelled, told: Items) -> None:
        owner = self._forget(event.order, entry)
        told["orders", owner].append(messages.OwnCancelled(event.order, event.quantity, event.why))

    def _expire(self, entry: Entry, place: int, event: Expired, told: Items) -> None:
        owner = self._forget(event.order, entry)
        told["orders", owner].append(messages.OwnExpired(event.order, event.quantity))

    def _limit(self, entry: Entry, place: int, event: Limited, told: Items) -> None:
        what = (event.constraint, event.wanted, event.admitted)
        told["limits", ""].append(messages.Limited(*what))
        if owner := self._whose(event.order, entry):
            told["orders", owner].append(messages.OwnLimited(event.order, *what))

    def _trade(self, entry: Entry, place: int, trade: Traded, told: Items) -> None:
        shared = (f"{entry.seq}.{place}", trade.slot, trade.price, trade.quantity)
        flexible = trade.buy_flexible or trade.sell_flexible
        told["trades", ""].append(messages.Trade(*shared, CAME[trade.resting], trade.source, flexible, self.now))
        book = self.contracted[trade.slot]
        sides: tuple[tuple[Side, str, int, int], ...] = (
            ("buy", trade.buyer, trade.buy_order, -1),
            ("sell", trade.seller, trade.sell_order, 1),
        )
        for side, owner, number, sign in sides:
            book[owner] += sign * trade.quantity
            order = self.orders[owner].get(number)
            if order is not None:
                order.filled += trade.quantity
                self._level(order, order.price, -trade.quantity)
                if order.filled >= order.quantity:
                    del self.orders[owner][number]
            told["orders", owner].append(messages.OwnTrade(*shared, side, number))

    def _level(self, order: OpenOrder, price: int, energy: int) -> None:
        """Add energy [Wh] of an order to a level of its book."""
        levels = self.books[order.slot][order.side == "sell"]
        left = levels.get(price, 0) + energy
        if left:
            levels[price] = left
        else:
            levels.pop(price, None)
        self.changed.add(order.slot)

    def _know(self, order: int, participant: str, slot: int) -> None:
        self._owner[order] = participant
        self._numbers[slot].append(order)

    def _whose(self, number: int, entry: Entry) -> str:
        """Owner of an order, which may be the entry's own; empty if its slot has closed."""
        command = entry.command
        if number == entry.seq and type(command) is Submit:
            return command.participant
        return self._owner.get(number, "")

    def _forget(self, number: int, entry: Entry) -> str:
        """Take out an order; returns its owner."""
        owner = self._whose(number, entry)
        order = self.orders[owner].pop(number, None)
        if order is not None:
            self._level(order, order.price, order.filled - order.quantity)
        return owner

    # -- slots and halts ---------------------------------------------------------------------------------------------

    def _open(self, entry: Entry, place: int, event: Opened, told: Items) -> None:
        self.open.add(event.slot)
        self.books[event.slot] = ({}, {})
        told["market", ""].append(messages.Opened(*self._times(event.slot)))

    def _close(self, entry: Entry, place: int, event: GateClosed, told: Items) -> None:
        slot = event.slot
        self.open.discard(slot)
        self.forecast.pop(slot, None)
        self.books.pop(slot, None)
        self.changed.add(slot)
        for order in self._numbers.pop(slot, ()):
            self._owner.pop(order, None)
        told["market", ""].append(messages.GateClosed(slot))

    def _settle(self, entry: Entry, place: int, event: Settled, told: Items) -> None:
        self.contracted.pop(event.slot, None)
        told["market", ""].append(messages.SlotSettled(event.slot))
        for name, *energy in event.lines:
            told["orders", name].append(messages.OwnSettled(event.slot, *energy))

    def _correct(self, entry: Entry, place: int, event: Corrected, told: Items) -> None:
        for name, _, metered, contracted in event.lines:
            energy = (metered, contracted, metered - contracted)
            told["orders", name].append(messages.OwnCorrected(event.slot, event.run, *energy))

    def _grant(self, entry: Entry, place: int, event: Granted, told: Items) -> None:
        told["market", ""].append(messages.AuctionLimited(event.slot, list(event.binding)))

    def _halt(self, entry: Entry, place: int, event: Halted, told: Items) -> None:
        self.halts.add((event.scope, event.participant))
        told[_stopped(event)].append(messages.Halted(event.scope))

    def _resume(self, entry: Entry, place: int, event: Resumed, told: Items) -> None:
        self.halts.discard((event.scope, event.participant))
        told[_stopped(event)].append(messages.Resumed(event.scope))

    def _times(self, slot: int) -> tuple[int, int, int]:
        """A slot, the closure of its gate and the begin of its delivery [ns since 1970]."""
        clock = self.clock
        return slot, clock.gate(slot), clock.start(slot)

    # -- snapshots -----------------------------------------------------------------------------------------------

    def market(self) -> Item:
        """The rules, the open slots with their gate closure and delivery [ns since 1970], and every halt."""
        return {
            "settings": msgspec.to_builtins(self.settings),
            "time": self.now,
            "slots": [messages.OpenSlot(*self._times(slot)) for slot in sorted(self.open)],
            "forecast": [line for _, line in sorted(self.forecast.items())],
            "halts": [{"scope": scope} for scope, participant in sorted(self.halts) if not participant],
        }

    def own_orders(self, participant: str) -> Item:
        """All resting orders of a participant, oldest first."""
        return {"orders": [msgspec.to_builtins(order) for order in self.orders.get(participant, {}).values()]}

    def account(self, participant: str) -> Item:
        """Balances by asset and, for slots that are not settled, what was sold less what was bought [Wh]."""
        held = {asset: amount for (account, asset), amount in self.balances.items() if account == participant}
        slots = {str(slot): wh[participant] for slot, wh in sorted(self.contracted.items()) if participant in wh}
        halted = ("participant", participant) in self.halts
        return {"balances": held, "contracted": slots, "halted": halted}

    def times(self) -> Iterator[tuple[int, int]]:
        """(slot, gate closure [ns]) of the open slots, earliest first."""
        clock = self.clock
        return ((slot, clock.gate(slot)) for slot in sorted(self.open))

    @property
    def time(self) -> int:
        """The market's time [ns since 1970]; 0 before its clock was set."""
        return parse_time(self.now) if self.now else 0


def _stopped(event: Halted | Resumed) -> Key:
    """The channel that hears of a halt: the own one of a participant, if it is one of its own."""
    return "market" if event.scope != "participant" else "orders", event.participant
