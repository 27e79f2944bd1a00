"""Three-phase feeders for tests: the shipped street, and random radial networks with every kind of winding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import scenarios
from grid.feeder import Feeder
from tests.grid.networks import radial

Floats = NDArray[np.float64]

GROUPS = {
    "Dyn": ("delta", "wye_n", 1),
    "YNyn": ("wye_n", "wye_n", 0),
    "YNyn6": ("wye_n", "wye_n", 6),
    "Dzn": ("delta", "zigzag_n", 0),
    "Yzn": ("wye", "zigzag_n", 5),
}


def european() -> Feeder:
    """The shipped European LV test feeder."""
    path = Path(scenarios.__file__).parent / "data" / "european_lv.feeder.json"
    return Feeder.from_json(path.read_bytes())


def unbalanced(rng: np.random.Generator, buses: int, group: str, *, transformers: int = 1) -> Feeder:
    """A random feeder of one vector group, grounded through an impedance; three connections of four at one phase."""
    data: dict[str, Any] = json.loads(radial(rng, buses, transformers=transformers).to_json())
    near, far, clock = GROUPS[group]
    for line in data["lines"]:
        line["r0_ohm"] = line["r_ohm"] * float(rng.uniform(1.5, 4))
        line["x0_ohm"] = line["x_ohm"] * float(rng.uniform(1, 3))
        line["c0_f"] = line["c_f"] * 0.6
    for transformer in data["transformers"]:
        low_is_far = transformer["u2_v"] < transformer["u1_v"]
        names = ("winding_from", "winding_to") if low_is_far else ("winding_to", "winding_from")
        transformer.update(dict(zip(names, (near, far), strict=True)), clock=clock)
        end = "to" if low_is_far else "from"
        transformer[f"r_grounding_{end}_ohm"], transformer[f"x_grounding_{end}_ohm"] = 0.01, 0.02
    for connection in data["connections"][1:]:
        if rng.random() < 0.75:
            connection["phase"] = str(rng.choice(["a", "b", "c"]))
    return Feeder.from_data(data)
