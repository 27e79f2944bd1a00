"""The one door of the market: commands in, events out, one writer, nothing else changes state.

The same commands give the same events, one by one or in batches: orders of different slots never meet, so a batch
runs slot by slot through the kernel and its events are put back in the order of the commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import msgspec
import numpy as np
from numpy.typing import NDArray

from market import identities, kernel
from market.agenda import Agenda
from market.book import Order, Top, closed
from market.books import NEVER, Books, Message
from market.capacity import Gate
from market.delivery import Deliveries
from market.events import Accepted, Cancelled, Entry, Event, Halted, Rejected, Settled
from market.intake import Intake, about
from market.members import Members
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
from market.rules import (
    MAX_LEGS,
    MAX_SLOTS,
    REPLACING,
    is_whole,
    reject,
    settings_problems,
    time_problem,
)
from market.slots import NS, Phase, SlotClock, parse_time
from market.tariff import Fees

_encoder = msgspec.json.Encoder(order="sorted")
_PACKET = 1000
"""Commands that are carried out together: so many, with all that they lead to, stay in the processor's cache."""


class _Batch:
    """Commands on their way through the exchange: orders for the kernel, per slot, and events, per command."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.events: list[list[Event]] = [[] for _ in commands]
        self.lanes: dict[int, tuple[list[Message], list[int]]] = {}
        """Per slot the orders and the places of their commands."""
        self.named: dict[tuple[str, str], int] = {}
        """Place of each order that a client named, until its answer is known."""

    def add(self, slot: int, place: int, message: Message) -> None:
        lane = self.lanes.get(slot)
        if lane is None:
            lane = self.lanes[slot] = [], []
        lane[0].append(message)
        lane[1].append(place)


class Exchange:
    """A market from its first command on. `gate` says what the wires carry; see `market.capacity`."""

    settings: MarketSettings
    clock: SlotClock
    _books: Books
    _agenda: Agenda

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.seq = 0
        self.members = Members(gate.connections())
        self._created = False
        self._orders: dict[int, Order] = {}
        self._intake = Intake(self.members)
        self._identities = identities.Identities()
        self._deliveries = Deliveries()

    # -- commands ------------------------------------------------------------------------------------------------

    def apply(self, command: Command) -> Entry:
        """Carry out one command. A bad one changes nothing: its entry holds a Rejected event.

        Raises TypeError for what is no command.
        """
        return self.apply_many([command])[0]

    def apply_many(self, commands: Sequence[Command]) -> list[Entry]:
        """Carry out commands in order: the same entries as one by one, at a fraction of the cost."""
        parts = (commands[start : start + _PACKET] for start in range(0, len(commands), _PACKET))
        return [entry for part in parts for entry in self._carry_out(part)]

    def _carry_out(self, commands: Sequence[Command]) -> list[Entry]:
        first = self.seq + 1
        batch = _Batch(commands)
        for place, command in enumerate(commands):
            kind = type(command)
            if kind is Submit and self._created:
                self._submit(command, first + place, place, batch)  # type: ignore[arg-type]
            elif (kind is Amend or kind is Cancel) and self._created:
                self._change(command, first + place, place, batch)  # type: ignore[arg-type]
            else:
                self._flush(batch)
                self.seq = first + place
                batch.events[place] += self._administer(command)
        self._flush(batch)
        self.seq = first + len(commands) - 1
        return [
            Entry(first + place, command, tuple(events))
            for place, (command, events) in enumerate(zip(commands, batch.events, strict=True))
        ]

    def _administer(self, command: Command) -> list[Event]:
        if isinstance(command, CreateMarket):
            return [self._create(command)]
        if not self._created:
            return [reject("NO_MARKET", "create the market before anything else")]
        match command:
            case AdvanceClock():
                return self._advance(command)
            case UpdateGrid():
                return self._update_grid(command)
            case MassCancel():
                return self._mass_cancel(command)
            case Basket():
                return self._basket(command)
            case Halt():
                return self._halt(command)
            case Resume():
                return [self.members.resume(command)]
            case Curtail() | RecordMeter() | RecordLosses() | Settle():
                return [self._deliver(command)]
            case Register():
                return [self.members.register(command)]
        raise TypeError(f"{type(command).__name__} is no command of the exchange")

    # -- views ---------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int | None:
        """The market's time [ns]; None before its first clock command."""
        return self._agenda.now if self._created else None

    @property
    def participants(self) -> dict[str, int]:
        """Name -> number of its connection, in the order of registration."""
        return self.members.connection

    def open_slots(self) -> list[int]:
        """Slots that trade now, earliest first."""
        return self._books.slots() if self._created else []

    def top(self, slot: int) -> Top:
        """Best bid and ask of an open slot. Raises KeyError for a slot that is not open."""
        return self._books[slot].top()

    def depth(self, slot: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Bids and asks of an open slot as (price, Wh), best first. Raises KeyError for a slot that is not open."""
        return self._books[slot].depth()

    @property
    def fees(self) -> Fees:
        """What the wires take."""
        return self._books.fees

    def contracted(self, slot: int) -> dict[str, int]:
        """Energy sold less energy bought [Wh] per participant; those who did not trade the slot are left out."""
        return self._deliveries.contracted(slot)

    def is_settled(self, slot: int) -> bool:
        """True once a slot was settled."""
        return self._deliveries.is_settled(slot)

    def stages(self) -> dict[str, int]:
        """How many questions of capacity were decided by the envelope, by rows and by the gate itself so far."""
        return self._books.stages() if self._created else {}

    def schedule(self, slot: int) -> NDArray[np.int64]:
        """(C,) change of injection by flexible trades [Wh], of open and closed slots until they are settled."""
        return self._books.schedule(slot)

    def digest(self) -> str:
        """SHA-256 of the whole state in hexadecimal: equal for exchanges that will answer alike.

        Canonical JSON (sorted keys) of the last command's number, the clock, rules, members, open books, schedules,
        contracts, meters, and answers to named orders.
        """
        state: list[object] = [self.seq, self.now, self.members.state(), self._identities.state()]
        if self._created:
            state += [self.settings, self._agenda.state(), self._books.state(), self._deliveries.state()]
        return sha256(_encoder.encode(state)).hexdigest()

    def adopt(self, gate: Gate) -> None:
        """Go on with another gate over the same connections: the state, and what was refused before, stays.

        Raises ValueError for other connections.
        """
        if list(gate.connections()) != list(self.gate.connections()):
            raise ValueError("the new gate has other connections")
        self.gate = gate
        if self._created:
            self._books.adopt(gate)

    # -- market and time -----------------------------------------------------------------------------------------

    def _create(self, command: CreateMarket) -> Event:
        if self._created:
            return reject("MARKET_EXISTS", "this exchange has its market; start another for another one")
        settings = command.settings
        problems = settings_problems(settings, len(self.gate.connections()))
        if problems:
            return reject("BAD_SETTINGS", "; ".join(problems), "settings")
        self.settings = settings
        self.members.utility = settings.utility
        self.clock = SlotClock(
            settings.slot_seconds * NS, settings.opens_before_seconds * NS, settings.gate_before_seconds * NS
        )
        self._intake.begin(settings)
        self._deliveries.settings = settings
        self._books = Books(self.gate, settings, self._deliveries)
        self._agenda = Agenda(settings, self.clock, self._books, self._orders)
        self._created = True
        return Accepted()

    def _advance(self, command: AdvanceClock) -> list[Event]:
        try:
            now = parse_time(command.now)
        except (ValueError, TypeError) as error:
            return [reject("BAD_TIME", str(error), "now")]
        before = self._agenda.now
        if before is not None and now < before:
            return [reject("BAD_TIME", "the clock does not go back", "now")]
        if before is not None and now - before > MAX_SLOTS * self.clock.length:
            return [reject("BAD_TIME", f"the clock moves at most {MAX_SLOTS} slots at once", "now")]
        rules = self.settings.settlement
        if rules is not None and rules.corrections_seconds:
            self._deliveries.expire(-((rules.corrections_seconds * NS - now) // self.clock.length) - 1)
        return self._agenda.advance(now) or [Accepted()]

    # -- orders --------------------------------------------------------------------------------------------------

    def _submit(self, order: Submit, number: int, place: int, batch: _Batch) -> None:
        events = batch.events[place]
        if order.participant not in self.members.connection:
            events.append(self.members.unknown(order.participant))
            return
        if order.client_order_id and self._answered(order, place, batch):
            return
        book = self._books.get(order.slot)
        if book is None:
            events.append(self._not_open(order.slot))
            return
        wrong = self.members.refusal(order.participant) or self._intake.problem(order)
        wrong = wrong or self._intake.origins_problem([order], "source")
        wrong = wrong or time_problem(order, self._agenda.now or 0, book.spread == NEVER)
        if wrong is not None:
            events.append(wrong)
            return
        node = self.members.node(order.participant)
        known = book.add(number, order.participant, order.side, order.source, node)
        self._orders[number] = known
        events.append(Accepted(number))
        message = self._intake.message(order, known)
        if order.time_in_force == "fok":
            self._flush(batch)
            filled, told = self._books.attempt([(known, message)])
            events += told if filled else [*told, Cancelled(number, order.quantity, "fok")]
            return
        if order.time_in_force == "gtd":
            self._agenda.end(number, parse_time(order.good_till))
        batch.add(order.slot, place, message)

    def _answered(self, order: Submit, place: int, batch: _Batch) -> bool:
        """True if the client's name for the order settles its answer."""
        key = (order.participant, order.client_order_id)
        wrong = identities.problem(order.client_order_id)
        if key in batch.named:
            self._flush(batch)
        answer = wrong or self._identities.seen(order)
        if answer is None:
            batch.named[key] = place
            return False
        batch.events[place].append(answer)
        return True

    def _change(self, command: Amend | Cancel, number: int, place: int, batch: _Batch) -> None:
        events = batch.events[place]
        order = self._orders.get(command.order) if type(command.order) is int else None
        if order is None:
            events.append(_gone(command.order, number))
            return
        if order.participant != command.participant:
            events.append(reject("NOT_YOUR_ORDER", f"order {command.order} is not yours", "order"))
            return
        if isinstance(command, Cancel):
            batch.add(order.slot, place, about(kernel.CANCEL, order))
            return
        message = self.members.refusal(command.participant) or self._intake.amendment(command, order)
        if isinstance(message, Rejected):
            events.append(message)
            return
        batch.add(order.slot, place, message)

    def _flush(self, batch: _Batch) -> None:
        """Run the pending orders of each slot, put the events to their commands, and remember answers to named ones."""
        for slot, (messages, places) in batch.lanes.items():
            for message, event in self._books.run(slot, messages):
                events = batch.events[places[message]]
                if type(event) is Rejected and event.code in REPLACING:
                    events.clear()
                events.append(event)
        batch.lanes.clear()
        for place in batch.named.values():
            command = batch.commands[place]
            assert isinstance(command, Submit)
            self._identities.keep(command, batch.events[place][0])
        batch.named.clear()

    def _basket(self, command: Basket) -> list[Event]:
        if command.participant not in self.members.connection:
            return [self.members.unknown(command.participant)]
        named = bool(command.client_order_id)
        if named:
            answer = identities.problem(command.client_order_id) or self._identities.seen(command)
            if answer is not None:
                return [answer]
        wrong = self.members.refusal(command.participant)
        events: list[Event] = [wrong] if wrong is not None else self._link(command)
        if named:
            self._identities.keep(command, events[0])
        return events

    def _link(self, command: Basket) -> list[Event]:
        """Fill all legs, or take back those that were filled."""
        wrong = self._legs_problem(command.legs)
        if wrong is not None:
            return [wrong]
        number = self.seq
        name, node = command.participant, self.members.node(command.participant)
        orders = [self._books[leg.slot].add(number, name, leg.side, leg.source, node) for leg in command.legs]
        messages = [self._intake.message(leg, order) for leg, order in zip(command.legs, orders, strict=True)]
        filled, told = self._books.attempt(list(zip(orders, messages, strict=True)))
        left = sum(leg.quantity for leg in command.legs)
        return [Accepted(number), *told] if filled else [Accepted(number), *told, Cancelled(number, left, "basket")]

    def _legs_problem(self, legs: Sequence[Leg]) -> Rejected | None:
        if not 2 <= len(legs) <= MAX_LEGS or len({leg.slot for leg in legs}) < len(legs):
            return reject("BAD_BASKET", f"needs 2 to {MAX_LEGS} legs, each in a slot of its own", "legs")
        for place, leg in enumerate(legs):
            wrong = self._not_open(leg.slot) if leg.slot not in self._books else self._intake.problem(leg)
            if wrong is None and self._books[leg.slot].spread == NEVER:
                told = f"orders of slot {leg.slot} rest for an auction now, which fills no basket at once"
                wrong = reject("NOT_IN_AUCTION", told, "slot")
            if wrong is not None:
                return Rejected(wrong.code, wrong.reason, f"legs[{place}].{wrong.field}")
        return self._intake.origins_problem(legs, "legs")

    def _mass_cancel(self, command: MassCancel) -> list[Event]:
        if command.participant not in self.members.connection:
            return [self.members.unknown(command.participant)]
        if command.slot is not None and command.slot not in self._books:
            return [self._not_open(command.slot)]
        slots = self.open_slots() if command.slot is None else [command.slot]
        return self._books.cancel({command.participant}, slots) or [Accepted()]

    def _halt(self, command: Halt) -> list[Event]:
        halted = self.members.halt(command)
        if isinstance(halted, Halted) and command.cancel_orders:
            names = {name for name in self.members.connection if self.members.within(command, name)}
            taken = self._books.cancel(names, self.open_slots())
            orders = [event for event in taken if isinstance(event, Cancelled)]
            return [halted, *(Cancelled(event.order, event.quantity, "halt") for event in orders)]
        return [halted]

    # -- grid and delivery ---------------------------------------------------------------------------------------

    def _update_grid(self, command: UpdateGrid) -> list[Event]:
        if command.slot not in self._books:
            return [self._not_open(command.slot)]
        size = self._books.size
        for field, values in (("baseline", command.baseline), ("reactive", command.reactive)):
            if field == "reactive" and not values:
                continue
            if len(values) != size:
                return [reject("BAD_BASELINE", f"need {size} numbers, one per connection, got {len(values)}", field)]
            bad = next((place for place, value in enumerate(values) if not is_whole(value)), None)
            if bad is not None:
                return [reject("BAD_BASELINE", f"must be whole Wh, got {values[bad]!r}", f"{field}[{bad}]")]
        baseline = np.array(command.baseline, np.int64)
        reactive = np.array(command.reactive or [0] * size, np.int64)
        return [Accepted(), *self._books.rebase(command.slot, baseline, reactive)]

    def _deliver(self, command: Curtail | RecordMeter | RecordLosses | Settle) -> Event:
        slot = command.slot
        metered = self.members.connection.keys() - {self.settings.utility}
        phase = self.clock.phase(slot, self.now) if is_whole(slot) and self.now is not None else Phase.PRE_OPEN
        curtails = isinstance(command, Curtail)
        if curtails and phase in (Phase.PRE_OPEN, Phase.OPEN):
            return reject("GATE_OPEN", f"the gate of slot {slot!r:.40} has not closed", "slot")
        if not curtails and phase is not Phase.DELIVERED:
            return reject("NOT_DELIVERED", f"slot {slot!r:.40} has not been delivered", "slot")
        if self._deliveries.is_settled(slot):
            rules, corrects = self.settings.settlement, isinstance(command, RecordMeter | Settle)
            time = rules.corrections_seconds * NS if rules is not None and corrects else 0
            if not time or (self.now or 0) > self.clock.end(slot) + time:
                return reject("ALREADY_SETTLED", f"slot {slot} is settled", "slot")
        if isinstance(command, Curtail):
            return self._deliveries.curtail(command, metered, self._intake.largest)
        if isinstance(command, RecordMeter):
            return self._deliveries.record(command, metered, self._intake.largest)
        if isinstance(command, RecordLosses):
            return self._deliveries.lose(command, metered)
        event = self._deliveries.settle(command, self.members.connection, self.members.source)
        if isinstance(event, Settled):
            self._books.forget(slot)
        return event

    def _not_open(self, slot: int) -> Rejected:
        if is_whole(slot) and self.now is not None and self.now >= self.clock.gate(slot):
            return reject("GATE_CLOSED", f"the gate of slot {slot} has closed", "slot")
        return reject("SLOT_NOT_OPEN", f"slot {slot!r:.40} does not trade now", "slot")


def _gone(order: int, number: int) -> Rejected:
    """Refusal of command `number` that speaks of an order which does not rest."""
    if type(order) is int and 0 < order < number:
        return closed(order)
    return reject("UNKNOWN_ORDER", f"no order has the number {order!r:.40}", "order")
