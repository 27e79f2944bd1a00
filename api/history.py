"""What has happened, page by page, out of the ledger: trades, own orders, statements, receipts, and the whole journal.

A page ends after `limit` items, or where enough of the journal has been read for one answer. The next one begins at
`next`; the history has been read to its end when `next` does not grow any more.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.background import BackgroundTask

from api import answers
from api.auth import Principal
from api.gateway import RefusedError
from api.http import Desk, FromSeq, Limit, answered, says
from market.events import (
    Accepted,
    Amended,
    Cancelled,
    Corrected,
    Entry,
    Event,
    Expired,
    Limited,
    Rejected,
    Settled,
    Traded,
)
from market.export import export
from market.journal import decode
from market.ledger import LedgerError
from market.orders import Amend, Basket, Cancel, MassCancel, Submit
from market.receipt import make
from market.settlement import Prices, Statement, correct, settle, tariff
from market.store import Ledger

READ = 20_000
"""Most entries that are read for one answer."""
OWNERS = 100_000
"""Orders whose owner is kept in memory."""

Items = list[dict[str, Any]]


def router(desk: Desk) -> APIRouter:
    """Routes into the past. Every answer comes from the ledger, in a thread of its own."""
    found, path = APIRouter(prefix="/v1"), desk.server.ledger
    _open(found, path)
    _own(found, desk, path)
    _whole(found, desk, path)
    return found


def _open(router: APIRouter, path: str | Path) -> None:
    @router.get("/trades", tags=["history"], openapi_extra=says(answers.Trades, private=False))
    async def trades(from_seq: FromSeq = 1, limit: Limit = 100) -> Response:
        """Trades from a line of the journal on, oldest first."""
        return answered(await asyncio.to_thread(_page, path, from_seq, limit, _tape))

    @router.get("/limits", tags=["history"], openapi_extra=says(answers.PastLimits, private=False))
    async def limits(from_seq: FromSeq = 1, limit: Limit = 100) -> Response:
        """What the wires trimmed or refused, from a line of the journal on."""
        return answered(await asyncio.to_thread(_page, path, from_seq, limit, _limits))

    @router.get("/log", tags=["audit"], openapi_extra=says(answers.Log, private=False))
    async def log(from_size: FromSeq = 1, limit: Limit = 100) -> Response:
        """Public keys of the log and its signed checkpoints: keep one, and nobody can rewrite what it covers."""
        return answered(await asyncio.to_thread(_log, path, from_size, limit))


def _own(router: APIRouter, desk: Desk, path: str | Path) -> None:
    owners = _Owners()

    @router.get("/orders/history", tags=["history"], openapi_extra=says(answers.History))
    async def history(request: Request, from_seq: FromSeq = 1, limit: Limit = 100) -> Response:
        """What happened to own orders, from a line of the journal on."""
        name = desk.participant(request)

        def mine(ledger: Ledger, entry: Entry) -> Items:
            return [{"seq": entry.seq} | item for item in _mine(ledger, entry, name, owners)]

        return answered(await asyncio.to_thread(_page, path, from_seq, limit, mine))

    @router.get("/statements", tags=["account"], openapi_extra=says(answers.Statements))
    async def statements(request: Request, from_seq: FromSeq = 1, limit: Limit = 100) -> Response:
        """Own settled slots: metered against contracted."""
        name = desk.participant(request)
        return answered(await asyncio.to_thread(_page, path, from_seq, limit, _settled_of(name)))

    @router.get("/trades/{trade}/receipt", tags=["audit"], openapi_extra={"security": [{"token": []}]})
    async def receipt(request: Request, trade: str) -> Response:
        """The receipt of a trade: its entry of the journal, and the proof that the signed log holds it."""
        text = await asyncio.to_thread(_receipt, path, desk.principal(request), trade)
        return Response(text, media_type="text/plain; charset=utf-8")


def _whole(router: APIRouter, desk: Desk, path: str | Path) -> None:
    @router.get("/journal", tags=["audit"], openapi_extra=says(answers.JournalPage))
    async def journal(request: Request, from_seq: FromSeq = 1, limit: Limit = 100) -> Response:
        """The canonical text of every entry; for auditors and operators."""
        desk.principal(request, "auditor", "operator")
        return answered(await asyncio.to_thread(_bodies, path, from_seq, limit))

    @router.get("/export", tags=["audit"], openapi_extra={"security": [{"token": []}]})
    async def exported(request: Request) -> Response:
        """The file that `wattbook audit` checks, up to the last checkpoint; for auditors and operators."""
        desk.principal(request, "auditor", "operator")
        folder = tempfile.TemporaryDirectory()
        file = Path(folder.name) / "export.ndjson.gz"
        await asyncio.to_thread(_export, path, file)
        return FileResponse(file, media_type="application/gzip", background=BackgroundTask(folder.cleanup))


# -- in a thread -----------------------------------------------------------------------------------------------------


def _entries(ledger: Ledger, first: int, size: int) -> Iterator[Entry]:
    """At most READ entries, read a few at a time."""
    for rows, _ in ledger.pages(first, min(4 * size, READ)):
        for seq, body, _ in rows:
            if seq >= first + READ:
                return
            yield decode(body)


def _page(path: str | Path, first: int, limit: int, items: Callable[[Ledger, Entry], Items]) -> dict[str, Any]:
    """All that whole entries tell; the last one may bring some items more than the limit."""
    found: Items = []
    following = first
    with Ledger.open(path) as ledger:
        for entry in _entries(ledger, first, limit):
            found += items(ledger, entry)
            following = entry.seq + 1
            if len(found) >= limit:
                break
    return {"items": found, "next": following}


def _tape(_: Ledger, entry: Entry) -> Items:
    return [
        {
            "trade": f"{entry.seq}.{place}", "slot": event.slot, "price": event.price, "quantity": event.quantity,
            "source": event.source,
        }
        for place, event in enumerate(entry.events)
        if isinstance(event, Traded)
    ]  # fmt: skip


def _limits(_: Ledger, entry: Entry) -> Items:
    return [{"seq": entry.seq} | _limit(event) for event in entry.events if isinstance(event, Limited)]


def _limit(event: Limited) -> dict[str, Any]:
    return {"constraint": event.constraint, "wanted": event.wanted, "admitted": event.admitted}


def _settled_of(name: str) -> Callable[[Ledger, Entry], Items]:
    def settled(ledger: Ledger, entry: Entry) -> Items:
        settings = ledger.meta().market
        if settings is None:
            return []
        return [
            {"seq": entry.seq, "slot": event.slot, "run": getattr(event, "run", 1)} | line._asdict()
            for event in entry.events
            if isinstance(event, Settled | Corrected)
            for line in _statements(event, event.prices or tariff(settings, event.slot), settings.utility)
            if line.participant == name
        ]

    return settled


def _statements(event: Settled | Corrected, prices: Prices, utility: str) -> list[Statement]:
    """Lines of a settlement or, of a correction, what it changes."""
    return (settle if isinstance(event, Settled) else correct)(event.lines, prices, utility)


class _Owners:
    """Whose an order is, by the entry that made it."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def of(self, ledger: Ledger, order: int) -> str:
        found = self._known.get(order)
        if found is None:
            rows, _ = next(ledger.pages(order, 1), ([], []))
            entry = decode(rows[0][1]) if rows else None
            command = None if entry is None or entry.seq != order else entry.command
            found = command.participant if isinstance(command, Submit | Basket) else ""
            if len(self._known) >= OWNERS:
                self._known.clear()
            self._known[order] = found
        return found


def _mine(ledger: Ledger, entry: Entry, name: str, owners: _Owners) -> Iterator[dict[str, Any]]:
    """What an entry tells a participant of its orders, as the channel `orders` does."""
    command = entry.command
    own = isinstance(command, Submit | Amend | Cancel | MassCancel | Basket) and command.participant == name
    for place, event in enumerate(entry.events):
        match event:
            case Accepted(order) if own and order == entry.seq:
                yield {"type": "accepted", "order": order} | (_wanted(command) if isinstance(command, Submit) else {})
            case Rejected(code, reason, field) if own:
                yield {"type": "rejected", "code": code, "reason": reason, "field": field}
            case Traded():
                for side, who, order in (
                    ("buy", event.buyer, event.buy_order),
                    ("sell", event.seller, event.sell_order),
                ):
                    if who == name:
                        told = {"slot": event.slot, "price": event.price, "quantity": event.quantity}
                        yield {"type": "trade", "trade": f"{entry.seq}.{place}", "side": side, "order": order} | told
            case Amended() | Cancelled() | Expired() | Limited() if owners.of(ledger, event.order) == name:
                yield _told(event)
            case _:
                pass


def _wanted(command: Submit) -> dict[str, Any]:
    return {
        "slot": command.slot, "side": command.side, "price": command.price, "quantity": command.quantity,
        "client_order_id": command.client_order_id,
    }  # fmt: skip


def _told(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(event)
    found.pop("resting", None)
    return found


def _log(path: str | Path, first: int, limit: int) -> dict[str, Any]:
    with Ledger.open(path) as ledger:
        notes, keys = ledger.checkpoints(first)[:limit], ledger.keys()
        return {"keys": [row.key for row in keys], "checkpoints": [{"size": n, "note": t} for n, t in notes]}


def _bodies(path: str | Path, first: int, limit: int) -> dict[str, Any]:
    with Ledger.open(path) as ledger:
        rows, _ = next(ledger.pages(first, limit), ([], []))
    items = [{"seq": seq, "body": body.decode()} for seq, body, _ in rows]
    return {"items": items, "next": rows[-1][0] + 1 if rows else first}


def _export(path: str | Path, file: Path) -> None:
    with Ledger.open(path) as ledger:
        export(ledger, file)


def _receipt(path: str | Path, principal: Principal, trade: str) -> str:
    """Raises RefusedError if there is no such trade, or it is none of the principal's."""
    seq, _, place = trade.partition(".")
    numbers = seq.isascii() and seq.isdecimal() and len(seq) < 16 and place.isascii() and place.isdecimal()
    with Ledger.open(path) as ledger:
        rows, _ = next(ledger.pages(int(seq), 1), ([], [])) if numbers and len(place) < 9 else ([], [])
        entry = decode(rows[0][1]) if rows else None
        events = [] if entry is None or str(entry.seq) != seq else list(entry.events)
        event = events[int(place)] if events and int(place) < len(events) else None
        if not isinstance(event, Traded):
            raise RefusedError("NO_SUCH_THING", f"there is no trade {trade!r:.40}", "trade")
        if principal.role == "participant" and principal.participant not in (event.buyer, event.seller):
            raise RefusedError("FORBIDDEN", f"trade {trade} is not yours", "trade")
        try:
            return make(ledger, int(seq))
        except LedgerError as error:
            raise RefusedError("NOT_SIGNED_YET", str(error), "trade") from error
