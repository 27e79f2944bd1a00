"""What lies between two connections, for tariffs: electrical distance along the tree, or the level that both share.

The market is given a tree with whole lengths, of which it knows nothing but how to add them up
(`market.orders.NetworkTariff`). Distances are in micro-ohms: the sum of |z| over all branches of the path, lines and
transformers, referred to the lowest rated voltage of any connection.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grid import network
from grid.feeder import Feeder
from grid.tree import SKELETON, SKELETON_PARENT
from market.orders import NetworkTariff

Ints = NDArray[np.int64]

MICRO = 1e6


def by_distance(
    feeder: Feeder, rate: int = 0, limits_ohm: Sequence[float] = (), fees: Sequence[int] = ()
) -> NetworkTariff:
    """Fees by impedance: `rate` per ohm, and `fees` of bands, the last without a limit; in milli-currency/MWh.

    The tree has the source, the connections and the junctions between them: lengths of the buses between are summed.
    """
    net = network.build(feeder)
    reach = np.rint(_from_source(feeder, net) * MICRO).astype(np.int64)
    count = int(net.tree[SKELETON_PARENT, 0])
    kept = net.tree[SKELETON, :count]
    above = np.append(0, net.tree[SKELETON_PARENT, 1:count])
    number = np.zeros(len(net.bus), dtype=np.int64)
    number[kept] = np.arange(count)
    return NetworkTariff(
        model="distance",
        parent=(-1, *number[above[1:]].tolist()),
        length=tuple((reach[kept] - reach[above]).tolist()),
        place=tuple(number[net.connection].tolist()),
        rate=rate,
        limits=tuple(round(limit * MICRO) for limit in limits_ohm),
        fees=tuple(fees),
    )


def by_level(feeder: Feeder, same_feeder: int, same_substation: int, beyond: int) -> NetworkTariff:
    """Fees by what two connections share: an outgoing feeder, a substation, or neither; in milli-currency/MWh.

    A *substation* is all that hangs behind one transformer, or before the first. Its *feeders* leave its bus bar, the
    first bus from the source where the substation branches or somebody is connected; who is at the bar itself has the
    bar as a feeder.
    """
    net = network.build(feeder)
    station, line = levels(net)
    stations, feeders = np.unique(station[net.connection]), np.unique(line[net.connection])
    first = len(stations) + 1
    return NetworkTariff(
        model="level",
        parent=(-1, *[0] * len(stations), *(1 + np.searchsorted(stations, station[feeders])).tolist()),
        length=(0, *[1] * (len(stations) + len(feeders))),
        place=tuple((first + np.searchsorted(feeders, line[net.connection])).tolist()),
        limits=(0, 2),
        fees=(same_feeder, same_substation, beyond),
    )


def levels(net: network.Network) -> tuple[Ints, Ints]:
    """Substation and feeder of every position (N,), each named by its first position."""
    n, parent, behind = len(net.bus), net.parent, net.tree[1] == 1
    lines = np.bincount(parent[1:][~behind[1:]], minlength=n)
    used = np.zeros(n, dtype=np.bool_)
    used[net.connection] = True
    station, line, bar = np.zeros((3, n), dtype=np.int64)
    bar[0] = 0 if used[0] or lines[0] != 1 else -1
    for j in range(1, n):
        if behind[j]:
            station[j] = line[j] = j
            bar[j] = j if used[j] or lines[j] != 1 else -1
            continue
        here = station[j] = station[parent[j]]
        if bar[here] == -1:  # still on the only way out of the substation
            line[j] = here
            if used[j] or lines[j] != 1:
                bar[here] = j
        else:
            line[j] = j if parent[j] == bar[here] else line[parent[j]]
    return station, line


def _from_source(feeder: Feeder, net: network.Network) -> NDArray[np.float64]:
    """(N,) ohms of the path from the source to every position."""
    rated = float(feeder.u_rated_v[feeder.connection_bus].min(initial=np.inf))
    reach = np.zeros(len(net.bus))
    for j in range(1, len(net.bus)):
        reach[j] = reach[net.parent[j]] + rated**2 / network.BASE_VA / abs(net.net[2, j])
    return reach
