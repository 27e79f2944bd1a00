"""The same operations over HTTP as over the stream.

Bodies are the frames of the stream without `op` and `id`; answers are those of the stream. Whatever is wrong is
answered by ``{code, reason, field}`` with the codes of the stream and of the exchange.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import answers, messages, schemas
from api.envelopes import Envelopes
from api.gateway import RefusedError
from api.http import Desk, answered, says
from api.report_layout import places
from api.server import Server


def router(server: Server) -> APIRouter:
    """Routes of the market as it is now, and of trading."""
    found = APIRouter(prefix="/v1")
    _public(found, server)
    _trading(found, Desk(server))
    _account(found, Desk(server))
    return found


def _public(router: APIRouter, server: Server) -> None:
    projection = server.engine.hub.projection

    @router.get("/market", tags=["market"], openapi_extra=says(messages.MarketState, private=False))
    async def market() -> Response:
        """The rules, the open slots and every halt."""
        return answered(projection.market())

    @router.get("/slots/{slot}/book", tags=["market"], openapi_extra=says(answers.BookState, private=False))
    async def book(slot: int) -> Response:
        """Levels of price of an open slot: bids and asks as [price, Wh], best first."""
        if slot not in projection.open:
            raise RefusedError("NO_SUCH_THING", f"slot {slot} does not trade; GET /v1/market has those", "slot")
        bids, asks = projection.depth(slot)
        return answered({"slot": slot, "bids": bids, "asks": asks})

    @router.get("/feeder", tags=["grid"], openapi_extra=says(answers.FeederDrawing, private=False))
    async def feeder() -> Response:
        """The feeder: where its buses are drawn, its branches, and the voltage band [pu]."""
        return answered(_feeder(server))

    @router.get("/grid", tags=["grid"], openapi_extra=says(messages.GridState, private=False))
    async def grid() -> Response:
        """State of the grid in the last slot whose gate has closed."""
        return answered(server.engine.grid())


def _trading(router: APIRouter, desk: Desk) -> None:
    @router.post("/orders", tags=["orders"], openapi_extra=says(answers.Results, schemas.Submit))
    async def submit(request: Request) -> Response:
        """One or several orders; a result for each."""
        principal = desk.principal(request)
        return await desk.carry_out(principal, await desk.body(request, schemas.Submit))

    @router.patch("/orders", tags=["orders"], openapi_extra=says(answers.Results, schemas.Amend))
    async def amend(request: Request) -> Response:
        """Other prices or quantities for resting orders."""
        principal = desk.principal(request)
        return await desk.carry_out(principal, await desk.body(request, schemas.Amend))

    @router.delete("/orders/{order}", tags=["orders"], openapi_extra=says(answers.Results))
    async def cancel(request: Request, order: int) -> Response:
        """Take out one order."""
        return await desk.carry_out(desk.principal(request), desk.addressed(schemas.Cancel, orders=[order]))

    @router.delete("/orders", tags=["orders"], openapi_extra=says(answers.Results))
    async def mass_cancel(request: Request, slot: int | None = None) -> Response:
        """Take out all own orders, of one slot or of all."""
        return await desk.carry_out(desk.principal(request), desk.addressed(schemas.MassCancel, slot=slot))

    @router.post("/baskets", tags=["orders"], openapi_extra=says(answers.Results, schemas.Basket))
    async def basket(request: Request) -> Response:
        """Linked orders: all are filled in full at once, or none is."""
        principal = desk.principal(request)
        return await desk.carry_out(principal, await desk.body(request, schemas.Basket))

    @router.post("/halts", tags=["operation"], openapi_extra=says(answers.Results, schemas.Halt))
    async def halt(request: Request) -> Response:
        """The kill switch: of an operator for any scope, of a participant for itself."""
        principal = desk.principal(request)
        return await desk.carry_out(principal, await desk.body(request, schemas.Halt))

    @router.post("/releases", tags=["operation"], openapi_extra=says(answers.Results, schemas.Release))
    async def release(request: Request) -> Response:
        """Lift a halt."""
        principal = desk.principal(request)
        return await desk.carry_out(principal, await desk.body(request, schemas.Release))


def _account(router: APIRouter, desk: Desk) -> None:
    engine = desk.server.engine
    envelopes = Envelopes(engine.model)

    @router.get("/orders", tags=["orders"], openapi_extra=says(answers.OwnOrders))
    async def orders(request: Request) -> Response:
        """Own resting orders."""
        return answered(engine.hub.projection.own_orders(desk.participant(request)))

    @router.get("/account", tags=["account"], openapi_extra=says(messages.Account))
    async def account(request: Request) -> Response:
        """Own balances, contracts and forecast."""
        name = desk.participant(request)
        return answered(engine.hub.projection.account(name) | engine.forecast(name))

    @router.get("/envelopes", tags=["grid"], openapi_extra=says(answers.Envelopes))
    async def envelope(request: Request) -> Response:
        """What the own connection may inject in each open slot whatever the others do [Wh]."""
        name = desk.participant(request)
        slots = sorted(engine.hub.projection.open)
        return answered(await asyncio.to_thread(envelopes.of, name, slots))


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
