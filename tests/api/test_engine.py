"""The engine is ahead of its ledger, and nobody notices: told is only what is durable."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from agents import MarketModel
from api.runtime import GROUP, Engine, StoppedError
from market.events import Entry
from market.ledger import LedgerError
from market.orders import Command, Submit
from tests.agents.small import ALONE, scenario

PRICE = 100_000


class Disk:
    """Keeps entries as soon as it is let; or refuses them."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.commits = 0
        self.free = threading.Event()
        self.free.set()
        self.broken = False

    def append(self, entries: Sequence[Entry]) -> None:
        assert self.free.wait(60)
        if self.broken:
            raise LedgerError("the disk is full")
        self.entries += entries
        self.commits += 1

    def sign(self) -> None:
        assert self.free.wait(60)


class Clients:
    """What they are told, in order."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.told: list[tuple[int, Sequence[Entry] | StoppedError]] = []
        self.sent = 0

    def send(self, commands: Sequence[Command]) -> None:
        number, self.sent = self.sent, self.sent + 1
        self.engine.carry_out(commands, lambda outcome: self.told.append((number, outcome)))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.001)


def bids(engine: Engine, count: int) -> list[Command]:
    slot = max(engine.model.exchange.open_slots())
    return [Submit("home-001", slot, "buy", PRICE, 100) for _ in range(count)]


def test_what_is_carried_out_while_the_disk_is_busy_is_told_after_it_and_shares_a_commit() -> None:
    async def main() -> None:
        disk = Disk()
        engine = Engine(MarketModel(scenario().changed(**ALONE)), disk, 1.0)
        clients, exchange = Clients(engine), engine.model.exchange
        running = asyncio.create_task(engine.run())
        await engine.ready.wait()
        slot = max(exchange.open_slots())
        await until(lambda: engine.hub.projection.seq == exchange.seq)
        before, commits, known = exchange.seq, disk.commits, exchange.depth(slot)
        disk.free.clear()
        clients.send(bids(engine, 1))
        await until(lambda: exchange.seq > before)
        for _ in range(3):
            clients.send(bids(engine, GROUP))
        await until(lambda: exchange.seq > before + 3 * GROUP)
        await asyncio.sleep(0.3)  # for beats of the book
        assert dict(exchange.depth(slot)[0])[PRICE] == 100 * (3 * GROUP + 1)
        assert clients.told == []
        assert engine.hub.projection.seq == len(disk.entries) == before
        assert engine.hub.projection.depth(slot) == known
        assert f"[{PRICE}," not in engine.hub.snapshot("book").decode()
        disk.free.set()
        await until(lambda: len(clients.told) == 4)
        assert [number for number, _ in clients.told] == [0, 1, 2, 3]
        assert disk.commits == commits + 2
        durable = {entry.seq for entry in disk.entries}
        for _, outcome in clients.told:
            assert not isinstance(outcome, StoppedError)
            assert {entry.seq for entry in outcome} <= durable
        assert engine.hub.projection.depth(slot) == exchange.depth(slot)
        await until(lambda: f"[{PRICE}," in engine.hub.snapshot("book").decode())
        engine.stop()
        await running
        assert [entry.seq for entry in disk.entries] == list(range(1, exchange.seq + 1))

    asyncio.run(main())


def test_what_the_disk_refuses_was_never_told_to_anybody() -> None:
    async def main() -> None:
        disk = Disk()
        engine = Engine(MarketModel(scenario().changed(**ALONE)), disk, 1.0)
        clients = Clients(engine)
        running = asyncio.create_task(engine.run())
        await engine.ready.wait()
        await until(lambda: engine.hub.projection.seq == engine.model.exchange.seq)
        before = engine.model.exchange.seq
        disk.free.clear()
        disk.broken = True
        clients.send(bids(engine, 1))
        await until(lambda: engine.model.exchange.seq > before)
        clients.send(bids(engine, GROUP))
        await until(lambda: engine.model.exchange.seq > before + GROUP)
        clients.send(bids(engine, 1))
        disk.free.set()
        with pytest.raises(LedgerError, match="full"):
            await running
        assert [number for number, _ in clients.told] == [0, 1, 2]
        assert all(isinstance(outcome, StoppedError) for _, outcome in clients.told)
        assert engine.hub.projection.seq == len(disk.entries) == before
        with pytest.raises(StoppedError):
            clients.send(bids(engine, 1))

    asyncio.run(main())
