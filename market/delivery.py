"""After the gate: what each slot's participants contracted, what their meters read, and its settlement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from market import origins, settlement
from market.events import Accepted, Corrected, Curtailed, Event, Lost, Settled, Traded
from market.orders import Curtail, MarketSettings, RecordLosses, RecordMeter, Settle
from market.rules import is_whole, reject
from market.units import MAX_EXACT

MOST_SHARE = 100
"""Most of a slot's losses that one participant can be charged or credited, as a multiple of them."""


@dataclass(slots=True)
class Delivery:
    """One slot until nothing of it can change any more. Energy in Wh."""

    slot: int
    contracted: dict[str, int] = field(default_factory=dict)
    """Sold less bought."""
    units: dict[tuple[str, str], int] = field(default_factory=dict)
    """(source, participant) -> bought less sold; only where origins are metered."""
    volume: int = 0
    """Of local trades; only where imbalance has the market's price."""
    value: int = 0
    """Sum of price x quantity over them."""
    readings: dict[str, int] = field(default_factory=dict)
    generated: dict[str, int] = field(default_factory=dict)
    meters: int = 0
    """Version of the readings: how often they were recorded."""
    lost: bool = False
    """Its losses are known."""
    run: int = 0
    """How often it was settled."""
    metered: dict[str, int] = field(default_factory=dict)
    """As the last run took it, where it was no contract."""
    fresh: set[str] = field(default_factory=set)
    """Whose readings are newer than the last run."""
    issued: list[origins.Line] = field(default_factory=list)
    """Units of origin issued, cancelled and returned up to the last run."""

    def note(self, trade: Traded, settings: MarketSettings) -> None:
        """Add a trade to the contracts, and to what the market's rules need to know of it."""
        contracted, seller, buyer, quantity = self.contracted, trade.seller, trade.buyer, trade.quantity
        contracted[seller] = contracted.get(seller, 0) + quantity
        contracted[buyer] = contracted.get(buyer, 0) - quantity
        rules = settings.settlement
        if rules is None:
            return
        if rules.imbalance == "market" and settings.utility != seller and settings.utility != buyer:
            self.volume += quantity
            self.value += trade.price * quantity
        if rules.origins == "metered" and (source := trade.source):
            self.units[source, seller] = self.units.get((source, seller), 0) - quantity
            self.units[source, buyer] = self.units.get((source, buyer), 0) + quantity

    def record(self, command: RecordMeter) -> None:
        """Take a new version of the readings."""
        self.readings.update(command.readings)
        self.generated.update(command.generated)
        self.meters += 1
        if self.run:
            self.fresh |= command.readings.keys() | command.generated.keys()

    def settle(self, participants: Iterable[str], sources: Mapping[str, str], settings: MarketSettings) -> Settled:
        """The first run."""
        self.run, self.metered = 1, dict(self.readings)
        lines = settlement.lines(self.readings, dict.fromkeys(participants, 0) | self.contracted, settings.utility)
        if settings.settlement is None:
            return Settled(self.slot, lines, prices=self._prices(settings))
        self.issued = self._origins(sources, settings.utility)
        return Settled(self.slot, lines, self.meters, self._prices(settings), self.issued)

    def state(self) -> list[object]:
        """All of it, as plain values."""
        return [
            self.slot, sorted(self.contracted.items()), sorted(self.units.items()), self.volume, self.value,
            sorted(self.readings.items()), sorted(self.generated.items()), self.meters, self.lost, self.run,
            sorted(self.metered.items()), sorted(self.fresh), self.issued,
        ]  # fmt: skip

    def correct(self, sources: Mapping[str, str], settings: MarketSettings) -> Corrected:
        """A later run, over those whose readings are fresh."""
        self.run += 1
        lines = []
        for name in sorted(self.fresh):
            contract = self.contracted.get(name, 0)
            before = self.metered.get(name, contract)
            lines.append((name, before, self.readings.get(name, contract), contract))
        now = self._origins(sources, settings.utility)
        changes, self.issued = origins.differences(self.issued, now), now
        self.metered = dict(self.readings)
        self.fresh = set()
        return Corrected(self.slot, self.run, self.meters, lines, self._prices(settings), changes)

    def _origins(self, sources: Mapping[str, str], utility: str) -> list[origins.Line]:
        return origins.lines(self.units, self.readings, self.generated, sources, utility)

    def _prices(self, settings: MarketSettings) -> settlement.Prices | None:
        return settlement.imbalance_prices(settings, self.slot, self.volume, self.value)


class Deliveries:
    """The slots of one market, from their first trade until they are settled for good."""

    settings: MarketSettings

    def __init__(self) -> None:
        self._slots: dict[int, Delivery] = {}
        self._settled: set[int] = set()

    def note(self, events: Iterable[Event]) -> None:
        """Add the trades among the events to the contracts."""
        for event in events:
            if type(event) is Traded:
                self._at(event.slot).note(event, self.settings)

    def contracted(self, slot: int) -> dict[str, int]:
        """Energy sold less energy bought [Wh] per participant; those who did not trade the slot are left out."""
        return dict(self._slots[slot].contracted) if slot in self._slots else {}

    def state(self) -> list[object]:
        """Contracts, meters and what is settled, as plain values."""
        return [[self._slots[slot].state() for slot in sorted(self._slots)], sorted(self._settled)]

    def is_settled(self, slot: int) -> bool:
        return slot in self._settled

    def expire(self, first: int) -> None:
        """The time for corrections is over for all settled slots before `first`."""
        for slot in [slot for slot, held in self._slots.items() if slot < first and held.run]:
            del self._slots[slot]

    def curtail(self, command: Curtail, participants: Iterable[str], largest: int) -> Event:
        """Compensate for what was withheld; `participants` are those who have a meter."""
        rules, known = self.settings.settlement, set(participants)
        if rules is None or not rules.curtailment or not command.energy:
            told = "needs some energy, in a market whose settlement.curtailment has a price"
            return reject("BAD_CURTAILMENT", told, "energy")
        for name, energy in command.energy.items():
            if name not in known or not is_whole(energy) or not 0 < energy <= largest:
                told = f"needs a participant and from 1 to {largest} Wh, got {name!r:.80}: {energy!r:.40}"
                return reject("BAD_CURTAILMENT", told, "energy")
        return Curtailed(command.slot, sorted(command.energy.items()))

    def record(self, command: RecordMeter, participants: Iterable[str], largest: int) -> Event:
        """Keep the readings; `participants` are those who have a meter, `largest` what may be settled exactly [Wh]."""
        known = set(participants)
        for place, least in (("readings", -largest), ("generated", 0), ("unserved", 0)):
            for name, value in getattr(command, place).items():
                if name not in known or not is_whole(value) or not least <= value <= largest:
                    told = f"needs a participant and {least} to {largest} whole Wh, got {name!r:.80}: {value!r:.40}"
                    return reject("BAD_READING", told, place)
        self._at(command.slot).record(command)
        return Accepted()

    def lose(self, command: RecordLosses, participants: Iterable[str]) -> Event:
        """Share what the wires lost; `participants` are those who have a meter."""
        slot, energy, weights, known = command.slot, command.energy, command.weights, set(participants)
        held, settings = self._slots.get(slot), self.settings
        if held is None or not held.meters:
            return reject("NOT_METERED", "record the meters of the slot first", "slot")
        if held.lost:
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
        held.lost = True
        contracted = dict.fromkeys(known, 0) | held.contracted
        return Lost(
            slot, settlement.lost(settings.losses, energy, weights, held.readings, contracted, settings.utility)
        )

    def settle(self, command: Settle, participants: Iterable[str], sources: Mapping[str, str]) -> Event:
        """Settle the slot; once more, if readings are new. `sources` are what participants are registered for."""
        slot, settings = command.slot, self.settings
        held = self._slots.get(slot)
        if held is None or not held.meters:
            return reject("NOT_METERED", "record the meters of the slot first", "slot")
        if held.run:
            if not held.fresh:
                return reject("ALREADY_SETTLED", f"no reading of slot {slot} is new; record_meter first", "slot")
            return held.correct(sources, settings)
        self._settled.add(slot)
        if settings.settlement is None or not settings.settlement.corrections_seconds:
            del self._slots[slot]
        return held.settle(participants, sources, settings)

    def _at(self, slot: int) -> Delivery:
        held = self._slots.get(slot)
        if held is None:
            held = self._slots[slot] = Delivery(slot)
        return held
