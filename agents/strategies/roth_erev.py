"""Modified Roth-Erev learning: what has paid is tried more often.

Nicolaisen, Petrov and Tesfatsion, "Market power and efficiency in a computational electricity market with
discriminatory double-auction pricing", IEEE Transactions on Evolutionary Computation 5(5), 2001. A trader has K
actions, prices evenly spaced from its limit to the end of the range. It draws one, sticks to it until its quantity
trades or the slot ends, and updates the propensity q_j of every action by what it gained:

    q_j <- (1 - r) q_j + gain (1 - e)           for the action taken,
    q_j <- (1 - r) q_j + q_j e / (K - 1)        for all others,

with recency r and experimentation e; an action is drawn in proportion to its propensity. Propensities start at
`scale` times the mean gain of an action that trades, divided by K.

The gain is known from what was said in public: a quote that had waited trades at its own price, one that arrived at
the price of the trade. A slot that is over and did not trade has gained nothing. A trader of several units, and one
whose quote is filled in parts, learns from each fill.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from agents.strategies.columns import Ints, Market, Orders, Traders, quote_all, round_to_trade, tick_limits

Floats = NDArray[np.float64]


class RothErev:
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

    keeps_limit = True

    def __init__(self, parameters: Parameters | None = None) -> None:
        self._chosen = parameters or RothErev.Parameters()
        self._propensity: Floats = np.empty((0, 0))
        self._open: dict[tuple[int, int], _Choice] = {}

    def quote(self, traders: Traders, market: Market, rng: np.random.Generator) -> Orders:
        if len(self._propensity) != traders.keys:
            self._propensity = np.full((traders.keys, self._chosen.actions), np.nan)
            self._open = {}
        limits, exists = tick_limits(traders, market)
        numbers = market.number[traders.slot]
        here = dict(zip(zip(numbers.tolist(), traders.key.tolist(), strict=True), range(len(traders)), strict=True))
        self._learn(traders, limits, market, here)
        # One draw per want, used or not: nobody's luck depends on whether another has chosen already.
        luck = rng.random(len(traders))
        wish = limits.astype(np.float64)
        for (number, key), row in here.items():
            choice = self._open.get((number, key))
            if choice is None:
                action = self._draw(key, luck[row], self._range(int(limits[row]), bool(traders.sell[row]), market))
                choice = self._open[number, key] = _Choice(action, int(limits[row]), int(traders.quantity[row]))
            choice.limit = int(limits[row])
            choice.sell = bool(traders.sell[row])
            wish[row] = choice.limit + self._away(choice.action, choice.limit, choice.sell, market)
        price = round_to_trade(wish, limits, traders, market)
        for (number, key), row in here.items():
            self._open[number, key].price = int(price[row])
        return quote_all(traders, price, exists)

    def _range(self, limit: int, sell: bool, market: Market) -> int:
        return max(market.cap - limit if sell else limit - market.floor, 0)

    def _away(self, action: int, limit: int, sell: bool, market: Market) -> float:
        """From the limit to the price of an action."""
        part = self._range(limit, sell, market) * action / (self._chosen.actions - 1)
        return part if sell else -part

    def _draw(self, key: int, luck: float, span: int) -> int:
        own = self._propensity[key]
        if np.isnan(own[0]):
            own[:] = self._chosen.scale * max(span, 1) / 2 / self._chosen.actions
        total = np.cumsum(own)
        return int(min(np.searchsorted(total, luck * total[-1], side="right"), self._chosen.actions - 1))

    def _learn(self, traders: Traders, limits: Ints, market: Market, here: dict[tuple[int, int], int]) -> None:
        """Reward every choice that has traded since the last call, or whose slot is over."""
        columns = {number: column for column, number in enumerate(market.number.tolist())}
        for place, choice in list(self._open.items()):
            number, key = place
            row = here.get(place)
            # Another limit is that of another unit: the one before has traded.
            done = row is None or int(traders.quantity[row]) < choice.left or int(limits[row]) != choice.limit
            if number not in columns:
                self._reward(key, choice.action, 0.0)
                del self._open[place]
            elif done:
                self._reward(key, choice.action, abs(self._paid(choice, market, columns[number]) - choice.limit))
                del self._open[place]

    def _paid(self, choice: _Choice, market: Market, column: int) -> int:
        """The price at which the choice traded: of all trades heard that were good enough the one nearest to it."""
        shouts = market.shouts
        prices: Ints = shouts.price[shouts.accepted & (shouts.slot == column)]
        good = prices[prices >= choice.price] if choice.sell else prices[prices <= choice.price]
        if not len(good):
            return choice.price
        return int(good.min() if choice.sell else good.max())

    def _reward(self, key: int, action: int, gain: float) -> None:
        chosen, own = self._chosen, self._propensity[key]
        spread = own * (1 - chosen.recency + chosen.experimentation / (chosen.actions - 1))
        spread[action] = own[action] * (1 - chosen.recency) + gain * (1 - chosen.experimentation)
        # Propensities that fade away together would leave nothing to draw from.
        own[:] = np.maximum(spread, 1e-9)


class _Choice:
    """The action that a want is quoted at until it trades."""

    def __init__(self, action: int, limit: int, left: int) -> None:
        self.action = action
        self.limit = limit
        self.left = left
        self.price = limit
        self.sell = False
