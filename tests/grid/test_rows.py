"""The gate's linear rows: what they say, which are left out, how they err, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from numpy.typing import NDArray

from grid import network, tree
from grid.feeder import Feeder
from grid.gate import FeederGate
from grid.limits import Limits
from grid.powerflow import solve
from market.capacity import CapacityRows
from tests.grid.networks import one_line, radial, settings

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def moduli(rows: CapacityRows) -> Floats:
    size: Floats = np.hypot(rows.state[0], rows.state[1])
    return size


def fits(rows: CapacityRows, inject: int, withdraw: int, quantity: int) -> bool:
    """The test that a market makes of the rows."""
    after = rows.state + quantity * (rows.sensitivity[inject] - rows.sensitivity[withdraw])
    size, now = np.hypot(*after), moduli(rows)
    return bool((size <= np.maximum(rows.upper, now)).all() and (size >= np.minimum(rows.lower, now)).all())


def move(rows: CapacityRows, inject: int, withdraw: int, quantity: int) -> None:
    rows.schedule[inject] += quantity
    rows.schedule[withdraw] -= quantity
    rows.state += quantity * (rows.sensitivity[inject] - rows.sensitivity[withdraw])


def opened(seed: int, buses: int = 40, *, voltage: float = 0.05) -> tuple[FeederGate, CapacityRows]:
    rng = np.random.default_rng(seed)
    feeder = radial(rng, buses)
    gate = FeederGate(feeder, settings("linear", voltage=voltage))
    baseline = np.rint(rng.normal(0, 100, len(feeder.connection_ids))).astype(np.int64)
    return gate, gate.open(0, baseline, np.zeros_like(baseline))


def test_rows_hold_whole_numbers_and_the_state_of_power_grid_model() -> None:
    gate, rows = opened(1)
    for values in (rows.state, rows.sensitivity):
        np.testing.assert_array_equal(values, np.rint(values))
    assert rows.state.shape == (2, len(rows.names))
    assert rows.sensitivity.shape == (len(gate.connections()), 2, len(rows.names))
    assert rows.decides
    flow = solve(gate.feeder, *gate.injections([0]))
    expected = {
        f"bus:{bus}:{side}": flow.u_pu[0, i] * gate.feeder.u_rated_v[i] * 1e9
        for i, bus in enumerate(gate.feeder.bus_ids)
        for side in ("low", "high")
    }
    ours = dict(zip(rows.names, moduli(rows), strict=True))
    voltages = [name for name in rows.names if name.startswith("bus:")]
    assert voltages
    for name in voltages:
        assert ours[name] == pytest.approx(expected[name], abs=2)
    for i, name in enumerate(gate.feeder.line_ids):
        ends = [m for n, m in zip(rows.names, moduli(rows), strict=True) if n == f"branch:{name}"]
        if not ends:
            continue
        assert max(ends) == pytest.approx(flow.current_a[0, i] * 1e9, rel=1e-6, abs=3e8)
    assert sum(name.startswith("branch:l") for name in rows.names) > 10
    station = [m for n, m in zip(rows.names, moduli(rows), strict=True) if n == "branch:trafo0"]
    assert len(station) == 2
    assert max(station) == pytest.approx(flow.loading[0, -1] * gate.feeder.s_va[0] * 1e6, rel=1e-9)


def test_a_row_says_low_or_high_and_has_that_bound_alone() -> None:
    _, rows = opened(2)
    for name, lower, upper in zip(rows.names, rows.lower, rows.upper, strict=True):
        assert (lower > 0, np.isinf(upper)) == ((True, True) if name.endswith(":low") else (False, False))


def test_the_error_of_the_rows_is_quadratic(record_property: Callable[[str, object], None]) -> None:
    errors = []
    for share in (1.0, 0.5, 0.25):
        gate, rows = opened(3)
        rng = np.random.default_rng(4)
        step = np.rint(share * rng.normal(0, 400, len(rows.schedule))).astype(np.int64)
        rows.schedule += step
        rows.state += np.tensordot(step.astype(np.float64), rows.sensitivity, 1)
        predicted = rows.state.copy()
        gate.refresh(0)
        voltage = np.array([name.startswith("bus:t0") for name in rows.names])
        errors.append(float(np.abs(predicted - rows.state)[:, voltage].max() / 400e9))
    record_property("linear_error_pu", errors)
    assert 0 < errors[0] < 0.01
    assert errors[0] / errors[1] > 3
    assert errors[1] / errors[2] > 3


def test_refresh_is_in_place_and_exact_again() -> None:
    gate, rows = opened(5)
    state, sensitivity = rows.state, rows.sensitivity
    old = sensitivity.copy()
    rows.schedule[1] += 900
    gate.refresh(0)
    assert rows.state is state
    assert rows.sensitivity is sensitivity
    assert (sensitivity != old).any()
    flow = solve(gate.feeder, *gate.injections([0]))
    name = f"bus:{gate.feeder.bus_ids[-1]}:high"
    assert moduli(rows)[rows.names.index(name)] == pytest.approx(flow.u_pu[0, -1] * 400e9, abs=2)


def test_refresh_is_asked_for_after_a_fifth_of_a_percent() -> None:
    _, rows = opened(6)
    far = max(np.hypot(*rows.sensitivity[c])[n] for c in range(len(rows.schedule)) for n in _voltages(rows))
    assert rows.refresh_after * far <= 0.002 * 400e9
    assert (rows.refresh_after + 2) * far > 0.0015 * 400e9


def _voltages(rows: CapacityRows) -> list[int]:
    return [i for i, name in enumerate(rows.names) if name.startswith("bus:t0")]


@limits(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_refreshed_rows_hardly_leave_the_limits(seed: int) -> None:
    gate, rows = opened(seed, voltage=0.06)
    rng = np.random.default_rng(seed)
    moved = 0
    for _ in range(200):
        inject, withdraw = (int(c) for c in rng.integers(0, len(rows.schedule), 2))
        quantity = int(rng.integers(1, 800))
        if moved >= rows.refresh_after:
            gate.refresh(0)
            moved = 0
        if fits(rows, inject, withdraw, quantity):
            move(rows, inject, withdraw, quantity)
            moved += 2 * quantity
    for found in gate.verify([0]):
        assert abs(found.value - found.limit) < 1e-3 or not found.by_trade


@limits(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    buses=st.integers(2, 30),
    voltage=st.sampled_from([0.03, 0.06, 0.1]),
    loading=st.sampled_from([0.1, 0.5, 1.0]),
    charging=st.booleans(),
)
def test_rows_left_out_are_implied_by_those_kept(
    seed: int, buses: int, voltage: float, loading: float, charging: bool
) -> None:
    rng = np.random.default_rng(seed)
    feeder = radial(rng, buses, reach_km=float(rng.choice([0.05, 0.2, 0.6])), spread=int(rng.choice([1, 6])))
    if not charging:
        feeder = replace(feeder, c_f=0 * feeder.c_f)
    net = network.build(feeder)
    rules = Limits.of(net, settings(voltage=voltage, loading=loading))
    every, bounds = rules.every()
    kept, kept_bounds = rules.screened()
    assert set(kept) <= set(every)
    units = np.ones(len(every))
    known = dict(zip(kept.tolist(), kept_bounds.tolist(), strict=True))
    direction = rng.normal(0, 1, len(feeder.connection_ids)) + rng.choice([-1, 0, 1])
    n = len(net.bus)
    for power in np.linspace(0, 0.4, 25):
        load = np.zeros(n, dtype=np.complex128)
        np.add.at(load, net.connection, power * direction / len(direction))
        v = net.flat()
        if tree.solve(net.tree, net.net, load, v, np.zeros_like(v)) < 0:
            break
        state, none = np.zeros((2, len(every))), np.zeros((0, 2, len(every)))
        # Whole numbers of micro-units are fine enough to compare.
        tree.fill_rows(net.tree, net.net, v, np.zeros((0, n), complex), every, units * 1e9, 1.0, state, none)
        size = np.hypot(*state) / 1e9
        low = every < n
        broken = np.where(low, size < bounds - 1e-8, size > bounds + 1e-8)
        kept_broken = any(
            size[i] < known[code] if low[i] else size[i] > known[code]
            for i, code in enumerate(every.tolist())
            if code in known
        )
        assert kept_broken or not broken.any()


def test_screening_leaves_out_what_the_wires_before_it_rule_out() -> None:
    # At 25 A this line drops 21.7 V, so its current binds before 23 V are lost; at 27 A, 23.4 V.
    gate = FeederGate(one_line(0.5, i_max_a=25.0), settings("linear"))
    zeros = np.zeros(3, dtype=np.int64)
    assert gate.open(0, zeros, zeros).names == ["branch:line", "diverged"]
    wider = FeederGate(one_line(0.5, i_max_a=27.0), settings("linear"))
    assert wider.open(0, zeros, zeros).names == ["bus:far:low", "bus:far:high", "branch:line", "diverged"]
    overloaded = gate.open(1, np.array([0, 3_200, 0]), zeros)
    assert overloaded.names == ["bus:far:low", "bus:far:high", "branch:line", "branch:line", "diverged"]


def test_a_cable_drawn_as_many_buses_needs_the_rows_of_its_ends_alone() -> None:
    def cable(joints: int, last_x: float = 0.0024) -> list[str]:
        names = ["source", *(f"j{i}" for i in range(joints)), "far"]
        lines = [
            {"id": f"l{i}", "from": a, "to": b, "r_ohm": 0.012, "x_ohm": 0.0024, "i_max_a": 200}
            for i, (a, b) in enumerate(pairwise(names))
        ]
        lines[-1]["x_ohm"] = last_x
        stub = {"id": "stub", "from": "j0", "to": "end", "r_ohm": 0.1, "x_ohm": 0.0, "i_max_a": 200}
        feeder = Feeder.from_data(
            {
                "buses": [{"id": name, "u_rated_v": 400} for name in [*names, "end"]],
                "lines": [*lines, stub],
                "source": {"bus": "source"},
                "connections": [{"id": "home", "bus": "far"}],
            }
        )
        gate = FeederGate(feeder, settings("linear", voltage=0.02))
        return gate.open(0, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)).names

    assert cable(2) == ["bus:far:low", "bus:far:high", "branch:l2", "diverged"]
    bent = cable(2, last_x=0.06)
    assert "bus:j1:high" in bent, "the joint leaves the chord"
    assert "bus:end:high" not in bent, "a dead end follows its begin"
    assert "bus:j4:low" in cable(8), "on a long cable the chord sags"


def test_rows_beyond_any_state_refuse_every_move_until_one_is_found() -> None:
    gate = FeederGate(one_line(0.5), settings("linear"))
    zeros = np.zeros(3, dtype=np.int64)
    rows = gate.open(0, np.array([0, 0, -9_000]), zeros)
    assert not fits(rows, 1, 0, 100)
    assert not fits(rows, 0, 1, 100)
    rows.schedule[1] += 8_000
    gate.refresh(0)
    assert fits(rows, 1, 0, 100)
    assert not fits(rows, 0, 1, 9_000)


def test_ac_rows_are_empty_and_ask() -> None:
    gate = FeederGate(one_line(), settings("ac"))
    zeros = np.zeros(3, dtype=np.int64)
    rows = gate.open(0, zeros, zeros)
    assert rows.state.shape == (2, 0)
    assert rows.sensitivity.shape == (3, 2, 0)
    assert not rows.decides
    assert rows.refresh_after == 0
    gate.refresh(0)
