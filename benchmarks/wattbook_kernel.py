"""Wattbook's own kernel in the race: the whole stream at once, in small packets, and message by message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import Race
from benchmarks.workload import BUY, CANCEL, LEVELS, TAKE, Workload
from market import kernel

# Without a gate nothing is limited and no connection has a baseline.
_NO_ROWS = (
    np.zeros(0, dtype=np.int64),
    np.zeros((2, 0)),
    np.zeros((0, 2, 0)),
    np.zeros(0),
    np.zeros(0),
    0,
)
_ALLOWANCE = np.zeros((2, 1), dtype=np.int64)
_LOT = 1


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


def _trades(events: NDArray[Any]) -> NDArray[np.int64]:
    made = events[events["kind"] == kernel.TRADE]
    columns = [made["resting"], made["handle"], made["level"], made["quantity"]]
    return np.stack([column.astype(np.int64) for column in columns], axis=1)


class _Book:
    """One book with what the kernel needs besides it."""

    def __init__(self, workload: Workload) -> None:
        pool = 1 << max(workload.most_resting, 63).bit_length()
        self.books = kernel.empty_book(LEVELS, pool)
        self.where = np.full(workload.orders, -1, dtype=np.int32)
        self.blocked = np.zeros(2, dtype=np.int64)
        self.cursors = kernel.new_cursor()

    def feed(self, messages: NDArray[Any], events: NDArray[Any]) -> int:
        """Process messages into `events` and return how many there are."""
        self.cursors["message"] = 0
        self.cursors["count"] = 0
        status = kernel.run(
            self.books,
            self.where,
            _ALLOWANCE,
            self.blocked,
            kernel.OPEN,
            _NO_ROWS,
            _LOT,
            messages,
            events,
            self.cursors,
        )
        if status != kernel.DONE:
            raise RuntimeError(f"the kernel stopped with status {status}")
        return int(self.cursors["count"][0])


def batch(workload: Workload) -> Race:
    messages, book = _pack(workload), _Book(workload)
    events = np.zeros(2 * len(messages) + len(workload.trades) + 2, dtype=kernel.EVENT)
    used = [0]

    def go() -> None:
        used[0] = book.feed(messages, events)

    return go, lambda: _trades(events[: used[0]])


def micro_batch(size: int) -> Callable[[Workload], Race]:
    """Packets of `size` messages, the events of each copied out before the next."""

    def prepare(workload: Workload) -> Race:
        messages, book = _pack(workload), _Book(workload)
        packets = [messages[start : start + size] for start in range(0, len(messages), size)]
        # A packet may sweep the whole book once and add one event of its own per message.
        events = np.zeros(workload.most_resting + 3 * size + 2, dtype=kernel.EVENT)
        told: list[NDArray[Any]] = []

        def go() -> None:
            for packet in packets:
                used = book.feed(packet, events)
                told.append(events[:used].copy())

        return go, lambda: _trades(np.concatenate(told))

    return prepare


single = micro_batch(1)
"""One message a call, its events known before the next is sent."""
