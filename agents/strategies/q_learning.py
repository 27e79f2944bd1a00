"""Q-learning: what a price is worth depends on how much time is left to get a better one.

Watkins and Dayan, "Q-learning", Machine Learning 8, 1992. In every round a trader sees the state s, the number of
rounds left as far as it counts them, and chooses one of its K actions (`agents.strategies.learners`): mostly the one of
the largest Q(s, a), with chance `exploration` any. If it trades, it has earned the gain r as a share of the largest
possible, and that is the end; if not, it earned nothing and is in the next state s':

    Q(s, a) <- Q(s, a) + alpha (r + discount max_a' Q(s', a') - Q(s, a)),

without the middle term at the end. A slot that closes is an end, too. Values start above what is to be expected, so
that every action is tried (Sutton and Barto, "Reinforcement Learning", 2nd edition 2018, section 2.6).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from agents.strategies.learners import Choice, Learner

Floats = NDArray[np.float64]


class QLearning(Learner):
    """Values are kept per participant and kind of want, over all slots."""

    class Parameters(BaseModel):
        """Shares, rates and sizes."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        actions: int = Field(default=10, ge=2)
        """K, prices to choose from."""
        states: int = Field(default=8, ge=1)
        """Rounds left are told apart below this number; 1: looks at nothing."""
        learning_rate: float = Field(default=0.1, gt=0.0, le=1.0)
        """alpha."""
        discount: float = Field(default=0.95, ge=0.0, le=1.0)
        """Of what is earned a round later."""
        exploration: float = Field(default=0.1, ge=0.0, le=1.0)
        """Share of choices at random."""
        initial: float = Field(default=0.5, ge=0.0, le=1.0)
        """First value of every action, as a share of the largest gain."""

    def __init__(self, parameters: Parameters | None = None) -> None:
        self._chosen = parameters or QLearning.Parameters()
        super().__init__(self._chosen.actions)
        self._value: NDArray[np.float64] = np.empty((0, 0, 0))

    def _begin(self, keys: int) -> None:
        self._value = np.full((keys, self._chosen.states, self._chosen.actions), self._chosen.initial)

    def _state(self, rounds_left: int) -> int:
        return min(rounds_left, self._chosen.states - 1)

    def _sticks(self) -> bool:
        return False

    def _choose(self, key: int, state: int, luck: float, span: int) -> tuple[int, float]:
        chosen = self._chosen
        best = int(np.argmax(self._value[key, state]))
        any_of_them = chosen.exploration / chosen.actions
        action = int(luck / any_of_them) if luck < chosen.exploration else best
        action = min(action, chosen.actions - 1)
        return action, any_of_them + (1 - chosen.exploration) * (action == best)

    def _learn(self, key: int, choice: Choice, gain: int, state: int | None) -> None:
        earned = gain / choice.span if choice.span else 0.0
        chosen = self._chosen
        update(self._value[key], choice.state, choice.action, earned, state, chosen.learning_rate, chosen.discount)


def update(
    value: Floats, state: int, action: int, earned: float, then: int | None, rate: float, discount: float
) -> None:
    """Move Q(s, a) in `value` (states, K), in place; `then` is the next state, None after the end."""
    later = 0.0 if then is None else discount * float(value[then].max())
    value[state, action] += rate * (earned + later - value[state, action])
