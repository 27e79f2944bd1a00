"""Device models against published figures, closed forms and pvlib; energy balances of cars, plants and buildings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agents.devices.building import Building, after, performance
from agents.devices.chp import Chp, operation
from agents.devices.conformance import made_up_site
from agents.devices.fleet import Site
from agents.devices.process import Batch, Cooling, Drying, Irrigation, Shift, evaporation, outside_radiation
from agents.devices.river import River, water_power
from agents.devices.roof import Roof, cell_temperature
from agents.devices.trips import Trips, stays
from agents.devices.turbine import CLASSES, Turbine, at_hub, class_curve, given_curve
from agents.steps import HOURS, Steps
from agents.weather import Place, Weather


def still(**series: float) -> Site:
    """Three devices on a day on which the named series are constant."""
    site = made_up_site(3)
    table = {name: np.full(site.steps.count, value) for name, value in series.items()}
    return replace(site, weather=Weather(Place(), site.steps, np.random.SeedSequence(0), table))


def days(count: int, n: int = 3) -> Site:
    site = made_up_site(n)
    steps = Steps(site.first_slot, 96 * count, 900)
    return replace(site, slots=steps.slots, weather=Weather(Place(), steps, np.random.SeedSequence(0)))


def test_cells_are_as_warm_as_pvlib_says() -> None:
    pvlib = pytest.importorskip("pvlib")
    light, air = np.array([0.0, 400.0, 800.0]), np.array([5.0, 20.0, 20.0])
    assert cell_temperature(light, air, 47.0) == pytest.approx(pvlib.temperature.ross(light, air, 47.0))
    assert cell_temperature(light, air)[2] == 45.0


def test_a_roof_gives_what_pvwatts_gives_and_no_more_than_its_inverter() -> None:
    pvlib = pytest.importorskip("pvlib")
    site = made_up_site(1)
    sky = site.weather
    split = pvlib.irradiance.get_total_irradiance(
        30, 200, sky.sun.zenith, sky.sun.azimuth, np.where(
            sky.sun.zenith > 87, 0.0, (sky.ghi - sky.dhi) / np.maximum(np.cos(np.radians(sky.sun.zenith)), 0.065)
        ), sky.ghi, sky.dhi, albedo=0.2, model="isotropic",
    )  # fmt: skip
    warm = pvlib.temperature.ross(split["poa_global"], sky.temperature, 45.0)
    power = pvlib.pvsystem.pvwatts_dc(split["poa_global"], warm, 5_000.0, -0.004) * 0.86
    roof = Roof(site, 5.0, 30, 200)
    assert roof.energy_wh[0] == pytest.approx(site.steps.to_slots(np.asarray(power)[None])[0] / 4, abs=1)
    small = Roof(site, 5.0, 30, 200, inverter=0.2)
    assert small.power_w[0] == 1000
    assert small.energy_wh.max() == 250


def test_wind_at_the_hub_follows_the_power_and_the_log_law() -> None:
    speed = np.array([5.0])
    assert at_hub(speed, 80.0, shear=0.2) == pytest.approx(5 * 8**0.2)
    assert at_hub(speed, 50.0, roughness=0.1) == pytest.approx(5 * np.log(500) / np.log(100))
    assert at_hub(speed, 10.0) == pytest.approx(5.0)


@pytest.mark.parametrize("name", CLASSES)
def test_a_curve_stands_rises_and_cuts_out(name: str) -> None:
    begin, rated, end = CLASSES[name]
    middle = ((begin**3 + rated**3) / 2) ** (1 / 3)
    speeds = np.array([0.0, begin, middle, rated, end - 0.1, end])
    assert class_curve(speeds, name) == pytest.approx([0, 0, 0.5, 1, 1, 0])
    assert given_curve(np.array([2.0, 6.0, 30.0]), [(3, 0), (9, 0.6), (25, 1)]) == pytest.approx([0, 0.3, 0])


def test_a_turbine_in_steady_wind_gives_its_curves_power() -> None:
    turbine = Turbine(still(wind=11.0), [10.0, 20.0, 30.0], curve="low", height=10.0)
    assert turbine.energy_wh[:, 0].tolist() == [2500, 5000, 7500]


def test_water_gives_eta_rho_g_q_h() -> None:
    assert water_power(2.0, 5.0, 0.8) == pytest.approx(0.8 * 1000 * 9.80665 * 2 * 5)
    site = still(inflow=0.75)
    river = River(site, 12.0, mean_flow=1.0, residual=0.15)
    assert river.energy_wh[0, 0] == round(12_000 * 0.6 / 4)
    assert not River(still(inflow=0.3), 12.0, mean_flow=1.0, residual=0.15).energy_wh.any()
    assert River(still(inflow=9.0), 12.0).energy_wh.max() == 3000


def run_plant(wanted: list[int], **other: float) -> tuple[list[float], list[float]]:
    given: dict[str, Any] = {
        "least": 0.5,
        "run_hours": 2 * HOURS,
        "store": 100.0,
        "delivery": 0.0,
        "filled": 1.0,
    } | other
    store, delivery = np.array([[given.pop("store")]]), np.array([[given.pop("delivery")]])
    on, full = operation(np.array(wanted, dtype=float), np.array([[12.0]]), store=store, delivery=delivery, **given)
    return on[0].tolist(), full[0].tolist()


def test_a_plant_keeps_to_its_least_run_and_stops_without_fuel() -> None:
    assert run_plant([0, 1, 0, 0, 0])[0] == [0, 1, 1, 0, 0]
    on, full = run_plant([1] * 6, store=3.0, run_hours=2 * HOURS)
    assert on == [1, 1, 1, 1, 0, 0]  # 3 kWh: full for two steps of 1 kWh, then two of half load
    assert full == [1, 1, 0, 0, 0, 0]
    assert run_plant([1] * 4, store=0.5, run_hours=2 * HOURS)[0] == [0, 0, 0, 0]


def test_whatever_is_sold_of_a_plant_never_takes_more_fuel_than_there_is() -> None:
    site = days(5)
    keywords: dict[str, Any] = {"store_hours": 6.0, "delivery": 0.6, "filled": 0.3, "hours": (6.0, 22.0)}
    least = Chp(site, 10.0, part="minimum", **keywords)
    above = Chp(site, 10.0, part="above", **keywords)
    total = (least.energy_wh + above.energy_wh).cumsum(axis=1)[0]
    fuel = 18_000 + 6_000 * 0.25 * np.arange(1, site.slots + 1)
    assert (total <= fuel + 2 * np.arange(1, site.slots + 1)).all()
    assert set(np.round(least.energy_wh[0] / 1250, 2)) <= {0.0, 0.33, 0.67, 1.0}
    assert (above.energy_wh[least.energy_wh == 0] == 0).all()


def test_a_slow_plant_offers_no_more_than_its_ramp_reaches_in_a_slot() -> None:
    above = Chp(made_up_site(1), 10.0, part="above", ramp=0.02, filled=1.0, delivery=1.0)
    assert above.energy_wh.max() == round(10_000 * 0.02 * 15 / 4)


def test_a_car_gets_what_it_needs_before_it_leaves_whatever_it_could_buy() -> None:
    site = days(10, 20)
    kw, kwh = 11.0, 8.0
    stay = stays(site, kwh, 17.0, 6.5, 1.0)
    firm = Trips(site, kw, kwh, required=0.6)
    more = Trips(site, kw, kwh, required=0.6, part="top_up")
    for d in range(1, 9):
        begin, end = d * 24 - 24 + 12, d * 24 + 12  # from noon to noon there is one stay
        need = stay.need[:, d] * 1000
        inside = slice(begin * 4, end * 4)
        assert firm.energy_wh[:, inside].sum(axis=1) == pytest.approx(0.6 * need, abs=40)
        assert more.energy_wh[:, inside].sum(axis=1) == pytest.approx(0.4 * need, abs=40)
    assert not firm.flexible
    assert more.flexible
    assert (firm.power_w <= kw * 1000 + 1e-6).all()
    last = np.flatnonzero(firm.energy_wh[0, 24 * 4 : 36 * 4])[-1] + 24 * 4
    assert last * 0.25 <= stay.departure[0, 1] <= (last + 1) * 0.25 + 1e-9


def test_what_a_car_gives_back_is_charged_again_with_its_loss() -> None:
    site = days(8, 4)
    keywords: dict[str, Any] = {"v2g_kwh": 3.0, "efficiency": 0.8}
    given = Trips(site, 7.0, 6.0, part="given", **keywords).energy_wh
    charged, without = Trips(site, 7.0, 6.0, **keywords).energy_wh, Trips(site, 7.0, 6.0).energy_wh
    inside = slice(36 * 4, 132 * 4)  # four whole stays
    assert given[:, inside].sum(axis=1) == pytest.approx([12_000] * 4, abs=20)
    assert (charged - without)[:, inside].sum(axis=1) == pytest.approx([12_000 / 0.8] * 4, abs=40)
    assert not (given & charged).astype(bool).all()


def test_a_room_cools_as_the_exponential_says_and_settles_where_heat_meets_loss() -> None:
    room = np.array([20.0])
    for _ in range(120):
        room = after(room, 0.0, np.zeros(1), 200.0, 200.0 * 40)
    assert room == pytest.approx(20 * np.exp(-10 / 40))
    for _ in range(100_000):
        room = after(room, 5.0, np.array([3000.0]), 200.0, 2000.0)
    assert room == pytest.approx(5 + 15)


def test_performance_falls_with_the_lift_as_staffell_found() -> None:
    assert performance(35) == pytest.approx(6.81 - 0.121 * 35 + 0.00063 * 35**2)
    assert performance(35, ground=True) == pytest.approx(8.77 - 0.150 * 35 + 0.000734 * 35**2)
    assert performance(5) == performance(15)


def test_a_heated_room_stays_in_its_band_and_uses_the_heat_it_loses() -> None:
    cold = Building(still(temperature=0.0, ghi=0.0), 4.0, draw=0.0, gains=0.0, comfort=(20.0, 22.0))
    assert cold.heated.room == pytest.approx(20.0)
    assert cold.energy_wh[0, 20] == pytest.approx(180 * 20 / performance(40) / 4, abs=1)
    sunny = Building(still(temperature=0.0, ghi=0.0), 4.0, draw=0.0, gains=0.0, preheat=True)
    assert sunny.heated.room.max() == pytest.approx(22.0)
    assert sunny.heated.room.min() >= 20.0 - 1e-9
    weak = Building(still(temperature=-20.0, ghi=0.0), 0.5, draw=0.0, gains=0.0)
    assert weak.heated.room[0, -1] < 19


def test_hot_water_takes_the_heat_of_what_is_drawn() -> None:
    fleet = Building(still(temperature=10.0, ghi=0.0), 5.0, loss=1e-3, gains=0.0, litres=300.0, draw=120.0)
    stored = (fleet.heated.water[:, -1] - 51.5) * 300 * 1.163
    heat = fleet.energy_wh.sum(axis=1) * performance(55 - 10)
    assert heat - stored == pytest.approx([120 * 35 * 1.163] * 3, rel=0.02)
    assert 45 < fleet.heated.water.min() <= fleet.heated.water.max() < 57


def test_evaporation_is_that_of_the_worked_examples_of_fao_paper_56() -> None:
    assert outside_radiation(246, -20.0) == pytest.approx(32.2, abs=0.05)  # example 8
    # Example 20: Lyon in July, 14.8 to 26.6 °C, R_a of 40.6 MJ/m²: 5.0 mm.
    assert evaporation(np.array([14.8]), np.array([26.6]), np.array([40.6])) == pytest.approx(5.0, abs=0.05)


def test_a_pump_lifts_what_the_field_lacks() -> None:
    site = days(6)
    warmth = site.weather.daily(site.weather.temperature)
    rain = site.weather.daily(site.weather.rain).sum(axis=1) * HOURS
    lack = evaporation(warmth.min(axis=1), warmth.max(axis=1), outside_radiation(site.steps.day_of_year, 51.5)) - rain
    pump = Irrigation(site, 30.0, area=2.0, head=30.0, efficiency=0.5, months=range(1, 13))
    kwh = np.maximum(lack, 0).sum() * 20 * 1000 * 9.80665 * 30 / 0.5 / 3.6e6
    assert pump.energy_wh.sum(axis=1) / 1000 == pytest.approx([kwh] * 3, rel=1e-3)
    assert not Irrigation(site, 30.0, months=(1,)).energy_wh.any()  # it is April


def test_milk_grain_and_shifts_take_what_their_balances_say() -> None:
    milk = Cooling(still(temperature=22.0), 1000.0)
    cop = 0.3 * 275.15 / 20
    assert milk.energy_wh.sum(axis=1) == pytest.approx([1030 * 3.93 * 31 / 3.6 / cop] * 3, rel=1e-3)
    grain = Drying(made_up_site(3), 50.0, tonnes=10.0, moisture=(0.2, 0.14), months=range(1, 13))
    assert grain.energy_wh.sum(axis=1) / 1000 == pytest.approx([600 / 0.86 * 0.4] * 3, rel=1e-3)
    shift = Shift(made_up_site(1), 10.0, weekdays=range(7), window=(6.0, 14.0), idle=0.1)
    assert shift.energy_wh.sum() == 8 * 10_000 + 16 * 1_000
    early = Batch(made_up_site(1), 8.0, hours=2.0, weekdays=range(7), window=(6.0, 18.0))
    sunny = Batch(made_up_site(1), 8.0, hours=2.0, weekdays=range(7), window=(6.0, 18.0), to_sun=True)
    assert early.energy_wh.sum() == sunny.energy_wh.sum() == 16_000
    assert np.flatnonzero(early.energy_wh[0])[0] == 24
    assert np.flatnonzero(sunny.energy_wh[0]).mean() == pytest.approx((12 - 9.5 / 15) * 4 - 0.5, abs=1)


def priced(site: Site, hours: dict[int, int], base: int = 300_000) -> Site:
    """The site with other prices in some hours of every day."""
    price = np.full(24, base)
    for hour, value in hours.items():
        price[hour] = value
    return replace(site, tariff=price[site.steps.hour.astype(int)])


def test_a_car_that_plans_by_price_charges_the_same_energy_in_the_cheapest_hours() -> None:
    site = priced(days(4), {23: 200_000, 0: 200_000, 1: 200_000, 2: 250_000})
    keywords: dict[str, Any] = {"spread": 0.0, "arrival": 17.0, "departure": 6.5}
    plain, planned = (Trips(site, 7.0, 6.0, by_price=by_price, **keywords) for by_price in (False, True))
    whole = slice(68, 96 * 3 + 26)  # from the first arrival to the third departure
    assert planned.energy_wh[:, whole].sum(axis=1) == pytest.approx(plain.energy_wh[:, whole].sum(axis=1), abs=60)
    hour = (np.arange(planned.energy_wh.shape[1]) // 4) % 24
    assert set(hour[planned.energy_wh.any(axis=0)]) <= {23, 0, 1}
    assert planned.power_w.max() <= 7_000


def test_what_is_required_takes_the_cheapest_hours_and_what_is_wanted_beyond_the_next() -> None:
    site = priced(days(3, 1), {1: 100_000, 2: 200_000, 3: 250_000})
    keywords: dict[str, Any] = {"spread": 0.0, "required": 0.5, "by_price": True}
    firm, more = (Trips(site, 3.0, 6.0, part=part, **keywords).energy_wh[0] for part in ("required", "top_up"))
    both = Trips(site, 3.0, 6.0, **keywords | {"required": 1.0}).energy_wh[0]
    assert np.abs(firm + more - both).max() <= 1
    price = site.price.reshape(-1, 3)[:, 0]
    assert (firm @ price) / firm.sum() < (more @ price) / more.sum()


def test_a_car_gives_when_energy_is_dear_and_takes_it_back_later_when_it_is_cheap() -> None:
    site = priced(days(3), {20: 400_000, 3: 200_000, 4: 200_000})
    keywords: dict[str, Any] = {"spread": 0.0, "v2g_kwh": 4.0, "by_price": True}
    given = Trips(site, 8.0, 4.0, part="given", **keywords)
    charged = Trips(site, 8.0, 4.0, **keywords)
    hour = (np.arange(given.energy_wh.shape[1]) // 4) % 24
    assert set(hour[given.energy_wh.any(axis=0)]) == {20}
    assert set(hour[charged.energy_wh.any(axis=0)]) <= {3, 4}
    stay = slice(64, 96 + 28)
    need = Trips(site, 8.0, 4.0, spread=0.0).energy_wh[:, stay].sum(axis=1)
    back = given.energy_wh[:, stay].sum(axis=1) / 0.85
    assert charged.energy_wh[:, stay].sum(axis=1) == pytest.approx(need + back, abs=80)


def test_a_heat_pump_warms_the_house_while_energy_is_cheap_and_stays_within_its_comfort() -> None:
    site = priced(still(temperature=0.0, ghi=0.0), {2: 200_000, 3: 200_000, 4: 200_000})
    keywords: dict[str, Any] = {"draw": 0.0, "gains": 0.0, "comfort": (20.0, 22.0)}
    plain, planned = (Building(site, 8.0, by_price=by_price, **keywords) for by_price in (False, True))
    cheap = np.isin(site.steps.hour.astype(int), [2, 3, 4])
    assert planned.heated.watts[:, cheap].sum() > 1.5 * plain.heated.watts[:, cheap].sum()
    after_it = site.steps.hour > 5
    assert planned.heated.watts[:, after_it].sum() < plain.heated.watts[:, after_it].sum()
    assert planned.heated.room.min() >= 20 - 1e-6
    assert planned.heated.room.max() <= 22 + 1e-6
    flat = still(temperature=0.0, ghi=0.0)
    assert np.array_equal(
        Building(flat, 8.0, by_price=True, **keywords).energy_wh, Building(flat, 8.0, **keywords).energy_wh
    )


def test_a_plant_keeps_its_fuel_for_the_dear_hours() -> None:
    site = priced(days(2), dict.fromkeys(range(16, 22), 400_000))
    plant = Chp(site, 10.0, part="minimum", least=0.5, run_hours=1.0, by_price=True)
    hour = (np.arange(plant.energy_wh.shape[1]) // 4) % 24
    assert set(hour[plant.energy_wh.any(axis=0)]) <= set(range(16, 23))
    assert plant.energy_wh.any()


def test_wind_at_the_hub_and_on_the_curve_is_what_windpowerlib_says() -> None:
    power_output = pytest.importorskip("windpowerlib.power_output")
    wind_speed = pytest.importorskip("windpowerlib.wind_speed")
    speed = np.linspace(0.5, 30, 60)
    assert at_hub(speed, 42.0, shear=0.2) == pytest.approx(wind_speed.hellman(speed, 10, 42.0, hellman_exponent=0.2))
    log = wind_speed.logarithmic_profile(speed, 10, 42.0, 0.05)
    assert at_hub(speed, 42.0, roughness=0.05) == pytest.approx(log)
    points = [(3.0, 0.0), (5.0, 0.1), (10.0, 0.8), (12.0, 1.0), (25.0, 1.0)]
    told = power_output.power_curve(speed, *np.array(points).T)
    assert given_curve(speed, points) == pytest.approx(told)
