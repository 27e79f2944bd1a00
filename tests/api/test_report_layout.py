"""Places of buses: known ones keep their shape, others grow as a tree; no two buses share a place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from api.report_layout import WIDEST, places, tree
from grid.feeder import Feeder


def street(spots: dict[str, tuple[float, float]] | None = None) -> Feeder:
    """A line s, a, b, c with a side arm d at a."""
    buses: list[dict[str, Any]] = [{"id": name, "u_rated_v": 400.0} for name in "sabcd"]
    for bus in buses if spots else []:
        bus["x"], bus["y"] = (spots or {})[bus["id"]]
    pairs = ("sa", "ab", "bc", "ad")
    lines = [
        {"id": pair, "from": pair[0], "to": pair[1], "r_ohm": 0.1, "x_ohm": 0.05, "i_max_a": 100.0} for pair in pairs
    ]
    connections = [{"id": "home", "bus": "c"}]
    return Feeder.from_data(
        {"buses": buses, "lines": lines, "transformers": [], "source": {"bus": "s"}, "connections": connections}
    )


def test_depth_counts_branches_and_children_follow_their_parents() -> None:
    feeder = street()
    seen = tree(feeder)
    assert dict(zip(feeder.bus_ids, seen.depth.tolist(), strict=True)) == {"s": 0, "a": 1, "b": 2, "c": 3, "d": 2}
    place = {bus: rank for rank, bus in enumerate(seen.order)}
    assert len(place) == 5
    assert all(place[int(seen.parent[bus])] < rank for bus, rank in place.items() if seen.parent[bus] >= 0)


def test_a_feeder_without_places_is_drawn_as_a_tree() -> None:
    x, y, said, _ = places(street())
    assert "tree" in said
    assert len({*zip(x.tolist(), y.tolist(), strict=True)}) == 5
    assert np.isfinite([x, y]).all()
    assert x.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1, 2 / 3])


def test_known_places_keep_their_proportions() -> None:
    spots = {"s": (0.0, 0.0), "a": (1000.0, 0.0), "b": (2000.0, 500.0), "c": (3000.0, 2000.0), "d": (1000.0, 2000.0)}
    x, y, said, _ = places(street(spots))
    assert said == "at their places, north up"
    assert np.ptp(x) / np.ptp(y) == pytest.approx(3000 / 2000)


def test_a_long_street_lies_down_and_is_stretched() -> None:
    spots = {name: (0.01 * (name == "d"), 10.0 * rank) for rank, name in enumerate("sabcd")}
    x, y, said, upright = places(street(spots))
    assert "north to the right" in said
    assert "north up" in upright
    assert "stretched" in said
    assert np.ptp(x) / np.ptp(y) == pytest.approx(WIDEST)


def test_places_in_one_straight_line_need_no_height() -> None:
    spots = {name: (10.0 * rank, 5.0) for rank, name in enumerate("sabcd")}
    x, y, _, _ = places(street(spots))
    assert np.ptp(x) == pytest.approx(1.0)
    assert np.ptp(y) == 0.0
