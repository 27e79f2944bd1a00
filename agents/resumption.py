"""A model that goes on where a journal ends.

What neighbours have in the books, and what of their energy is traded, follows from the journal. What strategies had
learnt does not, since it is nobody's business but theirs: they start afresh, with randomness of their own.
"""

from __future__ import annotations

from collections.abc import Iterable

from agents.desk import Desk
from agents.population import Population
from agents.record import Record
from agents.scenario import ScenarioError
from agents.storage import Storage
from market.events import Accepted, Amended, Cancelled, Entry, Expired, Rejected
from market.exchange import Exchange
from market.orders import AdvanceClock, CreateMarket, MarketSettings, MassCancel, Submit


def check(first: Entry, settings: MarketSettings, feeder: str) -> None:
    """Raises ScenarioError unless a journal that begins with this entry is one of this market."""
    command = first.command
    if not isinstance(command, CreateMarket):
        raise ScenarioError(["the ledger does not begin with a market; choose another one"])
    names = [name for name in settings.__struct_fields__ if getattr(settings, name) != getattr(command.settings, name)]
    if names:
        told = [f"{name} is {getattr(settings, name)!r}, there {getattr(command.settings, name)!r}" for name in names]
        raise ScenarioError([f"the ledger's market has other rules than the scenario: {text}" for text in told])
    if command.feeder != feeder:
        raise ScenarioError(["the ledger's market has another feeder than the scenario; choose another ledger"])


def remember(desk: Desk, storage: Storage, people: Population, entries: Iterable[Entry]) -> None:
    """Have a fresh desk know what the entries did to the wants of its neighbours.

    Batteries that trade decide once more what they decided then, since they see what they saw. Who took out all its
    orders in every slot had been handed over to a client, and stays silent.
    """
    rows = {name: row for row, name in enumerate(people.ids)}
    for entry in entries:
        command = entry.command
        if isinstance(command, Submit) and command.participant in rows and _accepted(entry):
            desk.recall(entry.seq, command, rows[command.participant])
        for event in entry.events:
            if isinstance(event, Amended):
                desk.recall_change(event)
        desk.overhear(entry)
        if isinstance(command, AdvanceClock):
            storage.follow(desk, entry.events)
        for event in entry.events:
            if isinstance(event, Cancelled | Expired):
                desk.recall_end(event.order)
        if isinstance(command, MassCancel) and command.participant in rows and command.slot is None:
            desk.silence(rows[command.participant])


def closed_slots(record: Record, exchange: Exchange) -> int:
    """Number of the run's slots whose gate has closed; of those not settled, what flows is recorded again."""
    people, now = record.population, exchange.now or 0
    closed = max(0, min(people.slots, exchange.clock.open_slots(now).start - people.first_slot))
    for column in range(closed):
        slot = people.first_slot + column
        if exchange.is_settled(slot):
            continue
        schedule, (baseline, _) = exchange.schedule(slot), people.baseline(slot)
        record.schedule[column] = schedule
        record.metered[:, column] = (baseline + schedule)[people.connection_index]
    return closed


def _accepted(entry: Entry) -> bool:
    refused = any(isinstance(event, Rejected) for event in entry.events)
    return not refused and any(isinstance(event, Accepted) and event.order == entry.seq for event in entry.events)
