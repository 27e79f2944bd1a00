"""Devices and battery rules by name; others as ``package.module:Name``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agents.devices import biomass, ev, heat_pump, hydro, load, pv, wind
from agents.devices.battery import Battery
from agents.devices.biomass import Biomass
from agents.devices.building import Building
from agents.devices.chp import Backup, Chp
from agents.devices.ev import Ev
from agents.devices.fleet import Ints, RuleSite
from agents.devices.heat_pump import HeatPump
from agents.devices.hydro import Hydro
from agents.devices.load import Load
from agents.devices.mpc import Predictive
from agents.devices.process import Batch, Cooling, Drying, Irrigation, Shift
from agents.devices.pv import Pv
from agents.devices.river import River
from agents.devices.roof import Roof
from agents.devices.trips import Trips
from agents.devices.turbine import Turbine
from agents.devices.wind import Wind
from agents.outside import imported

Rule = Callable[[Battery, Ints, Ints], Ints]
"""What the batteries shall do in one slot: (batteries, surplus Wh, deficit Wh) -> request Wh, discharge positive."""


def self_consumption(battery: Battery, surplus_wh: Ints, deficit_wh: Ints) -> Ints:
    """Store what is left over, give what is lacking, at once: the rule of most home batteries."""
    return deficit_wh - surplus_wh


PROCESSES: dict[str, Callable[..., Any]] = {
    "irrigation": Irrigation,
    "cooling": Cooling,
    "drying": Drying,
    "shift": Shift,
    "batch": Batch,
}
DEVICES: dict[str, Callable[..., Any]] = {
    "load": Load,
    "heat_pump": HeatPump,
    "ev": Ev,
    "pv": Pv,
    "wind": Wind,
    "biomass": Biomass,
    "hydro": Hydro,
    "roof": Roof,
    "turbine": Turbine,
    "river": River,
    "chp": Chp,
    "backup": Backup,
    "trips": Trips,
    "building": Building,
    **PROCESSES,
}
RULES: dict[str, Rule | type] = {"self_consumption": self_consumption, "mpc": Predictive}


def families(device_name: str, kind: str) -> tuple[str, ...]:
    """Families of profiles from which a device draws by default; `kind` is that of its owner."""
    if device_name == "load":
        return load.FAMILIES.get(kind, load.OTHER)
    modules = {"heat_pump": heat_pump, "ev": ev, "pv": pv, "wind": wind, "hydro": hydro, "biomass": biomass}
    found: tuple[str, ...] = modules[device_name].FAMILIES
    return found


def device(name: str) -> Callable[..., Any]:
    """The device of that name: called with a `Site` and parameters it makes a `Fleet`. Raises ValueError."""
    return DEVICES[name] if name in DEVICES else imported(name, "device", DEVICES)


def rule(name: str) -> Rule | type:
    """The battery rule of that name: a function, or a class that is made for some batteries. Raises ValueError."""
    found: Rule | type = RULES[name] if name in RULES else imported(name, "rule", RULES)
    return found


def rule_for(name: str, site: RuleSite) -> Rule:
    """The battery rule of that name for the batteries of a site. Raises ValueError."""
    found = rule(name)
    return found(site) if isinstance(found, type) else found
