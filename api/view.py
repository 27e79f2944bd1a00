"""What a client knows of a market: the messages of its channels put together, with nothing missed unnoticed.

No network here: a view takes messages, tells of each whether it was new, and which frame asks for what is missing.
`api.dashboard` does the same in JavaScript.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, NamedTuple

import msgspec

from api.projection import OpenOrder
from market.orders import MarketSettings
from market.slots import parse_time

Message = dict[str, Any]
Event = dict[str, Any]
Fate = Literal["new", "old", "gap"]


class Slot(NamedTuple):
    """Times of an open slot [ns since 1970]."""

    gate: int
    """From here on no order is accepted."""
    start: int


@dataclass(slots=True)
class Levels:
    """The book of one slot: price -> Wh [milli-currency/MWh], in no order."""

    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)

    @property
    def bid(self) -> int | None:
        """The best bid."""
        return max(self.bids, default=None)

    @property
    def ask(self) -> int | None:
        """The best ask."""
        return min(self.asks, default=None)

    def set(self, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> None:
        """Put in levels that have changed; energy 0 takes one out."""
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, energy in levels:
                if energy:
                    side[price] = energy
                else:
                    side.pop(price, None)


@dataclass(slots=True)
class Account:
    """What a participant has, and what it has to trade."""

    balances: dict[str, int] = field(default_factory=dict)
    """Asset -> received less given."""
    contracted: dict[int, int] = field(default_factory=dict)
    """Slot -> sold less bought [Wh], until it is settled."""
    forecast: dict[int, dict[str, int]] = field(default_factory=dict)
    """Open slot -> `firm_sell`, `flexible_sell`, `firm_buy`, `flexible_buy` [Wh]."""
    buy_value: int | None = None
    """What energy is worth to the participant, fees included; None if the market does not know."""
    sell_cost: int | None = None
    """The least price that it accepts."""
    source: str = ""
    """Where its energy comes from."""
    halted: bool = False


class View:
    """The state of all channels that a client listens to."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        """Channel -> number of its last message; channels that have not begun are missing."""
        self.time = ""
        """The market's time when it was last heard of, ISO 8601 UTC."""
        self.settings: MarketSettings | None = None
        """The rules, once the channel `market` has told them."""
        self.slots: dict[int, Slot] = {}
        self.book: dict[int, Levels] = {}
        self.orders: dict[int, OpenOrder] = {}
        """Own resting orders by number."""
        self.account = Account()
        self.grid: Message = {}
        """State of the grid in the slot that closed last."""
        self._asked: set[str] = set()

    def levels(self, slot: int) -> Levels:
        """The book of a slot; empty where nobody bids or asks."""
        return self.book.get(slot) or Levels()

    def cost(self, slot: int) -> float:
        """What the next Wh of a slot costs a buyer, fee included [milli-currency/MWh]; infinity if nobody asks."""
        rules, ask = self._rules(), self.levels(slot).ask
        if ask is None:
            return inf
        # The utility, whose price bears no fee, sells any amount.
        return min(ask + rules.grid_fee, rules.retail) if ask <= rules.retail else ask + rules.grid_fee

    def gain(self, slot: int) -> float:
        """What the next Wh of a slot brings a seller, less the fee; minus infinity if nobody bids."""
        rules, bid = self._rules(), self.levels(slot).bid
        if bid is None:
            return -inf
        return max(bid - rules.grid_fee, rules.feed_in) if bid >= rules.feed_in else bid - rules.grid_fee

    def _rules(self) -> MarketSettings:
        if self.settings is None:
            raise ValueError("the rules are not known; listen to the channel market")
        return self.settings

    # -- what is missing -------------------------------------------------------------------------------------------

    def ask(self, channel: str) -> Message:
        """The frame that asks for a channel from here on, or from its beginning if nothing of it is known."""
        self._asked.add(channel)
        if channel in self.last:
            return {"op": "resume", "ch": channel, "from_seq": self.last[channel]}
        return {"op": "subscribe", "channels": [channel]}

    def asked(self, channel: str) -> bool:
        """Whether nothing new has come since `ask`."""
        return channel in self._asked

    def behind(self, heads: Mapping[str, int], wanted: Iterable[str]) -> list[str]:
        """Of the channels wanted, those of which a heartbeat knows more than was heard."""
        return [name for name in wanted if name not in heads or heads[name] > self.last.get(name, -1)]

    # -- what comes ------------------------------------------------------------------------------------------------

    def take(self, message: Message) -> tuple[Fate, list[Event]]:
        """Take in a message of a channel: is it new, was it seen before, or is one before it missing; and its events.

        Of a message that is not new nothing is kept. An event has `ch`, `seq` and `type`.
        """
        name, seq = message["ch"], message["seq"]
        last = self.last.get(name)
        if message.get("type") == "snapshot":
            if last is not None and seq < last and name not in self._asked:
                return "old", []
            events = _from_snapshot(message, last)
            self._restore(name, message)
        elif last is None:
            return "gap", []
        elif seq <= last:
            return "old", []
        elif message["prev"] != last:
            return "gap", []
        else:
            events = [{"ch": name, "seq": seq} | event for event in _items(name, message)]
            for event in events:
                self._apply(name, event)
        self.last[name] = seq
        self._asked.discard(name)
        return "new", events

    def _restore(self, name: str, message: Message) -> None:
        """Begin anew with a snapshot."""
        match name:
            case "market":
                self.settings = msgspec.convert(message["settings"], MarketSettings)
                self.time = message["time"]
                self.slots = {line["slot"]: Slot(line["gate"], line["start"]) for line in message["slots"]}
            case "book":
                self.book = {}
                for line in message["slots"]:
                    self._apply(name, line)
            case "orders":
                self.orders = {line["order"]: msgspec.convert(line, OpenOrder) for line in message["orders"]}
            case "account":
                self._apply(name, message)
            case "grid":
                self.grid = message

    def _apply(self, name: str, event: Event) -> None:
        match name:
            case "book":
                if event.get("closed"):
                    self.book.pop(event["slot"], None)
                else:
                    self.book.setdefault(event["slot"], Levels()).set(event["bids"], event["asks"])
            case "market":
                if event["type"] == "opened":
                    self.slots[event["slot"]] = Slot(event["gate"], event["start"])
                elif event["type"] == "gate_closed":
                    self._close(event["slot"])
            case "orders":
                self._order(event)
            case "account":
                self.account = Account(
                    event["balances"],
                    {int(slot): energy for slot, energy in event["contracted"].items()},
                    {line["slot"]: {k: v for k, v in line.items() if k != "slot"} for line in event["forecast"]},
                    event.get("buy_value"),
                    event.get("sell_cost"),
                    event.get("source", ""),
                    event["halted"],
                )
            case "trades":
                self.time = max(self.time, event["time"], key=lambda text: parse_time(text) if text else 0)
            case "grid":
                self.grid = event

    def _order(self, event: Event) -> None:
        number = event.get("order", 0)
        match event["type"]:
            case "accepted":
                self.orders[number] = msgspec.convert(event, OpenOrder)
            case "amended" if number in self.orders:
                self.orders[number].price, self.orders[number].quantity = event["price"], event["quantity"]
            case "trade" if number in self.orders:
                order = self.orders[number]
                order.filled += event["quantity"]
                if order.filled >= order.quantity:
                    del self.orders[number]
            case "cancelled" | "expired":
                self.orders.pop(number, None)

    def _close(self, slot: int) -> None:
        self.slots.pop(slot, None)


def _items(name: str, message: Message) -> list[Event]:
    """What a message that is no snapshot tells of."""
    if name == "book":
        return [{"type": "levels"} | line for line in message["slots"]]
    if name == "account":
        return [{"type": "account"} | {key: value for key, value in message.items() if key not in ("ch", "prev")}]
    found: list[Event] = message["items"]
    return found


def _from_snapshot(message: Message, last: int | None) -> list[Event]:
    """What a snapshot tells beyond number `last`: of `trades` and `limits` the single events, else the state itself.

    Where events between `last` and the snapshot are not known one by one, the first event is of type `missed`.
    """
    head = {"ch": message["ch"], "seq": message["seq"]}
    if message["ch"] not in ("trades", "limits"):
        return [message]
    if last is None or message["seq"] <= last:
        return []
    items: list[Event] = message["items"]
    fresh = [{"ch": message["ch"]} | item for item in items if item["seq"] > last]
    return fresh if len(fresh) < len(items) else [head | {"type": "missed", "after": last}, *fresh]
