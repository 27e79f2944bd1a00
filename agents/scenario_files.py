"""The files that a scenario names: its feeder and its profiles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agents.profiles import ProfileError, ProfileSet
from agents.scenario_text import ScenarioError, hint
from agents.shapes import Shapes
from agents.steps import Steps
from agents.weather import Place, Weather, read_table
from grid.feeder import Feeder, FeederError
from grid.pandapower_import import from_pandapower_json, from_simbench

if TYPE_CHECKING:
    from agents.scenario import Network, Scenario

DATA = Path(__file__).resolve().parent.parent / "scenarios" / "data"
"""What is shipped: feeders as NAME.feeder.json, and SimBench's profiles."""
UTILITY_CONNECTION = "slack"
"""Where the utility joins: the connection of this name at the source bus."""
SIMBENCH = "simbench"
"""Name of the shipped profiles."""
_ENDING = ".feeder.json"


def shipped_feeders() -> list[str]:
    """Names that `grid.network` may have."""
    return sorted(path.name.removesuffix(_ENDING) for path in DATA.glob(f"*{_ENDING}"))


def load_feeder(scenario: Scenario) -> Feeder:
    """The feeder of a scenario. Raises FeederError with every error, OSError if the file cannot be read."""
    return _feeder(scenario.grid.network, scenario.base)


def load_profiles(scenario: Scenario) -> Shapes:
    """The profiles of a scenario. Raises ProfileError with every error, OSError if a file cannot be read."""
    return _profiles(scenario.profiles, scenario.base)


def load_weather(scenario: Scenario, seed: np.random.SeedSequence) -> Weather:
    """The weather of a scenario. Raises ScenarioError if its file does not fit, OSError if it cannot be read."""
    steps = Steps(scenario.first_slot, scenario.slots, scenario.market.slot)
    if scenario.weather is None:
        return Weather(Place(), steps, seed)
    place = Place(**scenario.weather.given("file"))
    name = scenario.weather.file
    if name is None:
        return Weather(place, steps, seed)
    try:
        table = read_table((scenario.base / name).read_text(encoding="utf-8"), steps)
    except ValueError as error:
        raise ScenarioError([f"weather.file: {name}: {error}"]) from error
    return Weather(place, steps, seed, table)


def find_feeder(network: Network, base: Path, errors: list[str]) -> Feeder | None:
    """As `load_feeder`, with what is wrong added to `errors`."""
    if network.name is not None and network.name not in shipped_feeders():
        known = hint(network.name, shipped_feeders())
        errors.append(f"grid.network: there is no shipped feeder {network.name!r}; {known}; a path must end in .json")
        return None
    try:
        return _feeder(network, base)
    except FeederError as error:
        named = f"{network.file}: " if network.file is not None else "feeder: "
        errors.extend(f"grid.network: {named}{line.removeprefix('feeder: ')}" for line in error.errors)
    except OSError as error:
        errors.append(f"grid.network: cannot read {error.filename}: {error.strerror}; paths start at {base}")
    return None


def find_profiles(names: Sequence[str], base: Path, errors: list[str]) -> Shapes | None:
    """As `load_profiles`, with what is wrong added to `errors`."""
    try:
        return _profiles(names, base)
    except ProfileError as error:
        errors.extend(f"profiles: {line}" for line in error.errors)
    except OSError as error:
        errors.append(f"profiles: cannot read {error.filename}: {error.strerror}; paths start at {base}")
    return None


def _feeder(network: Network, base: Path) -> Feeder:
    if network.simbench is not None:
        return from_simbench(network.simbench)
    if network.pandapower is not None:
        return from_pandapower_json(base / network.pandapower)
    path = base / network.file if network.file is not None else DATA / f"{network.name}{_ENDING}"
    return _with_utility(Feeder.from_json(path.read_bytes()))


def _with_utility(feeder: Feeder) -> Feeder:
    """The feeder with the utility's connection at the source, which is added where the file has none."""
    if UTILITY_CONNECTION not in feeder.connection_ids:
        data = json.loads(feeder.to_json())
        data["connections"].insert(0, {"id": UTILITY_CONNECTION, "bus": feeder.bus_ids[feeder.source_bus]})
        return Feeder.from_data(data)
    at = feeder.connection_ids.index(UTILITY_CONNECTION)
    if feeder.connection_bus[at] != feeder.source_bus:
        source = feeder.bus_ids[feeder.source_bus]
        fault = f"is the utility's and must be at the source, bus {source!r}; move or rename it"
        raise FeederError([f"feeder: connections[{at}].id: {UTILITY_CONNECTION!r} {fault}"])
    return feeder


def _profiles(names: Sequence[str], base: Path) -> Shapes:
    own = iter(ProfileSet.read(*(base / name for name in names if name != SIMBENCH)).recordings)
    sets = [_shipped().recordings if name == SIMBENCH else (next(own),) for name in names]
    return Shapes(ProfileSet(*(recording for recordings in sets for recording in recordings)))


@cache
def _shipped() -> ProfileSet:
    """Read once: a comparison builds the same population several times."""
    return ProfileSet.shipped()
