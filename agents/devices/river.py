"""Run-of-river hydro power under the run's inflow."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from agents.devices.fleet import Floats, Site
from agents.devices.modelled import ModelFleet, column

WATER = 1000.0
"""Density [kg/m³]."""
GRAVITY = 9.80665
"""[m/s²]"""


def water_power(flow: ArrayLike, head: ArrayLike, efficiency: float) -> Floats:
    """P = η ρ g Q H [W] of a flow [m³/s] through a head [m]; Giesecke, Wasserkraftanlagen (2014), 2.2."""
    return np.asarray(efficiency * WATER * GRAVITY * np.asarray(flow) * np.asarray(head), dtype=np.float64)


class River(ModelFleet):
    """Run of river: Q = min(inflow − residual, design); below `least` of the design flow the turbine stands.

    The design flow is what the rated power `kw` (n,) needs at this head and efficiency. The river carries `mean_flow`
    times the design flow on average, of which `residual` (share of that mean) stays in its bed.
    """

    def __init__(
        self,
        site: Site,
        kw: ArrayLike,
        *,
        head: float = 3.0,
        efficiency: float = 0.8,
        mean_flow: float = 1.2,
        residual: float = 0.15,
        least: float = 0.2,
        flexible: bool = False,
    ) -> None:
        design = column(kw, len(site)) * 1000 / water_power(1.0, head, efficiency)
        mean = design * mean_flow
        flow = np.clip(mean * (site.weather.inflow - residual), 0, design)
        power = water_power(np.where(flow >= least * design, flow, 0.0), head, efficiency)
        super().__init__("hydro", "hydro", site, power, flexible=flexible)
