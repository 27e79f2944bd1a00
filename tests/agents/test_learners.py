"""Learners against closed forms: updates by hand, the bound on EXP3's regret, a problem whose best values are known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agents import MarketModel
from agents.laboratory import run
from agents.strategies import exp3, q_learning
from agents.strategies.exp3 import Exp3
from agents.strategies.q_learning import QLearning
from scenarios import laboratory
from tests.agents import small
from tests.agents.test_strategies import market, shouts, traders


def test_exp3_after_one_reward_is_what_the_paper_writes() -> None:
    weight, gamma = np.zeros(4), 0.3
    chances = exp3.probabilities(weight, gamma)
    assert chances.tolist() == [0.25] * 4
    exp3.reward(weight, 2, 0.8, 0.25, gamma)
    grown = math.exp(gamma * 0.8)  # exp(gamma (x / p) / K), and p = 1 / K
    expected = (1 - gamma) * grown / (grown + 3) + gamma / 4
    assert exp3.probabilities(weight, gamma)[2] == pytest.approx(expected, abs=1e-15)
    assert exp3.probabilities(weight, gamma).sum() == pytest.approx(1.0)


def test_weights_never_overflow() -> None:
    weight = np.array([1e6, 0.0, -1e6])
    assert exp3.probabilities(weight, 0.3).tolist() == pytest.approx([0.8, 0.1, 0.1])


def played(earnings: np.ndarray[Any, Any], gamma: float, seed: int) -> float:
    """What EXP3 earns against a table of (plays, actions)."""
    rng, weight, total = np.random.default_rng(seed), np.zeros(earnings.shape[1]), 0.0
    for row in earnings:
        action, chance = exp3.draw(exp3.probabilities(weight, gamma), rng.random())
        exp3.reward(weight, action, row[action], chance, gamma)
        total += row[action]
    return total


def test_exp3_keeps_its_bound_on_regret_against_a_sequence_made_to_mislead() -> None:
    """Auer et al. 2002, corollary 3.2: each action shines in turn, an unremarkable one is best."""
    plays, actions = 4000, 5
    earnings = np.zeros((plays, actions))
    earnings[np.arange(plays), np.arange(plays) // 100 % actions] = 1.0
    earnings[:, 3] = 0.6
    best = float(earnings.sum(axis=0).max())
    assert best == pytest.approx(0.6 * plays)
    gamma = min(1.0, math.sqrt(actions * math.log(actions) / ((math.e - 1) * best)))
    regrets = [best - played(earnings, gamma, seed) for seed in range(12)]
    bound = exp3.regret_bound(best, actions, gamma)
    assert bound == pytest.approx(2 * math.sqrt((math.e - 1) * best * actions * math.log(actions)))
    assert np.mean(regrets) <= bound < best - earnings.mean() * plays, "and drawing blindly would not keep it"


def test_exp3_finds_the_best_of_three_coins() -> None:
    rng = np.random.default_rng(1)
    earnings = (rng.random((5000, 3)) < np.array([0.2, 0.8, 0.5])).astype(np.float64)
    assert played(earnings, 0.1, seed=2) / 5000 > 0.7


def test_q_values_converge_to_those_of_a_problem_solved_by_hand() -> None:
    """Take 0.3 at once, or wait: in the last round the other action earns 0.5. Waiting is worth 0.9 × 0.5."""
    value, rng = np.full((3, 2), 0.5), np.random.default_rng(3)
    for _ in range(3000):
        state: int | None = 2
        while state is not None:
            action = int(rng.integers(2))
            then = state - 1 if action == 1 and state == 2 else None
            earned = 0.3 if action == 0 else 0.5 * (state == 1)
            q_learning.update(value, state, action, earned, then, 0.1, 0.9)
            state = then
    assert value[1:] == pytest.approx(np.array([[0.3, 0.5], [0.3, 0.45]]), abs=1e-9)
    assert (value[0] == 0.5).all(), "nobody was there"


def test_a_learning_rate_of_one_over_n_gives_the_mean() -> None:
    value, earned = np.zeros((1, 1)), [0.2, 0.9, 0.4, 0.1]
    for number, one in enumerate(earned, 1):
        q_learning.update(value, 0, 0, one, None, 1 / number, 1.0)
    assert value[0, 0] == pytest.approx(np.mean(earned))


def test_a_q_learner_books_its_trade_as_a_share_of_what_it_could_have_gained() -> None:
    learner = QLearning(QLearning.Parameters(actions=11, exploration=0.0, learning_rate=1.0, initial=0.5))
    nothing = replace(traders([], []), keys=1)
    learner.quote(nothing, market(), np.random.default_rng(1))
    learner._value[0, :, 4] = 0.9
    rng, want = np.random.default_rng(1), traders([True], [100_000])
    (asked,) = learner.quote(want, market(), rng).price.tolist()
    assert asked == 100_000 + 4 * 30_000, "the fourth tenth of the way from the limit to the cap"
    # The order arrived at a bid of 250 000 and traded there; the next call no longer has the want.
    learner.quote(replace(traders([], []), keys=1), market(shouts((False, 250_000, True))), rng)
    assert learner._value[0, 5, 4] == pytest.approx(150_000 / 300_000)


def test_exp3_rewards_what_waited_and_traded() -> None:
    learner = Exp3(Exp3.Parameters(actions=4, gamma=0.4))
    rng, want = np.random.default_rng(1), traders([False], [400_000])
    (bid,) = learner.quote(want, market(), rng).price.tolist()
    action = round((400_000 - bid) / 150_000)
    learner.quote(replace(traders([], []), keys=1), market(shouts((True, bid, True))), rng)
    grown = learner._log_weight[0]
    assert grown[action] == pytest.approx(0.4 * (action / 3) / (0.25 * 4), abs=1e-3)
    assert np.count_nonzero(grown) == (action > 0)


@pytest.mark.parametrize("name", ["exp3", "q_learning"])
def test_learners_trade_a_day_at_no_loss(name: str) -> None:
    model = MarketModel(small.scenario(), seed=2, strategy=name, time__slots=4)
    results = model.run()
    again = MarketModel(small.scenario(), seed=2, strategy=name, time__slots=4).run()
    assert results.trades.to_csv() == again.trades.to_csv()
    assert results.summary["energy"]["local_kwh"] > 1
    assert results.summary["welfare"]["achieved"] > 0


def test_q_learners_soon_trade_most_of_what_there_is_to_gain() -> None:
    found = run(laboratory.load("symmetric-q-learning").changed(sessions=2, periods=20)).measures.efficiency
    assert found.mean() > 0.85


def test_exp3_in_a_market_learns_slowly_and_still_trades() -> None:
    found = run(laboratory.load("symmetric-exp3").changed(sessions=2, periods=20)).measures.efficiency
    assert 0.15 < found.mean() < 0.6
