"""A balanced radial feeder behind the gate's seam: the compiled tree, and power-grid-model to verify it."""

from __future__ import annotations

from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from grid import network, tree
from grid.certificate import Loading, Response
from grid.feeder import Feeder
from grid.limits import Limits
from grid.powerflow import solve
from grid.sensitivity import write_rows
from grid.wires import Bools, Floats, Ints, Quantities, Rows
from market.orders import MarketSettings

MOST_ARMS = 4
"""Where more of them hang on the source, mode `certified` asks the power flow at once, which is cheaper there."""


class BalancedWires:
    """`grid.wires.Wires` of one feeder by `grid.tree`."""

    def __init__(self, feeder: Feeder, settings: MarketSettings) -> None:
        """Raises ValueError with every setting that makes no sense."""
        self.feeder = feeder
        self.network = network.build(feeder)
        self.bounds = Limits.of(self.network, settings)
        self.squares = self.bounds.squares()
        self.per_wh = 3600 / settings.slot_seconds / network.BASE_VA
        """Power of one Wh [pu]."""
        self.positions = [int(position) for position in self.network.connection]
        self.rows, self.quantities = cache(self._rows), cache(self._quantities)

    def point(self, baseline: Ints, reactive: Ints) -> BalancedPoint:
        return BalancedPoint(self, baseline, reactive)

    def _rows(self, *, every: bool) -> Rows:
        codes, bounds = self.bounds.every() if every else self.bounds.screened()
        low, units = codes < len(self.network.bus), self.bounds.units(codes)
        return Rows(
            codes, self.bounds.names(codes), low, np.floor(bounds * units), np.floor(self.bounds.plain(codes) * units),
            units,
        )  # fmt: skip

    @cached_property
    def nodes(self) -> Ints:
        """(n,) positions that have a connection, without the source."""
        used: Ints = np.unique(self.network.connection)
        return used[used > 0]

    @cached_property
    def powers(self) -> tuple[Ints, Ints, Bools]:
        """(P,) rows among the screened ones that are powers, the positions of their branches, and True for far ends."""
        codes, net = self.rows(every=False).codes, self.network
        kind, position = codes // len(net.bus), codes % len(net.bus)
        places = np.flatnonzero((kind >= tree.NEAR) & (net.tree[1, position] == 1))
        return places, position[places], kind[places] == tree.FAR

    def response(self) -> Response | None:
        """None on a feeder of many arms: a question goes to the power flow of one or two, a proof is about them all."""
        return self._response

    @cached_property
    def _response(self) -> Response | None:
        if len(np.unique(self.network.tree[tree.ARM, 1:])) > MOST_ARMS:
            return None
        net, codes = self.network, self.rows(every=False).codes
        columns = tree.impedance(net.tree, net.net, self.nodes)
        near, far = self.flows(columns)
        kind, position = codes // len(net.bus), codes % len(net.bus)
        values = np.where(kind <= tree.HIGH, columns[:, position], near[:, position])
        values = np.where(kind == tree.FAR, far[:, position], values)
        row = (np.abs(values) * self.bounds.units(codes)).T
        places, at, is_far = self.powers
        end = np.abs(columns[:, np.where(is_far, at, net.parent[at])]).T
        node = np.searchsorted(self.nodes, net.connection)
        node[net.connection == 0] = -1
        voltage = np.abs(columns[:, self.nodes]).T
        voltage, row, end = (np.ascontiguousarray(values) for values in (voltage, row, end))
        return Response(node, voltage, row, places, end)

    def flows(self, voltages: NDArray[np.complex128]) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """(K, N) currents into the branch of every position at both ends, of voltages (K, N) [pu]."""
        near, far = np.zeros((2, *voltages.shape), dtype=np.complex128)
        for k, v in enumerate(voltages):
            tree.flows(self.network.tree, self.network.net, v, near[k], far[k])
        return near, far

    def name(self, code: int) -> str:
        """What binds, by the code that `tree.fit` gives."""
        if code == tree.DIVERGED:
            return "diverged"
        return "" if code == tree.NONE else self.bounds.name(code)

    def places(self) -> Ints:
        return self.network.connection

    def _quantities(self) -> Quantities:
        buses, branches = self.feeder.bus_ids, self.feeder.line_ids + self.feeder.transformer_ids
        names = [f"bus:{bus}:{side}" for side in ("low", "high") for bus in buses]
        limits = (self.bounds.low, self.bounds.high, self.bounds.loading)
        counts = (len(buses), len(buses), len(branches))
        names += [f"branch:{branch}" for branch in branches]
        return Quantities(names, np.arange(len(names)) < len(buses), np.repeat(limits, counts))

    def measure(self, active_w: Floats, reactive_var: Floats) -> Floats:
        flow = solve(self.feeder, active_w, reactive_var)
        return np.concatenate([flow.u_pu, flow.u_pu, flow.loading], axis=1)


class BalancedPoint:
    """`grid.wires.Point` on balanced wires."""

    def __init__(self, wires: BalancedWires, baseline: Ints, reactive: Ints) -> None:
        net = wires.network
        n = len(net.bus)
        self._wires = wires
        self._levels = np.zeros((tree.LEVEL_ROWS, n))
        self._work: NDArray[np.complex128] = np.zeros((tree.WORK_ROWS, n), dtype=np.complex128)
        nothing = np.zeros_like(baseline)
        self._seen = np.concatenate([nothing, np.full(n, tree.UNKNOWN)])
        np.add.at(self._levels[tree.ENERGY], net.connection, baseline)
        np.add.at(self._levels[tree.REACTIVE], net.connection, reactive * wires.per_wh)
        self._work[tree.BASE] = net.flat()
        if self.solve(nothing):
            self._work[tree.BASE] = self._work[tree.TRIAL]

    @property
    def state(self) -> NDArray[np.complex128]:
        """(N,) voltages [pu] that `solve` found, by the feeder's buses."""
        state: NDArray[np.complex128] = self._work[tree.TRIAL][self._wires.network.position]
        return state

    def solve(self, schedule: Ints) -> bool:
        net = self._wires.network
        found: bool = tree.state_at(
            net.tree, net.net, net.connection, net.members, self._levels, self._work, schedule, self._wires.per_wh
        )
        return found

    def inside(self) -> bool:
        net = self._wires.network
        return bool(tree.inside(net.tree, net.net, self._work[tree.TRIAL], self._wires.squares))

    def fill(self, rows: Rows, state: Floats, sensitivity: Floats) -> float:
        here = self._work[tree.TRIAL], self._work[tree.LOAD]
        return write_rows(self._wires.network, here, rows.codes, rows.units, self._wires.per_wh, (state, sensitivity))

    def trace(self, rows: Rows, state: Floats) -> None:
        net = self._wires.network
        nobody, none = self._work[:0], np.zeros((0, 2, len(rows.units)))
        tree.fill_rows(
            net.tree, net.net, self._work[tree.TRIAL], nobody, rows.codes, rows.units, self._wires.per_wh, state, none
        )

    def loading(self) -> Loading:
        wires, state, load = self._wires, self._work[tree.TRIAL], self._work[tree.LOAD]
        _, at, is_far = wires.powers
        near, far = wires.flows(state[np.newaxis])
        current = np.abs(np.where(is_far, far[0, at], near[0, at])) * network.BASE_VA * 1e6
        end = np.abs(state[np.where(is_far, at, wires.network.parent[at])])
        return Loading(np.abs(state[wires.nodes]), np.abs(load[wires.nodes]), end, current)

    def fit(self, schedule: Ints, inject: int, withdraw: int, lots: int, lot: int) -> tuple[int, str]:
        wires = self._wires
        up, down = (0 if side < 0 else wires.positions[side] for side in (inject, withdraw))
        if up == down or lots == 0:
            return lots, ""
        net = wires.network
        admitted, code = tree.fit(
            net.tree, net.net, wires.squares, net.connection, net.members, self._levels, self._work, schedule,
            self._seen, wires.per_wh, up, down, lots, lot,
        )  # fmt: skip
        return admitted, wires.name(code)
