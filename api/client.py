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
from secrets import token_hex
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from api.connection import Connection, Events
from api.schemas import Amend as AmendFrame
from api.schemas import Basket, Cancel, Change, MassCancel, NewOrder, Result, Submit
from api.view import Event, View
from market.orders import Leg, Side

T = TypeVar("T")


class AsyncClient(Connection):
    """One participant or observer at one market. Use it with `async with`; all methods are of one event loop."""

    def __init__(self, url: str, token: str = "", **options: Any) -> None:
        """`options` are those of `api.connection.Connection`."""
        super().__init__(url, token, **options)
        self._name = token_hex(6)

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

    async def prices(self) -> AsyncIterator[tuple[int, float, float]]:
        """Of each open slot, and again whenever its book changes: (slot, what buying costs, what selling brings).

        In milli-currency/MWh, network fee included; infinity, or less it, where nobody offers.
        """
        events = self.events("book")
        await self.listen(events.channels)
        changed = dict.fromkeys(sorted(self.view.book))
        while True:
            for slot in changed:
                if slot in self.view.slots:
                    yield slot, self.view.cost(slot), self.view.gain(slot)
            heard = [await anext(events), *events.ready()]
            changed = dict.fromkeys(slot for event in heard for slot in _slots(event))


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
        return self._each(self._do(self._listen(channels)))

    def prices(self) -> Iterator[tuple[int, float, float]]:
        """Of each open slot, and again whenever its book changes: (slot, what buying costs, what selling brings)."""
        return self._each(self.asynchronous.prices())

    def _each(self, stream: AsyncIterator[T]) -> Iterator[T]:
        while (item := self._do(_next(stream))) is not None:
            yield item

    async def _listen(self, channels: Sequence[str]) -> Events:
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


async def _next(stream: AsyncIterator[T]) -> T | None:
    return await anext(stream, None)


def _slots(event: Event) -> list[int]:
    """Those whose book an event of the channel `book` tells of."""
    return [line["slot"] for line in event["slots"]] if event["type"] == "snapshot" else [event["slot"]]
