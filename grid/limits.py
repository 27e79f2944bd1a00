"""What a feeder may carry: bounds of every voltage and branch, and which of them linear rows need to keep.

A *code* is `kind * N + position`: the low or the high bound of the bus at that position, or the bound of the branch
that feeds it at its near (parent's) or far end. A line is bounded by its current, a transformer by its apparent
power, as power-grid-model defines loading.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.network import BASE_VA, Network
from grid.tree import FAR, HIGH, KINDS, LOW, NEAR, SKELETON, SKELETON_PARENT, SLACK
from market.orders import MarketSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESERVE_PU = 0.005
"""A voltage that stays this far within its bound at full load of its whole path needs no linear row."""
CHARGING = 1e-3
"""Two ends of a line that differ by at most this part of its limit share one row, its limit lowered by as much."""

SAG_PU = 2e-4
"""A voltage within a plain cable that can pass those of its two ends by at most this much needs no linear row."""


def ratios(settings: MarketSettings) -> tuple[float, float, float]:
    """Least and greatest voltage [pu], greatest loading. Raises ValueError with every setting that makes no sense."""
    errors = []
    if not 0 < settings.voltage_min_ppm < settings.voltage_max_ppm:
        band = f"{settings.voltage_min_ppm} to {settings.voltage_max_ppm}"
        errors.append(f"voltage_min_ppm must be above 0 and below voltage_max_ppm, got {band}")
    if settings.loading_max_ppm <= 0:
        errors.append(f"loading_max_ppm must be above 0, got {settings.loading_max_ppm}")
    if settings.unbalance_max_ppm <= 0:
        errors.append(f"unbalance_max_ppm must be above 0, got {settings.unbalance_max_ppm}")
    if settings.slot_seconds <= 0:
        errors.append(f"slot_seconds must be above 0, got {settings.slot_seconds}")
    if errors:
        raise ValueError("; ".join(errors))
    return settings.voltage_min_ppm / 1e6, settings.voltage_max_ppm / 1e6, settings.loading_max_ppm / 1e6


@dataclass(frozen=True, eq=False)
class Limits:
    """Bounds of a network of N positions under one market's settings."""

    network: Network
    low: float
    high: float
    loading: float

    @classmethod
    def of(cls, network: Network, settings: MarketSettings) -> Limits:
        """Raises ValueError with every setting that makes no sense."""
        return cls(network, *ratios(settings))

    def squares(self) -> Floats:
        """(KINDS, N) squared bounds [pu], a hair inside of the limits."""
        n = len(self.network.bus)
        bounds = np.empty((KINDS, n))
        bounds[LOW] = (self.low + SLACK) ** 2
        bounds[HIGH] = (self.high - SLACK) ** 2
        bounds[NEAR] = bounds[FAR] = (self.branches() * (1 - SLACK)) ** 2
        return bounds

    def branches(self) -> Floats:
        """(N,) greatest current or power of the branch at each position [pu], inf at the source."""
        return self.network.rating * self.loading

    def name(self, code: int) -> str:
        """``bus:ID:low``, ``bus:ID:high`` or ``branch:ID``."""
        feeder = self.network.feeder
        kind, position = divmod(code, len(self.network.bus))
        if kind in (LOW, HIGH):
            return f"bus:{feeder.bus_ids[self.network.bus[position]]}:{'low' if kind == LOW else 'high'}"
        return f"branch:{(feeder.line_ids + feeder.transformer_ids)[self.network.branch[position]]}"

    def names(self, codes: Iterable[int]) -> list[str]:
        return [self.name(int(code)) for code in codes]

    def units(self, codes: Ints) -> Floats:
        """(R,) what 1 pu is in the whole-numbered unit of each row: nV (line to line), nA, or uVA for power."""
        n = len(self.network.bus)
        kind, position = codes // n, codes % n
        volts = self.network.feeder.u_rated_v[self.network.bus[position]] * 1e9
        amperes = self.network.base_a[position] * 1e9
        power = self.network.tree[1, position] == 1
        return np.where(kind <= HIGH, volts, np.where(power, BASE_VA * 1e6, amperes))

    def every(self) -> tuple[Ints, Floats]:
        """Codes (R,) and bounds (R,) [pu] of all rows, unscreened."""
        n = len(self.network.bus)
        codes = np.concatenate([kind * n + np.arange(1, n) for kind in range(KINDS)])
        branches = self.branches()[1:] * (1 - SLACK)
        low, high = np.full(n - 1, self.low + SLACK), np.full(n - 1, self.high - SLACK)
        return codes, np.concatenate([low, high, branches, branches])

    def screened(self) -> tuple[Ints, Floats]:
        """Codes (R,) and bounds (R,) [pu] of the rows that no other rows imply. Sound while no bound is exceeded.

        1. A voltage is left out if it cannot reach its bound even when every branch between it and the source
           carries its full rating against it (`_reach`): before it leaves its band, one of those rows binds.
        2. The far end of a line is left out if the charging current between the ends is negligible; the near end's
           bound is lowered by that current.
        3. The near end of a line is left out if its bus has no connection and the lines beyond it cannot together
           carry more than it can (`_inflow`), all of them without charging current.
        4. The voltage of a bus without connection, between two others on a cable without charging current, is left
           out if it can hardly pass theirs (`_between`); the bounds of the others are narrowed by that much.
        """
        network, n = self.network, len(self.network.bus)
        low, high = self._reach()
        codes, bounds = self.every()
        kind, position = codes // n, codes % n
        is_line = network.tree[1, position] == 0
        charging = 2 * np.abs(network.net[3, position]) * self.high
        shared = is_line & (charging <= CHARGING * bounds)
        kept = np.ones(len(codes), dtype=np.bool_)
        kept &= ~((kind == LOW) & (low[position] >= self.low + RESERVE_PU))
        kept &= ~((kind == HIGH) & (high[position] <= self.high - RESERVE_PU))
        kept &= ~((kind == FAR) & shared)
        kept &= ~((kind == NEAR) & is_line & (self._inflow()[position] <= bounds))
        inner, sag = self._between()
        kept &= ~((kind <= HIGH) & inner[position])
        bounds = np.where((kind == NEAR) & shared, bounds - charging, bounds)
        bounds = np.where(kind == LOW, bounds + sag[LOW, position], bounds)
        bounds = np.where(kind == HIGH, bounds - sag[HIGH, position], bounds)
        return codes[kept], bounds[kept]

    def plain(self, codes: Ints) -> Floats:
        """(R,) bounds of rows without what screening takes off them [pu]."""
        n = len(self.network.bus)
        bounds: Floats = np.sqrt(self.squares())[codes // n, codes % n]
        return bounds

    def _reach(self) -> tuple[Floats, Floats]:
        """(N,), (N,) least and greatest modulus of each voltage while no branch on its path is overloaded [pu].

        Along a branch, v_c a_c = v_p a_p (1 + z sh) - z i_p / a_p with |i_p| at most the rating.
        """
        network, n = self.network, len(self.network.bus)
        low, high = np.full(n, -np.inf), np.full(n, np.inf)
        low[0] = high[0] = network.feeder.source_u_pu
        limit = self.branches()
        for j in range(1, n):
            parent, is_power = network.tree[0, j], network.tree[1, j] == 1
            if low[parent] <= 0:
                continue
            tap_near, tap_far = network.net[4, j].real, network.net[4, j].imag
            z = 1 / network.net[2, j]
            current = limit[j] / low[parent] if is_power else limit[j]
            drop = abs(z) * current / tap_near
            gain = tap_near * abs(1 + z * network.net[3, j])
            low[j] = (low[parent] * gain - drop) / tap_far
            high[j] = (high[parent] * gain + drop) / tap_far
        return low, high

    def _between(self) -> tuple[NDArray[np.bool_], Floats]:
        """(N,) buses whose voltage follows from others, and (2, N) how far those must stay inside for it [pu].

        Between ends A and B of a plain cable, v = A + t (B - A), t being the share of the impedance. Its real part
        puts v on the chord of A and B: never further out than both, and not below u if both are at least
        sqrt(u^2 + |B - A|^2 / 4). Its imaginary part adds |Im t| |B - A| either way. |B - A| is at most |z| times
        the rating. A dead end without charging carries nothing: its voltage is that of the bus where it begins.
        """
        network = self.network
        parent, n = network.parent, len(network.bus)
        quiet = (network.tree[1] == 0) & (network.net[3] == 0)
        paths = self._paths()
        inner = np.ones(n, dtype=np.bool_)
        inner[[0, *(j for path in paths for j in path)]] = False
        draws = np.zeros(n, dtype=np.bool_)
        for j in range(n - 1, 0, -1):
            quiet[j] &= not draws[j]
            if inner[j]:
                draws[parent[j]] |= not quiet[j]
        inner &= quiet
        sag = np.zeros((2, n))
        limit, source = self.branches(), network.feeder.source_u_pu
        for path in paths if self.low + SAG_PU <= source <= self.high - SAG_PU else []:
            # The near end of a path is the last bus in it whose parent is the path's top.
            ends = [path[0], int(parent[path[-1]])]
            if len(path) < 2 or not quiet[path[1:]].all() or network.tree[1, path[0]] or network.net[3, path[0]]:
                continue
            z = np.cumsum(1 / network.net[2, path[::-1]])
            span = float(abs(z[-1]) * limit[path].min())
            aside = float(np.abs((z[:-1] / z[-1]).imag).max()) * span
            room = {LOW: float(np.hypot(self.low + aside, span / 2)) - self.low, HIGH: aside}
            if max(room.values()) <= SAG_PU:
                inner[path[1:]] = True
                for side in (LOW, HIGH):
                    sag[side, ends] = np.maximum(sag[side, ends], room[side])
        return inner, sag

    def _paths(self) -> list[list[int]]:
        """Positions from each bus of the skeleton inwards, up to but without the next bus of the skeleton."""
        tree = self.network.tree
        paths = []
        for k in range(1, int(tree[SKELETON_PARENT, 0])):
            path = [int(tree[SKELETON, k])]
            while tree[0, path[-1]] != tree[SKELETON_PARENT, k]:
                path.append(int(tree[0, path[-1]]))
            paths.append(path)
        return paths

    def _inflow(self) -> Floats:
        """(N,) greatest current that can come from beyond each branch [pu] while nothing there is overloaded."""
        network, limit = self.network, self.branches() * (1 - SLACK)
        plain = (network.tree[1] == 0) & (network.net[3] == 0)
        inflow = np.where(plain, 0.0, np.inf)
        inflow[network.connection] = np.inf
        for j in range(len(limit) - 1, 0, -1):
            carried = min(limit[j], inflow[j]) if plain[j] else np.inf
            inflow[network.tree[0, j]] += carried
        return inflow
