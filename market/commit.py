"""Many entries, one commit: what waits is stored together, and only then may it be acknowledged.

`GroupCommit` is the plain core, without a clock or a thread: who drives it decides when. `Background` drives one from
a thread, for simulations that would otherwise wait for the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from market.events import Entry
from market.ledger import LedgerError


class Store(Protocol):
    """What entries are put into, such as `market.store.Ledger`."""

    def append(self, entries: Sequence[Entry]) -> None: ...


class GroupCommit:
    """Entries on their way to the disk. Nothing may be told to anybody before `commit` has returned it.

    The engine adds what the exchange says, and commits when `full`, when its inbox is empty, or when the oldest entry
    has waited long enough.
    """

    def __init__(self, store: Store, most: int = 1000) -> None:
        self._store = store
        self._most = most
        self._waiting: list[Entry] = []

    def __len__(self) -> int:
        """Number of entries that are not on the disk yet."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether as much waits as one commit should take."""
        return len(self._waiting) >= self._most

    def add(self, entries: Sequence[Entry]) -> None:
        self._waiting += entries

    def commit(self) -> list[Entry]:
        """Store all that waits in one transaction; returns it, durable now.

        Raises LedgerError or JournalError if it was refused: all of it waits still, and may be committed again.
        """
        waiting = self._waiting
        if waiting:
            self._store.append(waiting)
            self._waiting = []
        return waiting


class Background:
    """Stores entries in a thread of its own, as many a commit as have come meanwhile. A context manager.

    What the disk refuses is raised by the next call; nothing is stored after it. Leaving the context waits until
    everything is on the disk.
    """

    def __init__(self, store: Store, most: int = 100_000) -> None:
        """`most` entries may wait; `append` then waits too."""
        self._group = GroupCommit(store)
        self._most = most
        self._coming: list[Entry] = []
        self._busy = self._ended = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)
        self._thread.start()

    def append(self, entries: Sequence[Entry]) -> None:
        """Have the entries stored. Raises what has stopped earlier ones from being stored."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._coming) < self._most or self._error is not None)
            self._check()
            self._coming += entries
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until everything is on the disk. Raises LedgerError or JournalError if something was refused."""
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or not (self._coming or self._busy))
            self._check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.flush()
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self._thread.join()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if self._ended:
            raise LedgerError("entries came after the end")

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._coming or self._ended)
                if not self._coming:
                    return
                self._group.add(self._coming)
                self._coming, self._busy = [], True
                self._changed.notify_all()
            try:
                self._group.commit()
            except (LedgerError, ValueError, TypeError) as error:
                self._error = error
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
            if self._error is not None:
                return
