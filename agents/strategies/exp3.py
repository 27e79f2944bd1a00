"""EXP3: exponential weights for exploration and exploitation, with a bound on the regret that no opponent can break.

Auer, Cesa-Bianchi, Freund and Schapire, "The nonstochastic multiarmed bandit problem", SIAM Journal on Computing
32(1), 2002, figure 1. Of K actions with weights w_i, one is drawn with the probability

    p_i = (1 - gamma) w_i / Σ w + gamma / K,

sticks until its quantity trades or the slot ends, earns x in [0, 1], here the gain as a share of the largest possible,
and its weight alone grows: w_i <- w_i exp(gamma x / (p_i K)). After T plays the expected regret against the best
single action is at most (e - 1) gamma G + K ln K / gamma, G being what that action earns (theorem 3.1).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from agents.strategies.learners import Choice, Learner

Floats = NDArray[np.float64]


class Exp3(Learner):
    """Weights are kept per participant and kind of want, over all slots."""

    class Parameters(BaseModel):
        """Names of the paper."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        actions: int = Field(default=10, ge=2)
        """K, prices to choose from."""
        gamma: float = Field(default=0.2, gt=0.0, le=1.0)
        """Share of the draws that ignore the weights."""

    def __init__(self, parameters: Parameters | None = None) -> None:
        self._chosen = parameters or Exp3.Parameters()
        super().__init__(self._chosen.actions)
        self._log_weight: Floats = np.empty((0, 0))

    def _begin(self, keys: int) -> None:
        self._log_weight = np.zeros((keys, self._chosen.actions))

    def _choose(self, key: int, state: int, luck: float, span: int) -> tuple[int, float]:
        return draw(probabilities(self._log_weight[key], self._chosen.gamma), luck)

    def _learn(self, key: int, choice: Choice, gain: int, state: int | None) -> None:
        earned = gain / choice.span if choice.span else 0.0
        reward(self._log_weight[key], choice.action, earned, choice.chance, self._chosen.gamma)


def probabilities(log_weight: Floats, gamma: float) -> Floats:
    """(K,) chance of each action. From logarithms, since weights grow without bound."""
    weight = np.exp(log_weight - log_weight.max())
    chances: Floats = (1 - gamma) * weight / weight.sum() + gamma / len(weight)
    return chances


def draw(chances: Floats, luck: float) -> tuple[int, float]:
    """An action and its chance, by `luck` in [0, 1)."""
    action = min(int(np.searchsorted(np.cumsum(chances), luck, side="right")), len(chances) - 1)
    return action, float(chances[action])


def reward(log_weight: Floats, action: int, earned: float, chance: float, gamma: float) -> None:
    """Let the weight of an action grow, in place, for `earned` in [0, 1] when it was drawn with `chance`."""
    log_weight[action] += gamma * earned / (chance * len(log_weight))


def regret_bound(plays: float, actions: int, gamma: float) -> float:
    """Largest expected regret, theorem 3.1, against a best action that earns at most `plays`."""
    return (math.e - 1) * gamma * plays + actions * math.log(actions) / gamma
