"""What no entry may break after the gate: contracts, meters, losses and settlements, told from the entries alone.

Contracts are the sum of the trades; the energy that is posted to a participant is what its meter read, now and after
every correction; units of origin are issued for metered generation only and cancelled once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from market import settlement
from market.delivery import Delivery
from market.events import Corrected, Curtailed, Event, Lost, Settled, Traded
from market.ledger import ENERGY, Posting, fold
from market.orders import (
    AdvanceClock,
    Command,
    CreateMarket,
    Curtail,
    MarketSettings,
    RecordLosses,
    RecordMeter,
    Register,
)
from market.origins import generation
from market.slots import NS, parse_time

NOTED = frozenset((CreateMarket, Register, AdvanceClock, RecordMeter))
AFTER_THE_GATE = frozenset((Curtailed, Lost, Settled, Corrected))


class DeliveryCheck:
    """Follows a journal entry by entry."""

    def __init__(self) -> None:
        self._settings: MarketSettings | None = None
        self._participants: set[str] = set()
        self._sources: dict[str, str] = {}
        self._slots: dict[int, Delivery] = {}

    def note(self, command: Command) -> None:
        """Take a command that was accepted; `NOTED` are the kinds that matter."""
        if isinstance(command, RecordMeter):
            self._at(command.slot).record(command)
        elif isinstance(command, AdvanceClock):
            self._forget(parse_time(command.now))
        elif isinstance(command, Register):
            self._participants.add(command.participant)
            if command.source:
                self._sources[command.participant] = command.source
        elif isinstance(command, CreateMarket):
            self._settings = command.settings

    def trade(self, trade: Traded) -> None:
        """Add a trade to the contracts."""
        if self._settings is not None:
            self._at(trade.slot).note(trade, self._settings)

    def check(self, event: Event, command: Command, posted: Sequence[Posting]) -> Iterator[str]:
        """What is wrong with one of `AFTER_THE_GATE` and the postings of its entry, in words."""
        settings = self._settings
        if settings is None:
            yield "a slot is settled, but no market was created"
        elif isinstance(event, Curtailed):
            right = sorted(command.energy.items()) if isinstance(command, Curtail) else []
            if event.lines != right or not isinstance(command, Curtail) or event.slot != command.slot:
                yield f"slot {event.slot} compensates {event.lines}, but the operator withheld {right}"
        elif isinstance(event, Lost):
            yield from self._lose(event, command, settings)
        elif isinstance(event, Settled | Corrected):
            yield from self._settle(event, posted, settings)

    def _at(self, slot: int) -> Delivery:
        held = self._slots.get(slot)
        if held is None:
            held = self._slots[slot] = Delivery(slot)
        return held

    def _forget(self, now: int) -> None:
        """Let go of slots whose time for corrections is over."""
        rules = self._settings.settlement if self._settings is not None else None
        if self._settings is not None and rules is not None and rules.corrections_seconds:
            length, window = self._settings.slot_seconds * NS, rules.corrections_seconds * NS
            gone = [slot for slot, held in self._slots.items() if held.run and (slot + 1) * length + window < now]
            for slot in gone:
                del self._slots[slot]

    def _lose(self, lost: Lost, command: Command, settings: MarketSettings) -> Iterator[str]:
        if not isinstance(command, RecordLosses):
            yield f"losses of slot {lost.slot} are shared, but nobody stated them"
            return
        held = self._at(lost.slot)
        contracted = dict.fromkeys(self._participants, 0) | held.contracted
        stated = command.energy, command.weights
        expected = settlement.lost(settings.losses, *stated, held.readings, contracted, settings.utility)
        if lost.slot != command.slot or lost.lines != expected:
            yield f"slot {lost.slot} shares its losses as {lost.lines}, but meters and weights give {expected}"

    def _settle(self, event: Settled | Corrected, posted: Sequence[Posting], settings: MarketSettings) -> Iterator[str]:
        slot, held = event.slot, self._at(event.slot)
        expected: Settled | Corrected
        if held.run:
            expected = held.correct(self._sources, settings)
        else:
            expected = held.settle(self._participants, self._sources, settings)
        if event != expected:
            yield from _unlike(event, expected)
        prices = expected.prices or settlement.tariff(settings, slot)
        if isinstance(expected, Settled):
            statements = settlement.settle(expected.lines, prices, settings.utility)
        else:
            statements = settlement.correct(expected.lines, prices, settings.utility)
        moved = fold(posted)
        for statement in statements:
            name = statement.participant
            energy = moved.get((name, ENERGY), 0) - statement.contracted
            if energy != -statement.metered:
                yield f"slot {slot} leaves {energy} WH on {name!r}, but {-statement.metered} were metered"
            if moved.get((name, settings.currency), 0) != statement.money:
                yield f"slot {slot} owes {name!r} {statement.money} {settings.currency}, but posts another sum"
        yield from self._origins(held, settings.utility)
        if settings.settlement is None or not settings.settlement.corrections_seconds:
            del self._slots[slot]

    def _origins(self, held: Delivery, utility: str) -> Iterator[str]:
        """Issued <= metered, and after all of it nobody owes a unit or has more cancelled than it held."""
        sums: dict[str, int] = {}
        for name, source, issued, cancelled, returned in held.issued:
            own = generation(name, held.readings, held.generated) if self._sources.get(name) == source else 0
            left = held.units.get((source, name), 0) + issued - cancelled + returned
            if name != utility and not 0 <= issued <= own:
                yield f"slot {held.slot} issues {issued} Wh of {source} to {name!r}, whose meter generated {own}"
            if cancelled < 0 or left < 0:
                yield f"slot {held.slot} cancels {cancelled} Wh of {source} for {name!r} and leaves {left}"
            sums[source] = sums.get(source, 0) + returned
        for source, total in sums.items():
            if total:
                yield f"slot {held.slot}: units of {source} that are returned sum to {total}, not to zero"


def _unlike(event: Settled | Corrected, expected: Settled | Corrected) -> Iterator[str]:
    """Where a settlement differs from what trades and meters give."""
    if type(event) is not type(expected):
        yield f"slot {event.slot}: has {type(event).__name__} where {type(expected).__name__} is due"
        return
    for field in event.__struct_fields__:
        told, right = getattr(event, field), getattr(expected, field)
        if told == right:
            continue
        if not isinstance(told, list) or len(told) != len(right):
            yield f"slot {event.slot}: {field} is {told!r:.200}, but trades and meters give {right!r:.200}"
            continue
        for line, due in zip(told, right, strict=True):
            if line != due:
                yield f"slot {event.slot} settles {line}, but trades and meters give {due}"
