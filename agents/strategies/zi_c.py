"""Zero intelligence, constrained (ZI-C): any price that makes no loss, with equal chance.

Gode and Sunder, "Allocative efficiency of markets with zero-intelligence traders", Journal of Political Economy
101(1), 1993: a buyer draws between the bottom of the range and his value, a seller between his cost and its top.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from agents.strategies.columns import Ints, Market, Orders, Traders, quote_all, tick_limits


class ZiC:
    """Each call draws a new price per want between its limit and the end of the range."""

    class Parameters(BaseModel):
        """The range that prices are drawn from."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        range: Literal["market", "tariff"] = "market"
        """The range's ends: the market's floor and cap, as published, or the utility's feed-in and retail prices,
        beyond which nobody needs to go."""

    keeps_limit = True
    remembers = False
    blind = True

    def __init__(self, parameters: Parameters | None = None) -> None:
        self._tariff = parameters is not None and parameters.range == "tariff"

    def quote(self, traders: Traders, market: Market, rng: np.random.Generator) -> Orders:
        limits, exists = tick_limits(traders, market)
        low: Ints | int = market.floor
        high: Ints | int = market.cap
        if self._tariff:
            low, high = market.feed_in[traders.slot], market.retail[traders.slot]
        span = np.where(traders.sell, high - limits, limits - low)
        steps = np.maximum(span, 0) // market.tick + 1
        away = np.floor(rng.random(len(traders)) * steps).astype(np.int64) * market.tick
        return quote_all(traders, np.where(traders.sell, limits + away, limits - away), exists)
