"""Scenario values as people write them: numbers with their unit, ranges, times. Parsed at the edge, exact inside.

Each type below is a parser (raising ValueError that says how to write the value), the writer that turns the parsed
value back into text, and what an editor's JSON schema shows. `Unit` names the unit for the reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from market import slots, units


@dataclass(frozen=True)
class Unit:
    """Unit of a field, for the reference; metadata of its annotated type."""

    text: str


_NUMBER = re.compile(r"\s*([+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*(%|[A-Za-z/]+)?\s*\Z")
MOST = 1e8
"""Largest power [kW] or energy [kWh] of one device; its Wh stay exact."""
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


def _quantity(value: object, example: str) -> tuple[Decimal, str]:
    match = _NUMBER.match(value) if isinstance(value, str) else None
    if match is None or match[2] is None:
        raise ValueError(f"needs a number with its unit, like {example!r}")
    return Decimal(match[1]), match[2]


def parse_price(value: object) -> int:
    """Price [milli-currency/MWh] from ``"21.35 ct/kWh"``."""
    _quantity(value, "21.35 ct/kWh")
    return units.price(str(value))


def write_price(price: int) -> str:
    return f"{_plain(Decimal(price) / units.PRICE_PER_CT_KWH)} ct/kWh"


def parse_energy(value: object) -> int:
    """Energy [Wh] from ``"4 kWh"``."""
    _quantity(value, "4 kWh")
    return units.energy(str(value))


def parse_duration(value: object) -> int:
    """Duration [s] from ``"15 min"``."""
    number, unit = _quantity(value, "15 min")
    if unit not in _SECONDS:
        raise ValueError(f"has an unknown unit {unit!r}; write it like '15 min' (s, min, h, d)")
    seconds = number * _SECONDS[unit]
    if seconds != seconds.to_integral_value():
        raise ValueError("must be whole seconds")
    return int(seconds)


def write_duration(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"


def parse_start(value: object) -> int:
    """Time [ns since 1970] from ISO 8601 UTC text; a plain date is its midnight."""
    if isinstance(value, str):
        text = f"{value}T00:00Z" if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) else value
        return slots.parse_time(text)
    raise ValueError("needs a UTC time, like '2016-06-21T00:00Z'")


class Range(NamedTuple):
    """Bounds between which each member of a group draws its own value; a plain number is both."""

    low: float
    high: float


class PriceRange(NamedTuple):
    """Bounds between which each member of a group draws its own price [milli-currency/MWh]."""

    low: int
    high: int


class ExportLimit(NamedTuple):
    """Power that may always be exported: `share` of the installed kWp, at most `kw` where that is given."""

    share: float
    kw: float | None


def _plain(number: Decimal) -> str:
    text = format(number.normalize(), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _short(number: float) -> float | int:
    return int(number) if float(number).is_integer() else number


def _number(value: object, unit: str) -> float:
    """A bare number, or one whose unit says what the field's name says already."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"needs a number [{unit}]")
    if isinstance(value, str):
        number, given = _quantity(value, f"4 {unit}")
        if given.lower() != unit.lower():
            raise ValueError(f"needs {unit}, not {given}")
        return float(number)
    return float(value)


def _positive_range(unit: str) -> Callable[[object], Range]:
    def parse(value: object) -> Range:
        if isinstance(value, list | tuple):
            if len(value) != 2:
                raise ValueError("needs one number or a pair [least, most]")
            low, high = (_number(bound, unit) for bound in value)
        else:
            low = high = _number(value, unit)
        if not (low > 0 and high > 0):
            raise ValueError("must be > 0")
        if not (low <= MOST and high <= MOST):
            raise ValueError(f"must be at most {MOST:,.0f} {unit}".replace(",", "_"))
        if low > high:
            raise ValueError("least is greater than most: swap the two")
        return Range(low, high)

    return parse


def _price_range(value: object) -> PriceRange:
    if isinstance(value, list | tuple):
        if len(value) != 2:
            raise ValueError("needs one price or a pair [least, most]")
        low, high = (parse_price(bound) for bound in value)
    else:
        low = high = parse_price(value)
    if low > high:
        raise ValueError("least is greater than most: swap the two")
    return PriceRange(low, high)


def parse_share(value: object) -> float:
    """Share in (0, 1] from a number or from ``"40 %"``."""
    if isinstance(value, str):
        number, unit = _quantity(value, "40 %")
        if unit != "%":
            raise ValueError("needs a number from 0 to 1, or like '40 %'")
        share = float(number / 100)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        share = float(value)
    else:
        raise ValueError("needs a number from 0 to 1, or like '40 %'")
    if not 0 < share <= 1:
        raise ValueError("must be > 0 and <= 1")
    return share


def _export_limit(value: object) -> ExportLimit:
    if isinstance(value, str) and not value.strip().endswith("%"):
        kw = _number(value, "kW")
        if kw < 0:
            raise ValueError("must be >= 0")
        return ExportLimit(1.0, kw)
    if value == 0 and not isinstance(value, bool):
        return ExportLimit(0.0, None)
    return ExportLimit(parse_share(value), None)


def _write_limit(limit: ExportLimit) -> object:
    return f"{_short(limit.kw)} kW" if limit.kw is not None else _short(limit.share)


def _write_range(bounds: Range) -> object:
    return _short(bounds.low) if bounds.low == bounds.high else [_short(bounds.low), _short(bounds.high)]


def _write_prices(bounds: PriceRange) -> object:
    low, high = write_price(bounds.low), write_price(bounds.high)
    return low if low == high else [low, high]


def _or_pair(item: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 2, "maxItems": 2}]}


_PRICE_SCHEMA = {"type": "string", "examples": ["21.35 ct/kWh"]}
_AMOUNT_SCHEMA = {"type": "number", "exclusiveMinimum": 0}


Whole = Annotated[int, Field(strict=True)]
Real = Annotated[float, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Price = Annotated[
    int, BeforeValidator(parse_price), PlainSerializer(write_price), WithJsonSchema(_PRICE_SCHEMA), Unit("ct/kWh")
]
Prices = Annotated[
    PriceRange,
    BeforeValidator(_price_range),
    PlainSerializer(_write_prices),
    WithJsonSchema(_or_pair(_PRICE_SCHEMA)),
    Unit("ct/kWh"),
]
Energy = Annotated[
    int,
    BeforeValidator(parse_energy),
    PlainSerializer(lambda wh: f"{wh} Wh"),
    WithJsonSchema({"type": "string", "examples": ["1 Wh"]}),
    Unit("Wh, kWh"),
]
Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    PlainSerializer(write_duration),
    WithJsonSchema({"type": "string", "examples": ["15 min"]}),
    Unit("s, min, h"),
]
Start = Annotated[
    int,
    BeforeValidator(parse_start),
    PlainSerializer(slots.format_time),
    WithJsonSchema({"type": "string", "examples": ["2016-06-21T00:00Z"]}),
    Unit("ISO 8601 UTC"),
]
Share = Annotated[
    float,
    BeforeValidator(parse_share),
    PlainSerializer(_short),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, {"type": "string"}]}),
    Unit("0 to 1, or %"),
]
ExportLimits = Annotated[
    ExportLimit,
    BeforeValidator(_export_limit),
    PlainSerializer(_write_limit),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "examples": ["5 kW"]}]}
    ),
    Unit("share of kWp, or kW"),
]
Kilowatts = Annotated[
    Range,
    BeforeValidator(_positive_range("kW")),
    PlainSerializer(_write_range),
    WithJsonSchema(_or_pair(_AMOUNT_SCHEMA)),
    Unit("kW"),
]
KilowattPeak = Annotated[
    Range,
    BeforeValidator(_positive_range("kWp")),
    PlainSerializer(_write_range),
    WithJsonSchema(_or_pair(_AMOUNT_SCHEMA)),
    Unit("kWp"),
]
Amounts = Annotated[
    Range,
    BeforeValidator(_positive_range("as said")),
    PlainSerializer(_write_range),
    WithJsonSchema(_or_pair(_AMOUNT_SCHEMA)),
]
KilowattHours = Annotated[
    Range,
    BeforeValidator(_positive_range("kWh")),
    PlainSerializer(_write_range),
    WithJsonSchema(_or_pair(_AMOUNT_SCHEMA)),
    Unit("kWh"),
]
