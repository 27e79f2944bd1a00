"""The village many times over: every copy behind a transformer of its own, all at one medium-voltage bus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

import scenarios
from agents.scenario import Scenario

VILLAGE = 100
"""Participants of one village."""


def scenario(copies: int, slots: int, gate: str, folder: Path) -> Scenario:
    """A day of `copies` villages that trade with each other; its feeder is written to `folder`.

    Every group has `copies` times as many members and the same strategy; no run for comparison is made.
    """
    source = scenarios.path("village")
    data: dict[str, Any] = yaml.safe_load(source.read_text(encoding="utf-8"))
    feeder = folder / f"villages-{copies}.feeder.json"
    feeder.write_text(json.dumps(_together(_feeder(data["grid"]["network"]), copies)), encoding="utf-8")
    data["name"] = f"villages-{copies}"
    data["grid"] |= {"network": str(feeder), "gate": gate}
    data["time"] = {"start": data["time"]["start"], "slots": slots}
    data["output"] = {"compare": []}
    for group in data["participants"]:
        group["count"] *= copies
    target = folder / f"villages-{copies}.yaml"
    target.write_text(yaml.safe_dump(data), encoding="utf-8")
    return scenarios.load(target)


def _feeder(network: str) -> dict[str, Any]:
    path = Path(scenarios.__file__).parent / "data" / f"{network}.feeder.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _together(feeder: dict[str, Any], copies: int) -> dict[str, Any]:
    """Copies of a feeder with one source; its connections at the source, the utility's, are not repeated."""
    source = feeder["source"]["bus"]
    whole = feeder | {"name": f"{copies} x {feeder.get('name', 'feeder')}"}
    for table in ("buses", "lines", "transformers", "connections"):
        whole[table] = [
            _renamed(row, copy, source)
            for copy in range(copies)
            for row in feeder[table]
            if copy == 0 or source not in (row["id"] if table == "buses" else "", row.get("bus"))
        ]
    return whole


def _renamed(row: dict[str, Any], copy: int, source: str) -> dict[str, Any]:
    names = ("id", "from", "to", "bus")
    return row | {key: f"{row[key]}/{copy}" for key in names if copy and key in row and row[key] != source}
