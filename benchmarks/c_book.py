"""The book of `c_book.c`, compiled by the system's C compiler when the race begins."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.race import Race
from benchmarks.workload import LEVELS, Workload

SOURCE = Path(__file__).with_name("c_book.c")
POOL = 4096
FLAGS = ("-O3", "-march=native", "-std=c11", "-shared", "-fPIC")

_MESSAGE = np.dtype([("kind", "i1"), ("side", "i1"), ("level", "i4"), ("handle", "i4"), ("quantity", "i8")], align=True)
_EVENT = np.dtype(
    [("kind", "i1"), ("message", "i4"), ("handle", "i4"), ("resting", "i4"), ("level", "i4"), ("quantity", "i8")],
    align=True,
)
_TRADE = 0


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
        subprocess.run([_compiler(), *FLAGS, *sizes, "-o", target, SOURCE], check=True)  # noqa: S603
        library = ctypes.CDLL(str(target))
    pointer = ctypes.c_void_p
    library.book_new.restype = pointer
    library.book_free.argtypes = [pointer]
    library.book_run.argtypes = [pointer, pointer, pointer, ctypes.c_int64, pointer]
    library.book_run.restype = ctypes.c_int64
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

    def trades(self) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        self._library.book_free(self._book)
        made = self._events[: self._count]
        made = made[made["kind"] == _TRADE]
        columns = [made["resting"], made["handle"], made["level"], made["quantity"]]
        return np.stack([column.astype(np.int64) for column in columns], axis=1)


def c_loop(workload: Workload) -> Race:
    """The whole stream in one call of the C loop."""
    book = _Book(workload)
    return book.go, book.trades
