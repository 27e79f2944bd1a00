"""The welfare optimum: exact without wires, by hand with two buses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.optimum import Wants, optimum
from market.capacity import CapacityRows, Gate, OpenGate, Verdict
from market.orders import MarketSettings
from market.tariff import Fees

RETAIL, FEED_IN = 300_000, 80_000


def rules(fee: int = 0) -> MarketSettings:
    return MarketSettings(
        name="test", currency="EUR", slot_seconds=3600, opens_before_seconds=7200, gate_before_seconds=0, tick=100,
        price_floor=0, price_cap=600_000, lot=1, max_orders=100, gate="linear", voltage_min_ppm=900_000,
        voltage_max_ppm=1_100_000, loading_max_ppm=1_000_000, utility="utility", retail=RETAIL, feed_in=FEED_IN,
        grid_fee=fee,
    )  # fmt: skip


def terms(fee: int = 0) -> tuple[MarketSettings, Fees]:
    return rules(fee), Fees(rules(fee), 1)


def wants(*rows: tuple[bool, int, int], flexible: bool = True, connection: int = 0) -> Wants:
    """Rows of (sells?, limit, quantity), all at one connection."""
    sell, limit, quantity = zip(*rows, strict=True)
    return Wants(
        np.full(len(rows), connection),
        np.array(sell),
        np.array(limit),
        np.array(quantity),
        np.full(len(rows), flexible),
    )


def merged(rows: list[tuple[bool, int, int]], fee: int) -> int:
    """Welfare by merging: the dearest bids meet the cheapest asks while a Wh gains; the rest meets the utility."""
    bids = sorted((limit for sell, limit, quantity in rows for _ in range(quantity) if not sell), reverse=True)
    asks = sorted(limit for sell, limit, quantity in rows for _ in range(quantity) if sell)
    best = 0
    for pairs in range(min(len(bids), len(asks)) + 1):
        local = sum(bids[:pairs]) - sum(asks[:pairs]) - fee * pairs
        outside = sum(max(b - RETAIL, 0) for b in bids[pairs:]) + sum(max(FEED_IN - a, 0) for a in asks[pairs:])
        best = max(best, local + outside)
    return best


want = st.tuples(st.booleans(), st.integers(500, 3_500).map(lambda ticks: ticks * 100), st.integers(1, 20))


@settings(max_examples=60, deadline=None)
@given(st.lists(want, min_size=1, max_size=8), st.sampled_from([0, 20_000]))
def test_without_wires_the_optimum_is_that_of_the_sorted_merge(rows: list[tuple[bool, int, int]], fee: int) -> None:
    found = optimum(0, wants(*rows), OpenGate(["a"]), None, *terms(fee))
    assert found.welfare == found.unconstrained == merged(rows, fee)
    assert found.rounds == 1


class TwoBus:
    """A source of 230 V, R = 0.5 ohm, one connection behind it; slots of an hour, so Wh are W. State in volts."""

    def connections(self) -> list[str]:
        return ["far"]

    def open(self, slot: int, baseline: np.ndarray, reactive: np.ndarray) -> CapacityRows | None:
        self._baseline = baseline
        self._rows = CapacityRows(
            schedule=np.zeros(1, dtype=np.int64), state=np.zeros((2, 1)), sensitivity=np.zeros((1, 2, 1)),
            lower=np.array([0.9 * 230]), upper=np.array([1.1 * 230]), names=["bus:far"], decides=True, refresh_after=0,
        )  # fmt: skip
        self.refresh(slot)
        return self._rows

    def check(self, slot: int, inject: int, withdraw: int, wanted: int, lot: int) -> Verdict:
        raise NotImplementedError

    def refresh(self, slot: int) -> None:
        power = float(self._baseline[0] + self._rows.schedule[0])
        root = math.sqrt(230**2 + 4 * 0.5 * power)
        self._rows.state[0] = (230 + root) / 2
        self._rows.sensitivity[0, 0, 0] = 0.5 / root

    def close(self, slot: int) -> None:
        pass


def open_two_bus(baseline: int = 0) -> tuple[Gate, CapacityRows]:
    gate = TwoBus()
    rows = gate.open(0, np.array([baseline]), np.array([0]))
    assert rows is not None
    return gate, rows


HIGH = 253 * 23 / 0.5
"""Injection at which the far bus reaches 1.10 pu: V (V - 230) / R [W]."""
LOW = 207 * 23 / 0.5
"""Withdrawal at which it falls to 0.90 pu."""


def test_export_behind_a_resistance_ends_at_the_voltage_limit() -> None:
    gate, rows = open_two_bus()
    found = optimum(0, wants((True, 30_000, 20_000)), gate, rows, *terms())
    assert found.quantity[0] == pytest.approx(HIGH, abs=3)
    assert found.welfare == pytest.approx(HIGH * (FEED_IN - 30_000), rel=3e-4)
    assert found.unconstrained == 20_000 * (FEED_IN - 30_000)
    assert found.binding == ["bus:far"]
    assert found.excess <= 2e-5


def test_scarce_capacity_goes_to_the_cheapest_seller_and_local_demand_makes_room() -> None:
    gate, rows = open_two_bus()
    offers = wants((True, 40_000, 9_000), (True, 30_000, 9_000), (False, 200_000, 2_000))
    found = optimum(0, offers, gate, rows, *terms())
    assert found.quantity[1:].tolist() == pytest.approx([9_000, 2_000])
    assert found.quantity[0] == pytest.approx(HIGH - 7_000, abs=3)
    assert (found.local, found.imported) == pytest.approx((2_000, 0))


def test_import_ends_at_the_lower_voltage_limit() -> None:
    gate, rows = open_two_bus()
    found = optimum(0, wants((False, 400_000, 20_000)), gate, rows, *terms())
    assert found.quantity[0] == pytest.approx(LOW, abs=4)
    assert found.imported == pytest.approx(LOW, abs=4)


def test_the_baseline_takes_its_share_of_the_wires() -> None:
    gate, rows = open_two_bus(baseline=5_000)
    found = optimum(0, wants((True, 30_000, 20_000)), gate, rows, *terms())
    assert found.quantity[0] == pytest.approx(HIGH - 5_000, abs=3)


def test_firm_energy_needs_no_wire() -> None:
    gate, rows = open_two_bus(baseline=11_000)
    found = optimum(0, wants((True, 30_000, 20_000), flexible=False), gate, rows, *terms())
    assert found.welfare == found.unconstrained == 20_000 * (FEED_IN - 30_000)


def test_a_fee_above_the_spread_leaves_everything_to_the_utility() -> None:
    found = optimum(0, wants((True, 50_000, 10), (False, 310_000, 10)), OpenGate(["a"]), None, *terms(fee=250_000))
    assert (found.local, found.imported, found.exported) == (0, 10, 10)
    assert found.welfare == 10 * (FEED_IN - 50_000) + 10 * (310_000 - RETAIL)


def test_a_slot_without_wants_has_no_welfare() -> None:
    none, never = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
    nothing = Wants(none, never, none, none, never)
    assert optimum(0, nothing, OpenGate([]), None, *terms()).welfare == 0
