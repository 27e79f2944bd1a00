"""What a run leaves behind before anybody makes tables of it: columns of exact integers and the states of the grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.desk import Desk
from agents.population import Population
from agents.scenario import Scenario
from grid.gate import Violation
from grid.powerflow import Flow
from market.orders import MarketSettings

Ints = NDArray[np.int64]


class Ladder(NamedTuple):
    """One side of an aggregated book at one time, best price first; arrays, since a year has a hundred thousand."""

    slot: int
    time: int
    side: str
    price: Ints
    quantity: Ints


@dataclass(eq=False)
class Record:
    """One run of P participants over T slots on C connections, filled slot by slot."""

    scenario: Scenario
    seed: int
    settings: MarketSettings
    population: Population
    desk: Desk
    """Holds the wants, every trade and every match that the wires limited."""
    schedule: Ints
    """(T, C) change of injection by flexible trades [Wh]."""
    metered: Ints
    """(P, T) what flowed, injection positive [Wh]."""
    imbalance_prices: Ints
    """(2, T) what was paid for a surplus and taken for a shortage [milli-currency/MWh]; 0 in slots not settled."""
    shed: Ints
    """(P, T) firm load of an island that was not served [Wh]."""
    losses: Ints
    """(P, T) what each paid for of what the wires lost [Wh]."""
    wires_losses: Ints
    """(T,) what their operator paid for [Wh]."""
    times: list[tuple[int, int]] = field(default_factory=list)
    """(sequence number, time [ns]) of every move of the clock."""
    depth: list[Ladder] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)
    """State of the grid in each slot so far, one slot each."""
    verified: int = -1
    """The slot that `flows` ends with."""
    violations: list[Violation] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)
    """Orders and changes of orders that reached the exchange in each step."""
    entries: int = 0
    stages: dict[str, int] = field(default_factory=dict)
    """How many questions of capacity each stage of the gate has decided."""
    seconds: float | None = None
    """What the trading took, where somebody with a clock has measured it."""

    @classmethod
    def empty(
        cls, scenario: Scenario, seed: int, settings: MarketSettings, population: Population, desk: Desk
    ) -> Record:
        shape = (population.slots, len(population.feeder.connection_ids))
        metered, shed, losses = np.zeros((3, len(population), population.slots), dtype=np.int64)
        prices, wires = np.zeros((2, population.slots), dtype=np.int64), np.zeros(population.slots, dtype=np.int64)
        schedule = np.zeros(shape, dtype=np.int64)
        return cls(scenario, seed, settings, population, desk, schedule, metered, prices, shed, losses, wires)

    def time_of(self, seq: Ints) -> Ints:
        """Time [ns] of commands by their sequence numbers."""
        numbers, times = np.array(self.times, dtype=np.int64).reshape(-1, 2).T
        return times[np.searchsorted(numbers, seq, side="right") - 1]
