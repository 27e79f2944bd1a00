"""Photovoltaic plants of a tilt and an azimuth under the run's weather."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from agents import sun
from agents.devices.fleet import Floats, Site
from agents.devices.modelled import ModelFleet, column


def cell_temperature(irradiance: Floats, air: Floats, noct: float = 45.0) -> Floats:
    """[°C] Ross (1976): T_c = T_a + (NOCT − 20 °C)/800 W/m² · G."""
    return np.asarray(air + (noct - 20) / 800 * irradiance, dtype=np.float64)


class Roof(ModelFleet):
    """P = min(kwp · G/1000 · (1 + γ (T_c − 25 °C)) · (1 − losses), inverter · kwp) with G on the plane [W/m²].

    The linear temperature model as in PVWatts (Dobos 2014, NREL/TP-6A20-62641); `losses` are soiling, wires and the
    inverter's. `kwp`, `tilt` and `azimuth` (n,), angles in degrees, azimuth 180 is south.
    """

    def __init__(
        self,
        site: Site,
        kwp: ArrayLike,
        tilt: ArrayLike = 35.0,
        azimuth: ArrayLike = 180.0,
        *,
        noct: float = 45.0,
        gamma: float = -0.004,
        losses: float = 0.14,
        inverter: float = 1.0,
        albedo: float = 0.2,
    ) -> None:
        sky, n = site.weather, len(site)
        facing = (column(tilt, n)[:, 0], column(azimuth, n)[:, 0])
        plane = sun.on_plane(sky.ghi, sky.dhi, sky.sun, *facing, albedo)
        warmth = 1 + gamma * (cell_temperature(plane, sky.temperature, noct) - 25)
        rated = column(kwp, n) * 1000
        power = np.clip(rated * plane / 1000 * warmth * (1 - losses), 0, rated * inverter)
        super().__init__("pv", "solar", site, power)
