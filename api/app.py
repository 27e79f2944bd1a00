"""The web application: websocket, REST and pages on one port, around one running market."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api.dashboard import asset
from api.gateway import RefusedError
from api.rest import Rest, refused
from api.runtime import StoppedError
from api.server import Server
from api.stream import Session
from api.version import version


def create(server: Server, failed: Callable[[BaseException], None]) -> FastAPI:
    """The application of a server; the market runs as long as it. `failed` is told why the market broke, if it did."""

    def ended(market: asyncio.Task[None]) -> None:
        error = None if market.cancelled() else market.exception()
        if error is not None:
            server.close()
            failed(error)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        market = asyncio.create_task(server.engine.run())
        market.add_done_callback(ended)
        ready = asyncio.create_task(server.engine.ready.wait())
        watch = asyncio.create_task(server.watch())
        try:
            await asyncio.wait((market, ready), return_when=asyncio.FIRST_COMPLETED)
            yield
        finally:
            await server.farewell()
            for task in (ready, watch):
                task.cancel()
            await asyncio.gather(market, ready, watch, return_exceptions=True)

    app = FastAPI(title="Wattbook", version=version(), lifespan=lifespan)

    app.include_router(Rest(server).router)

    @app.exception_handler(RefusedError)
    async def refuse(_: Request, error: RefusedError) -> Response:
        return refused(error)

    @app.exception_handler(StoppedError)
    async def stopped(_: Request, error: StoppedError) -> Response:
        return refused(RefusedError("STOPPED", str(error)))

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return refused(RefusedError("BAD_FRAME", first["msg"], ".".join(map(str, first["loc"][1:]))))

    @app.exception_handler(HTTPException)
    async def nowhere(_: Request, error: HTTPException) -> Response:
        return refused(RefusedError("NO_SUCH_THING", f"{error.detail}; GET /docs lists what there is"))

    @app.get("/health")
    async def health() -> dict[str, object]:
        """Whether the market runs, its time, and the number of the last entry of its journal."""
        projection = server.engine.hub.projection
        return {"status": "ended" if server.engine.ended else "running", "time": projection.now, "seq": projection.seq}

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return asset("index.html")

    @app.get("/dashboard/{name}", include_in_schema=False)
    async def part(name: str) -> Response:
        return asset(name)

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await Session(server, socket).serve()

    return app
