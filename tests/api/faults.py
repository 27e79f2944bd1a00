"""A proxy between client and server that treats frames badly: drops, doubles, delays, reorders and cuts, by a seed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Socket = ClientConnection | ServerConnection


class Faults(NamedTuple):
    """Chances of what happens to a frame; the rest passes."""

    drop: float = 0.0
    double: float = 0.0
    delay: float = 0.0
    """By up to 30 ms; later frames wait behind it."""
    reorder: float = 0.0
    """The frame comes after the next one."""
    cut: float = 0.0
    """The connection ends, and the frame is lost."""


class Proxy:
    """One way to a market, through which connections pass. `heal` ends all faults."""

    def __init__(self, target: str, faults: Faults, seed: int) -> None:
        self._target, self.faults = target, faults
        self._rng = np.random.default_rng(seed)
        self.happened = dict.fromkeys(Faults._fields, 0)
        """How often each fault struck."""
        self.lose: set[str] = set()
        """Channels of which every message is lost, until this is emptied."""
        self.told: dict[tuple[str, int], Any] = {}
        """What the server said under each number of a channel, snapshots aside."""
        self.reused: list[tuple[Any, Any]] = []
        """Different messages of one channel under one number."""
        self.beats = 0
        """Heartbeats of the server that have passed."""
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Proxy]:
        async with serve(self._pass, "127.0.0.1", 0, max_size=None, compression=None, ping_interval=None) as server:
            self.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v1/stream"
            yield self

    def heal(self) -> None:
        self.faults = Faults()

    async def _pass(self, client: ServerConnection) -> None:
        async with connect(self._target, max_size=None, compression=None, ping_interval=None) as server:
            ways = [asyncio.create_task(self._carry(client, server)), asyncio.create_task(self._carry(server, client))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _carry(self, source: Socket, sink: Socket) -> None:
        """Frames of one direction, until the connection ends or is cut."""
        held: list[str] = []
        try:
            async for data in source:
                text = data if isinstance(data, str) else data.decode()
                if isinstance(source, ClientConnection):
                    text = self._heard(text)
                fault = self._fault()
                if fault == "cut":
                    return
                if fault == "drop" or not text:
                    continue
                if fault == "reorder" and not held:
                    held.append(text)
                    continue
                if fault == "delay":
                    await asyncio.sleep(float(self._rng.random()) * 0.03)
                for frame in [text] * (2 if fault == "double" else 1) + held:
                    await sink.send(frame)
                held.clear()
        except ConnectionClosed:
            return

    def _fault(self) -> str:
        draw = float(self._rng.random())
        for name, chance in zip(Faults._fields, self.faults, strict=True):
            if draw < chance:
                self.happened[name] += 1
                return name
            draw -= chance
        return ""

    def _heard(self, text: str) -> str:
        """Remember what the server said, and take out what is to be lost."""
        frame = json.loads(text)
        messages = frame if isinstance(frame, list) else [frame]
        for message in messages:
            self.beats += message.get("op") == "heartbeat"
            if "ch" in message and message.get("type") != "snapshot":
                plain = {key: value for key, value in message.items() if key != "poss_dup"}
                before = self.told.setdefault((message["ch"], message["seq"]), plain)
                if before != plain:
                    self.reused.append((before, plain))
        kept = [message for message in messages if message.get("ch") not in self.lose]
        return json.dumps(kept) if kept else ""
