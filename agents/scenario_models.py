"""The sections of a scenario that choose a model instead of a recorded profile, and the weather that models see."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agents.scenario_units import Amounts, Flag, KilowattHours, Kilowatts, Prices, Range, Real, Share, Whole

Turning = tuple[Real, Real]


class Section(BaseModel):
    """A mapping of the YAML: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def given(self, *without: str) -> dict[str, Any]:
        """The fields as keywords of a model, without some and without ranges, which each member draws from."""
        items = ((name, getattr(self, name)) for name in type(self).model_fields if name not in without)
        return {name: value for name, value in items if value is not None and not isinstance(value, Range)}


class Weather(Section):
    """What models of devices see: made from the seed for a place, or read from a file."""

    latitude: Real = Field(default=51.5, ge=-66, le=66, description="Degrees north")
    longitude: Real = Field(default=9.5, ge=-180, le=180, description="Degrees east")
    temperature: Real = Field(default=9.5, ge=-40, le=40, description="Mean of the year [°C]")
    swing: Real = Field(default=9.0, ge=0, le=40, description="Half the difference of warmest and coldest day [K]")
    cloud: Real = Field(default=0.75, ge=0, le=1, description="Usual cloud cover")
    wind: Real = Field(default=4.0, ge=0, le=30, description="Mean speed 10 m above ground [m/s]")
    rain: Real = Field(default=2.0, ge=0, le=50, description="Mean rain [mm/day]")
    file: str | None = Field(
        default=None, min_length=1, description="CSV with time (UTC) and some of ghi, temperature, wind, rain, inflow"
    )


class Roof(Section):
    """Photovoltaic plant under the run's weather, by its tilt and azimuth, instead of a profile."""

    tilt: Amounts = Field(default=Range(35, 35), description="From the horizontal [degrees]")
    azimuth: Amounts = Field(default=Range(180, 180), description="Clockwise from north [degrees]; 180 is south")
    noct: Real = Field(default=45.0, ge=20, le=80, description="Cell temperature at 800 W/m² and 20 °C [°C]")
    gamma: Real = Field(default=-0.004, ge=-0.02, le=0, description="Change of power per K of the cells")
    losses: Real = Field(default=0.14, ge=0, lt=1, description="Share lost by soiling, wires and inverter")
    inverter: Real = Field(default=1.0, gt=0, le=2, description="Largest power [share of kwp]")
    albedo: Real = Field(default=0.2, ge=0, le=1, description="Share of the light that the ground reflects")


class Turbine(Section):
    """Wind turbine under the run's weather, by its power curve, instead of a profile."""

    curve: Literal["high", "medium", "low"] | tuple[Turning, ...] = Field(
        default="low", description="For sites of high, medium or low wind, or points [m/s, share of kw]"
    )
    height: Real = Field(default=30.0, ge=5, le=300, description="Of the hub above ground [m]")
    shear: Real = Field(default=1 / 7, ge=0, le=1, description="Exponent of the power law of wind and height")
    roughness: Real | None = Field(default=None, gt=0, lt=5, description="Length of the log law instead [m]")


class River(Section):
    """Run-of-river plant under the run's inflow, instead of a profile."""

    head: Real = Field(default=3.0, gt=0, le=2000, description="[m]")
    efficiency: Real = Field(default=0.8, gt=0, le=1, description="Of turbine and generator")
    mean_flow: Real = Field(default=1.2, gt=0, le=100, description="Mean of the river [share of the design flow]")
    residual: Real = Field(default=0.15, ge=0, lt=1, description="Share of that mean that stays in the river")
    least: Real = Field(default=0.2, ge=0, le=1, description="Least flow of the turbine [share of the design flow]")


class Plant(Section):
    """Biomass plant with a fuel store, a least load, a least run and a ramp, instead of a profile."""

    least: Real = Field(
        default=0.5, ge=0, le=1, description="Least load while it runs [share of kw]; flows in any case"
    )
    run_hours: Real = Field(default=2.0, gt=0, le=168, description="Least run [h]")
    ramp: Real = Field(default=1.0, gt=0, le=10, description="Largest change [share of kw per minute]")
    store_hours: Real = Field(default=8.0, gt=0, le=1e4, description="Fuel store [h at full load]")
    delivery: Real = Field(default=0.7, ge=0, le=10, description="Steady delivery of fuel [share of full load]")
    filled: Real = Field(default=0.5, ge=0, le=1, description="Store at the start [share]")
    hours: Turning = Field(default=(0.0, 24.0), description="When it is wanted [h of the day, UTC: from, to]")
    by_price: Flag = Field(default=False, description="Wanted only while retail is no less than in the day's mean")


class Trips(Section):
    """A car that comes home, needs energy and leaves again, instead of a profile."""

    kwh: KilowattHours = Field(description="Mean need of a day")
    arrival: Real = Field(default=17.0, ge=0, lt=24, description="Mean [h of the day, UTC]")
    departure: Real = Field(default=6.5, ge=0, lt=24, description="Mean [h of the day, UTC]")
    spread: Real = Field(default=1.0, ge=0, le=4, description="Standard deviation of both [h]")
    required: Real = Field(
        default=1.0, ge=0, le=1, description="Share of the need that is charged in any case; the rest only if bought"
    )
    late: Flag = Field(default=False, description="Charge in the last hours that suffice; else at once")
    v2g_kwh: Real = Field(default=0.0, ge=0, le=500, description="Given back on arrival, charged again later [kWh]")
    efficiency: Real = Field(default=0.85, gt=0, le=1, description="Round trip of what is given back")
    by_price: Flag = Field(
        default=False, description="Give back in the dearest hours, charge in the cheapest, by the utility's prices"
    )


class Building(Section):
    """A heated building with a store of hot water, instead of a profile."""

    loss: Amounts = Field(default=Range(180, 180), description="Heat loss [W/K]")
    hours: Real = Field(default=60.0, gt=0, le=1000, description="Time constant [h]")
    comfort: Turning = Field(default=(20.0, 22.0), description="Comfort band [°C: least, most]")
    preheat: Flag = Field(default=False, description="Warm to the upper end while the sun is high")
    by_price: Flag = Field(default=False, description="Warm to the upper end in the cheapest third of the day's prices")
    flow: Real = Field(default=40.0, ge=20, le=75, description="Temperature of the heating water [°C]")
    ground: Flag = Field(default=False, description="Ground source; else air")
    windows: Real = Field(default=3.0, ge=0, le=1000, description="Area that lets the sun in [m²]")
    gains: Real = Field(default=300.0, ge=0, le=1e6, description="Heat of people and devices [W]")
    litres: Real = Field(default=250.0, gt=0, le=1e6, description="Store of hot water")
    water: Turning = Field(default=(48.0, 55.0), description="Its temperatures [°C: from, to]")
    draw: Real = Field(default=120.0, ge=0, le=1e6, description="Hot water [litres a day at 45 °C]")


class Backup(Section):
    """Diesel generator or fuel cell that runs only for what it has sold."""

    kw: Kilowatts = Field(description="Rated power")
    cost: Prices = Field(description="Marginal cost, fuel and wear; the lowest price that its owner accepts")
    share: Share = Field(default=1.0, description="Share of the members that have one")


class Willing(Section):
    """What a household or a firm is willing to shift to the hours of the sun."""

    share: Share = Field(default=0.2, description="Share of the consumption that may move")
    hours: Real = Field(default=3.0, gt=0, le=24, description="How far [h], earlier or later")


class Process(Section):
    """Work on farms and in industry that takes electricity at times of its own."""

    name: Literal["irrigation", "cooling", "drying", "shift", "batch"] = Field(description="Which model")
    kw: Kilowatts | None = Field(default=None, description="Rated power; all but cooling need it")
    litres: Amounts | None = Field(default=None, description="`cooling`: milk of a day")
    area: Amounts | None = Field(default=None, description="`irrigation`: [ha]")
    head: Real | None = Field(default=None, gt=0, le=2000, description="`irrigation`: lift and pressure [m]")
    tonnes: Amounts | None = Field(default=None, description="`drying`: wet grain of a day")
    hours: Real | None = Field(default=None, gt=0, le=24, description="`batch`: length of the run [h]")
    window: Turning | None = Field(default=None, description="All but cooling: when it may run [h of the day, UTC]")
    months: tuple[Whole, ...] | None = Field(default=None, description="`irrigation`, `drying`: 1 to 12")
    to_sun: Flag | None = Field(default=None, description="Run around solar noon; else at the window's begin")
    flexible: Flag | None = Field(default=None, description="Runs only as far as its energy is bought")
    share: Share = Field(default=1.0, description="Share of the members that have one")
