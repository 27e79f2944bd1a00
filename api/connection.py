"""A connection to a live market that lasts: made anew when it is lost, with nothing missed and nothing said twice."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from secrets import randbelow
from typing import Any, Self
from weakref import WeakSet

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException

from api.gateway import RefusedError
from api.projection import PRIVATE
from api.schemas import Answer, Result, Welcome
from api.view import Event, Message, View
from market.slots import NS, parse_time

PATIENCE = 5.0
"""Seconds for an answer to a request, and for the welcome of a new connection, before the connection is given up."""
BACKOFF = 0.1, 5.0
"""Seconds between two attempts to connect: at first, and at most; doubled after each."""
SILENT_BEATS = 3
"""Heartbeats without any sign of life after which a connection is given up."""
USUAL = ("market", "book", "trades")
"""Channels that every client listens to, with the private ones of a participant, unless told which."""
EXAMPLE = "ws://127.0.0.1:8000/v1/stream"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class LostError(ConnectionError):
    """The connection was lost before the answer, and asking again could do harm: nobody knows the outcome."""


@dataclass(slots=True)
class _Pending:
    """A request without an answer."""

    text: str
    answer: asyncio.Future[list[Result]]
    again: bool
    """Whether it may be sent twice."""
    deadline: float = float("inf")
    """Of its answer, once it is sent [s of the loop's clock]."""


def stream_address(text: str) -> str:
    """The address of the stream of a market, from that or from the server's: http://127.0.0.1:8000, 127.0.0.1:8000."""
    scheme, mark, rest = text.partition("://") if "://" in text else ("ws", "://", text)
    host, _, path = rest.partition("/")
    return f"{ {'http': 'ws', 'https': 'wss'}.get(scheme, scheme) }{mark}{host}/{path or 'v1/stream'}"


class Events(AsyncIterator[Event]):
    """What happens in some channels, in order and each once; ends when the client is closed."""

    def __init__(self, connection: Connection, channels: Sequence[str]) -> None:
        self.channels = frozenset(channels)
        self._connection, self._queue = connection, asyncio.Queue[Event | None]()
        self._listening = False

    async def __anext__(self) -> Event:
        if not self._listening:
            self._listening = True
            await self._connection.listen(self.channels)
        event = await self._queue.get()
        if event is not None:
            return event
        self._queue.put_nowait(None)
        raise self._connection.failure or StopAsyncIteration

    def ready(self) -> list[Event]:
        """What has come already, and was not taken yet."""
        found = []
        while not self._queue.empty() and (event := self._queue.get_nowait()) is not None:
            found.append(event)
        return found

    def put(self, event: Event | None) -> None:
        """One more event; None if no other comes."""
        self._queue.put_nowait(event)


class Connection:
    """The way of one participant or observer to one market. Use it with `async with`, in one event loop."""

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        channels: Sequence[str] | None = None,
        cancel_on_disconnect: bool = True,
        patience: float = PATIENCE,
        backoff: tuple[float, float] = BACKOFF,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`url` is that of the stream, or of the server: `http://127.0.0.1:8000` is enough.

        `channels` are listened to from the start: `USUAL` and the private ones, if not said. `tls` says whom to trust
        at a `wss` address, if not those whom this machine trusts.
        """
        self.url, self.view = stream_address(url), View()
        self.connections = 0
        """How often a connection was made."""
        self.welcome: Welcome | None = None
        self._auth = {"op": "auth", "token": token, "cancel_on_disconnect": cancel_on_disconnect, "id": "auth"}
        self._channels: dict[str, None] | None = None if channels is None else dict.fromkeys(channels)
        self._patience, self._backoff = patience, backoff
        self._tls: dict[str, Any] = {} if tls is None else {"ssl": tls}
        self._numbers = count(1)
        self._pending: dict[str, _Pending] = {}
        self._listeners: WeakSet[Events] = WeakSet()
        self._socket: ClientConnection | None = None
        self._sending = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.failure: Exception | None = None
        """Why there will be no connection any more."""
        self._began: float | None = None
        self._up = asyncio.Event()
        """Set while every channel has begun."""

    async def __aenter__(self) -> Self:
        """Connect and hear the state of every channel. Raises RefusedError, or ConnectionError if nobody answers."""
        self._task = asyncio.create_task(self._stay_connected())
        up = asyncio.create_task(self._up.wait())
        await asyncio.wait((self._task, up), timeout=2 * self._patience, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if self._task.done():
            self._task.result()
        if not self._up.is_set():
            await self.close()
            raise ConnectionError(f"{self.url}: no market answers there")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now; if not, one is being made."""
        return self._socket is not None

    @property
    def now(self) -> int:
        """The market's time [ns since 1970], as far as it was heard of: never ahead of the market's own."""
        speed = 1.0 if self.welcome is None else self.welcome.speed
        passed = asyncio.get_running_loop().time() * speed
        heard = (parse_time(self.view.time) if self.view.time else 0) / NS - passed
        self._began = heard if self._began is None else max(heard, self._began)
        return int((self._began + passed) * NS)

    async def close(self) -> None:
        """Leave. Requests without an answer raise LostError."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _ask(self, frame: msgspec.Struct, *, again: bool = True) -> list[Result]:
        """Send a request and wait for its results, over as many connections as it takes."""
        if self._task is None or self._task.done():
            raise self.failure or LostError(f"{self.url}: the client is closed")
        number = str(next(self._numbers))
        pending = _Pending(
            _encode(msgspec.structs.replace(frame, id=number)).decode(),
            asyncio.get_running_loop().create_future(),
            again,
        )
        self._pending[number] = pending
        try:
            async with self._sending:
                await self._send_request(pending)
            return await pending.answer
        finally:
            self._pending.pop(number, None)

    # -- listening -------------------------------------------------------------------------------------------------

    def events(self, *channels: str) -> Events:
        """What happens from this call on in channels, in order and each once; ends when the client is closed.

        An event has `ch`, `seq`, `type`, and what the channel's items have. State that was lost with its events comes
        as a `snapshot`, in `trades` and `limits` as an event `missed`; the view is right all the same.
        """
        events = Events(self, channels)
        self._listeners.add(events)
        return events

    async def listen(self, channels: Iterable[str]) -> None:
        """Hear these channels too."""
        known = self._channels or {}
        new = [name for name in channels if name not in known]
        self._channels = known | dict.fromkeys(new)
        async with self._sending:
            for name in new:
                await self._send(self.view.ask(name))

    # -- the connection --------------------------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        """Connect and connect again. Raises RefusedError where that is of no use."""
        first, most = self._backoff
        pause = first
        try:
            while True:
                made = self.connections
                try:
                    async with connect(self.url, max_size=None, compression=None, open_timeout=self._patience,
                                       close_timeout=1.0, ping_interval=None, **self._tls) as socket:  # fmt: skip
                        await self._talk(socket)
                except InvalidStatus as error:
                    if 400 <= error.response.status_code < 500:
                        raise RefusedError("FORBIDDEN", str(error)) from error
                except ssl.SSLCertVerificationError as error:
                    told = f"{error.verify_message}; put its certificate into the file that SSL_CERT_FILE names"
                    raise ConnectionError(f"{self.url}: {told}") from error
                except InvalidURI as error:
                    raise ConnectionError(f"{self.url}: is no address of a market, such as {EXAMPLE}") from error
                except (OSError, WebSocketException):
                    pass  # lost, silent, or not there yet: the next attempt will tell
                finally:
                    self._lost()
                pause = first if self.connections > made else min(2 * pause, most)
                await asyncio.sleep(pause * (0.5 + randbelow(1000) / 2000))
        except Exception as error:
            self.failure = error
            raise
        finally:
            for pending in self._pending.values():
                if not pending.answer.done():
                    pending.answer.set_exception(self.failure or LostError(f"{self.url}: closed before the answer"))
            for listener in self._listeners:
                listener.put(None)

    async def _talk(self, socket: ClientConnection) -> None:
        """Authenticate, catch up, send again what was not answered, and listen until the connection ends."""
        await socket.send(_encode(self._auth).decode())
        async with asyncio.timeout(self._patience):
            self.welcome = await self._welcomed(socket)
        self.connections += 1
        self._began = None
        self._choose(self.welcome)
        async with self._sending:
            self._socket = socket
            for name in self._channels or ():
                await self._send(self.view.ask(name))
            for pending in [*self._pending.values()]:
                await self._send_request(pending)
        while True:
            async with asyncio.timeout(self._wait(self.welcome.heartbeat_seconds)):
                frame = _decode(await socket.recv())
            for message in frame if isinstance(frame, list) else (frame,):
                await self._hear(message)
            if not self._up.is_set() and all(name in self.view.last for name in self._channels or ()):
                self._up.set()

    async def _welcomed(self, socket: ClientConnection) -> Welcome:
        while True:
            frame = _decode(await socket.recv())
            for message in frame if isinstance(frame, list) else (frame,):
                if message.get("op") == "welcome":
                    return msgspec.convert(message, Welcome)
                # Of other refusals, such as that of an auth that came late, another try may end well.
                if message.get("op") == "error" and message["code"] == "BAD_TOKEN":
                    raise RefusedError(message["code"], message["reason"], message.get("field", ""))

    def _choose(self, welcome: Welcome) -> None:
        """The channels to listen to. Raises RefusedError for one that the role may not hear."""
        if self._channels is None:
            self._channels = dict.fromkeys(USUAL + (PRIVATE if welcome.role == "participant" else ()))
        for name in self._channels:
            if name not in welcome.channels:
                raise RefusedError("UNKNOWN_CHANNEL", f"{name!r} is none of {', '.join(welcome.channels)}", "channels")

    def _wait(self, heartbeat: float) -> float:
        """Seconds until the connection counts as dead. Raises TimeoutError if a request has waited too long."""
        deadline = next((pending.deadline for pending in self._pending.values()), float("inf"))
        left = min(SILENT_BEATS * heartbeat + self._patience, deadline - asyncio.get_running_loop().time())
        if left <= 0:
            raise TimeoutError(f"{self.url}: no answer within {self._patience:g} s")
        return left

    def _lost(self) -> None:
        """The connection is gone."""
        self._socket = None
        self._up.clear()
        for pending in self._pending.values():
            if not pending.again and pending.deadline != float("inf") and not pending.answer.done():
                pending.answer.set_exception(LostError("the connection was lost before the answer"))
            pending.deadline = float("inf")

    async def _send(self, frame: Message) -> None:
        await self._send_text(_encode(frame).decode())

    async def _send_request(self, pending: _Pending) -> None:
        if self._socket is not None and not pending.answer.done():
            pending.deadline = asyncio.get_running_loop().time() + self._patience
            await self._send_text(pending.text)

    async def _send_text(self, text: str) -> None:
        if self._socket is not None:
            try:
                await self._socket.send(text)
            except ConnectionClosed:
                self._socket = None  # what was to be said is said again on the next connection

    # -- what the server says --------------------------------------------------------------------------------------

    async def _hear(self, message: Message) -> None:
        match message.get("op"):
            case "answer":
                answer = msgspec.convert(message, Answer)
                pending = self._pending.get(answer.id)
                if pending is not None and not pending.answer.done():
                    pending.answer.set_result(answer.results)
            case "error":
                self._refused(message)
            case "heartbeat":
                self.view.time = message["time"]
                for name in self.view.behind(message["last"], self._channels or ()):
                    await self._send(self.view.ask(name))
            case None:
                await self._take(message)

    def _refused(self, message: Message) -> None:
        error = RefusedError(message["code"], message["reason"], message.get("field", ""))
        pending = self._pending.get(message.get("id", ""))
        if pending is not None and not pending.answer.done():
            pending.answer.set_exception(error)

    async def _take(self, message: Message) -> None:
        fate, events = self.view.take(message)
        name = message["ch"]
        if fate == "gap" and not self.view.asked(name):
            await self._send(self.view.ask(name))
        for listener in self._listeners:
            if name in listener.channels:
                for event in events:
                    listener.put(event)
