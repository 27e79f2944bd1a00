"""Designs side by side: the figures of the runs themselves, paired by seed, whatever the number of processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel

import scenarios
from agents import MarketModel, metrics
from agents import designs as offered
from agents.compare import Comparison, Interrupted, RunError, compare, compare_scenarios
from agents.designs import DESIGNS, problems
from agents.indicators import fairness
from agents.intervals import Interval, interval, quantile
from agents.measures import GROUP_MEASURES, MEASURES
from agents.scenario import Scenario, ScenarioError, load_scenario
from tests.agents import small

SHORT: dict[str, Any] = {"time.slots": 3}


def scenario() -> Scenario:
    return small.scenario().changed(**SHORT)


@pytest.fixture(scope="module")
def found() -> Comparison:
    return compare(scenario(), ["cda", "none"], [4, 2])


@pytest.mark.parametrize(
    ("freedom", "t"), [(1, 12.706205), (2, 4.302653), (3, 3.182446), (9, 2.262157), (30, 2.042272), (99, 1.984217)]
)
def test_quantiles_are_those_of_students_tables(freedom: int, t: float) -> None:
    assert quantile(0.95, freedom) == pytest.approx(t, abs=1e-6)


def test_the_interval_is_the_mean_and_t_standard_errors() -> None:
    assert interval([1.0, 2.0, 6.0]) == pytest.approx((3.0, 3 - 6.572411, 3 + 6.572411, 3), abs=1e-6)
    assert interval([None, 7.0, float("nan")]) == Interval(7.0, None, None, 1)
    assert interval([]) == Interval(None, None, None, 0)


def test_fairness_of_equal_and_of_single_gains() -> None:
    same, alone = np.full(8, 25), np.array([0, 0, 0, 80])
    assert fairness(same, same) == {"jain": 1.0, "gini": 0.0, "losers_pct": 0.0}
    assert fairness(alone, alone) == {"jain": 0.25, "gini": 0.75, "losers_pct": 0.0}
    assert fairness(np.array([-5, 10, 10, -1]), np.zeros(4)) == {"jain": 0.5, "gini": None, "losers_pct": 50.0}


def test_a_comparison_has_the_figures_of_the_runs_themselves(found: Comparison) -> None:
    model, _ = small.model(2, **SHORT)
    summary = model.run().summary
    own = found.values("cda").loc[2]
    without, power = summary["without_local_trading"], summary["market_power"]
    assert own["traded_kwh"] == summary["energy"]["local_kwh"]
    assert own["trades"] == summary["energy"]["trades"]
    assert own["price_ct"] == pytest.approx(summary["price"]["mean_ct"])
    assert own["savings"] == pytest.approx(without["savings"])
    assert own["benefit"] == pytest.approx(without["benefit"])
    assert own["welfare_pct"] == pytest.approx(100 * summary["welfare"]["share"])
    assert own["self_sufficiency_pct"] == pytest.approx(100 * summary["energy"]["self_sufficiency"])
    assert own["losers_pct"] == pytest.approx(100 * without["worse_off"] / summary["participants"])
    assert (own["refused"], own["trimmed"]) == (summary["limited"]["refused"], summary["limited"]["trimmed"])
    assert own["loading_pct"] == pytest.approx(100 * summary["grid"]["loading_max"])
    assert own["self_consumption_pct"] == pytest.approx(100 * summary["energy"]["self_consumption"])
    assert own["congestion_cost"] == pytest.approx(summary["welfare"]["congestion_cost"])
    assert (own["hhi_sellers"], own["lerner"]) == (power["hhi_sellers"], power["lerner"])
    assert own["residual_supply"] == pytest.approx(power["residual_supply_min"])
    assert own["co2_kg"] == pytest.approx(summary["emissions"]["kg"])
    assert own["co2_g_per_kwh"] == pytest.approx(summary["emissions"]["consumed_g_per_kwh"])
    assert (own["import_kw"], own["export_kw"]) == (summary["peak"]["import_kw"], summary["peak"]["export_kw"])
    assert own["profit_dispersion"] == pytest.approx(summary["fairness"]["profit_dispersion"])
    assert own["spread_ct"] == pytest.approx(summary["price"]["spread_ct"])


def test_groups_have_the_figures_of_the_runs_themselves(found: Comparison) -> None:
    summary = small.model(2, **SHORT)[0].run().summary
    assert list(found.groups.columns) == ["seed", "design", "group", "participants", *GROUP_MEASURES]
    own = found.groups[(found.groups["design"] == "cda") & (found.groups["seed"] == 2)].set_index("group")
    assert list(own.index) == list(summary["groups"])
    for name, group in summary["groups"].items():
        members = group["participants"]
        assert own.loc[name, "participants"] == members
        assert own.loc[name, "benefit"] == pytest.approx(group["benefit"] / members)
        assert own.loc[name, "saving"] == pytest.approx(group["saving"] / members)
        assert own.loc[name, "losers_pct"] == group["losers_pct"]
        for key, whole in (("co2_g_per_kwh", "g_per_kwh"), ("jain", "jain")):
            expected = np.nan if group[whole] is None else group[whole]
            assert own.loc[name, key] == pytest.approx(expected, nan_ok=True)
    mean = found.group_interval("cda", "sun", "benefit")
    both = found.groups[(found.groups["design"] == "cda") & (found.groups["group"] == "sun")]["benefit"]
    assert mean.mean == pytest.approx(both.mean())
    assert mean.seeds == 2


def test_nothing_is_saved_without_a_market(found: Comparison) -> None:
    none = found.values("none")
    assert (none[["traded_kwh", "savings", "benefit", "losers_pct"]] == 0).all(axis=None)
    assert none["jain"].isna().all()
    assert none["self_sufficiency_pct"].loc[2] == pytest.approx(
        100 * small.model(2, **SHORT)[0].run().summary["without_local_trading"]["self_sufficiency"]
    )


def test_runs_stand_in_the_order_that_was_asked_for(found: Comparison) -> None:
    assert found.runs[["seed", "design"]].to_numpy().tolist() == [[4, "cda"], [4, "none"], [2, "cda"], [2, "none"]]
    assert list(found.runs.columns) == ["seed", "design", *MEASURES]
    assert found.runs["seconds"].isna().all(), "nobody gave a clock"


def test_differences_are_taken_seed_by_seed(found: Comparison) -> None:
    table = {(row["design"], row["measure"]): row for row in found.table().to_dict("records")}
    gaps = found.values("none")["traded_kwh"] - found.values("cda")["traded_kwh"]
    row = table["none", "traded_kwh"]
    low, high = interval(gaps)[1:3]
    assert (row["difference_mean"], row["difference_low"], row["difference_high"]) == (gaps.mean(), low, high)
    assert table["cda", "savings"]["difference_mean"] == 0
    assert table["cda", "savings"]["unit"] == "EUR"


def test_the_figures_do_not_depend_on_the_number_of_processes(found: Comparison) -> None:
    heard: list[tuple[int, int]] = []
    again = compare(scenario(), ["cda", "none"], [4, 2], jobs=2, progress=lambda done, of: heard.append((done, of)))
    assert again.runs.equals(found.runs)
    assert heard == [(1, 2), (2, 2)]


def test_designs_of_one_seed_share_their_optimum() -> None:
    models = [small.model(2, strategy=name, **SHORT)[0] for name in (None, "utility_only")]
    for model in models:
        model.run_model()
    first, second = (metrics.optima(model.record) for model in models)
    assert [item.welfare for item in first] == [item.welfare for item in second]


def test_a_clock_that_is_given_measures_the_runs() -> None:
    ticks = iter(range(100))
    timed = compare(scenario(), ["cda"], [1], clock=lambda: float(next(ticks)))
    assert timed.runs["seconds"].tolist() == [1.0]


@pytest.fixture(scope="module")
def villages() -> dict[str, Scenario]:
    return {"free": scenario(), "tight": scenario().changed(**small.TIGHT)}


@pytest.fixture(scope="module")
def beside(villages: dict[str, Scenario]) -> Comparison:
    return compare_scenarios(villages, [4, 2])


def test_scenarios_run_as_they_are_written(beside: Comparison, found: Comparison) -> None:
    assert beside.runs[["seed", "scenario"]].to_numpy().tolist() == [
        [4, "free"],
        [4, "tight"],
        [2, "free"],
        [2, "tight"],
    ]
    figures = [name for name in MEASURES if name != "seconds"]
    assert beside.values("free")[figures].equals(found.values("cda")[figures])
    summary = small.model(2, **SHORT, **small.TIGHT)[0].run().summary
    own = beside.values("tight").loc[2]
    assert own["refused"] == summary["limited"]["refused"] > beside.values("free").loc[2, "refused"]
    assert own["welfare_pct"] == pytest.approx(100 * summary["welfare"]["share"])


def test_scenarios_are_paired_by_seed_in_any_number_of_processes(
    beside: Comparison, villages: dict[str, Scenario]
) -> None:
    again = compare_scenarios(villages, [4, 2], jobs=2)
    assert again.runs.equals(beside.runs)
    gaps = beside.values("tight")["traded_kwh"] - beside.values("free")["traded_kwh"]
    assert beside.difference("tight", "traded_kwh") == interval(gaps)


def test_scenarios_of_two_currencies_are_not_compared(villages: dict[str, Scenario]) -> None:
    swiss = villages["free"].changed(**{"market.currency": "CHF"})
    with pytest.raises(ScenarioError, match="free has EUR, swiss has CHF") as caught:
        compare_scenarios({"free": villages["free"], "swiss": swiss}, [])
    assert len(caught.value.errors) == 2


def test_a_run_that_fails_is_named_and_costs_no_other(
    villages: dict[str, Scenario], beside: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = MarketModel.step

    def fail(model: MarketModel) -> None:
        if model.record.seed == 2 and model.scenario.grid.voltage_band == (0.99, 1.026) and model.steps == 1:
            raise KeyError("odd")
        step(model)

    monkeypatch.setattr(MarketModel, "step", fail)
    with pytest.raises(RunError, match=r"tight\.yaml, seed 2: KeyError: 'odd'") as caught:
        compare_scenarios(villages, [4, 2], sources={"tight": "tight.yaml"})
    kept = caught.value.found
    assert kept.runs.equals(beside.runs[:3])
    assert kept.difference("tight", "traded_kwh").seeds == 1
    assert "KeyError" in kept.failures[0].trace


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_keeps_what_had_ended(jobs: int, villages: dict[str, Scenario], beside: Comparison) -> None:
    def stop(done: int, of: int) -> None:
        assert of == 4
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        compare_scenarios(villages, [4, 2], jobs=jobs, progress=stop)
    runs = caught.value.found.runs
    assert len(runs) == 2
    merged = runs.merge(beside.runs, how="left")
    assert merged.equals(runs), "they are those of an undisturbed comparison"


def test_what_cannot_be_compared_is_said_all_at_once() -> None:
    assert problems(["cda", "none"]) == []
    assert len(problems(["cda", "cda", "sdrr"])) == 2
    assert "at least one" in problems([])[0]
    with pytest.raises(ScenarioError) as caught:
        compare(scenario(), ["foo"], [1, 1])
    assert len(caught.value.errors) == 2


def test_the_clock_is_the_scenarios_or_spans_the_tariff() -> None:
    plain = scenario()
    tariff = plain.tariffs.largest_gap
    assert plain.changed(**DESIGNS["clock"].fields(plain)).market.spread_clock.start == tariff
    assert plain.changed(**DESIGNS["cda"].fields(plain)).market.spread_clock.start == 0
    own = plain.changed(**{"market.spread_clock.start": "7 ct/kWh", "market.spread_clock.zero_at": 0.4})
    kept = own.changed(**DESIGNS["clock"].fields(own)).market.spread_clock
    assert (kept.start, kept.zero_at) == (70_000, 0.4)
    assert own.changed(**DESIGNS["call"].fields(own)).market_settings().spread_start == 0


def test_a_design_is_offered_once_scenarios_know_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Market(BaseModel):
        design: Literal["cda", "mmr"] = "cda"

    monkeypatch.setattr(offered, "Market", Market)
    assert problems(["cda", "mmr", "none"]) == []
    (told,) = problems(["call"])
    assert told.startswith("designs: this version's exchange cannot hold call; it can hold cda, clock, mmr, none")
    assert set(DESIGNS) >= {"cda", "call", "mmr", "sdr", "none"}


@pytest.mark.parametrize("name", DESIGNS)
def test_every_design_can_be_held_whatever_the_scenario_says(name: str) -> None:
    slow = {"auctions": {"closing": True}, "spread_clock": {"start": "5 ct/kWh", "zero_at": 3}}
    for market in ({}, {"design": "call", "auctions": {"every": "15 min"}}, slow):
        day = scenario().changed(**{"time.slots": 1, **{f"market.{key}": value for key, value in market.items()}})
        settings = day.changed(**DESIGNS[name].fields(day)).market_settings()
        assert settings.design in ("cda", name) or (settings.design, name) == ("call", "periodic")
        with_clock = name in ("clock", "clock+closing")
        assert bool(settings.spread_start) == with_clock


def test_an_island_is_compared_with_everybody_for_themselves() -> None:
    island = load_scenario(Path(scenarios.__file__).parent / "island.yaml").changed(
        **{"time.days": None, "time.slots": 2}
    )
    found = compare(island, ["call", "none"], [1])
    assert found.values("none").loc[1, "traded_kwh"] == 0
    beside = compare_scenarios({"island": island}, [1])
    figures = [name for name in MEASURES if name != "seconds"]
    assert beside.values("island")[figures].equals(found.values("call")[figures])


def test_variants_are_what_they_are_called() -> None:
    day = scenario()
    rules = {name: day.changed(**DESIGNS[name].fields(day)).market_settings() for name in DESIGNS}
    trading = rules["cda"].opens_before_seconds - rules["cda"].gate_before_seconds
    assert [name for name in DESIGNS if rules[name].auction_opening] == ["cda+opening"]
    assert [name for name in DESIGNS if rules[name].auction_closing] == ["cda+closing", "clock+closing"]
    assert rules["periodic"].auction_every == rules["cda+opening"].auction_opening == -(-trading // 3)
    assert rules["clock+closing"].spread_zero_ppm == 1_500_000
    assert rules["clock"].spread_zero_ppm == 700_000


def test_variants_run_side_by_side() -> None:
    found = compare(scenario(), ["cda", "cda+opening", "clock+closing", "periodic", "none"], [3])
    welfare = found.runs.set_index("design")["welfare_pct"]
    assert (welfare[:-1] > 0).all()
    assert found.runs["traded_kwh"].nunique() > 2
