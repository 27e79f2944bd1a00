"""The same operations over HTTP, and what has happened so far, page by page.

Bodies are the frames of the stream without `op` and `id`; answers are those of the stream. Whatever is wrong is
answered by ``{code, reason, field}`` with the codes of the stream and of the exchange.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import gateway, schemas
from api.auth import Principal
from api.gateway import RefusedError
from api.report_layout import places
from api.server import Server
from market.events import Entry, Traded
from market.ledger import LedgerError
from market.receipt import make
from market.store import Ledger

PAGE = 1_000
"""Most items of one answer."""
STATUS = {
    "NOT_AUTHENTICATED": 401, "BAD_TOKEN": 401, "FORBIDDEN": 403, "NO_SUCH_THING": 404, "FRAME_TOO_LARGE": 413,
    "RATE_LIMITED": 429, "STOPPED": 503,
}  # fmt: skip
"""HTTP status of a code; 400 of all others."""

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode


def answered(value: object, status: int = 200) -> Response:
    """Anything that msgspec can encode, as JSON."""
    return Response(_encode(value), status, media_type="application/json")


def refused(error: RefusedError) -> Response:
    """An error as JSON under its status."""
    body = {"code": error.code, "reason": error.reason, "field": error.field}
    headers = {"WWW-Authenticate": "Bearer"} if STATUS.get(error.code) == 401 else None
    return Response(_encode(body), STATUS.get(error.code, 400), headers, "application/json")


class Rest:
    """The routes of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._hub = server.engine.hub
        self.router = APIRouter(prefix="/v1")
        self._public()
        self._private()

    # -- routes ----------------------------------------------------------------------------------------------------

    def _public(self) -> None:
        get = self.router.get

        @get("/market", tags=["market"])
        async def market() -> Response:
            """The rules, the open slots and every halt."""
            return answered(self._hub.projection.market())

        @get("/slots/{slot}/book", tags=["market"])
        async def book(slot: int) -> Response:
            """Levels of price of an open slot: bids and asks as [price, Wh], best first."""
            if slot not in self._hub.projection.open:
                raise RefusedError("NO_SUCH_THING", f"slot {slot} does not trade; GET /v1/market has those", "slot")
            bids, asks = self._server.engine.model.exchange.depth(slot)
            return answered({"slot": slot, "bids": bids, "asks": asks})

        @get("/trades", tags=["history"])
        async def trades(from_seq: int = 1, limit: int = 100) -> Response:
            """Trades from a line of the journal on, oldest first; `next` is the `from_seq` of the next page."""
            return answered(await self._trades(from_seq, limit))

        @get("/feeder", tags=["grid"])
        async def feeder() -> Response:
            """The feeder: where its buses are drawn, its branches, and the voltage band [pu]."""
            return answered(_feeder(self._server))

        @get("/grid", tags=["grid"])
        async def grid() -> Response:
            """State of the grid in the last slot whose gate has closed."""
            return answered(self._server.engine.grid())

    def _private(self) -> None:
        router = self.router

        @router.get("/orders", tags=["orders"])
        async def orders(request: Request) -> Response:
            """Own resting orders."""
            return answered(self._hub.projection.own_orders(self._participant(request).participant))

        @router.post("/orders", tags=["orders"])
        async def submit(request: Request) -> Response:
            """One or several orders; a result for each."""
            return await self._carry_out(request, await _body(request, schemas.Submit))

        @router.patch("/orders", tags=["orders"])
        async def amend(request: Request) -> Response:
            """Other prices or quantities for resting orders."""
            return await self._carry_out(request, await _body(request, schemas.Amend))

        @router.delete("/orders/{order}", tags=["orders"])
        async def cancel(request: Request, order: int) -> Response:
            """Take out one order."""
            return await self._carry_out(request, schemas.Cancel([order]))

        @router.delete("/orders", tags=["orders"])
        async def mass_cancel(request: Request, slot: int | None = None) -> Response:
            """Take out all own orders, of one slot or of all."""
            return await self._carry_out(request, schemas.MassCancel(slot))

        @router.post("/baskets", tags=["orders"])
        async def basket(request: Request) -> Response:
            """Linked orders: all are filled in full at once, or none is."""
            return await self._carry_out(request, await _body(request, schemas.Basket))

        @router.post("/halts", tags=["operation"])
        async def halt(request: Request) -> Response:
            """The kill switch."""
            return await self._carry_out(request, await _body(request, schemas.Halt))

        @router.post("/releases", tags=["operation"])
        async def release(request: Request) -> Response:
            """Lift a halt."""
            return await self._carry_out(request, await _body(request, schemas.Release))

        @router.get("/account", tags=["account"])
        async def account(request: Request) -> Response:
            """Own balances, contracts and forecast."""
            name = self._participant(request).participant
            return answered(self._hub.projection.account(name) | self._server.engine.forecast(name))

        @router.get("/trades/{trade}/receipt", tags=["history"])
        async def receipt(request: Request, trade: str) -> Response:
            """The receipt of a trade: its entry of the journal, and the proof that the signed log holds it."""
            text = await asyncio.to_thread(_receipt, self._server.ledger, self._principal(request), trade)
            return Response(text, media_type="text/plain; charset=utf-8")

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _principal(self, request: Request) -> Principal:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise RefusedError("NOT_AUTHENTICATED", "send the header Authorization: Bearer TOKEN", "authorization")
        principal = self._server.principal(token.strip())
        if principal is None:
            raise RefusedError("BAD_TOKEN", "the token is unknown or was revoked", "authorization")
        return principal

    def _participant(self, request: Request) -> Principal:
        principal = self._principal(request)
        if principal.role != "participant":
            raise RefusedError("FORBIDDEN", f"the role {principal.role} has no orders and no account", "authorization")
        return principal

    async def _carry_out(self, request: Request, wanted: gateway.Request) -> Response:
        principal = self._principal(request)
        allowance = self._server.allowance(principal)
        allowance.frame(int(request.headers.get("content-length", 0)))
        answers = self._server.submit(principal, wanted, allowance)
        entries = await answers if answers is not None else []
        return answered({"results": gateway.results(entries, self._hub.projection)})

    async def _trades(self, first: int, limit: int) -> dict[str, Any]:
        """A page of trades out of the ledger, which may be long."""
        if first < 1 or not 1 <= limit <= PAGE:
            raise RefusedError("BAD_FRAME", f"from_seq must be at least 1, limit from 1 to {PAGE}", "limit")
        return await asyncio.to_thread(_page, self._server.ledger, first, limit)


def _page(path: str | Path, first: int, limit: int) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    last = first - 1
    with Ledger.open(path) as ledger:
        for entry in ledger.entries(first):
            found += _tape(entry)
            last = entry.seq
            if len(found) >= limit:
                break
    return {"items": found, "next": last + 1}


def _tape(entry: Entry) -> list[dict[str, Any]]:
    return [
        {
            "trade": f"{entry.seq}.{place}", "slot": event.slot, "price": event.price, "quantity": event.quantity,
            "source": event.source,
        }
        for place, event in enumerate(entry.events)
        if isinstance(event, Traded)
    ]  # fmt: skip


async def _body(request: Request, kind: type[T]) -> T:
    """The body as a frame of the stream; raises RefusedError for what is none."""
    try:
        return msgspec.convert({**msgspec.json.decode(await request.body())}, kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError) as error:
        raise RefusedError("BAD_FRAME", str(error)) from error


def _feeder(server: Server) -> dict[str, Any]:
    feeder, settings = server.engine.model.population.feeder, server.engine.model.exchange.settings
    at = places(feeder)
    ids, buses = [*feeder.line_ids, *feeder.transformer_ids], feeder.bus_ids
    near = [*feeder.line_from.tolist(), *feeder.transformer_from.tolist()]
    far = [*feeder.line_to.tolist(), *feeder.transformer_to.tolist()]
    return {
        "name": feeder.name, "buses": buses, "x": at.x.round(4).tolist(), "y": at.y.round(4).tolist(),
        "band": [settings.voltage_min_ppm / 1e6, settings.voltage_max_ppm / 1e6],
        "branches": [
            {"id": name, "from": buses[a], "to": buses[b]} for name, a, b in zip(ids, near, far, strict=True)
        ],
    }  # fmt: skip


def _receipt(path: str | Path, principal: Principal, trade: str) -> str:
    """Raises RefusedError if there is no such trade, or it is none of the principal's."""
    seq, _, place = trade.partition(".")
    with Ledger.open(path) as ledger:
        entry = next(ledger.entries(int(seq)), None) if seq.isdecimal() and len(seq) < 19 else None
        events = [] if entry is None or str(entry.seq) != seq else list(entry.events)
        event = events[int(place)] if place.isdecimal() and len(place) < 9 and int(place) < len(events) else None
        if not isinstance(event, Traded):
            raise RefusedError("NO_SUCH_THING", f"there is no trade {trade!r:.40}", "trade")
        if principal.role == "participant" and principal.participant not in (event.buyer, event.seller):
            raise RefusedError("FORBIDDEN", f"trade {trade} is not yours", "trade")
        try:
            return make(ledger, int(seq))
        except LedgerError as error:
            raise RefusedError("NOT_SIGNED_YET", str(error), "trade") from error
