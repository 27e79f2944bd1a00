"""Charging points of electric vehicles: consumption that follows recorded charging."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from agents.devices.fleet import ProfileFleet, Site, annual_scale, drawn

FAMILIES = ("HLS",)
"""Home charging of SimBench."""


class Ev(ProfileFleet):
    """P[i, t] = kw_i · profile_i(t), the profile relative to its peak; unity power factor.

    With `annual_kwh` (n,) the profile is scaled to that energy of a year instead, and cut at the charger's kw.
    A flexible one charges at those times too, but only what is bought.
    """

    def __init__(
        self,
        site: Site,
        kw: ArrayLike,
        annual_kwh: ArrayLike | None = None,
        profile: Sequence[str] = (),
        *,
        flexible: bool = False,
    ) -> None:
        names = drawn(site, profile, FAMILIES)
        limit = np.broadcast_to(np.asarray(kw, dtype=np.float64) * 1000, len(site))
        scale = limit if annual_kwh is None else annual_scale(site, names, annual_kwh)
        super().__init__("ev", "", site, names, scale, flexible=flexible, limit_w=limit)
