"""The sections of a scenario that describe participants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from agents.scenario_models import (
    Backup,
    Building,
    Plant,
    Process,
    River,
    Roof,
    Section,
    Trips,
    Turbine,
    Willing,
)
from agents.scenario_units import (
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
    Unit,
    Whole,
)

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
    "backup",
    "storage",
]
Origin = Literal["solar", "wind", "hydro", "biomass", "storage", "fuel", "grid"]


def _names(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def one_or_all(names: tuple[str, ...]) -> object:
    return names[0] if len(names) == 1 else list(names)


TEXT = {"type": "string"}
TEXTS = {"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]}
Names = Annotated[
    tuple[str, ...],
    BeforeValidator(_names),
    PlainSerializer(one_or_all),
    WithJsonSchema(TEXTS),
    Unit("name or list"),
]


class Load(Section):
    """Consumption that follows a profile."""

    profile: Names | None = Field(
        default=None, description="Profile or family of profiles, drawn per member; by default the kind's family"
    )
    annual_kwh: KilowattHours | None = Field(
        default=None, description="Consumption of a whole year; may be left out only for a profile of your own in kW"
    )
    shift: Willing | None = Field(default=None, description="Part that moves to the hours of the sun")


class Pv(Section):
    """Photovoltaic plant behind the connection."""

    kwp: KilowattPeak = Field(description="Installed power")
    annual_yield: float | None = Field(
        default=None,
        gt=0,
        le=3000,
        description="kWh of a kWp in a year; by default 950 with the shipped profiles, as recorded with your own",
    )
    share: Share = Field(default=1.0, description="Share of the members that have one")
    static_export_limit: ExportLimits = Field(
        default=ExportLimit(1.0, None),
        description="What may flow out at any time; more is exported only if it is sold and fits, else curtailed",
    )
    profile: Names | None = Field(default=None, description="Profile or family, drawn per member")
    roof: Roof | None = Field(default=None, description="Model instead of a profile")


class Rated(Section):
    """Generator with a rated power."""

    kw: Kilowatts = Field(description="Rated power")
    share: Share = Field(default=1.0, description="Share of the members that have one")
    flexible: Flag = Field(default=False, description="Generates only what is sold; else it flows in any case")
    profile: Names | None = Field(default=None, description="Profile or family, drawn per member")


class Wind(Rated):
    """Wind turbine."""

    turbine: Turbine | None = Field(default=None, description="Model instead of a profile")


class Hydro(Rated):
    """Small hydro power plant."""

    river: River | None = Field(default=None, description="Model instead of a profile")


class Biomass(Rated):
    """Biomass plant."""

    plant: Plant | None = Field(
        default=None, description="Model instead of a profile; sells what it adds to its least load"
    )
    flexible: Flag = Field(default=True, description="Generates only what is sold; else it flows in any case")
    cost: Prices | None = Field(default=None, description="Marginal cost; the lowest price that its owner accepts")


class HeatPump(Section):
    """Electric heat pump."""

    kw: Kilowatts = Field(description="Electrical power at the peak of the profile")
    share: Share = Field(default=1.0, description="Share of the members that have one")
    profile: Names | None = Field(default=None, description="Profile or family, drawn per member")
    building: Building | None = Field(default=None, description="Model instead of a profile")


class Ev(Section):
    """Charging point of an electric vehicle."""

    kw: Kilowatts = Field(description="Power of the charger: that of the profile's peak")
    annual_kwh: KilowattHours | None = Field(
        default=None, description="Energy of a whole year; scales the profile, up to kw"
    )
    share: Share = Field(default=1.0, description="Share of the members that have one")
    flexible: Flag = Field(default=False, description="Charges only what is bought; else it charges in any case")
    profile: Names | None = Field(default=None, description="Profile or family, drawn per member")
    trips: Trips | None = Field(default=None, description="Model instead of a profile")


def _forecast(value: object) -> object:
    if isinstance(value, Mapping):
        error = value.get("noisy")
        if list(value) != ["noisy"] or isinstance(error, bool) or not isinstance(error, int | float):
            raise ValueError("needs a name, or {noisy: 0.1}")
        if not 0 <= error <= 10:
            raise ValueError("the error of noisy must be from 0 to 10")
        return float(error)
    if not isinstance(value, str):
        raise ValueError("needs a name, or {noisy: 0.1}")
    return value


Forecast = Annotated[
    str | float,
    BeforeValidator(_forecast),
    PlainSerializer(lambda value: value if isinstance(value, str) else {"noisy": value}),
    WithJsonSchema({"anyOf": [TEXT, {"type": "object", "properties": {"noisy": {"type": "number"}}}]}),
    Unit("name or {noisy: error}"),
]


class Battery(Section):
    """Stationary battery."""

    kwh: KilowattHours = Field(description="Usable capacity")
    kw: Kilowatts = Field(description="Largest power of charging and of discharging, at the connection")
    efficiency: Real = Field(default=0.92, gt=0, le=1, description="Round trip: energy out per energy in")
    self_discharge: Real = Field(default=0.0, ge=0, lt=1, description="Share of the stored energy that is lost per day")
    initial: Real = Field(default=0.5, ge=0, le=1, description="State of charge at the start [share of the capacity]")
    share: Share = Field(default=1.0, description="Share of the members that have one")
    rule: str = Field(
        default="self_consumption",
        min_length=1,
        description="What it does: self_consumption, mpc (plans by the utility's prices), or package.module:Class",
    )
    trade: Flag = Field(
        default=False,
        description="`mpc`: decides while the market runs, by its prices too, and sells and buys beside its owner",
    )
    forecast: Forecast = Field(
        default="analogs",
        description="What a plan believes of its owner's next day: persistence, same_weekday, exponential_smoothing, "
        "analogs (the last days again), package.module:Class, or {noisy: error} for the truth with a relative error",
    )


class Device(Section):
    """A device of your own: a class called with a `Site` and the parameters, which makes a `Fleet`."""

    name: str = Field(min_length=1, description="package.module:Class")
    params: dict[str, Any] = Field(default_factory=dict, description="Keywords of the class")
    share: Share = Field(default=1.0, description="Share of the members that have one")


class Strategy(Section):
    """How the members of a group quote."""

    name: str = Field(min_length=1, description="Name of a strategy, or package.module:Class")
    params: dict[str, Any] = Field(default_factory=dict, description="Parameters of the strategy")
    share: Share = Field(default=1.0, description="Share of the members, where a group has several strategies")


def _strategies(value: object) -> object:
    items = value if isinstance(value, list | tuple) else [value]
    return tuple({"name": item} if isinstance(item, str) else item for item in items)


_STRATEGY_SCHEMA = {"anyOf": [TEXT, Strategy.model_json_schema()]}
Strategies = Annotated[
    tuple[Strategy, ...],
    BeforeValidator(_strategies),
    WithJsonSchema({"anyOf": [*_STRATEGY_SCHEMA["anyOf"], {"type": "array", "items": _STRATEGY_SCHEMA}]}),
    Unit("name, mapping or list"),
]


class Connect(Section):
    """At which connections of the feeder the members are: exactly one of the two, or any that is free."""

    profile: Names | None = Field(
        default=None, description="Free connections with this profile or family in the feeder"
    )
    ids: tuple[str, ...] | None = Field(default=None, min_length=1, description="These connections, in this order")

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
    return list(connect.ids) if connect.ids else {"profile": one_or_all(connect.profile)} if connect.profile else "any"


_CONNECT_SCHEMA = {
    "anyOf": [
        {"const": "any"},
        {"type": "array", "items": TEXT, "minItems": 1},
        {"type": "object", "properties": {"profile": TEXTS}, "required": ["profile"]},
    ]
}


class Group(Section):
    """Participants of one kind, each with a connection of its own."""

    group: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", description="Name; members are called NAME-001 and so on")
    kind: Kind = Field(description="What the members are; picks default profiles and the lines of the report")
    count: Whole | None = Field(
        default=None, gt=0, description="Number of members; by default one per connection listed"
    )
    connect: Annotated[Connect, PlainSerializer(_write_connect), WithJsonSchema(_CONNECT_SCHEMA)] = Field(
        default=Connect(), description="'any' free connection, a list of connections, or {profile: FAMILY}"
    )
    load: Load | None = Field(default=None, description="Inflexible consumption")
    pv: Pv | None = Field(default=None, description="Photovoltaic plant")
    wind: Wind | None = Field(default=None, description="Wind turbine")
    biomass: Biomass | None = Field(default=None, description="Biomass plant")
    hydro: Hydro | None = Field(default=None, description="Hydro power plant")
    heat_pump: HeatPump | None = Field(default=None, description="Heat pump")
    ev: Ev | None = Field(default=None, description="Charging point")
    battery: Battery | None = Field(default=None, description="Battery")
    backup: Backup | None = Field(default=None, description="Generator that stands by")
    processes: tuple[Process, ...] = Field(default=(), description="Work at times of its own")
    devices: tuple[Device, ...] = Field(default=(), description="Devices of your own")
    value: Prices | None = Field(
        default=None, description="What energy is worth to a buyer, fees included; by default the highest retail price"
    )
    cost: Prices | None = Field(
        default=None, description="Lowest price that a seller accepts; by default the lowest feed_in"
    )
    lost_load: Price | None = Field(
        default=None, ge=0, description="Island: what a kWh of firm load not served costs; by default the tariffs' own"
    )
    accepts: tuple[Origin, ...] = Field(
        default=(),
        description="Origins that its bids accept; by default all. What it does not find, the utility serves",
    )
    green_premium: Price = Field(
        default=0, ge=0, description="What its bids pay beyond their worth for the origins that they accept"
    )
    strategy: Strategies = Field(default=(Strategy(name="zi_c"),), description="How the members quote")

    @property
    def size(self) -> int:
        """Number of members."""
        return self.count if self.count is not None else len(self.connect.ids or ())
