"""Modified Roth-Erev learning: what has paid is tried more often.

Nicolaisen, Petrov and Tesfatsion, "Market power and efficiency in a computational electricity market with
discriminatory double-auction pricing", IEEE Transactions on Evolutionary Computation 5(5), 2001. A trader draws one of
its K actions (`agents.strategies.learners`), sticks to it until its quantity trades or the slot ends, and updates the
propensity q_j of every action by what it gained:

    q_j <- (1 - r) q_j + gain (1 - e)           for the action taken,
    q_j <- (1 - r) q_j + q_j e / (K - 1)        for all others,

with recency r and experimentation e; an action is drawn in proportion to its propensity. Propensities start at
`scale` times the mean gain of an action that trades, divided by K.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from agents.strategies.learners import Choice, Learner


class RothErev(Learner):
    """Propensities are kept per participant and kind of want, over all slots."""

    class Parameters(BaseModel):
        """Names and values of the paper."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        actions: int = Field(default=30, ge=2)
        """K, prices to choose from."""
        recency: float = Field(default=0.10, ge=0.0, lt=1.0)
        """r, how fast propensities fade."""
        experimentation: float = Field(default=0.20, ge=0.0, lt=1.0)
        """e, the share of a gain that goes to the other actions."""
        scale: float = Field(default=9.0, gt=0.0)
        """Of the first propensities."""

    def __init__(self, parameters: Parameters | None = None) -> None:
        self._chosen = parameters or RothErev.Parameters()
        super().__init__(self._chosen.actions)
        self._propensity: NDArray[np.float64] = np.empty((0, 0))

    def _begin(self, keys: int) -> None:
        self._propensity = np.full((keys, self._chosen.actions), np.nan)

    def _choose(self, key: int, state: int, luck: float, span: int) -> tuple[int, float]:
        own = self._propensity[key]
        if np.isnan(own[0]):
            own[:] = self._chosen.scale * max(span, 1) / 2 / self._chosen.actions
        total = np.cumsum(own)
        action = int(min(np.searchsorted(total, luck * total[-1], side="right"), self._chosen.actions - 1))
        return action, float(own[action] / total[-1])

    def _learn(self, key: int, choice: Choice, gain: int, state: int | None) -> None:
        chosen, own, action = self._chosen, self._propensity[key], choice.action
        spread = own * (1 - chosen.recency + chosen.experimentation / (chosen.actions - 1))
        spread[action] = own[action] * (1 - chosen.recency) + gain * (1 - chosen.experimentation)
        # Propensities that fade away together would leave nothing to draw from.
        own[:] = np.maximum(spread, 1e-9)
