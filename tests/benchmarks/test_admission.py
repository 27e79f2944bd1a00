"""Slots of every kind on every feeder: nothing that the gate admits breaks a limit, and nothing that fits is lost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import admission
from benchmarks.admission import FEEDERS, KINDS, Tally, adverse, found, load, main, plans, race, table


def judge(name: str, totals: dict[tuple[str, str], Tally]) -> None:
    """What must hold of the tallies of a feeder."""
    for kind in ("random", "adverse"):
        exact, certified = totals[kind, "ac"], totals[kind, "certified"]
        assert exact.slots == certified.slots > 0
        assert (exact.broken, certified.broken) == (0, 0)
        assert certified.energy >= 0.995 * exact.energy > 0
        assert (certified.matches, certified.refused) == (exact.matches, exact.refused)
        assert sum(certified.stages) == sum(exact.stages) == exact.stages[2]
        assert (certified.stages[2] < exact.stages[2]) == ("three phases" not in name)
    assert totals["adverse", "ac"].refused > 0
    assert totals["adverse", "off"].broken > 0, "without a gate the same orders break limits"


@pytest.mark.parametrize("name", FEEDERS)
def test_no_slot_breaks_a_limit_and_certified_admits_what_power_flows_do(name: str) -> None:
    judge(name, race(name, random=3, hard=KINDS, orders=60))


@pytest.mark.slow  # two thousand slots under four modes, two minutes
@pytest.mark.parametrize("name", FEEDERS)
def test_no_slot_of_hundreds_breaks_a_limit(name: str) -> None:
    judge(name, race(name, random=300, hard=100, orders=80, first_seed=100))


@pytest.mark.parametrize("name", ["Kerber overhead", "SimBench semi-urban"])
def test_slots_come_from_their_seed_and_begin_inside_the_limits(name: str) -> None:
    feeder, rules, largest = load(name)
    slots, again = (plans(feeder, rules, largest, 4, 6, 20, hard=True) for _ in range(2))
    for one, other in zip(slots, again, strict=True):
        assert np.array_equal(one.baseline, other.baseline)
        assert all(np.array_equal(a, b) for a, b in zip(one.orders, other.orders, strict=True))
    energy, varh = (np.array([plan[kind] for plan in slots], dtype=np.float64) for kind in (0, 1))
    assert np.abs(energy).sum(axis=1).min() > 0
    assert found(feeder, rules, energy, varh) == [[]] * 6
    # What has no state is told apart from what is within its limits.
    energy[2] = -1e9
    assert [items is None for items in found(feeder, rules, energy, varh)] == [slot == 2 for slot in range(6)]


@pytest.mark.parametrize("kind", range(KINDS))
def test_adverse_orders_all_meet_and_are_at_known_connections(kind: int) -> None:
    feeder, _, largest = load("European LV, three phases")
    orders = adverse(feeder, np.random.default_rng(kind), kind, 40, largest)
    assert orders.sells.sum() == 20
    assert orders.level[orders.sells].max() < orders.level[~orders.sells].min()
    assert orders.quantity.min() >= 1
    assert 0 <= orders.connection.min() <= orders.connection.max() < len(feeder.connection_ids)
    if kind == 3:
        phases = np.array(feeder.connection_phase)
        assert set(phases[orders.connection[orders.sells]]) == {"a"}
        assert "a" not in phases[orders.connection[~orders.sells]]


def test_the_table_and_the_file_have_a_line_for_every_mode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "found.json"
    asked = ["--feeder", "Kerber overhead", "--random", "2", "--adverse", "5", "--orders", "20", "--json", str(path)]
    assert main(asked) == 0
    figures = json.loads(path.read_text(encoding="utf-8"))["Kerber overhead"]
    assert len(figures) == 2 * len(admission.MODES)
    assert capsys.readouterr().out.count("| Kerber overhead |") == 2
    assert figures["adverse ac"]["slots"] == 5


def test_a_broken_limit_of_an_unguarded_slot_is_counted_with_its_size() -> None:
    one = Tally(slots=2, energy=10, broken=1, violations=3, voltage=0.01)
    both = one.plus(Tally(slots=1, broken=1, violations=1, loading=0.5))
    assert (both.slots, both.broken, both.violations, both.voltage, both.loading) == (3, 2, 4, 0.01, 0.5)
    told = table({"a": {("random", mode): both for mode in admission.MODES}})
    assert told.count("1e-02 pu, load 5e-01") == 2
