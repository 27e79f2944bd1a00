"""A small market on a shipped feeder, for tests: homes with and without sun, cars, a plant that runs for its sales."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from agents import MarketModel
from agents.scenario import Scenario, load_scenario
from market.events import Entry

TEXT = """
name: small
time: {start: 2016-06-08T10:00Z, slots: 8}
market: {rounds: 3}
tariffs: {retail: 32 ct/kWh, feed_in: 8 ct/kWh, grid_fee: 4 ct/kWh}
grid: {network: simbench_lv_rural2, gate: linear}
participants:
  - group: sun
    kind: household
    count: 12
    load: {annual_kwh: [2000, 5000]}
    pv: {kwp: [5, 15], static_export_limit: 50 %}
    cost: 2 ct/kWh
    strategy: [{name: zip, share: 0.5}, {name: zi_c, share: 0.5}]
  - group: home
    kind: household
    count: 12
    load: {annual_kwh: [2000, 9000]}
    strategy: [{name: zi_c, params: {range: tariff}, share: 0.5}, {name: truthful, share: 0.5}]
  - group: car
    kind: ev
    count: 4
    ev: {kw: 11, annual_kwh: 9000, flexible: true}
    value: 40 ct/kWh
    strategy: zip
  - group: gas
    kind: biomass
    count: 1
    biomass: {kw: 30, cost: 12 ct/kWh}
    strategy: truthful
  - group: fool
    kind: household
    count: 2
    load: {annual_kwh: 4000}
    strategy: zi_u
output: {compare: [no_local_trading]}
"""


ALONE: dict[str, Any] = {"output.compare": []}
"""No run for comparison."""
TIGHT: dict[str, Any] = {"grid.voltage_band": [0.99, 1.026]}
"""A band that the small market fills."""


@cache
def scenario() -> Scenario:
    return load_scenario(TEXT)


class Memory:
    """A journal that keeps its entries."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.sizes: list[int] = []

    def append(self, entries: Sequence[Entry]) -> None:
        self.entries += entries
        self.sizes.append(len(entries))


def model(seed: int = 1, **changes: Any) -> tuple[MarketModel, Memory]:
    """A new model and where its entries go."""
    memory = Memory()
    return MarketModel(scenario(), seed=seed, ledger=memory, **changes), memory


@cache
def finished(seed: int = 1) -> tuple[MarketModel, Memory]:
    """A model that has run, shared: do not change it."""
    made, memory = model(seed)
    made.run_model()
    return made, memory
