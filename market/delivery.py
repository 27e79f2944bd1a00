"""After the gate: what each slot's participants contracted, what their meters read, and its settlement."""

from __future__ import annotations

from collections.abc import Iterable

from market import settlement
from market.events import Accepted, Event, Lost, Settled, Traded
from market.orders import MarketSettings, RecordLosses, RecordMeter, Settle
from market.rules import is_whole, reject
from market.units import MAX_EXACT

MOST_SHARE = 100
"""Most of a slot's losses that one participant can be charged or credited, as a multiple of them."""


class Deliveries:
    """Contracts and meters per slot until it is settled."""

    def __init__(self) -> None:
        self._contracted: dict[int, dict[str, int]] = {}
        self._readings: dict[int, dict[str, int]] = {}
        self._settled: set[int] = set()
        self._lost: set[int] = set()
        """Unsettled slots whose losses are known."""

    def note(self, events: Iterable[Event]) -> None:
        """Add the trades among the events to the contracts."""
        for event in events:
            if type(event) is Traded:
                contracted = self._contracted.setdefault(event.slot, {})
                contracted[event.seller] = contracted.get(event.seller, 0) + event.quantity
                contracted[event.buyer] = contracted.get(event.buyer, 0) - event.quantity

    def contracted(self, slot: int) -> dict[str, int]:
        """Energy sold less energy bought [Wh] per participant; those who did not trade the slot are left out."""
        return dict(self._contracted.get(slot, {}))

    def state(self) -> list[object]:
        """Contracts, meters and what is settled, as plain values."""
        return [sorted(self._contracted.items()), sorted(self._readings.items()), sorted(self._settled)]

    def is_settled(self, slot: int) -> bool:
        return slot in self._settled

    def record(self, command: RecordMeter, participants: Iterable[str], largest: int) -> Event:
        """Keep the readings; `participants` are those who have a meter, `largest` what may be settled exactly [Wh]."""
        known = set(participants)
        for name, value in command.readings.items():
            if name not in known or not is_whole(value) or abs(value) > largest:
                told = f"needs a participant and at most {largest} whole Wh, got {name!r:.80}: {value!r:.40}"
                return reject("BAD_READING", told, "readings")
        self._readings.setdefault(command.slot, {}).update(command.readings)
        return Accepted()

    def lose(self, command: RecordLosses, participants: Iterable[str], settings: MarketSettings) -> Event:
        """Share what the wires lost; `participants` are those who have a meter."""
        slot, energy, weights, known = command.slot, command.energy, command.weights, set(participants)
        if slot not in self._readings:
            return reject("NOT_METERED", "record the meters of the slot first", "slot")
        if slot in self._lost:
            return reject("BAD_LOSSES", f"those of slot {slot} are recorded", "slot")
        most = MAX_EXACT // max(settings.losses_price, 1) // MOST_SHARE
        if settings.losses == "none" or not is_whole(energy) or not 0 <= energy <= most:
            told = f"from 0 to {most} Wh in a market that shares losses, got {energy!r:.40}"
            return reject("BAD_LOSSES", f"energy must be {told}", "energy")
        if weights and settings.losses != "marginal":
            return reject("BAD_LOSSES", f"losses {settings.losses} need no weights", "weights")
        for name, weight in weights.items():
            if name not in known or not is_whole(weight):
                return reject("BAD_LOSSES", f"{name!r}: {weight!r} is no weight of a participant", "weights")
        total = sum(weights.values())
        if 0 < total * MOST_SHARE < max(map(abs, weights.values()), default=0):
            return reject("BAD_LOSSES", f"a weight may be at most {MOST_SHARE} times their sum {total}", "weights")
        self._lost.add(slot)
        contracted = dict.fromkeys(known, 0) | self._contracted.get(slot, {})
        lines = settlement.lost(settings.losses, energy, weights, self._readings[slot], contracted, settings.utility)
        return Lost(slot, lines)

    def settle(self, command: Settle, participants: Iterable[str], utility: str) -> Event:
        readings = self._readings.pop(command.slot, None)
        if readings is None:
            return reject("NOT_METERED", "record the meters of the slot first", "slot")
        contracted = dict.fromkeys(participants, 0) | self._contracted.pop(command.slot, {})
        self._settled.add(command.slot)
        self._lost.discard(command.slot)
        return Settled(command.slot, settlement.lines(readings, contracted, utility))
