"""The welfare optimum of a slot under the grid's constraints: what the best possible market could have achieved.

Welfare [nano-currency] is the sum over all trades of (value of the buyer − cost of the seller) × quantity, less the
grid fee on every locally traded Wh: the fee is a cost here, like that of a carrier, so that the optimum is reached by
trades by which nobody loses. Values and costs are the private limits behind the orders of the run itself. The
utility takes part without limit, selling at retail and buying at feed-in. A Wh that is not traded counts zero: firm
energy then settles with the utility at just those prices, flexible energy does not flow. The achieved welfare is the
same sum over the trades that happened, so achieved / optimum is a share of the same thing.

Optimum of one slot, by linear programming (HiGHS), in wants k with limit l, energy x and sign s (+1 sells, −1 buys):

    maximise   −Σ s l x − retail m + feed_in e − fee t
    subject to Σ bought = t + m,  Σ sold = t + e        (t local, m from, e to the utility)
               0 <= x <= quantity,  t, m, e >= 0
               |z_r| + ∂|z_r|/∂P · (P(x) − P̂) within [lower_r, upper_r]    for each capacity row r that can bind

Only flexible wants move the injections P: firm energy flows anyway. The rows are the gate's: complex node voltages
and branch currents with their exact tangents. They enter when a solution breaks them, linearised there, and are
linearised again at each solution until, by AC power flow there, none is broken and those that bind are at their
limit, both within `TOLERANCE`, and welfare has settled (sequential linear programming; Griffith and Stewart,
Management Science 7(4), 1961). As |z| is nearly linear over a step, three or four rounds do. What they end
at is an optimum of the wires as they are there, up to the tolerance; in principle a local one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray

from market.capacity import CapacityRows, Gate
from market.orders import MarketSettings
from market.units import PRICE_PER_CT_KWH

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TOLERANCE = 5e-6
"""Largest excess of a capacity row at the optimum, relative to its limit; rounding to whole Wh may add to it."""
SETTLED = 1e-4
"""Largest change of welfare by the last linearisation, relative; what a share of the optimum can be wrong by."""
ROUNDS = 14
"""Most linear programs per slot."""
FRESH_ROUNDS = 4
"""After so many rounds tangents are kept and new ones added: by then they are near, and a solution that swings between
two vertices, each allowed by the tangent at the other, comes to rest between them."""


@dataclass(frozen=True)
class Wants:
    """What was on offer in one slot; K rows."""

    connection: Ints
    """(K,) number of the connection of the feeder."""
    sell: Bools
    limit: Ints
    """(K,) value of a buyer, fees included, or cost of a seller [milli-currency/MWh]."""
    quantity: Ints
    """(K,) [Wh]."""
    flexible: Bools
    """(K,) True: the injection changes by what is traded."""


@dataclass(frozen=True)
class Optimum:
    """The best allocation of one slot."""

    welfare: int
    """[nano-currency]"""
    unconstrained: int
    """Welfare if every wire were wide enough; the difference is the cost of congestion."""
    quantity: Floats
    """(K,) energy of each want [Wh]."""
    local: float
    """Energy traded locally [Wh]."""
    imported: float
    """Energy bought from the utility [Wh]; `exported`: sold to it."""
    exported: float
    binding: list[str]
    """Names of the limits that hold the welfare down."""
    excess: float
    """Largest excess of a limit by AC power flow, relative; about `TOLERANCE` unless `rounds` reached `ROUNDS`."""
    rounds: int


def optimum(slot: int, wants: Wants, gate: Gate, rows: CapacityRows | None, settings: MarketSettings) -> Optimum:
    """Best allocation of the wants of `slot`, whose `rows` come from ``gate.open`` at its baseline.

    Moves the schedule of `rows`: the gate must be one of its own, not that of a running market.
    """
    program = _Program(wants, settings)
    program.solve()
    unconstrained = program.welfare()
    solved, excess = 1, 0.0
    binding: list[str] = []
    if rows is not None and wants.flexible.any():
        excess, settled = _constrain(slot, program, gate, rows)
        solved += len(settled)
        binding = settled[-1] if settled else []
    welfare = program.welfare()
    local, imported, exported = program.solution[-3:]
    return Optimum(
        welfare, unconstrained, program.solution[:-3], float(local), float(imported), float(exported),
        sorted(binding), excess, solved,
    )  # fmt: skip


def _constrain(slot: int, program: _Program, gate: Gate, rows: CapacityRows) -> tuple[float, list[list[str]]]:
    """Bring the solution within the wires; the excess left and the binding limits of every program solved."""
    watched = np.zeros(len(rows.upper), dtype=np.bool_)
    _excuse_baseline(rows)
    room = _move(slot, gate, rows, program.injection(len(rows.schedule)), watched)
    binding: list[list[str]] = []
    unsettled, before = bool(watched.any()), program.welfare()
    while unsettled and len(binding) < ROUNDS:
        which = np.flatnonzero(watched)
        if len(binding) <= FRESH_ROUNDS:
            program.free()
        program.limit(which, *_tangents(rows, which), rows.schedule)
        program.solve()
        held, here = program.binding(), rows.schedule.copy()
        binding.append([rows.names[row] for row in held])
        room = _move(slot, gate, rows, program.injection(len(rows.schedule)), watched)
        broken = room.min(initial=0.0) < -TOLERANCE or room[held].max(initial=0.0) > TOLERANCE
        now = program.welfare()
        moved = bool((rows.schedule != here).any())
        unsettled, before = moved and (bool(broken) or abs(now - before) > SETTLED * abs(now)), now
    return max(float(-room.min(initial=0.0)), 0.0), binding


def _excuse_baseline(rows: CapacityRows) -> None:
    """Where the baseline itself is outside a limit, trades may leave it there but not make it worse; as in the gate."""
    modulus = np.hypot(rows.state[0], rows.state[1])
    rows.upper[:] = np.where(rows.upper > 0, np.maximum(rows.upper, modulus), rows.upper)
    rows.lower[:] = np.where(rows.lower >= 0, np.minimum(rows.lower, modulus), rows.lower)


def _move(slot: int, gate: Gate, rows: CapacityRows, injection: Ints, watched: Bools) -> Floats:
    """Take the schedule to `injection`, solve it by AC, mark the rows that it breaks.

    Where no state exists so far out, half of the way is tried, and so on: its tangents then lead back.
    The room (R,) that is left in each row, relative to its limit; negative where it is broken.
    """
    rows.schedule[:] = injection
    gate.refresh(slot)
    while _diverged(rows) and rows.schedule.any():
        rows.schedule[:] = (rows.schedule / 2).astype(np.int64)
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


def _tangents(rows: CapacityRows, which: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
    """Gradient of |z| per Wh (W, C), and its least and largest change (W,) from here; relative to the limit."""
    real, imaginary = rows.state[:, which]
    modulus = np.maximum(np.hypot(real, imaginary), np.finfo(np.float64).tiny)
    scale = _scale(rows)[which]
    gradient = (rows.sensitivity[:, 0, which] * real + rows.sensitivity[:, 1, which] * imaginary) / (modulus * scale)
    lower = np.where(rows.lower[which] >= 0, (rows.lower[which] - modulus) / scale, -np.inf)
    return gradient.T, lower, (rows.upper[which] - modulus) / scale


class _Program:
    """The linear program of one slot. Columns: the wants, then t, m, e; prices in ct/kWh, energy in Wh."""

    def __init__(self, wants: Wants, settings: MarketSettings) -> None:
        self._wants = wants
        sign = np.where(wants.sell, 1, -1)
        self._moves = np.flatnonzero(wants.flexible)
        self._move_sign = sign[self._moves].astype(np.float64)
        self._prices = np.concatenate(
            [-sign * wants.limit, [-settings.grid_fee, -settings.retail, settings.feed_in]]
        ).astype(np.int64)
        self.solution: Floats = np.zeros(len(self._prices))
        self._grid: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        """Capacity row of each grid row."""
        self._solver = _solver()
        self._solver.passModel(self._lp(sign))

    def _lp(self, sign: Ints) -> highspy.HighsLp:
        wants = len(sign)
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = wants + 3, 2
        lp.sense_ = highspy.ObjSense.kMaximize
        lp.col_cost_ = self._prices / PRICE_PER_CT_KWH
        lp.col_lower_ = np.zeros(wants + 3)
        lp.col_upper_ = np.concatenate([self._wants.quantity, np.full(3, highspy.kHighsInf)])
        lp.row_lower_ = lp.row_upper_ = np.zeros(2)
        bought, sold = np.flatnonzero(sign < 0), np.flatnonzero(sign > 0)
        t, m, e = wants, wants + 1, wants + 2
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.array([0, len(bought) + 2, len(bought) + len(sold) + 4])
        lp.a_matrix_.index_ = np.concatenate([bought, [t, m], sold, [t, e]])
        lp.a_matrix_.value_ = np.concatenate([np.ones(len(bought)), [-1, -1], np.ones(len(sold)), [-1, -1]])
        return lp

    def free(self) -> None:
        """Drop all grid rows."""
        count = len(self._grid)
        if count:
            self._solver.deleteRows(count, np.arange(2, 2 + count, dtype=np.int32))
        self._grid = self._grid[:0]

    def limit(self, which: NDArray[np.intp], gradient: Floats, lower: Floats, upper: Floats, schedule: Ints) -> None:
        """Add rows for the capacity rows `which`: `lower` <= gradient · (injection − schedule) <= `upper`.

        To trade nothing is always possible, so no row may exclude it, however far away its tangent was taken.
        """
        solver = self._solver
        self._grid = np.append(self._grid, which)
        values = gradient[:, self._wants.connection[self._moves]] * self._move_sign
        here = gradient @ schedule
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
        if status != highspy.HighsModelStatus.kOptimal:
            raise RuntimeError(
                f"the linear program of the welfare optimum is {self._solver.modelStatusToString(status)}"
            )
        self.solution = np.array(self._solver.getSolution().col_value)

    def injection(self, connections: int) -> Ints:
        """(C,) change of the injections [whole Wh] by the flexible wants."""
        moved = self.solution[self._moves] * self._move_sign
        at = self._wants.connection[self._moves]
        return np.rint(np.bincount(at, weights=moved, minlength=connections)).astype(np.int64)

    def welfare(self) -> int:
        """[nano-currency], exact where the energies are whole Wh."""
        whole = np.rint(self.solution)
        if np.abs(self.solution - whole).max(initial=0.0) < 1e-6:
            return int(self._prices @ whole.astype(np.int64))
        return round(float(self._prices @ self.solution))

    def binding(self) -> NDArray[np.intp]:
        """Capacity rows that have a price."""
        duals = np.array(self._solver.getSolution().row_dual)[2:]
        found: NDArray[np.intp] = np.unique(self._grid[np.abs(duals) > 1e-9])
        return found


def _solver() -> highspy.Highs:
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("solver", "simplex")
    return solver


def achieved(value: Ints, cost: Ints, quantity: Ints, local: Bools, settings: MarketSettings) -> int:
    """Welfare [nano-currency] of trades: buyers' values, sellers' costs, energies; all of shape (trades,).

    `local` is False where the utility is on one side: such a trade bears no grid fee.
    """
    return int(((value - cost - np.where(local, settings.grid_fee, 0)) * quantity).sum())


def total(optima: Sequence[Optimum]) -> tuple[int, int]:
    """Welfare of all slots: constrained and unconstrained [nano-currency]."""
    return sum(item.welfare for item in optima), sum(item.unconstrained for item in optima)
