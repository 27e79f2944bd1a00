"""A live market of the small scenario in a thread, on a port of its own, and clients that talk to it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from agents import MarketModel
from api.app import create
from api.auth import Tokens
from api.live import Door, Web, opened
from api.runtime import Engine
from api.schemas import Role
from api.server import Server
from tests.agents.small import ALONE, TEXT, scenario

SECONDS = 60.0
"""After which a test gives up waiting."""

DOOR = Door("127.0.0.1", 0)


class Client:
    """A connection that hands out messages one by one."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._waiting: deque[dict[str, Any]] = deque()

    def say(self, message: dict[str, Any] | str) -> None:
        self.socket.send(message if isinstance(message, str) else json.dumps(message))

    def hear(self) -> dict[str, Any]:
        """The next message, whatever frame it came in."""
        while not self._waiting:
            frame = json.loads(self.socket.recv(timeout=SECONDS))
            self._waiting.extend(frame if isinstance(frame, list) else [frame])
        return self._waiting.popleft()

    def until(self, kind: str) -> dict[str, Any]:
        """The next message with this `op` or channel. Raises TimeoutError if none comes, telling what came instead."""
        seen = []
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            message = self.hear()
            if kind in (message.get("op"), message.get("ch")):
                return message
            seen.append(message)
        raise TimeoutError(f"no {kind}, but {seen[-20:]}")

    def open_slot(self) -> int:
        """The open slot that closes last."""
        self.say({"op": "subscribe", "channels": ["market"]})
        return int(self.until("market")["slots"][-1]["slot"])


class Live:
    """A running server and the way in."""

    def __init__(self, server: Server, tokens: Tokens, ledger: Path, port: int) -> None:
        self.server, self.tokens, self.ledger, self.port = server, tokens, ledger, port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def stream(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/stream"

    @contextmanager
    def connect(self, role: Role | None = "participant", participant: str = "home-001") -> Iterator[Client]:
        """A client that has said who it is; with role None one that has not."""
        with connect(self.stream, max_size=None, compression=None) as socket:
            client = Client(socket)
            if role is not None:
                name = participant if role == "participant" else ""
                token = "" if role == "observer" else self.tokens.issue(role, name)
                client.say({"op": "auth", "token": token, "id": "hello"})
                assert client.until("welcome")["role"] == role
            yield client


@contextmanager
def connected(port: int, token: str = "") -> Iterator[Client]:
    """A client that has said who it is, of a server in this process or another."""
    with connect(f"ws://127.0.0.1:{port}/v1/stream", max_size=None, compression=None) as socket:
        client = Client(socket)
        client.say({"op": "auth", "token": token})
        client.until("welcome")
        yield client


@contextmanager
def running(
    folder: Path, speed: float = 600.0, changes: dict[str, Any] = ALONE, door: Door = DOOR, **options: Any
) -> Iterator[Live]:
    """A market in `folder`, which goes on if it is there, until the block ends.

    `changes` are those of the scenario, `options` are those of `Server`.
    """
    model = MarketModel(scenario().changed(**changes))
    path = folder / "ledger.db"
    with opened(model, path) as ledger, closing(Tokens(path)) as tokens:
        server = Server(Engine(model, ledger, speed, ledger.entries()), tokens, path, **options)
        failures: list[BaseException] = []
        ports: list[int] = []
        web = Web(create(server, failures.append), server, door, ports.append)
        thread = threading.Thread(target=web.run, daemon=True)
        thread.start()
        while not ports:
            assert thread.is_alive(), "the server did not start"
            thread.join(0.01)
        try:
            yield Live(server, tokens, path, ports[0])
        finally:
            web.should_exit = True
            thread.join(SECONDS)
    assert not failures, failures


@contextmanager
def served(folder: Path, speed: str = "60", port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """A process that serves the small market in `folder`, its port and its demo token; killed in the end."""
    (folder / "small.yaml").write_text(TEXT)
    command = [
        sys.executable, "-m", "api", "serve", "small.yaml", "--db", "live.db", "--port", str(port), "--speed", speed,
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        token = ""
        for line in process.stdout:
            if line.startswith("Market:"):
                port = int(line.split(":")[3].split("/")[0])
            if line.startswith("Demo token:"):
                token = line.split()[2]
                break
        assert token, "the server did not start"
        yield process, port, token
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
