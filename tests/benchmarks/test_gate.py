"""The gate's benchmark compares like with like: the same orders, the same trades, the same voltages."""

from __future__ import annotations

from importlib.util import find_spec

import msgspec
import numpy as np
import pytest

from benchmarks import powerflows
from benchmarks.gate import CASES, compare, table
from benchmarks.gate_orders import adverse_orders, random_orders, trade
from grid.balanced import BalancedPoint, BalancedWires
from tests.grid.networks import radial, settings


def test_drawn_orders_come_from_their_seed_and_adverse_ones_from_two_ends() -> None:
    first, again = (random_orders(np.random.default_rng(1), 50, 9, 100) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    adverse = adverse_orders(np.random.default_rng(1), 50, 9, 100)
    assert adverse.connection[adverse.sells].min() >= 6
    assert adverse.connection[~adverse.sells].max() < 3


def test_a_slot_trades_alike_certified_and_by_power_flow() -> None:
    feeder = radial(np.random.default_rng(2), 20)
    rules = msgspec.structs.replace(settings("ac", voltage=0.03), max_orders=4096)
    orders = adverse_orders(np.random.default_rng(3), 300, len(feeder.connection_ids), 900)
    none = np.zeros(len(feeder.connection_ids), dtype=np.int64)
    exact = trade(feeder, rules, none, orders)
    quick = trade(feeder, msgspec.structs.replace(rules, gate="certified"), none, orders)
    assert exact.refusals == quick.refusals != []
    assert exact.energy == quick.energy > 0
    assert exact.violations == quick.violations == []
    assert sum(exact.stages.values()) == sum(quick.stages.values()) == exact.stages["gate"] > quick.stages["gate"]


def test_the_table_has_a_row_for_every_mode() -> None:
    feeder = radial(np.random.default_rng(2), 8)
    rules = msgspec.structs.replace(settings("ac"), max_orders=4096)
    rows = compare(feeder, rules, CASES[0]._replace(largest=20), [1])
    assert [row["mode"] for row in rows] == ["ac", "certified", "linear"]
    assert table(rows).count("\n") == 4


@pytest.mark.skipif(find_spec("lightsim2grid") is None, reason="lightsim2grid is not installed (extra `bench`)")
def test_other_programs_find_the_same_voltages() -> None:
    feeder = radial(np.random.default_rng(5), 20, transformers=2)
    wires = BalancedWires(feeder, settings())
    schedule = np.arange(len(feeder.connection_ids)) * 10 - 80
    point: BalancedPoint = wires.point(np.zeros_like(schedule), np.zeros_like(schedule))
    assert point.solve(schedule)
    power, own = np.array(schedule * 4, dtype=np.float64), np.abs(point.state)
    flows = [*powerflows.power_grid_model(feeder, power, own), powerflows.lightsim2grid(feeder, power, own)]
    assert all(flow is not None and flow.off_pu < 1e-8 and flow.seconds > 0 for flow in flows)
