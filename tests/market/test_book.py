"""The compiled book against the plain one, by batch and by single message, with and without capacity."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from market import intake, kernel
from market.book import Book
from market.capacity import CapacityRows, OpenGate
from market.events import Accepted, Entry, Event, Limited, Rejected, Traded
from market.exchange import Exchange
from market.orders import (
    AdvanceClock,
    Amend,
    Cancel,
    Command,
    CreateMarket,
    NetworkTariff,
    Register,
    Side,
    Submit,
    TimeInForce,
    UpdateGrid,
)
from market.tariff import Fees
from tests.market.naive import SETTINGS, ConnectionLimits, NaiveBook

NAMES = [f"p{number}" for number in range(12)]
LIMITS = {f"c{number}": 400 * number for number in range(12)} | {"slack": 0}
BASELINE = [(number - 6) * 55 for number in range(12)] + [0]
MODES = ["off", "linear", "ac"]


TARIFFS: dict[str, dict[str, Any]] = {
    "free": {},
    "flat": {"grid_fee": 2_000},
    "distance": {
        "grid_fee": 500,
        "network_tariff": NetworkTariff(
            model="distance",
            parent=(-1, 0, 1, 2, 1, 4, 0, 6),
            length=(0, 5, 7, 30, 11, 2, 17, 1),
            place=(0, 1, 2, 3, 4, 5, 6, 7, 7, 3, 2, 1, 0),
            rate=30_000_000,
            limits=(10, 40),
            fees=(0, 1_000, 4_000),
        ),
    },
}  # fmt: skip


def exchange(mode: str, tariff: str = "free", **changes: object) -> tuple[Exchange, int]:
    """An exchange with twelve participants and a utility, and the slot that trades on it."""
    gate = OpenGate(list(LIMITS)) if mode == "off" else ConnectionLimits(LIMITS, decides=mode == "linear")
    market = Exchange(gate)
    rules = msgspec.structs.replace(SETTINGS, gate=mode, **TARIFFS[tariff], **changes)
    commands: list[Command] = [CreateMarket(rules, ""), Register("utility", "slack")]
    commands += [Register(name, f"c{number}") for number, name in enumerate(NAMES)]
    commands.append(AdvanceClock("2016-06-21T12:00:00Z"))
    entries = market.apply_many(commands)
    assert not [event for entry in entries for event in entry.events if isinstance(event, Rejected)]
    slot = market.open_slots()[0]
    market.apply(UpdateGrid(slot, BASELINE))
    return market, slot


def oracle(mode: str, market: Exchange) -> NaiveBook:
    nodes = {name: number for number, name in enumerate(NAMES)} | {"utility": 12}
    book = NaiveBook(market.settings, nodes, list(LIMITS), None if mode == "off" else list(LIMITS.values()))
    book.rebase(BASELINE)
    return book


def random_commands(rng: np.random.Generator, slot: int, first: int, count: int) -> Iterator[Command]:
    """Orders around a common price, so that books stay deep and most changes meet a live order."""
    for number in range(first, first + count):
        name = NAMES[rng.integers(len(NAMES))]
        kind = rng.random()
        price = int(np.clip(rng.normal(250, 40), 0, 500)) * 100
        quantity = int(rng.integers(1, 30)) * 10
        if kind < 0.6:
            side = "buy" if rng.random() < 0.5 else "sell"
            who = "utility" if rng.random() < 0.03 else name
            yield _order(rng, who, slot, side, price, quantity)
            continue
        order = max(1, number - int(rng.geometric(0.02)))
        if kind < 0.8:
            yield Cancel(name, order)
        else:
            yield Amend(name, order, *((price, None), (None, quantity), (price, quantity))[rng.integers(3)])


def _order(rng: np.random.Generator, who: str, slot: int, side: str, price: int, quantity: int) -> Submit:
    force = ("gtc", "ioc", "fok")[int(np.searchsorted([0.8, 0.92], rng.random()))]
    source = ("solar", "wind", "")[rng.integers(3)] if side == "sell" else ""
    sources = ("solar", "hydro") if side == "buy" and rng.random() < 0.1 else ()
    post_only = force == "gtc" and rng.random() < 0.1
    flexible = bool(rng.random() < 0.4)
    order = Submit(who, slot, side, price, quantity, force, flexible, source)  # type: ignore[arg-type]
    return msgspec.structs.replace(order, sources=sources, post_only=post_only)


def own_orders(commands: list[Command], first: int, rng: np.random.Generator) -> list[Command]:
    """Let nine of ten changes come from the participant whose order they name."""
    owner = {
        number: command.participant for number, command in enumerate(commands, first) if isinstance(command, Submit)
    }
    return [
        msgspec.structs.replace(command, participant=owner[command.order])
        if isinstance(command, Amend | Cancel) and command.order in owner and rng.random() < 0.9
        else command
        for command in commands
    ]


def seeded(seed: int, market: Exchange, slot: int, count: int) -> list[Command]:
    rng = np.random.default_rng(seed)
    first = market.seq + 1
    return own_orders(list(random_commands(rng, slot, first, count)), first, rng)


def told(entries: list[Entry]) -> list[tuple[Event, ...]]:
    """Events without what the plain book does not know: the slot, and which of several limits was met first."""
    return [tuple(map(plain, entry.events)) for entry in entries]


def plain(event: Event) -> Event:
    if isinstance(event, Traded):
        return msgspec.structs.replace(event, slot=0)
    return msgspec.structs.replace(event, constraint="") if isinstance(event, Limited) else event


def expected(naive: NaiveBook, number: int, command: Command) -> tuple[Event, ...]:
    assert isinstance(command, Submit | Amend | Cancel)
    return tuple(map(plain, naive.apply(number, command)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("seed", "count", "tariff"),
    [
        (0, 4_000, "free"),
        (2, 2_000, "flat"),
        (3, 2_000, "distance"),
        pytest.param(1, 20_000, "free", marks=pytest.mark.slow),  # deep books take a plain one some ten seconds
    ],
)
def test_book_gives_the_events_of_a_naive_book(mode: str, seed: int, count: int, tariff: str) -> None:
    market, slot = exchange(mode, tariff=tariff)
    naive = oracle(mode, market)
    first = market.seq + 1
    commands = seeded(seed, market, slot, count)
    ours = told(market.apply_many(commands))
    trades = 0
    for number, (command, events) in enumerate(zip(commands, ours, strict=True), first):
        assert events == expected(naive, number, command), f"seed={seed} command {number}: {command}"
        trades += sum(isinstance(event, Traded) for event in events)
    assert trades > count // 16
    assert market.schedule(slot).tolist() == naive.schedule


@pytest.mark.parametrize("mode", MODES)
def test_batches_of_any_size_give_the_entries_of_single_commands(mode: str) -> None:
    single, slot = exchange(mode)
    commands = seeded(7, single, slot, 3_000)
    one_by_one = [single.apply(command) for command in commands]
    rng = np.random.default_rng(7)
    batched, _ = exchange(mode)
    entries: list[Entry] = []
    while len(entries) < len(commands):
        size = int(rng.integers(1, 400))
        entries += batched.apply_many(commands[len(entries) : len(entries) + size])
    assert entries == one_by_one


@pytest.mark.parametrize("mode", MODES)
def test_a_full_book_refuses_orders_and_trades_on(mode: str) -> None:
    market, slot = exchange(mode, max_orders=40)
    naive = oracle(mode, market)
    first = market.seq + 1
    commands = seeded(11, market, slot, 4_000)
    ours = told(market.apply_many(commands))
    full = 0
    for number, (command, events) in enumerate(zip(commands, ours, strict=True), first):
        assert events == expected(naive, number, command), f"command {number}: {command}"
        full += any(isinstance(event, Rejected) and event.code == "BOOK_FULL" for event in events)
    assert full > 10


def test_linear_rows_and_questions_to_the_gate_decide_alike() -> None:
    by_rows, slot = exchange("linear")
    by_question, _ = exchange("ac")
    commands = seeded(5, by_rows, slot, 5_000)
    assert told(by_rows.apply_many(commands)) == told(by_question.apply_many(commands))
    assert by_question.gate.asked > 1_000  # type: ignore[attr-defined]


class BookMachine(RuleBasedStateMachine):
    """Any mix of single commands, batches and new baselines keeps both books alike, event by event."""

    @initialize(mode=st.sampled_from(MODES))
    def start(self, mode: str) -> None:
        self.market, self.slot = exchange(mode)
        self.naive = oracle(mode, self.market)
        self.owners = [(0, NAMES[0])]

    @rule(
        who=st.sampled_from([*NAMES, "utility"]),
        side=st.sampled_from(["buy", "sell"]),
        ticks=st.integers(240, 260),
        lots=st.integers(1, 20),
        force=st.sampled_from(["gtc", "ioc", "fok"]),
        flexible=st.booleans(),
        origin=st.sampled_from(["", "solar", "wind"]),
        post_only=st.booleans(),
    )
    def submit(
        self,
        who: str,
        side: Side,
        ticks: int,
        lots: int,
        force: TimeInForce,
        flexible: bool,
        origin: str,
        post_only: bool,
    ) -> None:
        self.owners.append((self.market.seq + 1, who))
        order = Submit(who, self.slot, side, ticks * 100, lots * 10, force, flexible)
        field = {"source": origin} if side == "sell" else {"sources": (origin,) if origin else ()}
        self.compare([msgspec.structs.replace(order, **field, post_only=post_only and force == "gtc")])

    @rule(pick=st.integers(0, 40))
    def cancel(self, pick: int) -> None:
        order, who = self.owners[-1 - pick % len(self.owners)]
        self.compare([Cancel(who, order)])

    @rule(pick=st.integers(0, 40), ticks=st.integers(240, 260), lots=st.integers(1, 20))
    def amend(self, pick: int, ticks: int, lots: int) -> None:
        order, who = self.owners[-1 - pick % len(self.owners)]
        self.compare([Amend(who, order, ticks * 100, lots * 10)])

    @rule(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 300))
    def batch(self, seed: int, count: int) -> None:
        self.compare(seeded(seed, self.market, self.slot, count))

    @rule(shift=st.integers(-3, 3))
    def rebase(self, shift: int) -> None:
        baseline = [wh + 20 * shift if number < 12 else 0 for number, wh in enumerate(BASELINE)]
        events = told([self.market.apply(UpdateGrid(self.slot, baseline))])[0]
        assert events == (Accepted(), *map(plain, self.naive.rebase(baseline)))

    @invariant()
    def both_hold_the_same_orders(self) -> None:
        if hasattr(self, "market"):
            check_invariants(self.market, self.slot, self.naive)

    def compare(self, commands: Sequence[Command]) -> None:
        first = self.market.seq + 1
        ours = told(self.market.apply_many(commands))
        for number, (command, events) in enumerate(zip(commands, ours, strict=True), first):
            assert events == expected(self.naive, number, command), f"command {number}: {command}"


TestBookMachine = BookMachine.TestCase
TestBookMachine.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)


def check_invariants(market: Exchange, slot: int, naive: NaiveBook) -> None:
    bids, asks = market.depth(slot)
    top = market.top(slot)
    for side, ladder, best in (("buy", bids, top.bid), ("sell", asks, top.ask)):
        resting = sum(order.quantity for order in naive.orders if order.side == side)
        assert sum(wh for _, wh in ladder) == resting
        assert best == (ladder[0][0] if ladder else None)
    assert sum(market.contracted(slot).values()) == 0
    if naive.limits is not None:
        assert all(abs(moved) <= limit for moved, limit in zip(market.schedule(slot), LIMITS.values(), strict=True))


def test_packed_messages_are_those_of_numpy() -> None:
    rng = np.random.default_rng(2)
    for count in (0, 1, 63, 64, 65, 200):
        drawn = np.zeros(count, kernel.MESSAGE)
        for name in kernel.MESSAGE.names or ():
            drawn[name] = rng.integers(-(2**7), 2**7, count)
        assert intake.pack(drawn.tolist()).tobytes() == drawn.tobytes()
    with pytest.raises(struct.error):
        intake.pack([(0, 0, 0, 0, 0, 2**31, 0, 0, 0, 0, 0)])


def test_what_the_kernel_cannot_take_is_refused() -> None:
    book, gate = Book(0, SETTINGS, 3, Fees(SETTINGS, 3)), OpenGate(["a", "b", "c"])
    with pytest.raises(ValueError, match="messages must be a writable C array"):
        book.run(intake.pack([(0,) * 11] * 4)[::2], gate)
    rows = CapacityRows(
        np.zeros(3, np.int64), np.zeros((2, 1)), np.zeros((3, 2, 1)), np.zeros(1), np.zeros(1), ["a"], True, 0
    )
    book.limit(rows)
    for name, wrong in [("schedule", np.zeros(3)), ("state", np.zeros((1, 2)).T[::-1]), ("upper", np.zeros(2))]:
        with pytest.raises(ValueError, match=f"{name} must be a writable C array"):
            book.limit(msgspec.structs.replace(rows, **{name: wrong}))


@pytest.mark.parametrize("decides", [True, False])
def test_every_refused_pair_is_remembered_however_many_there_are(decides: bool) -> None:
    names = [f"p{number}" for number in range(60)]
    gate = ConnectionLimits(dict.fromkeys([f"c{number}" for number in range(60)], 0), decides)
    market = Exchange(gate)
    market.apply_many([CreateMarket(msgspec.structs.replace(SETTINGS, gate="ac"), "")])
    market.apply_many([Register(name, f"c{number}") for number, name in enumerate(names)])
    market.apply(AdvanceClock("2016-06-21T12:00:00Z"))
    slot = market.open_slots()[0]
    asks = [Submit(name, slot, "sell", 1_000, 50, flexible=True) for name in names[:30]]
    bids = [Submit(name, slot, "buy", 2_000, 50, flexible=True) for name in names[30:]]
    entries = market.apply_many([*asks, *bids])
    limited = [event for entry in entries for event in entry.events if isinstance(event, Limited)]
    assert len({(event.order, event.resting) for event in limited}) == len(limited) == 30 * 30
    again = market.apply_many(
        [Amend(bid.participant, entry.seq, 2_100, 50) for bid, entry in zip(bids, entries[30:], strict=True)]
    )
    assert [len(entry.events) for entry in again] == [1] * 30
    assert gate.asked == (0 if decides else 30 * 30)
