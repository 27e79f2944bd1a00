"""Truthful: asks for its cost, bids its value, from the first call on."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from agents.strategies.columns import Market, Orders, Traders, quote_all, tick_limits


class Truthful:
    """Quotes the limit price, rounded to the tick on the side that makes no loss."""

    class Parameters(BaseModel):
        """None."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    keeps_limit = True
    remembers = False
    blind = True

    def __init__(self, parameters: Parameters | None = None) -> None:
        pass

    def quote(self, traders: Traders, market: Market, rng: np.random.Generator) -> Orders:
        limits, exists = tick_limits(traders, market)
        return quote_all(traders, limits, exists)
