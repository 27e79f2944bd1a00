"""Devices: each keeps to the conformance kit, follows its formula, and a battery never makes energy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.devices.battery import MAX_CAPACITY_WH, Battery
from agents.devices.biomass import Biomass
from agents.devices.building import Building
from agents.devices.chp import Backup, Chp
from agents.devices.conformance import Recorded, check_battery, check_device, made_up_site
from agents.devices.ev import Ev
from agents.devices.fleet import Fleet, Site
from agents.devices.heat_pump import HeatPump
from agents.devices.hydro import Hydro
from agents.devices.load import FAMILIES, Load, shifted
from agents.devices.process import Batch, Cooling, Drying, Irrigation, Shift
from agents.devices.pv import Pv, export_limit_wh, split_export
from agents.devices.registry import DEVICES, device, rule, self_consumption
from agents.devices.river import River
from agents.devices.roof import Roof
from agents.devices.trips import Trips
from agents.devices.turbine import Turbine
from agents.devices.wind import Wind


class Own(Recorded):
    """The same profiles as a user's, who recorded them at a size of their own."""

    def recorded_kw(self, name: str) -> float:
        return 3.0


def sizes(site: Site) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.linspace(1.0, 9.0, len(site))


MAKERS: dict[str, Callable[[Site], Fleet]] = {
    "load": lambda site: Load(site, "household", sizes(site) * 1000),
    "heat_pump": lambda site: HeatPump(site, sizes(site)),
    "ev": lambda site: Ev(site, sizes(site), flexible=True),
    "ev by the year": lambda site: Ev(site, 11.0, sizes(site) * 1000),
    "pv": lambda site: Pv(site, sizes(site)),
    "wind": lambda site: Wind(site, sizes(site)),
    "hydro": lambda site: Hydro(site, sizes(site)),
    "biomass": lambda site: Biomass(site, sizes(site)),
    "roof": lambda site: Roof(site, sizes(site), sizes(site) * 10, sizes(site) * 40),
    "turbine": lambda site: Turbine(site, sizes(site)),
    "river": lambda site: River(site, sizes(site)),
    "chp": lambda site: Chp(site, sizes(site)),
    "chp at least load": lambda site: Chp(site, sizes(site), part="minimum", hours=(22.0, 6.0)),
    "backup": lambda site: Backup(site, sizes(site)),
    "trips": lambda site: Trips(site, 3 + sizes(site), sizes(site)),
    "trips, what is bought": lambda site: Trips(site, 3 + sizes(site), sizes(site), part="top_up", required=0.4),
    "trips, what is given": lambda site: Trips(site, 3 + sizes(site), sizes(site), part="given", v2g_kwh=3),
    "building": lambda site: Building(site, sizes(site)),
    "irrigation": lambda site: Irrigation(site, sizes(site), months=range(1, 13)),
    "cooling": lambda site: Cooling(site, sizes(site) * 500),
    "drying": lambda site: Drying(site, sizes(site) * 5, months=range(1, 13)),
    "shift": lambda site: Shift(site, sizes(site)),
    "batch": lambda site: Batch(site, sizes(site), weekdays=range(7), to_sun=True, flexible=True),
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_device_conforms(name: str) -> None:
    check_device(MAKERS[name])


def test_the_kit_is_run_for_every_registered_device() -> None:
    assert set(DEVICES) <= set(MAKERS)


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_years_energy_is_what_was_asked(kind: str) -> None:
    """The made-up profiles repeat one day, so that day is 1/365 of the year."""
    load = Load(made_up_site(3), kind, [3_650.0, 7_300.0, 36_500.0])
    assert load.energy_wh.sum(axis=1) == pytest.approx([10_000, 20_000, 100_000], abs=96)


def test_a_roof_yields_what_is_usual_unless_the_scenario_or_a_profile_of_ones_own_says_otherwise() -> None:
    """The made-up profiles repeat one day, so that day is 1/365 of the year."""
    site = made_up_site(3)
    usual = Pv(site, [1.0, 2.0, 10.0]).energy_wh.sum(axis=1)
    assert usual == pytest.approx(np.array([1, 2, 10]) * 950_000 / 365, abs=96)
    sunny = Pv(site, [1.0, 2.0, 10.0], annual_yield=1_100.0).energy_wh.sum(axis=1)
    assert sunny == pytest.approx(np.array([1, 2, 10]) * 1_100_000 / 365, abs=96)
    own = Pv(replace(site, profiles=Own()), 5.0, profile=("PV1",))
    assert own.power_w == pytest.approx([5_000 * Own().peak("PV1")] * 3)


def test_a_connections_own_profile_is_kept_if_it_fits() -> None:
    site = made_up_site(6)
    load = Load(site, "household", 3_650.0)
    assert np.array_equal(load.energy_wh[0], load.energy_wh[3])
    scale = 3_650_000 / site.profiles.full_load_hours("H0-A")
    expected = site.profiles.values("H0-A", site.first_slot, site.slots, site.slot_seconds) * scale / 4
    assert load.energy_wh[0] == pytest.approx(expected, abs=0.51)


def test_power_factor_gives_inductive_reactive_energy() -> None:
    load = Load(made_up_site(2), "household", 5_000.0)
    assert load.reactive_varh == pytest.approx(-load.energy_wh * np.tan(np.arccos(0.95)), abs=0.51)
    assert not Pv(made_up_site(2), 5.0).reactive_varh.any()


def test_a_heat_pump_reaches_its_power_and_no_more() -> None:
    pump = HeatPump(made_up_site(4), [1.0, 2.0, 3.0, 4.0])
    assert pump.energy_wh.max(axis=1) == pytest.approx([250, 500, 750, 1000], abs=0.51)


def test_a_charger_cuts_a_scaled_profile_at_its_power() -> None:
    ev = Ev(made_up_site(1), 1.0, 100_000.0)
    assert ev.energy_wh.max() == 250


def test_own_load_does_not_count_against_an_export_limit() -> None:
    generation, load = np.array([[100, 300, 900]]), np.array([[50, 50, 700]])
    firm, above = split_export(generation, load, np.array([150]))
    assert firm.tolist() == [[100, 200, 850]]
    assert above.tolist() == [[0, 100, 50]]


def test_an_export_limit_is_a_share_or_a_power_whichever_is_less() -> None:
    assert export_limit_wh([10.0, 4.0], 0.6, None, 0.25).tolist() == [1500, 600]
    assert export_limit_wh([10.0, 4.0], 0.6, 5.0, 0.25).tolist() == [1250, 600]


def test_shifted_consumption_keeps_its_sum_and_follows_the_sun() -> None:
    energy = np.array([[100, 100, 100, 100, 100, 101], [7, 0, 0, 0, 0, 3]])
    moved = shifted(energy, np.array([0.0, 0.0, 1.0, 3.0, 0.0, 0.0]), 0.4, 2)
    assert moved.sum(axis=1).tolist() == [601, 10]
    assert moved[0, 0] == 60
    assert moved[0, 3] > moved[0, 2] > 100
    still = shifted(energy, np.zeros(6), 0.4, 2)
    assert np.array_equal(still, energy)


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="no profile 'H9'"):
        Load(made_up_site(2), "household", 3_000.0, ["H9"])


def test_a_load_without_a_size_is_refused() -> None:
    with pytest.raises(ValueError, match="annual_kwh"):
        Load(made_up_site(2), "household", None)


@given(
    capacity=st.lists(st.floats(0, MAX_CAPACITY_WH), min_size=1, max_size=4),
    power=st.floats(0, 1e6),
    efficiency=st.floats(0.01, 1),
    loss=st.floats(0, 1),
    initial=st.floats(0, 1),
    hours=st.sampled_from([1 / 60, 0.25, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_a_battery_never_creates_energy(
    capacity: list[float], power: float, efficiency: float, loss: float, initial: float, hours: float, seed: int
) -> None:
    def make() -> Battery:
        return Battery(capacity, power, hours, efficiency=efficiency, self_discharge=loss, initial=initial)

    check_battery(make, slots=30, seed=seed)


def test_a_round_trip_costs_its_efficiency() -> None:
    battery = Battery(10_000, 40_000, 0.25, efficiency=0.81, initial=0.0)
    stored = -battery.step(np.array([-5_000]))
    out = battery.step(np.array([10_000]))
    assert stored.tolist() == [5_000]
    assert out.tolist() == [4_050]


def test_self_discharge_is_a_share_of_the_store_per_day() -> None:
    battery = Battery(10_000, 1_000, 0.25, self_discharge=0.1, initial=1.0)
    for _ in range(96):
        battery.step(np.array([0]))
    assert battery.stored_wh == pytest.approx([9_000], abs=1)


def test_a_battery_out_of_range_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="efficiency"):
        Battery(1_000, 1_000, 0.25, efficiency=1.01)
    with pytest.raises(ValueError, match="capacity_wh"):
        Battery(np.nan, 1_000, 0.25)


def test_devices_and_rules_are_found_by_name_or_by_import() -> None:
    assert device("pv") is Pv
    assert device("agents.devices.wind:Wind") is Wind
    assert rule("self_consumption") is self_consumption
    for name in ("pvv", "agents.devices.wind:Wund", "no_such_module:X", ":", "agents.devices.wind:FAMILIES"):
        with pytest.raises(ValueError, match=r"unknown device|cannot import|not a class"):
            device(name)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"energy_wh": np.full((5, 96), -1)}, "negative"),
        ({"energy_wh": np.zeros((5, 96))}, "whole"),
        ({"energy_wh": np.full((5, 96), 10_000)}, "power limit"),
        ({"energy_wh": np.zeros((5, 95), dtype=np.int64)}, "shape"),
        ({"source": "coal"}, "unknown source"),
    ],
)
def test_the_kit_refuses_what_is_wrong(wrong: dict[str, object], message: str) -> None:
    def make(site: Site) -> Fleet:
        zeros = np.zeros((len(site), site.slots), dtype=np.int64)
        sound = {"label": "x", "source": "", "flexible": False, "energy_wh": zeros, "reactive_varh": zeros}
        changed = wrong if len(site) == 5 and site.slots == 96 else {}
        return SimpleNamespace(**(sound | {"power_w": np.full(len(site), 1000.0)} | changed))

    with pytest.raises(AssertionError, match=message):
        check_device(make)
