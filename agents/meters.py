"""What is registered and metered of a population: who generates from what, and what its meters count."""

from __future__ import annotations

import numpy as np

from agents.population import SOURCES, Population
from agents.record import Record
from market.orders import RecordMeter, Register


class Meters:
    """One meter at each connection; meters of generation where it alone could not tell what an injection came from."""

    def __init__(self, population: Population) -> None:
        self._population = population
        by_source = population.generation_by_source()
        own = np.zeros_like(population.load_wh)
        mixed = np.zeros(len(population), np.bool_)
        mixed[population.battery_owner] = True
        for name, energy in by_source.items():
            rows = population.source == SOURCES.index(name)
            own[rows] = energy[rows]
            mixed |= ~rows & energy.any(axis=1)
        self._own = own
        # What is injected tells what was generated where nothing else is behind the connection.
        mixed |= (population.load_wh + population.flexible_load_wh).any(axis=1)
        self._rows = np.flatnonzero(mixed & (population.source > 0)).tolist()

    def registrations(self) -> list[Register]:
        """Everyone at their connection, with the source of most of their generation."""
        people = self._population
        return [
            Register(name, place, SOURCES[source])
            for name, place, source in zip(people.ids, people.connections, people.source.tolist(), strict=True)
        ]

    def read(self, record: Record, slot: int) -> RecordMeter:
        """The readings of a delivered slot."""
        people, column = self._population, slot - self._population.first_slot
        names, rows = people.ids, self._rows
        readings = dict(zip(names, record.metered[:, column].tolist(), strict=True))
        moved = record.schedule[column][people.connection_index[rows]] - people.battery_traded_wh[rows, column]
        curtailed = people.beyond()[0][rows, column] - np.maximum(moved, 0)
        own = np.maximum(self._own[rows, column] - np.maximum(curtailed, 0), 0)
        generated = dict(zip([names[row] for row in rows], own.tolist(), strict=True))
        short = record.shed[:, column]
        unserved = {names[row]: int(short[row]) for row in np.flatnonzero(short).tolist()}
        return RecordMeter(slot, readings, generated, unserved)
