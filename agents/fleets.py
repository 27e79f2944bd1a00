"""From a group of the scenario to its device fleets: who owns what, how large, on which profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.devices import registry
from agents.devices.biomass import Biomass
from agents.devices.building import Building
from agents.devices.chp import Backup, Chp
from agents.devices.ev import Ev
from agents.devices.fleet import Fleet, Ints, Site
from agents.devices.heat_pump import HeatPump
from agents.devices.hydro import Hydro
from agents.devices.load import Load
from agents.devices.pv import Pv, export_limit_wh
from agents.devices.river import River
from agents.devices.roof import Roof
from agents.devices.trips import Part, Trips
from agents.devices.turbine import Turbine
from agents.devices.wind import Wind
from agents.scenario_text import ScenarioError
from agents.scenario_units import PriceRange, Range
from agents.seeds import child, generator

if TYPE_CHECKING:
    from agents.scenario_groups import Group

Floats = NDArray[np.float64]


class Owned(NamedTuple):
    """A fleet and the rows of the population that own its devices."""

    owners: Ints
    fleet: Fleet
    export_limit_wh: Ints | None
    """(n,) most that leaves the connection in a slot unless it is sold; None without such a limit."""


@dataclass(frozen=True)
class Members:
    """The members of one group: their rows, and the site that they share."""

    group: Group
    rows: Ints
    site: Site

    def owning(self, device: str, share: float) -> Members:
        """Those who have the device: the share's number of members, rounded, at least one; chosen by seed."""
        n = len(self.rows)
        k = max(1, round(share * n))
        chosen = np.sort(generator(self.site.seed, device, "owners").permutation(n)[:k])
        names = tuple(self.site.names[i] for i in chosen)
        return Members(
            self.group, self.rows[chosen], replace(self.site, names=names, seed=child(self.site.seed, device))
        )

    def sizes(self, what: str, bounds: Range) -> Floats:
        """A size for each member, evenly from the bounds."""
        return generator(self.site.seed, "size", what).uniform(bounds.low, bounds.high, len(self.rows))

    def prices(self, what: str, bounds: PriceRange) -> Ints:
        """A price for each member, evenly from the bounds [milli-currency/MWh]."""
        return generator(self.site.seed, "price", what).integers(bounds.low, bounds.high, len(self.rows), endpoint=True)


def fleets(members: Members) -> list[Owned]:
    """All fleets of a group but its batteries. Raises ValueError if a profile or an own device does not fit."""
    group = members.group
    found: list[Owned] = []
    for name, make in _MAKERS.items():
        device = getattr(group, name)
        if device is None:
            continue
        owning = members.owning(name, getattr(device, "share", 1.0))
        limit = None
        if name == "pv" and (device.static_export_limit.share < 1 or device.static_export_limit.kw is not None):
            share, kw = device.static_export_limit
            limit = export_limit_wh(owning.sizes("kwp", device.kwp), share, kw, owning.site.slot_hours)
        found.extend(Owned(owning.rows, fleet, limit) for fleet in make(device, owning))
    for k, process in enumerate(group.processes):
        owning = members.owning(f"processes[{k}]", process.share)
        drawn = {name: owning.sizes(name, value) for name, value in process if isinstance(value, Range)}
        fleet = registry.PROCESSES[process.name](owning.site, **drawn, **process.given("name", "share"))
        found.append(Owned(owning.rows, fleet, None))
    for k, extra in enumerate(group.devices):
        owning = members.owning(f"devices[{k}]", extra.share)
        fleet = registry.device(extra.name)(owning.site, **extra.params)
        _check(f"group {group.group!r}: devices[{k}] {extra.name}", fleet, (len(owning.site), owning.site.slots))
        found.append(Owned(owning.rows, fleet, None))
    return found


def _check(place: str, fleet: Fleet, shape: tuple[int, int]) -> None:
    """Raise ScenarioError if the columns of a device from outside would break the sums."""
    for what in ("energy_wh", "reactive_varh"):
        column = np.asarray(getattr(fleet, what))
        if column.dtype != np.int64 or column.shape != shape:
            got = f"{column.dtype} {column.shape}"
            raise ScenarioError([f"{place}: {what} must be int64 of the shape {shape}, got {got}"])
    if (fleet.energy_wh < 0).any():
        least = f"got {fleet.energy_wh.min()}; `source` says whether it is generated, empty if it is consumed"
        raise ScenarioError([f"{place}: energy_wh must be >= 0, {least}"])


def _load(device: Any, members: Members) -> list[Fleet]:
    annual = members.sizes("annual_kwh", device.annual_kwh) if device.annual_kwh else None
    load = Load(members.site, members.group.kind, annual, device.profile or ())
    if device.shift:
        load.shift(members.site, device.shift.share, device.shift.hours)
    return [load]


def _heat_pump(device: Any, members: Members) -> list[Fleet]:
    site, kw, building = members.site, members.sizes("kw", device.kw), device.building
    if building:
        return [Building(site, kw, loss=members.sizes("loss", building.loss), **building.given("loss"))]
    return [HeatPump(site, kw, device.profile or ())]


def _ev(device: Any, members: Members) -> list[Fleet]:
    site, kw, trips = members.site, members.sizes("kw", device.kw), device.trips
    if trips:
        kwh, keywords = members.sizes("kwh", trips.kwh), trips.given("kwh")
        parts: list[Part] = ["required", *(["top_up"] if trips.required < 1 else [])]  # type: ignore[list-item]
        parts += ["given"] if trips.v2g_kwh else []
        return [Trips(site, kw, kwh, part=part, **keywords) for part in parts]
    annual = members.sizes("annual_kwh", device.annual_kwh) if device.annual_kwh else None
    return [Ev(site, kw, annual, device.profile or (), flexible=device.flexible)]


def _pv(device: Any, members: Members) -> list[Fleet]:
    site, kwp, roof = members.site, members.sizes("kwp", device.kwp), device.roof
    if roof:
        tilt, azimuth = members.sizes("tilt", roof.tilt), members.sizes("azimuth", roof.azimuth)
        return [Roof(site, kwp, tilt, azimuth, **roof.given("tilt", "azimuth"))]
    given = np.nan if device.annual_yield is None else device.annual_yield
    return [Pv(site, kwp, device.profile or (), given)]


def _wind(device: Any, members: Members) -> list[Fleet]:
    site, kw = members.site, members.sizes("kw", device.kw)
    if device.turbine:
        return [Turbine(site, kw, flexible=device.flexible, **device.turbine.given())]
    return [Wind(site, kw, device.profile or (), flexible=device.flexible)]


def _hydro(device: Any, members: Members) -> list[Fleet]:
    site, kw = members.site, members.sizes("kw", device.kw)
    if device.river:
        return [River(site, kw, flexible=device.flexible, **device.river.given())]
    return [Hydro(site, kw, device.profile or (), flexible=device.flexible)]


def _biomass(device: Any, members: Members) -> list[Fleet]:
    site, kw = members.site, members.sizes("kw", device.kw)
    if device.plant:
        keywords = device.plant.given()
        return [Chp(site, kw, part="minimum", **keywords), Chp(site, kw, part="above", **keywords)]
    return [Biomass(site, kw, device.profile or (), flexible=device.flexible)]


def _backup(device: Any, members: Members) -> list[Fleet]:
    return [Backup(members.site, members.sizes("kw", device.kw))]


_MAKERS: dict[str, Callable[[Any, Members], list[Fleet]]] = {
    "load": _load,
    "heat_pump": _heat_pump,
    "ev": _ev,
    "pv": _pv,
    "wind": _wind,
    "hydro": _hydro,
    "biomass": _biomass,
    "backup": _backup,
}
