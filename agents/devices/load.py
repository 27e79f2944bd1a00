"""Loads of households, shops, farms and industry: consumption that follows a profile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from agents.devices.fleet import Floats, Ints, ProfileFleet, Site, annual_scale, drawn, recorded_scale
from market.units import whole_wh

FAMILIES = {
    "household": ("H0",),
    "commercial": ("G1", "G2", "G3", "G4", "G5", "G6"),
    "agricultural": ("L0", "L1", "L2"),
    "industrial": ("BL", "WB"),
}
"""Families of profiles of each kind of load; the names are those of SimBench."""
OTHER = ("H0",)
POWER_FACTOR = 0.95


class Load(ProfileFleet):
    """Consumption scaled to `annual_kwh` (n,) of a whole year, inductive at a power factor of 0.95.

    Without `annual_kwh` profiles must have a size of their own, and keep it. Raises ValueError if one has none.
    """

    def __init__(self, site: Site, kind: str, annual_kwh: ArrayLike | None, profile: Sequence[str] = ()) -> None:
        names = drawn(site, profile, FAMILIES.get(kind, OTHER))
        scale = recorded_scale(site, names) if annual_kwh is None else annual_scale(site, names, annual_kwh)
        super().__init__(kind, "", site, names, scale, power_factor=POWER_FACTOR)

    def shift(self, site: Site, share: float, hours: float) -> None:
        """Move a share of the consumption by up to so many hours to where a clear sky would be brighter."""
        sunny = site.steps.to_slots(site.weather.clear[None])[0]
        self.energy_wh = shifted(self.energy_wh, sunny, share, round(hours / site.slot_hours))
        self.reactive_varh = -whole_wh(self.energy_wh * np.sqrt(1 / POWER_FACTOR**2 - 1))
        self.power_w = self.energy_wh.max(axis=1, initial=0) / site.slot_hours


def shifted(energy_wh: Ints, weight: Floats, share: float, reach: int) -> Ints:
    """Consumption (n, T) of which a share moves by up to `reach` slots to where `weight` (T,) is high, in proportion.

    Each row keeps its sum exactly; energy that has no weight within reach stays where it was.
    """
    count = energy_wh.shape[1]
    total = np.zeros(count)
    offsets = range(-min(reach, count - 1), min(reach, count - 1) + 1)
    for o in offsets:
        total[max(0, -o) : count - max(0, o)] += weight[max(0, o) : count + min(0, o)]
    movable: Floats = np.where(total > 0, share, 0.0) * energy_wh
    moved: Floats = energy_wh - movable
    part = np.divide(movable, total, out=np.zeros_like(movable), where=total > 0)
    for o in offsets:
        there, here = slice(max(0, o), count + min(0, o)), slice(max(0, -o), count - max(0, o))
        moved[:, there] += part[:, here] * weight[there]
    sums: Ints = np.rint(np.cumsum(moved, axis=1)).astype(np.int64)
    return np.asarray(np.diff(sums, axis=1, prepend=0), dtype=np.int64)
