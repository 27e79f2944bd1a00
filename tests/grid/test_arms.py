"""Feeders that share nothing but the source: what happens on one is nothing to the other."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from grid import network
from grid.balanced import MOST_ARMS
from grid.feeder import Feeder
from grid.gate import FeederGate
from tests.grid.networks import radial, settings

WANTED, LOT = 30_000, 10


def joined(*feeders: Feeder) -> Feeder:
    """One feeder of several with the same source; connections at the source are those of the first."""
    whole: dict[str, Any] = json.loads(feeders[0].to_json())
    for table in ("buses", "lines", "transformers", "connections"):
        whole[table] = [
            {key: f"{value}/{place}" if key in ("id", "from", "to", "bus") and value != "mv0" else value
             for key, value in row.items()}
            for place, feeder in enumerate(feeders)
            for row in json.loads(feeder.to_json()).get(table, [])
            if place == 0 or "mv0" not in (row["id"], row.get("bus"))
        ]  # fmt: skip
    return Feeder.from_data(whole)


@pytest.mark.parametrize("seed", range(4))
def test_positions_of_an_arm_have_no_gap_and_parents_come_first(seed: int) -> None:
    rng = np.random.default_rng(seed)
    feeder = joined(*(radial(rng, 12, transformers=1 + place) for place in range(3)))
    net = network.build(feeder)
    parent, begin, end = net.tree[0], net.tree[4], net.tree[5]
    for j in range(1, len(parent)):
        assert parent[j] < j
        assert begin[j] <= j < end[j]
        assert parent[j] == 0 if begin[j] == j else begin[parent[j]] == begin[j]
    assert len(np.unique(begin[1:])) == 3
    assert sorted(net.members.tolist()) == list(range(len(feeder.connection_ids)))
    assert (np.diff(net.connection[net.members]) >= 0).all()


@pytest.mark.parametrize("seed", range(6))
def test_a_question_is_answered_as_by_a_gate_over_its_own_arms_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rules = settings("ac", voltage=0.04, loading=0.8)
    feeders = [radial(rng, 16, transformers=1 + place) for place in range(3)]
    source = feeders[0].source_u_pu
    feeders = [
        Feeder.from_data({**json.loads(one.to_json()), "source": {"bus": "mv0", "u_pu": source}}) for one in feeders
    ]
    whole = FeederGate(joined(*feeders), rules)
    alone = [FeederGate(feeder, rules) for feeder in feeders]
    loads = [np.append(0, rng.integers(-800, 300, len(feeder.connection_ids) - 1)) for feeder in feeders]
    # The third feeder is beyond its limits from the beginning: that is nothing to the two others.
    loads[2] *= 12
    rows = whole.open(0, np.concatenate([loads[0], loads[1][1:], loads[2][1:]]), np.zeros(0, np.int64))
    own = [gate.open(0, load, np.zeros(0, np.int64)) for gate, load in zip(alone, loads, strict=True)]
    starts = np.cumsum([0, *(len(load) - 1 for load in loads)])
    limited = 0
    for _ in range(60):
        (a, i), (b, j) = ((int(n), int(rng.integers(1, len(loads[n])))) for n in rng.integers(0, 3, 2))
        inject, withdraw = int(starts[a]) + i, int(starts[b]) + j
        found = whole.check(0, inject, withdraw, WANTED, LOT)
        if a == b:
            expected = alone[a].check(0, i, j, WANTED, LOT).admitted
        else:
            expected = min(
                alone[a].check(0, i, -1, WANTED, LOT).admitted, alone[b].check(0, -1, j, WANTED, LOT).admitted
            )
        assert found.admitted == expected
        limited += found.admitted < WANTED
        taken = found.admitted // 2
        for schedule, sells, buys in (
            (rows.schedule, inject, withdraw),
            (own[a].schedule, i, None),
            (own[b].schedule, None, j),
        ):
            if sells is not None:
                schedule[sells] += taken
            if buys is not None:
                schedule[buys] -= taken
    assert limited > 10


@pytest.mark.parametrize(("count", "proves"), [(MOST_ARMS, True), (MOST_ARMS + 1, False)])
def test_on_many_arms_a_certified_gate_asks_the_power_flow_at_once(count: int, proves: bool) -> None:
    feeder = joined(*(radial(np.random.default_rng(place), 5) for place in range(count)))
    nothing = np.zeros(len(feeder.connection_ids), np.int64)
    certified, exact = (FeederGate(feeder, settings(gate)) for gate in ("certified", "ac"))
    gross = certified.open(0, nothing, nothing).gross
    assert gross is not None
    assert bool((gross[2:] > 0).any()) == proves
    exact.open(0, nothing, nothing)
    assert certified.check(0, 1, -1, WANTED, LOT) == exact.check(0, 1, -1, WANTED, LOT)
