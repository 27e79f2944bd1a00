"""One number for a whole journal: two ledgers with the same digest hold the same entries, byte for byte."""

from __future__ import annotations

from hashlib import sha256
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
    digest: str
    """SHA-256 over the leaf hashes of all entries in order, in hexadecimal."""


def seal(target: str | Path) -> Seal:
    """Rules, feeder, length and digest of a ledger. Raises LedgerError if it cannot be read."""
    state = sha256()
    with Ledger.open(target) as ledger:
        for _, _, leaf in ledger.bodies():
            state.update(leaf)
        meta = ledger.meta()
    return Seal(meta.market, meta.feeder, meta.entries, state.hexdigest())
