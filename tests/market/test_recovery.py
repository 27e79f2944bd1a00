"""An exchange that comes back from its ledger is the one that wrote it, and goes on as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from market.capacity import CapacityRows, Gate
from market.events import Accepted, Entry
from market.exchange import Exchange
from market.ledger import LedgerError
from market.orders import Amend, Cancel, GateMode, Halt, MarketSettings, Register
from market.recovery import recover
from market.store import Ledger
from tests.market import day
from tests.market.conftest import Place
from tests.market.day import FEEDER, RowGate, ledger_at


class MovingGate(RowGate):
    """Decided by the kernel, and told anew where the schedule has moved the row."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[int, CapacityRows] = {}

    def open(self, slot: int, baseline: NDArray[np.int64], reactive: NDArray[np.int64]) -> CapacityRows | None:
        rows = super().open(slot, baseline, reactive)
        assert rows is not None
        if slot in self._rows:
            rows.schedule[:] = self._rows[slot].schedule
        self._rows[slot] = rows
        self.refresh(slot)
        return rows

    def refresh(self, slot: int) -> None:
        rows = self._rows[slot]
        rows.state[0, 0] = 20_000.0 + float(rows.sensitivity[:, 0, 0] @ rows.schedule)


def gate_of(mode: GateMode) -> Gate:
    return MovingGate() if mode == "linear" else day.gate_of(mode)


def factory(settings: MarketSettings, feeder: str) -> Gate:
    assert feeder == FEEDER
    return gate_of(settings.gate)


def test_the_state_comes_back_from_either_database(place: Place) -> None:
    commands = [entry.command for entry in day.entries()]
    exchange = Exchange(gate_of("ac"))
    target = ledger_at(place(), tuple(exchange.apply_many(commands[:120])))
    with Ledger.open(target) as ledger:
        found = recover(ledger, factory)
    assert found is not None
    assert (found.seq, found.digest()) == (exchange.seq, exchange.digest())


@pytest.mark.parametrize("mode", ["off", "linear", "ac"])
@pytest.mark.parametrize("last", [1, 30, 75, 119, 150])
def test_a_recovered_exchange_answers_as_the_lost_one_would_have(tmp_path: Path, mode: GateMode, last: int) -> None:
    commands = [entry.command for entry in day.entries(mode)]
    exchange = Exchange(gate_of(mode))
    with Ledger.create(tmp_path / "ledger.db") as ledger:
        ledger.append(exchange.apply_many(commands[:last]))
        found = recover(ledger, factory)
        assert found is not None
        assert found.digest() == exchange.digest()
        later = exchange.apply_many(commands[last:])
        assert found.apply_many(commands[last:]) == later
        assert found.digest() == exchange.digest()
        # What was decided after recovery replays too: nothing that was refused is asked a second time.
        ledger.append(later)
        again = recover(ledger, factory)
    assert again is not None
    assert again.digest() == exchange.digest()


def test_every_change_of_state_changes_the_digest() -> None:
    commands = [entry.command for entry in day.entries("off")]
    exchange = Exchange(gate_of("off"))
    seen = [exchange.digest()]
    for entry in exchange.apply_many(commands[:60]):
        assert entry.seq
    resting = next(order for order in exchange._orders.values() if exchange._books[order.slot].rests(order))
    for command in (
        Amend(resting.participant, resting.number, quantity=10),
        Cancel(resting.participant, resting.number),
        Halt("participant", "anna"),
        Register("emil", "c9"),
    ):
        seen.append(exchange.digest())
        before = exchange.seq
        exchange.apply(command)
        exchange.seq = before
        changed = not isinstance(command, Register)  # refused: the feeder has no such connection
        assert (exchange.digest() != seen[-1]) is changed


def test_without_a_market_there_is_nothing_to_recover(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger.db") as ledger:
        assert recover(ledger, factory) is None


def test_entries_that_do_not_follow_are_named(tmp_path: Path) -> None:
    journal = day.entries()
    wrong = Entry(len(journal) + 1, Cancel("anna", 1), (Accepted(),))
    path = ledger_at(tmp_path / "ledger.db", (*journal, wrong))
    with Ledger.open(path) as ledger, pytest.raises(LedgerError, match=f"entry {wrong.seq} does not follow"):
        recover(ledger, factory)


def test_a_gate_of_another_feeder_is_refused(tmp_path: Path) -> None:
    class Elsewhere(MovingGate):
        def connections(self) -> list[str]:
            return ["c0"]

    path = ledger_at(tmp_path / "ledger.db", day.entries())
    with Ledger.open(path) as ledger, pytest.raises(ValueError, match="other connections"):
        recover(ledger, lambda settings, feeder: Elsewhere())
