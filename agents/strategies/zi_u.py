"""Zero intelligence, unconstrained (ZI-U): any price of the market's range, with equal chance, even at a loss.

Gode and Sunder, "Allocative efficiency of markets with zero-intelligence traders", Journal of Political Economy
101(1), 1993. The benchmark of what the market's rules achieve without any reason on the traders' side.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from agents.strategies.columns import Market, Orders, Traders, quote_all


class ZiU:
    """Each call draws a new price per want from all ticks between the market's floor and cap."""

    class Parameters(BaseModel):
        """None."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    keeps_limit = False
    remembers = False
    blind = True

    def __init__(self, parameters: Parameters | None = None) -> None:
        pass

    def quote(self, traders: Traders, market: Market, rng: np.random.Generator) -> Orders:
        steps = (market.cap - market.floor) // market.tick + 1
        price = market.floor + np.floor(rng.random(len(traders)) * steps).astype(np.int64) * market.tick
        return quote_all(traders, price, np.ones(len(traders), dtype=np.bool_))
