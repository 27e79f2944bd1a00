"""Adaptive aggressiveness (AA): how much gain to give up for a better chance to trade.

Vytelingum, Cliff and Jennings, "Strategic bidding in continuous double auctions", Artificial Intelligence 172(14),
2008. A trader estimates the equilibrium price p* as a weighted mean of the last `window` trades, the weight falling by
`decay` from one to the one before. Its aggressiveness r in [-1, 1] and a common θ give its target τ. With
f(x) = (e^(xθ) - 1) / (e^θ - 1) and M the market's cap, for a buyer with limit L

    intramarginal (L > p*):  r >= 0: τ = p* + (L - p*) f(r),      r < 0: τ = p* (1 - f(-r)) with θ' for θ,
    extramarginal:           r >= 0: τ = L,                       r < 0: τ = L (1 - f(-r)),

and for a seller with cost C

    intramarginal (C < p*):  r >= 0: τ = C + (p* - C) (1 - f(r)), r < 0: τ = p* + (M - p*) f(-r) with θ' for θ,
    extramarginal:           r >= 0: τ = C,                       r < 0: τ = C + (M - C) f(-r);

θ' makes the slope of τ continuous at r = 0. Every shout q may make it more or less aggressive: after a trade, who had
a target as good as q or better for the other side becomes less aggressive, else more; after a bid that did not trade
buyers with τ <= q, after such an ask sellers with τ >= q become more aggressive. The move is r <- r + β1 (δ - r), where
δ = (1 ± λr) r_shout ± λa and r_shout is the aggressiveness whose target is q. After every trade
θ <- θ + β2 (θ*(α) - θ), with θ*(α) = θmin + (θmax - θmin) (1 - α^ e^(γ(α^ - 1))) and α^ Smith's α of the last trades
between its least and its largest value so far.

A bid goes the part 1/η of the way from the best bid to τ, or takes the best ask if that is at most τ; before there is
any trade, to just above the best ask or the limit. Prices count from the market's floor, so that floors below zero do
no harm. What is learnt in a slot carries over to the slot that opens after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from agents.strategies.columns import (
    NO_PRICE,
    Ints,
    Market,
    Orders,
    Shouts,
    Traders,
    quote_all,
    round_to_trade,
    tick_limits,
)
from agents.strategies.zip import Interval

Floats = NDArray[np.float64]
_FLAT = 1e-6
"""A θ nearer to 0 than this is taken for it: f is a straight line there."""
_STEEPEST = 40.0
"""Largest |θ'|: the target then keeps to p* until r is nearly -1."""


class Aa:
    """Aggressiveness is kept per trader; the equilibrium and θ, which all see alike, once per slot."""

    class Parameters(BaseModel):
        """Names and defaults of the paper."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        eta: float = Field(default=3.0, ge=1.0)
        """A quote goes one part in so many of the way to its target."""
        beta_1: Interval = (0.2, 0.6)
        """Learning rate of each trader's aggressiveness, drawn once."""
        beta_2: float = Field(default=0.4, ge=0.0, le=1.0)
        """Learning rate of θ."""
        lambda_relative: float = Field(default=0.02, ge=0.0, lt=1.0)
        lambda_absolute: float = Field(default=0.01, ge=0.0)
        theta_min: float = -8.0
        theta_max: float = 2.0
        gamma: float = 2.0
        window: int = Field(default=30, ge=1)
        """Trades in the estimate of the equilibrium."""
        decay: float = Field(default=0.9, gt=0.0, le=1.0)

    keeps_limit = True

    def __init__(self, parameters: Parameters | None = None) -> None:
        self._parameters = parameters or Aa.Parameters()
        self._slots: dict[int, _Slot] = {}
        self._rate: Floats = np.empty(0)

    def quote(self, traders: Traders, market: Market, rng: np.random.Generator) -> Orders:
        if len(self._rate) != traders.keys:
            self._rate = rng.uniform(*self._parameters.beta_1, traders.keys)
            self._slots = {}
        limits, exists = tick_limits(traders, market)
        wish = limits.astype(np.float64)
        says = exists.copy()
        for column, number in enumerate(market.number.tolist()):
            state = self._slot(number, traders.keys)
            rows = np.flatnonzero(traders.slot == column)
            state.meet(traders.key[rows], traders.sell[rows], traders.limit[rows] - market.floor)
            self._hear(state, column, market)
            for sell in (False, True):
                side = rows[traders.sell[rows] == sell]
                if len(side):
                    wish[side], worth = self._bid(state, traders.key[side], limits[side], sell, market, column)
                    # Who has the best quote leaves it there until something better than it is wanted.
                    says[side] &= worth
        for old in [known for known in sorted(self._slots)[:-1] if known < market.number.min(initial=0)]:
            del self._slots[old]
        return quote_all(traders, round_to_trade(wish, limits, traders, market), says)

    def _slot(self, number: int, keys: int) -> _Slot:
        state = self._slots.get(number)
        if state is None:
            before = max((known for known in self._slots if known < number), default=None)
            state = self._slots[number] = _Slot.fresh(keys) if before is None else self._slots[before].copy()
        return state

    def _hear(self, state: _Slot, column: int, market: Market) -> None:
        shouts: Shouts = market.shouts
        here = np.flatnonzero(shouts.slot == column)
        columns = (shouts.sell[here].tolist(), shouts.price[here].tolist(), shouts.accepted[here].tolist())
        for sell, price, accepted in zip(*columns, strict=True):
            shout = float(price - market.floor)
            if accepted:
                state.trade(shout, self._parameters)
            if state.trades:
                self._learn(state, sell, shout, accepted, float(market.cap - market.floor))

    def _learn(self, state: _Slot, asks: bool, shout: float, accepted: bool, top: float) -> None:
        """Move the aggressiveness of all who have reason to after one shout."""
        chosen = self._parameters
        keys = np.flatnonzero(state.known)
        sell, limit = state.sell[keys], state.limit[keys]
        bent = state.passive_theta(top)[keys]
        target = _target(state.aggression[keys], limit, sell, state.price, state.theta, bent, top)
        if accepted:
            less = np.where(sell, target <= shout, target >= shout)
            moves = np.ones(len(keys), dtype=np.bool_)
        else:
            less = np.zeros(len(keys), dtype=np.bool_)
            moves = np.where(sell, asks & (target >= shout), (not asks) & (target <= shout)) & state.active[keys]
        wanted = _aggression_of(shout, limit, sell, state.price, state.theta, bent, top)
        sign = np.where(less, -1.0, 1.0)
        # Relative to |r|, so that more aggressive is always more, on either side of zero.
        goal = wanted + sign * (chosen.lambda_relative * np.abs(wanted) + chosen.lambda_absolute)
        step = self._rate[keys] * (goal - state.aggression[keys])
        state.aggression[keys] = np.where(
            moves, np.clip(state.aggression[keys] + step, -1.0, 1.0), state.aggression[keys]
        )

    def _bid(
        self, state: _Slot, key: Ints, limits: Ints, sell: bool, market: Market, column: int
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """(K,) wished prices of one side, and who has anything to say."""
        chosen = self._parameters
        bid, ask = int(market.bid[column]), int(market.ask[column])
        low = 0.0 if bid == NO_PRICE else float(bid - market.floor)
        top = float(market.cap - market.floor)
        high = top if ask == NO_PRICE else float(ask - market.floor)
        limit = limits.astype(np.float64) - market.floor
        slack = chosen.lambda_absolute * market.tick
        if not state.trades:
            near = np.maximum(limit, (1 - chosen.lambda_relative) * low - slack)
            if not sell:
                near = np.minimum(limit, (1 + chosen.lambda_relative) * high + slack)
        else:
            side, bent = np.full(len(key), sell), state.passive_theta(top)[key]
            near = _target(state.aggression[key], limit, side, state.price, state.theta, bent, top)
            near = np.maximum(near, limit) if sell else np.minimum(near, limit)
        if sell:
            takes = (bid != NO_PRICE) & (near <= low) & bool(state.trades)
            price = np.where(takes, low, np.maximum(high - (high - near) / chosen.eta, near))
            worth = takes | (limit < high) | (ask == NO_PRICE)
        else:
            takes = (ask != NO_PRICE) & (near >= high) & bool(state.trades)
            price = np.where(takes, high, np.minimum(low + (near - low) / chosen.eta, near))
            worth = takes | (limit > low) | (bid == NO_PRICE)
        return price + market.floor, worth


@dataclass
class _Slot:
    """What all traders know about one slot; arrays over keys, prices from the market's floor."""

    known: NDArray[np.bool_]
    active: NDArray[np.bool_]
    sell: NDArray[np.bool_]
    limit: Floats
    aggression: Floats
    price: float = 0.0
    """Estimate of the equilibrium, once there is a trade."""
    theta: float = -4.0
    trades: list[float] = field(default_factory=list)
    alphas: tuple[float, float] | None = None
    """Least and largest Smith's α so far."""
    bent: Floats | None = None
    """θ' of all keys, until limits, p* or θ change."""

    @classmethod
    def fresh(cls, keys: int) -> _Slot:
        none = np.zeros(keys, dtype=np.bool_)
        return cls(none, none.copy(), none.copy(), np.zeros(keys), np.zeros(keys))

    def copy(self) -> _Slot:
        none = np.zeros(len(self.known), dtype=np.bool_)
        return _Slot(
            none, none.copy(), self.sell.copy(), self.limit.copy(), self.aggression.copy(),
            self.price, self.theta, self.trades.copy(), self.alphas,
        )  # fmt: skip

    def meet(self, key: Ints, sell: NDArray[np.bool_], limit: Ints) -> None:
        self.known[key] = True
        self.active[:] = False
        self.active[key] = True
        if (self.limit[key] != limit).any() or (self.sell[key] != sell).any():
            self.sell[key] = sell
            self.limit[key] = limit
            self.bent = None

    def passive_theta(self, top: float) -> Floats:
        """(keys,) θ' of intramarginal traders, θ of the others."""
        if self.bent is None:
            inside = np.where(self.sell, self.limit < self.price, self.limit > self.price)
            room = np.full(len(self.limit), self.price)
            room[self.sell] = top - self.price
            bent = _passive_theta(room, np.abs(self.limit - self.price), self.theta)
            self.bent = np.where(inside, bent, self.theta)
        return self.bent

    def trade(self, price: float, chosen: Aa.Parameters) -> None:
        """Renew p*, Smith's α and θ."""
        self.bent = None
        self.trades = [*self.trades[1 - chosen.window :], price] if chosen.window > 1 else [price]
        prices = np.array(self.trades[::-1])
        weights = chosen.decay ** np.arange(len(prices))
        self.price = float(prices @ weights / weights.sum())
        alpha = float(np.sqrt(((prices - self.price) ** 2).mean()) / max(self.price, 1e-9))
        low, high = self.alphas or (alpha, alpha)
        self.alphas = low, high = min(low, alpha), max(high, alpha)
        place = (alpha - low) / (high - low) if high > low else 0.5
        span = chosen.theta_max - chosen.theta_min
        wanted = chosen.theta_min + span * (1 - place * np.exp(chosen.gamma * (place - 1)))
        self.theta += chosen.beta_2 * (float(wanted) - self.theta)


def _rise(x: Floats, theta: Floats | float) -> Floats:
    """f(x) = (e^(xθ) - 1) / (e^θ - 1), which is x where θ is 0; rises from 0 to 1."""
    bent = np.where(np.abs(theta) < _FLAT, _FLAT, theta)
    risen: Floats = np.expm1(x * bent) / np.expm1(bent)
    return risen


def _fall(y: Floats, theta: Floats | float) -> Floats:
    """The x whose f is y."""
    bent = np.where(np.abs(theta) < _FLAT, _FLAT, theta)
    found: Floats = np.log1p(np.clip(y, 0.0, 1.0) * np.expm1(bent)) / bent
    return found


def _passive_theta(room: Floats, gain: Floats, theta: float) -> Floats:
    """(K,) θ' with room · θ' / (e^θ' - 1) = gain · θ / (e^θ - 1)."""
    slope = _slope(np.array([theta]))[0]
    wanted = np.clip(gain * slope / np.maximum(room, 1e-9), 1e-12, None)
    low, high = np.full(len(wanted), -_STEEPEST), np.full(len(wanted), _STEEPEST)
    # Bisection, because the left side is monotone and Newton's method may run away where the two sides differ much.
    for _ in range(40):
        middle = (low + high) / 2
        above = _slope(middle) > wanted
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    found: Floats = (low + high) / 2
    return found


def _slope(theta: Floats) -> Floats:
    """θ / (e^θ - 1), the slope of f at 0: falls from |θ| for very negative θ to 0."""
    bent = np.where(np.abs(theta) < _FLAT, _FLAT, theta)
    found: Floats = bent / np.expm1(bent)
    return found


def _target(
    r: Floats, limit: Floats, sell: NDArray[np.bool_], price: float, theta: float, bent: Floats, top: float
) -> Floats:
    """(K,) target prices τ of traders with aggressiveness `r`; `price` is p*, `bent` θ', `top` the market's cap."""
    inside = np.where(sell, limit < price, limit > price)
    start = np.where(inside, price, limit)
    room = np.where(sell, top - start, start)
    gain = np.abs(limit - price)
    away = np.where(sell, 1.0, -1.0)
    passive = start + away * room * _rise(np.maximum(-r, 0.0), bent)
    active = np.where(inside, start - away * gain * _rise(np.maximum(r, 0.0), theta), limit)
    return np.where(r < 0, passive, active)


def _aggression_of(
    shout: float, limit: Floats, sell: NDArray[np.bool_], price: float, theta: float, bent: Floats, top: float
) -> Floats:
    """(K,) the aggressiveness whose target is `shout`; 0 for what an extramarginal trader cannot reach."""
    inside = np.where(sell, limit < price, limit > price)
    start = np.where(inside, price, limit)
    room = np.where(sell, top - start, start)
    gain = np.abs(limit - price)
    away = np.where(sell, 1.0, -1.0)
    beyond = away * (shout - start)
    passive = -_fall(beyond / np.maximum(room, 1e-9), bent)
    active = np.where(inside, _fall(-beyond / np.maximum(gain, 1e-9), theta), 0.0)
    return np.where(beyond > 0, passive, active)
