"""The whole exchange once more in plain Python: every command, every refusal, no speed. The oracle for `Exchange`.

Only the messages come from the product. Refusals have no reasons here: code and field are what is compared. Call
auctions are not part of it: in their designs orders rest, and what clears them is tested elsewhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from market.events import (
    Accepted,
    Cancelled,
    Event,
    Expired,
    GateClosed,
    Halted,
    Opened,
    Resumed,
    Traded,
)
from market.orders import (
    AdvanceClock,
    Amend,
    Basket,
    Cancel,
    Command,
    CreateMarket,
    Curtail,
    Halt,
    Leg,
    MarketSettings,
    MassCancel,
    RecordLosses,
    RecordMeter,
    Register,
    Resume,
    Settle,
    Submit,
    UpdateGrid,
)
from tests.market.naive import NaiveBook, Resting
from tests.market.naive_delivery import NaiveDelivery
from tests.market.naive_rules import (
    SECOND,
    No,
    force_problem,
    is_name,
    is_source,
    nanoseconds,
    no,
    order_problem,
    price_problem,
    quantity_problem,
    whole,
)

UNREACHABLE = 10**18


class NaiveExchange:
    """`limits` [Wh] are those of `ConnectionLimits`, by connection; `limited` says whether they count."""

    settings: MarketSettings

    def __init__(self, limits: dict[str, int], limited: bool) -> None:
        self.limits = limits
        self.limited = limited
        self.seq = 0
        self.now: int | None = None
        self.created = False
        self.members: dict[str, int] = {}
        """Name -> number of its connection."""
        self.halted: set[tuple[str, str]] = set()
        self.books: dict[int, NaiveBook] = {}
        self.next_slot: int | None = None
        self.slot_of: dict[int, int] = {}
        """Slot of every order of an open book."""
        self.sources = {""}
        self.answers: dict[tuple[str, str], tuple[Submit | Basket, Event]] = {}
        self.delivery = NaiveDelivery(self.members)
        self.contracts: dict[int, dict[str, int]] = {}

    def apply(self, command: Command) -> list[Event]:
        self.seq += 1
        if isinstance(command, CreateMarket):
            return [self.create(command)]
        if not self.created:
            return [no("NO_MARKET")]
        handlers: dict[type, Callable[[Any], list[Event]]] = {
            Register: self.register,
            Halt: self.halt,
            Resume: self.resume,
            AdvanceClock: self.advance,
            Submit: self.submit,
            Amend: self.amend,
            Cancel: self.cancel,
            MassCancel: self.mass_cancel,
            Basket: self.basket,
            UpdateGrid: self.update_grid,
        }
        if isinstance(command, Curtail | RecordMeter | RecordLosses | Settle):
            self.delivery.now = self.now
            return self.delivery.apply(command)
        events = handlers[type(command)](command)
        for event in events:
            if isinstance(event, Traded):
                self.delivery.at(event.slot).trades.append(event)
                contracts = self.contracts.setdefault(event.slot, {})
                for name, wh in ((event.seller, event.quantity), (event.buyer, -event.quantity)):
                    contracts[name] = contracts.get(name, 0) + wh
        return events

    # -- market, members, halts ----------------------------------------------------------------------------------

    def create(self, command: CreateMarket) -> Event:
        if self.created:
            return no("MARKET_EXISTS")
        s = command.settings
        if min(s.slot_seconds, s.tick, s.lot, s.max_orders) <= 0 or s.price_floor >= s.price_cap:
            return no("BAD_SETTINGS", "settings")
        self.created, self.settings = True, s
        self.delivery.settings = s
        self.length, self.gate_before, self.opens_before = (
            seconds * SECOND for seconds in (s.slot_seconds, s.gate_before_seconds, s.opens_before_seconds)
        )
        return Accepted()

    def register(self, command: Register) -> list[Event]:
        name = command.participant
        if not is_name(name):
            return [no("BAD_NAME", "participant")]
        if name in self.members:
            return [no("NAME_TAKEN", "participant")]
        if command.connection not in self.limits:
            return [no("UNKNOWN_CONNECTION", "connection")]
        place = list(self.limits).index(command.connection)
        if place in self.members.values():
            return [no("CONNECTION_TAKEN", "connection")]
        if command.source and not is_source(command.source):
            return [no("BAD_SOURCE", "source")]
        if command.source:
            self.delivery.sources[name] = command.source
        self.members[name] = place
        return [Accepted()]

    def scope_problem(self, command: Halt | Resume) -> No:
        if command.scope not in ("market", "feeder", "participant"):
            return no("BAD_SCOPE", "scope")
        if command.scope == "participant":
            return self.stranger(command.participant)
        return no("BAD_SCOPE", "participant") if command.participant else None

    def halt(self, command: Halt) -> list[Event]:
        wrong = self.scope_problem(command)
        if wrong:
            return [wrong]
        key = command.scope, command.participant
        self.halted.add(key)
        events: list[Event] = [Halted(*key)]
        stopped = {name for name in self.members if self.covers(key, name)} if command.cancel_orders else set()
        return events + self.take_out(stopped, sorted(self.books), "halt")

    def resume(self, command: Resume) -> list[Event]:
        wrong = self.scope_problem(command)
        key = command.scope, command.participant
        if wrong or key not in self.halted:
            return [wrong or no("NOT_HALTED", "scope")]
        self.halted.remove(key)
        return [Resumed(*key)]

    def covers(self, halt: tuple[str, str], name: str) -> bool:
        scope, who = halt
        return scope == "market" or (scope == "feeder" and name != self.settings.utility) or who == name

    def stopped(self, name: str) -> No:
        return no("HALTED", "participant") if any(self.covers(halt, name) for halt in self.halted) else None

    def stranger(self, name: str) -> No:
        return None if name in self.members else no("UNKNOWN_PARTICIPANT", "participant")

    # -- time ----------------------------------------------------------------------------------------------------

    def opens(self, slot: int) -> int:
        return slot * self.length - self.opens_before

    def gate(self, slot: int) -> int:
        return slot * self.length - self.gate_before

    def advance(self, command: AdvanceClock) -> list[Event]:
        now = nanoseconds(command.now)
        if now is None or (self.now is not None and not self.now <= now <= self.now + 10_000 * self.length):
            return [no("BAD_TIME", "now")]
        self.now = now
        events: list[Event] = []
        for moment in self.moments(now):
            events += self.own_ends(moment) + self.openings(moment) + self.closings(moment)
        for slot in sorted(self.books):
            self.books[slot].spread = self.threshold(slot)
            events += self.books[slot].uncross() if self.books[slot].spread < UNREACHABLE else []
        return events or [Accepted()]

    def moments(self, now: int) -> list[int]:
        """When anything is due up to `now`, in time order."""
        if self.next_slot is None:
            return [now]
        due = {order.end for book in self.books.values() for order in book.orders if order.end is not None}
        slot = self.next_slot
        while self.opens(slot) <= now:
            due |= {self.opens(slot), self.gate(slot)}
            slot += 1
        due |= set(map(self.gate, self.books))
        return sorted(moment for moment in due if moment <= now)

    def own_ends(self, now: int) -> list[Event]:
        ended = [
            (order.end, order.number, book)
            for book in self.books.values()
            for order in book.orders
            if order.end is not None and order.end <= now
        ]
        return [book.expire(find(book, number)) for _, number, book in sorted(ended, key=lambda entry: entry[:2])]

    def openings(self, now: int) -> list[Event]:
        if self.next_slot is None:
            self.next_slot = (now + self.gate_before) // self.length + 1
        events: list[Event] = []
        while self.opens(self.next_slot) <= now:
            slot = self.next_slot
            self.next_slot += 1
            events.append(Opened(slot))
            limits = list(self.limits.values()) if self.limited else None
            self.books[slot] = NaiveBook(self.settings, self.members, list(self.limits), limits, slot)
        return events

    def closings(self, now: int) -> list[Event]:
        events: list[Event] = []
        for slot in sorted(slot for slot in self.books if self.gate(slot) <= now):
            book = self.books.pop(slot)
            events += [Expired(order.number, order.quantity) for order in by_number(book.orders)]
            events.append(GateClosed(slot))
            self.slot_of = {number: other for number, other in self.slot_of.items() if other != slot}
        return events

    def threshold(self, slot: int) -> int:
        """Spread at the start x max(0, 1 - elapsed / (zero_at x trading time)), rounded up to the tick."""
        s = self.settings
        assert self.now is not None
        if s.design != "cda":
            return UNREACHABLE
        trading = self.gate(slot) - self.opens(slot)
        share = Fraction(self.now - self.opens(slot), trading) / Fraction(s.spread_zero_ppm, 1_000_000)
        return math.ceil(s.spread_start * max(Fraction(0), 1 - share) / s.tick) * s.tick

    def not_open(self, slot: int) -> No:
        if slot in self.books:
            return None
        closed = whole(slot) and self.now is not None and self.now >= self.gate(slot)
        return no("GATE_CLOSED" if closed else "SLOT_NOT_OPEN", "slot")

    # -- orders --------------------------------------------------------------------------------------------------

    def submit(self, command: Submit) -> list[Event]:
        wrong = self.stranger(command.participant)
        if wrong:
            return [wrong]
        known = self.answered(command)
        if known:
            return [known]
        wrong = (
            self.not_open(command.slot)
            or self.stopped(command.participant)
            or order_problem(command, self.settings)
            or self.room_for_sources([command], "source")
            or force_problem(command, self.now or 0, self.settings)
        )
        if wrong:
            return self.remember(command, [wrong])
        self.sources |= {command.source, *command.sources}
        self.slot_of[self.seq] = command.slot
        end = nanoseconds(command.good_till) if command.good_till else None
        return self.remember(command, self.books[command.slot].submit(self.seq, command, end))

    def room_for_sources(self, orders: Sequence[Submit | Leg], field: str) -> No:
        """The market tells 62 origins apart, the one of no stated origin among them."""
        named = {name for order in orders for name in (order.source, *order.sources)}
        return no("BAD_SOURCE", field) if len(self.sources | named) > 62 else None

    def answered(self, command: Submit | Basket) -> Event | None:
        """What is known without looking at the order: its name is no name, or was used before."""
        name = command.client_order_id
        if not re.fullmatch("[ -~]{0,64}", name):
            return no("BAD_ID", "client_order_id")
        if not name or (command.participant, name) not in self.answers:
            return None
        body, answer = self.answers[command.participant, name]
        return answer if body == command else no("ID_REUSED", "client_order_id")

    def remember(self, command: Submit | Basket, events: list[Event]) -> list[Event]:
        if command.client_order_id:
            self.answers[command.participant, command.client_order_id] = (command, events[0])
        return events

    def change_problem(self, command: Amend | Cancel) -> No:
        number = command.order
        if type(number) is not int or not 0 < number < self.seq:
            return no("UNKNOWN_ORDER", "order")
        if number not in self.slot_of:
            return no("ORDER_CLOSED", "order")
        if self.books[self.slot_of[number]].known[number] != command.participant:
            return no("NOT_YOUR_ORDER", "order")
        return None

    def amend(self, command: Amend) -> list[Event]:
        wrong = self.change_problem(command) or self.stopped(command.participant)
        if wrong is None and command.price is None and command.quantity is None:
            wrong = no("NOTHING_TO_AMEND")
        if wrong is None and command.price is not None:
            wrong = price_problem(command.price, self.settings)
        if wrong is None and command.quantity is not None:
            wrong = quantity_problem(command.quantity, self.settings)
        return [wrong] if wrong else self.books[self.slot_of[command.order]].apply(self.seq, command)

    def cancel(self, command: Cancel) -> list[Event]:
        wrong = self.change_problem(command)
        return [wrong] if wrong else self.books[self.slot_of[command.order]].apply(self.seq, command)

    def mass_cancel(self, command: MassCancel) -> list[Event]:
        wrong = self.stranger(command.participant) or (None if command.slot is None else self.not_open(command.slot))
        if wrong:
            return [wrong]
        slots = sorted(self.books) if command.slot is None else [command.slot]
        return self.take_out({command.participant}, slots, "participant") or [Accepted()]

    def take_out(self, names: set[str], slots: list[int], why: str) -> list[Event]:
        return [
            event
            for slot in slots
            for order in by_number(self.books[slot].orders)
            if order.participant in names
            for event in self.books[slot].cancel(order, why)
        ]

    def basket(self, command: Basket) -> list[Event]:
        wrong = self.stranger(command.participant)
        if wrong:
            return [wrong]
        known = self.answered(command)
        if known:
            return [known]
        wrong = self.stopped(command.participant) or self.legs_problem(command.legs)
        return self.remember(command, [wrong] if wrong else self.link(command))

    def legs_problem(self, legs: Sequence[Leg]) -> No:
        if not 2 <= len(legs) <= 64 or len({leg.slot for leg in legs}) < len(legs):
            return no("BAD_BASKET", "legs")
        for place, leg in enumerate(legs):
            wrong = self.not_open(leg.slot) or order_problem(leg, self.settings)
            if not wrong and self.settings.design != "cda":
                wrong = no("NOT_IN_AUCTION", "slot")
            if wrong:
                return no(wrong.code, f"legs[{place}].{wrong.field}")
        return self.room_for_sources(legs, "legs")

    def link(self, command: Basket) -> list[Event]:
        """Try the legs one after the other; the first that is not filled in full undoes them all."""
        saved: list[tuple[NaiveBook, dict[str, Any]]] = []
        events: list[Event] = [Accepted(self.seq)]
        for leg in command.legs:
            self.sources |= {leg.source, *leg.sources}
        for leg in command.legs:
            book = self.books[leg.slot]
            saved.append((book, book.save()))
            told = book.match(book.order(self.seq, command.participant, leg), True)
            if any(isinstance(event, Cancelled) for event in told):
                asked = [question for tried, before in saved for question in tried.restore(before)]
                return [events[0], *asked, Cancelled(self.seq, sum(leg.quantity for leg in command.legs), "basket")]
            events += told
        return events

    # -- grid and delivery ---------------------------------------------------------------------------------------

    def update_grid(self, command: UpdateGrid) -> list[Event]:
        wrong = self.not_open(command.slot)
        for field, values in (("baseline", command.baseline), ("reactive", command.reactive)):
            if wrong is None and (values or field == "baseline"):
                if len(values) != len(self.limits):
                    wrong = no("BAD_BASELINE", field)
                elif not all(map(whole, values)):
                    wrong = no("BAD_BASELINE", f"{field}[{[*map(whole, values)].index(False)}]")
        return [wrong] if wrong else [Accepted(), *self.books[command.slot].rebase(command.baseline)]


def find(book: NaiveBook, number: int) -> Resting:
    return next(order for order in book.orders if order.number == number)


def by_number(orders: Sequence[Resting]) -> list[Resting]:
    return sorted(orders, key=lambda order: order.number)
