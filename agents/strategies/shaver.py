"""Shaver: shaves the best price of its own side by one tick until its limit is reached.

The simplest trader that looks at the book; known by this name from the Bristol Stock Exchange (D. Cliff, "An
open-source limit-order-book exchange for teaching and research", IEEE SSCI 2018), where it stands for traders that race
to the head of the queue. On an empty side it starts at the end of the range that suits it best.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from agents.strategies.columns import NO_PRICE, Market, Orders, Traders, quote_all, tick_limits


class Shaver:
    """Improves the best quote of its side, up to its limit, even if it is its own: it never waits to be met."""

    class Parameters(BaseModel):
        """How fast it moves."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        ticks: int = Field(default=1, ge=1)
        """By how many ticks it improves."""

    keeps_limit = True
    remembers = False

    def __init__(self, parameters: Parameters | None = None) -> None:
        self._ticks = (parameters or Shaver.Parameters()).ticks

    def quote(self, traders: Traders, market: Market, rng: np.random.Generator) -> Orders:
        limits, exists = tick_limits(traders, market)
        bid, ask = market.bid[traders.slot], market.ask[traders.slot]
        step = self._ticks * market.tick
        # A price that nobody has asked or bid yet is the end of the range; NO_PRICE is far below it.
        lower = np.where(ask == NO_PRICE, market.cap, ask - step)
        higher = np.where(bid == NO_PRICE, market.floor, bid + step)
        price = np.where(traders.sell, np.maximum(lower, limits), np.minimum(higher, limits))
        return quote_all(traders, price, exists)
