"""Linear programs over the whole schedule of a slot, held to its capacity rows (HiGHS).

    maximise c x   subject to the program's own rows, 0 <= x <= most, and for each capacity row r that can bind
               |z_r| + ∂|z_r|/∂P · (P(x) − P̂) within [lower_r, upper_r]

Some columns x move the injections P at their connection. The rows are the gate's: complex states with their exact
tangents. They enter when a solution breaks them, linearised there, and are linearised again at each solution until,
by the gate's own power flow there, none is broken and those that bind are at their limit, both within `TOLERANCE`,
and the objective has settled (sequential linear programming; Griffith and Stewart, Management Science 7(4), 1961).
As |z| is nearly linear over a step, three or four rounds do. What they end at is an optimum of the wires as they are
there, up to the tolerance; in principle a local one.
"""

from __future__ import annotations

from typing import NamedTuple

import highspy
import numpy as np
from numpy.typing import NDArray

from market.capacity import CapacityRows, Gate

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Places = NDArray[np.intp]

TOLERANCE = 5e-6
"""Largest excess of a capacity row at the optimum, relative to its limit; rounding to whole Wh may add to it."""
SETTLED = 1e-4
"""Largest change of the objective by the last linearisation, relative."""
ROUNDS = 14
"""Most linear programs per slot."""
FRESH_ROUNDS = 4
"""After so many rounds tangents are kept and new ones added: by then they are near, and a solution that swings between
two vertices, each allowed by the tangent at the other, comes to rest between them."""


class Found(NamedTuple):
    """How a program ended."""

    excess: float
    """Largest excess of a limit by power flow, relative; about `TOLERANCE` unless `rounds` reached `ROUNDS`."""
    binding: list[str]
    """Names of the limits that hold the objective down."""
    rounds: int
    """Linear programs solved under capacity rows; 0 if the wires carry the solution without them."""


class Program:
    """A linear program of K columns, E of its rows sums that must be zero. Energy in Wh."""

    def __init__(self, gain: Floats, most: Floats, sums: list[tuple[Places, Floats]]) -> None:
        """`gain` and `most` (K,), infinite where there is no bound; `sums`: columns and coefficients of each row."""
        self.gain = gain
        self.solution: Floats = np.zeros(len(gain))
        self._own = len(sums)
        self._moves: Places = np.zeros(0, np.intp)
        self._move_sign: Floats = np.zeros(0)
        self._connection: Ints = np.zeros(0, np.int64)
        self._grid: Places = np.zeros(0, dtype=np.intp)
        """Capacity row of each grid row."""
        self._solver = _solver()
        self._solver.passModel(_model(gain, most, sums))

    def move(self, columns: Places, sign: Floats, connection: Ints) -> None:
        """Say which columns change injections: +1 raises that of the connection, −1 lowers it."""
        self._moves, self._move_sign, self._connection = columns, sign, connection

    @property
    def moves(self) -> bool:
        """Whether any column changes an injection."""
        return len(self._moves) > 0

    def free(self) -> None:
        """Drop all grid rows."""
        count = len(self._grid)
        if count:
            self._solver.deleteRows(count, np.arange(self._own, self._own + count, dtype=np.int32))
        self._grid = self._grid[:0]

    def limit(self, which: Places, gradient: Floats, lower: Floats, upper: Floats, moved: Ints) -> None:
        """Add rows for the capacity rows `which`: `lower` <= gradient · (injection − moved) <= `upper`.

        To trade nothing is always possible, so no row may exclude it, however far away its tangent was taken.
        """
        solver = self._solver
        self._grid = np.append(self._grid, which)
        values = gradient[:, self._connection] * self._move_sign
        here = gradient @ moved
        count, width = values.shape
        # Energy is large and a relative change of a voltage per Wh tiny: scale each row to coefficients near one.
        scale = 1.0 / np.maximum(np.abs(values).max(axis=1, initial=0.0), np.finfo(np.float64).tiny)
        solver.addRows(
            count, np.minimum(lower + here, 0) * scale, np.maximum(upper + here, 0) * scale, count * width,
            np.arange(0, count * width, max(width, 1), dtype=np.int32)[:count],
            np.tile(self._moves.astype(np.int32), count), (values * scale[:, None]).ravel(),
        )  # fmt: skip

    def solve(self) -> None:
        """Solve, starting from the basis of the last solution. Raises RuntimeError if HiGHS finds no optimum."""
        self._solver.run()
        status = self._solver.getModelStatus()
        if status not in (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kModelEmpty):
            raise RuntimeError(f"the linear program of the slot is {self._solver.modelStatusToString(status)}")
        self.solution = np.array(self._solver.getSolution().col_value)

    def value(self) -> float:
        """The objective at the solution."""
        return float(self.gain @ self.solution)

    def injection(self, connections: int) -> Ints:
        """(C,) change of the injections [whole Wh] by the columns that move."""
        moved = self.solution[self._moves] * self._move_sign
        return np.rint(np.bincount(self._connection, weights=moved, minlength=connections)).astype(np.int64)

    def binding(self) -> Places:
        """Capacity rows that have a price."""
        duals = np.array(self._solver.getSolution().row_dual)[self._own :]
        found: Places = np.unique(self._grid[np.abs(duals) > 1e-9])
        return found


def constrain(slot: int, program: Program, gate: Gate, rows: CapacityRows) -> Found:
    """Bring a solved program within the wires of `slot`; what it moves adds to the schedule that `rows` has.

    Changes schedule, state and bounds of `rows`: the gate must be one of its own, not that of a running market.
    """
    start = rows.schedule.copy()
    watched = np.zeros(len(rows.upper), dtype=np.bool_)
    _excuse_start(rows)
    room = _move(slot, gate, rows, start, program.injection(len(start)), watched)
    binding: list[str] = []
    rounds = 0
    unsettled, before = bool(watched.any()), program.value()
    while unsettled and rounds < ROUNDS:
        which = np.flatnonzero(watched)
        if rounds <= FRESH_ROUNDS:
            program.free()
        program.limit(which, *_tangents(rows, which), rows.schedule - start)
        program.solve()
        rounds += 1
        held, here = program.binding(), rows.schedule.copy()
        binding = sorted(rows.names[row] for row in held)
        room = _move(slot, gate, rows, start, program.injection(len(start)), watched)
        broken = room.min(initial=0.0) < -TOLERANCE or room[held].max(initial=0.0) > TOLERANCE
        now = program.value()
        moved = bool((rows.schedule != here).any())
        unsettled, before = moved and (bool(broken) or abs(now - before) > SETTLED * abs(now)), now
    return Found(max(float(-room.min(initial=0.0)), 0.0), binding, rounds)


def _excuse_start(rows: CapacityRows) -> None:
    """Where a limit is exceeded already, trades may leave it there but not make it worse; as in the gate."""
    modulus = np.hypot(rows.state[0], rows.state[1])
    rows.upper[:] = np.where(rows.upper > 0, np.maximum(rows.upper, modulus), rows.upper)
    rows.lower[:] = np.where(rows.lower >= 0, np.minimum(rows.lower, modulus), rows.lower)


def _move(slot: int, gate: Gate, rows: CapacityRows, start: Ints, injection: Ints, watched: Bools) -> Floats:
    """Take the schedule to `start + injection`, solve it by AC, mark the rows that it breaks.

    Where no state exists so far out, half of the way is tried, and so on: its tangents then lead back.
    The room (R,) that is left in each row, relative to its limit; negative where it is broken.
    """
    rows.schedule[:] = start + injection
    gate.refresh(slot)
    while _diverged(rows) and (rows.schedule != start).any():
        injection = (injection / 2).astype(np.int64)
        rows.schedule[:] = start + injection
        gate.refresh(slot)
    modulus = np.hypot(rows.state[0], rows.state[1])
    above = np.where(rows.upper > 0, rows.upper - modulus, np.inf)
    below = np.where(rows.lower >= 0, modulus - rows.lower, np.inf)
    room: Floats = np.minimum(above, below) / _scale(rows)
    watched |= room < -TOLERANCE / 2
    return room


def _diverged(rows: CapacityRows) -> bool:
    """A row that allows no change at all says that the gate found no state."""
    idle = rows.upper == 0
    return bool(rows.sensitivity[:, :, idle].any())


def _scale(rows: CapacityRows) -> Floats:
    """(R,) the limit that each row is about."""
    limits: Floats = np.maximum(np.where(np.isfinite(rows.upper), rows.upper, rows.lower), 1.0)
    return limits


def _tangents(rows: CapacityRows, which: Places) -> tuple[Floats, Floats, Floats]:
    """Gradient of |z| per Wh (W, C), and its least and largest change (W,) from here; relative to the limit."""
    real, imaginary = rows.state[:, which]
    modulus = np.maximum(np.hypot(real, imaginary), np.finfo(np.float64).tiny)
    scale = _scale(rows)[which]
    gradient = (rows.sensitivity[:, 0, which] * real + rows.sensitivity[:, 1, which] * imaginary) / (modulus * scale)
    lower = np.where(rows.lower[which] >= 0, (rows.lower[which] - modulus) / scale, -np.inf)
    return gradient.T, lower, (rows.upper[which] - modulus) / scale


def _model(gain: Floats, most: Floats, sums: list[tuple[Places, Floats]]) -> highspy.HighsLp:
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(gain), len(sums)
    lp.sense_ = highspy.ObjSense.kMaximize
    lp.col_cost_ = gain
    lp.col_lower_ = np.zeros(len(gain))
    lp.col_upper_ = np.where(np.isinf(most), highspy.kHighsInf, most)
    lp.row_lower_ = lp.row_upper_ = np.zeros(len(sums))
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.cumsum([0, *(len(columns) for columns, _ in sums)])
    lp.a_matrix_.index_ = np.concatenate([np.zeros(0, np.intp), *(columns for columns, _ in sums)])
    lp.a_matrix_.value_ = np.concatenate([np.zeros(0), *(values for _, values in sums)])
    return lp


def _solver() -> highspy.Highs:
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("solver", "simplex")
    return solver
