"""What a strategy reads and writes: frozen columns, the same in a simulation and over the wire.

Prices are whole milli-currency/MWh, quantities whole Wh. A row of `Traders` is one *want*: something that one
participant would still buy or sell in one slot. A strategy serves all participants that chose it at once; a client
that trades for itself alone passes arrays of one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

NO_PRICE = int(np.iinfo(np.int64).min)
"""Stands where a price could: an empty side of a book, no trade yet, no live order."""

BUY = 0
SELL = 1

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Traders:
    """The wants of the participants that use one strategy; K rows, read-only."""

    keys: int
    """How many different keys there can be."""
    key: Ints
    """(K,) in [0, keys): one participant's want of one kind has the same key in every slot and call."""
    slot: Ints
    """(K,) index into the columns of `Market`."""
    sell: Bools
    """(K,) True: an ask, False: a bid."""
    limit: Ints
    """(K,) the most that a buyer gains by paying to another participant, the fee already taken off; a seller's cost."""
    quantity: Ints
    """(K,) what is left to trade, > 0."""
    live: Ints
    """(K,) price of the resting order, NO_PRICE if there is none."""

    def __len__(self) -> int:
        return len(self.key)


@dataclass(frozen=True, slots=True)
class Shouts:
    """What was said in public since the last call, in the order in which it happened; H rows."""

    slot: Ints
    """(H,) index into the columns of `Market`."""
    sell: Bools
    """(H,) side of the arriving order."""
    price: Ints
    """(H,) price of the trade if accepted, else the price asked or bid."""
    accepted: Bools
    """(H,) True: it traded."""


@dataclass(frozen=True, slots=True)
class Market:
    """The public view of one market; S open slots, read-only."""

    number: Ints
    """(S,) delivery slots, rising."""
    bid: Ints
    """(S,) best bid or NO_PRICE."""
    ask: Ints
    """(S,) best ask or NO_PRICE."""
    last: Ints
    """(S,) price of the last trade or NO_PRICE."""
    seconds_to_gate: NDArray[np.float64]
    """(S,) until orders are refused."""
    rounds_done: Ints
    """(S,) calls since the slot opened, this one not counted."""
    rounds_left: Ints
    """(S,) calls until the gate, this one included; 0 where nobody can know."""
    shouts: Shouts
    floor: int
    """Least price allowed."""
    cap: int
    """Largest price allowed, a whole number of ticks above the floor."""
    tick: int
    """Prices are the floor and whole numbers of this above it."""
    retail: Ints
    """(S,) what the utility charges; its standing ask is so much less `grid_fee`, like all that buyers pay."""
    feed_in: Ints
    """(S,) the utility's standing bid."""
    grid_fee: int
    """Typical fee of the wires, which all prices here but `retail` leave out; the utility's energy bears none."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a strategy wants to say; M rows. Wants without a row are left as they are."""

    index: Ints
    """(M,) row of `Traders`, at most once each."""
    price: Ints
    """(M,) on the market's tick grid, within its range."""
    quantity: Ints
    """(M,) at most what is left; 0 withdraws the live order."""
    immediate: bool = False
    """True: trade now what is possible and let nothing rest (IOC)."""


def tick_down(price: Ints, market: Market) -> Ints:
    """Largest price of the market's grid that is at most `price`, element by element; the range does not bind."""
    return market.floor + (price - market.floor) // market.tick * market.tick


def tick_up(price: Ints, market: Market) -> Ints:
    """Least price of the market's grid that is at least `price`, element by element; the range does not bind."""
    return market.floor - (market.floor - price) // market.tick * market.tick


def tick_limits(traders: Traders, market: Market) -> tuple[Ints, Bools]:
    """Each want's limit on the tick grid and in the market's range, never beyond the limit, and whether one exists.

    A bid of 10.004 ct at a tick of 0.01 ct may go up to 10.00, an ask down to 10.01. No price exists for a buyer
    whose value is below the market's floor, nor for a seller whose cost is above the cap.
    """
    return _limits(traders.limit, traders.sell, market.floor, market.cap, market.tick)


def round_to_trade(price: NDArray[np.float64], limits: Ints, traders: Traders, market: Market) -> Ints:
    """Wished prices on the tick grid, rounded towards the trade: bids up, asks down, but never past `limits`.

    `limits` come from `tick_limits`; shapes are (K,). Prices outside the market's range move to its end.
    """
    whole: Ints = _rounded(price, limits, traders.sell, market.floor, market.cap, market.tick)
    return whole


def quote_all(traders: Traders, price: Ints, exists: Bools, *, immediate: bool = False) -> Orders:
    """Orders for the whole quantity left of every want for which a price exists."""
    if exists.all():
        return Orders(np.arange(len(exists)), price, traders.quantity, immediate)
    index = np.flatnonzero(exists)
    return Orders(index, price[index], traders.quantity[index], immediate)


# Compiled, because a client or a laboratory quotes for few wants at a time: there each array operation costs its call.


@njit(cache=True)
def _limits(limit: Ints, sell: Bools, floor: int, cap: int, tick: int) -> tuple[Ints, Bools]:
    limits, exists = np.empty(len(limit), np.int64), np.empty(len(limit), np.bool_)
    for k in range(len(limit)):
        if sell[k]:
            limits[k] = max(floor - (floor - limit[k]) // tick * tick, floor)
            exists[k] = limits[k] <= cap
        else:
            limits[k] = min(floor + (limit[k] - floor) // tick * tick, cap)
            exists[k] = limits[k] >= floor
    return limits, exists


@njit(cache=True)
def _rounded(price: NDArray[np.float64], limits: Ints, sell: Bools, floor: int, cap: int, tick: int) -> Ints:
    whole = np.empty(len(price), np.int64)
    for k in range(len(price)):
        steps = (min(max(price[k], float(floor)), float(cap)) - floor) / tick
        if sell[k]:
            whole[k] = max(floor + np.int64(np.floor(steps)) * tick, limits[k])
        else:
            whole[k] = min(floor + np.int64(np.ceil(steps)) * tick, limits[k])
    return whole
