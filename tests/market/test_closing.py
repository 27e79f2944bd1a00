"""Auctions held to the wires: the optimum that they leave, nothing unchecked, and a replay that needs no wires."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.auction import DESIGNS, AuctionDesign, Orders
from market.auction import clear as without_wires
from market.capacity import CapacityRows, Gate, OpenGate, Verdict
from market.closing import Grant, Outcome, clear
from market.kernel import BUY, SELL
from tests.market.test_auction import FEED_IN, RETAIL, rules, told

A, B = 0, 1


class Line:
    """One line from zone A to zone B; its net flow is never more than `cap` Wh in either direction."""

    def __init__(self, zones: list[int], cap: int) -> None:
        self.export = np.array([zone == A for zone in zones], dtype=np.float64)
        self.cap = cap
        self.questions = 0
        self.rows = self._fresh(np.zeros(len(zones), dtype=np.int64))

    def _fresh(self, schedule: np.ndarray) -> CapacityRows:
        sensitivity = np.zeros((len(schedule), 2, 1))
        sensitivity[:, 0, 0] = self.export
        return CapacityRows(
            schedule=schedule, state=np.array([[float(self.export @ schedule)], [0.0]]), sensitivity=sensitivity,
            lower=np.array([-1.0]), upper=np.array([float(self.cap)]), names=["branch:line"], decides=True,
            refresh_after=0,
        )  # fmt: skip

    def connections(self) -> list[str]:
        return [f"c{place}" for place in range(len(self.export))]

    def open(self, slot: int, baseline: np.ndarray, reactive: np.ndarray) -> CapacityRows:
        return self.rows

    def planner(self, slot: int) -> tuple[Gate, CapacityRows]:
        twin = Line([A if export else B for export in self.export], self.cap)
        twin.rows = twin._fresh(self.rows.schedule.copy())
        return twin, twin.rows

    def check(self, slot: int, inject: int, withdraw: int, wanted: int, lot: int) -> Verdict:
        self.questions += 1
        slope = (self.export[inject] if inject >= 0 else 0) - (self.export[withdraw] if withdraw >= 0 else 0)
        flow = self.export @ self.rows.schedule
        room = wanted if slope == 0 else max(int(self.cap - slope * flow), 0) // lot * lot
        return Verdict(min(wanted, room), "" if room >= wanted else "branch:line")

    def refresh(self, slot: int) -> None:
        self.rows.state[0, 0] = self.export @ self.rows.schedule

    def close(self, slot: int) -> None:
        pass


class Repeating(OpenGate):
    """Answers from an outcome, as a replay does; asserts that the same is asked."""

    def __init__(self, outcome: Outcome, nodes: dict[int, int]) -> None:
        super().__init__([])
        self.answers = deque(
            (nodes[s.sell] if s.sell_flexible else -1, nodes[s.buy] if s.buy_flexible else -1, s.wanted,
             Verdict(s.admitted, s.constraint))
            for s in outcome.steps if s.buy_flexible or s.sell_flexible
        )  # fmt: skip
        self.grant = outcome.grant

    def granted(self, slot: int) -> Grant | None:
        return self.grant

    def check(self, slot: int, inject: int, withdraw: int, wanted: int, lot: int) -> Verdict:
        *question, answer = self.answers.popleft()
        assert question == [inject, withdraw, wanted]
        return answer


def market(rows: list[tuple[str, int, int, int]], firm: int = 0) -> tuple[Orders, list[int], list[int]]:
    """Rows of (side, price, quantity, zone), each at a connection of its own; numbers from 100, and the zones."""
    side = np.array([BUY if row[0] == "buy" else SELL for row in rows], dtype=np.int64)
    price, quantity, zone = (np.array([row[place] for row in rows], dtype=np.int64) for place in (1, 2, 3))
    places = np.arange(len(rows))
    return (
        Orders(side, price, quantity, places, places, np.minimum(firm, quantity)),
        (places + 100).tolist(),
        zone.tolist(),
    )


def hold(design: AuctionDesign, rows: list[tuple[str, int, int, int]], cap: int, firm: int = 0) -> tuple[Outcome, Line]:
    orders, numbers, zones = market(rows, firm)
    gate = Line(zones, cap)
    return clear(design, orders, numbers, rules(), gate, 0, gate.rows.schedule, gate.rows), gate


def welfare(rows: list[tuple[str, int, int, int]], outcome: Outcome) -> int:
    limit = {100 + place: row[1] for place, row in enumerate(rows)}
    return sum((limit[step.buy] - limit[step.sell]) * step.admitted for step in outcome.steps)


LADDER = [tick * 100 for tick in range(75, 326, 25)]
ALL_ACROSS = [("buy", p, 1, B) for p in LADDER] + [("sell", p, 1, A) for p in LADDER]
MIXED = [("buy", p, 1, (B, A)[rank % 2]) for rank, p in enumerate(sorted(LADDER, reverse=True))]
MIXED += [("sell", p, 1, A) for p in LADDER]


@pytest.mark.parametrize("design", ["call", "pay_as_bid"])
@pytest.mark.parametrize(("rows", "cap", "optimum"), [(ALL_ACROSS, 3, 600), (MIXED, 2, 725), (ALL_ACROSS, 99, 750)])
def test_a_call_reaches_the_optimum_of_the_line(
    design: AuctionDesign, rows: list[tuple[str, int, int, int]], cap: int, optimum: int
) -> None:
    outcome, gate = hold(design, rows, cap)
    assert welfare(rows, outcome) == optimum * 100
    assert outcome.unpaired == 0
    assert (outcome.grant is not None) == (cap < 99)
    if outcome.grant is not None:
        assert outcome.grant.binding == ["branch:line"]
    assert abs(gate.export @ gate.rows.schedule) <= cap


def test_counterflow_makes_room_for_more_than_the_line_carries() -> None:
    rows = [("buy", 300_000, 20, B), ("sell", 100_000, 20, A), ("buy", 250_000, 9, A), ("sell", 150_000, 9, B)]
    outcome, gate = hold("call", rows, 5)
    assert sum(step.admitted for step in outcome.steps) == 23
    assert gate.export @ gate.rows.schedule == 5


def test_under_congestion_all_pay_one_price_that_they_accept() -> None:
    outcome, _ = hold("call", ALL_ACROSS, 3)
    assert {step.price for step in outcome.steps} == {20_000}
    assert outcome.price == 20_000


def test_firm_energy_trades_without_the_gate_and_beyond_the_line() -> None:
    rows = [("buy", 300_000, 20, B), ("sell", 100_000, 20, A)]
    outcome, gate = hold("call", rows, 5, firm=20)
    assert [step.admitted for step in outcome.steps] == [20]
    assert gate.questions == 0
    assert outcome.grant is None


def test_the_firm_part_of_an_order_goes_first() -> None:
    rows = [("buy", 300_000, 20, B), ("sell", 100_000, 20, A)]
    outcome, gate = hold("call", rows, 5, firm=12)
    parts = [(s.admitted, s.buy_flexible, s.sell_flexible) for s in outcome.steps]
    assert parts == [(12, False, False), (5, True, True)]
    assert gate.rows.schedule.tolist() == [-5, 5]


def test_who_is_left_after_rationing_trades_with_the_utility_at_its_prices() -> None:
    rows = [("buy", 350_000, 30, B), ("buy", 300_000, 30, B), ("sell", 50_000, 20, A), ("sell", 210_000, 20, A)]
    orders, numbers, zones = market([*rows, ("sell", RETAIL, 10**6, A), ("buy", FEED_IN, 10**6, A)])
    orders.node[4:] = -1
    gate = Line(zones, 99)
    outcome = clear("mmr", orders, numbers, rules(), gate, 0, gate.rows.schedule, gate.rows)
    trades = sorted((s.buy, s.sell, s.price, s.admitted) for s in outcome.steps)
    assert trades == [(100, 102, 200_000, 10), (100, 104, RETAIL, 20), (101, 102, 200_000, 10)]
    orders.quantity[2] = 90
    gate = Line(zones, 99)
    outcome = clear("mmr", orders, numbers, rules(), gate, 0, gate.rows.schedule, gate.rows)
    assert [(s.buy, s.sell, s.price, s.admitted) for s in outcome.steps[-1:]] == [(105, 102, FEED_IN, 30)]


def test_the_utility_trades_at_its_tariff_also_where_pairs_share_their_gain() -> None:
    orders, numbers, zones = market([("buy", 400_000, 30, B), ("sell", 100_000, 20, A), ("sell", RETAIL, 10**6, A)])
    orders.node[2] = -1
    gate = Line(zones, 99)
    outcome = clear("pay_as_bid", orders, numbers, rules(), gate, 0, gate.rows.schedule, gate.rows)
    assert [(s.sell, s.price, s.admitted) for s in outcome.steps] == [(101, 250_000, 20), (102, RETAIL, 10)]


def test_firm_energy_is_firm_once() -> None:
    rows = [("buy", 350_000, 20, B), ("sell", 50_000, 30, A)]
    orders, numbers, zones = market([*rows, ("sell", RETAIL, 10**6, A), ("buy", FEED_IN, 10**6, A)], firm=25)
    orders.node[2:] = -1
    gate = Line(zones, 99)
    outcome = clear("mmr", orders, numbers, rules(), gate, 0, gate.rows.schedule, gate.rows)
    sold = [(s.buy, s.admitted, s.sell_flexible) for s in outcome.steps]
    assert sold == [(100, 20, False), (103, 5, False), (103, 5, True)]


def test_the_utility_has_no_wire_and_rations_nothing() -> None:
    orders, numbers, zones = market([("buy", 250_000, 20, B), ("sell", 90_000, 20, A), ("sell", 200_000, 10**6, A)])
    orders.node[2] = -1
    gate = Line(zones, 5)
    outcome = clear("call", orders, numbers, rules(), gate, 0, gate.rows.schedule, gate.rows)
    assert sorted((s.sell, s.admitted) for s in outcome.steps) == [(101, 5), (102, 15)]
    gate = Line(zones, 99)
    outcome = clear("mmr", orders, numbers, rules(), gate, 0, gate.rows.schedule, gate.rows)
    assert [(s.sell, s.admitted, s.price) for s in outcome.steps] == [(101, 20, 200_000)]


def test_nobody_trades_with_itself() -> None:
    orders, numbers, zones = market([("buy", 250_000, 20, B), ("sell", 90_000, 20, B), ("sell", 95_000, 20, B)])
    orders.node[1] = orders.node[0]
    gate = Line(zones, 99)
    outcome = clear("call", orders, numbers, rules(), gate, 0, gate.rows.schedule, gate.rows)
    assert (outcome.steps, outcome.unpaired) == ([], 20)


def test_pairs_that_do_not_suit_find_others() -> None:
    rows = [("buy", 300_000, 20, B), ("buy", 290_000, 20, B), ("sell", 100_000, 20, A), ("sell", 110_000, 20, A)]
    orders, numbers, zones = market(rows)
    gate = Line(zones, 99)
    schedule, lines = gate.rows.schedule, gate.rows
    picky = clear("call", orders, numbers, rules(), gate, 0, schedule, lines, lambda buy, sell: (buy, sell) != (0, 2))
    assert sorted((s.buy, s.sell, s.admitted) for s in picky.steps) == [(100, 103, 20), (101, 102, 20)]


def test_what_the_gate_refuses_is_told_with_its_limit() -> None:
    rows = [("buy", 300_000, 20, B), ("sell", 100_000, 20, A)]
    outcome, _ = hold("mmr", rows, 5)
    (step,) = outcome.steps
    assert (step.wanted, step.admitted, step.constraint) == (20, 5, "branch:line")
    assert outcome.unpaired == 15


row = st.tuples(
    st.sampled_from(["buy", "sell"]), st.integers(5, 35).map(lambda tick: tick * 10_000), st.integers(1, 30),
    st.sampled_from([A, B]),
)  # fmt: skip
markets = st.lists(row, min_size=1, max_size=12)


def zonal_optimum(rows: list[tuple[str, int, int, int]], cap: int) -> int:
    """Greatest welfare by trying every net flow: each zone is then a market with as much more supply or demand."""

    def best(zone: int, flow: int) -> int | None:
        """Gains of a zone that must send out `flow` Wh net, by the cheapest asks and dearest bids, unit by unit."""
        asks = sorted(p for s, p, q, z in rows for _ in range(q) if s == "sell" and z == zone)
        bids = sorted((p for s, p, q, z in rows for _ in range(q) if s == "buy" and z == zone), reverse=True)
        gains = [
            sum(bids[:bought]) - sum(asks[: bought + flow])
            for bought in range(len(bids) + 1)
            if 0 <= bought + flow <= len(asks)
        ]
        return max(gains, default=None)

    both = [(best(A, flow), best(B, -flow)) for flow in range(-cap, cap + 1)]
    return max(a + b for a, b in both if a is not None and b is not None)


@settings(max_examples=80, deadline=None)
@given(markets, st.integers(0, 20))
def test_the_grant_is_the_optimum_of_two_zones(rows: list[tuple[str, int, int, int]], cap: int) -> None:
    outcome, gate = hold("call", rows, cap)
    assert abs(gate.export @ gate.rows.schedule) <= cap
    best = zonal_optimum(rows, cap)
    assert welfare(rows, outcome) <= best
    if outcome.unpaired == 0:
        assert welfare(rows, outcome) == best


@settings(max_examples=80, deadline=None)
@given(markets, st.integers(0, 20), st.sampled_from(DESIGNS), st.sampled_from([0, 7]))
def test_limits_hold_and_a_replay_says_the_same_without_wires(
    rows: list[tuple[str, int, int, int]], cap: int, design: AuctionDesign, firm: int
) -> None:
    outcome, gate = hold(design, rows, cap, firm)
    limit = {100 + place: row[1] for place, row in enumerate(rows)}
    for step in outcome.steps:
        assert limit[step.sell] <= step.price <= limit[step.buy]
        assert 0 <= step.admitted <= step.wanted
        assert (step.constraint == "") == (step.admitted == step.wanted)
    assert abs(gate.export @ gate.rows.schedule) <= cap
    orders, numbers, _ = market(rows, firm)
    replayed = Repeating(outcome, dict(zip(numbers, orders.node.tolist(), strict=True)))
    schedule = np.zeros(len(rows), dtype=np.int64)
    assert clear(design, orders, numbers, rules(), replayed, 0, schedule, gate.rows) == outcome
    assert schedule.tolist() == gate.rows.schedule.tolist()
    assert not replayed.answers


@settings(max_examples=50, deadline=None)
@given(markets, st.sampled_from(DESIGNS))
def test_without_limits_it_is_the_plain_auction(rows: list[tuple[str, int, int, int]], design: AuctionDesign) -> None:
    orders, numbers, _ = market(rows)
    schedule = np.zeros(len(rows), dtype=np.int64)
    outcome = clear(design, orders, numbers, rules(), OpenGate([]), 0, schedule, None)
    plain = [(numbers[b], numbers[s], p, q) for b, s, p, q in told(without_wires(design, orders, rules()))]
    assert [(s.buy, s.sell, s.price, s.admitted) for s in outcome.steps] == plain
    assert outcome.unpaired == 0
