"""Gjerstad and Dickhaut (GD): the quote with the largest expected gain, given what was accepted before.

Gjerstad and Dickhaut, "Price formation in double auctions", Games and Economic Behavior 22(1), 1998. From the history
since the trade before the last `memory` ones, a seller believes that an ask a is accepted with probability

    q(a) = (TA(>=a) + B(>=a)) / (TA(>=a) + B(>=a) + RA(<=a)),

where TA counts asks that traded, B all bids, RA asks that did not trade; a buyer, mirrored, that a bid b is with

    p(b) = (TB(<=b) + A(<=b)) / (TB(<=b) + A(<=b) + RB(>=b)).

Between prices that occurred beliefs follow cubics whose slope is zero at these prices; q falls from 1 at the market's
floor to 0 at its cap, p rises likewise. An ask at or below the best bid is accepted for certain, one above the best
ask never (the paper's spread reduction rule). The quote maximises (a - cost) q(a), or (value - b) p(b); who expects
no gain from any price says nothing.

A trade counts as one accepted ask and one accepted bid at its price, and the quote that had waited for it no longer as
one that did not trade. What was said in a slot carries over to the slot that opens after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from agents.strategies.columns import NO_PRICE, Bools, Ints, Market, Orders, Shouts, Traders, quote_all, tick_limits

Floats = NDArray[np.float64]
_CHUNK = 64
"""Traders whose gains are compared at once, so that a fine tick does not need a large table."""


class Gd:
    """Beliefs are public, so they are formed once for all traders; only the limits differ."""

    class Parameters(BaseModel):
        """How long it remembers."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        memory: int = Field(default=5, ge=1)
        """Trades that are remembered, with all that was said between them."""

    keeps_limit = True

    def __init__(self, parameters: Parameters | None = None) -> None:
        self._memory = (parameters or Gd.Parameters()).memory
        self._slots: dict[int, _History] = {}

    def quote(self, traders: Traders, market: Market, rng: np.random.Generator) -> Orders:
        limits, exists = tick_limits(traders, market)
        price = limits.copy()
        says = np.zeros(len(traders), dtype=np.bool_)
        for column, number in enumerate(market.number.tolist()):
            history = self._history(number)
            history.hear(market.shouts, column, self._memory)
            rows = np.flatnonzero(exists & (traders.slot == column))
            for sell in (False, True):
                side = rows[traders.sell[rows] == sell]
                if len(side):
                    price[side], says[side] = _best(history, limits[side], traders.live[side], sell, market, column)
        for old in [known for known in sorted(self._slots)[:-1] if known < market.number.min(initial=0)]:
            del self._slots[old]
        return quote_all(traders, price, says)

    def _history(self, number: int) -> _History:
        history = self._slots.get(number)
        if history is None:
            before = max((known for known in self._slots if known < number), default=None)
            history = self._slots[number] = _History() if before is None else self._slots[before].copy()
        return history


@dataclass
class _History:
    """What was said in one slot, and in those before it, as far as it is remembered."""

    sell: list[bool] = field(default_factory=list)
    """Side of each quote that has not traded; both sides of each trade are in `trades`."""
    price: list[int] = field(default_factory=list)
    age: list[int] = field(default_factory=list)
    """Number of trades before it."""
    trades: list[int] = field(default_factory=list)
    """Prices."""
    count: int = 0
    """Trades so far, forgotten ones included."""

    def copy(self) -> _History:
        return _History(self.sell.copy(), self.price.copy(), self.age.copy(), self.trades.copy(), self.count)

    def hear(self, shouts: Shouts, column: int, memory: int) -> None:
        here = np.flatnonzero(shouts.slot == column)
        columns = (shouts.sell[here].tolist(), shouts.price[here].tolist(), shouts.accepted[here].tolist())
        for sell, price, accepted in zip(*columns, strict=True):
            if accepted:
                self._trade(sell, price)
            else:
                self.sell.append(sell)
                self.price.append(price)
                self.age.append(self.count)
        self.trades = self.trades[-memory:]
        kept = next((place for place, age in enumerate(self.age) if age >= self.count - memory), len(self.age))
        self.sell, self.price, self.age = self.sell[kept:], self.price[kept:], self.age[kept:]

    def _trade(self, arriving_sells: bool, price: int) -> None:
        """The latest quote of the other side at this price is the one that had waited."""
        self.trades.append(price)
        self.count += 1
        for place in range(len(self.price) - 1, -1, -1):
            if self.price[place] == price and self.sell[place] != arriving_sells:
                del self.sell[place], self.price[place], self.age[place]
                return

    def belief(self, grid: Ints, sell: bool, floor: int, cap: int) -> Floats:
        """(T,) probability that an ask (or bid) at each price of the rising `grid` within the range is accepted."""
        asks = np.array([price for price, asks in zip(self.price, self.sell, strict=True) if asks], dtype=np.int64)
        bids = np.array([price for price, asks in zip(self.price, self.sell, strict=True) if not asks], dtype=np.int64)
        traded = np.array(self.trades, dtype=np.int64)
        # Turned round, a buyer's belief is that of a seller.
        sign = 1 if sell else -1
        own, other = (asks, bids) if sell else (bids, asks)
        own, taken, given = np.sort(sign * own), np.sort(sign * traded), np.sort(sign * np.append(other, traded))
        knots = np.unique(np.concatenate([own, given]))
        above = len(taken) - np.searchsorted(taken, knots) + len(given) - np.searchsorted(given, knots)
        below = np.searchsorted(own, knots, side="right")
        first, last = (floor, cap) if sell else (-cap, -floor)
        inside = (knots > first) & (knots < last)
        at = np.concatenate([[first], knots[inside], [last]]).astype(np.float64)
        height = np.concatenate([[1.0], above[inside] / (above[inside] + below[inside]), [0.0]])
        return _smooth(sign * grid.astype(np.float64), at, height)


def _smooth(x: Floats, at: Floats, height: Floats) -> Floats:
    """Cubics through (at, height) whose slope is zero at every knot, at the points `x` within the knots."""
    left = np.clip(np.searchsorted(at, x, side="right") - 1, 0, len(at) - 2)
    part = (x - at[left]) / (at[left + 1] - at[left])
    blend: Floats = height[left] + (height[left + 1] - height[left]) * part * part * (3 - 2 * part)
    return blend


def _best(history: _History, limits: Ints, live: Ints, sell: bool, market: Market, column: int) -> tuple[Ints, Bools]:
    """(K,) price with the largest expected gain of each trader of one side, and whether it expects any."""
    bid, ask = int(market.bid[column]), int(market.ask[column])
    low = market.floor if bid == NO_PRICE else bid
    high = market.cap if ask == NO_PRICE else ask
    if low >= high:  # Crossed by what the wires refuse: the best of the other side is what can be had.
        return np.where(sell, np.maximum(limits, low), np.minimum(limits, high)), np.ones(len(limits), dtype=np.bool_)
    grid = np.arange(low, high + 1, market.tick, dtype=np.int64)
    chance = history.belief(grid, sell, market.floor, market.cap)
    if sell and bid != NO_PRICE:
        chance[0] = 1.0
    if not sell and ask != NO_PRICE:
        chance[-1] = 1.0
    best = np.empty(len(limits), dtype=np.int64)
    gains = np.zeros(len(limits), dtype=np.bool_)
    # Who does not have the best quote of its side must beat it.
    behind = (ask != NO_PRICE) & (live != ask) if sell else (bid != NO_PRICE) & (live != bid)
    for start in range(0, len(limits), _CHUNK):
        part = slice(start, start + _CHUNK)
        gain = (grid - limits[part, None] if sell else limits[part, None] - grid) * chance
        gain[behind[part], -1 if sell else 0] = -1.0
        place = gain.argmax(axis=1)
        best[part] = grid[place]
        gains[part] = gain[np.arange(len(place)), place] > 0
    return best, gains
