"""The largest and least numbers that a market may meet: exact, or refused with a code, and never out of bounds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from market import journal, kernel
from market.conservation import Conservation
from market.events import Accepted, Entry, Rejected, Settled, Traded
from market.exchange import Exchange
from market.ledger import postings
from market.orders import (
    AdvanceClock,
    Amend,
    Cancel,
    Command,
    CreateMarket,
    RecordMeter,
    Register,
    Settle,
    SettlementRules,
    Submit,
    UpdateGrid,
)
from market.replay import Replayer
from market.slots import format_time
from market.store import Ledger
from tests.market.naive_rules import largest
from tests.market.rig import Rig, gate_of
from tests.market.traffic import LIMITS, MARKET, NAMES, Dice, feeder, replace

ROOT = Path(__file__).resolve().parent.parent.parent
LARGE = 2**53 - 1
ONCE = SettlementRules(corrections_seconds=3600, origins="metered")
PRICES = [(0, 1, 1), (-1, 0, 1), (-(LARGE // 2), LARGE // 2, LARGE // 2), (LARGE - 1, LARGE, 1), (-LARGE, 1 - LARGE, 1)]


def market(
    floor: int, cap: int, tick: int, now: str = "2016-06-21T12:00:00Z", **changes: Any
) -> tuple[Exchange, list[Entry]]:
    exchange = Exchange(gate_of("off"))
    rules = replace(
        MARKET,
        gate="off",
        price_floor=floor,
        price_cap=cap,
        tick=tick,
        lot=1,
        retail=cap,
        feed_in=floor,
        settlement=ONCE,
    )
    commands: list[Command] = [CreateMarket(replace(rules, **changes), feeder()), AdvanceClock(now)]
    commands += [Register(name, place) for name, place in zip(NAMES, LIMITS, strict=False)]
    entries = exchange.apply_many(commands)
    assert not [event for entry in entries for event in entry.events if isinstance(event, Rejected)]
    return exchange, entries


@pytest.mark.parametrize("prices", PRICES)
def test_the_largest_orders_trade_settle_and_are_stored_exactly(prices: tuple[int, int, int], tmp_path: Path) -> None:
    exchange, entries = market(*prices)
    slot, most = exchange.open_slots()[0], largest(exchange.settings)
    floor, cap, _ = prices
    entries += exchange.apply_many(
        [
            UpdateGrid(slot, [-LARGE, LARGE, 0, LARGE, -LARGE, 0, 0]),
            Submit("ben", slot, "sell", floor, most),
            Submit("anna", slot, "buy", cap, most, flexible=True),
            Submit("cleo", slot, "buy", cap, most),
            Submit("dora", slot, "sell", floor, most, flexible=True),
            UpdateGrid(slot, [LARGE] * 7, [-LARGE] * 7),
            Submit("dora", slot, "sell", floor, most),
            Amend("dora", 15, quantity=most),
            Submit("dora", slot, "sell", floor, most + 1),
            AdvanceClock(format_time(exchange.clock.end(slot))),
            RecordMeter(slot, {"anna": most, "ben": -most, "cleo": most + 1}),
            RecordMeter(slot, {"anna": most, "ben": -most}),
            Settle(slot),
        ]
    )
    trades = [event for entry in entries for event in entry.events if isinstance(event, Traded)]
    assert [(trade.price, trade.quantity) for trade in trades] == [(floor, most), (cap, most)]
    codes = [event.code for entry in entries for event in entry.events if isinstance(event, Rejected)]
    assert codes == ["BAD_QUANTITY", "BAD_READING"]
    (settled,) = (event for event in entries[-1].events if isinstance(event, Settled))
    assert settled.lines[:2] == [("anna", most, -most, 2 * most), ("ben", -most, most, -2 * most)]
    watch = Conservation()
    for entry in entries:
        assert list(watch.observe(entry, postings(entry, exchange.settings))) == []
    with Ledger.create(tmp_path / "ledger.db") as ledger:
        ledger.append(entries)
        assert list(ledger.entries()) == entries
    assert Replayer().run([journal.decode(body) for body in journal.encode_all(entries)]) is None


def test_a_full_book_of_the_largest_orders_sums_exactly() -> None:
    exchange, _ = market(0, 1, 1, max_orders=4096)
    slot, most = exchange.open_slots()[0], largest(exchange.settings)
    told = exchange.apply_many(
        [Submit("anna", slot, "buy", 1, most)] * 4096 + [Submit("anna", slot, "buy", 1, most + 1)]
    )
    assert {type(entry.events[0]) for entry in told[:-1]} == {Accepted}
    assert isinstance(told[-1].events[0], Rejected)
    assert exchange.top(slot).bid_quantity == 4096 * most
    assert exchange.depth(slot) == ([(1, 4096 * most)], [])


@pytest.mark.parametrize(
    "now", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999999Z", "9999-12-31T20:00:00.000000001Z"]
)
def test_time_has_no_edges_between_the_years_1_and_9999(now: str) -> None:
    exchange, entries = market(0, 1, 1, now)
    slot = exchange.open_slots()[-1]
    entries += exchange.apply_many([Submit("anna", slot, "buy", 1, 10), Submit("ben", slot, "sell", 1, 10)])
    assert isinstance(entries[-1].events[1], Traded)
    entries.append(exchange.apply(AdvanceClock(format_time(exchange.clock.start(slot)))))
    assert not isinstance(entries[-1].events[0], Rejected)
    assert [journal.decode(body) for body in journal.encode_all(entries)] == entries


@pytest.mark.parametrize("value", [2**53, -(2**53), 2**63, 2**64, 10**400, 0.5, float("nan"), "7", None, True])
@pytest.mark.parametrize(
    "field", ["tick", "price_cap", "price_floor", "grid_fee", "slot_seconds", "spread_start", "retail"]
)
def test_settings_with_numbers_that_no_journal_carries_are_refused(field: str, value: Any) -> None:
    (event,) = Exchange(gate_of("off")).apply(CreateMarket(replace(MARKET, **{field: value}), "")).events
    assert isinstance(event, Rejected)
    assert event.code == "BAD_SETTINGS"
    assert f"{field}: must be a whole number" in event.reason


@pytest.mark.parametrize(
    "levels",
    [1, 2, 64, 65, 1024, *(pytest.param(size, marks=pytest.mark.slow) for size in (4097, 8192, 65_536, 524_288))],
)
def test_prices_at_the_edges_of_every_ladder_meet_in_order(levels: int) -> None:
    """Slow where a ladder of another size has to be compiled first."""
    dice = Dice(levels)
    cap = max(levels - 1, 1)
    edges = [edge for edge in (0, 1, 62, 63, 64, 65, 4095, 4096, 4097, cap // 2, cap - 1, cap) if 0 <= edge <= cap]
    rig = Rig("off")
    rules = replace(
        MARKET, gate="off", max_orders=200, price_floor=0, price_cap=cap, tick=1, lot=1, retail=cap, feed_in=0
    )
    rig.send([CreateMarket(rules, feeder()), AdvanceClock("2016-06-21T12:00:00Z")])
    rig.send([Register(name, place) for name, place in zip(NAMES, LIMITS, strict=False)])
    slot = rig.batched.open_slots()[0]
    for _ in range(300):
        number = len(rig.entries) + 1
        side = dice.pick(("buy", "sell"))
        order = Submit(dice.pick(NAMES), slot, side, dice.pick(edges), dice.between(1, 9))  # type: ignore[arg-type]
        rig.send([order, Cancel(dice.pick(NAMES), number - dice.between(1, 20))] if dice.chance(0.3) else [order])
    assert rig.seen["Traded"] > 20
    rig.replay()


def reach_beyond() -> None:
    """Give the kernel a connection that the feeder does not have, past all that would refuse it."""
    exchange, _ = market(0, 1, 1)
    slot = exchange.open_slots()[0]
    message = np.zeros(1, kernel.MESSAGE)
    message["kind"], message["node"], message["quantity"] = kernel.SUBMIT, 99, 10
    exchange._books[slot].run(message, exchange.gate)


COMPILED = ("book", "every_command", "machine", "extremes", "exchange", "lifecycle", "phases", "closing")


@pytest.mark.slow  # everything is compiled anew, with the checks
def test_compiled_code_never_reaches_beyond_an_array(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    # The checks are there: without them this would write somewhere else.
    broken = python("-c", f"from {__name__} import reach_beyond; reach_beyond()")
    assert "IndexError: index is out of bounds" in broken.stderr
    files = [f"tests/market/test_{name}.py" for name in COMPILED]
    result = python("-m", "pytest", "-q", "-p", "no:cacheprovider", *files)
    assert result.returncode == 0, result.stdout[-5_000:]
