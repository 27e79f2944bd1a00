"""Designs side by side: the figures of the runs themselves, paired by seed, whatever the number of processes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel

from agents import compare as comparing
from agents import metrics
from agents.compare import DESIGNS, MEASURES, Comparison, compare, problems
from agents.indicators import fairness
from agents.intervals import Interval, interval, quantile
from agents.scenario import Scenario, ScenarioError
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
    without = summary["without_local_trading"]
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

    monkeypatch.setattr(comparing, "Market", Market)
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
