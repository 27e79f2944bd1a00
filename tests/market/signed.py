"""Signed ledgers for tests of the log, its export and its audit: keys with known secrets, and days of a market."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from market.events import Entry
from market.notes import Signer
from market.store import Ledger
from tests.market import day

KEY, NEXT = (Signer("example.org/lane", bytes([number] * 32)) for number in (1, 2))
FOREIGN = Signer("example.org/lane", bytes([9] * 32))
ENTRIES = day.entries(seed=7, slots=12, orders=60)
"""Enough for three full tiles."""


Target = TypeVar("Target", str, Path)


def signed_ledger(
    target: Target, entries: Sequence[Entry] = ENTRIES, group: int = 100, *, rotate: bool = True
) -> Target:
    """A ledger with a checkpoint per `group` entries, and a change of keys in the middle."""
    half = len(entries) // 2 // group * group
    with Ledger.create(target) as ledger:
        ledger.sign_with(KEY)
        for first in range(0, len(entries), group):
            if rotate and first == half:
                ledger.rotate(KEY, NEXT)
            ledger.append(entries[first : first + group])
            ledger.sign()
    return target
