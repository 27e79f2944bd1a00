"""What clients may see of the journal: a pure function of its entries, one message per entry and channel.

Public channels name no participant. What a participant does and owns goes to channels of its own. Since a message
carries the number of the entry it comes from, its number never changes, whatever restarts lie between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from market.events import (
    Accepted,
    Amended,
    Cancelled,
    Corrected,
    Entry,
    Event,
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
from market.ledger import fold, postings
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

PUBLIC = ("market", "book", "trades", "limits", "grid", "system")
PRIVATE = ("orders", "account")

Key = tuple[str, str]
"""A channel and its owner; the owner of a public one is empty."""
Item = dict[str, Any]


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
        self.forecast: dict[int, Item] = {}
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
        self._owner: dict[int, str] = {}
        self._numbers: dict[int, list[int]] = defaultdict(list)
        """Orders to forget once a slot's gate has closed."""

    @property
    def clock(self) -> SlotClock:
        s = self.settings
        return SlotClock(s.slot_seconds * 10**9, s.opens_before_seconds * 10**9, s.gate_before_seconds * 10**9)

    def take(self, entry: Entry) -> list[tuple[Key, list[Item]]]:
        """Take in the next entry; returns what it tells, by channel."""
        self.seq = entry.seq
        command = entry.command
        told: dict[Key, list[Item]] = defaultdict(list)
        refused = any(type(event) is Rejected for event in entry.events)
        if isinstance(command, CreateMarket) and not refused:
            self.settings = command.settings
        elif isinstance(command, AdvanceClock) and not refused:
            self.now = command.now
        elif isinstance(command, UpdateGrid) and not refused:
            fed, drawn = (sum(max(sign * wh, 0) for wh in command.baseline) for sign in (1, -1))
            self.forecast[command.slot] = {"slot": command.slot, "supply": fed, "demand": drawn}
            told["market", ""].append({"type": "forecast"} | self.forecast[command.slot])
        for place, event in enumerate(entry.events):
            self._tell(entry, place, event, told)
        for posting in postings(entry, self.settings) if not refused else ():
            fold([posting], self.balances)
            self.touched.add(posting.account)
        return list(told.items())

    def _tell(self, entry: Entry, place: int, event: Event, told: dict[Key, list[Item]]) -> None:
        match event:
            case Traded():
                self._trade(f"{entry.seq}.{place}", event, told)
            case Opened(slot):
                self.open.add(slot)
                told["market", ""].append(self._times(slot) | {"type": "opened"})
            case GateClosed(slot):
                self._close(slot)
                told["market", ""].append({"type": "gate_closed", "slot": slot})
            case Settled(slot):
                self.contracted.pop(slot, None)
                told["market", ""].append({"type": "settled", "slot": slot})
                for name, metered, contracted, imbalance in event.lines:
                    line = {"metered": metered, "contracted": contracted, "imbalance": imbalance}
                    told["orders", name].append({"type": "settled", "slot": slot} | line)
            case Corrected(slot):
                for name, _, metered, contracted in event.lines:
                    line = {"metered": metered, "contracted": contracted, "imbalance": metered - contracted}
                    told["orders", name].append({"type": "corrected", "slot": slot, "run": event.run} | line)
            case Halted(scope, participant):
                self.halts.add((scope, participant))
                self._stopped("halted", scope, participant, told)
            case Resumed(scope, participant):
                self.halts.discard((scope, participant))
                self._stopped("resumed", scope, participant, told)
            case Granted(slot):
                told["market", ""].append({"type": "auction_limited", "slot": slot, "binding": list(event.binding)})
            case Limited():
                limited = {"constraint": event.constraint, "wanted": event.wanted, "admitted": event.admitted}
                told["limits", ""].append({"type": "limited"} | limited)
                if owner := self._owner.get(event.order):
                    told["orders", owner].append({"type": "limited", "order": event.order} | limited)
            case Accepted() | Rejected() | Amended() | Cancelled() | Expired():
                self._order(entry, event, told)

    def _order(
        self, entry: Entry, event: Accepted | Rejected | Amended | Cancelled | Expired, told: dict[Key, list[Item]]
    ) -> None:
        """What concerns one order goes to its owner."""
        command = entry.command
        match event:
            case Accepted(order):
                if order == entry.seq and isinstance(command, Submit):
                    mine = OpenOrder(
                        order, command.slot, command.side, command.price, command.quantity, 0, command.flexible,
                        command.client_order_id,
                    )  # fmt: skip
                    self._know(order, command.participant, command.slot)
                    self.orders[command.participant][order] = mine
                    told["orders", command.participant].append({"type": "accepted"} | msgspec.to_builtins(mine))
                elif order == entry.seq and isinstance(command, Basket):
                    self._know(order, command.participant, max(leg.slot for leg in command.legs))
            case Rejected(code, reason, field):
                if isinstance(command, Submit | Amend | Cancel | MassCancel | Basket):
                    item = {"type": "rejected", "code": code, "reason": reason, "field": field}
                    told["orders", command.participant].append(item)
            case Amended(number, price, quantity, priority):
                owner = self._owner[number]
                resting = self.orders[owner].get(number)
                if resting is not None:
                    resting.price, resting.quantity = price, quantity
                told["orders", owner].append(
                    {"type": "amended", "order": number, "price": price, "quantity": quantity, "priority": priority}
                )
            case Cancelled(number, quantity, why):
                owner = self._forget(number)
                told["orders", owner].append({"type": "cancelled", "order": number, "quantity": quantity, "why": why})
            case Expired(number, quantity):
                owner = self._forget(number)
                told["orders", owner].append({"type": "expired", "order": number, "quantity": quantity})

    def _trade(self, name: str, trade: Traded, told: dict[Key, list[Item]]) -> None:
        shared = {"trade": name, "slot": trade.slot, "price": trade.price, "quantity": trade.quantity}
        flexible = trade.buy_flexible or trade.sell_flexible
        came = {"buy": "sell", "sell": "buy"}.get(trade.resting, "")  # in an auction no side came later
        tape = {"type": "trade", **shared, "side": came, "source": trade.source, "flexible": flexible, "time": self.now}
        told["trades", ""].append(tape)
        book = self.contracted[trade.slot]
        for side, owner, number, sign in (
            ("buy", trade.buyer, trade.buy_order, -1),
            ("sell", trade.seller, trade.sell_order, 1),
        ):
            book[owner] += sign * trade.quantity
            order = self.orders[owner].get(number)
            if order is not None:
                order.filled += trade.quantity
                if order.filled >= order.quantity:
                    self._forget(number)
            told["orders", owner].append({"type": "trade", **shared, "side": side, "order": number})

    def _know(self, order: int, participant: str, slot: int) -> None:
        self._owner[order] = participant
        self._numbers[slot].append(order)

    def _close(self, slot: int) -> None:
        self.open.discard(slot)
        self.forecast.pop(slot, None)
        for order in self._numbers.pop(slot, ()):
            self._owner.pop(order, None)

    def _forget(self, number: int) -> str:
        owner = self._owner[number]
        self.orders[owner].pop(number, None)
        return owner

    def _stopped(self, what: str, scope: str, participant: str, told: dict[Key, list[Item]]) -> None:
        item = {"type": what, "scope": scope}
        told["market" if scope != "participant" else "orders", participant].append(item)

    def _times(self, slot: int) -> Item:
        clock = self.clock
        return {"slot": slot, "gate": clock.gate(slot), "start": clock.start(slot)}

    # -- snapshots -----------------------------------------------------------------------------------------------

    def market(self) -> Item:
        """The rules, the open slots with their gate closure and delivery [ns since 1970], and every halt."""
        return {
            "settings": msgspec.to_builtins(self.settings),
            "time": self.now,
            "slots": [self._times(slot) for slot in sorted(self.open)],
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
