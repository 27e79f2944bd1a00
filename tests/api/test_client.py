"""The client against a live market: a right book, orders that exist once, and what it says of failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api.client import AsyncClient, Client
from api.gateway import RefusedError
from api.schemas import NewOrder
from market.orders import Leg
from tests.api.live_kit import SECONDS, Live, running


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("market"), speed=1.0, heartbeat=0.2, grace=0.3) as found:
        yield found


def token(live: Live, participant: str = "home-001") -> str:
    return live.tokens.issue("participant", participant)


async def until(true: Callable[[], bool]) -> None:
    """Wait for something. Raises TimeoutError if it does not come."""
    async with asyncio.timeout(SECONDS):
        while not true():
            await asyncio.sleep(0.01)


def server_book(live: Live, slot: int) -> tuple[dict[int, int], dict[int, int]]:
    bids, asks = live.server.engine.model.exchange.depth(slot)
    return dict(bids), dict(asks)


def test_the_example_of_the_module_trades(live: Live) -> None:
    async def main() -> None:
        async with AsyncClient(live.stream, token(live)) as client:
            slot = max(client.view.slots)
            trades = client.events("trades")
            settings = client.view.settings
            assert settings is not None
            result = await client.buy(slot, settings.price_cap, 500)
            trade = await asyncio.wait_for(anext(trades), SECONDS)
            assert (trade["slot"], trade["seq"]) == (slot, result.seq)
            assert trade["side"] == "buy"
            await until(lambda: bool(client.view.account.contracted.get(slot)))

    asyncio.run(main())


def test_the_view_follows_own_orders_and_the_book(live: Live) -> None:
    async def main() -> None:
        async with AsyncClient(live.stream, token(live)) as client:
            slot = max(client.view.slots)
            first, second = await client.submit(NewOrder(slot, "buy", 1000, 500), NewOrder(slot, "buy", 1100, 700))
            await until(lambda: {first.order, second.order} <= client.view.orders.keys())
            assert (await client.amend(first.order, quantity=300)).code == ""
            await until(lambda: client.view.orders[first.order].quantity == 300)
            await until(lambda: client.view.levels(slot).bids.get(1000) == 300)
            assert (client.view.levels(slot).bids, client.view.levels(slot).asks) == server_book(live, slot)
            (gone,) = await client.cancel(second.order)
            assert gone.code == ""
            await client.mass_cancel(slot)
            await until(lambda: not client.view.orders)
            await until(lambda: 1000 not in client.view.levels(slot).bids)
            assert (await client.basket(Leg(slot, "buy", 1000, 500), Leg(slot - 1, "buy", 1000, 500))).trades == []

    asyncio.run(main())


def test_the_blocking_client_does_the_same(live: Live) -> None:
    with Client(live.stream, token(live, "home-002")) as client:
        slot = max(client.view.slots)
        events = client.events("orders")
        order = client.buy(slot, price=1000, quantity=500)
        assert order.left == 500
        accepted = next(event for event in events if event["type"] == "accepted")
        assert (accepted["order"], accepted["seq"]) == (order.order, order.seq)
        assert client.cancel(order.order)[0].code == ""
        assert client.sell(slot, price=1_000_000_000, quantity=1).code == "PRICE_OUT_OF_RANGE"


def test_a_wrong_token_and_an_unknown_channel_are_told(live: Live) -> None:
    with pytest.raises(RefusedError, match="token is unknown"):
        Client(live.stream, "wb_wrong")
    with pytest.raises(RefusedError, match="'orders' is none of market"):
        Client(live.stream, channels=["orders"])


def test_where_no_market_is_the_client_says_so() -> None:
    with pytest.raises(ConnectionError, match="no market answers there"):
        Client("ws://127.0.0.1:9/v1/stream", patience=0.1)


def test_what_the_gateway_refuses_is_raised(live: Live) -> None:
    with Client(live.stream) as client, pytest.raises(RefusedError, match="does not trade"):
        client.cancel(1)


def test_an_order_sent_again_tells_what_is_left_of_the_first(tmp_path: Path) -> None:
    with running(tmp_path, speed=1.0) as live, Client(live.stream, token(live)) as client:
        slot = max(client.view.slots)
        order = NewOrder(slot, "buy", 1000, 500, client_order_id="one")
        (first,), (again,) = client.submit(order), client.submit(order)
        assert (again.order, again.left) == (first.order, 500)
        client.cancel(first.order)
        (late,) = client.submit(order)
        assert (late.order, late.left, late.code) == (first.order, 0, "")
