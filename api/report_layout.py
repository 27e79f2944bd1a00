"""Where the buses of a feeder are drawn: at their known places, else as a tree that grows from the source."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grid.feeder import Feeder

Floats = NDArray[np.float64]
WIDEST = 2.0
"""Width over height of the drawing at most: a feeder along one street is stretched across it."""


class Tree(NamedTuple):
    """A radial feeder with N buses seen from its source."""

    order: list[int]
    """Buses, each after its parent; a bus is followed by the whole of its subtree."""
    parent: NDArray[np.int64]
    """(N,) the next bus towards the source, -1 at the source."""
    depth: NDArray[np.int64]
    """(N,) branches to the source."""


class Places(NamedTuple):
    """Coordinates of N buses for drawing, without unit, and what to say of them."""

    x: Floats
    y: Floats
    said: str
    said_upright: str
    """What to say where the drawing is turned a quarter to the left, to stand upright on a phone."""


def tree(feeder: Feeder) -> Tree:
    """The feeder's buses in depth-first order from the source."""
    count = len(feeder.bus_ids)
    near: list[list[int]] = [[] for _ in range(count)]
    for a, b in zip(_ends(feeder, "from"), _ends(feeder, "to"), strict=True):
        near[a].append(b)
        near[b].append(a)
    parent = np.full(count, -1)
    depth = np.zeros(count, dtype=np.int64)
    order: list[int] = []
    waiting = [int(feeder.source_bus)]
    while waiting:
        bus = waiting.pop()
        order.append(bus)
        for other in near[bus]:
            if other != parent[bus]:
                parent[other], depth[other] = bus, depth[bus] + 1
                waiting.append(other)
    return Tree(order, parent, depth)


def places(feeder: Feeder) -> Places:
    """Coordinates for drawing, both within 0 to 1 times a common scale, wider than high."""
    if np.isfinite(feeder.x).all() and np.isfinite(feeder.y).all() and np.ptp(feeder.x) + np.ptp(feeder.y) > 0:
        return _geographic(feeder)
    return _tree_places(feeder)


def _geographic(feeder: Feeder) -> Places:
    x, y = feeder.x - feeder.x.mean(), feeder.y - feeder.y.mean()
    if np.abs(feeder.x).max() <= 180 and np.abs(feeder.y).max() <= 90:
        x = x * np.cos(np.radians(feeder.y.mean()))  # degrees of longitude are shorter than those of latitude
    north, upright = "north up", "north to the left"
    if np.ptp(y) > np.ptp(x):
        x, y, north, upright = y, -x, "north to the right", "north up"
    width, height = float(np.ptp(x)), float(np.ptp(y))
    stretched = ""
    if width > WIDEST * height > 0:
        y, stretched = y * (width / (WIDEST * height)), ", stretched across"
    return Places(
        x / width, y / width, f"at their places, {north}{stretched}", f"at their places, {upright}{stretched}"
    )


def _tree_places(feeder: Feeder) -> Places:
    """Depth to the right; every end of the tree has a line of its own, a fork stands midway between its branches."""
    seen = tree(feeder)
    leaf = np.ones(len(feeder.bus_ids), dtype=bool)
    leaf[seen.parent[seen.parent >= 0]] = False
    low = np.full(len(leaf), np.inf)
    high = np.full(len(leaf), -np.inf)
    ends = [bus for bus in seen.order if leaf[bus]]
    low[ends] = high[ends] = np.arange(len(ends))
    for bus in reversed(seen.order):
        above = seen.parent[bus]
        if above >= 0:
            middle = (low[bus] + high[bus]) / 2
            low[above], high[above] = min(low[above], middle), max(high[above], middle)
    across = max(1, int(seen.depth.max()))
    y = (low + high) / 2 / max(1, len(ends) - 1) / WIDEST
    said = "drawn as a tree from the source, not to scale"
    return Places(seen.depth / across, y, said, said)


def _ends(feeder: Feeder, end: str) -> list[int]:
    return [*getattr(feeder, f"line_{end}").tolist(), *getattr(feeder, f"transformer_{end}").tolist()]
