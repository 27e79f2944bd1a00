"""From a group of the scenario to its device fleets: who owns what, how large, on which profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.devices import registry
from agents.devices.biomass import Biomass
from agents.devices.ev import Ev
from agents.devices.fleet import Fleet, Ints, Site
from agents.devices.heat_pump import HeatPump
from agents.devices.hydro import Hydro
from agents.devices.load import Load
from agents.devices.pv import Pv, export_limit_wh
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
    found = []
    makers: list[tuple[str, Callable[[Any, Members], Fleet]]] = [
        ("load", _load),
        ("heat_pump", _heat_pump),
        ("ev", _ev),
        ("pv", _pv),
        ("wind", _wind),
        ("hydro", _hydro),
        ("biomass", _biomass),
    ]
    for name, make in makers:
        device = getattr(group, name)
        if device is None:
            continue
        owning = members.owning(name, getattr(device, "share", 1.0))
        limit = None
        if name == "pv" and (device.static_export_limit.share < 1 or device.static_export_limit.kw is not None):
            share, kw = device.static_export_limit
            limit = export_limit_wh(owning.sizes("kwp", device.kwp), share, kw, owning.site.slot_hours)
        found.append(Owned(owning.rows, make(device, owning), limit))
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


def _load(device: Any, members: Members) -> Fleet:
    annual = members.sizes("annual_kwh", device.annual_kwh) if device.annual_kwh else None
    return Load(members.site, members.group.kind, annual, device.profile or ())


def _heat_pump(device: Any, members: Members) -> Fleet:
    return HeatPump(members.site, members.sizes("kw", device.kw), device.profile or ())


def _ev(device: Any, members: Members) -> Fleet:
    annual = members.sizes("annual_kwh", device.annual_kwh) if device.annual_kwh else None
    return Ev(members.site, members.sizes("kw", device.kw), annual, device.profile or (), flexible=device.flexible)


def _pv(device: Any, members: Members) -> Fleet:
    given = np.nan if device.annual_yield is None else device.annual_yield
    return Pv(members.site, members.sizes("kwp", device.kwp), device.profile or (), given)


def _wind(device: Any, members: Members) -> Fleet:
    return Wind(members.site, members.sizes("kw", device.kw), device.profile or (), flexible=device.flexible)


def _hydro(device: Any, members: Members) -> Fleet:
    return Hydro(members.site, members.sizes("kw", device.kw), device.profile or (), flexible=device.flexible)


def _biomass(device: Any, members: Members) -> Fleet:
    return Biomass(members.site, members.sizes("kw", device.kw), device.profile or (), flexible=device.flexible)
