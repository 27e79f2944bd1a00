"""Utility only: trades with the utility at its standing prices and with nobody else; the day without a local market.

Where every participant uses it, nothing but the utility's orders ever rests, so each order meets the utility or
nothing. What a want cannot gain by at the utility's price (a dispatchable plant whose cost is above feed-in) stays
untraded, as it would without a market.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from agents.strategies.columns import Market, Orders, Traders, quote_all


class UtilityOnly:
    """Takes the utility's ask at retail and its bid at feed-in with orders that never rest."""

    class Parameters(BaseModel):
        """None."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    keeps_limit = True
    remembers = False

    def __init__(self, parameters: Parameters | None = None) -> None:
        pass

    def quote(self, traders: Traders, market: Market, rng: np.random.Generator) -> Orders:
        price = np.where(traders.sell, market.feed_in[traders.slot], market.retail[traders.slot] - market.grid_fee)
        gains = np.where(traders.sell, traders.limit <= price, traders.limit >= price)
        return quote_all(traders, price, gains, immediate=True)
