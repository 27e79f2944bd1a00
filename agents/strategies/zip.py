"""Zero intelligence plus (ZIP): a profit margin that learns from what others shout.

Cliff and Bruten, "Minimal-intelligence agents for bargaining behaviors in market-based environments", HP Labs
HPL-97-91, 1997. A trader with limit L asks or bids p = L (1 + m). After every shout at price q it may have to move:

- the shout traded: sellers with p <= q raise their margin, buyers with p >= q too; if it was a bid, sellers still
  in the market with p >= q lower theirs, if it was an ask, buyers still in the market with p <= q lower theirs;
- it did not: after an ask, sellers still in the market with p >= q lower their margin (they were undercut); after
  a bid, buyers still in the market with p <= q lower theirs (they were outbid).

The move is Widrow-Hoff with momentum: target t = R q + A, step d = b (t - p), G <- g G + (1 - g) d, p <- p + G, and
p never passes L. R and A are drawn anew for every move, upwards (R in [1, 1.05], A >= 0) or downwards (R in
[0.95, 1], A <= 0).

Three choices that the paper leaves open:

- **Margins are kept per participant, kind of want and slot.** Each slot is a book of its own, with its own supply:
  night teaches nothing about noon. But neighbouring slots resemble each other, and a slot gives a trader few rounds
  to learn in, so a slot that opens starts with the margins of the slot before it, momentum at rest. The very first
  slot starts with margins drawn from U(0.05, 0.35).
- **The price is the state, not the margin,** which is the same for positive limits. Where a slot inherits a margin,
  it is relative to the larger of |L| and a sixtieth of the range of prices (1 ct/kWh in a range of 60), so that limits
  of zero and below, which exist here, have margins as well.
- **A reaches `target_ticks` ticks,** by default 5: the paper's 0.05 in a market quoted to 0.01.

One limit is ours. In the paper every trader hears every shout, so that a market of ten times as many takes a hundred
times as long. Here a trader takes in at most `attention` shouts of a slot between two of its quotes; of more it hears
so many, evenly spread over the time in which they came. Markets of up to some three hundred traders never get there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field

from agents.strategies.columns import (
    Bools,
    Ints,
    Market,
    Orders,
    Shouts,
    Traders,
    quote_all,
    round_to_trade,
    tick_limits,
)

Floats = NDArray[np.float64]


def _rising(interval: tuple[float, float]) -> tuple[float, float]:
    if not 0.0 <= interval[0] <= interval[1] <= 1.0:
        raise ValueError("must be [low, high] with 0 <= low <= high <= 1")
    return interval


_LEAST_SCALE = 1 / 60
"""Of the range of prices: what margins of smaller limits are relative to."""

Interval = Annotated[tuple[float, float], AfterValidator(_rising)]


def _also(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class Zip:
    """Adaptive margins; every participant draws its own learning rate, momentum and first margin."""

    class Parameters(BaseModel):
        """Intervals and bounds of all that is drawn."""

        model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

        learning_rate: Interval = Field(default=(0.1, 0.5), validation_alias=_also("learning_rate", "beta"))
        """b of each trader, drawn once from this interval; `beta` in the paper."""
        momentum: Interval = Field(default=(0.0, 0.1), validation_alias=_also("momentum", "gamma"))
        """g of each trader; `gamma` in the paper."""
        margin: Interval = Field(default=(0.05, 0.35), validation_alias=_also("margin", "mu"))
        """First margin of each trader, relative to its limit; `mu` in the paper."""
        target_ratio: float = Field(default=0.05, ge=0.0, le=1.0)
        """How far R may lie from 1."""
        target_ticks: float = Field(default=5.0, ge=0.0)
        """How far A may lie from 0, in ticks."""
        attention: int = Field(default=200, ge=1)
        """Most shouts of a slot that are heard between two quotes."""

    keeps_limit = True

    def __init__(self, parameters: Parameters | None = None) -> None:
        self._parameters = parameters or Zip.Parameters()
        self._slots: dict[int, _Slot] = {}
        self._rate: Floats = np.empty(0)
        self._momentum: Floats = np.empty(0)
        self._margin: Floats = np.empty(0)

    def quote(self, traders: Traders, market: Market, rng: np.random.Generator) -> Orders:
        if len(self._rate) != traders.keys:
            self._draw_traders(traders.keys, rng)
        limits, exists = tick_limits(traders, market)
        wish = np.empty(len(traders))
        for column, number in enumerate(market.number.tolist()):
            state = self._slot(number, (market.cap - market.floor) * _LEAST_SCALE)
            state.meet(traders, column)
            self._hear(state, column, market, rng)
            _tell(traders.key, traders.slot, column, state.price, wish)
        self._forget(int(market.number[0]) if len(market.number) else 0)
        return quote_all(traders, round_to_trade(wish, limits, traders, market), exists)

    def _draw_traders(self, keys: int, rng: np.random.Generator) -> None:
        chosen = self._parameters
        self._rate = rng.uniform(*chosen.learning_rate, keys)
        self._momentum = rng.uniform(*chosen.momentum, keys)
        self._margin = rng.uniform(*chosen.margin, keys)
        self._slots = {}

    def _slot(self, number: int, least_scale: float) -> _Slot:
        state = self._slots.get(number)
        if state is None:
            before = max((known for known in self._slots if known < number), default=None)
            margin = self._margin if before is None else self._slots[before].margins()
            state = self._slots[number] = _Slot.opened(margin, least_scale)
        return state

    def _forget(self, first_open: int) -> None:
        """Drop closed slots, but keep the latest one: the next slot to open may inherit from it."""
        for number in sorted(self._slots)[:-1]:
            if number < first_open:
                del self._slots[number]

    def _hear(self, state: _Slot, column: int, market: Market, rng: np.random.Generator) -> None:
        shouts: Shouts = market.shouts
        chosen = self._parameters
        here = np.flatnonzero(shouts.slot == column)
        if not len(here) or not len(state.keys):
            return
        if len(here) > chosen.attention:
            here = here[np.arange(chosen.attention) * len(here) // chosen.attention]
        # One pair of draws per shout and trader, used or not: nobody's luck depends on another's private limit.
        draws = rng.random((len(here), len(state.keys), 2))
        _learn(
            shouts.sell[here], shouts.price[here], shouts.accepted[here], draws, chosen.target_ratio,
            chosen.target_ticks * market.tick, state.keys, state.sell, state.active, state.limit, self._rate,
            self._momentum, float(market.floor), float(market.cap), state.price, state.step,
        )  # fmt: skip


@dataclass
class _Slot:
    """What all traders know about one slot; arrays over keys."""

    margin: Floats
    """At opening, relative."""
    least_scale: float
    """What margins of limits near zero are relative to."""
    keys: Ints
    """Those seen so far, rising."""
    known: Bools
    active: Bools
    sell: Bools
    limit: Floats
    price: Floats
    step: Floats
    """G, the last step with momentum."""

    @classmethod
    def opened(cls, margin: Floats, least_scale: float) -> _Slot:
        keys = len(margin)
        false = np.zeros(keys, dtype=np.bool_)
        zero = np.zeros(keys)
        none = np.empty(0, dtype=np.int64)
        return cls(margin, least_scale, none, false, false.copy(), false.copy(), zero, zero.copy(), zero.copy())

    def meet(self, traders: Traders, column: int) -> None:
        """Note who is in the market; who is seen for the first time gets a price."""
        fresh = _meet(
            traders.key, traders.slot, column, traders.sell, traders.limit, self.margin, self.least_scale,
            self.known, self.active, self.sell, self.limit, self.price,
        )  # fmt: skip
        if fresh:
            self.keys = np.flatnonzero(self.known)

    def margins(self) -> Floats:
        """Present relative margins of all keys; those of the opening for wants that never appeared here."""
        return np.where(self.known, np.abs(self.price - self.limit) / self._scale(self.limit), self.margin)

    def _scale(self, limit: Floats | Ints) -> Floats:
        return np.maximum(np.abs(np.asarray(limit, dtype=np.float64)), self.least_scale)


@njit(cache=True)
def _meet(
    key: Ints, slot: Ints, column: int, sells: Bools, limits: Ints, margin: Floats, least_scale: float,
    known: Bools, active: Bools, sell: Bools, limit: Floats, price: Floats,
) -> bool:  # fmt: skip
    """Note the wants of a slot in the arrays over all keys, in place; True if there is a key not seen before."""
    active[:] = False
    found = False
    for k in range(len(key)):
        if slot[k] != column:
            continue
        i = key[k]
        active[i] = True
        if known[i] and limit[i] == limits[k]:
            continue
        away = margin[i]
        if known[i]:
            away = abs(price[i] - limit[i]) / max(abs(limit[i]), least_scale)
        found |= not known[i]
        known[i], sell[i], limit[i] = True, sells[k], float(limits[k])
        away *= max(abs(limit[i]), least_scale)
        price[i] = limit[i] + away if sells[k] else limit[i] - away
    return found


@njit(cache=True)
def _tell(key: Ints, slot: Ints, column: int, price: Floats, wish: Floats) -> None:
    for k in range(len(key)):
        if slot[k] == column:
            wish[k] = price[key[k]]


@njit(cache=True)
def _learn(
    shout_sell: Bools, shout_price: Ints, accepted: Bools, draws: Floats, ratio: float, distance: float, keys: Ints,
    sell: Bools, active: Bools, limit: Floats, rate: Floats, momentum: Floats, low: float, high: float,
    price: Floats, step: Floats,
) -> None:  # fmt: skip
    """Move `price` and `step` (arrays over all keys, in place) of `keys` through a slot's shouts in their order.

    `draws` (H, len(keys), 2) in [0, 1): how far R is from 1, in parts of `ratio`, and A from 0, in parts of `distance`,
    for each of its H shouts and each trader.
    """
    for h in range(len(shout_price)):
        q = float(shout_price[h])
        by_ask = shout_sell[h]
        for k in range(len(keys)):
            i = keys[k]
            p = price[i]
            direction = 0.0
            if sell[i]:
                if accepted[h] and p <= q:
                    direction = 1.0
                elif active[i] and p >= q and by_ask != accepted[h]:
                    direction = -1.0
            else:
                if accepted[h] and p >= q:
                    direction = -1.0
                elif active[i] and p <= q and by_ask == accepted[h]:
                    direction = 1.0
            if direction == 0.0:
                continue
            target = q + direction * (abs(q) * (ratio * draws[h, k, 0]) + distance * draws[h, k, 1])
            step[i] = momentum[i] * step[i] + (1.0 - momentum[i]) * rate[i] * (target - p)
            moved = min(max(p + step[i], low), high)
            price[i] = max(moved, limit[i]) if sell[i] else min(moved, limit[i])
