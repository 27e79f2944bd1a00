"""Call auctions: all resting orders of one product cleared at once, as pure functions on whole numbers.

| design       | price                                                              | who trades                    |
|--------------|--------------------------------------------------------------------|-------------------------------|
| `call`       | one for all: the middle of the interval in which the market clears | the largest volume, by merit  |
| `pay_as_bid` | of each pair: the middle of its bid and its ask                    | the same orders as in `call`  |
| `mmr`        | (retail + feed_in) / 2, the mid-market rate                        | who accepts the price; the    |
| `sdr`        | between feed_in and retail by the ratio of supply to demand        | longer side gets shares of it |

Every match has one price, which its seller receives and its buyer pays together with the fee of the wires, so money
balances by construction; every price is rounded down to the tick. The rules hold net of the least fee, see `net`.
docs/auctions.md says where they come from. Nothing here knows of wires: `market.closing` holds the result to them.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from market.kernel import BUY, SELL
from market.orders import MarketSettings

Ints = NDArray[np.int64]
Places = NDArray[np.intp]

AuctionDesign = Literal["call", "pay_as_bid", "mmr", "sdr"]
DESIGNS: tuple[AuctionDesign, ...] = get_args(AuctionDesign)
BY_MERIT: tuple[AuctionDesign, ...] = ("call", "pay_as_bid")
"""Designs in which the better price goes first; the others ration."""

MAX_VOLUME = 2**62
"""Largest sum of quantities [Wh]: with N orders, each counts as at most MAX_VOLUME / N."""


class Orders(NamedTuple):
    """N resting orders of one product."""

    side: Ints
    """(N,) `kernel.BUY` or `kernel.SELL`."""
    price: Ints
    """(N,) limit, on the tick [milli-currency/MWh]."""
    quantity: Ints
    """(N,) whole lots [Wh]."""
    turn: Ints
    """(N,) time priority: the lowest first; no two alike."""
    node: Ints
    """(N,) connection, -1 where injection changes nothing."""
    firm: Ints
    """(N,) part of the quantity that re-labels baseline energy, traded first [Wh]."""


class Allocation(NamedTuple):
    """What the orders trade, before anybody is paired."""

    quantity: Ints
    """(N,) [Wh]; the sum of the bids is that of the asks."""
    price: int | None
    """Of every match; None if each pair has its own or nothing trades."""


class Matches(NamedTuple):
    """M trades, in the order in which they are made."""

    buy: Places
    """(M,) places in the orders."""
    sell: Places
    price: Ints
    quantity: Ints


def net(orders: Orders, settings: MarketSettings, least: int) -> tuple[Orders, MarketSettings]:
    """Orders and settings as sellers see them: what a buyer would pay a neighbour, the least fee taken off.

    The utility's price as a seller is lowered alike, since its buyers pay no fee; it stays what it is for them.
    """
    if not least:
        return orders, settings
    pays = (orders.side == BUY) == (orders.node >= 0)
    rules = msgspec.structs.replace(settings, retail=settings.retail - least)
    return orders._replace(price=orders.price - np.where(pays, least, 0)), rules


def clear(design: AuctionDesign, orders: Orders, settings: MarketSettings) -> Matches:
    """The trades of an auction without wires or fees. The order of the rows does not matter, their turns do.

    Asserts that nobody trades beyond limit or quantity and that what is bought is what is sold.
    """
    allocation = allocate(design, orders, settings)
    bids, asks = ranked(design, orders, allocation)
    buy, sell, quantity = pairs(bids, asks, allocation.quantity)
    free = np.zeros_like(quantity)
    matches = Matches(buy, sell, prices(orders, buy, sell, allocation.price, settings, free), quantity)
    check(orders, matches, free)
    return matches


def allocate(design: AuctionDesign, orders: Orders, settings: MarketSettings) -> Allocation:
    """Who trades how much. `sdr` needs 0 <= feed_in <= retail; see `settings_problem`."""
    orders = _bounded(orders, settings.lot)
    if design in BY_MERIT:
        allocation = by_merit(orders, settings)
        return allocation if design == "call" else allocation._replace(price=None)
    if design == "mmr":
        return _rationed(orders, on_tick(settings.retail + settings.feed_in, 2, settings), settings.lot)
    supply, demand = (int(orders.quantity[orders.side == side].sum()) for side in (SELL, BUY))
    if not supply or not demand:
        return Allocation(np.zeros_like(orders.quantity), None)
    return _rationed(orders, ratio_price(supply, demand, settings), settings.lot)


def settings_problem(design: AuctionDesign, settings: MarketSettings) -> str:
    """Why a market with these settings cannot have this design; empty if it can."""
    if design == "sdr" and not 0 <= settings.feed_in <= settings.retail:
        return f"feed_in: must be from 0 to retail {settings.retail} in design sdr, got {settings.feed_in}"
    return ""


def by_merit(orders: Orders, settings: MarketSettings) -> Allocation:
    """The largest volume that clears, which is also of the greatest welfare, and the uniform price.

    Bids are filled from the dearest, asks from the cheapest, equals by turn. The market clears at every price from
    max(last ask in, first bid out) to min(last bid in, first ask out); an order filled in part is both in and out.
    The price is the middle of the two, rounded down to the tick.
    """
    bids, asks = (_best_first(orders, side) for side in (BUY, SELL))
    filled = np.zeros_like(orders.quantity)
    if not len(bids) or not len(asks):
        return Allocation(filled, None)
    wanted, offered = np.cumsum(orders.quantity[bids]), np.cumsum(orders.quantity[asks])
    ends = _merged(wanted, offered)
    ends = ends[(ends > 0) & (ends <= min(wanted[-1], offered[-1]))]
    bid, ask = orders.price[bids], orders.price[asks]
    # The unit that ends a step belongs to the first order whose sum reaches it; bids fall and asks rise from step to
    # step, so those that agree come first.
    agree = int(np.count_nonzero(bid[np.searchsorted(wanted, ends)] >= ask[np.searchsorted(offered, ends)]))
    if agree == 0:
        return Allocation(filled, None)
    volume = ends[agree - 1]
    for places, sums in ((bids, wanted), (asks, offered)):
        own = orders.quantity[places]
        filled[places] = np.clip(volume - (sums - own), 0, own)
    low, high = int(ask[np.searchsorted(offered, volume)]), int(bid[np.searchsorted(wanted, volume)])
    if volume < wanted[-1]:
        low = max(low, int(bid[np.searchsorted(wanted, volume, side="right")]))
    if volume < offered[-1]:
        high = min(high, int(ask[np.searchsorted(offered, volume, side="right")]))
    return Allocation(filled, on_tick(low + high, 2, settings))


def ratio_price(supply: int, demand: int, settings: MarketSettings) -> int:
    """Price by the ratio of supply to demand (both > 0), rounded down to the tick [milli-currency/MWh].

    Liu et al., IEEE Transactions on Power Systems 32(5), 2017: with r = supply / demand up to 1,
    1 / price goes straight from 1 / retail at r = 0 to 1 / feed_in at r = 1, and stays there beyond.
    """
    retail, feed_in = settings.retail, settings.feed_in
    if supply >= demand or feed_in == retail:
        return feed_in
    return on_tick(feed_in * retail * demand, (retail - feed_in) * supply + feed_in * demand, settings)


def on_tick(numerator: int, denominator: int, settings: MarketSettings) -> int:
    """The fraction, rounded down to a price of the market."""
    ticks = (numerator - settings.price_floor * denominator) // (denominator * settings.tick)
    return settings.price_floor + ticks * settings.tick


def pro_rata(quantity: Ints, turn: Ints, total: int, lot: int) -> Ints:
    """Shares of `total` Wh in proportion to quantities (all in whole lots) by largest remainders, equals by turn."""
    lots, wanted = quantity // lot, total // lot
    whole = int(lots.sum())
    if wanted >= whole:
        return quantity.copy()
    exact: NDArray[Any] = lots
    if int(lots.max()) * wanted >= 2**63:
        exact = lots.astype(object)  # products beyond int64
    shares, rest = (exact * wanted // whole).astype(np.int64), (exact * wanted % whole).astype(np.int64)
    left = wanted - int(shares.sum())
    shares[np.lexsort((turn, -rest))[:left]] += 1
    result: Ints = shares * lot
    return result


def ranked(design: AuctionDesign, orders: Orders, allocation: Allocation) -> tuple[Places, Places]:
    """Bids and asks that trade, in the order in which they are paired.

    By merit the dearest bid meets the cheapest ask, and if that would leave pairs that cannot agree (wires may let an
    ask trade that is above some bid that trades), the dearest ask. The rationing designs pair by turn.
    """
    trades = allocation.quantity > 0
    if design not in BY_MERIT:
        bids, asks = (np.flatnonzero(trades & (orders.side == side)) for side in (BUY, SELL))
        return _by_turn(orders, bids), _by_turn(orders, asks)
    bids, asks = (places[trades[places]] for places in (_best_first(orders, side) for side in (BUY, SELL)))
    if len(bids) and len(asks) and orders.price[bids[-1]] < orders.price[asks[-1]]:
        asks = _by_turn(orders, asks)
        asks = asks[_stable(-orders.price[asks])]
    return bids, asks


def pairs(bids: Places, asks: Places, quantity: Ints) -> tuple[Places, Places, Ints]:
    """Bids and asks laid side by side, each as long as its quantity, and cut where either ends: bid, ask, Wh.

    If one side is longer, its end stays over.
    """
    bought, sold = np.cumsum(quantity[bids]), np.cumsum(quantity[asks])
    if not len(bought) or not len(sold):
        return np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, np.int64)
    ends = _merged(bought, sold)
    ends = ends[(ends > 0) & (ends <= min(bought[-1], sold[-1]))]
    buy, sell = bids[np.searchsorted(bought, ends)], asks[np.searchsorted(sold, ends)]
    return buy, sell, np.diff(ends, prepend=0)


def prices(
    orders: Orders, buy: Places, sell: Places, price: int | None, settings: MarketSettings, fee: Ints, least: int = 0
) -> Ints:
    """(M,) price of each pair: that of the auction, or the nearest that both accept; without one, their middle.

    `fee` (M,) is what the buyers pay beside it, `least` what the auction's own price leaves room for. The utility,
    whose orders have no node, has a tariff and no middle: a pair with it trades at its price.
    """
    bid, ask = orders.price[buy] - fee, orders.price[sell]
    if price is None:
        ticks = (bid + ask - 2 * settings.price_floor) // (2 * settings.tick)
        middle: Ints = settings.price_floor + ticks * settings.tick
        tariff: Ints = np.where(orders.node[buy] < 0, bid, np.where(orders.node[sell] < 0, ask, middle))
        return tariff
    near: Ints = np.minimum(np.maximum(price + np.where(orders.node[sell] < 0, least, 0), ask), bid)
    return near


def check(orders: Orders, matches: Matches, fee: Ints) -> None:
    """Assert conservation: no fill beyond a limit or a quantity, every match between a bid and an ask; fees (M,)."""
    buy, sell, price, quantity = matches
    filled = np.zeros_like(orders.quantity)
    for places, side in ((buy, BUY), (sell, SELL)):
        assert (orders.side[places] == side).all(), "a match is not between a bid and an ask"
        np.add.at(filled, places, quantity)
    assert (quantity > 0).all(), "a match of nothing"
    assert (price + fee <= orders.price[buy]).all(), "a buyer pays more than its limit"
    assert (price >= orders.price[sell]).all(), "a seller receives less than its limit"
    assert (filled <= orders.quantity).all(), "an order trades more than it has"
    assert filled[orders.side == BUY].sum() == filled[orders.side == SELL].sum(), "what is bought is not what is sold"


def _rationed(orders: Orders, price: int, lot: int) -> Allocation:
    """At a given price: the shorter side in full, the longer one pro rata, among those who accept the price."""
    filled = np.zeros_like(orders.quantity)
    buys = orders.side == BUY
    bids = np.flatnonzero(buys & (orders.price >= price))
    asks = np.flatnonzero(~buys & (orders.price <= price))
    volume = min(int(orders.quantity[bids].sum()), int(orders.quantity[asks].sum()))
    if volume == 0:
        return Allocation(filled, None)
    for places in (bids, asks):
        filled[places] = pro_rata(orders.quantity[places], orders.turn[places], volume, lot)
    return Allocation(filled, price)


def _best_first(orders: Orders, side: int) -> Places:
    places = _by_turn(orders, np.flatnonzero(orders.side == side))
    price = orders.price[places]
    return places[_stable(-price if side == BUY else price)]


def _by_turn(orders: Orders, places: Places) -> Places:
    turn = orders.turn[places]
    return places if (turn[1:] > turn[:-1]).all() else places[np.argsort(turn)]


def _stable(keys: Ints) -> Places:
    """Stable order of the keys, 16 bits at a time: those numpy sorts by radix, in time proportional to their count."""
    keys = keys - keys.min(initial=0)
    places = np.arange(len(keys))
    for shift in range(0, int(keys.max(initial=0)).bit_length(), 16):
        digits = (keys[places] >> shift).astype(np.uint16)
        places = places[np.argsort(digits, kind="stable")]
    return places


def _merged(first: Ints, second: Ints) -> Ints:
    """All values of two rising arrays, each once, rising. A stable sort takes two runs that rise in one pass."""
    both = np.sort(np.concatenate([first, second]), kind="stable")
    fresh: Ints = both[np.append(True, both[1:] > both[:-1])]
    return fresh


def _bounded(orders: Orders, lot: int) -> Orders:
    most = MAX_VOLUME // max(len(orders.side), 1) // lot * lot
    return orders._replace(quantity=np.minimum(orders.quantity, most))
