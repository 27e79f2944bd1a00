"""The section of a scenario that says what the utility charges and pays, by time of day, and what the wires cost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from agents.scenario_models import Section
from agents.scenario_units import Price, Real, Unit, parse_price, write_price
from market.orders import LossModel

Ints = NDArray[np.int64]
DAY_MINUTES = 1440
DAYS: dict[str, tuple[int, ...]] = {"all": (0, 1, 2, 3, 4, 5, 6), "workdays": (0, 1, 2, 3, 4), "weekend": (5, 6)}
"""Days of a band, Monday is 0."""


def _minutes(value: object) -> object:
    """Minutes since midnight from ``"06:30"``."""
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", value) if isinstance(value, str) else None
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise ValueError('needs a time of day, like "06:30"')
    return int(match[1]) * 60 + int(match[2])


def write_minutes(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


TimeOfDay = Annotated[
    int,
    BeforeValidator(_minutes),
    PlainSerializer(write_minutes),
    WithJsonSchema({"type": "string", "examples": ["06:30"]}),
    Unit("HH:MM"),
]


class Band(Section):
    """One price from a time of day until the next band of the same day begins; or one price for all times."""

    since: TimeOfDay = Field(default=0, description="Local time from which it holds; 00:00 must have a band")
    price: Price = Field(description="What a kWh costs, or is paid")
    days: Literal["all", "workdays", "weekend"] = Field(
        default="all", description="Monday to Friday, Saturday and Sunday, or all"
    )


def _bands(value: object) -> object:
    if isinstance(value, list | tuple):
        return value
    parse_price(value)  # so that a fault is that of the field
    return ({"price": value},)


def _write_bands(bands: tuple[Band, ...]) -> object:
    return write_price(bands[0].price) if _flat(bands) else [band.model_dump(mode="json") for band in bands]


def _flat(bands: tuple[Band, ...]) -> bool:
    return len(bands) == 1 and bands[0].since == 0 and bands[0].days == "all"


_PRICE = {"type": "string", "examples": ["21.35 ct/kWh"]}
Bands = Annotated[
    tuple[Band, ...],
    BeforeValidator(_bands),
    PlainSerializer(_write_bands),
    WithJsonSchema({"anyOf": [_PRICE, {"type": "array", "items": Band.model_json_schema(), "minItems": 1}]}),
    Unit("ct/kWh, or bands"),
]


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("is no time zone that this machine knows; use UTC or one like Europe/Berlin") from error
    return name


class NetworkCharge(Section):
    """Fees that depend on who trades with whom, beside `grid_fee`; docs/tariffs.md explains them."""

    model: Literal["flat", "distance", "level"] = Field(
        default="flat", description="Nothing beside grid_fee, by electrical distance, or by the level that both share"
    )
    per_ohm: Price = Field(default=0, ge=0, description="`distance`: for each ohm between seller and buyer")
    limits: tuple[Real, ...] = Field(
        default=(), description="`distance`: largest distance of each band but the last [ohm], rising"
    )
    fees: tuple[Price, ...] = Field(default=(), description="`distance`: fee of each band, one more than limits")
    feeder: Price = Field(default=0, ge=0, description="`level`: both on one outgoing feeder of a substation")
    substation: Price = Field(default=0, ge=0, description="`level`: both behind one transformer")
    beyond: Price = Field(default=0, ge=0, description="`level`: all others")


class Prices(NamedTuple):
    """The utility's prices in T slots [milli-currency/MWh]."""

    retail: Ints
    feed_in: Ints


class Tariffs(Section):
    """What the utility charges and pays for energy that is not traded locally, and what the wires cost."""

    utility: Literal["grid", "none"] = Field(
        default="grid",
        description="`none`: an island. Nothing comes from above the feeder, what is not bought is shed, what is not "
        "sold curtailed; retail and feed_in do not count",
    )
    lost_load: Price = Field(
        default=10_000_000, ge=0, description="Island: what it costs its owner that firm load is not served"
    )
    retail: Bands = Field(default=(Band(price="32 ct/kWh"),), description="Price at which the utility sells")  # type: ignore[arg-type]
    feed_in: Bands = Field(default=(Band(price="8 ct/kWh"),), description="Price at which the utility buys")  # type: ignore[arg-type]
    time_zone: Annotated[str, AfterValidator(_zone)] = Field(
        default="UTC", description="Whose clock and weekdays bands follow, with its summer time: UTC or Europe/Berlin"
    )
    grid_fee: Price = Field(default=0, ge=0, description="Paid by the buyer on every Wh traded locally")
    network: NetworkCharge = Field(default=NetworkCharge(), description="Fees that depend on who trades with whom")
    losses: LossModel = Field(
        default="none", description="Who pays for what the wires lose: nobody, the operator, or all, by either rule"
    )
    losses_price: Price = Field(default=100_000, ge=0, description="Price at which the utility supplies the losses")

    def prices(self, first_slot: int, slots: int, slot_seconds: int) -> Prices:
        """The prices of so many slots: those of the moment in which each begins."""
        if _flat(self.retail) and _flat(self.feed_in):
            return Prices(*(np.full(slots, bands[0].price, dtype=np.int64) for bands in (self.retail, self.feed_in)))
        minute = week_minutes(first_slot, slots, slot_seconds, ZoneInfo(self.time_zone))
        return Prices(*(_series(bands)[minute] for bands in (self.retail, self.feed_in)))

    @property
    def largest_gap(self) -> int:
        """Most by which the utility's two prices ever differ, at least 0 [milli-currency/MWh]."""
        return max(0, int((_series(self.retail) - _series(self.feed_in)).max()))

    @property
    def extremes(self) -> tuple[int, int]:
        """The lowest price that is paid and the highest that is charged."""
        return min(band.price for band in self.feed_in), max(band.price for band in self.retail)


def week_minutes(first_slot: int, slots: int, slot_seconds: int, zone: tzinfo) -> Ints:
    """(slots,) local minutes since Monday's midnight in which slots begin."""
    times = (datetime.fromtimestamp((first_slot + k) * slot_seconds, UTC).astimezone(zone) for k in range(slots))
    return np.array([(t.weekday() * 24 + t.hour) * 60 + t.minute for t in times], dtype=np.int64)


def _series(bands: tuple[Band, ...]) -> Ints:
    """(7 · 1440,) price of each minute of a week; 0 where no band holds."""
    week = np.zeros((7, DAY_MINUTES), dtype=np.int64)
    for band in sorted(bands, key=lambda band: band.since):
        week[list(DAYS[band.days]), band.since :] = band.price
    return week.reshape(-1)


def band_faults(name: str, bands: tuple[Band, ...]) -> Iterator[str]:
    """What is wrong with the bands of `tariffs.NAME` among themselves."""
    taken: dict[tuple[int, int], int] = {}
    for number, band in enumerate(bands):
        clash = next((taken[day, band.since] for day in DAYS[band.days] if (day, band.since) in taken), None)
        if clash is not None:
            yield f"tariffs.{name}[{number}].since: {write_minutes(band.since)} has a price in [{clash}] too; keep one"
        taken.update({(day, band.since): number for day in DAYS[band.days]})
    missing = [kind for kind in ("workdays", "weekend") if any((day, 0) not in taken for day in DAYS[kind])]
    if missing:
        kinds = " and ".join(missing)
        yield f'tariffs.{name}: must begin at 00:00 on {kinds}; add {{since: "00:00", price: …}}'


def crossing(tariffs: Tariffs) -> tuple[int, int, int] | None:
    """The first minute of the week in which the utility would pay more than it charges, and both prices."""
    retail, feed_in = _series(tariffs.retail), _series(tariffs.feed_in)
    at = np.flatnonzero(feed_in > retail)
    return (int(at[0]), int(feed_in[at[0]]), int(retail[at[0]])) if len(at) else None
