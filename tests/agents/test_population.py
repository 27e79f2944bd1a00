"""The population: energy is conserved in the netting, nobody trades with themselves, and one seed gives it all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import scenarios
from agents.devices import registry
from agents.devices.battery import Battery
from agents.devices.fleet import Ints, Site
from agents.devices.registry import Rule, self_consumption
from agents.devices.wind import Wind
from agents.netting import own, store
from agents.population import SOURCES, Population, build
from agents.scenario import Scenario, ScenarioError, load_scenario
from agents.seeds import child

BASE = """
name: corner
time: {start: 2016-06-08, slots: 96}
grid: {network: ieee_european_lv}
participants:
  - group: home
    kind: household
    count: 10
    load: {annual_kwh: [2_000, 4_000]}
    pv: {kwp: [4, 8], share: 50 %, static_export_limit: 1 kW}
    battery: {kwh: 6, kw: 3, share: 30 %}
    ev: {kw: 11, annual_kwh: 3_000, flexible: true, share: 40 %}
    value: [25 ct/kWh, 30 ct/kWh]
    strategy: [{name: zip, share: 0.3}, {name: zi_c, share: 0.7}]
"""
PLANTS = """
  - group: plant
    kind: biomass
    connect: [LOAD3]
    biomass: {kw: 20, cost: 14 ct/kWh}
    strategy: zip
"""
COLUMNS = ("load_wh", "flexible_load_wh", "must_run_wh", "dispatchable_wh", "battery_wh", "reactive_varh")


def built(text: str = BASE, seed: int = 5) -> Population:
    return build(load_scenario(text), np.random.SeedSequence(seed))


@pytest.fixture(scope="module", params=scenarios.names())
def shipped(request: pytest.FixtureRequest) -> tuple[Scenario, Population]:
    scenario = scenarios.load(request.param)
    return scenario, build(scenario, np.random.SeedSequence(scenario.seed))


def test_columns_have_one_row_a_participant(shipped: tuple[Scenario, Population]) -> None:
    scenario, people = shipped
    count = sum(group.size for group in scenario.participants)
    assert len(people) == len(set(people.ids)) == len(set(people.connections)) == count
    assert people.slots == scenario.slots
    for name in COLUMNS:
        column = getattr(people, name)
        assert (column.dtype, column.shape) == (np.int64, (count, scenario.slots))
        assert not column.flags.writeable
    assert [people.feeder.connection_ids[i] for i in people.connection_index] == people.connections
    assert "slack" not in people.connections
    members = np.concatenate([use.members for use in people.strategies])
    assert np.array_equal(np.sort(members), np.arange(count))


def test_energy_is_conserved_at_every_connection(shipped: tuple[Scenario, Population]) -> None:
    _, people = shipped
    offered = people.firm_sell_wh + people.flexible_sell_wh - people.firm_buy_wh - people.flexible_buy_wh
    devices = people.must_run_wh + people.dispatchable_wh - people.load_wh - people.flexible_load_wh
    assert np.array_equal(offered, devices + people.battery_wh)


def test_nobody_sells_and_buys_in_one_slot(shipped: tuple[Scenario, Population]) -> None:
    _, people = shipped
    sells = people.firm_sell_wh + people.flexible_sell_wh > 0
    buys = people.firm_buy_wh + people.flexible_buy_wh > 0
    assert not (sells & buys).any()
    for name in ("firm_sell_wh", "flexible_sell_wh", "firm_buy_wh", "flexible_buy_wh"):
        assert (getattr(people, name) >= 0).all()


def test_reports_add_up_to_the_columns(shipped: tuple[Scenario, Population]) -> None:
    _, people = shipped
    assert np.array_equal(sum(people.generation_by_source().values()), people.must_run_wh + people.dispatchable_wh)
    assert np.array_equal(sum(people.load_by_kind().values()), people.load_wh + people.flexible_load_wh)


def test_position_and_baseline_follow_the_exchanges_numbers() -> None:
    people = built(BASE + PLANTS)
    slot = people.first_slot + 50
    position = people.position(slot)
    assert np.array_equal(position.firm_sell, people.firm_sell_wh[:, 50])
    active, reactive = people.baseline(slot)
    assert active.shape == reactive.shape == (len(people.feeder.connection_ids),)
    assert np.array_equal(active[people.connection_index], position.firm_sell - position.firm_buy)
    assert active.sum() == (position.firm_sell - position.firm_buy).sum()
    assert (reactive <= 0).all()
    for outside in (people.first_slot - 1, people.first_slot + 96):
        with pytest.raises(IndexError):
            people.position(outside)


def test_the_same_seed_gives_the_same_population_and_another_differs() -> None:
    one, two, other = built(), built(), built(seed=6)
    assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in COLUMNS)
    assert np.array_equal(one.buy_value, two.buy_value)
    assert not np.array_equal(one.load_wh, other.load_wh)
    assert not np.array_equal(one.buy_value, other.buy_value)


def test_another_group_changes_nothing_for_the_others() -> None:
    head, groups = BASE.split("participants:\n")
    alone, joined = built(), built(head + "participants:" + PLANTS + groups)
    rows = [i for i, group in enumerate(joined.groups) if group == "home"]
    for name in COLUMNS:
        assert np.array_equal(getattr(alone, name), getattr(joined, name)[rows])
    assert np.array_equal(alone.buy_value, joined.buy_value[rows])


def test_another_device_changes_nothing_for_the_others() -> None:
    plain = built(BASE.replace("    battery: {kwh: 6, kw: 3, share: 30 %}\n", ""))
    assert np.array_equal(plain.load_wh, built().load_wh)
    assert np.array_equal(plain.must_run_wh, built().must_run_wh)


def test_shares_of_devices_and_strategies_are_exact() -> None:
    people = built()
    owners = {series.label: len(series.owners) for series in people.series}
    assert owners == {"household": 10, "ev": 4, "pv": 5}
    assert len(people.battery) == len(people.battery_owner) == 3
    assert {use.name: len(use.members) for use in people.strategies} == {"zip": 3, "zi_c": 7}


def test_prices_default_to_the_utilitys_and_a_plants_cost_is_its_own() -> None:
    people = built(BASE + PLANTS)
    assert ((people.buy_value[:10] >= 250_000) & (people.buy_value[:10] <= 300_000)).all()
    assert (people.sell_cost[:10] == 80_000).all()
    assert (people.buy_value[10], people.sell_cost[10]) == (320_000, 140_000)
    assert SOURCES[people.source[10]] == "biomass"
    assert {SOURCES[i] for i in people.source[:10]} == {"", "solar"}


def test_pv_exports_no_more_than_its_limit_unless_sold() -> None:
    people = built()
    assert people.firm_sell_wh.max() == 250
    assert people.flexible_sell_wh.max() > 250


def test_a_users_profile_in_kw_keeps_its_size(tmp_path: Path) -> None:
    text = BASE.split("participants:")[0].replace("96", "4") + (
        "profiles: [simbench, {file}]\nparticipants:\n"
        "  - {group: mine, kind: household, connect: [LOAD1], load: {profile: house}}\n"
    ).replace("{file}", f"{tmp_path}/house.csv")
    rows = "".join(f"2016-06-08T{m // 60:02d}:{m % 60:02d}:00Z,{kw}\n" for m, kw in ((0, 1), (15, 2), (30, 4), (45, 0)))
    (tmp_path / "house.csv").write_text("timestamp,house\n" + rows)
    assert built(text).load_wh.tolist() == [[250, 500, 1000, 0]]


def test_a_device_of_ones_own_joins_by_its_import_path() -> None:
    own = "    devices: [{name: 'agents.devices.wind:Wind', params: {kw: 5}, share: 20 %}]\n"
    people = built(BASE + own)
    wind = people.generation_by_source()["wind"]
    assert np.count_nonzero(wind.any(axis=1)) == 2
    assert wind.max() <= 1250
    assert np.array_equal(people.must_run_wh - wind, built().must_run_wh)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda fleet: setattr(fleet, "energy_wh", -fleet.energy_wh), "energy_wh must be >= 0, got -"),
        (
            lambda fleet: setattr(fleet, "energy_wh", fleet.energy_wh / 1.0),
            "energy_wh must be int64 .*float64",
        ),
        (
            lambda fleet: setattr(fleet, "reactive_varh", fleet.energy_wh[:, 1:]),
            "reactive_varh must be int64 of the shape",
        ),
    ],
)
def test_a_device_of_ones_own_that_breaks_the_sums_is_refused(
    change: Callable[[Any], None], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(site: Site, kw: float) -> Wind:
        fleet = Wind(site, kw)
        change(fleet)
        return fleet

    monkeypatch.setitem(registry.DEVICES, "wrong", wrong)
    with pytest.raises(ScenarioError, match=rf"group 'home': devices\[0\] wrong: {fault}"):
        built(BASE + "    devices: [{name: wrong, params: {kw: 5}}]\n")


def test_names_not_numbers_decide_what_a_child_draws() -> None:
    seed = np.random.SeedSequence(1)
    assert child(seed, "a", "b").spawn_key == child(np.random.SeedSequence(1), "a", "b").spawn_key
    assert child(seed, "a", "b").spawn_key != child(seed, "ab").spawn_key
    assert child(child(seed, "a"), "b").generate_state(2).tolist() != child(seed, "b").generate_state(2).tolist()


energies = arrays(np.int64, (4, 6), elements=st.integers(0, 5_000))


@given(energies, energies, energies, energies, st.floats(0.3, 1), st.floats(0, 1))
def test_netting_conserves_energy_and_prefers_own_use(
    load: Ints,
    flexible: Ints,
    must_run: Ints,
    dispatchable: Ints,
    efficiency: float,
    initial: float,
) -> None:
    def battery() -> Battery:
        return Battery([4_000, 9_000], [8_000, 3_000], 0.25, efficiency=efficiency, initial=initial)

    owner = np.array([1, 3])
    rules: dict[Rule, Ints] = {self_consumption: np.array([0, 1])}
    netted = own(load, flexible, must_run, dispatchable)
    store(netted, battery(), owner, rules)
    offered = netted.firm_sell + netted.flexible_sell - netted.firm_buy - netted.flexible_buy
    assert np.array_equal(offered, must_run + dispatchable - load - flexible + netted.battery)
    assert min(column.min() for column in netted[:4]) >= 0
    assert not ((netted.firm_sell + netted.flexible_sell > 0) & (netted.firm_buy + netted.flexible_buy > 0)).any()
    assert not netted.battery[[0, 2]].any()
    without = own(load, flexible, must_run, dispatchable)
    assert (netted.firm_buy <= without.firm_buy).all()
    assert (netted.flexible_sell <= without.flexible_sell).all()


@pytest.mark.parametrize("wish", [10**6, -(10**6)])
def test_no_rule_moves_more_than_the_owner_has_or_lacks(wish: int) -> None:
    def rule(battery: Battery, surplus_wh: Ints, deficit_wh: Ints) -> Ints:
        return np.full(len(battery), wish, dtype=np.int64)

    load, must_run = np.array([[100, 0]]), np.array([[0, 300]])
    none = np.zeros_like(load)
    battery = Battery(10_000, 40_000, 0.25, initial=0.5)
    netted = own(load, none, must_run, none)
    store(netted, battery, np.array([0]), {rule: np.array([0])})
    assert netted.battery.tolist() == ([[100, 0]] if wish > 0 else [[0, -300]])
