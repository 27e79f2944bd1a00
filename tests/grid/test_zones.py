"""Zones and lines: what must hold of the gate of abstract markets."""

from __future__ import annotations

import numpy as np
import pytest

from grid.zones import Line, ZoneError, ZoneGate, cuts, problems
from market.capacity import Verdict
from tests.grid.gate_kit import check_gate

PLACES = {"a1": "A", "a2": "A", "b1": "B", "c1": "C", "d1": "D"}
TREE = [Line("A", "B", 3), Line("B", "C", 2), Line("D", "B", 5)]


def opened(lines: list[Line]) -> ZoneGate:
    gate = ZoneGate(PLACES, lines)
    none = np.zeros(len(PLACES), dtype=np.int64)
    gate.open(7, none, none)
    return gate


@pytest.mark.parametrize("seed", range(5))
def test_it_is_a_gate(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bound = check_gate(lambda: ZoneGate(PLACES, TREE), np.zeros(5, dtype=np.int64), rng, most=6)
    assert bound > 0


def test_a_line_carries_its_cap_in_either_direction() -> None:
    gate = opened(TREE)
    assert gate.check(7, 0, 2, 5, 1) == Verdict(3, "line:A-B")
    assert gate.check(7, 2, 0, 5, 1) == Verdict(3, "line:A-B")
    assert gate.check(7, 0, 1, 5, 1) == Verdict(5, "")


def test_the_narrowest_line_on_the_way_binds() -> None:
    assert opened(TREE).check(7, 4, 3, 9, 1) == Verdict(2, "line:B-C")


def test_flows_against_each_other_cancel() -> None:
    gate = ZoneGate(PLACES, TREE)
    none = np.zeros(5, dtype=np.int64)
    rows = gate.open(7, none, none)
    rows.schedule[:] = [3, 0, -3, 0, 0]
    assert gate.check(7, 0, 2, 1, 1) == Verdict(0, "line:A-B")
    assert gate.check(7, 2, 1, 9, 1) == Verdict(6, "line:A-B")


def test_islands_do_not_trade_with_each_other() -> None:
    gate = opened([Line("A", "B", 3)])
    assert gate.check(7, 0, 3, 1, 1) == Verdict(0, "island:A")
    assert gate.check(7, 0, 2, 1, 1) == Verdict(1, "")


def test_a_plan_starts_where_the_gate_is_and_leaves_it_alone() -> None:
    gate = ZoneGate(PLACES, [*TREE[:2], Line("D", "B", 0)])
    none = np.zeros(5, dtype=np.int64)
    rows = gate.open(7, np.array([1, 0, 0, 0, 0]), none)
    rows.schedule[:] = [2, 0, -2, 0, 0]
    twin, own = gate.planner(7)
    assert own.state[0].tolist() == [3.0, 1.0, 0.0]
    assert (own.upper > 0).all(), "a plan takes a cap of nothing for a row without a state"
    own.schedule[:] = [0, 0, -1, 1, 0]
    twin.refresh(7)
    assert own.state[0].tolist() == [1.0, 0.0, 0.0]
    assert rows.schedule.tolist() == [2, 0, -2, 0, 0]


def test_the_kernel_rows_say_what_the_gate_says() -> None:
    gate = ZoneGate(PLACES, TREE)
    none = np.zeros(5, dtype=np.int64)
    rows = gate.open(7, none, none)
    assert rows.decides
    for inject in range(5):
        for withdraw in range(5):
            slope = rows.sensitivity[inject, 0] - rows.sensitivity[withdraw, 0]
            fits = max(q for q in range(10) if (np.abs(rows.state[0] + q * slope) <= rows.upper).all())
            assert gate.check(7, inject, withdraw, 9, 1).admitted == fits


def test_all_faults_of_a_network_are_told_at_once() -> None:
    lines = [Line("A", "B", -1), Line("C", "C", 2), Line("B", "A", 2)]
    found = problems(lines)
    assert [fault.split(":")[0] for fault in found] == ["lines[0].cap", "lines[1].to", "lines[2]"]
    assert "ring" in found[2]
    with pytest.raises(ZoneError) as error:
        cuts([], lines)
    assert error.value.errors == found
