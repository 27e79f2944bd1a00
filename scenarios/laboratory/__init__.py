"""Laboratory files that are shipped, by name: markets of the literature and of our own on congestion."""

from __future__ import annotations

from pathlib import Path

from agents.laboratory_file import Laboratory, load_laboratory
from agents.scenario_text import ScenarioError, hint

__all__ = ["load", "names", "path"]

_HERE = Path(__file__).resolve().parent


def names() -> list[str]:
    """Names of the shipped laboratories."""
    return sorted(file.stem for file in _HERE.glob("*.yaml"))


def path(name: str) -> Path:
    """The file of a shipped laboratory. Raises ScenarioError if there is none of this name."""
    if name not in names():
        known = hint(name, names())
        raise ScenarioError([f"there is no laboratory {name!r}; {known}; a path must end in .yaml or .yml"])
    return _HERE / f"{name}.yaml"


def load(name: str) -> Laboratory:
    """A shipped laboratory. Raises ScenarioError if there is none of this name."""
    return load_laboratory(path(name))
