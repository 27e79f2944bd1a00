"""The physics of a three-phase feeder: what `grid.gate` asks, answered by `grid.phase_tree` and rows of its values.

A *code* is `kind * N + position`: the low bound of a voltage (kinds 0 to 2 for a, b, c), or the high bound of value
`kind - 3` of `grid.phase_tree`: voltages, currents or powers at both ends of the branch, and the unbalance. All values
are bounded in modulus. A line is bounded by the current of its phases and of its neutral, which has the same limit; a
transformer by a third of its rating in each phase.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grid import phase_network, phase_tree
from grid.feeder import Feeder
from grid.limits import ratios
from grid.network import BASE_VA
from grid.phase_tree import FAR, NEAR, UNBALANCE, VALUE_ROWS
from grid.powerflow import PhaseFlow, solve
from grid.wires import Floats, Ints, Quantities, Rows
from market.orders import MarketSettings

Complexes = NDArray[np.complex128]

PHASES = ("a", "b", "c")
CONDUCTORS = (*PHASES, "n")
DIVERGED = "diverged"
SLACK = 1e-9
"""Of every limit: so much is kept free, and so much a value already outside may move [pu]."""
PARTS = 12
"""Halvings of a lot in search of the limit before a collapse."""
GUESSES = 5
"""Proportional steps of a search before it halves."""
LOWS = 3
"""Kinds of limits below, which come first in the codes."""


class State(NamedTuple):
    """A solved state: voltages (N, 3), limited values (VALUE_ROWS, N) and conjugate injections (N, 3) [pu]."""

    voltage: Complexes
    values: Complexes
    load: Complexes


class Bounds(NamedTuple):
    """Squared moduli [pu]."""

    low: Floats
    """(3, N) of the voltages."""
    high: Floats
    """(VALUE_ROWS, N)."""


class PhaseWires:
    """`grid.wires.Wires` of one three-phase feeder by `grid.phase_tree`."""

    def __init__(self, feeder: Feeder, settings: MarketSettings) -> None:
        """Raises ValueError if the settings make no sense, FeederError if the feeder has no zero sequence."""
        low, high, loading = ratios(settings)
        unbalance = settings.unbalance_max_ppm / 1e6
        self.feeder = feeder
        self.network = net = phase_network.build(feeder, (low, high), loading)
        self.per_wh = 3600 / settings.slot_seconds / BASE_VA
        """Power of one Wh [pu]."""
        upper = np.empty((VALUE_ROWS, len(net.bus)))
        upper[:NEAR] = high - SLACK - net.sag[1]
        upper[NEAR:UNBALANCE] = net.rating * loading * (1 - SLACK)
        # A bus between two others is as unbalanced as they are, but for what R i adds to V2 and takes from V1.
        upper[UNBALANCE] = unbalance - SLACK - (net.sag[1] + unbalance * net.sag[0]) / low
        for end in (NEAR, FAR):
            upper[end + 3, net.tree[1] == 1] = np.inf
        lower = np.repeat((low + SLACK + net.sag[0])[np.newaxis], LOWS, axis=0)
        self._moduli = np.concatenate([lower, upper])
        self.bounds = Bounds(lower**2, upper**2)
        self._limits = {"low": low, "high": high, "vuf": unbalance, "branch": loading}
        self.rows, self.quantities = cache(self._rows), cache(self._quantities)

    def point(self, baseline: Ints, reactive: Ints) -> PhasePoint:
        return PhasePoint(self, baseline, reactive)

    def places(self) -> Ints:
        """(C,) number of the node and phase of each connection, 0 at the source."""
        net = self.network
        single = net.shares.max(axis=1) == 1
        places: Ints = np.where(net.connection > 0, 4 * net.connection + single * (1 + net.shares.argmax(axis=1)), 0)
        return places

    def units(self, codes: Ints) -> Floats:
        """(R,) what 1 pu is in whole units: nV to neutral, nA, uVA of a transformer, billionths of the unbalance."""
        net, n = self.network, len(self.network.bus)
        kind, position = codes // n, codes % n
        volts = net.feeder.u_rated_v[net.bus[position]] / np.sqrt(3) * 1e9
        flow = np.where(net.tree[1, position] == 1, BASE_VA / 3 * 1e6, net.base_a[position] * 1e9)
        return np.where(kind < 2 * LOWS, volts, np.where(kind == LOWS + UNBALANCE, 1e9, flow))

    def places_of(self, rows: Rows) -> tuple[Ints, Ints, Floats]:
        """(R,) value of `grid.phase_tree`, position, and unit of each row."""
        kind, position = np.divmod(rows.codes, len(self.network.bus))
        return np.where(kind < LOWS, kind, kind - LOWS), position, rows.units

    def name(self, code: int) -> str:
        """``bus:ID.a:low``, ``bus:ID.a:high``, ``bus:ID:vuf``, ``branch:ID.a`` or ``branch:ID.n``."""
        net, feeder = self.network, self.feeder
        kind, position = divmod(code, len(net.bus))
        bus = feeder.bus_ids[net.bus[position]]
        if kind < 2 * LOWS:
            return f"bus:{bus}.{PHASES[kind % 3]}:{'low' if kind < LOWS else 'high'}"
        if kind == LOWS + UNBALANCE:
            return f"bus:{bus}:vuf"
        branch = (feeder.line_ids + feeder.transformer_ids)[net.branch[position]]
        return f"branch:{branch}.{CONDUCTORS[(kind - LOWS - NEAR) % 4]}"

    def _rows(self, *, every: bool) -> Rows:
        codes = self._codes(every)
        n = len(self.network.bus)
        whole = np.floor(self._moduli[codes // n, codes % n] * self.units(codes))
        return Rows(codes, [self.name(int(code)) for code in codes], codes < LOWS * n, whole, whole, self.units(codes))

    def response(self) -> None:
        """No certificate: every question goes to the power flow."""

    def _codes(self, every: bool) -> Ints:
        """Codes of the rows: of plain lines one end, and unless `every` of no conductor that carries nothing.

        The source's own values are given, and a transformer has no neutral of its own.
        """
        net = self.network
        kept = np.ones((LOWS + VALUE_ROWS, len(net.bus)), dtype=np.bool_)
        kept[:, 0] = False
        for end in (LOWS + NEAR, LOWS + FAR):
            kept[end + 3] &= net.tree[1] == 0
        kept[LOWS + FAR : LOWS + UNBALANCE] &= ~net.plain
        if not every:
            kept[LOWS + NEAR : LOWS + FAR] &= ~net.plain | self._carries().T
        return np.flatnonzero(kept.ravel())

    def _carries(self) -> NDArray[np.bool_]:
        """(N, 4) whether a conductor can carry a current that no phase of the same line has already."""
        net = self.network
        used = np.zeros((len(net.bus), 4), dtype=np.bool_)
        used[:, :3][net.tree[1] == 1] = True
        np.logical_or.at(used[:, :3], net.connection, net.shares > 0)
        for j in range(len(used) - 1, 0, -1):
            used[net.tree[0, j], :3] |= used[j, :3] | ~net.plain[j]
        used[:, 3] = used[:, :3].sum(axis=1) > 1
        return used

    def _quantities(self) -> Quantities:
        feeder, limits = self.feeder, self._limits
        voltages = [f"bus:{bus}.{phase}" for bus in feeder.bus_ids for phase in PHASES]
        names = [f"{name}:{side}" for side in ("low", "high") for name in voltages]
        names += [f"bus:{bus}:vuf" for bus in feeder.bus_ids]
        branches = feeder.line_ids + feeder.transformer_ids
        names += [f"branch:{branch}.{conductor}" for branch in branches for conductor in CONDUCTORS]
        counts = len(voltages), len(voltages), len(feeder.bus_ids), len(CONDUCTORS) * len(branches)
        limit = np.repeat([limits[key] for key in ("low", "high", "vuf", "branch")], counts)
        return Quantities(names, np.arange(len(names)) < len(voltages), limit)

    def measure(self, active_w: Floats, reactive_var: Floats) -> Floats:
        flow = solve(self.feeder, active_w, reactive_var)
        assert isinstance(flow, PhaseFlow)
        slots = len(flow.u_pu)
        voltages, loading = flow.u_phase_pu.reshape(slots, -1), flow.loading_phase.reshape(slots, -1)
        return np.concatenate([voltages, voltages, flow.unbalance, loading], axis=1)


class PhasePoint:
    """`grid.wires.Point` on three-phase wires."""

    def __init__(self, wires: PhaseWires, baseline: Ints, reactive: Ints) -> None:
        net = wires.network
        self._wires = wires
        self._baseline = baseline
        # Whole Wh add up exactly per bus and phase, in any order.
        self._parts = 3 * net.shares
        self._var = np.zeros((len(net.bus), 3), dtype=np.complex128)
        np.add.at(self._var, net.connection, -1j * wires.per_wh * reactive[:, np.newaxis] * self._parts)
        self._start = net.flat()
        self._current, self._near = np.zeros((2, *self._start.shape), dtype=np.complex128)
        self._here: State | None = None
        self._seen: Ints | None = None
        self._now: State | None = None
        self._bounds = wires.bounds
        if self.solve(np.zeros_like(baseline)) and self._here is not None:
            self._start = self._here.voltage

    @property
    def state(self) -> Complexes:
        """(N, 3) voltages to neutral [pu] that `solve` found, by the positions of the network. Raises ValueError."""
        return self._found.voltage

    def solve(self, schedule: Ints) -> bool:
        self._here = self._solve(self._baseline + schedule)
        return self._here is not None

    def inside(self) -> bool:
        return _inside(self._found, self._wires.bounds)

    def trace(self, rows: Rows, state: Floats) -> None:
        which, position, units = self._wires.places_of(rows)
        at = self._found.values[which, position] * units
        state[0], state[1] = np.rint(at.real), np.rint(at.imag)

    def loading(self) -> None:
        """None, as the wires have no response: every question goes to the power flow."""

    def fill(self, rows: Rows, state: Floats, sensitivity: Floats) -> float:
        net, wires, here = self._wires.network, self._wires, self._found
        self.trace(rows, state)
        which, position, units = wires.places_of(rows)
        dv = phase_tree.tangent(net.tree, net.blocks, here.voltage, here.load, net.connection, net.shares)
        phase_tree.fill_rows(
            net.tree, net.blocks, net.plain, here.load, here.voltage, dv, net.connection, net.shares, which, position,
            units * wires.per_wh, sensitivity,
        )  # fmt: skip
        return float(np.abs(dv).max(initial=0.0)) * wires.per_wh

    def fit(self, schedule: Ints, inject: int, withdraw: int, lots: int, lot: int) -> tuple[int, str]:
        net = self._wires.network
        up, down = (int(net.connection[side]) if side >= 0 else 0 for side in (inject, withdraw))
        if lots == 0 or (up == down and (up == 0 or (net.shares[inject] == net.shares[withdraw]).all())):
            return lots, ""
        now = self._baseline + schedule

        def attempt(moved: float) -> State | None:
            after = now.astype(np.float64)
            if inject >= 0:
                after[inject] += moved
            if withdraw >= 0:
                after[withdraw] -= moved
            return self._solve(after)

        outer = attempt(lots * lot)
        if outer is not None and _inside(outer, self._wires.bounds):
            return lots, ""
        self._look(schedule)
        if self._now is None:
            return 0, DIVERGED
        if outer is not None and _inside(outer, self._bounds):
            return lots, ""
        admitted, code = _search(attempt, (self._now, outer), self._bounds, lots, lot)
        return admitted, DIVERGED if code < 0 else self._wires.name(code)

    @property
    def _found(self) -> State:
        if self._here is None:
            raise ValueError("there is no state to speak of; solve found none")
        return self._here

    def _solve(self, energy: Floats | Ints) -> State | None:
        net = self._wires.network
        load, v = self._var.copy(), self._start.copy()
        values = np.zeros((VALUE_ROWS, len(v)), dtype=np.complex128)
        found = phase_tree.state_at(
            net.tree, net.blocks, net.plain, net.connection, self._parts, energy.astype(np.float64),
            self._wires.per_wh, load, v, self._current, self._near, values,
        )  # fmt: skip
        return State(v, values, load) if found else None

    def _look(self, schedule: Ints) -> None:
        """Find the state at the schedule and the bounds that it loosens; kept until the schedule changes."""
        if self._seen is not None and np.array_equal(self._seen, schedule):
            return
        self._seen, self._bounds = schedule.copy(), self._wires.bounds
        self._now = now = self._solve(self._baseline + schedule)
        if now is not None and not _inside(now, self._bounds):
            squares = np.abs(now.values) ** 2
            low = np.minimum(self._bounds.low, squares[:LOWS] * (1 - 2 * SLACK))
            self._bounds = Bounds(low, np.maximum(self._bounds.high, squares * (1 + 2 * SLACK)))


def _inside(state: State, bounds: Bounds) -> bool:
    held: bool = phase_tree.inside(state.values, *bounds)
    return held


def _search(
    attempt: Callable[[float], State | None], ends: tuple[State, State | None], bounds: Bounds, lots: int, lot: int
) -> tuple[int, int]:
    """The largest fitting number of lots below `lots`, which is known not to fit, and the code of what binds.

    The code is -1 if one more lot has no state, nor meets a limit on the way there.
    """
    inner, outer = ends
    low, high, guesses = 0, lots, 0
    while high - low > 1:
        middle = (low + high) // 2
        if outer is not None and guesses < GUESSES:
            share = _chord(inner, outer, bounds)[0]
            middle = min(max(low + int(share * (high - low)), low + 1), high - 1)
        guesses += 1
        tried = attempt(middle * lot)
        if tried is not None and _inside(tried, bounds):
            low, inner = middle, tried
        else:
            high, outer = middle, tried
    below, beyond = float(low * lot), float(high * lot)
    for _ in range(PARTS):
        if outer is not None:
            break
        # One more lot has no state. Parts of a lot are tried only to name the limit that is met on the way there.
        part = (below + beyond) / 2
        tried = attempt(part)
        if tried is None:
            beyond = part
        elif _inside(tried, bounds):
            below, inner = part, tried
        else:
            outer = tried
    return low, -1 if outer is None else _chord(inner, outer, bounds)[1]


def _chord(inner: State, outer: State, bounds: Bounds) -> tuple[float, int]:
    share, code = phase_tree.chord(inner.values, outer.values, *bounds)
    return float(share), int(code)
