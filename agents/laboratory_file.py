"""Laboratory files: YAML in, frozen `Laboratory` out; every error at once, each with its path, the value and the fix.

Prices are plain whole numbers here, quantities units; there is no time of day.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from agents import scenario_reference, scenario_rules, strategies
from agents.scenario_groups import TEXT
from agents.scenario_models import Section
from agents.scenario_text import ScenarioError, read_yaml
from agents.scenario_units import Real, Whole
from grid import zones
from market.book import MAX_LEVELS

__all__ = ["Laboratory", "is_laboratory", "json_schema", "load_laboratory", "reference"]

MAX_TRADERS = 2_000
NEEDS_UTILITY = ("utility_only",)
"""Strategies that make no sense without one."""


class Prices(Section):
    """The prices that may be quoted."""

    floor: Whole = Field(description="Least price")
    cap: Whole = Field(description="Largest price, a whole number of ticks above the floor")
    tick: Whole = Field(default=1, gt=0, description="Prices are whole numbers of this above the floor")


class Use(Section):
    """A strategy and its parameters."""

    name: str = Field(min_length=1, description="Name of a strategy, or package.module:Class")
    params: dict[str, Any] = Field(default_factory=dict, description="Its parameters")


def _use(value: object) -> object:
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, Mapping) and isinstance(value.get("params", {}), Mapping):
        rest = {key: item for key, item in value.items() if key not in ("name", "params")}
        named = {"name": value["name"]} if "name" in value else {}
        return {**named, "params": {**rest, **value.get("params", {})}}
    return value


def _write_use(use: Use) -> object:
    return {"name": use.name, **use.params} if use.params else use.name


_USE_SCHEMA = {
    "anyOf": [
        TEXT,
        {"type": "object", "properties": {"name": TEXT}, "required": ["name"], "additionalProperties": True},
    ]
}
Strategy = Annotated[Use, BeforeValidator(_use), PlainSerializer(_write_use), WithJsonSchema(_USE_SCHEMA)]


class Traders(Section):
    """Traders who are alike."""

    side: Literal["buy", "sell"] = Field(description="What they do")
    count: Whole = Field(default=1, gt=0, le=MAX_TRADERS, description="How many they are")
    units: tuple[Whole, ...] = Field(
        min_length=1, description="What each unit is worth to a buyer, or costs a seller, in the order of trading"
    )
    strategy: Strategy = Field(description="How they quote: a name, or {name: …} with parameters")
    zone: str = Field(default="", description="Where they are; needed where there are lines")


class Line(Section):
    """A line between two zones."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False, serialize_by_alias=True)

    start: str = Field(alias="from", min_length=1, description="Zone")
    end: str = Field(alias="to", min_length=1, description="Another zone")
    cap: Whole = Field(ge=0, description="Most net units per period, in either direction")


class Network(Section):
    """What the zones are joined by."""

    lines: tuple[Line, ...] = Field(min_length=1, description="Lines; they form no ring")


class SpreadClock(Section):
    """How far a bid must be above an ask for the two to trade."""

    start: Whole = Field(gt=0, description="At the start of a period")
    zero_at: Real = Field(
        default=0.7,
        gt=0,
        le=100,
        description="Share of the period after which a crossing is enough; above 1 only with a closing auction",
    )
    power: Whole = Field(
        default=1, ge=1, le=8, description="Falls by this power of the time left: 1 in a straight line, more fast first"
    )


class Laboratory(Section):
    """An abstract market: periods with the same endowments, traders who keep what they learnt from one to the next."""

    kind: Literal["laboratory"] = Field(description="Tells this file from a scenario")
    name: str = Field(default="laboratory", pattern=r"^[a-z][a-z0-9_-]*$", description="Short name")
    title: str = Field(default="", description="One line for people")
    seed: Whole = Field(default=1, ge=0, lt=2**63, description="Everything random follows from it")
    price: Prices = Field(description="The prices that may be quoted")
    sessions: Whole = Field(default=1, gt=0, le=1_000_000, description="Independent repetitions")
    periods: Whole = Field(
        default=1, gt=0, le=9_000, description="Periods of a session; endowments are renewed in each"
    )
    quotes_per_period: Whole | None = Field(
        default=None, gt=0, le=10_000_000, description="A period ends after so many quotes"
    )
    idle_limit: Whole | None = Field(
        default=None, gt=0, le=10_000_000, description="A period ends after so many quotes without a trade"
    )
    after_trade: Literal["clear_quotes", "keep"] = Field(
        default="keep",
        description="clear_quotes: quotes must improve and a trade ends all; keep: they stay until replaced or filled",
    )
    traders: tuple[Traders, ...] = Field(min_length=1, description="Who trades")
    network: Network | None = Field(default=None, description="Lines between zones")
    spread_clock: SpreadClock | None = Field(default=None, description="The most valuable trades first")
    closing: bool = Field(default=False, description="A call auction of the quotes that are left ends each period")

    @property
    def lines(self) -> list[zones.Line]:
        """The lines as the gate takes them."""
        return [zones.Line(line.start, line.end, line.cap) for line in self.network.lines] if self.network else []

    def to_yaml(self) -> str:
        """The laboratory as YAML text that loads to an equal one."""
        data = self.model_dump(mode="json", exclude_none=True, by_alias=True)
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)

    def changed(self, **changes: Any) -> Laboratory:
        """A copy with some fields set anew, such as ``changed(seed=3, sessions=10)``. Raises ScenarioError."""
        return from_data(yaml.safe_load(self.to_yaml()) | changes, f"laboratory {self.name}")


def load_laboratory(source: str | Path) -> Laboratory:
    """The laboratory in a YAML file, or in YAML text (which has more than one line).

    Raises ScenarioError with every error found; OSError if the file cannot be read.
    """
    if isinstance(source, str) and "\n" in source:
        text: str | bytes = source
        label = "laboratory"
    else:
        path = Path(source)
        text, label = path.read_bytes(), path.name
    data, errors = read_yaml(text, label)
    return from_data(data, label, errors)


def is_laboratory(text: bytes) -> bool:
    """Whether YAML text says that it is a laboratory; what cannot be read is none."""
    try:
        data, _ = read_yaml(text, "")
    except ScenarioError:
        return False
    return isinstance(data, dict) and data.get("kind") == "laboratory"


def from_data(data: object, label: str, errors: list[str] | None = None) -> Laboratory:
    """The laboratory that decoded YAML describes; `errors` are those found before. Raises ScenarioError."""
    found = list(errors or [])
    parts = scenario_rules.sections(Laboratory, data, found)
    found.extend(_together(parts, set(data) if isinstance(data, dict) else set()))
    if found:
        raise ScenarioError([f"{label}: {error}" for error in found])
    return Laboratory.model_construct(**parts)


def json_schema() -> dict[str, Any]:
    """JSON schema of a laboratory file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Laboratory.model_json_schema(by_alias=True)


def reference() -> str:
    """Every field of a laboratory as Markdown: type, default and meaning, generated from the models."""
    return scenario_reference.markdown(Laboratory, scenario_reference.LABORATORY)


def _together(parts: Mapping[str, Any], given: set[str]) -> list[str]:
    """What must hold between fields; a field that is faulty itself is None. `given` has the keys of the file."""
    found: list[str] = []
    if parts["price"] is not None:
        found += _prices(parts["price"])
    if not given & {"quotes_per_period", "idle_limit"}:
        found.append("quotes_per_period: is missing; say when a period ends, by it or by idle_limit")
    if parts["traders"] is not None:
        found += _traders(parts["traders"], parts["network"])
    if parts["network"] is not None:
        lines = [zones.Line(line.start, line.end, line.cap) for line in parts["network"].lines]
        found += [f"network.{fault}" for fault in zones.problems(lines)]
    if parts["spread_clock"] is not None:
        found += _spread_clock(
            parts["spread_clock"], parts["price"], "quotes_per_period" in given, parts["closing"] is not False
        )
    return found


def _prices(price: Prices) -> list[str]:
    if price.cap <= price.floor:
        return [f"price.cap: must be above the floor {price.floor}, got {price.cap}"]
    if (price.cap - price.floor) % price.tick:
        below = price.cap - (price.cap - price.floor) % price.tick
        return [f"price.cap: must be a whole number of ticks above the floor, got {price.cap}; use {below}"]
    if (price.cap - price.floor) // price.tick >= MAX_LEVELS:
        return [f"price.tick: must be larger, at most {MAX_LEVELS} prices from floor to cap, got {price.tick}"]
    return []


def _traders(groups: tuple[Traders, ...], network: Network | None) -> list[str]:
    found = []
    known = {zone for line in network.lines for zone in (line.start, line.end)} if network else set()
    for place, group in enumerate(groups):
        where = f"traders[{place}]"
        use = group.strategy
        if use.name in NEEDS_UTILITY:
            found.append(f"{where}.strategy: {use.name} trades with the utility, and a laboratory has none")
        found += [f"{where}.strategy: {fault}" for fault in strategies.check(use.name, use.params)]
        if network is not None and group.zone not in known:
            got = f"got {group.zone!r}" if group.zone else "is missing"
            found.append(f"{where}.zone: must be a zone of a line, one of {', '.join(sorted(known))}; {got}")
    sides = {group.side for group in groups}
    if len(sides) == 1:
        found.append(f"traders: need both sides to trade, got {sides.pop()} alone; add the other")
    count = sum(group.count for group in groups)
    if count > MAX_TRADERS:
        found.append(f"traders: at most {MAX_TRADERS} in all, got {count}; use fewer or give them more units")
    return found


def _spread_clock(clock: SpreadClock, price: Prices | None, limited: bool, closing: bool) -> list[str]:
    found = []
    if clock.zero_at > 1 and not closing:
        found.append(f"spread_clock.zero_at: must be <= 1, got {clock.zero_at:g}; or say closing: true")
    if price is not None and clock.start // price.tick >= MAX_LEVELS:
        found.append(f"spread_clock.start: must be less than {MAX_LEVELS} ticks, got {clock.start}")
    if not limited:
        found.append("spread_clock: runs by quotes_per_period, which is missing; give it")
    return found
