"""Scenarios: YAML in, frozen `Scenario` out; every error at once, each with its path, the value and the fix.

Values carry their unit (``"21.35 ct/kWh"``, ``"15 min"``); bare numbers stand only where the name of the field says
the unit. Inside, prices are whole market units, times whole nanoseconds, durations whole seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PrivateAttr, model_validator

from agents import scenario_rules
from agents.scenario_text import ScenarioError, read_yaml
from agents.scenario_units import (
    Duration,
    Energy,
    ExportLimit,
    ExportLimits,
    Flag,
    KilowattHours,
    KilowattPeak,
    Kilowatts,
    Price,
    Prices,
    Real,
    Share,
    Start,
    Unit,
    Whole,
)
from market.orders import GateMode, MarketSettings
from market.slots import NS

__all__ = ["Scenario", "ScenarioError", "json_schema", "load_scenario", "reference"]

Kind = Literal[
    "household",
    "commercial",
    "agricultural",
    "industrial",
    "heat_pump",
    "ev",
    "pv_park",
    "wind",
    "biomass",
    "hydro",
    "storage",
]
UTILITY = "utility"
PPM = 1_000_000


class Section(BaseModel):
    """A mapping of the YAML: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _names(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _one_or_all(names: tuple[str, ...]) -> object:
    return names[0] if len(names) == 1 else list(names)


Names = Annotated[tuple[str, ...], BeforeValidator(_names), PlainSerializer(_one_or_all), Unit("name or list")]


class Time(Section):
    """Which slots are delivered."""

    start: Start = Field(description="Begin of the first delivery slot; a plain date is its midnight UTC")
    days: Whole | None = Field(None, gt=0, le=3660, description="Days to deliver; 1 if slots is not given either")
    slots: Whole | None = Field(None, gt=0, description="Slots to deliver, instead of days")


class Market(Section):
    """The rules of the exchange."""

    slot: Duration = Field(900, gt=0, le=86_400, description="Length of a delivery slot; divides a day")
    currency: str = Field("EUR", pattern=r"^[A-Z]{3}$", description="Currency; ct is its hundredth")
    price_floor: Price = Field(0, description="Least price of an order")
    price_cap: Price = Field(600_000, description="Largest price of an order")
    tick: Price = Field(100, gt=0, description="Prices of orders are multiples of this")
    lot: Energy = Field(1, gt=0, description="Quantities are multiples of this")
    opens_before: Duration = Field(3600, gt=0, description="How long before its delivery a slot opens for trading")
    gate_closure: Duration = Field(900, ge=0, description="How long before its delivery trading in a slot ends")
    rounds: Whole = Field(4, gt=0, le=1000, description="Rounds in which all traders quote, per step of one slot")
    max_orders: Whole = Field(4096, gt=0, le=1_000_000, description="Most orders that may rest in one slot")


class Tariffs(Section):
    """What the utility charges and pays for energy that is not traded locally, and what the wires cost."""

    retail: Price = Field(320_000, description="Price at which the utility sells")
    feed_in: Price = Field(80_000, description="Price at which the utility buys")
    grid_fee: Price = Field(0, ge=0, description="Paid by the buyer on every Wh traded locally")


class Network(Section):
    """Where the feeder comes from: exactly one of the four."""

    name: str | None = Field(None, min_length=1, description="A feeder that is shipped, such as village or street")
    file: str | None = Field(None, min_length=1, description="Path of a feeder in the native JSON format")
    pandapower: str | None = Field(None, min_length=1, description="Path of a pandapower net (extra `import`)")
    simbench: str | None = Field(None, min_length=1, description="A SimBench code (extra `import`)")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if isinstance(value, str):
            return {"file" if value.endswith(".json") or "/" in value or "\\" in value else "name": value}
        if isinstance(value, Mapping) and len(value) != 1:
            raise ValueError("needs exactly one of a name, a path, {pandapower: path} or {simbench: code}")
        return value


def _write_network(network: Network) -> object:
    given = {key: value for key, value in network.model_dump().items() if value is not None}
    return network.name or network.file or given


class Grid(Section):
    """The wires and how strictly trades are held to them."""

    network: Annotated[Network, PlainSerializer(_write_network)] = Field(
        description="Name of a shipped feeder, path of a native JSON file, {pandapower: path} or {simbench: code}"
    )
    voltage_band: tuple[Real, Real] = Field(
        (0.90, 1.10), description="Least and largest voltage of every bus [pu of its rated voltage]"
    )
    loading_limit: Real = Field(1.0, gt=0, le=10, description="Largest current of every branch [share of its rating]")
    gate: GateMode = Field("ac", description="How each match is checked before it commits")


class Load(Section):
    """Consumption that follows a profile."""

    profile: Names | None = Field(
        None, description="Profile or family of profiles, drawn per member; by default the kind's family"
    )
    annual_kwh: KilowattHours = Field(description="Consumption of a whole year")


class Pv(Section):
    """Photovoltaic plant behind the connection."""

    kwp: KilowattPeak = Field(description="Installed power; the profile times kwp is what it can generate")
    share: Share = Field(1.0, description="Share of the members that have one")
    static_export_limit: ExportLimits = Field(
        ExportLimit(1.0, float("inf")),
        description="What may flow out at any time; more is exported only if it is sold and fits, else curtailed",
    )
    profile: Names | None = Field(None, description="Profile or family, drawn per member")


class Wind(Section):
    """Wind turbine."""

    kw: Kilowatts = Field(description="Rated power")
    share: Share = Field(1.0, description="Share of the members that have one")
    flexible: Flag = Field(False, description="Generates only what is sold; else it flows in any case")
    profile: Names | None = Field(None, description="Profile or family, drawn per member")


class Hydro(Wind):
    """Small hydro power plant."""


class Biomass(Wind):
    """Biomass plant."""

    flexible: Flag = Field(True, description="Generates only what is sold; else it flows in any case")
    cost: Prices | None = Field(None, description="Marginal cost; the lowest price that its owner accepts")


class HeatPump(Section):
    """Electric heat pump."""

    kw: Kilowatts = Field(description="Electrical power at the peak of the profile")
    share: Share = Field(1.0, description="Share of the members that have one")
    profile: Names | None = Field(None, description="Profile or family, drawn per member")


class Ev(Section):
    """Charging point of an electric vehicle."""

    kw: Kilowatts = Field(description="Power of the charger: that of the profile's peak")
    annual_kwh: KilowattHours | None = Field(None, description="Energy of a whole year; scales the profile, up to kw")
    share: Share = Field(1.0, description="Share of the members that have one")
    flexible: Flag = Field(False, description="Charges only what is bought; else it charges in any case")
    profile: Names | None = Field(None, description="Profile or family, drawn per member")


class Battery(Section):
    """Stationary battery."""

    kwh: KilowattHours = Field(description="Usable capacity")
    kw: Kilowatts = Field(description="Largest power of charging and of discharging, at the connection")
    efficiency: Real = Field(0.92, gt=0, le=1, description="Round trip: energy out per energy in")
    self_discharge: Real = Field(0.0, ge=0, lt=1, description="Share of the stored energy that is lost per day")
    initial: Real = Field(0.5, ge=0, le=1, description="State of charge at the start [share of the capacity]")
    share: Share = Field(1.0, description="Share of the members that have one")
    rule: str = Field(
        "self_consumption", min_length=1, description="What it does: self_consumption, or package.module:Class"
    )


class Strategy(Section):
    """How the members of a group quote."""

    name: str = Field(min_length=1, description="Name of a strategy, or package.module:Class")
    params: dict[str, Any] = Field(default_factory=dict, description="Parameters of the strategy")
    share: Share = Field(1.0, description="Share of the members, where a group has several strategies")


def _strategies(value: object) -> object:
    items = value if isinstance(value, list | tuple) else [value]
    return tuple({"name": item} if isinstance(item, str) else item for item in items)


Strategies = Annotated[tuple[Strategy, ...], BeforeValidator(_strategies), Unit("name, mapping or list")]


class Connect(Section):
    """At which connections of the feeder the members are: exactly one of the two, or any that is free."""

    profile: Names | None = Field(None, description="Free connections with this profile or family in the feeder")
    ids: tuple[str, ...] | None = Field(None, min_length=1, description="These connections, in this order")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if value == "any":
            return {}
        if isinstance(value, list):
            return {"ids": value}
        if isinstance(value, str) or (isinstance(value, Mapping) and len(value) > 1):
            raise ValueError("needs 'any', a list of connections, or {profile: H0}")
        return value


def _write_connect(connect: Connect) -> object:
    return list(connect.ids) if connect.ids else {"profile": _one_or_all(connect.profile)} if connect.profile else "any"


class Group(Section):
    """Participants of one kind, each with a connection of its own."""

    group: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", description="Name; members are called NAME-001 and so on")
    kind: Kind = Field(description="What the members are; picks default profiles and the lines of the report")
    count: Whole | None = Field(None, gt=0, description="Number of members; by default one per connection listed")
    connect: Annotated[Connect, PlainSerializer(_write_connect)] = Field(
        Connect(), description="'any' free connection, a list of connections, or {profile: FAMILY}"
    )
    load: Load | None = Field(None, description="Inflexible consumption")
    pv: Pv | None = Field(None, description="Photovoltaic plant")
    wind: Wind | None = Field(None, description="Wind turbine")
    biomass: Biomass | None = Field(None, description="Biomass plant")
    hydro: Hydro | None = Field(None, description="Hydro power plant")
    heat_pump: HeatPump | None = Field(None, description="Heat pump")
    ev: Ev | None = Field(None, description="Charging point")
    battery: Battery | None = Field(None, description="Battery")
    value: Prices | None = Field(None, description="What energy is worth to a buyer, fees included; by default retail")
    cost: Prices | None = Field(None, description="Lowest price that a seller accepts; by default feed_in")
    strategy: Strategies = Field((Strategy(name="zi_c"),), description="How the members quote")

    @property
    def size(self) -> int:
        """Number of members."""
        return self.count if self.count is not None else len(self.connect.ids or ())


class Output(Section):
    """What a run writes beside its ledger."""

    trades: tuple[Literal["csv", "parquet"], ...] = Field(("csv",), description="Formats of the table of trades")
    report: Flag = Field(True, description="Write report.html")
    compare: tuple[Literal["no_local_trading", "gate_off"], ...] = Field(
        ("no_local_trading",), description="Runs of the same day for comparison"
    )


class Scenario(Section):
    """One simulation, or one market to serve."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", description="Short name, also that of the market")
    title: str = Field("", description="One line for people")
    description: str = Field("", description="What it shows")
    seed: Whole = Field(1, ge=0, lt=2**63, description="Everything random follows from it")
    time: Time = Field(description="Which slots are delivered")
    market: Market = Field(Market(), description="The rules of the exchange")
    tariffs: Tariffs = Field(Tariffs(), description="The utility's prices and the fee of the wires")
    grid: Grid = Field(description="The wires")
    profiles: Names = Field(
        ("simbench",), min_length=1, description="Sets of profiles, later ones first: simbench, or CSV and Parquet files"
    )
    participants: tuple[Group, ...] = Field(min_length=1, description="Groups of participants")
    output: Output = Field(Output(), description="What a run writes")
    _base: Path = PrivateAttr(default_factory=Path.cwd)
    """Folder to which the paths in the scenario are relative."""

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
        if self.time.slots is not None:
            return self.time.slots
        return (self.time.days or 1) * 86_400 // self.market.slot

    @property
    def first_slot(self) -> int:
        """Number of the first delivery slot, counted from 1970."""
        return self.time.start // (self.market.slot * NS)

    @property
    def slot_hours(self) -> float:
        """Length of a slot [h]: energy per power."""
        return self.market.slot / 3600

    def path(self, text: str) -> Path:
        """The file that a path in this scenario means."""
        return self._base / text

    def market_settings(self) -> MarketSettings:
        """The rules in the exchange's own terms."""
        low, high = self.grid.voltage_band
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
            voltage_min_ppm=round(low * PPM),
            voltage_max_ppm=round(high * PPM),
            loading_max_ppm=round(self.grid.loading_limit * PPM),
            utility=UTILITY,
            retail=self.tariffs.retail,
            feed_in=self.tariffs.feed_in,
            grid_fee=self.tariffs.grid_fee,
        )

    def to_yaml(self) -> str:
        """The scenario as YAML text that loads to an equal scenario from any folder: its paths are absolute."""
        data = self.model_dump(mode="json", exclude_none=True)
        for key in ("file", "pandapower"):
            path = getattr(self.grid.network, key)
            if path is not None:
                full = str(self.path(path).resolve())
                data["grid"]["network"] = full if key == "file" else {key: full}
        data["profiles"] = [scenario_rules.absolute_profile(self, name) for name in self.profiles]
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)

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
        label, base, text = "scenario", Path.cwd(), source
    else:
        path = Path(source)
        label, base, text = path.name, path.resolve().parent, path.read_bytes()
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
