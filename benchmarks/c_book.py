"""The books of `c_book.c` and `c_gated.c`, compiled by the system's C compiler when the race begins."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.race import Race, Trades
from benchmarks.workload import LEVELS, Workload

SOURCE = Path(__file__).with_name("c_gated.c")
POOL = 4096
RING = 4096
# Products and sums are not fused, so that a comparison comes out as it does in the kernel.
FLAGS = ("-O3", "-march=native", "-std=c11", "-ffp-contract=off", "-shared", "-fPIC")

_MESSAGE = np.dtype([("kind", "i1"), ("side", "i1"), ("level", "i4"), ("handle", "i4"), ("quantity", "i8")], align=True)
_EVENT = np.dtype(
    [("kind", "i1"), ("message", "i4"), ("handle", "i4"), ("resting", "i4"), ("level", "i4"), ("quantity", "i8")],
    align=True,
)
_TRADE = 0


class _Wires(ctypes.Structure):
    """As in `c_gated.c`."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("connections", "rows", "stamp")),
        *((name, ctypes.c_void_p) for name in ("state", "sensitivity", "least", "most", "schedule", "blocked")),
        ("witness", ctypes.c_void_p),
        ("recent", ctypes.c_int64 * 4),
    )


class _Output(ctypes.Structure):
    """As in `c_gated.c`."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("length", "room", "count", "kept", "most")),
        *((name, ctypes.c_void_p) for name in ("events", "trades", "node", "turn")),
        ("turns", ctypes.c_int64),
    )


def compiler() -> str | None:
    """Path of the C compiler: the environment's CC, else cc, gcc or clang; None if there is none."""
    names = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    return next((found for name in names if name and (found := shutil.which(name))), None)


def release() -> str:
    """First line of the compiler's own version. Raises FileNotFoundError without a compiler."""
    done = subprocess.run([_compiler(), "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.splitlines()[0]


def _compiler() -> str:
    found = compiler()
    if found is None:
        raise FileNotFoundError("no C compiler: install one, or name it in CC")
    return found


@cache
def _library() -> ctypes.CDLL:
    """Raises FileNotFoundError without a compiler, CalledProcessError if it refuses the source."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "c_book.so"
        sizes = (f"-DLEVELS={LEVELS}", f"-DPOOL={POOL}")
        subprocess.run([_compiler(), *FLAGS, *sizes, "-o", target, SOURCE, "-lm"], check=True)  # noqa: S603
        library = ctypes.CDLL(str(target))
    pointer = ctypes.c_void_p
    library.book_new.restype = pointer
    library.book_free.argtypes = [pointer]
    library.book_run.argtypes = [pointer, pointer, pointer, ctypes.c_int64, pointer]
    library.book_run.restype = ctypes.c_int64
    library.book_run_gated.argtypes = [pointer] * 5
    library.book_run_gated.restype = ctypes.c_int64
    return library


class _Book:
    """One book in C, with room for all events of the stream."""

    def __init__(self, workload: Workload) -> None:
        self._library = _library()
        self._book = self._library.book_new()
        if not self._book:
            raise MemoryError("no memory for the book")
        self._messages = np.zeros(len(workload.messages), dtype=_MESSAGE)
        for name in _MESSAGE.names or ():
            self._messages[name] = workload.messages[name]
        self._where = np.full(workload.orders, -1, dtype=np.int32)
        self._events = np.zeros(len(workload.messages) + len(workload.trades) + 2, dtype=_EVENT)
        # Touched now: pages that the system hands out during the race would count as matching.
        self._events.view(np.uint8).fill(0)
        self._count = 0

    def go(self) -> None:
        messages, events = self._messages, self._events
        self._count = self._library.book_run(
            self._book, self._where.ctypes.data, messages.ctypes.data, len(messages), events.ctypes.data
        )

    def trades(self) -> Trades:
        self._library.book_free(self._book)
        return _rows(self._events[: self._count])


class _GatedBook:
    """One book in C on wires; all orders are flexible, at the connections `nodes` by handle."""

    def __init__(self, workload: Workload, nodes: NDArray[np.int64], capacity: tuple[Any, ...], keep: bool) -> None:
        self._library = _library()
        self._book = self._library.book_new()
        if not self._book:
            raise MemoryError("no memory for the book")
        self._messages = np.zeros(len(workload.messages), dtype=_MESSAGE)
        for name in _MESSAGE.names or ():
            self._messages[name] = workload.messages[name]
        schedule, _, state, sensitivity, _, _, (least, most, *_), _ = capacity
        connections, rows = len(schedule), len(least)
        self._where = np.full(workload.orders, -1, dtype=np.int32)
        events = np.zeros(RING, dtype=_EVENT)
        events.view(np.uint8).fill(0)
        self._trades = np.zeros(8 * len(workload.messages) if keep else 0, dtype=_EVENT)
        blocked = np.zeros((connections, connections), dtype=np.int64)
        witness = np.full((connections, connections), -1, dtype=np.int32)
        node, turn = nodes.astype(np.int32), np.zeros(workload.orders, dtype=np.int64)
        held = [
            np.ascontiguousarray(values) for values in (state, sensitivity, least, most, schedule, blocked, witness)
        ]
        self._held = [*held, events, node, turn]
        self._wires = _Wires(connections, rows, 1, *(array.ctypes.data for array in held))
        self._wires.recent[:] = [-1] * 4
        sizes, places = (len(workload.messages), RING, 0, 0, len(self._trades)), (events, self._trades, node, turn)
        self._out = _Output(*sizes, *(array.ctypes.data for array in places), 0)

    def go(self) -> None:
        wires, out = ctypes.addressof(self._wires), ctypes.addressof(self._out)
        where, messages = self._where.ctypes.data, self._messages.ctypes.data
        self._library.book_run_gated(self._book, where, messages, wires, out)
        self._library.book_free(self._book)

    def trades(self) -> Trades:
        if self._out.kept > len(self._trades):
            raise RuntimeError(f"{self._out.kept} trades, room for {len(self._trades)}")
        return _rows(self._trades[: self._out.kept])


def _rows(events: NDArray[Any]) -> Trades:
    """Trades among events, as (maker, taker, level, quantity)."""
    made = events[events["kind"] == _TRADE]
    columns = [made["resting"], made["handle"], made["level"], made["quantity"]]
    return np.stack([column.astype(np.int64) for column in columns], axis=1)


def c_loop(workload: Workload) -> Race:
    """The whole stream in one call of the C loop."""
    book = _Book(workload)
    return book.go, book.trades


def c_gated_loop(workload: Workload, nodes: NDArray[np.int64], make: Callable[[], tuple[Any, ...]]) -> Race:
    """The whole stream in one call of the C loop on wires; `make` gives what the kernel takes for its capacity."""

    def trades() -> Trades:
        again = _GatedBook(workload, nodes, make(), True)
        again.go()
        return again.trades()

    return _GatedBook(workload, nodes, make(), False).go, trades
