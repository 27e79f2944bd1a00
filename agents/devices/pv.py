"""Photovoltaic plants: generation that follows a recorded plant of the region."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from agents.devices.fleet import Ints, ProfileFleet, Site, drawn
from market.units import whole_wh

FAMILIES = ("PV",)


class Pv(ProfileFleet):
    """P[i, t] = kwp_i · profile_i(t), the profile relative to the installed power, as at unity power factor."""

    def __init__(self, site: Site, kwp: ArrayLike, profile: Sequence[str] = ()) -> None:
        super().__init__("pv", "solar", site, drawn(site, profile, FAMILIES), np.asarray(kwp) * 1000.0)


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
