"""One websocket connection: frames in, answers and channel messages out, and what happens to who is too slow.

A connection has no task that reads or writes. It answers frames as they come, and writes once what has gathered in its
outbox while the loop was busy. Where the client does not read, the outbox fills up to its bound. Where it overflows,
public channels are conflated: their messages are dropped and a snapshot follows when the client reads again. Private
messages are never dropped: their connection is closed with a reason, and the client may connect again and resume.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Any

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
from api.wire import EXTENSION, Wire, frame
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
    """One connection. A `Subscriber` of the hub and the `Listener` of its wire."""

    def __init__(self, server: Server, socket: WebSocket) -> None:
        self.name = token_hex(8)
        self.principal: Principal | None = None
        self.cancel_on_disconnect = False
        self._server, self._socket, self._hub = server, socket, server.engine.hub
        self._wire: Wire = socket.scope["extensions"][EXTENSION]["wire"]
        self._loop = asyncio.get_running_loop()
        self._channels: dict[Key, Channel] = {}
        self._inbox: deque[bytes] = deque()
        """Frames that came while too many requests were with the engine."""
        self._unanswered = 0
        self._outbox: deque[bytes] = deque()
        self._called = False
        """Whether the loop will write what is in the outbox."""
        self._lagging: dict[str, None] = {}
        self._closing: tuple[int, str] | None = None
        self._over = asyncio.Event()
        self._allowance = Allowance(server.limits)
        self._answers: dict[type, Callable[[Any], None]] = {
            Auth: self._authenticate, Subscribe: self._subscribe, Unsubscribe: self._unsubscribe,
            Resume: self._resume, Ping: self._done,
        }  # fmt: skip

    async def serve(self) -> None:
        """Talk to the client until either side ends it."""
        await self._socket.accept()
        self._beats = self._loop.call_later(self._server.heartbeat, self._beat)
        patience = self._loop.call_later(self._server.auth_seconds, self._expect)
        try:
            self._wire.attach(self)
            await self._over.wait()
            if self._closing is not None:
                with suppress(WebSocketDisconnect):
                    await self._socket.close(*self._closing)
        finally:
            self._over.set()
            patience.cancel()
            self._beats.cancel()
            for channel in self._channels.values():
                channel.subscribers.pop(self, None)
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

    @property
    def waiting(self) -> int:
        """Messages that wait to be read by the client."""
        return len(self._outbox)

    def close(self, code: int, reason: str) -> None:
        """End the connection once what can be written is written."""
        if self._closing is None:
            LOG.info("closing", extra={"told": {"session": self.name, "code": code, "reason": reason}})
            self._closing = (code, reason)
            self._write()

    # -- out -------------------------------------------------------------------------------------------------------

    def _put(self, data: bytes) -> None:
        self._outbox.append(data)
        if not self._called:
            self._called = True
            self._loop.call_soon(self._write)

    def _say(self, message: msgspec.Struct) -> None:
        self._put(_encode(message))

    def _write(self) -> None:
        """Send what waits, several messages a frame, as far as the client reads."""
        self._called = False
        outbox, wire = self._outbox, self._wire
        while not self._over.is_set() and not wire.clogged:
            if not outbox:
                self._catch_up()
            if not outbox:
                if self._closing is not None:
                    self._over.set()
                return
            count = min(len(outbox), FRAME_MESSAGES)
            batch = [outbox.popleft() for _ in range(count)]
            wire.write(frame(batch[0] if count == 1 else b"[" + b",".join(batch) + b"]"))

    def _catch_up(self) -> None:
        """Snapshots of the channels whose messages were dropped."""
        for name in self._lagging:
            self._outbox.append(self._hub.snapshot(name))
        self._lagging.clear()

    def _beat(self) -> None:
        self._beats = self._loop.call_later(self._server.heartbeat, self._beat)
        if not self._wire.clogged:
            self._say(Heartbeat(self._hub.projection.now, self._hub.heads(self._channels)))

    # -- what the wire tells -----------------------------------------------------------------------------------------

    def heard(self, text: bytes) -> None:
        """Answer a frame, or keep it until fewer requests wait for the engine."""
        if self._inbox or self._unanswered >= IN_FLIGHT:
            self._inbox.append(text)
            self._wire.hold()
        elif self._closing is None:
            self._take(text)

    def flowing(self) -> None:
        """Go on writing."""
        self._write()

    def gone(self) -> None:
        """There is nobody any more."""
        self._over.set()

    # -- in --------------------------------------------------------------------------------------------------------

    def _expect(self) -> None:
        """By now the client must have said who it is."""
        if self.principal is None:
            self._say(Error("NOT_AUTHENTICATED", f"no auth frame within {self._server.auth_seconds:g} s"))
            self.close(CLOSE_POLICY, "NOT_AUTHENTICATED")

    def _take(self, text: bytes) -> None:
        """Answer one frame, whatever it is."""
        frame_id = ""
        try:
            said = self._decoded(text)
            frame_id = said.id
            self._answer(said)
        except RefusedError as refused:
            self._server.metrics.refusals[refused.code] += 1
            self._say(Error(refused.code, refused.reason, refused.field, frame_id))
            if self.principal is None:
                self.close(CLOSE_POLICY, refused.code)
        except StoppedError as stopped:
            self._say(Error("STOPPED", str(stopped), id=frame_id))

    def _decoded(self, text: bytes) -> ClientFrame:
        self._allowance.frame(len(text))
        try:
            frame: ClientFrame = _decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise gateway.malformed(error) from error
        return frame

    def _answer(self, said: ClientFrame) -> None:
        if self.principal is None and not isinstance(said, Auth):
            raise RefusedError("NOT_AUTHENTICATED", "the first frame must be auth", "op")
        self._answers.get(type(said), self._trade)(said)

    def _done(self, said: Ping) -> None:
        self._say(Done(said.id))

    def _authenticate(self, said: Auth) -> None:
        if self.principal is not None:
            raise RefusedError("FORBIDDEN", "this connection is authenticated already", "op")
        self.principal = self._server.admitted(said.token)
        self.cancel_on_disconnect = said.cancel_on_disconnect and self.principal.role == "participant"
        self._server.joined(self)
        server, role = self._server, self.principal.role
        private = list(PRIVATE) if role == "participant" else []
        self._say(
            Welcome(
                role, self.principal.participant, server.market, self.name, server.heartbeat, server.grace,
                server.limits, [*PUBLIC, *private], speed=server.engine.speed, id=said.id,
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

    def _subscribe(self, said: Subscribe) -> None:
        keys = [self._key(name) for name in said.channels]
        self._say(Done(said.id))
        for key in keys:
            self._listen(key)
            self._put(self._hub.snapshot(*key))

    def _unsubscribe(self, said: Unsubscribe) -> None:
        for name in said.channels:
            channel = self._channels.pop(self._key(name), None)
            if channel is not None:
                channel.subscribers.pop(self, None)
        self._say(Done(said.id))

    def _resume(self, said: Resume) -> None:
        key = self._key(said.ch)
        channel = self._listen(key)
        self._say(Done(said.id))
        missed = channel.since(said.from_seq)
        if missed is None or len(missed) > WAITING // 2:
            self._put(self._hub.snapshot(*key))
            return
        for message in missed:
            self._put(message.again())

    def _trade(self, request: gateway.Request) -> None:
        """Have the engine carry out a request, if role and limits allow it."""
        assert self.principal is not None
        commands, quotes_for = self._server.permitted(self.principal, request, self._allowance)
        if not commands:
            self._say(Answer(request.id, []))
            return
        self._server.engine.carry_out(commands, partial(self._told, request.id), quotes_for)
        self._unanswered += 1

    def _told(self, request_id: str, outcome: Sequence[Entry] | StoppedError) -> None:
        """Answer a request that the engine has carried out, and go on with frames that had to wait."""
        if isinstance(outcome, StoppedError):
            self._say(Error("STOPPED", str(outcome), id=request_id))
        else:
            self._say(Answer(request_id, gateway.results(outcome, self._hub.projection)))
        self._unanswered -= 1
        while self._inbox and self._unanswered < IN_FLIGHT and self._closing is None:
            self._take(self._inbox.popleft())
        if not self._inbox:
            self._wire.release()
