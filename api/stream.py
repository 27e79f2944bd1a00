"""One websocket connection: frames in, answers and channel messages out, and what happens to who is too slow.

A connection has a reader and a writer. What is to be sent waits in an outbox of bounded size. Where it overflows,
public channels are conflated: their messages are dropped and a snapshot follows when the client reads again. Private
messages are never dropped: their connection is closed with a reason, and the client may connect again and resume.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from api import gateway
from api.auth import Principal
from api.gateway import Allowance, RefusedError
from api.hub import Channel, Message
from api.logs import LOG
from api.projection import PRIVATE, PUBLIC, Key
from api.runtime import StoppedError
from api.schemas import (
    Answer,
    Auth,
    ClientFrame,
    Done,
    Error,
    Heartbeat,
    Ping,
    Resume,
    Subscribe,
    Unsubscribe,
    Welcome,
)
from market.events import Entry

if TYPE_CHECKING:
    from api.server import Server

WAITING = 1_000
"""Most messages that wait for one client before it counts as slow."""
IN_FLIGHT = 64
"""Most requests of one client that wait for the engine; the next ones are not read before."""
FRAME_MESSAGES = 100
"""Most messages in one frame."""
CLOSE_POLICY, CLOSE_SLOW, CLOSE_TOKEN, CLOSE_GOING = 1008, 4008, 4001, 1001

_decode = msgspec.json.Decoder(ClientFrame).decode
_encode = msgspec.json.Encoder().encode


class Session:
    """One connection. A `Subscriber` of the hub."""

    def __init__(self, server: Server, socket: WebSocket) -> None:
        self.name = token_hex(8)
        self.principal: Principal | None = None
        self.cancel_on_disconnect = False
        self._server, self._socket, self._hub = server, socket, server.engine.hub
        self._channels: dict[Key, Channel] = {}
        self._outbox: deque[bytes] = deque()
        self._waiting: dict[str, int] = {}
        self._lagging: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._allowance = Allowance(server.limits)

    async def serve(self) -> None:
        """Talk to the client until either side ends it."""
        await self._socket.accept()
        writer = asyncio.create_task(self._write())
        reader = asyncio.create_task(self._read())
        try:
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for channel in self._channels.values():
                channel.subscribers.pop(self, None)
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            self._server.left(self)

    def tell(self, message: Message) -> None:
        """Put a channel's message into the outbox; see the module for what happens if it is full."""
        name = message.key[0]
        if name in self._lagging:
            return
        if len(self._outbox) < WAITING:
            self._put(message.data)
        elif message.key[1]:
            self.close(CLOSE_SLOW, "SLOW_CONSUMER: private messages were not read; connect again and resume")
        else:
            self._lagging[name] = None
            self._wake.set()

    @property
    def waiting(self) -> int:
        """Messages that wait to be read by the client."""
        return len(self._outbox)

    def close(self, code: int, reason: str) -> None:
        """End the connection once what can be written is written."""
        if self._closing is None:
            LOG.info("closing", extra={"told": {"session": self.name, "code": code, "reason": reason}})
            self._closing = (code, reason)
            self._wake.set()

    # -- out -------------------------------------------------------------------------------------------------------

    def _put(self, data: bytes) -> None:
        self._outbox.append(data)
        self._wake.set()

    def _say(self, message: msgspec.Struct) -> None:
        self._put(_encode(message))

    async def _write(self) -> None:
        """Send what waits, several messages a frame; a heartbeat in good time, however much else is said."""
        ticks = asyncio.get_running_loop().time
        beat = ticks() + self._server.heartbeat
        while True:
            try:
                async with asyncio.timeout_at(beat):
                    await self._wake.wait()
            except TimeoutError:
                pass  # time for a heartbeat
            if ticks() >= beat:
                beat = ticks() + self._server.heartbeat
                self._beat()
            self._wake.clear()
            while self._outbox:
                count = min(len(self._outbox), FRAME_MESSAGES)
                batch = [self._outbox.popleft() for _ in range(count)]
                text = batch[0] if count == 1 else b"[" + b",".join(batch) + b"]"
                await self._socket.send_text(text.decode())
                if not self._outbox:
                    self._catch_up()
            self._catch_up()
            if self._closing is not None and not self._outbox:
                await self._socket.close(*self._closing)
                return

    def _catch_up(self) -> None:
        """Snapshots of the channels whose messages were dropped."""
        for name in self._lagging:
            self._put(self._hub.snapshot(name))
        self._lagging.clear()

    def _beat(self) -> None:
        self._say(Heartbeat(self._hub.projection.now, self._hub.heads(self._channels)))

    # -- in --------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(self._server.auth_seconds):
                while self.principal is None:
                    await self._take(await self._socket.receive_text())
        except TimeoutError:
            self._say(Error("NOT_AUTHENTICATED", f"no auth frame within {self._server.auth_seconds:g} s"))
            self.close(CLOSE_POLICY, "NOT_AUTHENTICATED")
        except (WebSocketDisconnect, KeyError):
            return
        try:
            while True:
                await self._take(await self._socket.receive_text())
        except (WebSocketDisconnect, KeyError):
            return

    async def _take(self, text: str) -> None:
        """Answer one frame, whatever it is."""
        frame_id = ""
        try:
            frame = self._decoded(text)
            frame_id = frame.id
            await self._answer(frame)
        except RefusedError as refused:
            self._server.metrics.refusals[refused.code] += 1
            self._say(Error(refused.code, refused.reason, refused.field, frame_id))
            if self.principal is None:
                self.close(CLOSE_POLICY, refused.code)
        except StoppedError as stopped:
            self._say(Error("STOPPED", str(stopped), id=frame_id))

    def _decoded(self, text: str) -> ClientFrame:
        self._allowance.frame(len(text))
        try:
            frame: ClientFrame = _decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise RefusedError("BAD_FRAME", str(error), gateway.place(str(error))) from error
        return frame

    async def _answer(self, frame: ClientFrame) -> None:
        if isinstance(frame, Auth):
            self._authenticate(frame)
            return
        if self.principal is None:
            raise RefusedError("NOT_AUTHENTICATED", "the first frame must be auth", "op")
        match frame:
            case Subscribe():
                self._subscribe(frame)
            case Unsubscribe():
                for name in frame.channels:
                    channel = self._channels.pop(self._key(name), None)
                    if channel is not None:
                        channel.subscribers.pop(self, None)
                self._say(Done(frame.id))
            case Resume():
                self._resume(frame)
            case Ping():
                self._say(Done(frame.id))
            case _:
                await self._trade(frame)

    def _authenticate(self, frame: Auth) -> None:
        if self.principal is not None:
            raise RefusedError("FORBIDDEN", "this connection is authenticated already", "op")
        self.principal = self._server.admitted(frame.token)
        self.cancel_on_disconnect = frame.cancel_on_disconnect and self.principal.role == "participant"
        self._server.joined(self)
        server, role = self._server, self.principal.role
        private = list(PRIVATE) if role == "participant" else []
        self._say(
            Welcome(
                role, self.principal.participant, server.market, self.name, server.heartbeat, server.grace,
                server.limits, [*PUBLIC, *private], speed=server.engine.speed, id=frame.id,
            )
        )  # fmt: skip

    def _key(self, name: str) -> Key:
        assert self.principal is not None
        if name in PUBLIC:
            return name, ""
        if name in PRIVATE and self.principal.role == "participant":
            return name, self.principal.participant
        known = ", ".join(PUBLIC + (PRIVATE if self.principal.role == "participant" else ()))
        raise RefusedError("UNKNOWN_CHANNEL", f"{name!r:.40} is none of {known}", "channels")

    def _listen(self, key: Key) -> Channel:
        channel = self._channels[key] = self._hub.channel(*key)
        channel.subscribers[self] = None
        return channel

    def _subscribe(self, frame: Subscribe) -> None:
        keys = [self._key(name) for name in frame.channels]
        self._say(Done(frame.id))
        for key in keys:
            self._listen(key)
            self._put(self._hub.snapshot(*key))

    def _resume(self, frame: Resume) -> None:
        key = self._key(frame.ch)
        channel = self._listen(key)
        self._say(Done(frame.id))
        missed = channel.since(frame.from_seq)
        if missed is None or len(missed) > WAITING // 2:
            self._put(self._hub.snapshot(*key))
            return
        for message in missed:
            self._put(message.again())

    async def _trade(self, request: gateway.Request) -> None:
        """Have the engine carry out a request, if role and limits allow it."""
        assert self.principal is not None
        await self._slots.acquire()
        try:
            answers = self._server.submit(self.principal, request, self._allowance)
        except BaseException:
            self._slots.release()
            raise
        if answers is None:
            self._slots.release()
            self._say(Answer(request.id, []))
            return
        answers.add_done_callback(partial(self._told, request.id))

    def _told(self, request_id: str, answers: asyncio.Future[list[Entry]]) -> None:
        """Answer a request that the engine has carried out, while the reader is at later ones."""
        self._slots.release()
        error = answers.exception()
        if error is not None:
            self._say(Error("STOPPED", str(error), id=request_id))
        else:
            self._say(Answer(request_id, gateway.results(answers.result(), self._hub.projection)))
