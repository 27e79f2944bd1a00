"""A battery to be told what to do, as an environment for reinforcement learning (extra `rl`).

`DispatchEnv` is a Gymnasium environment of one battery behind a meter (`agents.dispatch`). The rule and the plan of
`agents.devices` are its opponents: they run the same batteries and know the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.dispatch import FEATURES, Control, Dispatch, Sites
from agents.forecast import Forecaster, Smoothing

try:
    import gymnasium
    from gymnasium import spaces
except ImportError as error:
    raise ImportError(
        f"agents.dispatch_environment needs the package gymnasium ({error}); install it with pip install 'wattbook[rl]'"
    ) from error

CT = 100


def observed() -> spaces.Box:
    """The space of `FEATURES`, all from −1 to 1."""
    return spaces.Box(-1.0, 1.0, (len(FEATURES),), np.float32)


def allowed(control: Control) -> spaces.Box:
    """The space of actions, one number."""
    return spaces.Box(-1.0 if control == "power" else 0.0, 1.0, (1,), np.float32)


class DispatchEnv(gymnasium.Env[Any, Any]):
    """One battery of `sites` for `days` whole days; each episode draws the site, the day it begins and what is stored.

    An observation has the shape (F,), see `agents.dispatch.FEATURES`, an action the shape (1,), see `Dispatch`. The
    reward is the money saved in the slot, in hundredths of the currency. Episodes are cut off, not over: life goes on,
    so they end with `truncated`. Raises ValueError for choices that do not exist or do not fit.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self, sites: Sites, *, days: int = 7, control: Control = "reserve",
        forecaster: Callable[[int], Forecaster] = Smoothing,
    ) -> None:  # fmt: skip
        if not 1 <= days <= sites.slots // sites.day:
            raise ValueError(f"days: must be from 1 to {sites.slots // sites.day}, the sites' days, got {days}")
        self._dispatch = Dispatch(sites, control=control, forecaster=forecaster)
        self._days = days
        self._left = 0
        self.observation_space = observed()
        self.action_space = self._allowed = allowed(control)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode. The same seed gives the same ones from here on."""
        super().reset(seed=seed)
        sites, rng = self._dispatch.sites, self.np_random
        row = rng.integers(len(sites), size=1)
        day = rng.integers(sites.slots // sites.day - self._days + 1, size=1)
        self._dispatch.begin(row, day * sites.day, rng.random(1))
        self._left = self._days * sites.day
        return self._dispatch.observe()[0], {"site": int(row[0]), "day": int(day[0])}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Play a slot. Raises RuntimeError between episodes, ValueError for what is no action."""
        if self._left == 0:
            raise RuntimeError("no episode is under way; call reset() first")
        space = self._allowed
        if not space.contains(np.asarray(action, dtype=np.float32)):
            raise ValueError(f"action: need one number from {space.low[0]:g} to {space.high[0]:g}, got {action!r}")
        saved = self._dispatch.step(np.asarray(action, dtype=np.float64))
        self._left -= 1
        return self._dispatch.observe()[0], float(saved[0]) * CT, False, self._left == 0, {}
