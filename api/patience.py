"""A ledger whose server may be away for a while: what could not be stored waits, and is stored once it is back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from api.console import note
from market.database import LostError
from market.events import Entry
from market.store import Ledger

PATIENCE = 60.0
"""How long a server may be away [s]."""
PAUSE = 0.5
"""Time from one try to the next [s]."""


class Patient:
    """A ledger that is open for writing, with `append` and `sign` that outlast a restart of its server.

    Nobody is told anything meanwhile, since both return only when what they store is on the disk. A ledger in a file
    loses no connection; with one, this waits for nothing.
    """

    def __init__(self, ledger: Ledger, seconds: float = PATIENCE) -> None:
        """`seconds`: how long it tries again before it gives up for good."""
        self._ledger = ledger
        self._seconds = seconds

    def append(self, entries: Sequence[Entry]) -> None:
        """Store entries durably, each once. Raises LostError if the server stays away, else as `Ledger.append`."""
        self._try(lambda: self._ledger.append(entries))

    def sign(self) -> None:
        """Sign all entries stored so far. Raises as `append`."""
        self._try(self._ledger.sign)

    def _try(self, act: Callable[[], object]) -> None:
        lost: float | None = None
        while True:
            try:
                act()
                return
            except LostError as error:
                now = time.monotonic()
                if lost is None:
                    lost = now
                    note(f"{error}; trying again for {self._seconds:g} s")
                if now - lost >= self._seconds:
                    self._seconds = 0.0
                    raise
            time.sleep(PAUSE)
