"""The environment: the libraries' own checks pass, rewards are benefits, the day is that of an ordinary run."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import parallel_api_test, parallel_seed_test

from agents import MarketModel, tables
from agents.environment import CLOCK, FEATURES, MarketEnv, TraderEnv
from agents.scenario import Scenario
from tests.agents import small


def day(**changes: Any) -> Scenario:
    return small.scenario().changed(**{"time.slots": 3, "market.rounds": 3, **changes})


def finish(env: MarketEnv, level: float) -> dict[str, float]:
    """Sums of rewards of an episode in which everybody always quotes one level."""
    action = np.full(env.action_space(env.possible_agents[0]).shape, level, dtype=np.float32)
    total = dict.fromkeys(env.possible_agents, 0.0)
    while env.agents:
        _, rewards, *_ = env.step(dict.fromkeys(env.agents, action))
        for name, reward in rewards.items():
            total[name] += reward
    return total


@pytest.mark.parametrize("choice", [{}, {"levels": 5, "learners": ["home", "gas-001"]}, {"decide": "slot"}])
def test_pettingzoos_own_test_passes(choice: dict[str, Any]) -> None:
    parallel_api_test(MarketEnv(day(), **choice), num_cycles=30)


def test_pettingzoos_test_of_seeds_passes() -> None:
    parallel_seed_test(lambda: MarketEnv(day(), learners=["car"]), num_cycles=14)


@pytest.mark.parametrize("choice", [{}, {"levels": 7, "decide": "slot"}, {"prices": "market"}])
def test_gymnasiums_own_check_passes(choice: dict[str, Any]) -> None:
    check_env(TraderEnv(day(), trader="gas-001", **choice), skip_render_check=True)


@pytest.mark.parametrize("level", [0.3, 0.6])
def test_rewards_sum_to_the_benefit_that_the_run_reports(level: float) -> None:
    env = MarketEnv(day(), learners=["sun", "car", "gas", "home"])
    env.reset(seed=4)
    total = finish(env, level)
    people = env.model.results().participants
    assert people["strategy"].tolist().count("learner") == len(total) == 29
    benefits = dict(zip(people["participant"].tolist(), people["benefit"].tolist(), strict=True))
    for name, reward in total.items():
        assert reward == pytest.approx(100 * benefits[name], abs=1e-6)
    assert any(abs(reward) > 1 for reward in total.values())


def test_the_rest_of_the_day_is_that_of_an_ordinary_run() -> None:
    env = MarketEnv(day(), learners=["gas"], prices="market")
    env.reset(seed=3)
    finish(env, 1.0)
    # Nobody pays the cap, so the plant could as well not have come: all others do what they do without it.
    assert not any("gas" in deal.event.seller for deal in env.model.desk.trades)
    other = MarketModel(day(), seed=3)
    other.run_model()
    assert env.model.population.ids == other.population.ids
    assert (env.model.population.load_wh == other.population.load_wh).all()
    assert env.model.steps == other.steps == 3


def test_the_same_seed_and_actions_give_the_same_bytes() -> None:
    tables_of = []
    for _ in range(2):
        env = MarketEnv(day(), learners=["home", "sun"])
        env.reset(seed=9)
        finish(env, 0.5)
        record = env.model.record
        tables_of.append(tables.collect(record, {}).trades.to_csv().encode())
    assert tables_of[0] == tables_of[1]
    assert len(tables_of[0]) > 1000


def test_episodes_without_a_seed_are_other_days_that_follow_from_the_last_seed() -> None:
    seeds = []
    for _ in range(2):
        env = MarketEnv(day(), learners=["gas"])
        env.reset(seed=5)
        own = [env.model.record.seed]
        for _ in range(2):
            env.reset()
            own.append(env.model.record.seed)
        seeds.append(own)
    assert seeds[0] == seeds[1]
    assert seeds[0][0] == 5
    assert len(set(seeds[0])) == 3


def test_an_observation_shows_own_wants_and_the_public_book() -> None:
    env = MarketEnv(day(), learners=["gas-001", "home-001"])
    seen, _ = env.reset(seed=2)
    window = len(seen["gas-001"][len(CLOCK) :]) // len(FEATURES)
    assert window == 3
    first = dict(zip(FEATURES, seen["gas-001"][len(CLOCK) :][: len(FEATURES)], strict=True))
    # 12 ct between 8 ct and 32 − 4 ct; all the trading time is left.
    assert first["limit_flexible"] == pytest.approx((12 - 8) / (28 - 8))
    people = env.model.population
    kwh = people.flexible_sell_wh[people.ids.index("gas-001"), 0] / 1000
    assert first["sell_flexible"] == pytest.approx(kwh / (kwh + 1))
    assert kwh > 0
    assert first["time_left"] == 1.0
    assert first["bid"] == 0.0, "the utility's standing bid at feed-in"
    assert first["ask"] == 1.0, "and its ask at retail less the fee"
    assert first["buy_firm"] == 0.0
    assert first["last"] == first["live"] == first["limit_firm"] == -1.0
    home = dict(zip(FEATURES, seen["home-001"][len(CLOCK) :][: len(FEATURES)], strict=True))
    assert home["buy_firm"] > 0
    assert home["sell_flexible"] == 0
    shape = env.action_space("gas-001").shape
    seen, *_ = env.step({name: np.full(shape, 0.95, np.float32) for name in env.agents})
    again = dict(zip(FEATURES, seen["gas-001"][len(CLOCK) :][: len(FEATURES)], strict=True))
    assert again["time_left"] < 1.0
    if again["sell_flexible"] > 0:
        assert again["live"] == pytest.approx(0.95, abs=1e-3)


def test_every_wrong_action_is_named() -> None:
    env = MarketEnv(day(), learners=["gas-001", "home-001", "home-002"])
    with pytest.raises(RuntimeError, match="reset"):
        env.step({})
    env.reset(seed=1)
    with pytest.raises(ValueError, match="from 0 to 1") as caught:
        env.step({"gas-001": np.full(3, 1.5), "home-001": np.full(3, np.nan), "dog": np.zeros(3)})
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert "dog: there is no such learner" in lines[0]
    assert any("home-002: is missing" in line for line in lines)
    levels = MarketEnv(day(), learners=["gas-001"], levels=4)
    levels.reset(seed=1)
    for wrong in ([0.5, 0.5, 0.5], [0, 1, 4], [0, 1], "high"):
        with pytest.raises(ValueError, match="3 whole numbers from 0 to 3"):
            levels.step({"gas-001": wrong})


def test_choices_that_do_not_exist_are_told_all_at_once() -> None:
    choices: dict[str, Any] = {"levels": 1, "prices": "any", "decide": "never"}
    with pytest.raises(ValueError, match=r"levels(.|\n)*prices(.|\n)*decide"):
        MarketEnv(day(), **choices)
    with pytest.raises(ValueError, match="'dog'"):
        MarketEnv(day(), learners=["dog"])
    with pytest.raises(ValueError, match="name one: home-001"):
        TraderEnv(day(), trader="home")


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "agents.environment")
    monkeypatch.setitem(sys.modules, "pettingzoo", None)
    with pytest.raises(ImportError, match=r"wattbook\[rl\]"):
        import agents.environment  # noqa: F401
