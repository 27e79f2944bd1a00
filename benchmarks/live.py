"""How fast the live market answers orders and tells its book, against a bare echo server on the same stack.

    python benchmarks/live.py --orders 4000 --seconds 5 --json out.json

Servers run in processes of their own, all on this machine. Orders are immediate bids that nobody meets, so that the
book stays as it is; an answer means that the order is on the disk. The echo server has the same web stack and sends
every frame back. Figures are wall time; each is also given as a ratio to the echo server's in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import uvicorn
from fastapi import FastAPI, WebSocket
from websockets.asyncio.client import ClientConnection, connect

from agents import MarketModel
from api import gateway
from api.app import create
from api.auth import Tokens
from api.live import Door, Web, opened
from api.projection import Projection
from api.runtime import Engine
from api.schemas import Answer, ClientFrame, Limits, Submit
from api.server import Server
from market.store import Ledger
from scenarios import load

PLENTY = Limits(
    orders_per_second=1e9, orders_burst=10**9, frames_per_second=1e9, frames_burst=10**9, cancels_per_second=1e9,
    cancels_burst=10**9,
)  # fmt: skip
WINDOW = 32
"""Requests of one client that wait for an answer, where it sends on without waiting for each."""
GROUP = 100
"""Orders that share a commit, where the engine is measured alone."""
SYNCS = 100


class Rate(NamedTuple):
    """Answered requests."""

    per_second: float
    p50_ms: float
    p99_ms: float


def market() -> MarketModel:
    return MarketModel(load("village").changed(**{"time.days": None, "time.slots": 16, "output.compare": []}))


# -- servers ---------------------------------------------------------------------------------------------------------


def serve_market(folder: str, say: Connection) -> None:
    """A market at the speed of real time, until the process is ended; tells its port and tokens."""
    model, path = market(), Path(folder) / "ledger.db"
    with opened(model, path) as ledger, closing(Tokens(path)) as tokens:
        server = Server(Engine(model, ledger, 1.0, ledger.entries()), tokens, path, limits=PLENTY)
        given = [tokens.issue("participant", name) for name in model.population.ids[:2]]
        web = Web(create(server, lambda _: None), server, Door("127.0.0.1", 0), lambda port: say.send((port, given)))
        web.run()


def serve_echo(_: str, say: Connection) -> None:
    """Every frame back to who sent it; after `tell N` the bytes N ten times a second."""
    app = FastAPI()

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        while True:
            text = await socket.receive_text()
            if text.startswith("tell "):
                data = "x" * int(text[5:])
                while True:
                    await asyncio.sleep(0.1)
                    await socket.send_text(data)
            await socket.send_text(text)

    config = uvicorn.Config(app, port=0, log_level="critical", ws="websockets-sansio", ws_per_message_deflate=False)
    web = uvicorn.Server(config)

    async def main() -> None:
        task = asyncio.create_task(web.serve())
        while not web.started:
            await asyncio.sleep(0.01)
        say.send((web.servers[0].sockets[0].getsockname()[1], ["", ""]))
        await task

    asyncio.run(main())


class Place(NamedTuple):
    """A server that runs."""

    url: str
    tokens: list[str]
    pid: int


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
        yield Place(f"ws://127.0.0.1:{port}/v1/stream", tokens, process.pid)
    finally:
        process.kill()
        process.join()


def cpu(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Memory of a process in RAM."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 2**20


# -- orders ----------------------------------------------------------------------------------------------------------


async def join(place: Place, channels: list[str]) -> tuple[ClientConnection, int]:
    """A connection that has said who it is, and the slot that closes last; of the echo server slot 0."""
    socket = await connect(place.url, max_size=None, compression=None, ping_interval=None)
    if not place.tokens[0]:
        return socket, 0
    await socket.send(json.dumps({"op": "auth", "token": place.tokens[0], "cancel_on_disconnect": False}))
    await socket.send(json.dumps({"op": "subscribe", "channels": ["market"]}))
    slot = 0
    while not slot:
        frame = json.loads(await socket.recv())
        for message in frame if isinstance(frame, list) else [frame]:
            if message.get("ch") == "market":
                slot = message["slots"][-1]["slot"]
    await socket.send(json.dumps({"op": "unsubscribe", "channels": ["market"]}))
    if channels:
        await socket.send(json.dumps({"op": "subscribe", "channels": channels}))
    return socket, slot


def order(slot: int) -> str:
    line = {"slot": slot, "side": "buy", "price": 1_000, "quantity": 500, "time_in_force": "ioc"}
    return json.dumps({"op": "submit", "orders": [line], "id": "1"})


async def ask(socket: ClientConnection, text: str, count: int, window: int, took: list[float]) -> None:
    """Send `count` requests, at most `window` unanswered; note how long each answer took [s]."""
    sent: list[float] = []
    answered = 0
    while answered < count:
        while len(sent) < count and len(sent) - answered < window:
            sent.append(time.perf_counter())
            await socket.send(text)
        data = await socket.recv(decode=False)
        now = time.perf_counter()
        for _ in range(data.count(b'"op":"answer"') + data.count(b'"op": "submit"')):
            took.append(now - sent[answered])
            answered += 1


async def orders(place: Place, clients: int, window: int, count: int) -> Rate:
    joined = [await join(place, []) for _ in range(clients)]
    took: list[float] = []
    text = order(joined[0][1])
    begun = time.perf_counter()
    await asyncio.gather(*(ask(socket, text, count // clients, window, took) for socket, _ in joined))
    passed = time.perf_counter() - begun
    await asyncio.gather(*(socket.close() for socket, _ in joined))
    p50, p99 = np.percentile(took, [50, 99]) * 1000
    return Rate(len(took) / passed, float(p50), float(p99))


def engine_alone(folder: Path, count: int) -> Rate:
    """JSON in, decode, exchange, journal, commit of `GROUP`, JSON out; no network."""
    model = market()
    moments = model.play()
    next(moments)
    next(moments)
    slot = max(model.desk.open)
    text, name = order(slot).encode(), model.population.ids[0]
    decode, encode = msgspec.json.Decoder(ClientFrame).decode, msgspec.json.Encoder().encode
    projection, took = Projection(), []
    with Ledger.create(folder / "alone.db") as ledger:
        past = model.drain()
        ledger.append(past)
        for entry in past:
            projection.take(entry)
        begun = time.perf_counter()
        for _ in range(count // GROUP):
            start = time.perf_counter()
            frames = [decode(text) for _ in range(GROUP)]
            commands = [
                found for frame in frames if isinstance(frame, Submit) for found in gateway.commands(frame, name)
            ]
            entries = model.visit(model.exchange.now or 0, commands)
            ledger.append(model.drain())
            for entry in entries:
                projection.take(entry)
                encode(Answer("1", gateway.results([entry], projection)))
            took.append(time.perf_counter() - start)
        passed = time.perf_counter() - begun
    p50, p99 = np.percentile(took, [50, 99]) * 1000
    return Rate(count / passed, float(p50), float(p99))


def disk(folder: Path) -> float:
    """Appended pages with an fsync each, a second: no ledger commits more often."""
    target = os.open(folder / "pages", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    begun = time.perf_counter()
    for _ in range(SYNCS):
        os.write(target, bytes(4096))
        os.fsync(target)
    passed = time.perf_counter() - begun
    os.close(target)
    return SYNCS / passed


# -- listeners -------------------------------------------------------------------------------------------------------


async def fan_out(place: Place, clients: int, seconds: float, size: int) -> dict[str, float]:
    """Frames of the book that listeners get, of the ten a second that there can be, and CPU of the server."""
    mover, slot = await join(place, [])
    sockets = [(await join(place, ["book"] if place.tokens[0] else []))[0] for _ in range(clients)]
    got, octets = [0], [0]

    async def listen(socket: ClientConnection) -> None:
        while True:
            data = await socket.recv(decode=False)
            got[0] += 1
            octets[0] += len(data)

    async def move() -> None:
        line = {"slot": slot, "side": "buy", "quantity": 500}
        for step in range(10**9):
            new = {"op": "submit", "orders": [line | {"price": 1_000 + 100 * (step % 500)}]}
            await mover.send(json.dumps(new))
            await asyncio.sleep(0.05)

    if not place.tokens[0]:
        for socket in sockets:
            await socket.send(f"tell {size}")
    tasks = [asyncio.create_task(listen(socket)) for socket in sockets]
    tasks.append(asyncio.create_task(listen(mover)))
    if place.tokens[0]:
        tasks.append(asyncio.create_task(move()))
    await asyncio.sleep(1.5)
    got[0] = octets[0] = 0
    before, begun = cpu(place.pid), time.perf_counter()
    await asyncio.sleep(seconds)
    passed = time.perf_counter() - begun
    result = {
        "frames_per_client_second": got[0] / passed / clients,
        "cpu_share": (cpu(place.pid) - before) / passed,
        "bytes": octets[0] / max(got[0], 1),
    }
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await mover.send(json.dumps({"op": "mass_cancel"}))
    await asyncio.gather(mover.close(), *(socket.close() for socket in sockets))
    return result


async def slow_reader(place: Place, count: int, deaf: bool) -> tuple[Rate, float]:
    """Orders of one client among 199 listeners and, if `deaf`, one that never reads; growth of memory [MiB]."""
    sockets = [(await join(place, ["book", "trades"]))[0] for _ in range(199)]
    never = (await join(place, ["book", "trades", "market"]))[0] if deaf else None
    if never is not None:
        never.transport.pause_reading()

    async def listen(socket: ClientConnection) -> None:
        while True:
            await socket.recv(decode=False)

    tasks = [asyncio.create_task(listen(socket)) for socket in sockets]
    before = rss_mib(place.pid)
    rate = await orders(place, 4, 8, count)
    growth = rss_mib(place.pid) - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*(socket.close() for socket in sockets))
    if never is not None:
        never.transport.abort()
    return rate, growth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--orders", type=int, default=4000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--listeners", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        started(serve_market, folder) as live,
        started(serve_echo, "") as echo,
    ):
        asyncio.run(orders(live, 1, 1, 50))
        for clients in (1, 10, 100):
            for window in (1, WINDOW):
                ours, bare = (asyncio.run(orders(place, clients, window, given.orders)) for place in (live, echo))
                results[f"{clients} x {window}"] = {"market": ours, "echo": bare}
                share = ours.per_second / bare.per_second
                print(
                    f"{clients:4} clients, {window:2} waiting: {ours.per_second:6.0f}/s, p50 {ours.p50_ms:.1f} ms, "
                    f"p99 {ours.p99_ms:.1f} ms; {share:.2f} of echo ({bare.per_second:.0f}/s, {bare.p99_ms:.1f} ms)",
                    flush=True,
                )
        results["engine"] = alone = engine_alone(Path(folder), 10 * given.orders)
        results["syncs"] = syncs = disk(Path(folder))
        print(
            f"engine without network: {alone.per_second:.0f} orders/s, a group of {GROUP} in {alone.p50_ms:.1f} ms; "
            f"{alone.per_second / GROUP / syncs:.2f} of the disk's {syncs:.0f} fsyncs/s"
        )
        told = asyncio.run(fan_out(live, given.listeners, given.seconds, 0))
        bare_told = asyncio.run(fan_out(echo, given.listeners, given.seconds, round(told["bytes"])))
        results["fan-out"] = {"market": told, "bare": bare_told}
        for name, found in results["fan-out"].items():
            print(f"{given.listeners} listeners, {name}: " + ", ".join(f"{k} {v:.2f}" for k, v in found.items()))
        alike, _ = asyncio.run(slow_reader(live, given.orders, False))
        deaf, growth = asyncio.run(slow_reader(live, given.orders, True))
        results["never reads"] = {"without": alike, "with": deaf, "growth_mib": growth}
        print(
            f"200 listeners, one never reads: p99 {deaf.p99_ms:.1f} ms against {alike.p99_ms:.1f} ms without it "
            f"(x {deaf.p99_ms / alike.p99_ms:.2f}), memory + {growth:.1f} MiB"
        )
    if given.json:
        given.json.write_text(json.dumps(results, indent=1, default=list), encoding="utf-8")


if __name__ == "__main__":
    main()
