"""Biomass plants: generation within what a recorded plant had available."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from agents.devices.fleet import ProfileFleet, Site, drawn

FAMILIES = ("BM",)


class Biomass(ProfileFleet):
    """P[i, t] = kw_i · profile_i(t), the profile relative to the rated power."""

    def __init__(self, site: Site, kw: ArrayLike, profile: Sequence[str] = (), *, flexible: bool = True) -> None:
        names = drawn(site, profile, FAMILIES)
        super().__init__("biomass", "biomass", site, names, np.asarray(kw) * 1000.0, flexible=flexible)
