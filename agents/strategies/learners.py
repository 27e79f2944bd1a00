"""What learners over a few prices have in common: a choice per want, and what came of it.

A trader has K actions, prices evenly spaced from its limit to the end of the range, so that none makes a loss. What an
action earned is known from what was said in public: a quote that had waited trades at its own price, one that arrived
at the price of the trade. A slot that is over and did not trade has earned nothing. A trader of several units, and one
whose quote is filled in parts, learns from each fill.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from agents.strategies.columns import Ints, Market, Orders, Traders, quote_all, round_to_trade, tick_limits


class Choice:
    """The action that a want is quoted at."""

    def __init__(self, action: int, state: int, chance: float, row: int, traders: Traders, limits: Ints) -> None:
        self.action = action
        self.state = state
        """What the learner saw when it chose, 0 for one that looks at nothing."""
        self.chance = chance
        """With which probability it chose so."""
        self.left = int(traders.quantity[row])
        self.limit = self.price = int(limits[row])
        self.sell = bool(traders.sell[row])
        self.span = 0
        """From the limit to the end of the range: what an action can earn at most."""


class Learner(ABC):
    """A strategy whose participants choose among K prices; what it knows is kept per `Traders.key`, over all slots."""

    keeps_limit = True

    def __init__(self, actions: int) -> None:
        self._actions = actions
        self._keys = -1
        self._open: dict[tuple[int, int], Choice] = {}

    @abstractmethod
    def _begin(self, keys: int) -> None:
        """Know nothing yet of this many keys."""

    @abstractmethod
    def _choose(self, key: int, state: int, luck: float, span: int) -> tuple[int, float]:
        """An action and its probability, by `luck` in [0, 1)."""

    @abstractmethod
    def _learn(self, key: int, choice: Choice, gain: int, state: int | None) -> None:
        """An action earned `gain`, of at most `choice.span`; `state` is what is seen since, None after the end."""

    def _state(self, rounds_left: int) -> int:
        """What a learner looks at."""
        return 0

    def _sticks(self) -> bool:
        """Whether an action is kept until it trades or the slot ends, or chosen anew at every call."""
        return True

    def quote(self, traders: Traders, market: Market, rng: np.random.Generator) -> Orders:
        if self._keys != traders.keys:
            self._keys, self._open = traders.keys, {}
            self._begin(traders.keys)
        limits, exists = tick_limits(traders, market)
        numbers = market.number[traders.slot]
        here = dict(zip(zip(numbers.tolist(), traders.key.tolist(), strict=True), range(len(traders)), strict=True))
        self._hear(traders, limits, market, here)
        # One draw per want, used or not: nobody's luck depends on whether another has chosen already.
        luck = rng.random(len(traders))
        wish = limits.astype(np.float64)
        for (number, key), row in here.items():
            choice = self._open.get((number, key))
            if choice is None:
                state, span = (
                    self._state(int(market.rounds_left[traders.slot[row]])),
                    _span(row, traders, limits, market),
                )
                action, chance = self._choose(key, state, luck[row], span)
                choice = self._open[number, key] = Choice(action, state, chance, row, traders, limits)
            choice.span = _span(row, traders, limits, market)
            part = choice.span * choice.action / (self._actions - 1)
            wish[row] = choice.limit + part if choice.sell else choice.limit - part
        price = round_to_trade(wish, limits, traders, market)
        for place, row in here.items():
            self._open[place].price = int(price[row])
        return quote_all(traders, price, exists)

    def _hear(self, traders: Traders, limits: Ints, market: Market, here: dict[tuple[int, int], int]) -> None:
        """Learn from every choice that has traded since the last call, whose slot is over, or that is up again."""
        columns = {number: column for column, number in enumerate(market.number.tolist())}
        for place, choice in list(self._open.items()):
            number, key = place
            row = here.get(place)
            # Another limit is that of another unit: the one before has traded.
            done = row is None or int(traders.quantity[row]) < choice.left or int(limits[row]) != choice.limit
            if number not in columns:
                self._learn(key, choice, 0, None)
            elif done:
                self._learn(key, choice, abs(_paid(choice, market, columns[number]) - choice.limit), None)
            elif self._sticks():
                continue
            else:
                self._learn(key, choice, 0, self._state(int(market.rounds_left[columns[number]])))
            del self._open[place]


def _span(row: int, traders: Traders, limits: Ints, market: Market) -> int:
    limit = int(limits[row])
    return max(market.cap - limit if traders.sell[row] else limit - market.floor, 0)


def _paid(choice: Choice, market: Market, column: int) -> int:
    """The price at which the choice traded: of all trades heard that were good enough the one nearest to it."""
    shouts = market.shouts
    prices: Ints = shouts.price[shouts.accepted & (shouts.slot == column)]
    good = prices[prices >= choice.price] if choice.sell else prices[prices <= choice.price]
    if not len(good):
        return choice.price
    return int(good.min() if choice.sell else good.max())
