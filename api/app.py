"""The web application: websocket, REST and pages on one port, around one running market."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api import docs_page, history, office, rest
from api.answers import Health
from api.dashboard import asset
from api.gateway import RefusedError
from api.guard import Guard
from api.http import Desk, answered, refused, says
from api.metrics import KIND
from api.openapi import asyncapi, openapi
from api.runtime import StoppedError
from api.server import Server
from api.stream import Session


def create(server: Server, failed: Callable[[BaseException], None], origins: Collection[str] = ()) -> FastAPI:
    """The application of a server; the market runs as long as it. `failed` is told why the market broke, if it did.

    `origins` are those of other hosts' pages that may open a websocket.
    """

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

    app = FastAPI(title="Wattbook", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, limits=server.limits, origins=origins)
    desk = Desk(server)
    for router in (history.router(desk), rest.router(server), office.router(desk)):
        app.include_router(router)
    _refusals(app, server)
    _pages(app, server)

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await Session(server, socket).serve()

    return app


def _refusals(app: FastAPI, server: Server) -> None:
    """Whatever goes wrong is answered in one form."""

    def counted(error: RefusedError) -> Response:
        server.metrics.refusals[error.code] += 1
        return refused(error)

    @app.exception_handler(RefusedError)
    async def refuse(_: Request, error: RefusedError) -> Response:
        return counted(error)

    @app.exception_handler(StoppedError)
    async def stopped(_: Request, error: StoppedError) -> Response:
        return counted(RefusedError("STOPPED", str(error)))

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return counted(RefusedError("BAD_FRAME", first["msg"], ".".join(map(str, first["loc"][1:]))))

    @app.exception_handler(HTTPException)
    async def nowhere(_: Request, error: HTTPException) -> Response:
        code = "NOT_ALLOWED" if error.status_code == 405 else "NO_SUCH_THING"
        answer = counted(RefusedError(code, f"{error.detail}; GET /docs lists what there is"))
        for name, value in (error.headers or {}).items():
            answer.headers[name] = value
        return answer


def _pages(app: FastAPI, server: Server) -> None:
    """What is beside the market: health, metrics, documents, the dashboard."""

    @app.get("/health", tags=["operation"], openapi_extra=says(Health, private=False))
    async def health() -> Response:
        """Whether the market runs, its time, and the number of the last entry of its journal."""
        projection, status = server.engine.hub.projection, "ended" if server.engine.ended else "running"
        return answered({"status": status, "time": projection.now, "seq": projection.seq})

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(server.metrics.text(server), media_type=KIND)

    @app.get("/openapi.json", include_in_schema=False)
    async def http_document() -> Response:
        return answered(openapi(app))

    @app.get("/asyncapi.json", include_in_schema=False)
    async def stream_document() -> Response:
        return answered(asyncapi())

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(docs_page.page(openapi(app), asyncapi()), media_type="text/html")

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return asset("index.html")

    @app.get("/dashboard/{name}", include_in_schema=False)
    async def part(name: str) -> Response:
        return asset(name)
