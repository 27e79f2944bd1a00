"""Scenarios: what is written is what is read, and everything wrong is said at once, with its path and the fix."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import scenarios
from agents import strategies
from agents.scenario import Scenario, ScenarioError, from_data, json_schema, load_scenario, reference
from agents.scenario_files import load_feeder
from agents.scenario_units import (
    parse_duration,
    parse_price,
    parse_share,
    parse_start,
    write_duration,
    write_price,
)
from market.orders import MarketSettings, SettlementRules

MINIMAL = """
name: corner
time: {start: 2016-06-08, slots: 4}
tariffs: {retail: 30 ct/kWh, feed_in: 7 ct/kWh, grid_fee: 2.5 ct/kWh}
grid: {network: ieee_european_lv}
participants:
  - group: home
    kind: household
    count: 3
    load: {annual_kwh: [2_000, 4_000]}
    pv: {kwp: 5, share: 40 %, static_export_limit: 1.5 kW}
    strategy: zip
  - group: bakery
    kind: commercial
    connect: [LOAD1, LOAD7]
    load: {profile: G5-A, annual_kwh: 18000 kWh}
"""


def errors_of(text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(text)
    return [error.removeprefix("scenario: ") for error in caught.value.errors]


def changed(**changes: str) -> str:
    """The minimal scenario with some of its text replaced; keys are only labels."""
    text = MINIMAL
    for change in changes.values():
        old, new = change.split(" -> ")
        assert old in text
        text = text.replace(old, new, 1)
    return text


def test_values_carry_their_unit_and_become_whole() -> None:
    scenario = load_scenario(MINIMAL)
    assert scenario.market_settings() == MarketSettings(
        name="corner",
        currency="EUR",
        slot_seconds=900,
        opens_before_seconds=3600,
        gate_before_seconds=900,
        tick=100,
        price_floor=0,
        price_cap=600_000,
        lot=1,
        max_orders=4096,
        gate="certified",
        voltage_min_ppm=900_000,
        voltage_max_ppm=1_100_000,
        loading_max_ppm=1_000_000,
        utility="utility",
        retail=300_000,
        feed_in=70_000,
        grid_fee=25_000,
        settlement=SettlementRules(origins="metered"),
    )
    home, bakery = scenario.participants
    assert home.load is not None
    assert home.load.annual_kwh == (2000, 4000)
    assert home.pv is not None
    assert (home.pv.kwp, home.pv.share, home.pv.static_export_limit) == ((5, 5), 0.4, (1.0, 1.5))
    assert (bakery.size, home.size) == (2, 3)
    assert (scenario.first_slot, scenario.slots) == (16_960 * 96, 4)


@pytest.mark.parametrize("name", scenarios.names())
def test_every_shipped_scenario_loads_and_says_what_it_is(name: str) -> None:
    scenario = scenarios.load(name)
    assert scenario.name == name
    assert scenario.title
    assert scenario.description


def test_the_promised_scenarios_are_shipped() -> None:
    assert {"village", "congested", "street"} <= set(scenarios.names())


@pytest.mark.parametrize("text", [MINIMAL, *(scenarios.path(name).read_text() for name in scenarios.names())])
def test_a_written_scenario_reads_back_equal(text: str) -> None:
    scenario = load_scenario(text)
    assert load_scenario(scenario.to_yaml()) == scenario


def test_a_changed_copy_is_checked_again() -> None:
    scenario = load_scenario(MINIMAL)
    other = scenario.changed(seed=7, **{"grid.gate": "off"})
    assert (other.seed, other.grid.gate, scenario.seed) == (7, "off", 1)
    assert other != scenario
    with pytest.raises(ScenarioError, match=r"grid.gate: must be 'off', 'linear', 'certified' or 'ac', got 'on'"):
        scenario.changed(**{"grid.gate": "on"})


def test_a_scenario_is_frozen() -> None:
    scenario = load_scenario(MINIMAL)
    with pytest.raises(ValidationError, match="frozen"):
        scenario.seed = 3


def test_a_scenario_made_in_python_is_checked_too() -> None:
    data = yaml.safe_load(load_scenario(MINIMAL).to_yaml())
    assert Scenario(**data) == load_scenario(MINIMAL)
    data["tariffs"]["retail"] = "99 ct/kWh"
    with pytest.raises(ValidationError, match=r"tariffs.retail: must be within price_floor and price_cap"):
        Scenario(**data)


def test_all_errors_are_said_at_once() -> None:
    text = changed(
        a="slots: 4 -> slots: 0",
        b="retail: 30 ct/kWh -> retail: 30",
        c="kwp: 5 -> kwp: -4",
        d="zip -> zipp",
        e="LOAD7 -> LOUD7",
        f="G5-A -> G55",
        g="name: corner -> name: corner\nsead: 4",
    )
    assert errors_of(text) == [
        "sead: unknown field; did you mean 'seed'?",
        "time.slots: must be > 0, got 0",
        "tariffs.retail: needs a number with its unit, like '21.35 ct/kWh', got 30",
        "participants[0].pv.kwp: must be > 0, got -4",
        f"participants[0].strategy: {strategies.check('zipp')[0]}",
        "participants[1].load.profile: unknown profile 'G55'; did you mean 'G5-A'?",
        "participants[1].connect[1]: the feeder has no connection 'LOUD7'; did you mean 'LOAD7'?",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("slots: 4 -> slots: 4, days: 1", "time.slots: give days or slots, not both"),
        ("2016-06-08 -> 2016-06-08T00:07Z", "time.start: must be the begin of a slot, .*use 2016-06-08T00:00:00Z"),
        ("2016-06-08 -> 2016-06-08T00:00", "time.start: .* is not a UTC time"),
        ("2016-06-08 -> 2019-06-08", "time.start: a profile in use covers 2015-12-31T23:00:00Z to"),
        ("feed_in: 7 -> feed_in: 31", "tariffs.feed_in: must be at most retail"),
        (
            "feed_in: 7 -> feed_in: 7.005",
            "tariffs.feed_in: must be a multiple of the tick .*use 7 ct/kWh or 7.01 ct/kWh",
        ),
        ("retail: 30 -> retail: 60.01", "tariffs.retail: must be within price_floor and price_cap"),
        ("grid_fee: 2.5 -> grid_fee: -2.5", "tariffs.grid_fee: must be >= 0, got '-2.5 ct/kWh'"),
        ("2.5 ct/kWh -> 2.5 ct", "tariffs.grid_fee: '2.5 ct' is not a number with a unit"),
        ("ieee_european_lv -> ieee_european", "grid.network: there is no shipped feeder .*did you mean"),
        ("ieee_european_lv -> no.json", "grid.network: cannot read .*no.json: No such file"),
        (
            "ieee_european_lv} -> ieee_european_lv, gate: on}",
            "grid.gate: must be 'off', 'linear', 'certified' or 'ac', got 'on'",
        ),
        ("lv} -> lv, voltage_band: [1.1, 0.9]}", "grid.voltage_band: must be .least, largest."),
        ("lv} -> lv, voltage_band: [0.9, .nan]}", r"grid.voltage_band\[1\]: must be a finite number, got nan"),
        ("group: home -> group: bakery", r"participants\[1\].group: 'bakery' is the name of participants\[0\] too"),
        ("group: home -> group: Home", r"participants\[0\].group: must match"),
        ("group: home -> group: utility", r"participants\[0\].group: is the name of the utility"),
        ("household -> pv_park\n    wind: {kw: 3} ", None),
        ("household -> wind", r"participants\[0\].wind: is missing; the kind wind needs it"),
        ("count: 3 -> count: 54", r"participants\[0\].count: 54 wanted, but only 53 connections"),
        ("count: 3 -> count: 2.5", r"participants\[0\].count: must be a whole number, got 2.5"),
        ("    count: 3\n -> ", r"participants\[0\].count: is missing"),
        ("[LOAD1, LOAD7] -> [LOAD1, LOAD1]", r"participants\[1\].connect\[1\]: 'LOAD1' is taken already"),
        ("[LOAD1, LOAD7] -> [slack]", r"participants\[1\].connect\[0\]: 'slack' is at the source bus"),
        ("[LOAD1, LOAD7] -> {profile: H0}\n    count: 1", r"participants\[1\].count: 1 wanted, but only 0 connections"),
        ("[LOAD1, LOAD7] -> LOAD1", r"participants\[1\].connect: needs 'any', a list of connections"),
        ("[2_000, 4_000] -> [4_000, 2_000]", r"participants\[0\].load.annual_kwh: least is greater than most"),
        ("[2_000, 4_000] -> 2 MWh", r"participants\[0\].load.annual_kwh: needs kWh, not MWh, got '2 MWh'"),
        ("{annual_kwh: [2_000, 4_000]} -> {}", r"participants\[0\].load.annual_kwh: is missing"),
        ("kwp: 5 -> kwp: .inf", r"participants\[0\].pv.kwp: must be at most 100_000_000 kWp, got inf"),
        ("kwp: 5 -> kwp: .nan", r"participants\[0\].pv.kwp: must be > 0, got nan"),
        ("40 % -> 140 %", r"participants\[0\].pv.share: must be > 0 and <= 1, got '140 %'"),
        ("1.5 kW -> 1.5 kWh", r"participants\[0\].pv.static_export_limit: needs kW, not kWh"),
        ("strategy: zip -> strategy: {name: zip, params: {b: 1}}", r"participants\[0\].strategy: b: zip has no such"),
        ("strategy: zip -> strategy: 'no_such_module:X'", r"participants\[0\].strategy: .*cannot import"),
        ("strategy: zip -> strategy: [zip, zi_c]", r"participants\[0\].strategy: shares must add up to 1, got 2"),
        ("strategy: zip -> value: 61 ct/kWh", r"participants\[0\].value: must be within price_floor and price_cap"),
        ("strategy: zip -> battery: {kwh: 5, kw: 3, rule: greedy}", r"participants\[0\].battery.rule: unknown rule"),
        ("strategy: zip -> battery: {kwh: 6_000, kw: 3}", r"participants\[0\].battery.kwh: must be <= 5000"),
        ("strategy: zip -> devices: [{name: nonsense}]", r"participants\[0\].devices\[0\].name: unknown device"),
        (
            "strategy: zip -> devices: [{name: wind, params: {mw: 3}}]",
            r"participants\[0\].devices\[0\].params: do not fit wind: missing a required argument: 'kw'",
        ),
        ("slots: 4 -> slots: 1_000_000_000_000", r"time.slots: must be at most 351360 \(3660 days\)"),
        ("name: corner -> name: corner\nmarket: {slot: 7 min}", "market.slot: must divide a day"),
        ("name: corner -> name: corner\nmarket: {gate_closure: 2 h}", "market.opens_before: must be longer"),
        (
            "name: corner -> name: corner\nmarket: {price_floor: 60 ct/kWh}",
            "market.price_floor: must be less than price_cap, got 60 ct/kWh and 60 ct/kWh",
        ),
        ("name: corner -> name: corner\nprofiles: no.csv", "profiles: .*no.csv"),
        ("name: corner -> name: corner\nname: other", "line 3: 'name' stands twice in one mapping"),
        ("name: corner -> name: [corner", "line [0-9]+, column [0-9]+: is not YAML"),
        ("name: corner -> name: !!python/name:os.system x", "line 2, column 7: is not YAML"),
        ("name: corner -> 3: corner", "line 2: the key 3 is not a name"),
    ],
)
def test_an_error_names_its_path_and_the_fix(change: str, expected: str | None) -> None:
    if expected is None:
        change, expected = (
            change.split("\n")[0] + "\n    pv_: 1",
            r"participants\[0\].pv_: unknown field; did you mean 'pv'",
        )
    found = errors_of(changed(it=change))
    assert any(re.match(expected, error) for error in found), found


def test_a_fault_is_said_once() -> None:
    assert errors_of(changed(a="kwp: 5 -> kwp: 0")) == ["participants[0].pv.kwp: must be > 0, got 0"]
    assert errors_of(changed(a="count: 3 -> count: 0")) == ["participants[0].count: must be > 0, got 0"]


@pytest.mark.parametrize("text", ["\n", "- 1\n- 2\n", "3\n4\n", "~\n", "a: b\n"])
def test_what_is_no_scenario_is_said_to_lack_its_fields(text: str) -> None:
    assert "name: is missing; it is: Short name, also that of the market" in errors_of(text)


def test_text_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"title: caf\xe9\n")
    with pytest.raises(ScenarioError, match=r"^latin.yaml: is not UTF-8 text \(byte 10\)"):
        load_scenario(path)


def test_paths_start_at_the_scenarios_folder(tmp_path: Path) -> None:
    feeder = Path(scenarios.__file__).parent / "data" / "ieee_european_lv.feeder.json"
    (tmp_path / "mine.json").write_text(feeder.read_text())
    rows = "".join(f"2016-06-08T{h:02d}:00:00Z,{h}\n" for h in range(4))
    (tmp_path / "house.csv").write_text("timestamp,my house\n" + rows)
    text = changed(
        a="ieee_european_lv -> mine.json",
        b="load: {annual_kwh: [2_000, 4_000]} -> load: {profile: my house}",
        c="name: corner -> name: corner\nprofiles: [simbench, house.csv]",
    )
    path = tmp_path / "own.yaml"
    path.write_text(text)
    scenario = scenarios.load(path)
    assert scenario.base == tmp_path
    assert load_scenario(scenario.to_yaml()) == scenario


def test_a_feeder_of_ones_own_gets_the_utilitys_connection_at_its_source(tmp_path: Path) -> None:
    data: dict[str, Any] = {
        "buses": [{"id": "s", "u_rated_v": 400}, {"id": "a", "u_rated_v": 400}],
        "lines": [{"id": "l", "from": "s", "to": "a", "r_ohm": 0.1, "x_ohm": 0.0, "i_max_a": 100}],
        "source": {"bus": "s"},
        "connections": [{"id": name, "bus": "a"} for name in ("LOAD1", "LOAD7", "h1", "h2", "h3")],
    }
    text = changed(it="ieee_european_lv -> own.json")
    (tmp_path / "own.yaml").write_text(text)
    (tmp_path / "own.json").write_text(json.dumps(data))
    feeder = load_feeder(load_scenario(tmp_path / "own.yaml"))
    assert feeder.connection_ids == ["slack", "LOAD1", "LOAD7", "h1", "h2", "h3"]
    assert feeder.connection_bus[0] == feeder.source_bus
    data["connections"][4]["id"] = "slack"
    (tmp_path / "own.json").write_text(json.dumps(data))
    with pytest.raises(ScenarioError) as caught:
        load_scenario(tmp_path / "own.yaml")
    fault = "connections[4].id: 'slack' is the utility's and must be at the source, bus 's'; move or rename it"
    assert caught.value.errors == [f"own.yaml: grid.network: own.json: {fault}"]


def test_an_unknown_name_is_answered_with_what_exists() -> None:
    with pytest.raises(ScenarioError, match=r"there is no scenario 'vilage'; did you mean 'village'\?"):
        scenarios.load("vilage")


def test_a_missing_file_is_an_error_of_the_system() -> None:
    with pytest.raises(FileNotFoundError):
        scenarios.load("no/such.yaml")


def test_reference_and_schema_cover_every_field() -> None:
    text, schema = reference(), json.dumps(json_schema())
    for word in ("static_export_limit", "voltage_band", "self_discharge", "opens_before", "grid.network", "ct/kWh"):
        assert word in text
    for word in ("static_export_limit", "voltage_band", "self_discharge", "opens_before"):
        assert f'"{word}"' in schema
    assert "| `tick` | text | ct/kWh | `0.01 ct/kWh` | Prices of orders are multiples of this |" in text


@given(st.integers(-(10**12), 10**12))
def test_a_price_written_is_the_price_read(price: int) -> None:
    assert parse_price(write_price(price)) == price


@given(st.integers(0, 10**9))
def test_a_duration_written_is_the_duration_read(seconds: int) -> None:
    assert parse_duration(write_duration(seconds)) == seconds


@pytest.mark.parametrize("value", [1, 1.5, True, None, "", "1", "ct/kWh", "1 kWh", "1e400 ct/kWh", [], "١ ct/kWh"])
def test_a_price_without_its_unit_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_price(value)


@pytest.mark.parametrize("value", [0, -0.1, 1.1, True, "40", "0 %", None, float("nan")])
def test_a_share_outside_its_range_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"must be > 0|needs a number"):
        parse_share(value)


def test_a_date_is_its_midnight() -> None:
    assert parse_start("2016-06-08") == parse_start("2016-06-08T00:00Z")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "grid", "time", "market", "participants", "load", "x"]), inner, max_size=4
            )
        ),
        max_leaves=8,
    )
)
def test_nonsense_is_answered_by_errors_alone(data: object) -> None:
    with pytest.raises(ScenarioError):
        from_data(data, "scenario", Path.cwd())


def test_a_spread_clock_goes_with_continuous_trading_and_within_the_range_of_prices() -> None:
    congested = scenarios.load("congested")
    assert congested.market.spread_clock.start > 0
    with pytest.raises(ScenarioError, match="goes with design cda, got 24 ct/kWh in call"):
        congested.changed(**{"market.design": "call"})
    with pytest.raises(ScenarioError, match="at most price_cap less price_floor, 60 ct/kWh, got 61 ct/kWh"):
        congested.changed(**{"market.spread_clock.start": "61 ct/kWh"})


MODELS = """
name: models
time: {start: 2016-06-08T10:00Z, slots: 4}
grid: {network: simbench_lv_rural2}
participants:
  - group: a
    kind: household
    count: 1
    load: {annual_kwh: 3000}
    pv: {kwp: 5, profile: PV1, roof: {tilt: 30}}
    heat_pump: {kw: 3, building: {comfort: [22, 20]}}
    wind: {kw: 10, turbine: {curve: [[5, 1], [3, 0]]}}
    processes: [{name: cooling, kw: 3}, {name: batch, kw: 3, window: [0, 30]}, {name: irrigation, kw: 3, months: [13]}]
"""


def test_faults_of_models_are_named_all_at_once() -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(MODELS)
    for path in ("pv.profile", "building.comfort", "turbine.curve", "processes[0].kw", "processes[0].litres"):
        assert f"{path}: " in str(caught.value)
    for path in ("processes[1].window", "processes[2].months"):
        assert f"{path}: " in str(caught.value)


def test_a_scenario_with_models_reads_as_it_was_written() -> None:
    import scenarios

    for name in ("town", "farm_coop", "industrial_park", "island"):
        scenario = scenarios.load(name)
        assert load_scenario(scenario.to_yaml()) == scenario
