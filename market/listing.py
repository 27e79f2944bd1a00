"""A ledger's trades, settlements, postings and balances, row by row in market units, under a condition.

Postings and balances are asked of the database; trades and settlements are read from the journal, some thousand entries
at a time, so that a ledger of any length fits into memory. Entries without any are not decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from market import schema
from market.events import Entry, Rejected, Traded
from market.frames import SETTLING, TRADING, Owed, owings
from market.ledger import LedgerError
from market.orders import AdvanceClock, MarketSettings
from market.slots import NS, format_time
from market.store import Ledger
from market.where import Comparison, Condition, Fields, Joined

Row = dict[str, Any]
_TRADED = {
    "slot": int, "price": int, "quantity": int, "buyer": str, "seller": str, "buy_order": int, "sell_order": int,
    "resting": str, "buy_flexible": bool, "sell_flexible": bool, "source": str, "fee": int,
}  # fmt: skip
FIELDS: dict[str, Fields] = {
    "trades": {"seq": int, "time": str, "delivery": str, **_TRADED},
    "settlements": {
        "seq": int, "slot": int, "delivery": str, "run": int, "meters": int, "participant": str, "metered": int,
        "contracted": int, "imbalance": int, "money": int, "estimated": bool,
    },
    "postings": {"seq": int, "line": int, "account": str, "asset": str, "amount": int},
    "balances": {"account": str, "asset": str, "amount": int},
}  # fmt: skip
"""Columns of each list. Times are ISO 8601 UTC text, prices milli-currency/MWh, energy Wh, money nano-currency."""

_PEOPLE = {"trades": ("buyer", "seller"), "settlements": ("participant",)}


def of(kind: str, name: str) -> Condition:
    """The condition that a row of a list concerns a participant or an account."""
    parts = [Comparison(field, "=", name) for field in _PEOPLE.get(kind, ("account",))]
    return Joined(tuple(parts), every=False)


def rows(ledger: Ledger, kind: str, condition: Condition) -> Iterator[Row]:
    """The rows of a list, one of `FIELDS`, in the order of the journal; balances by asset and account.

    Raises LedgerError if the ledger holds no market, KeyError for another list.
    """
    if kind in ("postings", "balances"):
        return _stored(ledger, kind, condition)
    settings = ledger.meta().market
    if settings is None:
        raise LedgerError(f"{ledger.name}: holds no market yet; its first command must create one")
    read: dict[str, tuple[Callable[..., Iterator[Row]], Callable[[bytes], object]]] = {
        "trades": (_trades, TRADING),
        "settlements": (_settlements, SETTLING),
    }
    made, where = read[kind]
    return (row for row in made(ledger.entries(where=where), settings) if condition.matches(row))


def _stored(ledger: Ledger, kind: str, condition: Condition) -> Iterator[Row]:
    names, columns = list(FIELDS[kind]), schema.posting.c
    if kind == "postings":
        clause = condition.clause(dict(columns))
        statement = sa.select(schema.posting).where(clause).order_by(columns.seq, columns.line)
    else:
        amount = sa.func.sum(columns.amount).label("amount")
        sums = sa.select(columns.account, columns.asset, amount).group_by(columns.account, columns.asset).subquery()
        statement = sa.select(sums).where(condition.clause(dict(sums.c)))
    stored = ledger.stream(statement)
    if kind == "balances":
        # Sorted here: a server sorts texts as its locale says. There, too, sums are decimals.
        stored = iter(sorted(((*row[:2], int(row[2])) for row in stored), key=itemgetter(1, 0)))
    for row in stored:
        yield dict(zip(names, row, strict=True))


def _trades(entries: Iterator[Entry], settings: MarketSettings) -> Iterator[Row]:
    now = ""
    for entry in entries:
        if isinstance(entry.command, AdvanceClock) and not any(isinstance(event, Rejected) for event in entry.events):
            now = entry.command.now
        for event in entry.events:
            if isinstance(event, Traded):
                head = {"seq": entry.seq, "time": now, "delivery": _delivery(event.slot, settings)}
                yield head | {name: getattr(event, name) for name in _TRADED}


def _settlements(entries: Iterator[Entry], settings: MarketSettings) -> Iterator[Row]:
    for owed in owings(entries, settings):
        fields = dict(zip(Owed._fields, owed, strict=True))
        yield {name: fields.get(name, _delivery(owed.slot, settings)) for name in FIELDS["settlements"]}


def _delivery(slot: int, settings: MarketSettings) -> str:
    return format_time(slot * settings.slot_seconds * NS)
