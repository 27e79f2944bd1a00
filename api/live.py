"""A live market from its first print to its shutdown."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from uvicorn.config import LoopFactoryType

from agents.model import MarketModel
from api import app, keys
from api.auth import Tokens
from api.console import note, say
from api.errors import CommandError, Exit
from api.runtime import Engine
from api.server import Server
from market.store import Ledger

LOOP: LoopFactoryType = "asyncio" if sys.platform == "win32" else "uvloop"


def serve(model: MarketModel, path: Path, speed: float, host: str, port: int) -> None:
    """Run the market and its doors until somebody stops it. Raises CommandError if the ledger holds another market."""
    if path.exists():
        raise CommandError(Exit.INPUT, f"--db {path}: holds a market already; choose another file")
    path.parent.mkdir(parents=True, exist_ok=True)
    tokens = Tokens()
    guest = model.population.ids[0]
    token = tokens.issue("participant", guest)
    key = path.with_name(f"{path.name}.key")
    signer = keys.chosen(key if key.exists() else None) or keys.generate(f"wattbook/{model.scenario.name}-live")
    if not key.exists():
        keys.write(signer, key)
    with Ledger.create(path) as ledger:
        ledger.sign_with(signer)
        server = Server(Engine(model, ledger, speed), tokens, path)
        say(f"Dashboard:  http://{host}:{port}/", "bold")
        say(f"Market:     ws://{host}:{port}/v1/stream")
        say(f"API:        http://{host}:{port}/docs")
        say(f"Demo token: {token}   (trades as {guest})")
        note(f"{speed:g} s of the market a second; the ledger is {path}; stop with Ctrl-C")
        failures: list[BaseException] = []

        def failed(error: BaseException) -> None:
            failures.append(error)
            web.should_exit = True

        web = uvicorn.Server(
            uvicorn.Config(
                app.create(server, failed), host=host, port=port, log_level="warning", ws="websockets-sansio",
                loop=LOOP, ws_per_message_deflate=False, ws_max_size=2 * server.limits.frame_bytes,
            )
        )  # fmt: skip
        web.run()
    if failures:
        raise failures[0]
