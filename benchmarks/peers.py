"""Other order books from PyPI, each driven the way its documentation shows: one call per message.

An adapter returns two functions: `go` feeds the whole stream and is what gets timed; `trades` then translates what
the engine reported into rows of (maker, taker, level, quantity). Engines start their ids and prices at 1.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.race import Race
from benchmarks.workload import BUY, CANCEL, LIMIT, Workload

Rows = list[tuple[int, int, int, int, int]]


def _rows(workload: Workload) -> Rows:
    rows: Rows = workload.messages.tolist()
    return rows


def _array(
    trades: list[tuple[int, int, int, int]], maker: int = 0, taker: int = 0, level: int = 0
) -> NDArray[np.int64]:
    """Rows of trades, with what the engine counts from 1 brought back to 0."""
    return np.array(trades, dtype=np.int64).reshape(-1, 4) - np.array([maker, taker, level, 0], dtype=np.int64)


def liquibook(workload: Workload) -> Race:
    """C++ book behind SWIG; fills arrive at a listener, which has to book them on both orders."""
    library: Any = importlib.import_module("liquibook")
    rows = _rows(workload)
    found: list[tuple[int, int, int, int]] = []
    numbers: dict[int, int] = {}

    class Listener(library.OrderListener):  # type: ignore[misc]
        def on_fill(self, taker: Any, maker: Any, quantity: int, price: int) -> None:
            taker.fill(quantity, price, 0)
            maker.fill(quantity, price, 0)
            found.append((maker.order_id_, taker.order_id_, price, quantity))

        def on_cancel(self, order: Any) -> None:
            order.cancel()

        def _ignore(self, *_: Any) -> None:
            """The library demands that every notice has a method."""

        on_accept = on_reject = on_cancel_reject = on_replace = on_replace_reject = on_trigger_stop = _ignore

    listener = Listener()
    book = library.DepthOrderBook()
    book.set_order_listener(listener)
    orders: list[Any] = []

    def go() -> None:
        immediate = library.oc_immediate_or_cancel
        for kind, side, level, quantity, handle in rows:
            if kind == CANCEL:
                book.cancel(orders[handle])
                continue
            if kind == LIMIT:
                order = library.SimpleOrder(side == BUY, level + 1, quantity)
            else:
                order = library.SimpleOrder(side == BUY, 0, quantity, 0, immediate)
            orders.append(order)
            book.add(order)

    def trades() -> NDArray[np.int64]:
        assert listener is not None  # kept alive: the library holds no reference to it
        numbers.update((order.order_id_, handle) for handle, order in enumerate(orders))
        return _array([(numbers[maker], numbers[taker], price - 1, size) for maker, taker, price, size in found])

    return go, trades


def orderly_chaos(workload: Workload) -> Race:
    """C++ book behind ctypes; trades arrive at a callback."""
    library: Any = importlib.import_module("orderly_chaos")
    rows = _rows(workload)
    found: list[tuple[int, int, int, int]] = []

    def heard(trade: Any) -> None:
        found.append((trade.maker_id, trade.taker_id, trade.price, trade.quantity))

    book = library.LimitOrderBook(on_trade=heard)
    sell, buy = library.Side.SELL, library.Side.BUY

    def go() -> None:
        for kind, side, level, quantity, handle in rows:
            if kind == CANCEL:
                book.cancel(handle)
            elif kind == LIMIT:
                book.limit(buy if side == BUY else sell, handle, quantity, level + 1)
            else:
                book.market(buy if side == BUY else sell, handle, quantity)

    return go, lambda: _array(found, level=1)


def obook(workload: Workload) -> Race:
    """Go book behind ctypes; events are drained whenever an order has traded. Every order has a user of its own,
    because the engine cancels what a user would trade with themself.
    """
    library: Any = importlib.import_module("obook")
    book = library.Book(max_orders=workload.orders)
    rows = _rows(workload)
    found: list[tuple[int, int, int, int]] = []
    ids: list[int] = []

    def go() -> None:
        resting, trade = library.Status.NEW, library.EventKind.TRADE
        for kind, side, level, quantity, handle in rows:
            if kind == CANCEL:
                book.cancel(ids[handle], handle)
                continue
            if kind == LIMIT:
                result = book.submit(handle, side, level + 1, quantity)
            else:
                result = book.submit(handle, side, 0, quantity, library.MARKET, library.IOC)
            ids.append(result.order_id)
            if result.status is not resting:
                found.extend((e.maker_id, e.taker_id, e.price, e.qty) for e in book.events() if e.kind is trade)

    def trades() -> NDArray[np.int64]:
        handles = {number: handle for handle, number in enumerate(ids)}
        return _array([(handles[maker], handles[taker], price - 1, size) for maker, taker, price, size in found])

    return go, trades


def cython_orderbook(workload: Workload) -> Race:
    """Cython book; trades are appended to its log."""
    library: Any = importlib.import_module("cython_orderbook")
    book = library.OrderBook()
    rows = _rows(workload)
    ids: list[Any] = []

    def go() -> None:
        bid, ask = library.OrderSide.BID, library.OrderSide.ASK
        for kind, side, level, quantity, handle in rows:
            if kind == CANCEL:
                book.cancel_order(ids[handle])
                continue
            if kind == LIMIT:
                order = library.Order(side=bid if side == BUY else ask, price=level + 1, original_quantity=quantity)
                ids.append(order.order_id)
                book.add_limit_order(order)
            else:
                order = library.Order(side=bid if side == BUY else ask, original_quantity=quantity)
                ids.append(order.order_id)
                book.add_market_order(order)

    def trades() -> NDArray[np.int64]:
        handles = {number: handle for handle, number in enumerate(ids)}
        return _array(
            [
                (handles[t.filler_id], handles[t.aggressor_id], int(t.price) - 1, t.quantity_filled)
                for t in book.trade_log
            ]
        )

    return go, trades


def lightmatchingengine(workload: Workload) -> Race:
    """Pure Python engine; its market orders rest, so what is left of one is cancelled at once."""
    library: Any = importlib.import_module("lightmatchingengine.lightmatchingengine")
    engine = library.LightMatchingEngine()
    rows = _rows(workload)
    found: list[tuple[int, int, int, int]] = []

    def go() -> None:
        for kind, side, level, quantity, handle in rows:
            if kind == CANCEL:
                engine.cancel_order(handle + 1, "slot")
                continue
            price = level + 1 if kind == LIMIT else 0
            order, trades = engine.add_order("slot", price, quantity, 1 if side == BUY else 2)
            if kind != LIMIT and order.leaves_qty > 0:
                engine.cancel_order(order.order_id, "slot")
            # The engine reports one line for the incoming order and one for each that it met.
            taker = order.order_id
            found.extend((t.order_id, taker, t.trade_price, t.trade_qty) for t in trades if t.order_id != taker)

    return go, lambda: _array(found, 1, 1, 1)


PEERS: dict[str, Callable[[Workload], Race]] = {
    "liquibook": liquibook,
    "orderly-chaos": orderly_chaos,
    "obook": obook,
    "cython-orderbook": cython_orderbook,
    "lightmatchingengine": lightmatchingengine,
}
"""Adapters by the name of the distribution on PyPI."""
