"""The one door of the market: commands in, events out, one writer, nothing else changes state.

The same commands give the same events, one by one or in batches: orders of different slots never meet, so a batch
runs slot by slot through the kernel and its events are put back in the order of the commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from market import kernel, settlement
from market.book import Book, Order, Top, closed
from market.capacity import Gate
from market.events import (
    Accepted,
    Entry,
    Event,
    Expired,
    GateClosed,
    Opened,
    Rejected,
    Settled,
    Traded,
)
from market.orders import (
    AdvanceClock,
    Amend,
    Cancel,
    Command,
    CreateMarket,
    MarketSettings,
    MassCancel,
    RecordMeter,
    Register,
    Settle,
    Submit,
    UpdateGrid,
)
from market.rules import (
    MAX_SLOTS,
    amend_problem,
    is_whole,
    name_problem,
    reject,
    settings_problems,
    submit_problem,
)
from market.slots import NS, Phase, SlotClock, parse_time
from market.units import MAX_EXACT


class _Pending:
    """Order commands on their way to the kernel, per slot, and the events that came back, per command."""

    def __init__(self) -> None:
        self.messages: dict[int, list[tuple[int, ...]]] = {}
        self.places: dict[int, list[int]] = {}

    def add(self, slot: int, place: int, message: tuple[int, ...]) -> None:
        self.messages.setdefault(slot, []).append(message)
        self.places.setdefault(slot, []).append(place)


class Exchange:
    """A market from its first command on. `gate` says what the wires carry; see `market.capacity`."""

    settings: MarketSettings
    clock: SlotClock

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.seq = 0
        self.now: int | None = None
        self.participants: dict[str, int] = {}
        """Name -> number of its connection, in the order of registration."""
        self._connections = {name: number for number, name in enumerate(gate.connections())}
        self._taken: dict[int, str] = {}
        self._created = False
        self._largest = 0
        self._books: dict[int, Book] = {}
        self._unlimited: set[int] = set()
        self._baselines: dict[int, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = {}
        self._orders: dict[int, Order] = {}
        self._contracted: dict[int, dict[str, int]] = {}
        self._schedules: dict[int, np.ndarray[Any, Any]] = {}
        self._readings: dict[int, dict[str, int]] = {}
        self._settled: set[int] = set()
        self._opened: range = range(0)

    # -- commands ------------------------------------------------------------------------------------------------

    def apply(self, command: Command) -> Entry:
        """Carry out one command. A bad one changes nothing: its entry holds a Rejected event.

        Raises TypeError for what is no command.
        """
        return self.apply_many([command])[0]

    def apply_many(self, commands: Sequence[Command]) -> list[Entry]:
        """Carry out commands in order: the same entries as one by one, at a fraction of the cost."""
        first = self.seq + 1
        results: list[list[Event]] = [[] for _ in commands]
        pending = _Pending()
        for place, command in enumerate(commands):
            kind = type(command)
            if kind is Submit and self._created:
                self._submit(command, first + place, place, pending, results[place])  # type: ignore[arg-type]
            elif (kind is Amend or kind is Cancel) and self._created:
                self._change(command, first + place, place, pending, results[place])  # type: ignore[arg-type]
            else:
                self._flush(pending, results)
                self.seq = first + place
                results[place] += self._administer(command)
        self._flush(pending, results)
        self.seq = first + len(commands) - 1
        return [
            Entry(first + place, command, tuple(events))
            for place, (command, events) in enumerate(zip(commands, results, strict=True))
        ]

    def _administer(self, command: Command) -> list[Event]:
        if isinstance(command, CreateMarket):
            return self._create(command)
        if not self._created:
            return [reject("NO_MARKET", "create the market before anything else")]
        match command:
            case AdvanceClock():
                return self._advance(command)
            case UpdateGrid():
                return self._update_grid(command)
            case MassCancel():
                return self._mass_cancel(command)
            case RecordMeter():
                return self._record_meter(command)
            case Settle():
                return self._settle(command)
            case Register():
                return self._register(command)
        raise TypeError(f"{type(command).__name__} is no command of the exchange")

    # -- views ---------------------------------------------------------------------------------------------------

    def open_slots(self) -> list[int]:
        """Slots that trade now, earliest first."""
        return sorted(self._books)

    def top(self, slot: int) -> Top:
        """Best bid and ask of an open slot. Raises KeyError for a slot that is not open."""
        return self._books[slot].top()

    def depth(self, slot: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Bids and asks of an open slot as (price, Wh), best first. Raises KeyError for a slot that is not open."""
        return self._books[slot].depth()

    def contracted(self, slot: int) -> dict[str, int]:
        """Energy sold less energy bought [Wh] per participant; those who did not trade the slot are left out."""
        return dict(self._contracted.get(slot, {}))

    def schedule(self, slot: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """(C,) change of injection by flexible trades [Wh], of open and closed slots until they are settled."""
        book = self._books.get(slot)
        if book is not None:
            return book.schedule.copy()
        return self._schedules[slot].copy()

    # -- market and participants ---------------------------------------------------------------------------------

    def _create(self, command: CreateMarket) -> list[Event]:
        if self._created:
            return [reject("MARKET_EXISTS", "this exchange has its market; start another for another one")]
        settings = command.settings
        problems = settings_problems(settings)
        if problems:
            return [reject("BAD_SETTINGS", "; ".join(problems), "settings")]
        self.settings = settings
        self.clock = SlotClock(
            settings.slot_seconds * NS, settings.opens_before_seconds * NS, settings.gate_before_seconds * NS
        )
        dearest = max(abs(settings.price_floor), abs(settings.price_cap), settings.grid_fee, 1)
        self._largest = MAX_EXACT // dearest
        self._created = True
        return [Accepted()]

    def _register(self, command: Register) -> list[Event]:
        wrong = name_problem(command.participant, "participant")
        if wrong is not None:
            return [wrong]
        if command.participant in self.participants:
            return [reject("NAME_TAKEN", f"{command.participant!r} is registered; choose another name", "participant")]
        number = self._connections.get(command.connection)
        if number is None:
            return [reject("UNKNOWN_CONNECTION", f"the feeder has no connection {command.connection!r}", "connection")]
        if number in self._taken:
            holder = self._taken[number]
            return [reject("CONNECTION_TAKEN", f"{holder!r} is at connection {command.connection!r}", "connection")]
        self.participants[command.participant] = number
        self._taken[number] = command.participant
        return [Accepted()]

    # -- time ----------------------------------------------------------------------------------------------------

    def _advance(self, command: AdvanceClock) -> list[Event]:
        try:
            now = parse_time(command.now)
        except (ValueError, TypeError) as error:
            return [reject("BAD_TIME", str(error), "now")]
        first_time = self.now is None
        if self.now is not None and now < self.now:
            return [reject("BAD_TIME", "the clock does not go back", "now")]
        if self.now is not None and now - self.now > MAX_SLOTS * self.clock.length:
            return [reject("BAD_TIME", f"the clock moves at most {MAX_SLOTS} slots at once", "now")]
        self.now = now
        events: list[Event] = []
        open_now = self.clock.open_slots(now)
        begin = open_now.start if first_time else self._opened.stop
        for slot in range(begin, open_now.stop):
            events.append(Opened(slot))
            if slot >= open_now.start:
                self._open(slot)
            else:  # The clock jumped over the whole time in which it would have traded.
                events.append(GateClosed(slot))
                self._schedules[slot] = np.zeros(len(self._connections), np.int64)
        for slot in range(self._opened.start, min(open_now.start, self._opened.stop)):
            events += self._close(slot)
        self._opened = range(open_now.start, max(open_now.stop, begin))
        return events or [Accepted()]

    def _open(self, slot: int) -> None:
        self._books[slot] = Book(slot, self.settings, len(self._connections))
        self._unlimited.add(slot)

    def _close(self, slot: int) -> list[Event]:
        book = self._books.pop(slot)
        events: list[Event] = [Expired(order.number, wh) for order, wh in book.resting()]
        events.append(GateClosed(slot))
        for order in book.orders:
            self._orders.pop(order.number, None)
        self._baselines.pop(slot, None)
        self._schedules[slot] = book.schedule.copy()
        if slot in self._unlimited:
            self._unlimited.discard(slot)
        else:
            self.gate.close(slot)
        return events

    # -- orders --------------------------------------------------------------------------------------------------

    def _submit(self, order: Submit, number: int, place: int, pending: _Pending, events: list[Event]) -> None:
        node = self.participants.get(order.participant)
        if node is None:
            events.append(self._unknown_participant(order.participant))
            return
        book = self._books.get(order.slot)
        if book is None:
            events.append(self._not_open(order.slot))
            return
        wrong = submit_problem(order, self.settings, self._largest)
        if wrong is not None:
            events.append(wrong)
            return
        known = book.add(number, order.participant, order.side, order.source)
        self._orders[number] = known
        events.append(Accepted(number))
        settings = self.settings
        message = (
            kernel.SUBMIT,
            kernel.BUY if order.side == "buy" else kernel.SELL,
            kernel.GTC if order.time_in_force == "gtc" else kernel.IOC,
            order.flexible,
            -1 if order.participant == settings.utility else node,
            (order.price - settings.price_floor) // settings.tick,
            known.handle,
            order.quantity,
        )
        pending.add(order.slot, place, message)

    def _change(self, command: Amend | Cancel, number: int, place: int, pending: _Pending, events: list[Event]) -> None:
        order = self._orders.get(command.order) if type(command.order) is int else None
        if order is None:
            events.append(_gone(command.order, number))
            return
        if order.participant != command.participant:
            events.append(reject("NOT_YOUR_ORDER", f"order {command.order} is not yours", "order"))
            return
        if isinstance(command, Cancel):
            pending.add(order.slot, place, (kernel.CANCEL, 0, 0, 0, -1, -1, order.handle, 0))
            return
        wrong = amend_problem(command, self.settings, self._largest)
        if wrong is not None:
            events.append(wrong)
            return
        price = command.price
        level = -1 if price is None else (price - self.settings.price_floor) // self.settings.tick
        quantity = -1 if command.quantity is None else command.quantity
        pending.add(order.slot, place, (kernel.AMEND, 0, 0, 0, -1, level, order.handle, quantity))

    def _flush(self, pending: _Pending, results: list[list[Event]]) -> None:
        """Run the pending orders of each slot and put the events to their commands."""
        for slot, messages in pending.messages.items():
            self._run(slot, np.array(messages, kernel.MESSAGE), pending.places[slot], results)
        pending.messages.clear()
        pending.places.clear()

    def _run(
        self, slot: int, messages: np.ndarray[Any, Any], places: Sequence[int], results: list[list[Event]]
    ) -> None:
        book = self._books[slot]
        if slot in self._unlimited:
            self._limit(slot, book)
        contracted = self._contracted.setdefault(slot, {})
        for message, event in book.run(messages, self.gate):
            events = results[places[message]]
            if type(event) is Traded:
                contracted[event.seller] = contracted.get(event.seller, 0) + event.quantity
                contracted[event.buyer] = contracted.get(event.buyer, 0) - event.quantity
            elif type(event) is Rejected and event.code == "BOOK_FULL":
                events.clear()
            events.append(event)

    def _limit(self, slot: int, book: Book) -> None:
        """Ask the gate for the slot's capacity, once something is to be matched there."""
        none = np.zeros(len(self._connections), np.int64)
        baseline, reactive = self._baselines.get(slot, (none, none))
        book.limit(self.gate.open(slot, baseline, reactive))
        self._unlimited.discard(slot)

    def _mass_cancel(self, command: MassCancel) -> list[Event]:
        if command.participant not in self.participants:
            return [self._unknown_participant(command.participant)]
        slots = self.open_slots() if command.slot is None else [command.slot]
        if command.slot is not None and command.slot not in self._books:
            return [self._not_open(command.slot)]
        results: list[list[Event]] = [[]]
        for slot in slots:
            own = [order for order, _ in self._books[slot].resting() if order.participant == command.participant]
            messages = [(kernel.CANCEL, 0, 0, 0, -1, -1, order.handle, 0) for order in own]
            if messages:
                self._run(slot, np.array(messages, kernel.MESSAGE), [0] * len(messages), results)
        return results[0] or [Accepted()]

    # -- grid, meters, settlement --------------------------------------------------------------------------------

    def _update_grid(self, command: UpdateGrid) -> list[Event]:
        book = self._books.get(command.slot)
        if book is None:
            return [self._not_open(command.slot)]
        size = len(self._connections)
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
        book.rebase(baseline)
        self._baselines[command.slot] = (baseline, reactive)
        if command.slot not in self._unlimited:
            book.limit(self.gate.open(command.slot, baseline, reactive))
        return [Accepted()]

    def _record_meter(self, command: RecordMeter) -> list[Event]:
        wrong = self._not_delivered(command.slot)
        if wrong is not None:
            return [wrong]
        for name, value in command.readings.items():
            if name not in self.participants or name == self.settings.utility or not is_whole(value):
                return [reject("BAD_READING", f"{name!r}: {value!r} is no reading of a participant", "readings")]
        self._readings.setdefault(command.slot, {}).update(command.readings)
        return [Accepted()]

    def _settle(self, command: Settle) -> list[Event]:
        wrong = self._not_delivered(command.slot)
        if wrong is not None:
            return [wrong]
        readings = self._readings.pop(command.slot, None)
        if readings is None:
            return [reject("NOT_METERED", "record the meters of the slot first", "slot")]
        contracted = dict.fromkeys(self.participants, 0) | self._contracted.pop(command.slot, {})
        self._settled.add(command.slot)
        self._schedules.pop(command.slot, None)
        return [Settled(command.slot, settlement.lines(readings, contracted, self.settings.utility))]

    # -- refusals ------------------------------------------------------------------------------------------------

    def _unknown_participant(self, name: str) -> Rejected:
        return reject("UNKNOWN_PARTICIPANT", f"no participant {name!r:.80} is registered", "participant")

    def _not_open(self, slot: int) -> Rejected:
        if is_whole(slot) and self.now is not None and self.now >= self.clock.gate(slot):
            return reject("GATE_CLOSED", f"the gate of slot {slot} has closed", "slot")
        return reject("SLOT_NOT_OPEN", f"slot {slot!r:.40} does not trade now", "slot")

    def _not_delivered(self, slot: int) -> Rejected | None:
        if not is_whole(slot) or self.now is None or self.clock.phase(slot, self.now) is not Phase.DELIVERED:
            return reject("NOT_DELIVERED", f"slot {slot!r:.40} has not been delivered", "slot")
        if slot in self._settled:
            return reject("ALREADY_SETTLED", f"slot {slot} is settled", "slot")
        return None


def _gone(order: int, number: int) -> Rejected:
    """Refusal of command `number` that speaks of an order which does not rest."""
    if type(order) is int and 0 < order < number:
        return closed(order)
    return reject("UNKNOWN_ORDER", f"no order has the number {order!r:.40}", "order")
