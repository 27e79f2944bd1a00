"""A participant as Mesa sees it: a view of one row of the population, without state of its own."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import mesa

from market.units import NANO

if TYPE_CHECKING:
    from agents.model import MarketModel


class _Counters(WeakKeyDictionary[mesa.Model, "itertools.count[int]"]):
    """The next `unique_id` of each model."""

    def __getitem__(self, model: mesa.Model) -> itertools.count[int]:
        return self.setdefault(model, itertools.count(1))


class Participant(mesa.Agent):
    """One participant of a `MarketModel`. Energy in kWh, money in the market's currency, both of the run so far."""

    # Mesa counts in a dictionary that holds every model for ever, with its book and its records: too much for a study.
    _ids = _Counters()

    def __init__(self, model: MarketModel, row: int, strategy: str) -> None:
        super().__init__(model)
        self.market = model
        self.row = row
        self.strategy = strategy

    @property
    def participant(self) -> str:
        """Name in the market."""
        return self.market.population.ids[self.row]

    @property
    def group(self) -> str:
        return self.market.population.groups[self.row]

    @property
    def kind(self) -> str:
        return self.market.population.kinds[self.row]

    @property
    def connection(self) -> str:
        return self.market.population.connections[self.row]

    @property
    def bill(self) -> float:
        """Paid less received, fees and settlement included."""
        return -int(self.market.money[self.row]) / NANO

    @property
    def sold_kwh(self) -> float:
        """Sold to other participants."""
        return int(self.market.sold[self.row]) / 1000

    @property
    def bought_kwh(self) -> float:
        """Bought from other participants."""
        return int(self.market.bought[self.row]) / 1000
