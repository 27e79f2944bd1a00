"""The participants as columns: P rows, T slots, and what each would sell or buy in a slot.

Netting at one connection, in this order, so that nobody trades with themselves:

1. own load is served by own must-run generation, then by own dispatchable generation;
2. own flexible consumption is served by own dispatchable generation that is left, then by own firm surplus;
3. the battery takes what surplus is left (what would be curtailed first) and gives what load still lacks;
4. what remains is offered or wanted: `firm_sell` or `firm_buy` flows anyway and a trade only re-labels it;
   `flexible_sell` and `flexible_buy` flow only if they are traded.

Hence a participant sells or buys in a slot, never both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.devices.battery import Battery
from grid.feeder import Feeder

Ints = NDArray[np.int64]

UTILITY = "utility"
UTILITY_CONNECTION = "slack"
SOURCES = ("", "solar", "wind", "hydro", "biomass", "storage", "grid")


class StrategyUse(NamedTuple):
    """Participants that use one strategy with the same parameters."""

    name: str
    params: Mapping[str, Any]
    members: Ints
    """Rows of the population, rising."""


class Position(NamedTuple):
    """What is there to trade in one slot [Wh], each (P,) and >= 0."""

    firm_sell: Ints
    flexible_sell: Ints
    firm_buy: Ints
    flexible_buy: Ints


class Series(NamedTuple):
    """Energy of one fleet, for reports."""

    label: str
    """Kind of the device, such as pv, or of the load, such as household."""
    source: str
    """Origin of generated energy, one of SOURCES; empty for consumption."""
    owners: Ints
    """(n,) rows of the population."""
    energy_wh: Ints
    """(n, T) energy available or consumed, >= 0."""


@dataclass(frozen=True, eq=False)
class Population:
    """P participants, the utility not among them, over T delivery slots. Arrays are read-only."""

    feeder: Feeder
    first_slot: int
    """The exchange's number of column 0."""
    ids: list[str]
    groups: list[str]
    kinds: list[str]
    connections: list[str]
    connection_index: Ints
    """(P,) position of the connection in `feeder.connection_ids`."""
    strategies: list[StrategyUse]
    """Every row is in exactly one."""
    buy_value: Ints
    """(P,) what energy is worth to a buyer, all fees included [milli-currency/MWh]."""
    sell_cost: Ints
    """(P,) lowest price that a seller accepts [milli-currency/MWh]."""
    source: Ints
    """(P,) index into SOURCES: where most of the participant's generation comes from; 0 without any."""
    load_wh: Ints
    """(P, T) consumption that happens anyway."""
    flexible_load_wh: Ints
    """(P, T) consumption that happens only if there is energy for it: own surplus, or bought."""
    must_run_wh: Ints
    """(P, T) generation that flows anyway; PV up to own load and the static export limit."""
    dispatchable_wh: Ints
    """(P, T) generation that flows only if it is used or sold; curtailed otherwise."""
    reactive_varh: Ints
    """(P, T) reactive injection [varh], negative for the inductive loads."""
    battery_wh: Ints
    """(P, T) battery at its terminals: discharge positive, charge negative."""
    firm_sell_wh: Ints
    flexible_sell_wh: Ints
    firm_buy_wh: Ints
    flexible_buy_wh: Ints
    """(P, T) each: the columns of `position`."""
    series: list[Series]
    """Every fleet of generators and loads, flexible ones included."""
    battery: Battery
    """The batteries at the end of the last slot."""
    battery_owner: Ints
    """(B,) row of each battery's owner."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def slots(self) -> int:
        """Number T of delivery slots."""
        return int(self.load_wh.shape[1])

    def position(self, slot: int) -> Position:
        """What there is to trade in a delivery slot, numbered as in the exchange. Raises IndexError outside the run."""
        t = self._column(slot)
        return Position(
            self.firm_sell_wh[:, t], self.flexible_sell_wh[:, t], self.firm_buy_wh[:, t], self.flexible_buy_wh[:, t]
        )

    def baseline(self, slot: int) -> tuple[Ints, Ints]:
        """Energy that flows anyway per connection of the feeder, injection positive: [Wh] and [varh], each (C,)."""
        t = self._column(slot)
        active, reactive = np.zeros((2, len(self.feeder.connection_ids)), dtype=np.int64)
        active[self.connection_index] = self.firm_sell_wh[:, t] - self.firm_buy_wh[:, t]
        reactive[self.connection_index] = self.reactive_varh[:, t]
        return active, reactive

    def generation_by_source(self) -> dict[str, Ints]:
        """Energy that each origin could generate, (P, T) [Wh]."""
        return self._summed({series.source for series in self.series if series.source}, "source")

    def load_by_kind(self) -> dict[str, Ints]:
        """Energy that each kind of load would consume, flexible ones included, (P, T) [Wh]."""
        return self._summed({series.label for series in self.series if not series.source}, "label")

    def _summed(self, names: set[str], field: str) -> dict[str, Ints]:
        sums = {name: np.zeros_like(self.load_wh) for name in sorted(names)}
        for series in self.series:
            name = getattr(series, field)
            if name in sums and bool(series.source) == (field == "source"):
                sums[name][series.owners] += series.energy_wh
        return sums

    def _column(self, slot: int) -> int:
        if not 0 <= slot - self.first_slot < self.slots:
            raise IndexError(f"slot {slot} is not in the run: {self.first_slot} to {self.first_slot + self.slots - 1}")
        return slot - self.first_slot
