"""Electric heat pumps: consumption that follows a recorded heat pump."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from agents.devices.fleet import ProfileFleet, Site, drawn

FAMILIES = ("Air", "Soil")
"""Air- and ground-source heat pumps of SimBench."""
POWER_FACTOR = 0.95


class HeatPump(ProfileFleet):
    """Consumption P[i, t] = kw_i · profile_i(t), the profile relative to its peak; power factor 0.95 inductive."""

    def __init__(self, site: Site, kw: ArrayLike, profile: Sequence[str] = ()) -> None:
        names = drawn(site, profile, FAMILIES)
        peak = np.array([site.profiles.peak(name) for name in names])
        if not (peak > 0).all():
            raise ValueError("a profile without energy cannot be scaled to its peak")
        scale = np.asarray(kw, dtype=np.float64) * 1000 / peak
        super().__init__("heat_pump", "", site, names, scale, power_factor=POWER_FACTOR)
