"""Routes of the operator: who takes part, what meters read, who may connect."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import answers, messages
from api.gateway import RefusedError
from api.http import Desk, answered, says
from market.orders import RecordMeter, Register, Settle

OPERATION = "operation"
NOTICE = 500
"""Most characters of a notice."""


def router(desk: Desk) -> APIRouter:
    """All of them; what changes the market goes through the engine and into the journal."""
    found = APIRouter(prefix="/v1")
    _market(found, desk)
    _tokens(found, desk)
    return found


def _market(router: APIRouter, desk: Desk) -> None:
    exchange = desk.server.engine.model.exchange

    @router.get("/participants", tags=[OPERATION], openapi_extra=says(answers.Participants))
    async def participants(request: Request) -> Response:
        """Who takes part, and where; for operators and auditors."""
        desk.principal(request, "operator", "auditor")
        places = list(exchange.gate.connections())
        items = [{"participant": name, "connection": places[at]} for name, at in exchange.participants.items()]
        return answered({"items": items})

    @router.post("/participants", tags=[OPERATION], openapi_extra=says(answers.Results, answers.Participant))
    async def register(request: Request) -> Response:
        """Let somebody take part, at a connection of the feeder that is free."""
        desk.principal(request, "operator")
        wanted = await desk.body(request, answers.Participant)
        return await desk.administer(Register(wanted.participant, wanted.connection))

    @router.post("/meters", tags=[OPERATION], openapi_extra=says(answers.Results, answers.Readings))
    async def meters(request: Request) -> Response:
        """Readings of a slot. Of a settled one they count in its next correction."""
        desk.principal(request, "operator")
        wanted = await desk.body(request, answers.Readings)
        return await desk.administer(RecordMeter(wanted.slot, wanted.readings))

    @router.post("/corrections", tags=[OPERATION], openapi_extra=says(answers.Results, answers.Correction))
    async def correct(request: Request) -> Response:
        """Settle a settled slot again, with the readings that have come since; what changes is posted."""
        desk.principal(request, "operator")
        wanted = await desk.body(request, answers.Correction)
        if not exchange.is_settled(wanted.slot):
            raise RefusedError("NO_SUCH_THING", f"slot {wanted.slot} is not settled; the market settles it", "slot")
        return await desk.administer(Settle(wanted.slot))

    @router.post("/notices", tags=[OPERATION], openapi_extra=says(messages.Notice, answers.NewNotice))
    async def notice(request: Request) -> Response:
        """Let everybody know something: it goes to the channel `system`, and is not kept in the journal."""
        desk.principal(request, "operator")
        text = (await desk.body(request, answers.NewNotice)).text.strip()
        if not 0 < len(text) <= NOTICE:
            raise RefusedError("BAD_FRAME", f"a notice has from 1 to {NOTICE} characters, got {len(text)}", "text")
        hub = desk.server.engine.hub
        item = messages.Notice(text, hub.projection.now)
        hub.announce("system", item)
        return answered(item)


def _tokens(router: APIRouter, desk: Desk) -> None:
    server = desk.server

    @router.get("/tokens", tags=[OPERATION], openapi_extra=says(answers.TokenList))
    async def tokens(request: Request) -> Response:
        """All tokens that were ever given out, by their marks."""
        desk.principal(request, "operator")
        found = await asyncio.to_thread(server.tokens.all)
        lines = [answers.TokenLine(t.mark, t.participant, t.role, t.created, t.revoked) for t in found]
        return answered({"items": lines})

    @router.post("/tokens", tags=[OPERATION], openapi_extra=says(answers.IssuedToken, answers.NewToken))
    async def issue(request: Request) -> Response:
        """A new token, shown once."""
        desk.principal(request, "operator")
        wanted = await desk.body(request, answers.NewToken)
        if wanted.role == "participant" and wanted.name not in server.engine.model.exchange.participants:
            raise RefusedError("NO_SUCH_THING", f"{wanted.name!r:.80} takes no part; POST /v1/participants", "name")
        return answered({"token": await asyncio.to_thread(server.tokens.issue, wanted.role, wanted.name)})

    @router.delete("/tokens/{name}", tags=[OPERATION], openapi_extra=says(answers.Revoked))
    async def revoke(request: Request, name: str, mark: str | None = None) -> Response:
        """Take back all tokens of somebody, or the one with this mark; connections that they opened are closed."""
        desk.principal(request, "operator")
        count = await asyncio.to_thread(server.tokens.revoke, name, mark)
        server.sweep(await asyncio.to_thread(server.tokens.valid))
        return answered({"revoked": count})
