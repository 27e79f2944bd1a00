"""Wattbook's own kernel in the race: the whole stream at once, in small packets, and message by message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import Race
from benchmarks.workload import BUY, CANCEL, LEVELS, TAKE, Workload
from market import kernel

# One connection without a baseline and without capacity rows: nothing is limited.
_SCHEDULE = np.zeros(1, dtype=np.int64)
_NO_ROWS = (_SCHEDULE, np.zeros((2, 0)), np.zeros((1, 2, 0)), np.zeros((2, 0)), np.zeros(0), np.zeros(0), 0)
_ALLOWANCE = np.zeros((2, 1), dtype=np.int64)
_LOT = 1
_POOL = 4096


def _pack(workload: Workload) -> NDArray[Any]:
    """The stream in the kernel's own message format; an order at any price is an IOC order at the last level."""
    source = workload.messages
    packed = np.zeros(len(source), dtype=kernel.MESSAGE)
    takes = source["kind"] == TAKE
    packed["kind"] = np.where(source["kind"] == CANCEL, kernel.CANCEL, kernel.SUBMIT)
    packed["side"] = np.where(source["side"] == BUY, kernel.BUY, kernel.SELL)
    packed["time_in_force"] = np.where(takes, kernel.IOC, kernel.GTC)
    packed["node"] = -1
    packed["level"] = np.where(takes, np.where(source["side"] == BUY, LEVELS - 1, 0), source["level"])
    packed["handle"] = source["handle"]
    packed["quantity"] = source["quantity"]
    return packed


class _Book:
    """One book with what the kernel needs besides it; events of all calls stand one after another in one array."""

    def __init__(self, workload: Workload) -> None:
        # The exchange's own book sizes, so that its compiled code is used; a full book would show as other trades.
        books = kernel.empty_book(LEVELS, _POOL, _POOL)
        where = np.full(workload.orders, -1, dtype=np.int32)
        blocked = np.zeros((2, 2), dtype=np.int64)
        witness = np.full((2, 2), -1, dtype=np.int32)
        self._book = (books, where, _ALLOWANCE, blocked, witness, kernel.OPEN, _NO_ROWS, _LOT)
        self._cursors = kernel.new_cursor()
        self._message, self._count = self._cursors["message"], self._cursors["count"]
        # Besides its trades a message has one event at most. Touched now, because a running exchange reuses its room.
        room = len(workload.messages) + len(workload.trades) + 2
        self._events = np.zeros(room, dtype=kernel.EVENT)
        self._events.view(np.uint8).fill(0)

    def feed(self, messages: NDArray[Any]) -> None:
        self._message[0] = 0
        status = kernel.run(*self._book, messages, self._events, self._cursors)
        if status != kernel.DONE:
            raise RuntimeError(f"the kernel stopped with status {status}")

    def trades(self) -> NDArray[np.int64]:
        events = self._events[: int(self._count[0])]
        made = events[events["kind"] == kernel.TRADE]
        columns = [made["resting"], made["handle"], made["level"], made["quantity"]]
        return np.stack([column.astype(np.int64) for column in columns], axis=1)


def batch(workload: Workload) -> Race:
    messages, book = _pack(workload), _Book(workload)
    return lambda: book.feed(messages), book.trades


def micro_batch(size: int) -> Callable[[Workload], Race]:
    """Packets of `size` messages."""

    def prepare(workload: Workload) -> Race:
        messages, book = _pack(workload), _Book(workload)
        packets = [messages[start : start + size] for start in range(0, len(messages), size)]

        def go() -> None:
            for packet in packets:
                book.feed(packet)

        return go, book.trades

    return prepare


def single(workload: Workload) -> Race:
    """One message a call, packed from Python integers as every other engine gets them."""
    rows = _pack(workload).tolist()
    book = _Book(workload)
    message = np.zeros(1, dtype=kernel.MESSAGE)

    def go() -> None:
        for row in rows:
            message[0] = row
            book.feed(message)

    return go, book.trades
