"""What the wires take of a local trade: a fee per pair of connections, the same in either direction.

    fee(a, b) = grid_fee + rate * distance(a, b) / 1 000 000 + band(distance(a, b)), rounded down to the tick

Distances are whole numbers along a tree that comes with the settings; what they measure is the network's business. An
order without a connection, which is the utility's, pays no fee and causes none. One rule for all prices: the price of
a trade is what its seller receives, its buyer pays the fee on top, and both keep within the limits of their orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from market.orders import MarketSettings, NetworkTariff

Ints = NDArray[np.int64]

MILLION = 1_000_000
MOST = 10**9
"""Largest fee and rate [milli-currency/MWh]."""
FARTHEST = 2**62
"""Largest product of the rate and the sum of all lengths."""
NEVER = 2**30
"""A fee in ticks that no two orders reach."""


class _Connection(msgspec.Struct):
    id: str


class _Feeder(msgspec.Struct):
    connections: list[_Connection]


def connection_names(feeder: str) -> list[str]:
    """Names of a feeder's connections (native JSON text), in the order of all arrays. Raises ValueError."""
    try:
        network = msgspec.json.decode(feeder, type=_Feeder)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ValueError(f"the feeder is not in the native JSON format: {error}") from error
    return [connection.id for connection in network.connections]


class Fees:
    """The fees of one market with C connections."""

    def __init__(self, settings: MarketSettings, connections: int) -> None:
        """`settings` must have no `problems`; a tariff has a place for each connection. Without connections: no fee."""
        self.tick = settings.tick
        self.place: NDArray[np.int32] = _places(settings, connections)
        """(C + 1,) where each connection is among P places, the last for orders without one."""
        self.levels: NDArray[np.int32] = _levels(settings, np.unique(self.place[:-1]))
        """(P + 1, P + 1) in ticks, the last of each for orders without a connection; (0, 0) if nobody pays a fee."""
        self.least, self.typical = self._least_and_typical()
        """Least and median fee between two connections [milli-currency/MWh]."""

    def __bool__(self) -> bool:
        return self.levels.size > 0

    @cached_property
    def zones(self) -> Ints:
        """(C,) numbers of groups of connections to which all fees are the same, from whichever of them one trades."""
        used, place = np.unique(self.place[:-1], return_inverse=True)
        alike = np.unique(self.levels[np.ix_(used, used)], axis=0, return_inverse=True)[1]
        return alike.reshape(-1).astype(np.int64)[place.reshape(-1)]

    def between(self, nodes: Ints, others: Ints) -> Ints:
        """(M,) fee of pairs of connections, -1 where there is none [milli-currency/MWh]."""
        if not self:
            return np.zeros(len(nodes), np.int64)
        fees: Ints = self.levels[self.place[nodes], self.place[others]].astype(np.int64) * self.tick
        return fees

    def of(self, node: int, other: int) -> int:
        """Fee between two connections, or 0 where one is -1 [milli-currency/MWh]."""
        return int(self.levels[self.place[node], self.place[other]]) * self.tick if self else 0

    def _least_and_typical(self) -> tuple[int, int]:
        """Over all pairs of two connections, however many of them are at one place."""
        used, count = np.unique(self.place[:-1], return_counts=True)
        if not self or count.sum() < 2:
            return 0, 0
        pairs = (np.outer(count, count) - np.diag(count)).ravel()
        levels = self.levels[np.ix_(used, used)].ravel()[pairs > 0]
        order = np.argsort(levels)
        passed = np.cumsum(pairs[pairs > 0][order])
        middle = order[np.searchsorted(passed, passed[-1] // 2, side="right")]
        return int(levels[order[0]]) * self.tick, int(levels[middle]) * self.tick


def distances(tariff: NetworkTariff) -> Ints:
    """(P, P) distance between all places."""
    size = len(tariff.parent)
    far = np.zeros((size, size), np.int64)
    for node in range(1, size):
        far[node, :node] = far[tariff.parent[node], :node] + tariff.length[node]
        far[:node, node] = far[node, :node]
    return far


def problems(settings: MarketSettings) -> list[str]:
    """Everything that is wrong with the fees of a market whose tick is sound, each with its field and the way out."""
    found = []
    if settings.grid_fee < 0 or settings.grid_fee % settings.tick:
        found.append(f"grid_fee: must be >= 0 and a whole number of ticks, got {settings.grid_fee}")
    tariff = settings.network_tariff
    if tariff is None:
        return found
    path, size = "network_tariff", len(tariff.parent)
    if not size or size != len(tariff.length) or any(
        not (0 <= parent < node) for node, parent in enumerate(tariff.parent[1:], 1)
    ):  # fmt: skip
        found.append(f"{path}.parent: must name, for each node but the first, one before it, with as many lengths")
    elif any(not 0 <= place < size for place in tariff.place):
        found.append(f"{path}.place: must be nodes from 0 to {size - 1}")
    if any(length < 0 for length in tariff.length) or sum(tariff.length) * max(tariff.rate, 1) > FARTHEST:
        found.append(f"{path}.length: must be >= 0, and their sum times rate at most {FARTHEST}")
    if not 0 <= tariff.rate <= MOST:
        found.append(f"{path}.rate: must be from 0 to {MOST}, got {tariff.rate}")
    rising = all(low < high for low, high in zip(tariff.limits, tariff.limits[1:], strict=False))
    if not rising or any(limit < 0 for limit in tariff.limits):
        found.append(f"{path}.limits: must be >= 0 and rise, got {_shown(tariff.limits)}")
    if len(tariff.fees) != (len(tariff.limits) + 1 if tariff.fees or tariff.limits else 0):
        found.append(f"{path}.fees: must be one more than limits, got {len(tariff.fees)} for {len(tariff.limits)}")
    if any(not 0 <= fee <= MOST for fee in tariff.fees):
        found.append(f"{path}.fees: must be from 0 to {MOST}, got {_shown(tariff.fees)}")
    return found


def _shown(values: Sequence[int]) -> str:
    return f"{list(values)!r:.80}"


def _places(settings: MarketSettings, connections: int) -> NDArray[np.int32]:
    """Places of the tariff's tree; without a tariff all connections are at one."""
    tariff = settings.network_tariff
    places = 1 if tariff is None else len(tariff.parent)
    known = [0] * connections if tariff is None else tariff.place[:connections]
    return np.array([*known, places], np.int32)


def _levels(settings: MarketSettings, used: NDArray[np.int32]) -> NDArray[np.int32]:
    tariff = settings.network_tariff
    places = 1 if tariff is None else len(tariff.parent)
    price = np.full((places, places), settings.grid_fee, np.int64)
    if tariff is not None:
        far = distances(tariff)
        price += tariff.rate * far // MILLION
        if tariff.fees:
            price += np.array(tariff.fees, np.int64)[np.searchsorted(tariff.limits, far)]
    if not price[np.ix_(used, used)].any():
        return np.zeros((0, 0), np.int32)
    levels = np.zeros((places + 1, places + 1), np.int32)
    levels[:-1, :-1] = np.minimum(price // settings.tick, NEVER)
    return levels
