"""Auctions on real wires: planned by tangents, admitted by AC, judged by power-grid-model."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from agents.optimum import Wants, optimum
from grid.feeder import Feeder
from grid.gate import FeederGate
from market.auction import DESIGNS, AuctionDesign, Orders
from market.closing import Outcome, clear
from market.kernel import BUY, SELL
from market.orders import GateMode, MarketSettings
from market.tariff import Fees
from tests.grid.networks import settings

FEEDER = Path(__file__).resolve().parents[2] / "scenarios" / "data" / "simbench_lv_rural2.feeder.json"


def rules(mode: GateMode) -> MarketSettings:
    return msgspec.structs.replace(
        settings(gate=mode), tick=100, price_floor=0, price_cap=600_000, lot=1, retail=320_000, feed_in=80_000
    )


def crowd(rng: np.random.Generator, gate: FeederGate, quantity: int) -> Orders:
    """One flexible order per connection, sellers and buyers in turns."""
    count = len(gate.connections())
    side = np.where(np.arange(count) % 2, BUY, SELL)
    price = np.where(side == BUY, rng.integers(1500, 4000, count), rng.integers(100, 2500, count)) * 100
    amount = rng.integers(1, quantity, count)
    return Orders(side, price, amount, rng.permutation(count), np.arange(count), np.zeros(count, dtype=np.int64))


def hold(design: AuctionDesign, mode: GateMode, seed: int, quantity: int) -> tuple[Outcome, Orders, FeederGate]:
    gate = FeederGate(Feeder.from_json(FEEDER.read_text(encoding="utf-8")), rules(mode))
    orders = crowd(np.random.default_rng(seed), gate, quantity)
    zero = np.zeros(len(gate.connections()), dtype=np.int64)
    rows = gate.open(0, zero, zero)
    outcome = clear(design, orders, range(len(orders.side)), rules(mode), gate, 0, rows.schedule, rows)
    return outcome, orders, gate


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("mode", ["ac", "linear"])
def test_what_an_auction_admits_breaks_no_limit(design: AuctionDesign, mode: GateMode) -> None:
    outcome, _, gate = hold(design, mode, 1, 60_000)
    assert any(step.admitted < step.wanted for step in outcome.steps) or outcome.grant is not None
    assert gate.verify([0]) == []


@pytest.mark.parametrize(("seed", "quantity"), [(0, 12_000), (1, 12_000), (2, 12_000), (1, 60_000), (4, 60_000)])
def test_a_call_reaches_the_welfare_optimum_of_the_wires(seed: int, quantity: int) -> None:
    outcome, orders, gate = hold("call", "ac", seed, quantity)
    assert outcome.grant is not None
    wants = Wants(orders.node, orders.side == SELL, orders.price, orders.quantity, orders.quantity > 0)
    other = FeederGate(gate.feeder, rules("linear"))
    zero = np.zeros(len(gate.connections()), dtype=np.int64)
    # The utility's prices are out of reach here, so the optimum trades among the orders only.
    alone = msgspec.structs.replace(rules("linear"), retail=600_000, feed_in=0)
    best = optimum(0, wants, other, other.open(0, zero, zero), alone, Fees(alone, 0))
    achieved = sum(int(orders.price[s.buy] - orders.price[s.sell]) * s.admitted for s in outcome.steps)
    assert best.welfare < best.unconstrained
    assert 0.999 * best.welfare <= achieved <= 1.001 * best.welfare


def test_planning_leaves_the_slot_as_it_is() -> None:
    _, _, gate = hold("call", "linear", 1, 3_000)
    before = gate.schedule(0)
    rows = gate.open(0, *(np.zeros_like(before) for _ in range(2)))
    state = rows.state.copy()
    twin, own = gate.planner(0)
    np.testing.assert_array_equal(own.schedule, before)
    np.testing.assert_array_equal(own.state, state)
    own.schedule[:] = 0
    twin.refresh(0)
    np.testing.assert_array_equal(gate.schedule(0), before)
    np.testing.assert_array_equal(rows.state, state)
