"""The laboratory: its file, its rules of trading, its measures."""

from __future__ import annotations

import csv
import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from agents.laboratory import FILES, HEADER, LaboratoryResults, run
from agents.laboratory_crowd import Crowd
from agents.laboratory_file import Laboratory, is_laboratory, json_schema, load_laboratory
from agents.laboratory_market import Session
from agents.laboratory_measures import equilibrium, optimum
from agents.scenario_text import ScenarioError
from api.cli import app
from scenarios import laboratory

SMALL = """
kind: laboratory
seed: 3
price: {floor: 1, cap: 200}
sessions: 3
periods: 2
quotes_per_period: 300
after_trade: AFTER
traders:
  - {side: buy, count: 3, units: [110, 90], strategy: BUYER}
  - {side: sell, count: 3, units: [40, 80], strategy: SELLER}
"""


def small(buyer: str = "zi_c", seller: str = "zi_c", after: str = "keep", more: str = "") -> Laboratory:
    text = SMALL.replace("AFTER", after).replace("BUYER", buyer).replace("SELLER", seller)
    return load_laboratory(text + more)


def rows(results: LaboratoryResults) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(results.trades_csv())))


# -- the file ----------------------------------------------------------------------------------------------------


def test_all_faults_of_a_file_are_told_at_once_each_with_its_path() -> None:
    text = """
kind: laboratory
price: {floor: 10, cap: 5}
sessions: 0
after_trade: burn
quotes: 3
traders:
  - {side: buy, units: [], strategy: zi_c}
  - {side: buy, count: 1.5, units: [3], strategy: {name: zip, speed: 3}}
"""
    with pytest.raises(ScenarioError) as error:
        load_laboratory(text)
    told = "\n".join(error.value.errors)
    for part in (
        "price.cap: must be above the floor 10, got 5", "sessions: must be > 0, got 0", "after_trade: must be",
        "quotes: unknown field; did you mean", "traders[0].units: must have at least one entry",
        "traders[1].count: must be a whole number, got 1.5", "quotes_per_period: is missing",
    ):  # fmt: skip
        assert part in told, told


def test_faults_between_fields_are_told_at_once() -> None:
    text = """
kind: laboratory
price: {floor: 1, cap: 200, tick: 2}
idle_limit: 5
traders:
  - {side: buy, units: [3], strategy: zap, zone: A}
  - {side: buy, units: [3], strategy: utility_only}
network: {lines: [{from: A, to: B, cap: 1}, {from: B, to: A, cap: 1}]}
spread_clock: {start: 2000000, zero_at: 2}
"""
    with pytest.raises(ScenarioError) as error:
        load_laboratory(text)
    told = "\n".join(error.value.errors)
    for part in (
        "price.cap: must be a whole number of ticks above the floor, got 200; use 199",
        "traders[0].strategy: unknown strategy 'zap'", "traders[1].strategy: utility_only trades with the utility",
        "traders[1].zone: must be a zone of a line, one of A, B; is missing", "traders: need both sides",
        "network.lines[1]: closes a ring", "spread_clock.start: must be less than 524288 ticks, got 2000000",
        "spread_clock.zero_at: must be <= 1, got 2; or say closing: true",
        "spread_clock: runs by quotes_per_period",
    ):  # fmt: skip
        assert part in told, told


def test_a_file_says_again_what_it_said() -> None:
    lab = small("{name: zip, beta: [0.1, 0.5]}")
    assert load_laboratory(lab.to_yaml()) == lab
    assert lab.traders[0].strategy.params == {"beta": [0.1, 0.5]}


def test_the_schema_knows_every_field() -> None:
    known = json_schema()["properties"]
    assert set(known) == set(Laboratory.model_fields)
    assert is_laboratory(SMALL.encode())
    assert not is_laboratory(b"name: village")
    assert not is_laboratory(b"{")


@pytest.mark.parametrize("name", laboratory.names())
def test_shipped_laboratories_load(name: str) -> None:
    assert laboratory.load(name).name == name


# -- the rules of trading ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", ["keep", "clear_quotes"])
@pytest.mark.parametrize(
    "strategy", ["zi_u", "zi_c", "truthful", "shaver", "zip", "gd", "aa", "roth_erev", "exp3", "q_learning"]
)
def test_trades_keep_to_the_endowments(strategy: str, after: str) -> None:
    lab = small(strategy, strategy, after).changed(sessions=1, quotes_per_period=400)
    results = run(lab)
    limits = dict(zip(results.crowd.names, results.crowd.units, strict=True))
    for _, trades in itertools.groupby(rows(results), key=lambda row: (row["session"], row["period"])):
        used: dict[str, int] = {}
        for row in trades:
            for who, worth in (("buyer", "value"), ("seller", "cost")):
                unit = used.get(row[who], 0)
                assert int(row[worth]) == limits[row[who]][unit]
                used[row[who]] = unit + 1
            if strategy != "zi_u":
                assert int(row["cost"]) <= int(row["price"]) <= int(row["value"])
    assert results.sessions[0].shape[0] > 0


def test_a_period_ends_when_one_side_has_no_units_left() -> None:
    results = run(small("zi_u", "zi_u").changed(quotes_per_period=100_000))
    assert (results.measures.trades == 6).all()


def test_an_idle_limit_ends_a_period() -> None:
    lab = small("truthful", "truthful").changed(idle_limit=1, sessions=200)
    trades = np.concatenate(run(lab).sessions)
    assert not len(trades) or trades[:, 1].max() == 0, "a first quote cannot trade, and the second is not allowed"
    assert len(np.concatenate(run(lab.changed(idle_limit=20)).sessions)) > 0


@pytest.mark.parametrize("after", ["keep", "clear_quotes"])
def test_a_short_cut_changes_no_trade(after: str) -> None:
    lab = small(after=after)
    for number in range(5):
        fast, whole = (Session(lab, number, short_cut=short).run() for short in (True, False))
        np.testing.assert_array_equal(fast, whole)


def test_the_number_of_workers_changes_no_byte() -> None:
    lab = small()
    one, two = run(lab), run(lab, workers=2)
    assert one.trades_csv() == two.trades_csv()
    assert json.dumps(one.summary) == json.dumps(two.summary)
    assert run(lab.changed(seed=4)).trades_csv() != one.trades_csv()


def test_more_sessions_leave_the_first_ones_as_they_were() -> None:
    lab = small()
    for left, right in zip(run(lab).sessions, run(lab.changed(sessions=5)).sessions, strict=False):
        np.testing.assert_array_equal(left, right)


def test_quotes_that_stay_are_met_later_at_their_price() -> None:
    results = run(small("truthful", "truthful"))
    for row in rows(results):
        assert row["price"] == row["cost" if row["maker"] == "sell" else "value"]


def test_a_line_is_never_overloaded() -> None:
    text = """
kind: laboratory
price: {floor: 1, cap: 200}
sessions: 20
quotes_per_period: 200
after_trade: keep
traders:
  - {side: buy, count: 4, units: [150, 140], strategy: zi_c, zone: B}
  - {side: sell, count: 2, units: [20, 30], strategy: zi_c, zone: B}
  - {side: sell, count: 4, units: [10, 15], strategy: zi_c, zone: A}
network: {lines: [{from: A, to: B, cap: 3}]}
"""
    results = run(load_laboratory(text))
    zone = dict(zip(results.crowd.names, results.crowd.zones, strict=True))
    for number in range(1, 21):
        mine = [row for row in rows(results) if row["session"] == str(number)]
        flow = sum((zone[row["seller"]] == "A") - (zone[row["buyer"]] == "A") for row in mine)
        assert 0 <= flow <= 3
    assert results.optimum == 4 * 150 + 3 * 140 - (3 * 10 + 2 * 20 + 2 * 30)
    assert (results.measures.efficiency <= 1).all()


@pytest.mark.parametrize("start", [60, 199, 300])
def test_the_spread_clock_lets_the_most_valuable_trades_go_first(start: int) -> None:
    lab = small("truthful", "truthful", more=f"spread_clock: {{start: {start}, zero_at: 0.7}}\n")
    for row in rows(run(lab)):
        left = start * max(0.0, 1 - int(row["step"]) / (0.7 * 300))
        assert int(row["value"]) - int(row["cost"]) >= left
    assert run(lab).summary["allocative_efficiency"] == 1.0


@pytest.mark.parametrize("after", ["keep", "clear_quotes"])
def test_a_closing_auction_takes_what_the_clock_held_back(after: str) -> None:
    lab = small("truthful", "truthful", after).changed(closing=True, spread_clock={"start": 300, "zero_at": 100})
    results = run(lab)
    told = rows(results)
    assert {row["maker"] for row in told} == {"both"}
    assert {row["step"] for row in told} == {"300"}
    for _, trades in itertools.groupby(told, key=lambda row: (row["session"], row["period"])):
        assert len({row["price"] for row in trades}) == 1
    without = small("truthful", "truthful", after).changed(closing=True)
    assert all(int(row["step"]) < 300 for row in rows(run(without)) if row["maker"] != "both")


@pytest.mark.parametrize("market", ["export", "mixed", "open"])
def test_a_call_of_truthful_quotes_is_the_optimum_under_the_lines(market: str) -> None:
    lab = laboratory.load(f"congestion-{market}-truthful").changed(sessions=3, closing=True)
    called = run(lab.changed(spread_clock={"start": 400, "zero_at": 100}))
    assert called.summary["allocative_efficiency"] == 1.0
    assert (called.measures.efficiency == 1.0).all()


@pytest.mark.parametrize("strategy", ["zi_c", "zip", "gd", "aa"])
def test_a_closing_auction_adds_trades_and_takes_none_away(strategy: str) -> None:
    lab = small(strategy, strategy).changed(quotes_per_period=60, periods=1, sessions=8)
    clock = {"start": 150, "zero_at": 1}
    before, after = (run(lab.changed(closing=closing, spread_clock=clock)) for closing in (False, True))
    for plain, closed in zip(before.sessions, after.sessions, strict=True):
        assert closed[: len(plain)].tolist() == plain.tolist()


# -- measures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "costs", "low", "high", "quantity", "surplus"),
    [
        ([150, 110, 100, 90], [50, 90, 100, 110], 100, 100, 3, 120),
        ([150, 60], [50, 80], 60, 80, 1, 100),
        ([10], [20], 10, 20, 0, 0),
        ([90], [30, 40], 30, 40, 1, 60),
    ],
)
def test_equilibrium_is_where_demand_meets_supply(
    values: list[int], costs: list[int], low: int, high: int, quantity: int, surplus: int
) -> None:
    assert equilibrium(values, costs, 1, 200) == (low, high, quantity, surplus)


@pytest.mark.parametrize("seed", range(8))
def test_the_optimum_is_that_of_trying_everything(seed: int) -> None:
    rng = np.random.default_rng(seed)
    zones = ["A", "B", "C"]
    traders: list[dict[str, Any]] = [
        {"side": side, "units": [int(rng.integers(1, 100))], "strategy": "zi_c", "zone": str(rng.choice(zones))}
        for side in ("buy", "sell")
        for _ in range(5)
    ]
    lines: list[dict[str, Any]] = [
        {"from": "A", "to": "B", "cap": int(rng.integers(0, 3))},
        {"from": "C", "to": "B", "cap": 1},
    ]
    lab = load_laboratory(
        json.dumps({"kind": "laboratory", "price": {"floor": 1, "cap": 100}, "idle_limit": 9, "traders": traders,
                    "network": {"lines": lines}}, indent=1)
    )  # fmt: skip
    best = 0
    for chosen in itertools.product((0, 1), repeat=10):
        net = dict.fromkeys(zones, 0)
        gain = 0
        for taken, trader in zip(chosen, traders, strict=True):
            sign = 1 if trader["side"] == "sell" else -1
            net[str(trader["zone"])] += sign * taken
            gain -= sign * taken * trader["units"][0]
        carried = abs(net["A"]) <= lines[0]["cap"] and abs(net["C"]) <= 1
        if sum(net.values()) == 0 and carried:
            best = max(best, gain)
    assert optimum(Crowd.of(lab), lab) == best


def test_measures_of_a_known_market() -> None:
    lab = small().changed(sessions=1, periods=1)
    # buyer-1 pays 100 to seller-1, twice; P0 is the middle of 80 .. 90, and all twelve units should trade.
    trades = np.array([[0, 5, 0, 3, 100, 110, 40, 1], [0, 9, 0, 3, 100, 90, 80, 0]])
    results = LaboratoryResults(lab, Crowd.of(lab), [trades])
    assert results.equilibrium == (80, 90, 6, 240)
    summary = results.summary
    assert summary["allocative_efficiency"] == pytest.approx(80 / 240)
    assert summary["mean_price"] == 100
    assert summary["smiths_alpha"] == pytest.approx(100 * 15 / 85)
    fair_buyer, fair_seller = 25 + 5, 45 + 5
    away = [0 - fair_buyer, fair_buyer, fair_buyer, 80 - fair_seller, fair_seller, fair_seller]
    assert summary["profit_dispersion"] == pytest.approx(np.sqrt(np.mean(np.square(away))))
    assert summary["per_period"][0]["trades"] == 2


# -- the command -------------------------------------------------------------------------------------------------


def test_the_command_runs_a_laboratory_file(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(small().to_yaml())
    arguments = ["run", str(file), "--seed", "9", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["seed"] == 9
    table = (tmp_path / "out" / "trades.csv").read_text().splitlines()
    assert tuple(table[0].split(",")) == HEADER
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2
    assert "holds the laboratory of an earlier run" in again.output
    wrong = CliRunner().invoke(app, [*arguments, "--force", "--gate", "ac"])
    assert wrong.exit_code == 2
    assert "leave these options out" in wrong.output


def test_the_command_tells_what_is_wrong_with_a_laboratory(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text("kind: laboratory\nprice: {floor: 5, cap: 1}\nsessions: no\n")
    result = CliRunner().invoke(app, ["run", str(file)])
    assert result.exit_code == 2
    assert "lab.yaml: price.cap" in result.output
    assert "lab.yaml: sessions" in result.output


def test_the_command_finds_shipped_laboratories_by_name(tmp_path: Path) -> None:
    wattbook = CliRunner().invoke
    for name in ("gode_sunder_1_zi_c", "laboratory/gode-sunder-1-zi-c", "gode-sunder-1-zi-c"):
        assert laboratory.means(name)
        assert laboratory.path(name).stem == "gode-sunder-1-zi-c"
    assert laboratory.path("symmetric_a").stem == "symmetric-aa"
    several = wattbook(app, ["run", "gode_sunder_1", "--out", str(tmp_path / "out")])
    assert several.exit_code == 2
    assert "gode-sunder-1-zi-c, gode-sunder-1-zi-u" in several.output
    wrong = wattbook(app, ["run", "symetric-zip", "--out", str(tmp_path / "out")])
    assert wrong.exit_code == 2
    assert "did you mean 'symmetric-zip'?" in wrong.output


def test_the_command_lists_and_shows_laboratories() -> None:
    wattbook = CliRunner().invoke
    listed = wattbook(app, ["scenarios"], env={"COLUMNS": "200"}).output
    for name in laboratory.names():
        assert name in listed
        assert laboratory.load(name).title in listed
    assert load_laboratory(wattbook(app, ["scenarios", "show", "symmetric_zip"]).output) == laboratory.load(
        "symmetric-zip"
    )
    assert json.loads(wattbook(app, ["scenarios", "--laboratory", "--schema"]).output) == json_schema()
    assert "## traders[]" in wattbook(app, ["scenarios", "--laboratory", "--reference"]).output


@pytest.mark.parametrize("power", [2, 3])
def test_a_spread_clock_may_fall_fast_at_first(power: int) -> None:
    lab = small("zi_c", "zi_c", more=f"spread_clock: {{start: 150, zero_at: 1, power: {power}}}\n")
    for row in rows(run(lab)):
        left = 150 * (1 - int(row["step"]) / 300) ** power
        assert int(row["value"]) - int(row["cost"]) >= left
