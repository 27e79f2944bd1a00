"""The certificate: no state is further from its tangent than it says; mode `certified` answers as power flows do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from grid import certificate
from grid.balanced import BalancedPoint, BalancedWires
from grid.feeder import Feeder
from grid.gate import FeederGate, violations
from grid.lanes import NO_MATCH, RADII_PU, Slot
from market import intake, kernel
from market.book import Book
from market.events import Event, Limited, Traded
from market.orders import GateMode, Netting
from market.tariff import Fees
from tests.grid.networks import one_line, radial, settings

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def feeders() -> list[Feeder]:
    rng = np.random.default_rng(7)
    return [
        radial(rng, 40),
        radial(rng, 24, transformers=2),
        radial(rng, 60, reach_km=0.3, spread=2),
        radial(rng, 8, reach_km=1.0),
        one_line(0.4, 0.1),
    ]


def response_of(wires: BalancedWires) -> certificate.Response:
    response = wires.response()
    assert response is not None
    return response


def certified(feeder: Feeder, baseline: Ints, netting: Netting = "netted", radius: int = 6) -> Slot | None:
    """A slot whose rows have their certificate; None where a limit is exceeded from the start."""
    rules = msgspec.structs.replace(settings("certified", voltage=0.12, loading=3.0), netting=netting)
    wires = BalancedWires(feeder, rules)
    slot = Slot(wires, rules, baseline, np.zeros_like(baseline), None)
    slot._radius = radius
    assert slot.rows.proof is not None
    slot._prove(slot.rows.proof, response_of(wires), NO_MATCH)
    return slot if slot.rows.names else None


def draw(rng: np.random.Generator, count: int, budget: int) -> Ints:
    """A change of injections that uses up to all of a budget: anywhere, in a few places, or all in one direction."""
    shape = rng.normal(0, 1, count)
    kind = rng.integers(4)
    if kind == 1:
        shape *= rng.random(count) < 3 / count
    elif kind == 2:
        shape = np.abs(shape) * rng.choice([-1, 1])
    elif kind == 3:
        shape = np.zeros(count)
        shape[rng.integers(count)] = rng.choice([-1, 1])
    size = max(np.abs(shape).sum(), 1e-9)
    change: Ints = np.trunc(shape / size * budget * rng.choice([1.0, rng.random()])).astype(np.int64)
    return change


def test_no_state_is_further_from_the_tangent_than_the_certificate_says(
    record_property: Callable[[str, object], None],
) -> None:
    rng = np.random.default_rng(1)
    cases, closest, usual = 0, 0.0, []
    for feeder in feeders():
        for radius in range(len(RADII_PU)):
            count = len(feeder.connection_ids)
            slot = certified(feeder, np.rint(rng.normal(0, 150, count)).astype(np.int64), radius=radius)
            if slot is None:
                continue
            point, kept, rows, proof = slot.points[0], slot._kept[0], slot.rows, slot.rows.proof
            assert proof is not None
            slopes = np.array(rows.sensitivity)
            for _ in range(330):
                from_, to = (draw(rng, count, rows.refresh_after) for _ in range(2))
                states = np.zeros((2, 2, len(rows.names)))
                for schedule, state in zip((from_, to), states, strict=True):
                    assert point.solve(schedule), "a state is promised within the budget"
                    point.trace(kept, state)
                moved = np.abs(to - from_).sum()
                error = np.hypot(*(states[1] - states[0] - np.tensordot((to - from_).astype(float), slopes, 1)))
                bound = proof.slope * moved + 2 + 2e-12 * kept.limit
                assert (error <= bound).all()
                cases += 1
                closest = max(closest, float((error / bound).max()))
                usual.append(float((error / bound).max()))
    record_property("cases", cases)
    record_property("error_over_bound", (closest, float(np.median(usual))))
    assert cases >= 10_000
    assert closest > 0.2, "a bound that is never near says little"


def test_voltages_stay_within_the_ball() -> None:
    rng = np.random.default_rng(2)
    for feeder in feeders():
        count = len(feeder.connection_ids)
        slot = certified(feeder, np.rint(rng.normal(0, 150, count)).astype(np.int64))
        if slot is None:
            continue
        point, wires = slot.points[0], slot._wires
        assert isinstance(point, BalancedPoint)
        assert isinstance(wires, BalancedWires)
        buses = wires.network.bus[wires.nodes]
        assert point.solve(np.zeros(count, dtype=np.int64))
        before = point.state[buses]
        budget = slot.rows.refresh_after
        found = certificate.slopes(response_of(wires), point.loading(), budget * wires.per_wh)
        assert found is not None
        for _ in range(200):
            assert point.solve(draw(rng, count, budget))
            assert (np.abs(point.state[buses] - before) <= found.radius + 1e-11).all()


def test_loads_that_have_no_state_have_no_certificate() -> None:
    wires = BalancedWires(one_line(0.5), settings("certified"))
    point = wires.point(np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64))
    assert point.solve(np.zeros(3, dtype=np.int64))
    # By this line at most u^2 / 4 r = 26.45 kW can be drawn.
    assert certificate.slopes(response_of(wires), point.loading(), 26_460 / 1e6) is None
    assert certificate.reach(response_of(wires), point.loading(), np.array([26_460 / 1e6])) is None
    near = certificate.reach(response_of(wires), point.loading(), np.array([1_000 / 1e6]))
    assert near is not None
    volts = certificate.slopes(response_of(wires), point.loading(), 1_000 / 1e6)
    assert volts is not None
    # 1 kW over 0.5 ohm: the exact rise is (sqrt(1 + 4 r p / u^2) - 1) / 2 up, (1 - sqrt(1 - 4 r p / u^2)) / 2 down.
    drop = (1 - np.sqrt(1 - 4 * 0.5 * 1_000 / 230**2)) / 2
    assert drop <= volts.radius[0] <= 1.01 * drop


# -- in the book ---------------------------------------------------------------------------------------------------


class Played(NamedTuple):
    gate: FeederGate
    book: Book
    events: list[Event]

    @property
    def trades(self) -> list[tuple[int, int, int]]:
        return [(e.buy_order, e.sell_order, e.quantity) for e in self.events if isinstance(e, Traded)]

    @property
    def refusals(self) -> list[tuple[int, int, int, int]]:
        return [(e.order, e.resting, e.wanted, e.admitted) for e in self.events if isinstance(e, Limited)]


def play(feeder: Feeder, mode: GateMode, seed: int, *, netting: Netting = "netted", size: int, **rules: Any) -> Played:
    """Two hundred flexible orders of a slot. Odd seeds are adversarial: all who sell sit far out, all who buy near."""
    given = msgspec.structs.replace(settings(mode, **rules), netting=netting)
    count, rng = len(feeder.connection_ids), np.random.default_rng(seed)
    gate = FeederGate(feeder, given)
    book = Book(0, given, count, Fees(given, count))
    baseline = np.rint(rng.normal(0, 60, count)).astype(np.int64)
    book.limit(gate.open(0, baseline, np.zeros_like(baseline)))
    messages = []
    for handle in range(200):
        side = int(rng.integers(2))
        node = int(rng.integers(count))
        if seed % 2:
            node = count - 1 - int(rng.integers(count // 3)) if side == kernel.SELL else int(rng.integers(count // 3))
        book.add(handle + 1, f"p{handle}", "sell" if side == kernel.SELL else "buy", "", node)
        level, quantity = int(rng.integers(100, 140)), int(rng.integers(1, size))
        messages.append((kernel.SUBMIT, side, 0, 1, 0, node, handle, level, handle, quantity, 1))
    return Played(gate, book, [event for _, event in book.run(intake.pack(messages), gate)])


@pytest.mark.parametrize("netting", ["netted", "one_sided"])
def test_certified_trades_what_power_flows_allow_and_nothing_else(netting: Netting) -> None:
    decided = asked = refused = 0
    for seed in range(12):
        feeder = radial(np.random.default_rng(seed), 30, transformers=1 + seed % 2)
        rules = {"voltage": (0.03, 0.06, 0.1)[seed % 3], "loading": (0.4, 1.0)[seed % 2]}
        size = (200, 4000)[seed // 2 % 2]
        exact = play(feeder, "ac", seed, netting=netting, size=size, **rules)
        quick = play(feeder, "certified", seed, netting=netting, size=size, **rules)
        assert quick.trades == exact.trades
        assert quick.refusals == exact.refusals
        assert [found for found in quick.gate.verify([0], keep=True) if found.by_trade] == []
        stages = quick.book.stages()
        decided, asked = decided + stages["envelope"] + stages["rows"], asked + stages["gate"]
        refused += len(quick.refusals)
    assert refused > 100
    assert decided > asked / 2


def test_an_envelope_is_safe_whatever_others_do_in_theirs() -> None:
    rng = np.random.default_rng(3)
    wide = 0
    for feeder in feeders():
        rules = settings("certified", voltage=0.06)
        count = len(feeder.connection_ids)
        baseline = np.rint(rng.normal(0, 60, count)).astype(np.int64)
        gate = FeederGate(feeder, rules)
        rows = gate.open(0, baseline, np.zeros_like(baseline))
        assert rows.gross is not None
        sells, buys = rows.gross[kernel.ROOM_TO_SELL], rows.gross[kernel.ROOM_TO_BUY]
        if sells.min() < 0:
            continue
        wide += sells.min() > 20
        up = rng.random((500, count)) < rng.random((500, 1))
        corners = baseline + np.where(up, sells, -buys)
        watt = 3600 / rules.slot_seconds
        assert violations(feeder, rules, corners * watt, np.zeros(corners.shape)) == []
    assert wide >= 2


def test_an_envelope_is_empty_where_a_limit_is_exceeded_already() -> None:
    gate = FeederGate(one_line(0.5), settings("certified", voltage=0.05))
    rows = gate.open(0, np.array([0, 3_000, 0]), np.zeros(3, dtype=np.int64))
    assert rows.gross is not None
    assert (rows.gross[kernel.ROOM_TO_SELL] < 0).all()


def test_the_book_says_how_many_matches_each_stage_decided() -> None:
    feeder = radial(np.random.default_rng(4), 30)
    quick = play(feeder, "certified", 4, size=400, voltage=0.1)
    exact = play(feeder, "ac", 4, size=400, voltage=0.1)
    assert (
        exact.book.stages()["gate"]
        == sum(quick.book.stages().values())
        == len(exact.trades) + len([refusal for refusal in exact.refusals if refusal[3] == 0])
    )
    assert quick.book.stages()["envelope"] > 0
    assert quick.book.stages()["gate"] < exact.book.stages()["gate"]
    quick.gate.close(0)
    assert quick.gate.counts.checks == quick.book.stages()["gate"]
    assert quick.gate.counts.tangents > 0


def station(u1_v: float) -> Feeder:
    """A long 20 kV line to a station; its transformer's ratio decides which of its two sides leaves the band first."""
    return Feeder.from_data(
        {
            "buses": [
                {"id": "mv0", "u_rated_v": 20e3}, {"id": "mv1", "u_rated_v": 20e3}, {"id": "lv", "u_rated_v": 400.0},
            ],
            "lines": [{"id": "cable", "from": "mv0", "to": "mv1", "r_ohm": 40.0, "x_ohm": 10.0, "i_max_a": 400.0}],
            "transformers": [
                {"id": "trafo", "from": "mv1", "to": "lv", "s_va": 2e6, "u1_v": u1_v, "u2_v": 400.0, "uk": 0.04,
                 "pk_w": 9000.0, "i0": 0.0, "p0_w": 0.0, "clock": 5},
            ],
            "source": {"bus": "mv0", "u_pu": 1.0},
            "connections": [{"id": "utility", "bus": "mv0"}, {"id": "plant", "bus": "lv"}],
        }
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["ac", "certified"])
@pytest.mark.parametrize(
    ("u1_v", "sells", "binding"),
    [
        (21e3, True, "bus:mv1:high"),
        (19e3, True, "bus:lv:high"),
        (19e3, False, "bus:mv1:low"),
        (21e3, False, "bus:lv:low"),
    ],
)
def test_a_transformer_is_held_to_the_band_at_both_of_its_ends(
    mode: GateMode, u1_v: float, sells: bool, binding: str
) -> None:
    gate = FeederGate(station(u1_v), settings(mode, voltage=0.06))
    zeros = np.zeros(2, dtype=np.int64)
    rows = gate.open(0, zeros, zeros)
    sides = (1, -1) if sells else (-1, 1)
    verdict = gate.check(0, *sides, 500_000, 1)
    assert 0 < verdict.admitted < 500_000
    assert verdict.constraint == binding
    rows.schedule[1] += verdict.admitted if sells else -verdict.admitted
    assert gate.verify([0], keep=True) == []
    rows.schedule[1] += 50 if sells else -50
    assert [found.element for found in gate.verify([0])] == [binding]


def test_one_sided_trades_hold_whatever_part_of_them_is_delivered() -> None:
    rng = np.random.default_rng(6)
    broken: dict[Netting, int] = {"netted": 0, "one_sided": 0}
    volume: dict[Netting, int] = {"netted": 0, "one_sided": 0}
    for seed in range(6):
        feeder = radial(np.random.default_rng(seed), 24)
        count = len(feeder.connection_ids)
        for netting in broken:
            played = play(feeder, "certified", 2 * seed, netting=netting, size=2000, voltage=0.05)
            rules = played.gate.settings
            baseline = np.rint(np.random.default_rng(2 * seed).normal(0, 60, count)).astype(np.int64)
            if violations(feeder, rules, baseline[np.newaxis] * 4.0, np.zeros((1, count))):
                continue
            volume[netting] += sum(quantity for *_, quantity in played.trades)
            trades = [
                (played.book.orders[sell - 1].node, played.book.orders[buy - 1].node, quantity)
                for buy, sell, quantity in played.trades
            ]
            energy = np.repeat(baseline[np.newaxis], 200, axis=0)
            likely = rng.random((200, 1))
            for sell, buy, quantity in trades:
                for side, sign in ((sell, 1), (buy, -1)):
                    energy[:, side] += sign * quantity * (rng.random((200, 1)) < likely)[:, 0]
            broken[netting] += len({v.slot for v in violations(feeder, rules, energy * 4.0, np.zeros(energy.shape))})
    assert broken["one_sided"] == 0
    assert broken["netted"] > 20
    assert 0 < volume["one_sided"] < volume["netted"]
