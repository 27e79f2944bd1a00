"""Loads of households, shops, farms and industry: consumption that follows a profile."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from agents.devices.fleet import ProfileFleet, Site, annual_scale, drawn, recorded_scale

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
