"""What must hold within the models that a group chooses."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from agents.devices.registry import PROCESSES
from agents.scenario_text import show

if TYPE_CHECKING:
    from agents.scenario_groups import Group
    from agents.scenario_models import Process


def models(group: Group, path: str) -> Iterator[str]:
    """Every fault of the models of a group."""
    if group.heat_pump and (building := group.heat_pump.building):
        for name in ("comfort", "water"):
            yield from _rising(getattr(building, name), f"{path}.heat_pump.building.{name}")
    if group.wind and group.wind.turbine and not isinstance(curve := group.wind.turbine.curve, str):
        speeds, shares = [point[0] for point in curve], [point[1] for point in curve]
        rising = all(low < high for low, high in pairwise(speeds))
        if len(curve) < 2 or not rising or min(speeds) < 0 or not all(0 <= share <= 1 for share in shares):
            must = "must be at least two points [m/s, share] with rising speeds and shares from 0 to 1"
            yield f"{path}.wind.turbine.curve: {must}, got {show(curve)}"
    if group.wind and (turbine := group.wind.turbine) and (turbine.roughness or 0) >= turbine.height:
        yield f"{path}.wind.turbine.roughness: must be less than height, got {turbine.roughness:g}"
    if group.biomass and (plant := group.biomass.plant) and not all(0 <= hour <= 24 for hour in plant.hours):
        yield f"{path}.biomass.plant.hours: must be hours from 0 to 24, got {show(plant.hours)}"
    for k, process in enumerate(group.processes):
        yield from _process(process, f"{path}.processes[{k}]")


def _process(process: Process, path: str) -> Iterator[str]:
    known = inspect.signature(PROCESSES[process.name]).parameters
    for name in type(process).model_fields:
        if name not in ("name", "share") and getattr(process, name) is not None and name not in known:
            yield f"{path}.{name}: {process.name} has no such field; leave it out"
    for name in ("kw", "litres"):
        if name in known and getattr(process, name) is None:
            yield f"{path}.{name}: is missing; {process.name} needs it"
    if process.window is not None:
        yield from _rising(process.window, f"{path}.window")
        if not 0 <= min(process.window) <= max(process.window) <= 24:
            yield f"{path}.window: must be hours from 0 to 24, got {show(process.window)}"
    if process.months is not None and not (process.months and set(process.months) <= set(range(1, 13))):
        yield f"{path}.months: must be numbers from 1 to 12, got {show(process.months)}"


def _rising(pair: tuple[float, float], path: str) -> Iterator[str]:
    if pair[0] >= pair[1]:
        yield f"{path}: the first must be less than the second, got {show(pair)}"
