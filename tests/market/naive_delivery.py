"""What follows after the gate, said once more and slowly: every run starts from all trades and all readings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from market.events import Accepted, Corrected, Curtailed, Event, Lost, Settled, Traded
from market.orders import Curtail, MarketSettings, RecordLosses, RecordMeter, Settle
from tests.market.naive_rules import SECOND, No, largest, losses_problem, no, shared, whole


@dataclass
class Slot:
    trades: list[Traded] = field(default_factory=list)
    versions: list[RecordMeter] = field(default_factory=list)
    settled_at: list[int] = field(default_factory=list)
    """How many versions of the meters each run knew."""
    lost: bool = False


@dataclass
class Books:
    """What a run arrives at: per participant, and per source and participant."""

    lines: dict[str, tuple[int, int]]
    """metered, contracted"""
    units: dict[tuple[str, str], tuple[int, int, int]]
    """(source, name) -> issued, cancelled, returned"""


class NaiveDelivery:
    settings: MarketSettings
    now: int | None = None

    def __init__(self, members: dict[str, int]) -> None:
        self.members = members
        self.sources: dict[str, str] = {}
        self.slots: dict[int, Slot] = {}

    def at(self, slot: int) -> Slot:
        return self.slots.setdefault(slot, Slot())

    def problem(self, command: Curtail | RecordMeter | RecordLosses | Settle) -> No:
        slot, s = command.slot, self.settings
        late = not whole(slot) or self.now is None
        if isinstance(command, Curtail):
            if late or self.now < (slot * s.slot_seconds - s.gate_before_seconds) * SECOND:  # type: ignore[operator]
                return no("GATE_OPEN", "slot")
        elif late or self.now < (slot + 1) * s.slot_seconds * SECOND:  # type: ignore[operator]
            return no("NOT_DELIVERED", "slot")
        if not self.at(slot).settled_at:
            return None
        window = s.settlement.corrections_seconds if s.settlement and isinstance(command, RecordMeter | Settle) else 0
        end = (slot + 1) * s.slot_seconds + window
        return None if window and self.now <= end * SECOND else no("ALREADY_SETTLED", "slot")  # type: ignore[operator]

    def metered(self) -> set[str]:
        return self.members.keys() - {self.settings.utility}

    def amounts_problem(self, amounts: dict[str, Any], least: int, code: str, place: str) -> No:
        most, metered = largest(self.settings), self.metered()
        good = (name in metered and whole(wh) and least <= wh <= most for name, wh in amounts.items())
        return None if all(good) else no(code, place)

    def apply(self, command: Curtail | RecordMeter | RecordLosses | Settle) -> list[Event]:
        wrong = self.problem(command)
        if wrong:
            return [wrong]
        if isinstance(command, Curtail):
            return [self.curtail(command)]
        if isinstance(command, RecordMeter):
            wrong = self.amounts_problem(command.readings, -largest(self.settings), "BAD_READING", "readings")
            wrong = wrong or self.amounts_problem(command.generated, 0, "BAD_READING", "generated")
            wrong = wrong or self.amounts_problem(command.unserved, 0, "BAD_READING", "unserved")
            if wrong is None:
                self.at(command.slot).versions.append(command)
            return [wrong or Accepted()]
        if not self.at(command.slot).versions:
            return [no("NOT_METERED", "slot")]
        return [self.lose(command) if isinstance(command, RecordLosses) else self.settle(command.slot)]

    def curtail(self, command: Curtail) -> Event:
        rules = self.settings.settlement
        if rules is None or rules.curtailment == 0 or not command.energy:
            return no("BAD_CURTAILMENT", "energy")
        wrong = self.amounts_problem(command.energy, 1, "BAD_CURTAILMENT", "energy")
        return wrong or Curtailed(command.slot, sorted(command.energy.items()))

    def lose(self, command: RecordLosses) -> Event:
        slot = self.at(command.slot)
        wrong = no("BAD_LOSSES", "slot") if slot.lost else losses_problem(command, self.metered(), self.settings)
        if wrong:
            return wrong
        slot.lost = True
        weights = command.weights
        if self.settings.losses == "average":
            lines = self.books(slot, len(slot.versions)).lines
            weights = {name: abs(metered) for name, (metered, _) in lines.items()}
        return Lost(command.slot, shared(command.energy, weights))

    def settle(self, number: int) -> Event:
        slot, rules = self.at(number), self.settings.settlement
        count = len(slot.versions)
        if slot.settled_at:
            fresh = {
                name
                for version in slot.versions[slot.settled_at[-1] :]
                for name in (*version.readings, *version.generated)
            }
            if not fresh:
                return no("ALREADY_SETTLED", "slot")
            old, new = self.books(slot, slot.settled_at[-1]), self.books(slot, count)
            slot.settled_at.append(count)
            changes = []
            for source, name in sorted(old.units.keys() | new.units.keys()):
                was, now = (books.units.get((source, name), (0, 0, 0)) for books in (old, new))
                change = tuple(b - a for a, b in zip(was, now, strict=True))
                if any(change):
                    changes.append((name, source, *change))
            lines = [(name, old.lines[name][0], *new.lines[name]) for name in sorted(fresh)]
            return Corrected(number, len(slot.settled_at), count, lines, self.prices(slot), changes)  # type: ignore[arg-type]
        slot.settled_at.append(count)
        books = self.books(slot, count)
        settled = [(name, m, c, m - c) for name, (m, c) in sorted(books.lines.items())]
        if rules is None:
            return Settled(number, settled)
        units = [(name, source, *three) for (source, name), three in sorted(books.units.items()) if any(three)]
        return Settled(number, settled, count, self.prices(slot), units)

    def prices(self, slot: Slot) -> tuple[int, int] | None:
        rules, utility = self.settings.settlement, self.settings.utility
        local = [trade for trade in slot.trades if utility not in (trade.buyer, trade.seller)]
        if rules is None or rules.imbalance == "tariff" or not local:
            return None
        mean = sum(trade.price * trade.quantity for trade in local) // sum(trade.quantity for trade in local)
        return mean - rules.surcharge, mean + rules.surcharge

    def books(self, slot: Slot, versions: int) -> Books:
        readings: dict[str, int] = {}
        generated: dict[str, int] = {}
        for version in slot.versions[:versions]:
            readings.update(version.readings)
            generated.update(version.generated)
        sold: Counter[str] = Counter()
        held: dict[str, Counter[str]] = {}
        for trade in slot.trades:
            sold[trade.seller] += trade.quantity
            sold[trade.buyer] -= trade.quantity
            if trade.source:
                held.setdefault(trade.source, Counter())[trade.seller] -= trade.quantity
                held[trade.source][trade.buyer] += trade.quantity
        lines = {name: (readings.get(name, sold[name]), sold[name]) for name in self.metered()}
        rules = self.settings.settlement
        units: dict[tuple[str, str], tuple[int, int, int]] = {}
        consumed = {name: -wh for name, wh in readings.items() if wh < 0}
        if rules is None or rules.origins == "labels":
            return Books(lines, units)
        for source in sorted(held):
            owed = {name: -wh for name, wh in held[source].items() if wh < 0}
            issued = {name: self.issued(name, source, wh, readings, generated) for name, wh in owed.items()}
            lacking = sum(owed.values()) - sum(issued.values())
            keeps = {name: wh for name, wh in held[source].items() if wh > 0}
            gives = dict(shared(lacking, keeps)) if lacking else {}
            for name, wh in owed.items():
                units[source, name] = issued[name], 0, wh - issued[name]
            for name, wh in keeps.items():
                used = min(wh - gives.get(name, 0), consumed.get(name, 0))
                consumed[name] = consumed.get(name, 0) - used
                units[source, name] = 0, used, -gives.get(name, 0)
        return Books(lines, units)

    def issued(self, name: str, source: str, wanted: int, readings: dict[str, int], generated: dict[str, int]) -> int:
        if name == self.settings.utility:
            return wanted
        if self.sources.get(name) != source or readings.get(name, 0) <= 0:
            return 0
        return min(wanted, readings[name], generated.get(name, wanted))
