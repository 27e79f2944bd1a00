"""Laboratory files that are shipped, by name: markets of the literature and of our own on congestion."""

from __future__ import annotations

from pathlib import Path

from agents.laboratory_file import Laboratory, load_laboratory
from agents.scenario_text import ScenarioError, hint

__all__ = ["load", "means", "names", "path"]

_HERE = Path(__file__).resolve().parent


def names() -> list[str]:
    """Names of the shipped laboratories."""
    return sorted(file.stem for file in _HERE.glob("*.yaml"))


def path(name: str) -> Path:
    """The file of a shipped laboratory, by its name or the beginning of one alone; `_` may stand for `-`.

    Raises ScenarioError if there is none of this name, or more than one that begins so.
    """
    wanted, known = name.removeprefix("laboratory/").replace("_", "-"), names()
    found = [wanted] if wanted in known else [other for other in known if wanted and other.startswith(wanted)]
    if not found:
        raise ScenarioError(
            [f"there is no laboratory {name!r}; {hint(wanted, known)}; a path must end in .yaml or .yml"]
        )
    if len(found) > 1:
        raise ScenarioError([f"{name!r} begins the names of {len(found)} laboratories: {', '.join(found)}"])
    return _HERE / f"{found[0]}.yaml"


def means(name: str) -> bool:
    """Whether a name is meant for a laboratory: it says so, or begins the name of one."""
    wanted = name.replace("_", "-")
    return name.startswith("laboratory/") or any(wanted and other.startswith(wanted) for other in names())


def load(name: str) -> Laboratory:
    """A shipped laboratory. Raises ScenarioError if there is none of this name."""
    return load_laboratory(path(name))
