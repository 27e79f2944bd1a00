"""A small market day for tests of the ledger: every command and every event, with wires that bind."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from market.capacity import CapacityRows, Gate, OpenGate, Verdict
from market.events import Entry, Traded
from market.exchange import Exchange
from market.orders import (
    RULES,
    AdvanceClock,
    Amend,
    Cancel,
    Command,
    CreateMarket,
    GateMode,
    MarketSettings,
    MassCancel,
    RecordMeter,
    Register,
    Settle,
    Submit,
    UpdateGrid,
)
from market.slots import MINUTE, format_time
from market.store import Ledger

NAMES = ["utility", "anna", "bert", "cleo", "dora"]
CONNECTIONS = [f"c{number}" for number in range(len(NAMES))]
FEEDER = json.dumps({"connections": [{"id": name} for name in CONNECTIONS]})
Target = TypeVar("Target", str, Path)
FIRST = 40_000
SETTINGS = MarketSettings(
    name="lane",
    currency="EUR",
    slot_seconds=900,
    opens_before_seconds=3600,
    gate_before_seconds=300,
    tick=100,
    price_floor=-10_000,
    price_cap=500_000,
    lot=10,
    max_orders=100,
    gate="off",
    voltage_min_ppm=900_000,
    voltage_max_ppm=1_100_000,
    loading_max_ppm=1_000_000,
    utility="utility",
    retail=300_000,
    feed_in=80_000,
    grid_fee=50_000,
)


class CappedGate(OpenGate):
    """Asked about every change: no connection may inject or draw more than `cap` Wh on top of the baseline."""

    def __init__(self, cap: int) -> None:
        super().__init__(CONNECTIONS)
        self._cap = cap
        self._schedules: dict[int, NDArray[np.int64]] = {}

    def open(self, slot: int, baseline: NDArray[np.int64], reactive: NDArray[np.int64]) -> CapacityRows | None:
        schedule = self._schedules.setdefault(slot, np.zeros(len(CONNECTIONS), np.int64))
        none = np.zeros(0)
        size = len(CONNECTIONS)
        return CapacityRows(schedule, np.zeros((2, 0)), np.zeros((size, 2, 0)), none, none, [], False, 0)

    def check(self, slot: int, inject: int, withdraw: int, wanted: int, lot: int) -> Verdict:
        schedule = self._schedules[slot]
        rooms = [(wanted, "")]
        if inject >= 0:
            rooms.append((self._cap - int(schedule[inject]), f"bus:{inject}:high"))
        if withdraw >= 0:
            rooms.append((self._cap + int(schedule[withdraw]), f"bus:{withdraw}:low"))
        room, constraint = min(rooms)
        return Verdict(max(room, 0) // lot * lot, constraint)


class RowGate(OpenGate):
    """Decided by the kernel: one row whose modulus grows with every injection and falls with every withdrawal."""

    def __init__(self) -> None:
        super().__init__(CONNECTIONS)

    def open(self, slot: int, baseline: NDArray[np.int64], reactive: NDArray[np.int64]) -> CapacityRows | None:
        sensitivity = np.zeros((len(CONNECTIONS), 2, 1))
        sensitivity[:, 0, 0] = [0, 3, 5, 7, 11]
        schedule = np.zeros(len(CONNECTIONS), np.int64)
        state, bounds = np.array([[20_000.0], [0.0]]), (np.array([17_000.0]), np.array([23_000.0]))
        return CapacityRows(schedule, state, sensitivity, *bounds, ["branch:one"], True, 0)


def gate_of(mode: GateMode) -> Gate:
    capped = CappedGate(600)
    return {"off": OpenGate(CONNECTIONS), "linear": RowGate(), "certified": capped, "ac": capped}[mode]


def settings(mode: GateMode) -> MarketSettings:
    fields = {name: getattr(SETTINGS, name) for name in SETTINGS.__struct_fields__}
    return MarketSettings(**{**fields, "gate": mode})


@cache
def entries(mode: GateMode = "ac", seed: int = 1, slots: int = 4, orders: int = 40) -> tuple[Entry, ...]:
    """The journal of `slots` slots with `orders` order commands each, then meters (one is silent) and settlement."""
    rng = np.random.default_rng(seed)
    exchange = Exchange(gate_of(mode))
    journal = exchange.apply_many(
        [CreateMarket(settings(mode), FEEDER, RULES)]
        + [Register(name, connection) for name, connection in zip(NAMES, CONNECTIONS, strict=True)]
        + [Register("anna", "c1")]
    )
    owners: dict[int, str] = {}
    for slot in range(FIRST, FIRST + slots):
        journal.append(exchange.apply(AdvanceClock(format_time((slot * 15 - 20) * MINUTE))))
        baseline = [0, *(int(value) for value in rng.integers(-80, 80, len(NAMES) - 1) * 10)]
        journal.append(exchange.apply(UpdateGrid(slot, baseline)))
        commands: list[Command] = []
        for number in range(exchange.seq + 1, exchange.seq + 1 + orders):
            commands.append(_order(rng, slot, number, owners))
        journal += exchange.apply_many([*commands, MassCancel("dora", slot)])
    journal.append(exchange.apply(AdvanceClock(format_time((FIRST + slots) * 15 * MINUTE))))
    for slot in range(FIRST, FIRST + slots):
        readings = {name: int(rng.integers(-2000, 2000)) for name in NAMES[1:-1]}
        journal += exchange.apply_many([RecordMeter(slot, readings), Settle(slot), Settle(slot)])
    return tuple(journal)


def trade_seq(journal: tuple[Entry, ...]) -> int:
    """Number of an entry in the middle of the journal that trades."""
    trading = [entry.seq for entry in journal if any(isinstance(event, Traded) for event in entry.events)]
    return trading[len(trading) // 2]


def ledger_at(target: Target, journal: tuple[Entry, ...]) -> Target:
    """Write the entries to a new ledger, in a few transactions, and close it."""
    with Ledger.create(target) as ledger:
        for first in range(0, len(journal), 50):
            ledger.append(journal[first : first + 50])
    return target


def _order(rng: np.random.Generator, slot: int, number: int, owners: dict[int, str]) -> Command:
    """Command `number`: mostly an order, for `slot` or the next, some of them changes of an order among the latest."""
    kind = rng.random()
    if kind < 0.3 and owners:
        order = int(rng.choice([*owners][-20:]))
        name = owners[order] if kind < 0.27 else "cleo"
        if kind < 0.1:
            return Cancel(name, order)
        return Amend(name, order, int(rng.integers(500, 2500)) * 100, int(rng.integers(1, 60)) * 10)
    name = owners[number] = NAMES[int(rng.integers(len(NAMES)))]
    sells = bool(rng.random() < 0.5)
    return Submit(
        participant=name,
        slot=slot + int(rng.integers(2)),
        side="sell" if sells else "buy",
        price=int(rng.integers(500, 2500)) * 100,
        quantity=int(rng.integers(1, 60)) * 10,
        time_in_force="ioc" if rng.random() < 0.2 else "gtc",
        flexible=bool(rng.random() < 0.6),
        source=["solar", "wind", ""][int(rng.integers(3))] if sells else "",
    )
