"""Servers in processes of their own for benchmarks of the live market, and what they cost."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import uvicorn
from fastapi import FastAPI, WebSocket

from agents import MarketModel
from api.app import create
from api.auth import Tokens
from api.live import LOOP, Door, Web, opened
from api.runtime import Engine
from api.schemas import Limits
from api.server import Server
from scenarios import load

PLENTY = Limits(
    orders_per_second=1e9, orders_burst=10**9, frames_per_second=1e9, frames_burst=10**9, cancels_per_second=1e9,
    cancels_burst=10**9, connections_per_token=10**6, connections_per_address=10**6,
)  # fmt: skip
BEAT = 0.1
"""Time between two frames of the bare broadcast [s], as of the market's book."""


def market() -> MarketModel:
    return MarketModel(load("village").changed(**{"time.days": None, "time.slots": 16, "output.compare": []}))


def serve_market(folder: str, say: Connection) -> None:
    """A market at the speed of real time, until the process is ended; tells its port and tokens."""
    model, path = market(), Path(folder) / "ledger.db"
    with opened(model, path) as ledger, closing(Tokens(path)) as tokens:
        server = Server(Engine(model, ledger, 1.0, ledger.entries()), tokens, path, limits=PLENTY)
        given = [tokens.issue("participant", name) for name in model.population.ids[:2]]
        web = Web(create(server, lambda _: None), server, Door("127.0.0.1", 0), lambda port: say.send((port, given)))
        web.run()


def serve_echo(_: str, say: Connection) -> None:
    """Every frame back to who sent it; who says `tell N` hears N bytes ten times a second, as all who said so.

    FastAPI on uvicorn, as the market's server, and nothing else.
    """
    app = FastAPI()
    told: dict[WebSocket, str] = {}
    tasks: set[asyncio.Task[None]] = set()

    async def broadcast() -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += BEAT
            await asyncio.sleep(max(0.0, due - loop.time()))
            for socket, data in [*told.items()]:
                await socket.send_text(data)

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        try:
            async for text in socket.iter_text():
                if not text.startswith("tell "):
                    await socket.send_text(text)
                    continue
                if not tasks:
                    tasks.add(asyncio.create_task(broadcast()))
                told[socket] = "x" * int(text[5:])
        finally:
            told.pop(socket, None)

    config = uvicorn.Config(
        app, port=0, log_level="critical", ws="websockets-sansio", ws_per_message_deflate=False, loop=LOOP
    )
    web = uvicorn.Server(config)

    async def main() -> None:
        task = asyncio.create_task(web.serve())
        while not web.started:
            await asyncio.sleep(0.01)
        say.send((web.servers[0].sockets[0].getsockname()[1], ["", ""]))
        await task

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(main())


class Place(NamedTuple):
    """A server that runs."""

    port: int
    tokens: list[str]
    """Of two participants; empty of the echo server."""
    pid: int

    def cpu(self) -> float:
        """CPU seconds so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mib(self) -> float:
        """Memory in RAM."""
        pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * resource.getpagesize() / 2**20


@contextmanager
def started(serve: Callable[[str, Connection], None], folder: str) -> Iterator[Place]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(folder, there), daemon=True)
    process.start()
    try:
        if not here.poll(180):
            raise TimeoutError("the server did not start")
        port, tokens = here.recv()
        assert process.pid is not None
        yield Place(port, tokens, process.pid)
    finally:
        process.kill()
        process.join()
