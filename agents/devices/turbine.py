"""Wind turbines: a power curve at the hub, under the run's weather."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from agents.devices.fleet import Floats, Site
from agents.devices.modelled import ModelFleet, column
from agents.weather import WIND_HEIGHT

CLASSES = {"high": (3.5, 15.0, 25.0), "medium": (3.0, 13.0, 25.0), "low": (2.5, 11.0, 22.0)}
"""Cut-in, rated and cut-out speed [m/s] for sites of high, medium and low wind."""


def at_hub(speed: Floats, height: float, *, shear: float = 1 / 7, roughness: float | None = None) -> Floats:
    """Wind speed at a height [m] from that 10 m above ground, after Burton et al., Wind Energy Handbook (2011), 2.6.

    With a roughness length z0 [m] the log law v ln(h/z0)/ln(10/z0), else the power law v (h/10)^shear.
    """
    if roughness is not None:
        factor = np.log(height / roughness) / np.log(WIND_HEIGHT / roughness)
        return np.asarray(speed * factor, dtype=np.float64)
    return np.asarray(speed * (height / WIND_HEIGHT) ** shear, dtype=np.float64)


def class_curve(speed: Floats, name: str) -> Floats:
    """Power relative to the rated: (v³ − v_in³)/(v_rated³ − v_in³) from cut-in to rated speed, 1 up to cut-out.

    The cubic of Chang et al. (2003), Applied Energy 76(1-3), for pitch-controlled turbines.
    """
    begin, rated, end = CLASSES[name]
    rising = np.clip((speed**3 - begin**3) / (rated**3 - begin**3), 0, 1)
    return np.asarray(np.where(speed < end, rising, 0.0), dtype=np.float64)


def given_curve(speed: Floats, curve: Sequence[Sequence[float]]) -> Floats:
    """Power relative to the rated from points (speed, share), straight between them, none outside."""
    points = np.asarray(curve, dtype=np.float64)
    return np.asarray(np.interp(speed, points[:, 0], points[:, 1], left=0, right=0), dtype=np.float64)


class Turbine(ModelFleet):
    """P = kw · curve(v at the hub); the curve of a class of CLASSES, or points (m/s, share of the rated power)."""

    def __init__(
        self,
        site: Site,
        kw: ArrayLike,
        *,
        curve: str | Sequence[Sequence[float]] = "low",
        height: float = 30.0,
        shear: float = 1 / 7,
        roughness: float | None = None,
        flexible: bool = False,
    ) -> None:
        speed = at_hub(site.weather.wind, height, shear=shear, roughness=roughness)
        share = class_curve(speed, curve) if isinstance(curve, str) else given_curve(speed, curve)
        super().__init__("wind", "wind", site, column(kw, len(site)) * 1000 * share, flexible=flexible)
