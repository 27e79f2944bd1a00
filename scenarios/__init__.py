"""Scenarios that are shipped, by name; ``load`` takes a path just as well."""

from __future__ import annotations

from pathlib import Path

from agents.scenario import Scenario, ScenarioError, load_scenario
from agents.scenario_text import hint
from scenarios import laboratory

__all__ = ["load", "names", "path"]

_HERE = Path(__file__).resolve().parent


def names() -> list[str]:
    """Names of the shipped scenarios."""
    return sorted(file.stem for file in _HERE.glob("*.yaml"))


def path(name: str) -> Path:
    """The file of a shipped scenario. Raises ScenarioError if there is none of this name."""
    if name not in names():
        known = [*names(), *laboratory.names()]
        raise ScenarioError([f"there is no scenario {name!r}; {hint(name, known)}; a path must end in .yaml or .yml"])
    return _HERE / f"{name}.yaml"


def load(source: str | Path) -> Scenario:
    """The scenario of a shipped name, or in a YAML file.

    Raises ScenarioError with every error found; OSError if the file cannot be read.
    """
    is_file = isinstance(source, Path) or source.endswith((".yaml", ".yml")) or "/" in source or "\\" in source
    return load_scenario(Path(source) if is_file else path(str(source)))
