"""After the gate: what each slot's participants contracted, what their meters read, and its settlement."""

from __future__ import annotations

from collections.abc import Iterable

from market import settlement
from market.events import Accepted, Event, Settled, Traded
from market.orders import RecordMeter, Settle
from market.rules import is_whole, reject


class Deliveries:
    """Contracts and meters per slot until it is settled."""

    def __init__(self) -> None:
        self._contracted: dict[int, dict[str, int]] = {}
        self._readings: dict[int, dict[str, int]] = {}
        self._settled: set[int] = set()

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

    def settle(self, command: Settle, participants: Iterable[str], utility: str) -> Event:
        readings = self._readings.pop(command.slot, None)
        if readings is None:
            return reject("NOT_METERED", "record the meters of the slot first", "slot")
        contracted = dict.fromkeys(participants, 0) | self._contracted.pop(command.slot, {})
        self._settled.add(command.slot)
        return Settled(command.slot, settlement.lines(readings, contracted, utility))
