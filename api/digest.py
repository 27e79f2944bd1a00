"""What a ledger says of itself, with one number for all of it: two ledgers with the same root hold the same entries."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from market.orders import MarketSettings
from market.store import Ledger


class Seal(NamedTuple):
    """What a ledger says of itself, and where it stands."""

    market: MarketSettings | None
    feeder: str | None
    """The feeder in its native JSON format."""
    last: int
    """Number of the last entry."""
    root: str
    """Root of the Merkle tree over all entries, in hexadecimal."""


def seal(target: str | Path) -> Seal:
    """Rules, feeder, length and root of a ledger. Raises LedgerError if it cannot be read."""
    with Ledger.open(target) as ledger:
        meta = ledger.meta()
        return Seal(meta.market, meta.feeder, meta.entries, ledger.log().root().hex())
