"""Websocket clients that cost next to nothing, so that a measurement is the server's.

Frames are made once and written as bytes; what comes is not taken apart, only its answers are counted.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from struct import pack
from typing import cast

from benchmarks.live_servers import Place

KEY = bytes(4)
"""A mask that changes nothing."""


def frame(text: str) -> bytes:
    """A text frame of a client, RFC 6455 section 5.2."""
    data = text.encode()
    if len(data) < 126:
        return pack("!BB", 0x81, 0x80 | len(data)) + KEY + data
    if len(data) < 65_536:
        return pack("!BBH", 0x81, 0x80 | 126, len(data)) + KEY + data
    return pack("!BBQ", 0x81, 0x80 | 127, len(data)) + KEY + data


class Line(asyncio.Protocol):
    """One connection. Counts how often `mark` has come; says when as many as wanted have."""

    def __init__(self, mark: bytes = b"") -> None:
        self.mark = mark
        self.count = 0
        self.octets = 0
        self.took: list[float] = []
        """How long each request waited for its answer [s]."""
        self._sent: deque[float] = deque()
        self._rest = b""
        self._text, self._left, self._each = b"", 0, 1
        self._done: asyncio.Future[None] | None = None
        self._heads = bytearray()
        self._open: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    async def shake(self, place: Place) -> None:
        """The handshake, and who we are."""
        self.transport.write(
            b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" % place.port
        )
        assert self._open is not None
        await self._open
        self._open = None
        if place.tokens[0]:
            self.say({"op": "auth", "token": place.tokens[0], "cancel_on_disconnect": False})
            await self.until(b'"welcome"')

    def say(self, message: object) -> None:
        self.transport.write(frame(message if isinstance(message, str) else json.dumps(message)))

    async def until(self, mark: bytes) -> bytes:
        """Wait for a frame with a mark; what has come by then."""
        self._heads.clear()
        while mark not in self._heads:
            await asyncio.sleep(0.002)
        return bytes(self._heads)

    async def ask(self, text: str, count: int, window: int, each: int) -> None:
        """Send a frame `count` times, at most `window` unanswered; it is answered by the mark `each` times."""
        self._text, self._left, self._each = frame(text), count, each
        self.count, self.took = 0, []
        self._done = asyncio.get_running_loop().create_future()
        self._send(window)
        await self._done
        self._done = None

    def _send(self, room: int) -> None:
        room = min(room, self._left)
        self._left -= room
        self._sent.extend([time.perf_counter()] * room)
        self.transport.write(self._text * room)

    def data_received(self, data: bytes) -> None:
        if self._open is not None:
            if b"\r\n\r\n" in data and not self._open.done():
                self._open.set_result(None)
            return
        self.octets += len(data)
        if not self.mark:
            self._heads += data
            return
        # The end of a mark may come with the next piece.
        data = self._rest + data
        found = data.count(self.mark)
        self._rest = data[max(data.rfind(self.mark) + len(self.mark), len(data) - len(self.mark) + 1) :]
        before, self.count = self.count // self._each, self.count + found
        if self._done is None:
            return
        now = time.perf_counter()
        answered = self.count // self._each - before
        for _ in range(answered):
            self.took.append(now - self._sent.popleft())
        if self._left:
            self._send(answered)
        elif not self._sent and not self._done.done():
            self._done.set_result(None)


async def joined(place: Place) -> Line:
    """A connection that has said who it is."""
    _, line = await asyncio.get_running_loop().create_connection(Line, "127.0.0.1", place.port)
    await line.shake(place)
    return line


async def open_slot(place: Place) -> int:
    """The slot that closes last; of the echo server 0."""
    if not place.tokens[0]:
        return 0
    line = await joined(place)
    line.say({"op": "subscribe", "channels": ["market"]})
    told = await line.until(b'"halts"')
    line.transport.close()
    last = told[: told.index(b'"forecast"')].rpartition(b'"slot":')[2]
    return int(last.partition(b",")[0])
