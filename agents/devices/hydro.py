"""Small hydro power plants: generation that follows the recorded river."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from agents.devices.fleet import ProfileFleet, Site, drawn

FAMILIES = ("Hydro",)


class Hydro(ProfileFleet):
    """P[i, t] = kw_i · profile_i(t), the profile relative to the rated power."""

    def __init__(self, site: Site, kw: ArrayLike, profile: Sequence[str] = (), *, flexible: bool = False) -> None:
        names = drawn(site, profile, FAMILIES)
        super().__init__("hydro", "hydro", site, names, np.asarray(kw) * 1000.0, flexible=flexible)
