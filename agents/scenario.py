"""Scenarios: YAML in, frozen `Scenario` out; every error at once, each with its path, the value and the fix.

Values carry their unit (``"21.35 ct/kWh"``, ``"15 min"``); bare numbers stand only where the name of the field says
the unit. Inside, prices are whole market units, times whole nanoseconds, durations whole seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import (
    Field,
    PlainSerializer,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)

from agents import scenario_rules
from agents.scenario_groups import TEXT, Group, Names
from agents.scenario_models import Section, Weather
from agents.scenario_rules import UTILITY
from agents.scenario_tariffs import Prices, Tariffs
from agents.scenario_text import ScenarioError, read_yaml
from agents.scenario_units import Duration, Energy, Flag, Price, Real, Start, Whole
from grid.feeder import Feeder
from market.orders import (
    Design,
    GateMode,
    ImbalancePrice,
    MarketSettings,
    Netting,
    NetworkTariff,
    Origins,
    SettlementRules,
)
from market.slots import NS

__all__ = ["UTILITY", "Scenario", "ScenarioError", "json_schema", "load_scenario", "reference"]

PPM = 1_000_000


class Time(Section):
    """Which slots are delivered."""

    start: Start = Field(description="Begin of the first delivery slot; a plain date is its midnight UTC")
    days: Whole | None = Field(
        default=None, gt=0, le=3660, description="Days to deliver; 1 if slots is not given either"
    )
    slots: Whole | None = Field(default=None, gt=0, description="Slots to deliver, instead of days")

    def count(self, slot_seconds: int) -> int:
        """Number of delivery slots."""
        return self.slots if self.slots is not None else (self.days or 1) * 86_400 // slot_seconds


class SpreadClock(Section):
    """A match needs bid - ask of at least a threshold that falls while a slot trades."""

    start: Price = Field(default=0, ge=0, description="Threshold when the slot opens; 0 switches the clock off")
    zero_at: float = Field(
        default=0.7,
        gt=0,
        le=100,
        description="Share of the time of continuous trading after which it is 0; above 1 only with a closing auction",
    )
    power: Whole = Field(
        default=1, ge=1, le=8, description="Falls by this power of the time left: 1 in a straight line, more fast first"
    )


class Auctions(Section):
    """When what rests in a slot is cleared at once."""

    opening: Duration = Field(
        default=0,
        ge=0,
        description="Design cda: orders collect for so long after a slot opens, are auctioned, and then trade on",
    )
    every: Duration = Field(
        default=0, ge=0, description="Other designs: time from one auction to the next; 0: one, when the gate closes"
    )
    closing: Flag = Field(default=False, description="Design cda: what is left when the gate closes is auctioned")


class Market(Section):
    """The rules of the exchange."""

    slot: Duration = Field(default=900, gt=0, le=86_400, description="Length of a delivery slot; divides a day")
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$", description="Currency; ct is its hundredth")
    price_floor: Price = Field(default=0, description="Least price of an order")
    price_cap: Price = Field(default=600_000, description="Largest price of an order")
    tick: Price = Field(default=100, gt=0, description="Prices of orders are multiples of this")
    lot: Energy = Field(default=1, gt=0, description="Quantities are multiples of this")
    opens_before: Duration = Field(
        default=3600, gt=0, description="How long before its delivery a slot opens for trading"
    )
    gate_closure: Duration = Field(default=900, ge=0, description="How long before its delivery trading in a slot ends")
    rounds: Whole = Field(
        default=4, gt=0, le=1000, description="Rounds in which all traders quote, per step of one slot"
    )
    design: Design = Field(default="cda", description="Continuous double auction, or auctions alone")
    auctions: Auctions = Field(default=Auctions(), description="Auctions besides that at gate closure or none")
    spread_clock: SpreadClock = Field(
        default=SpreadClock(), description="Lets the most valuable matches trade first where capacity is scarce"
    )
    max_orders: Whole = Field(default=4096, gt=0, le=1_000_000, description="Most orders that may rest in one slot")


class Settlement(Section):
    """What is owed after delivery; docs/settlement.md explains it."""

    imbalance: ImbalancePrice = Field(
        default="tariff", description="Price of what was metered beyond the contracts: the utility's, or the market's"
    )
    surcharge: Price = Field(default=0, ge=0, description="`market`: what a shortage costs beyond the mean local price")
    curtailment: Price = Field(default=0, ge=0, description="Paid by the wires for energy that they withheld")
    corrections: Duration = Field(default=0, ge=0, description="How long after delivery meters may be corrected")
    origins: Origins = Field(
        default="metered", description="Guarantees of origin for metered generation only, or labels as sellers say"
    )


class Network(Section):
    """Where the feeder comes from: exactly one of the four."""

    name: str | None = Field(
        default=None, min_length=1, description="A feeder that is shipped, such as simbench_lv_rural2"
    )
    file: str | None = Field(default=None, min_length=1, description="Path of a feeder in the native JSON format")
    pandapower: str | None = Field(default=None, min_length=1, description="Path of a pandapower net (extra `import`)")
    simbench: str | None = Field(default=None, min_length=1, description="A SimBench code (extra `import`)")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if isinstance(value, str):
            return {"file" if is_path(value) else "name": value}
        if isinstance(value, Mapping) and len(value) != 1:
            raise ValueError("needs exactly one of a name, a path, {pandapower: path} or {simbench: code}")
        return value


def is_path(text: str) -> bool:
    """Whether a text in a scenario is a path, not the name of something that is shipped."""
    return "." in text or "/" in text or "\\" in text


def _write_network(network: Network) -> object:
    given = {key: value for key, value in network.model_dump().items() if value is not None}
    return network.name or network.file or given


_NETWORK_SCHEMA = {
    "anyOf": [
        TEXT,
        *({"type": "object", "properties": {key: TEXT}, "required": [key]} for key in Network.model_fields),
    ]
}


class Grid(Section):
    """The wires and how strictly trades are held to them."""

    network: Annotated[Network, PlainSerializer(_write_network), WithJsonSchema(_NETWORK_SCHEMA)] = Field(
        description="Name of a shipped feeder, path of a native JSON file, {pandapower: path} or {simbench: code}"
    )
    voltage_band: tuple[Real, Real] = Field(
        default=(0.90, 1.10), description="Least and largest voltage of every bus [pu of its rated voltage]"
    )
    loading_limit: Real = Field(
        default=1.0, gt=0, le=10, description="Largest current of every branch [share of its rating]"
    )
    unbalance_limit: Real = Field(
        default=0.02,
        gt=0,
        le=1,
        description="Largest voltage unbalance factor of every bus of a three-phase feeder [share of V1]",
    )
    gate: GateMode = Field(default="certified", description="How each match is checked before it commits")
    netting: Netting = Field(
        default="netted", description="What the wires must carry: all deliver, or also sellers alone and buyers alone"
    )


class Emissions(Section):
    """What a kilowatt-hour of each origin emits over the life of a plant; docs/metrics.md has the sources."""

    solar: Real = Field(default=41.0, ge=0, description="g CO2 eq per kWh generated; likewise the others")
    wind: Real = Field(default=11.0, ge=0, description="Wind on land")
    hydro: Real = Field(default=24.0, ge=0, description="Water")
    biomass: Real = Field(default=230.0, ge=0, description="Biomass grown for it")
    fuel: Real = Field(default=762.0, ge=0, description="Diesel and other fuels for backup")
    storage: Real = Field(default=0.0, ge=0, description="What batteries give back was counted when it was generated")
    grid: Real = Field(default=380.0, ge=0, description="What is drawn from above the feeder")


class Output(Section):
    """What a run writes beside its ledger."""

    trades: tuple[Literal["csv", "parquet"], ...] = Field(
        default=("csv",), description="Formats of the table of trades"
    )
    report: Flag = Field(default=True, description="Write report.html")
    envelopes: Flag = Field(
        default=False, description="Write envelopes.csv: what each connection may import and export in every slot"
    )
    compare: tuple[Literal["no_local_trading", "gate_off"], ...] = Field(
        default=("no_local_trading",), description="Runs of the same day for comparison"
    )


class Scenario(Section):
    """One simulation, or one market to serve."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", description="Short name, also that of the market")
    title: str = Field(default="", description="One line for people")
    description: str = Field(default="", description="What it shows")
    seed: Whole = Field(default=1, ge=0, lt=2**63, description="Everything random follows from it")
    time: Time = Field(description="Which slots are delivered")
    market: Market = Field(default=Market(), description="The rules of the exchange")
    tariffs: Tariffs = Field(default=Tariffs(), description="The utility's prices and the fee of the wires")
    settlement: Settlement = Field(default=Settlement(), description="What is owed after delivery")
    grid: Grid = Field(description="The wires")
    profiles: Names = Field(
        default=("simbench",),
        min_length=1,
        description="Sets of profiles, later ones first: simbench, or CSV and Parquet files",
    )
    weather: Weather | None = Field(default=None, description="What models see; by default the middle of Germany")
    participants: tuple[Group, ...] = Field(min_length=1, description="Groups of participants")
    emissions: Emissions = Field(default=Emissions(), description="What energy of each origin emits")
    output: Output = Field(default=Output(), description="What a run writes")
    _base: Path = PrivateAttr(default_factory=Path.cwd)

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        errors: list[str] = []
        scenario_rules.check({name: getattr(self, name) for name in type(self).model_fields}, self._base, errors)
        if errors:
            raise ValueError("\n".join(errors))
        return self

    @property
    def slots(self) -> int:
        """Number T of delivery slots."""
        return self.time.count(self.market.slot)

    @property
    def first_slot(self) -> int:
        """Number of the first delivery slot, counted from 1970."""
        return self.time.start // (self.market.slot * NS)

    @property
    def slot_hours(self) -> float:
        """Length of a slot [h]: energy per power."""
        return self.market.slot / 3600

    @property
    def islanded(self) -> bool:
        """Whether nothing comes from above the feeder."""
        return self.tariffs.utility == "none"

    @property
    def base(self) -> Path:
        """Folder to which the paths in the scenario are relative."""
        return self._base

    def prices(self) -> Prices:
        """What the utility charges and pays in each slot of the run; of an island the ends of the market's range."""
        if self.islanded:
            return Prices(np.full(self.slots, self.market.price_cap), np.full(self.slots, self.market.price_floor))
        return self.tariffs.prices(self.first_slot, self.slots, self.market.slot)

    def market_settings(self, feeder: Feeder | None = None) -> MarketSettings:
        """The rules in the exchange's own terms, on the scenario's feeder; only flat tariffs can do without one."""
        low, high = self.grid.voltage_band
        retail, feed_in = self.prices()
        changes = np.flatnonzero((np.diff(retail) != 0) | (np.diff(feed_in) != 0)) + 1
        return MarketSettings(
            name=self.name,
            currency=self.market.currency,
            slot_seconds=self.market.slot,
            opens_before_seconds=self.market.opens_before,
            gate_before_seconds=self.market.gate_closure,
            tick=self.market.tick,
            price_floor=self.market.price_floor,
            price_cap=self.market.price_cap,
            lot=self.market.lot,
            max_orders=self.market.max_orders,
            gate=self.grid.gate,
            netting=self.grid.netting,
            voltage_min_ppm=round(low * PPM),
            voltage_max_ppm=round(high * PPM),
            loading_max_ppm=round(self.grid.loading_limit * PPM),
            unbalance_max_ppm=round(self.grid.unbalance_limit * PPM),
            utility=UTILITY,
            retail=int(retail[0]),
            feed_in=int(feed_in[0]),
            price_changes=tuple((self.first_slot + t, int(retail[t]), int(feed_in[t])) for t in changes.tolist()),
            grid_fee=self.tariffs.grid_fee,
            design=self.market.design,
            auction_opening=self.market.auctions.opening,
            auction_every=self.market.auctions.every,
            auction_closing=self.market.auctions.closing,
            spread_start=self.market.spread_clock.start,
            spread_zero_ppm=round(self.market.spread_clock.zero_at * PPM),
            network_tariff=self._network_tariff(feeder),
            losses=self.tariffs.losses,
            losses_price=self.tariffs.losses_price if self.tariffs.losses != "none" else 0,
            spread_power=self.market.spread_clock.power,
            settlement=SettlementRules(
                self.settlement.imbalance,
                self.settlement.surcharge,
                self.settlement.curtailment,
                self.settlement.corrections,
                self.settlement.origins,
            ),
        )

    def _network_tariff(self, feeder: Feeder | None) -> NetworkTariff | None:
        charge = self.tariffs.network
        if charge.model == "flat":
            return None
        if feeder is None:
            raise ValueError(f"a tariff by {charge.model} needs the feeder")
        from grid.tariffs import by_distance, by_level  # they bring the compiled power flow

        if charge.model == "level":
            return by_level(feeder, charge.feeder, charge.substation, charge.beyond)
        return by_distance(feeder, charge.per_ohm, charge.limits, charge.fees)

    def to_yaml(self) -> str:
        """The scenario as YAML text that loads to an equal scenario from any folder: its paths are absolute."""
        data = self.model_dump(mode="json", exclude_none=True)
        for key in ("file", "pandapower"):
            path = getattr(self.grid.network, key)
            if path is not None:
                full = str((self._base / path).resolve())
                data["grid"]["network"] = full if key == "file" else {key: full}
        data["profiles"] = [str((self._base / name).resolve()) if is_path(name) else name for name in self.profiles]
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)

    def __eq__(self, other: object) -> bool:
        """Whether both say the same, wherever they were read from."""
        return isinstance(other, Scenario) and self.to_yaml() == other.to_yaml()

    __hash__ = None  # type: ignore[assignment]

    def changed(self, **changes: Any) -> Scenario:
        """A copy with some fields set anew, such as ``changed(seed=3)`` or ``changed(**{"grid.gate": "off"})``.

        Raises ScenarioError with every error of the result.
        """
        data = yaml.safe_load(self.to_yaml())
        for path, value in changes.items():
            *parents, last = path.split(".")
            inner = data
            for key in parents:
                inner = inner.setdefault(key, {})
            inner[last] = value
        return from_data(data, f"scenario {self.name}", self._base)


def load_scenario(source: str | Path) -> Scenario:
    """The scenario in a YAML file, or in YAML text (which has more than one line).

    Raises ScenarioError with every error found; OSError if the file cannot be read.
    """
    if isinstance(source, str) and "\n" in source:
        return _loaded(source, "scenario", Path.cwd())
    path = Path(source)
    return _loaded(path.read_bytes(), path.name, path.resolve().parent)


def _loaded(text: str | bytes, label: str, base: Path) -> Scenario:
    data, errors = read_yaml(text, label)
    return from_data(data, label, base, errors)


def from_data(data: object, label: str, base: Path, errors: list[str] | None = None) -> Scenario:
    """The scenario that decoded YAML describes; `errors` are those found before. Raises ScenarioError."""
    found = list(errors or [])
    parts = scenario_rules.sections(Scenario, data, found)
    scenario_rules.check(parts, base, found)
    if found:
        raise ScenarioError([f"{label}: {error}" for error in found])
    scenario = Scenario.model_construct(**parts)
    scenario._base = base
    return scenario


def json_schema() -> dict[str, Any]:
    """JSON schema of a scenario file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Scenario.model_json_schema()


def reference() -> str:
    """Every field of a scenario as Markdown: type, unit, default and meaning, generated from the models."""
    from agents.scenario_reference import markdown  # it reads the models of this module

    return markdown(Scenario)
