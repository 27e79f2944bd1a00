"""Wattbook's own kernel in the race: the whole stream at once, in small packets, and message by message."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.race import Race, Trades
from benchmarks.workload import BUY, CANCEL, LEVELS, TAKE, Workload
from market import intake, kernel

RING = 4096
"""Room for events where they are not all kept: as much as the exchange has, used over and over."""
_SPREAD = 0
_FREE = np.zeros(0, dtype=np.int32), np.zeros((0, 0), dtype=np.int32)
_LOT = 1
_POOL = 4096

Capacity = tuple[Any, ...]
Messages = NDArray[Any]


def pack(workload: Workload, nodes: NDArray[np.int64] | None = None) -> Messages:
    """The stream in the kernel's own message format; an order at any price is an IOC order at the last level.

    `nodes` are the connections of the orders by handle; without them nobody's injection changes anything.
    """
    source = workload.messages
    packed = np.zeros(len(source), dtype=kernel.MESSAGE)
    takes = source["kind"] == TAKE
    packed["kind"] = np.where(source["kind"] == CANCEL, kernel.CANCEL, kernel.SUBMIT)
    packed["side"] = np.where(source["side"] == BUY, kernel.BUY, kernel.SELL)
    packed["time_in_force"] = np.where(takes, kernel.IOC, kernel.GTC)
    packed["flexible"] = 1
    packed["node"] = -1 if nodes is None else nodes[source["handle"]]
    packed["level"] = np.where(takes, np.where(source["side"] == BUY, LEVELS - 1, 0), source["level"])
    packed["handle"] = source["handle"]
    packed["quantity"] = source["quantity"]
    packed["owner"] = source["handle"]  # nobody meets an order of their own
    packed["origins"] = 1
    return packed


class KernelBook:
    """One book with what the kernel needs besides it."""

    def __init__(self, workload: Workload, room: int, capacity: Capacity | None = None, *, keep: bool = True) -> None:
        """`room` for events; if it does not hold all of them, `keep` says whether trades are set aside.

        `capacity` is what `market.kernel.run` takes for it; None: nothing is limited.
        """
        # The exchange's own book sizes, so that its compiled code is used; a full book would show as other trades.
        self.books = kernel.empty_book(LEVELS, _POOL, _POOL)
        self._run = kernel.entry(LEVELS, _POOL)
        self.where = np.full(workload.orders, -1, dtype=np.int32)
        mode = kernel.OPEN if capacity is None else kernel.DECIDE
        self.capacity = _open() if capacity is None else capacity
        connections = len(self.capacity[0])
        allowance = np.zeros((2, connections), dtype=np.int64)
        # Room for every pair, so that the kernel stops for events alone.
        pairs = kernel.no_pairs(1 << (2 * (connections + 1) ** 2).bit_length())
        self._book = (self.books, self.where, allowance, pairs, mode, self.capacity, _SPREAD, _FREE, _LOT)
        self._cursors = kernel.new_cursor()
        self._message, self._count = self._cursors["message"], self._cursors["count"]
        # Touched now, because a running exchange reuses its room.
        self._events = np.zeros(room, dtype=kernel.EVENT)
        self._events.view(np.uint8).fill(0)
        self._keep = keep
        self._kept: list[Trades] = []

    def entry(self, messages: Messages) -> tuple[Callable[..., int], tuple[Any, ...]]:
        """The compiled kernel and its arguments for these messages."""
        return self._run, (*self._book, messages, self._events, self._cursors)

    def rewind(self) -> None:
        """The next call begins with the first of its messages."""
        self._message[0] = 0

    def feed(self, messages: Messages) -> None:
        self.rewind()
        run, arguments = self.entry(messages)
        while (status := run(*arguments)) != kernel.DONE:
            self.make_room(status)

    def make_room(self, status: int) -> None:
        """Answer to a kernel that has stopped. Raises RuntimeError unless it was for want of room for events."""
        if status != kernel.FULL:
            raise RuntimeError(f"the kernel stopped with status {status}")
        if self._keep:
            self._kept.append(_trades(self._events[: int(self._count[0])]))
        self._count[0] = 0

    def trades(self) -> Trades:
        """All trades so far; only those since the room was last full if they were not to be kept."""
        return np.concatenate([*self._kept, _trades(self._events[: int(self._count[0])])])


Make = Callable[[Workload, bool], tuple[Messages, KernelBook]]
"""The stream as packed messages, and a new book for it that keeps its trades or need not."""


def ungated(workload: Workload, keep: bool) -> tuple[Messages, KernelBook]:
    # Besides its trades a message has one event at most.
    return pack(workload), KernelBook(workload, len(workload.messages) + len(workload.trades) + 2)


def batch(make: Make) -> Callable[[Workload], Race]:
    """All messages in one call."""

    def start(workload: Workload, keep: bool) -> tuple[Callable[[], None], KernelBook]:
        messages, book = make(workload, keep)
        return lambda: book.feed(messages), book

    return _entrant(start)


def packets(make: Make, size: int) -> Callable[[Workload], Race]:
    """`size` messages a call, packed from Python integers first, as a gateway under load would have them."""

    def start(workload: Workload, keep: bool) -> tuple[Callable[[], None], KernelBook]:
        messages, book = make(workload, keep)
        rows = messages.tolist()
        parts = [rows[begin : begin + size] for begin in range(0, len(rows), size)]

        def go() -> None:
            for part in parts:
                book.feed(intake.pack(part))

        return go, book

    return _entrant(start)


def single(make: Make) -> Callable[[Workload], Race]:
    """One message a call, packed from Python integers as every other engine gets them."""

    def start(workload: Workload, keep: bool) -> tuple[Callable[[], None], KernelBook]:
        messages, book = make(workload, keep)
        rows = messages.tolist()
        message = np.zeros(1, dtype=kernel.MESSAGE)
        run, arguments = book.entry(message)

        def go() -> None:
            for row in rows:
                message[0] = row
                book.rewind()
                while (status := run(*arguments)) != kernel.DONE:
                    book.make_room(status)

        return go, book

    return _entrant(start)


def latencies(make: Make, workload: Workload) -> NDArray[np.int64]:
    """Wall time of each message of its own [ns], packing included; the clock's own cost is in it."""
    messages, book = make(workload, False)
    message = np.zeros(1, dtype=kernel.MESSAGE)
    run, arguments = book.entry(message)
    taken = np.zeros(len(messages), dtype=np.int64)
    clock = time.perf_counter_ns
    for place, row in enumerate(messages.tolist()):
        start = clock()
        message[0] = row
        book.rewind()
        while (status := run(*arguments)) != kernel.DONE:
            book.make_room(status)
        taken[place] = clock() - start
    return taken


def _entrant(start: Callable[[Workload, bool], tuple[Callable[[], None], KernelBook]]) -> Callable[[Workload], Race]:
    """The race with trades from a second run, where the timed one does not keep them."""

    def prepare(workload: Workload) -> Race:
        go, _ = start(workload, False)

        def trades() -> Trades:
            again, book = start(workload, True)
            again()
            return book.trades()

        return go, trades

    return prepare


def _open() -> Capacity:
    """One connection without capacity rows."""
    none = np.zeros(1, dtype=np.int64)
    slopes, gross = np.zeros((1, 2, 0)), np.zeros((4, 1), dtype=np.int64)
    return none, gross, np.zeros((2, 0)), slopes, slopes, np.zeros((2, 0)), np.zeros((5, 0)), 0


def _trades(events: NDArray[Any]) -> Trades:
    made = events[events["kind"] == kernel.TRADE]
    columns = [made["resting"], made["handle"], made["level"], made["quantity"]]
    return np.stack([column.astype(np.int64) for column in columns], axis=1)
