"""Photovoltaic plants: generation that follows a recorded plant of the region."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from agents.devices.fleet import Ints, ProfileFleet, Site, annual_scale, drawn
from market.units import whole_wh

FAMILIES = ("PV",)
ANNUAL_YIELD = 950.0
"""Energy of a year per installed power [kWh/kWp], usual for a roof in the middle of Germany."""


class Pv(ProfileFleet):
    """P[i, t] = scale_i · profile_i(t), at unity power factor.

    The scale makes a whole year yield `annual_yield` (n,) kWh per kWp. Where none is given (NaN), a profile of the
    user's keeps its shape with kwp as its highest value; one without a size of its own yields ANNUAL_YIELD, because
    the plants that were recorded are rated more than half above what they ever gave.
    """

    def __init__(
        self, site: Site, kwp: ArrayLike, profile: Sequence[str] = (), annual_yield: ArrayLike = np.nan
    ) -> None:
        names = drawn(site, profile, FAMILIES)
        power = np.broadcast_to(np.asarray(kwp, dtype=np.float64), len(names))
        given = np.broadcast_to(np.asarray(annual_yield, dtype=np.float64), len(names))
        recorded = np.array([site.profiles.recorded_kw(name) is not None for name in names], dtype=bool)
        wanted = np.where(np.isnan(given), ANNUAL_YIELD, given)
        scale = np.where(np.isnan(given) & recorded, power * 1000, annual_scale(site, names, power * wanted))
        super().__init__("pv", "solar", site, names, scale)


def split_export(generation_wh: Ints, load_wh: Ints, limit_wh: Ints) -> tuple[Ints, Ints]:
    """Generation (n, T) split at a static export limit (n,) per slot: (flows anyway, flows only if sold).

    Own load (n, T) does not count against the limit, which is one on what leaves the connection.
    """
    firm = np.minimum(generation_wh, load_wh + limit_wh[:, None])
    return firm, generation_wh - firm


def export_limit_wh(kwp: ArrayLike, share: float, kw: float | None, slot_hours: float) -> Ints:
    """Largest export (n,) of a slot [Wh]: `share` of the installed power, at most `kw`."""
    limit = np.asarray(kwp, dtype=np.float64) * share
    return whole_wh((limit if kw is None else np.minimum(limit, kw)) * 1000 * slot_hours)
