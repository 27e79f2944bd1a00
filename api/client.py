"""A client of a live market: stays connected, keeps the book right, and sends every order exactly once.

    async with AsyncClient("ws://127.0.0.1:8000/v1/stream", token) as client:
        slot = max(client.view.slots)
        result = await client.buy(slot, price=150_000, quantity=500)
        async for trade in client.events("trades"):
            print(trade["slot"], trade["price"], trade["quantity"])

Prices are whole milli-currency/MWh, energy whole Wh. `Client` is the same for programs without asyncio.

A connection that is lost, or on which a request waits too long for its answer, is made anew; channels go on from the
message heard last, and what was not answered is sent again. Every order bears a name that no other one has, under
which the exchange knows it again, so that one order results however often it was sent.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import count
from secrets import randbelow, token_hex
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException

from api.gateway import RefusedError
from api.projection import PRIVATE
from api.schemas import Amend as AmendFrame
from api.schemas import Answer, Basket, Cancel, Change, MassCancel, NewOrder, Result, Submit, Welcome
from api.view import Event, Message, View
from market.orders import Leg, Side
from market.slots import NS, parse_time

PATIENCE = 5.0
"""Seconds for an answer to a request, and for the welcome of a new connection, before the connection is given up."""
BACKOFF = 0.1, 5.0
"""Seconds between two attempts to connect: at first, and at most; doubled after each."""
SILENT_BEATS = 3
"""Heartbeats without any sign of life after which a connection is given up."""
USUAL = ("market", "book", "trades")
"""Channels that every client listens to, with the private ones of a participant, unless told which."""
FOR_GOOD = {"BAD_TOKEN", "NOT_AUTHENTICATED", "FORBIDDEN"}
"""Refusals after which another connection would fare no better."""

T = TypeVar("T")
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


class AsyncClient:
    """One participant or observer at one market. Use it with `async with`; all methods are of one event loop."""

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        channels: Sequence[str] | None = None,
        cancel_on_disconnect: bool = True,
        patience: float = PATIENCE,
        backoff: tuple[float, float] = BACKOFF,
    ) -> None:
        """`channels` are listened to from the start: `USUAL` and the private ones, if not said."""
        self.url, self.view = url, View()
        self.connections = 0
        """How often a connection was made."""
        self.welcome: Welcome | None = None
        self._auth = {"op": "auth", "token": token, "cancel_on_disconnect": cancel_on_disconnect, "id": "auth"}
        self._channels: dict[str, None] | None = None if channels is None else dict.fromkeys(channels)
        self._patience, self._backoff = patience, backoff
        self._name, self._numbers = token_hex(6), count(1)
        self._pending: dict[str, _Pending] = {}
        self._listeners: dict[asyncio.Queue[Event | None], frozenset[str]] = {}
        self._socket: ClientConnection | None = None
        self._sending = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
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

    # -- trading ---------------------------------------------------------------------------------------------------

    async def submit(self, *orders: NewOrder) -> list[Result]:
        """Send orders in one frame; a result for each. Raises RefusedError if the frame as a whole is refused."""
        named = [order if order.client_order_id else msgspec.structs.replace(order, client_order_id=self._new_name())
                 for order in orders]  # fmt: skip
        return await self._ask(Submit(named))

    async def buy(self, slot: int, price: int, quantity: int, **options: Any) -> Result:
        """One bid; `options` are the other fields of `NewOrder`."""
        return await self._order("buy", slot, price, quantity, options)

    async def sell(self, slot: int, price: int, quantity: int, **options: Any) -> Result:
        """One ask; `options` are the other fields of `NewOrder`."""
        return await self._order("sell", slot, price, quantity, options)

    async def amend(self, order: int, price: int | None = None, quantity: int | None = None) -> Result:
        """Another price or total quantity for a resting order."""
        return (await self._ask(AmendFrame([Change(order, price, quantity)])))[0]

    async def cancel(self, *orders: int) -> list[Result]:
        """Take out orders; a result for each."""
        return await self._ask(Cancel([*orders]))

    async def mass_cancel(self, slot: int | None = None) -> Result:
        """Take out all own orders, of one slot or of all. Raises LostError if the connection broke meanwhile."""
        return (await self._ask(MassCancel(slot), again=False))[0]

    async def basket(self, *legs: Leg) -> Result:
        """Linked orders: all are filled in full at once, or none is."""
        return (await self._ask(Basket(legs, self._new_name())))[0]

    async def _order(self, side: Side, slot: int, price: int, quantity: int, options: dict[str, Any]) -> Result:
        return (await self.submit(NewOrder(slot, side, price, quantity, **options)))[0]

    def _new_name(self) -> str:
        return f"{self._name}-{next(self._numbers)}"

    async def _ask(self, frame: msgspec.Struct, *, again: bool = True) -> list[Result]:
        """Send a request and wait for its results, over as many connections as it takes."""
        if self._task is None or self._task.done():
            raise self._failure or LostError(f"{self.url}: the client is closed")
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

    def events(self, *channels: str) -> AsyncIterator[Event]:
        """What happens from this call on in channels, in order and each once; ends when the client is closed.

        An event has `ch`, `seq`, `type`, and what the channel's items have. State that was lost with its events comes
        as a `snapshot`, in `trades` and `limits` as an event `missed`; the view is right all the same.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._listeners[queue] = frozenset(channels)
        return self._events(queue, channels)

    async def _events(self, queue: asyncio.Queue[Event | None], channels: Sequence[str]) -> AsyncIterator[Event]:
        try:
            await self._listen(channels)
            while (event := await queue.get()) is not None:
                yield event
            if self._failure is not None:
                raise self._failure
        finally:
            self._listeners.pop(queue, None)

    async def _listen(self, channels: Sequence[str]) -> None:
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
                                       close_timeout=1.0, ping_interval=None) as socket:  # fmt: skip
                        await self._talk(socket)
                except InvalidStatus as error:
                    if 400 <= error.response.status_code < 500:
                        raise RefusedError("FORBIDDEN", str(error)) from error
                except InvalidURI:
                    raise
                except (OSError, WebSocketException):
                    pass  # lost, silent, or not there yet: the next attempt will tell
                finally:
                    self._lost()
                pause = first if self.connections > made else min(2 * pause, most)
                await asyncio.sleep(pause * (0.5 + randbelow(1000) / 2000))
        except Exception as error:
            self._failure = error
            raise
        finally:
            for pending in self._pending.values():
                if not pending.answer.done():
                    pending.answer.set_exception(self._failure or LostError(f"{self.url}: closed before the answer"))
            for queue in self._listeners:
                queue.put_nowait(None)

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
                if message.get("op") == "error" and message["code"] in FOR_GOOD:
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
        for queue, channels in self._listeners.items():
            if name in channels:
                for event in events:
                    queue.put_nowait(event)


class Client:
    """The client for programs without asyncio: the same methods, which wait; the connection lives in a thread."""

    def __init__(self, url: str, token: str = "", **options: Any) -> None:
        """Connects at once. Arguments and errors are those of `AsyncClient`."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wattbook-client", daemon=True)
        self._thread.start()
        try:
            self.asynchronous = self._do(self._open(url, token, options))
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self._do(self.asynchronous.close())
        self._stop()

    @property
    def view(self) -> View:
        """What is known of the market now, as a copy."""
        return self._do(self._copy())

    def submit(self, *orders: NewOrder) -> list[Result]:
        return self._do(self.asynchronous.submit(*orders))

    def buy(self, slot: int, price: int, quantity: int, **options: Any) -> Result:
        return self._do(self.asynchronous.buy(slot, price, quantity, **options))

    def sell(self, slot: int, price: int, quantity: int, **options: Any) -> Result:
        return self._do(self.asynchronous.sell(slot, price, quantity, **options))

    def amend(self, order: int, price: int | None = None, quantity: int | None = None) -> Result:
        return self._do(self.asynchronous.amend(order, price, quantity))

    def cancel(self, *orders: int) -> list[Result]:
        return self._do(self.asynchronous.cancel(*orders))

    def mass_cancel(self, slot: int | None = None) -> Result:
        return self._do(self.asynchronous.mass_cancel(slot))

    def basket(self, *legs: Leg) -> Result:
        return self._do(self.asynchronous.basket(*legs))

    def events(self, *channels: str) -> Iterator[Event]:
        """What happens from this call on in channels, one by one."""
        return self._events(self._do(self._listen(channels)))

    def _events(self, stream: AsyncIterator[Event]) -> Iterator[Event]:
        while (event := self._do(_next(stream))) is not None:
            yield event

    async def _listen(self, channels: Sequence[str]) -> AsyncIterator[Event]:
        return self.asynchronous.events(*channels)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @staticmethod
    async def _open(url: str, token: str, options: dict[str, Any]) -> AsyncClient:
        return await AsyncClient(url, token, **options).__aenter__()

    async def _copy(self) -> View:
        return deepcopy(self.asynchronous.view)

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _next(stream: AsyncIterator[Event]) -> Event | None:
    return await anext(stream, None)
