"""The live market without a network: JSON in, exchange, journal, commit, JSON out."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np
from starlette.websockets import WebSocket

from api import gateway
from api.auth import Tokens
from api.hub import Hub
from api.live import opened
from api.runtime import Engine
from api.schemas import Answer, ClientFrame, Submit
from api.server import Server
from api.stream import Session
from api.wire import EXTENSION, Listener
from benchmarks.live_servers import PLENTY, market
from market.events import Entry
from market.store import Ledger

RAM = Path("/dev/shm")  # noqa: S108 (a disk that forgets, for comparison)
SYNCS = 100
CLIENTS, WINDOW = 64, 32


class Figure(NamedTuple):
    """One way to have orders carried out."""

    what: str
    per_second: float
    cpu_us: float
    """CPU of all threads for one order, client's JSON to client's JSON."""
    p50_ms: float
    """Of a group, or from an order to its answer."""
    p99_ms: float
    syncs: float
    """Commits a second."""


def order(slot: int, batch: int = 1) -> str:
    """A frame of immediate bids that nobody meets, so that the book stays as it is."""
    line = {"slot": slot, "side": "buy", "price": 1_000, "quantity": 500, "time_in_force": "ioc"}
    return json.dumps({"op": "submit", "id": "1", "orders": [line] * batch}, separators=(",", ":"))


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


@contextmanager
def room(folder: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=folder) as made:
        yield Path(made)


class Groups:
    """The market in groups of orders, client's JSON to client's JSON, without the server around it."""

    def __init__(self, ledger: Ledger) -> None:
        self.model, self.took = market(), list[float]()
        moments = self.model.play()
        next(moments)
        next(moments)
        self._text, self._name = order(max(self.model.desk.open)).encode(), self.model.population.ids[0]
        self._decode, self._encode = msgspec.json.Decoder(ClientFrame).decode, msgspec.json.Encoder().encode
        self._hub, self._ledger = Hub(lambda _: {}, dict), ledger
        past = self.model.drain()
        ledger.append(past)
        self._hub.remember(past)

    def carry_out(self, size: int) -> tuple[float, list[Entry]]:
        """The next group; when it began, and its entries."""
        start = time.perf_counter()
        frames = [self._decode(self._text) for _ in range(size)]
        commands = [
            found for frame in frames if isinstance(frame, Submit) for found in gateway.commands(frame, self._name)
        ]
        self.model.visit(self.model.exchange.now or 0, commands)
        return start, self.model.drain()

    def store(self, groups: list[tuple[float, list[Entry]]]) -> None:
        """One commit for all of them."""
        self._ledger.append([entry for _, entries in groups for entry in entries])

    def tell(self, groups: list[tuple[float, list[Entry]]]) -> None:
        """Publish and answer what is durable."""
        for start, entries in groups:
            self._hub.publish(entries)
            for entry in entries:
                self._encode(Answer("1", gateway.results([entry], self._hub.projection)))
            self.took.append(time.perf_counter() - start)


def in_groups(folder: Path, count: int, size: int, ahead: int, what: str) -> Figure:
    """Groups one after the other, or up to `ahead` of them carried out while others are on their way to the disk."""
    with Ledger.create(folder / "groups.db") as ledger, ThreadPoolExecutor(1) as disk:
        groups, commits = Groups(ledger), 0
        gc.collect()
        gc.freeze()
        waiting: list[tuple[float, list[Entry]]] = []
        stored: list[tuple[float, list[Entry]]] = []
        storing: Future[None] | None = None
        begun, used = time.perf_counter(), time.process_time()
        for number in range(count // size):
            waiting.append(groups.carry_out(size))
            last = number == count // size - 1
            while waiting and (storing is None or storing.done() or len(waiting) > ahead or last):
                if storing is not None:
                    storing.result()
                    groups.tell(stored)
                storing, stored, waiting = disk.submit(groups.store, waiting), waiting, []
                commits += 1
                if not ahead or last:
                    storing.result()
        groups.tell(stored)
        passed, used = time.perf_counter() - begun, time.process_time() - used
    gc.unfreeze()
    p50, p99 = np.percentile(groups.took, [50, 99]) * 1000
    return Figure(what, count / passed, used / count * 1e6, float(p50), float(p99), commits / passed)


class Plug:
    """Stands for a websocket and its wire. Has as many orders on their way as it may, and counts answers."""

    clogged = False

    def __init__(self, text: bytes, window: int, count: int) -> None:
        self.scope = {"extensions": {EXTENSION: {"wire": self}}}
        self.done = asyncio.Event()
        self.left = self.wanted = count
        self.took: list[float] = []
        self._text, self._window = text, window
        self._sent: list[float] = []
        self._listener: Listener
        self._loop = asyncio.get_running_loop()

    async def accept(self) -> None:
        pass

    async def close(self, code: int, reason: str) -> None:
        pass

    def attach(self, listener: Listener) -> None:
        self._listener = listener

    def begin(self) -> None:
        self._send(self._window)

    def hold(self) -> None:
        pass

    def release(self) -> None:
        pass

    def write(self, frames: bytes) -> None:
        answered, now = frames.count(b'"op":"answer"'), time.perf_counter()
        for _ in range(answered):
            self.took.append(now - self._sent[len(self.took)])
        if len(self.took) >= self.wanted:
            self.done.set()
        elif answered:
            self._loop.call_soon(self._send, answered)

    def _send(self, room: int) -> None:
        for _ in range(min(room, self.left)):
            self.left -= 1
            self._sent.append(time.perf_counter())
            self._listener.heard(self._text)


def overlapped(folder: Path, count: int, what: str, clients: int = CLIENTS, window: int = WINDOW) -> Figure:
    """The live engine with all that the server does for a connection but the socket."""
    model, path = market(), folder / "live.db"

    async def main() -> Figure:
        engine = Engine(model, ledger, 1.0, ledger.entries())
        server = Server(engine, tokens, path, limits=PLENTY)
        playing = asyncio.create_task(engine.run())
        await engine.ready.wait()
        token = tokens.issue("participant", model.population.ids[0])
        text = order(max(model.desk.open)).encode()
        plugs = [Plug(text, window, count // clients) for _ in range(clients)]
        sessions = [Session(server, cast(WebSocket, plug)) for plug in plugs]
        serving = [asyncio.create_task(session.serve()) for session in sessions]
        await asyncio.sleep(0)
        hello = msgspec.json.encode({"op": "auth", "token": token, "cancel_on_disconnect": False})
        for session in sessions:
            session.heard(hello)
        gc.collect()
        gc.freeze()
        commits, begun, used = engine.metrics.commits, time.perf_counter(), time.process_time()
        for plug in plugs:
            plug.begin()
        await asyncio.gather(*(plug.done.wait() for plug in plugs))
        passed, used = time.perf_counter() - begun, time.process_time() - used
        commits = engine.metrics.commits - commits
        for session in sessions:
            session.gone()
        await asyncio.gather(*serving)
        engine.stop()
        await playing
        gc.unfreeze()
        p50, p99 = np.percentile([took for plug in plugs for took in plug.took], [50, 99]) * 1000
        return Figure(what, count / passed, used / count * 1e6, float(p50), float(p99), commits / passed)

    with opened(model, path) as ledger, _tokens(path) as tokens:
        return asyncio.run(main())


@contextmanager
def _tokens(path: Path) -> Iterator[Tokens]:
    found = Tokens(path)
    try:
        yield found
    finally:
        found.close()


def figures(count: int) -> dict[str, Any]:
    """All of it, with the disk's own limit."""
    results: dict[str, Any] = {}
    count = max(1, count // (CLIENTS * 1000)) * CLIENTS * 1000
    with room(None) as folder:
        results["syncs"] = disk(folder)
    for what, where, group, ahead in (
        ("groups of 100, in turn", None, 100, 0),
        ("groups of 1000, in turn", None, 1000, 0),
        ("groups of 100, ten ahead of the disk", None, 100, 10),
        ("groups of 100, in turn, RAM disk", RAM, 100, 0),
        ("groups of 100, ten ahead of the RAM disk", RAM, 100, 10),
    ):
        if where is None or where.is_dir():
            with room(where) as folder:
                results[what] = in_groups(folder, count, group, ahead, what)
    for what, where in (("live engine, 2048 orders waiting", None), ("live engine, RAM disk", RAM)):
        if where is None or where.is_dir():
            with room(where) as folder:
                results[what] = overlapped(folder, count, what)
    syncs = results["syncs"]
    for found in results.values():
        if isinstance(found, Figure):
            print(
                f"engine, {found.what}: {found.per_second:6.0f} orders/s, {found.cpu_us:.1f} us of CPU each "
                f"({1e6 / found.cpu_us:.0f} a CPU second); "
                f"p50 {found.p50_ms:.1f} ms, p99 {found.p99_ms:.1f} ms; {found.syncs:.0f} commits/s, "
                f"{found.syncs / syncs:.2f} of the disk's {syncs:.0f} fsyncs/s",
                flush=True,
            )
    return results
