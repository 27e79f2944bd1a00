"""The client behind a wire that drops, doubles, delays, reorders and cuts: its view ends right, its orders exist once.

One market serves all cases; at its slow speed only what the cases do moves it. A failing case is repeated by its seed.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
import pytest

from api.client import AsyncClient
from api.schemas import NewOrder
from market.events import Accepted, Traded
from market.orders import Submit
from market.store import Ledger
from tests.api.faults import Faults, Proxy
from tests.api.live_kit import SECONDS, Live, running

HEARTBEAT = 0.1
PATIENCE, BACKOFF = 0.3, (0.01, 0.05)
FEE = 40_000
"""Of the small market; a bid must exceed an ask by it."""
ROUNDS = 6
"""Frames of orders that one client sends in a case."""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("market")
    with running(folder, speed=0.1, heartbeat=HEARTBEAT, grace=60.0, auth_seconds=1.0) as found:
        yield found


def faults_of(rng: np.random.Generator) -> Faults:
    """Up to a tenth of every fault, and up to a twentieth of cuts."""
    return Faults(*(rng.random(5) * [0.1, 0.1, 0.1, 0.1, 0.05]).tolist())


def orders_of(rng: np.random.Generator, slots: list[int], sent: int, seed: int) -> list[NewOrder]:
    """A few orders around one price, some of which trade with each other."""
    made = []
    for place in range(int(rng.integers(1, 4))):
        sell = bool(rng.random() < 0.5)
        price, quantity = int(rng.integers(100, 120)) * 1000 + (0 if sell else FEE), int(rng.integers(1, 9)) * 100
        made.append(
            NewOrder(
                int(rng.choice(slots)), "sell" if sell else "buy", price, quantity, flexible=True,
                source="storage" if sell else "", client_order_id=f"case-{seed}-{sent}-{place}",
            )
        )  # fmt: skip
    return made


def server_books(live: Live) -> dict[int, tuple[dict[int, int], dict[int, int]]]:
    exchange, hub = live.server.engine.model.exchange, live.server.engine.hub
    books = {slot: exchange.depth(slot) for slot in hub.projection.open}
    return {slot: (dict(bids), dict(asks)) for slot, (bids, asks) in books.items()}


def client_books(client: AsyncClient) -> dict[int, tuple[dict[int, int], dict[int, int]]]:
    return {slot: (levels.bids, levels.asks) for slot, levels in client.view.book.items()}


def difference(live: Live, client: AsyncClient, participant: str) -> str:
    """What the client's view has otherwise than the server; empty if nothing."""
    projection = live.server.engine.hub.projection
    pairs = {
        "book": (client_books(client), server_books(live)),
        "orders": (client.view.orders, projection.orders[participant]),
        "contracted": (client.view.account.contracted, {
            slot: energy[participant] for slot, energy in projection.contracted.items() if participant in energy
        }),
        "slots": (set(client.view.slots), projection.open),
    }  # fmt: skip
    return "; ".join(f"{name}: {mine} is not {theirs}" for name, (mine, theirs) in pairs.items() if mine != theirs)


async def case(live: Live, seed: int) -> Counter[str]:
    """One client trades behind a bad wire, one behind a good one; after the wire has healed the bad one sees it all."""
    rng = np.random.default_rng(seed)
    proxy = Proxy(live.stream, Faults(), seed)
    one, two = (live.tokens.issue("participant", name) for name in ("home-003", "home-004"))
    async with (
        proxy.open(),
        AsyncClient(live.stream, two) as other,
        AsyncClient(proxy.url, one, cancel_on_disconnect=False, patience=PATIENCE, backoff=BACKOFF) as client,
    ):
        proxy.faults = faults_of(rng)
        slots = sorted(other.view.slots)
        for sent in range(ROUNDS):
            mine, theirs = (orders_of(rng, slots, sent, seed) for _ in range(2))
            async with asyncio.timeout(SECONDS):
                results, _ = await asyncio.gather(client.submit(*mine), other.submit(*theirs))
            assert all(result.order or result.code for result in results), f"seed={seed}"
        proxy.heal()
        try:
            async with asyncio.timeout(SECONDS):
                while difference(live, client, "home-003"):
                    await asyncio.sleep(0.01)
        except TimeoutError:
            pytest.fail(f"seed={seed} faults={proxy.happened}: {difference(live, client, 'home-003')}")
        assert not proxy.reused, f"seed={seed}: {proxy.reused[0]}"
        for each in (client, other):
            if each.view.orders:
                await each.cancel(*each.view.orders)
    return Counter(proxy.happened)


def check_once(live: Live) -> None:
    """Every name of an order was accepted under one number; some were sent twice, and some traded."""
    sent: Counter[str] = Counter()
    numbers: dict[str, set[int]] = defaultdict(set)
    traded: set[int] = set()
    with Ledger.open(live.ledger) as ledger:
        for entry in ledger.entries():
            traded |= {order for event in entry.events if isinstance(event, Traded)
                       for order in (event.buy_order, event.sell_order)}  # fmt: skip
            if isinstance(entry.command, Submit) and entry.command.client_order_id.startswith("case-"):
                name = f"{entry.command.participant} {entry.command.client_order_id}"
                sent[name] += 1
                numbers[name] |= {event.order for event in entry.events if isinstance(event, Accepted)}
    assert {len(found) for found in numbers.values()} == {1}
    assert max(sent.values()) > 1
    assert traded & {number for found in numbers.values() for number in found}


def test_after_a_bad_wire_the_view_is_that_of_the_server_and_every_order_exists_once(live: Live) -> None:
    happened: Counter[str] = Counter()
    for seed in range(15):
        happened += asyncio.run(case(live, seed))
    assert set(happened) == set(Faults._fields), happened
    check_once(live)


@pytest.mark.slow  # some minutes: two hundred cases over real sockets
def test_after_two_hundred_bad_wires_too(live: Live) -> None:
    for seed in range(1000, 1200):
        asyncio.run(case(live, seed))
    check_once(live)


class Overtaking(Proxy):
    """The refusal of a doubled `auth` comes before the welcome to the first."""

    def _heard(self, text: str) -> str:
        frame = json.loads(text)
        messages = frame if isinstance(frame, list) else [frame]
        welcome = any(message.get("op") == "welcome" for message in messages)
        refusal = {
            "op": "error",
            "code": "FORBIDDEN",
            "reason": "this connection is authenticated already",
            "id": "auth",
        }
        return json.dumps([refusal, *messages] if welcome else messages)


def test_a_refusal_that_overtakes_the_welcome_does_not_end_the_client(live: Live) -> None:
    async def main() -> None:
        token = live.tokens.issue("participant", "home-006")
        proxy = Overtaking(live.stream, Faults(), 0)
        async with proxy.open(), AsyncClient(proxy.url, token) as client:
            assert (await client.buy(max(client.view.slots), 2000, 500)).order

    asyncio.run(main())


def test_a_lost_last_message_is_found_within_one_heartbeat(live: Live) -> None:
    async def main() -> None:
        token = live.tokens.issue("participant", "home-005")
        proxy = Proxy(live.stream, Faults(), 0)
        async with proxy.open(), AsyncClient(proxy.url, token, cancel_on_disconnect=False) as client:
            slot = max(client.view.slots)
            proxy.lose = {"orders", "book"}
            result = await client.buy(slot, 1000, 500)
            async with asyncio.timeout(SECONDS):
                while not {("orders", result.seq), ("book", result.seq)} <= proxy.told.keys():
                    await asyncio.sleep(0.005)
            assert result.order not in client.view.orders
            proxy.lose = set()
            beats = proxy.beats
            async with asyncio.timeout(SECONDS):
                while result.order not in client.view.orders or client.view.levels(slot).bids.get(1000) != 500:
                    await asyncio.sleep(0.005)
            assert proxy.beats - beats <= 2  # the one that told of it, and one that may have been on its way
            assert client.connections == 1

    asyncio.run(main())
