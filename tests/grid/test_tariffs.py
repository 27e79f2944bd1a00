"""Tariffs by distance and by level: distances against an independent shortest path, levels by hand."""

from __future__ import annotations

from pathlib import Path

import networkx as nx  # type: ignore[import-untyped]
import numpy as np
import pytest

from grid import network
from grid.feeder import Feeder
from grid.tariffs import by_distance, by_level, levels
from market.tariff import Fees, problems
from tests.grid.networks import one_line, radial, settings
from tests.market.test_tariff import apart, replaced

VILLAGE = Path(__file__).parents[2] / "scenarios" / "data" / "simbench_lv_rural2.feeder.json"


def graph(feeder: Feeder) -> nx.Graph:
    """Buses and |z| [ohm at the lowest rated voltage of a connection] of the branches between them."""
    rated = feeder.u_rated_v[feeder.connection_bus].min()
    net = nx.Graph()
    ohms = np.hypot(feeder.r_ohm, feeder.x_ohm) * (rated / feeder.u_rated_v[feeder.line_from]) ** 2
    net.add_weighted_edges_from(zip(feeder.line_from.tolist(), feeder.line_to.tolist(), ohms.tolist(), strict=True))
    for t in range(len(feeder.transformer_ids)):
        turn = 1 if feeder.tap_max[t] > feeder.tap_min[t] else -1
        shift = turn * (feeder.tap_pos[t] - feeder.tap_nom[t]) * feeder.tap_size_v[t] * (feeder.tap_side[t] == 1)
        ends = int(feeder.transformer_from[t]), int(feeder.transformer_to[t])
        ohm = feeder.uk[t] * (feeder.u2_v[t] + shift) ** 2 / feeder.s_va[t]
        net.add_edge(*ends, weight=float(ohm * (rated / feeder.u_rated_v[ends[1]]) ** 2))
    return net


@pytest.mark.parametrize("seed", range(6))
def test_distances_are_those_of_the_shortest_path(seed: int) -> None:
    rng = np.random.default_rng(seed)
    feeder = radial(rng, 40, transformers=1 + seed % 3)
    found = apart(by_distance(feeder))
    lengths = dict(nx.all_pairs_dijkstra_path_length(graph(feeder)))
    for one, start in enumerate(feeder.connection_bus.tolist()):
        expected = [lengths[start][end] * 1e6 for end in feeder.connection_bus.tolist()]
        assert found[one] == pytest.approx(expected, abs=2)
    assert (found == found.T).all()
    assert (found.diagonal() == 0).all()


def test_distances_of_the_village_are_those_of_the_shortest_path() -> None:
    feeder = Feeder.from_json(VILLAGE.read_text(encoding="utf-8"))
    found = apart(by_distance(feeder))
    lengths = dict(nx.all_pairs_dijkstra_path_length(graph(feeder)))
    buses = feeder.connection_bus.tolist()
    assert found == pytest.approx(np.array([[lengths[a][b] * 1e6 for b in buses] for a in buses]), abs=2)


@pytest.mark.parametrize("seed", range(4))
def test_levels_are_same_feeder_same_substation_and_beyond(seed: int) -> None:
    feeder = radial(np.random.default_rng(seed), 40, transformers=2)
    net = network.build(feeder)
    station, line = levels(net)
    fees = Fees(replaced(settings(), by_level(feeder, 100, 200, 700)), len(feeder.connection_ids))
    place = net.connection
    for one, here in enumerate(place.tolist()):
        for two, there in enumerate(place.tolist()):
            same = 100 if line[here] == line[there] else 200 if station[here] == station[there] else 700
            assert fees.of(one, two) == same
    names = [feeder.bus_ids[bus].partition("n")[0] for bus in net.bus.tolist()]
    for here in range(len(net.bus)):
        for there in range(len(net.bus)):
            # Bus names tell the substation: t0… and t1…, mv… before both.
            low = names[here].startswith("t") and names[there].startswith("t")
            assert not low or (station[here] == station[there]) == (names[here] == names[there])


def test_feeders_part_at_the_bus_bar_behind_a_single_way_out() -> None:
    buses = [{"id": name, "u_rated_v": 400.0} for name in ("source", "joint", "bar", "a1", "a2", "b1")]
    ways = [("source", "joint"), ("joint", "bar"), ("bar", "a1"), ("a1", "a2"), ("bar", "b1")]
    lines = [{"id": f"{a}-{b}", "from": a, "to": b, "r_ohm": 0.1, "x_ohm": 0.0, "i_max_a": 100.0} for a, b in ways]
    places = ["source", "bar", "a1", "a2", "b1"]
    feeder = Feeder.from_data(
        {
            "buses": buses, "lines": lines, "source": {"bus": "source"},
            "connections": [{"id": f"at {bus}", "bus": bus} for bus in places[1:]],
        }
    )  # fmt: skip
    fees = Fees(replaced(settings(), by_level(feeder, 0, 300, 900)), 4)
    assert [[fees.of(a, b) for b in range(4)] for a in range(4)] == [
        [0, 300, 300, 300],
        [300, 0, 0, 300],
        [300, 0, 0, 300],
        [300, 300, 300, 0],
    ]


@pytest.mark.parametrize("seed", range(3))
def test_tariffs_of_any_feeder_are_accepted_by_the_market(seed: int) -> None:
    feeder = radial(np.random.default_rng(seed), 30, transformers=2)
    for tariff in (by_distance(feeder, 300_000, (0.1, 0.2), (0, 100, 900)), by_level(feeder, 1, 2, 3)):
        assert problems(replaced(settings(), tariff)) == []
        assert len(tariff.place) == len(feeder.connection_ids)


def test_two_connections_at_one_bus_are_no_distance_apart() -> None:
    assert apart(by_distance(one_line(r_ohm=0.3, x_ohm=0.4))).tolist() == [
        [0, 500_000, 500_000],
        [500_000, 0, 0],
        [500_000, 0, 0],
    ]
