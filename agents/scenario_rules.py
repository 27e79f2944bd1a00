"""What must hold in a scenario: the form of each field, then what fields must be together. All faults at once."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import numpy as np
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from agents import scenario_checks, scenario_files, strategies
from agents.devices import registry
from agents.devices.battery import MAX_CAPACITY_WH
from agents.families import in_family
from agents.forecast import forecaster
from agents.scenario_connections import allocate
from agents.scenario_tariffs import DAY_MINUTES, band_faults, crossing, write_minutes
from agents.scenario_text import hint, show
from agents.scenario_units import write_price
from agents.shapes import Shapes
from market.auction import BY_MERIT
from market.rules import MAX_AUCTIONS
from market.slots import NS, format_time

if TYPE_CHECKING:
    from agents.scenario import Market, Time
    from agents.scenario_groups import Device, Group, Strategy
    from agents.scenario_tariffs import NetworkCharge, Tariffs

DAY = 86_400
MOST_DAYS = 3660
UTILITY = "utility"
"""The participant who serves what was not traded."""
NEEDS = {
    "household": ("load",),
    "commercial": ("load",),
    "agricultural": ("load",),
    "industrial": ("load",),
    "heat_pump": ("heat_pump",),
    "ev": ("ev",),
    "pv_park": ("pv",),
    "wind": ("wind",),
    "biomass": ("biomass",),
    "hydro": ("hydro",),
    "backup": ("backup",),
    "storage": ("battery",),
}
_COMPARED = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", ">="),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "<="),
}
_PLAIN = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text; put it in quotes",
    "string_too_short": "must not be empty",
    "too_short": "must have at least one entry",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of names to values",
    "model_type": "must be a mapping of fields to values",
    "model_attributes_type": "must be a mapping of fields to values",
}
DEVICES = ("load", "pv", "wind", "biomass", "hydro", "heat_pump", "ev", "battery")
MODELS = ("roof", "turbine", "river", "plant", "building", "trips")
"""Fields that choose a model instead of a profile."""


def sections(model: type[BaseModel], data: object, errors: list[str]) -> dict[str, Any]:
    """Each top field of `data` validated apart, so that a fault in one hides none in another; None where it failed."""
    if not isinstance(data, dict):
        errors.append(f"needs the fields {', '.join(model.model_fields)}, got {show(data)}")
        data = {}
    parts: dict[str, Any] = {}
    unknown = [key for key in data if key not in model.model_fields]
    errors.extend(f"{key}: unknown field; {hint(key, model.model_fields)}" for key in unknown)
    for name, field in model.model_fields.items():
        if name not in data:
            if field.is_required():
                errors.append(f"{name}: is missing; it is: {field.description}")
            parts[name] = None if field.is_required() else field.get_default(call_default_factory=True)
        elif name == "participants" and isinstance(data[name], list) and data[name]:
            (group, _) = get_args(field.annotation)
            parts[name] = tuple(_group(group, item, f"{name}[{i}]", errors) for i, item in enumerate(data[name]))
        else:
            parts[name] = _validated(field.annotation, field, data[name], name, errors)
    return parts


def _validated(annotation: Any, field: FieldInfo | None, value: object, path: str, errors: list[str]) -> Any:
    kind: Any = annotation if field is None else Annotated[(annotation, field)]
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        errors.extend(_say(item, annotation, path, value) for item in error.errors(include_url=False))
        return None


def _group(model: type[BaseModel], value: object, path: str, errors: list[str]) -> Any:
    """A group, without its faulty fields if it can be read without them, so that the others are checked too."""
    before = len(errors)
    group = _validated(model, None, value, path, errors)
    if group is not None or not isinstance(value, dict):
        return group
    paths = (error.removeprefix(f"{path}.").split(":")[0] for error in errors[before:])
    faulty = {re.split(r"[.\[]", fault)[0] for fault in paths}
    try:
        return model.model_validate({key: item for key, item in value.items() if key not in faulty})
    except ValidationError:
        return None


def _say(item: Any, annotation: Any, path: str, value: object) -> str:
    """One fault of `value` as `path: what must be, got what`."""
    where = path + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"])
    kind, got, limits = item["type"], show(_raw(value, item)), item.get("ctx", {})
    if kind in ("extra_forbidden", "missing"):
        model = _model_at(annotation, item["loc"][:-1])
        known = model.model_fields if model else {}
        name = str(item["loc"][-1])
        if kind == "extra_forbidden":
            return f"{where}: unknown field; {hint(name, known)}"
        return f"{where}: is missing; it is: {known[name].description if name in known else 'needed'}"
    if kind in _COMPARED:
        key, sign = _COMPARED[kind]
        return f"{where}: must be {sign} {limits[key]:g}, got {got}"
    named = {"literal_error": "expected", "value_error": "error", "string_pattern_mismatch": "pattern"}
    if kind in named:
        must = {"literal_error": "must be ", "string_pattern_mismatch": "must match "}.get(kind, "")
        return f"{where}: {must}{limits[named[kind]]}, got {got}"
    return f"{where}: {_PLAIN.get(kind, item['msg'])}, got {got}"


def _raw(value: Any, item: Any) -> object:
    """What the user wrote where the fault is, before it was converted."""
    for part in item["loc"]:
        try:
            value = value[part]
        except (TypeError, KeyError, IndexError):
            return item["input"]
    return value


def _model_at(annotation: Any, loc: Sequence[int | str]) -> type[BaseModel] | None:
    """The model whose field is at `loc`, seen from a value of type `annotation`."""
    model = next(_models(annotation), None)
    for part in loc:
        if model is not None and isinstance(part, str):
            field = model.model_fields.get(part)
            model = next(_models(field.annotation), None) if field else None
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, tuple, Annotated):
        for inner in get_args(annotation):
            yield from _models(inner)


def check(parts: Mapping[str, Any], base: Path, errors: list[str]) -> None:
    """What must hold between fields; `parts` as from `sections`. Relative paths start at `base`."""
    known = {error.split(":")[0] for error in errors}
    found: list[str] = []
    _check(parts, base, found, known)
    errors.extend(error for error in found if not _follows(error.split(":")[0], known))


def _follows(path: str, faulty: Iterable[str]) -> bool:
    """Whether a fault at `path` may only say that what is faulty already was left out."""
    return any(
        f"{one}.".startswith((f"{two}.", f"{two}[")) for bad in faulty for one, two in ((path, bad), (bad, path))
    )


def _check(parts: Mapping[str, Any], base: Path, errors: list[str], faulty: Collection[str]) -> None:
    market, tariffs, time, grid = (parts[name] for name in ("market", "tariffs", "time", "grid"))
    if market is not None:
        errors.extend(_market(market))
        if tariffs is not None:
            errors.extend(_tariffs(tariffs, market))
        if time is not None:
            errors.extend(_time(time, market))
    feeder = None
    if grid is not None:
        low, high = grid.voltage_band
        if not 0.5 <= low < high <= 1.5:
            must = "must be [least, largest] with 0.5 <= least < largest <= 1.5"
            errors.append(f"grid.voltage_band: {must}, got [{low:g}, {high:g}]")
        feeder = scenario_files.find_feeder(grid.network, base, errors)
    shapes = scenario_files.find_profiles(parts["profiles"], base, errors) if parts["profiles"] else None
    groups = parts["participants"]
    if not groups:
        return
    _groups(groups, market, errors)
    if shapes is not None:
        errors.extend(_profiles(groups, shapes, _span(time, market)))
    if feeder is not None and parts["seed"] is not None:
        unplaced = [
            any(_follows(f"participants[{i}].{x}", faulty) for x in ("count", "connect")) for i in range(len(groups))
        ]
        placed = [None if skip else group for group, skip in zip(groups, unplaced, strict=True)]
        errors.extend(allocate(placed, feeder, np.random.SeedSequence(parts["seed"]))[1])


def _market(market: Market) -> Iterator[str]:
    if DAY % market.slot:
        yield f"market.slot: must divide a day, got {market.slot} s; use 15 min, 30 min or 60 min"
    if market.price_floor >= market.price_cap:
        gap = f"got {write_price(market.price_floor)} and {write_price(market.price_cap)}"
        yield f"market.price_floor: must be less than price_cap, {gap}"
    for name in ("price_floor", "price_cap"):
        yield from _on_tick(f"market.{name}", getattr(market, name), market.tick)
    if market.opens_before <= market.gate_closure:
        gap = f"got {market.opens_before} s and {market.gate_closure} s"
        yield f"market.opens_before: must be longer than gate_closure, {gap}"
    else:
        yield from _auctions(market)
    span = market.price_cap - market.price_floor
    if (start := market.spread_clock.start) > span:
        gap = f"{write_price(span)}, got {write_price(start)}"
        yield f"market.spread_clock.start: must be at most price_cap less price_floor, {gap}"


def _auctions(market: Market) -> Iterator[str]:
    design, asked, clock = market.design, market.auctions, market.spread_clock
    trading = market.opens_before - market.gate_closure
    for name in ("opening", "every"):
        if (value := getattr(asked, name)) >= trading:
            yield f"market.auctions.{name}: must be less than the trading time of {trading} s, got {value} s"
    if 0 < asked.every * MAX_AUCTIONS < trading:
        yield f"market.auctions.every: must be at least {-(-trading // MAX_AUCTIONS)} s, got {asked.every} s"
    if design == "cda":
        if asked.every:
            yield f"market.auctions.every: goes with call, pay_as_bid, mmr or sdr, not with cda, got {asked.every} s"
        if clock.zero_at > 1 and not asked.closing:
            yield f"market.spread_clock.zero_at: must be <= 1 without a closing auction, got {clock.zero_at:g}"
        return
    if asked.opening:
        yield f"market.auctions.opening: goes with design cda, got {asked.opening} s in {design}; use every"
    if asked.closing:
        yield f"market.auctions.closing: goes with design cda; {design} closes with an auction in any case"
    if clock.start:
        yield f"market.spread_clock.start: goes with design cda, got {write_price(clock.start)} in {design}"


def _on_tick(path: str, price: int, tick: int) -> Iterator[str]:
    if price % tick:
        below = price // tick * tick
        near = f"use {write_price(below)} or {write_price(below + tick)}"
        yield f"{path}: must be a multiple of the tick {write_price(tick)}, got {write_price(price)}; {near}"


def _in_range(path: str, price: int, market: Market) -> Iterator[str]:
    if not market.price_floor <= price <= market.price_cap:
        low, high = write_price(market.price_floor), write_price(market.price_cap)
        yield f"{path}: must be within price_floor and price_cap ({low} to {high}), got {write_price(price)}"


def _tariffs(tariffs: Tariffs, market: Market) -> Iterator[str]:
    for name in ("retail", "feed_in"):
        bands = getattr(tariffs, name)
        for number, band in enumerate(bands):
            path = f"tariffs.{name}" + (f"[{number}].price" if len(bands) > 1 else "")
            yield from _on_tick(path, band.price, market.tick)
            yield from _in_range(path, band.price, market)
        yield from band_faults(name, bands)
    if tariffs.utility == "none":
        if market.design not in BY_MERIT:
            need = f"must be call or pay_as_bid where tariffs.utility is none, got {market.design}"
            yield f"market.design: {need}; only an auction by merit sheds first what is worth least"
        if tariffs.losses != "none":
            yield f"tariffs.losses: must be none where tariffs.utility is none, got {tariffs.losses}; they are bought"
    yield from _on_tick("tariffs.grid_fee", tariffs.grid_fee, market.tick)
    yield from _charge(tariffs.network)
    if (found := crossing(tariffs)) is not None:
        minute, feed_in, retail = found
        when = f" at {write_minutes(minute % DAY_MINUTES)}" if len(tariffs.retail) + len(tariffs.feed_in) > 2 else ""
        gap = f"got {write_price(feed_in)} and {write_price(retail)}{when}"
        yield f"tariffs.feed_in: must be at most retail (else buying to sell back earns money), {gap}"


def _charge(charge: NetworkCharge) -> Iterator[str]:
    """Fields that another model has, and bands that are none."""
    owned = {"distance": ("per_ohm", "limits", "fees"), "level": ("feeder", "substation", "beyond")}
    for model, names in owned.items():
        for name in names if model != charge.model else ():
            if getattr(charge, name):
                yield f"tariffs.network.{name}: goes with model {model}, got model {charge.model}"
    rising = all(low < high for low, high in zip(charge.limits, charge.limits[1:], strict=False))
    if not rising or any(limit <= 0 for limit in charge.limits):
        yield f"tariffs.network.limits: must be > 0 and rise, got {list(charge.limits)}"
    if len(charge.fees) != (len(charge.limits) + 1 if charge.fees or charge.limits else 0):
        yield f"tariffs.network.fees: must be one more than limits, got {len(charge.fees)} for {len(charge.limits)}"
    if any(fee < 0 for fee in charge.fees):
        yield f"tariffs.network.fees: must be >= 0, got {', '.join(map(write_price, charge.fees))}"


def _time(time: Time, market: Market) -> Iterator[str]:
    if time.days is not None and time.slots is not None:
        yield f"time.slots: give days or slots, not both, got {time.days} and {time.slots}"
    if market.slot > 0 and time.start % (market.slot * NS):
        earlier = format_time(time.start - time.start % (market.slot * NS))
        yield f"time.start: must be the begin of a slot, got {format_time(time.start)}; use {earlier}"
    if _too_long(time, market):
        most = MOST_DAYS * DAY // market.slot
        yield f"time.slots: must be at most {most} ({MOST_DAYS} days), got {show(time.slots)}"
    if time.start < market.opens_before * NS:
        yield f"time.start: must be after 1970-01-01, got {format_time(time.start)}"


def _too_long(time: Time, market: Market) -> bool:
    return time.count(market.slot) * market.slot > MOST_DAYS * DAY


def _span(time: Time | None, market: Market | None) -> tuple[int, int] | None:
    if time is None or market is None or _too_long(time, market):
        return None
    return time.start, time.start + time.count(market.slot) * market.slot * NS


def _groups(groups: Sequence[Group | None], market: Market | None, errors: list[str]) -> None:
    seen: dict[str, int] = {}
    for at, group in enumerate(groups):
        if group is None:
            continue
        path = f"participants[{at}]"
        if group.group == UTILITY:
            errors.append(f"{path}.group: is the name of the utility; choose another")
        if group.group in seen:
            errors.append(
                f"{path}.group: {group.group!r} is the name of participants[{seen[group.group]}] too; rename it"
            )
        seen.setdefault(group.group, at)
        errors.extend(_devices(group, path))
        errors.extend(_size(group, path))
        errors.extend(scenario_checks.models(group, path))
        for k, extra in enumerate(group.devices):
            errors.extend(_own_device(extra, f"{path}.devices[{k}]"))
        if group.green_premium and (not group.accepts or "grid" in group.accepts):
            got = f"got {write_price(group.green_premium)} with accepts {list(group.accepts)}"
            errors.append(f"{path}.green_premium: needs accepts, without grid, {got}; name the origins it is paid for")
        _strategies(group.strategy, f"{path}.strategy", errors)
        if market is not None:
            for name, prices in (("value", group.value), ("cost", group.cost)):
                for price in prices or ():
                    errors.extend(_in_range(f"{path}.{name}", price, market))
            for name in ("biomass", "backup"):
                for price in getattr(getattr(group, name), "cost", None) or ():
                    errors.extend(_in_range(f"{path}.{name}.cost", price, market))


def _size(group: Group, path: str) -> Iterator[str]:
    ids = group.connect.ids
    if ids is None and group.count is None:
        yield f"{path}.count: is missing; give the number of members, or list their connections in connect"
    if ids is not None and group.count not in (None, len(ids)):
        yield f"{path}.count: must be the number of connections listed, {len(ids)}, or left out, got {group.count}"


def _devices(group: Group, path: str) -> Iterator[str]:
    for name in NEEDS[group.kind]:
        if getattr(group, name) is None:
            yield f"{path}.{name}: is missing; the kind {group.kind} needs it"
    if group.battery is not None:
        most = MAX_CAPACITY_WH // 1000
        if group.battery.kwh.high > most:
            yield f"{path}.battery.kwh: must be <= {most}, got {group.battery.kwh.high:g}; use several batteries"
        yield from _found(registry.rule, group.battery.rule, f"{path}.battery.rule")
        if group.battery.trade and group.battery.rule != "mpc":
            yield f"{path}.battery.trade: goes with rule mpc, got rule {group.battery.rule}; change one of the two"
        if isinstance(group.battery.forecast, str):
            yield from _found(forecaster, group.battery.forecast, f"{path}.battery.forecast")
        if not any(getattr(group, name) for name in DEVICES if name != "battery"):
            need = "a battery stores its owner's own energy; give the group a load or a generator too"
            yield f"{path}.battery: {need}"


def _own_device(extra: Device, path: str) -> Iterator[str]:
    faults = list(_found(registry.device, extra.name, f"{path}.name"))
    yield from faults
    if not faults:
        try:
            inspect.signature(registry.device(extra.name)).bind(None, **extra.params)
        except TypeError as error:
            yield f"{path}.params: do not fit {extra.name}: {error}"


def _found(find: Callable[[str], object], name: str, path: str) -> Iterator[str]:
    try:
        find(name)
    except ValueError as error:
        yield f"{path}: {error}"


def _strategies(items: Sequence[Strategy], path: str, errors: list[str]) -> None:
    if not items:
        errors.append(f"{path}: must have at least one entry")
    for i, item in enumerate(items):
        where = path if len(items) == 1 else f"{path}[{i}]"
        errors.extend(f"{where}: {fault}" for fault in strategies.check(item.name, item.params))
    total = sum(item.share for item in items)
    if items and abs(total - 1) > 1e-6:
        errors.append(f"{path}: shares must add up to 1, got {total:g}")


def _profiles(groups: Sequence[Group | None], shapes: Shapes, span: tuple[int, int] | None) -> Iterator[str]:
    """Whether each device finds its profiles, and whether these cover the run, `span` [ns]."""
    used: set[str] = set()
    for at, group in enumerate(groups):
        if group is None:
            continue
        for field in DEVICES[:-1]:
            device = getattr(group, field)
            path = f"participants[{at}].{field}"
            model = next((name for name in MODELS if getattr(device, name, None)), None)
            if model and device.profile:
                yield f"{path}.profile: give a profile or {model}, not both, got {show(device.profile)}"
            if device is None or model:
                continue
            families = device.profile or registry.families(field, group.kind)
            found = {family: [name for name in shapes.names if in_family(name, family)] for family in families}
            used.update(name for names in found.values() for name in names)
            for family, names in found.items():
                if device.profile and not names:
                    yield f"{path}.profile: unknown profile {family!r}; {hint(family, shapes.names)}"
            if not any(found.values()) and not device.profile:
                yield f"{path}.profile: is missing; the sets of profiles have none of {' or '.join(families)}"
            sizeless = any(shapes.recorded_kw(name) is None for names in found.values() for name in names)
            if field == "load" and device.annual_kwh is None and sizeless:
                yield f"{path}.annual_kwh: is missing; only a profile of your own in kW has a size of its own"
    faults = {shapes.gap(name, *span) for name in used} if span else set()
    yield from (f"time.start: a profile in use {fault}; choose a time within" for fault in sorted(filter(None, faults)))
