"""Indicators against cases counted by hand, and the identity of two prices in one market."""

from __future__ import annotations

import numpy as np
import pytest

from agents import MarketModel, indicators
from agents.metrics import Trades
from agents.scenario import load_scenario
from tests.agents.small import finished

HOMES = """
name: homes
time: {start: 2016-06-08T10:00Z, slots: 6}
market: {rounds: 3}
tariffs: {retail: 32 ct/kWh, feed_in: 8 ct/kWh}
grid: {network: simbench_lv_rural2, gate: linear}
participants:
  - {group: sun, kind: household, count: 10, load: {annual_kwh: [2000, 5000]}, pv: {kwp: [4, 9]}, strategy: truthful,
     value: 31 ct/kWh, cost: 9 ct/kWh}
  - {group: home, kind: household, count: 20, load: {annual_kwh: [2000, 9000]}, strategy: truthful, value: 31 ct/kWh}
"""


def trades(*rows: tuple[int, int, int, bool]) -> Trades:
    """Rows of (price in ct/kWh, kWh, cost in ct/kWh, local?)."""
    price, energy, cost, local = (np.array(column) for column in zip(*rows, strict=True))
    none = np.zeros(len(price), dtype=np.int64)
    return Trades(none, none, none, none, price * 10_000, energy * 1000, none, cost * 10_000, local, none)


def test_spread_and_deviation_by_hand() -> None:
    found = indicators.spread(trades((10, 1, 0, True), (20, 3, 0, True), (32, 9, 0, False)))
    assert found == {"spread_ct": 10.0, "deviation_ct": pytest.approx(np.sqrt((7.5**2 + 3 * 2.5**2) / 4))}
    assert indicators.spread(trades((32, 9, 0, False)))["spread_ct"] is None


def test_concentration_is_the_sum_of_squared_shares() -> None:
    assert indicators.concentration(np.array([5, 5, 5, 5])) == 0.25
    assert indicators.concentration(np.array([0, 7])) == 1.0
    assert indicators.concentration(np.array([60, 40])) == pytest.approx(0.52)
    assert indicators.concentration(np.array([0, 0])) is None


def test_lerner_is_the_margin_over_the_revenue() -> None:
    assert indicators.lerner(trades((20, 1, 8, True), (10, 2, 10, True), (32, 5, 0, False))) == 12 / 40


def test_a_seller_without_whom_demand_is_not_met_is_pivotal() -> None:
    assert indicators.residual_supply(np.array([300, 500, 100]), 700) == 400 / 700
    assert indicators.residual_supply(np.array([800, 100]), 700) == 100 / 700
    assert indicators.residual_supply(np.array([800, 900]), 400) == 2.0
    assert indicators.residual_supply(np.array([0, 0]), 700) is None
    assert indicators.residual_supply(np.array([800, 100]), 0) is None
    power = indicators.market_power(trades((20, 1, 8, True)), np.array([1]), np.array([1]), [0.9, None, 1.2])
    assert (power["pivotal_slots"], power["residual_supply_min"]) == (1, 0.9)


def test_emissions_by_hand() -> None:
    found = indicators.emissions({"solar": 100.0}, 50.0, 20.0, 120.0, {"solar": 40.0, "grid": 400.0})
    assert (found["kg"], found["avoided_kg"]) == (24.0, 8.0)
    assert found["g_per_kwh"] == pytest.approx(1000 * 16 / 120)
    assert found["by_source_kg"] == {"solar": 4.0, "grid": 20.0}


def test_an_origin_without_a_factor_counts_as_the_grid() -> None:
    factors = {"solar": 40.0, "grid": 400.0}
    assert [indicators.factor(name, factors) for name in ("solar", "tidal", "")] == [40.0, 400.0, 400.0]
    found = indicators.emissions({"tidal": 10.0}, 0.0, 0.0, 10.0, factors)
    assert (found["kg"], found["by_source_kg"]) == (4.0, {"tidal": 4.0, "grid": 0.0})


def test_peaks_by_hand() -> None:
    found = indicators.peak(np.array([2.0, -8.0, 5.0, 1.0]))
    assert found == {"import_kw": 5.0, "export_kw": 8.0, "load_factor": 0.5}


def test_dispersion_is_that_of_the_benefits() -> None:
    assert indicators.dispersion(np.array([1, 3]) * 10**9) == 1.0


def test_a_runs_origins_and_emissions_add_up() -> None:
    summary = finished()[0].results().summary
    sources, energy = summary["sources"], summary["energy"]
    assert sum(one["sold_local_kwh"] for one in sources.values()) == pytest.approx(energy["local_kwh"])
    assert sum(one["generation_kwh"] for one in sources.values()) == pytest.approx(energy["generation_kwh"])
    assert sum(summary["emissions"]["by_source_kg"].values()) == pytest.approx(summary["emissions"]["kg"])
    assert summary["emissions"]["by_source_kg"]["solar"] == pytest.approx(0.041 * sources["solar"]["generation_kwh"])
    assert 0 < summary["market_power"]["hhi_sellers"] <= 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_prices_for_one_market_save_their_difference_on_every_traded_kwh(seed: int) -> None:
    results = MarketModel(load_scenario(HOMES), seed=seed).run()
    energy, people = results.summary["energy"]["local_kwh"], results.participants
    assert energy > 1
    assert float(people["saving"].sum()) == pytest.approx(energy * (0.32 - 0.08), abs=1e-9)
    assert (people["saving"] >= -1e-9).all(), "nobody is worse off who says the truth"
