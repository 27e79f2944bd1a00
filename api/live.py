"""A live market from its first print to its shutdown."""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import uvicorn
from fastapi import FastAPI
from uvicorn.config import LoopFactoryType

from agents.model import MarketModel
from agents.scenario import ScenarioError
from api import app, keys
from api.auth import Tokens
from api.console import note, say
from api.errors import CommandError, Exit
from api.runtime import Engine
from api.server import Server
from api.wire import Wire
from grid.feeder import Feeder
from grid.gate import build
from market.capacity import Gate
from market.notes import Signer
from market.orders import MarketSettings
from market.recovery import recover
from market.store import Ledger

LOOP: LoopFactoryType = "asyncio" if sys.platform == "win32" else "uvloop"


class Door(NamedTuple):
    """Where a market listens. With `cert` and `key`, files of PEM text, it speaks TLS."""

    host: str
    port: int
    """0 for any that is free."""
    cert: Path | None = None
    key: Path | None = None
    origins: tuple[str, ...] = ()
    """Origins of other hosts' pages that may connect."""


def serve(model: MarketModel, path: Path, speed: float, door: Door) -> None:
    """Run the market and its doors until somebody stops it; it goes on where its ledger ends.

    Raises CommandError or ScenarioError if the ledger is that of another market, LedgerError if it cannot be read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened(model, path) as ledger, closing(Tokens(path)) as tokens:
        past = len(ledger)
        if past:
            note(f"going on after entry {past:,} of {path}")
        server = Server(Engine(model, ledger, speed, ledger.entries()), tokens, path)
        guest = model.population.ids[0]
        token = tokens.issue("participant", guest)
        failures: list[BaseException] = []

        def failed(error: BaseException) -> None:
            failures.append(error)
            web.should_exit = True

        def listening(port: int) -> None:
            safe = "s" if door.cert else ""
            say(f"Dashboard:  http{safe}://{door.host}:{port}/", "bold")
            say(f"Market:     ws{safe}://{door.host}:{port}/v1/stream")
            say(f"API:        http{safe}://{door.host}:{port}/docs")
            say(f"Demo token: {token}   (trades as {guest})")
            note(f"sign in there with the token, or: wattbook trade http{safe}://{door.host}:{port} --token TOKEN")
            note(f"{speed:g} s of the market a second; the ledger is {path}; stop with Ctrl-C")

        web = Web(app.create(server, failed, door.origins), server, door, listening)
        web.run()
    if failures:
        raise failures[0]
    note(f"stopped; everything that was answered is in {path}")


class Web(uvicorn.Server):
    """A uvicorn that says where it listens, and lets the market say goodbye before it closes connections."""

    def __init__(self, application: FastAPI, server: Server, door: Door, listening: Callable[[int], None]) -> None:
        super().__init__(
            uvicorn.Config(
                application, host=door.host, port=door.port, log_level="warning", ws=Wire, loop=LOOP,
                ws_per_message_deflate=False, ws_max_size=2 * server.limits.frame_bytes, ssl_certfile=door.cert,
                ssl_keyfile=door.key, timeout_graceful_shutdown=5, server_header=False,
            )
        )  # fmt: skip
        self._market, self._listening = server, listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            # What is there now stays: the collector need not look at it again, which took a third of a second at times.
            gc.collect()
            gc.freeze()
            self._listening(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._market.farewell()
        # uvicorn would raise the signal again that asked for this, before the ledger is closed.
        self._captured_signals.clear()
        await super().shutdown(sockets)


@contextmanager
def opened(model: MarketModel, path: Path) -> Iterator[Ledger]:
    """The signed ledger of a model, open for writing. If there is something in it, the model goes on where it ends."""
    with Ledger.open(path, readonly=False) if path.exists() else Ledger.create(path) as ledger:
        if len(ledger):
            _require_same_market(model, ledger, path)
        ledger.sign_with(_signer(ledger, path, model.scenario.name))
        if len(ledger):
            exchange = recover(ledger, _gate)
            assert exchange is not None  # its first entry creates a market
            model.go_on(exchange, ledger.entries)
        yield ledger


def _require_same_market(model: MarketModel, ledger: Ledger, path: Path) -> None:
    try:
        model.require_same_market(next(ledger.entries()))
    except ScenarioError as error:
        way_out = f"{path} began with another market: name a new file with --db, or the scenario that it began with"
        raise ScenarioError([*error.errors, way_out]) from error


def _gate(settings: MarketSettings, feeder: str) -> Gate:
    return build(Feeder.from_json(feeder), settings)


def _signer(ledger: Ledger, path: Path, name: str) -> Signer:
    """The key in the file beside the ledger or in the environment, else a new one in that file."""
    place = path.with_name(f"{path.name}.key")
    signer = keys.chosen(place if place.exists() else None)
    if signer is None and ledger.keys():
        raise CommandError(
            Exit.INPUT,
            f"{place}: the key that signs {path} is missing; put it back, or give it in {keys.ENVIRONMENT}",
        )
    if signer is None:
        signer = keys.generate(f"wattbook/{name}-live")
        keys.write(signer, place)
    return signer
