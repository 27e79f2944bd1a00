"""The feeder of the report's map: places, names, and the state of every bus and branch over the day."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.results import Results
from api.report_figures import TOLERANCE
from api.report_layout import places
from grid.feeder import Feeder
from market.orders import MarketSettings

LEAST_REACH = 0.02
"""Deviation from nominal voltage [pu] at which the colours end, at least; at most they reach as far as the band."""


def feeder_map(results: Results, feeder: Feeder, settings: MarketSettings, starts: NDArray[np.int64]) -> dict[str, Any]:
    """Data of the map. `starts` are the slots (S,) it can show.

    Each run has its voltages in 0.1 mpu and its loadings in ‰, both (S, …).
    """
    u = np.concatenate([results.grid[f"{prefix}u_pu"] for _, prefix in _runs(results)])
    at = places(feeder)
    band = (settings.voltage_min_ppm / 1e6, settings.voltage_max_ppm / 1e6)
    widest = max(LEAST_REACH, *(abs(limit - 1) for limit in band))
    return {
        "name": feeder.name or "The feeder",
        "phases": "a_u_pu" in results.grid,
        "placed": [at.said, at.said_upright],
        "start": _start(results, settings, starts),
        "band": list(band),
        "reach": min(widest, max(LEAST_REACH, float(np.ceil(np.abs(u - 1).max() * 100) / 100))),
        "source": int(feeder.source_bus),
        "buses": list(feeder.bus_ids),
        "x": np.round(at.x, 4).tolist(),
        "y": np.round(at.y, 4).tolist(),
        "rated": feeder.u_rated_v.tolist(),
        "who": _who(results, feeder),
        "branches": {
            "id": [*feeder.line_ids, *feeder.transformer_ids],
            "kind": ["line"] * len(feeder.line_ids) + ["transformer"] * len(feeder.transformer_ids),
            "rating": [f"{i:g} A" for i in feeder.i_max_a] + [f"{s / 1000:g} kVA" for s in feeder.s_va],
            "from": [*feeder.line_from.tolist(), *feeder.transformer_from.tolist()],
            "to": [*feeder.line_to.tolist(), *feeder.transformer_to.tolist()],
        },
        "runs": [
            {
                "name": name,
                "u": np.rint(results.grid[f"{prefix}u_pu"][starts] * 1e4).astype(int).tolist(),
                "loading": np.rint(results.grid[f"{prefix}loading"][starts] * 1e3).astype(int).tolist(),
            }
            for name, prefix in _runs(results)
        ],
    }


def _start(results: Results, settings: MarketSettings, starts: NDArray[np.int64]) -> int:
    """The step to begin with: most limits broken in any of the schedules, else the fullest branch."""
    grid = results.grid
    broken = np.zeros(len(starts), dtype=np.int64)
    for _, prefix in _runs(results):
        u, loading = grid[f"{prefix}u_pu"][starts], grid[f"{prefix}loading"][starts]
        outside = (u > settings.voltage_max_ppm / 1e6 + TOLERANCE) | (u < settings.voltage_min_ppm / 1e6 - TOLERANCE)
        overloaded = loading > settings.loading_max_ppm / 1e6 + TOLERANCE
        broken = np.maximum(broken, outside.sum(axis=1) + overloaded.sum(axis=1))
    chosen = broken if broken.any() else grid["loading"][starts].max(axis=1, initial=0.0)
    return int(np.argmax(chosen))


def _runs(results: Results) -> list[tuple[str, str]]:
    """What can be shown is called, and how its arrays begin: each schedule, and the phases of the first."""
    runs = [("gate off" if results.summary["gate"] == "off" else "gate on", "")]
    if "off_u_pu" in results.grid:
        runs.append(("gate off", "off_"))
    return [*runs, *((f"phase {phase}", f"{phase}_") for phase in "abc" if f"{phase}_u_pu" in results.grid)]


def _who(results: Results, feeder: Feeder) -> list[str]:
    """Names of the participants at each bus."""
    buses = dict(zip(feeder.connection_ids, feeder.connection_bus.tolist(), strict=True))
    names: list[list[str]] = [[] for _ in feeder.bus_ids]
    people = results.participants
    for name, connection in zip(people["participant"], people["connection"], strict=True):
        names[buses[connection]].append(str(name))
    return [", ".join(found) for found in names]
