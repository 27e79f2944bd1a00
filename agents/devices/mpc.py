"""Model predictive control of batteries: plan ahead by a linear program, do the first step, look again.

The plan of one battery minimises the bill over the horizon, energy in Wh, prices per Wh:

    min Σ_k  buy_k·m_k − sell_k·x_k + wear·d_k  −  worth·e_K
    s.t.     e_k = e_{k−1} + η·c_k − d_k/η,  0 ≤ e_k ≤ capacity
             m_k − x_k = net_k + c_k − d_k,  m_k, x_k ≥ 0
             0 ≤ c_k, d_k ≤ power · length of k

net is load less generation; the first step is what is measured now, later ones are forecast. A forecast may have
several futures: they share the first step, each has its own plan after it, and the mean bill is minimised. A plan for
one future is sure of itself, and does worse than no plan where the sun does not come as it was told. Steps grow longer
with their distance, since a forecast of tomorrow noon needs no quarter-hours. Some batteries share a program, so that
the solver's own cost per call is spread; each program keeps its last basis.

Sources: J. B. Rawlings, D. Q. Mayne, M. M. Diehl, Model Predictive Control, 2nd ed. 2017, chapter 1; for several
futures J. R. Birge, F. Louveaux, Introduction to Stochastic Programming, 2nd ed. 2011, chapter 1. Solver: HiGHS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import highspy
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from agents.devices.battery import MICRO, Battery
from agents.devices.fleet import RuleSite
from agents.forecast import Analogs, Forecaster

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TOGETHER = 10
"""Batteries in one linear program: more make it slower than they save, fewer too."""
LENGTHS_HOURS = (*([0.25] * 4), *([0.5] * 4), *([1.0] * 9), *([2.0] * 6))
"""Steps of the horizon [h]: 24 hours in 23 steps."""
MEMORY_HOURS = 7 * 24.0
"""Half-life of what a plan and the rule have cost, by which the better one is followed."""
TIE = 1e-6
"""Price of moving energy for nothing, a small share of any real price, so that plans are unique."""
_CHARGE, _DISCHARGE, _STORED, _IMPORT, _EXPORT = range(5)


class PlanError(RuntimeError):
    """The solver found no plan, which a battery within its limits always has."""


class Planner:
    """Plans for B batteries over K steps in F futures. Prices are per Wh in any currency; energy is in Wh."""

    def __init__(self, count: int, steps: int, futures: int = 1, *, wear: ArrayLike = 0.0) -> None:
        """`count` is B; `wear` (B,) is the cost of each Wh discharged."""
        self._futures, self._nodes = futures, 1 + futures * (steps - 1)
        parents = np.arange(self._nodes) - 1
        parents[1 :: steps - 1] = 0
        parents[0] = -1
        self._ends = np.arange(steps - 1, self._nodes, steps - 1) if steps > 1 else np.array([0])
        self._weights = np.where(np.arange(self._nodes) > 0, 1 / futures, 1.0)
        self.worth: Floats = np.zeros(count)
        """(B,) what one more stored Wh would have saved, by the last plan."""
        self._wear = np.broadcast_to(np.asarray(wear, dtype=np.float64), count)
        self._parts = [
            _Program(np.arange(start, min(start + TOGETHER, count)), parents) for start in range(0, count, TOGETHER)
        ]

    def plan(
        self, battery: Battery, net_wh: Floats, buy: Floats, sell: Floats,
        hours: Floats, slot_hours: float, worth: float,
    ) -> Floats:  # fmt: skip
        """(B,) what to do in the first step [Wh], discharge positive.

        `net_wh` (F, B, K) load less generation, all futures with one first step; `buy` and `sell` (K,) prices, `hours`
        (K,) lengths of the steps, `worth` what a stored Wh is worth at the end. Raises ValueError where selling pays
        more than buying costs, which no plan could resist; PlanError if the solver fails.
        """
        if (sell > buy).any():
            step = int(np.argmax(sell > buy))
            raise ValueError(
                f"sell[{step}] = {sell[step]:g} is above buy[{step}] = {buy[step]:g}; a plan would be endless"
            )
        one_way = battery.one_way_ppm / MICRO
        shape = len(battery), self._nodes
        power = battery.limit_wh[:, None] * (self._tree(hours) / slot_hours)
        cost = np.zeros((*shape, 5))
        cost[..., _CHARGE] = TIE * buy.max()
        cost[..., _DISCHARGE] = self._wear[:, None] + TIE * buy.max()
        cost[:, self._ends, _STORED] = -worth
        cost[..., _IMPORT], cost[..., _EXPORT] = self._tree(buy), -self._tree(sell)
        cost *= self._weights[:, None]
        upper = np.full((*shape, 5), highspy.kHighsInf)
        upper[..., _CHARGE] = upper[..., _DISCHARGE] = power
        upper[..., _STORED] = (battery.capacity_uwh / MICRO)[:, None]
        balance = np.zeros((*shape, 2))
        balance[:, 0, 0] = battery.stored_wh
        balance[:, 0, 1] = net_wh[0, :, 0]
        balance[:, 1:, 1] = np.moveaxis(net_wh[:, :, 1:], 0, 1).reshape(len(battery), -1)
        first = np.empty(len(battery))
        self.worth = np.empty(len(battery))
        for part in self._parts:
            rows = part.rows
            first[rows], self.worth[rows] = part.solve(cost[rows], upper[rows], balance[rows], one_way[rows])
        return first

    def _tree(self, values: Floats) -> Floats:
        """Values (K,) at every node: the first step once, then the others for each future."""
        return np.concatenate([values[:1], np.tile(values[1:], self._futures)])


class _Program:
    """The linear program of some batteries."""

    def __init__(self, rows: Ints, parents: Ints) -> None:
        """`parents` gives the node before each node of the tree of futures, -1 for the first."""
        self.rows = rows
        self._parents = parents
        self._solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        for option, value in (("output_flag", False), ("threads", 1), ("presolve", "off")):
            self._solver.setOptionValue(option, value)
        self._ready = False

    def solve(self, cost: Floats, upper: Floats, balance: Floats, one_way: Floats) -> tuple[Floats, Floats]:
        """(n,) discharge less charge of the first step, and the worth of what is stored: its balance's dual."""
        solver = self._solver
        columns, lines = cost.size, balance.size
        if not self._ready:
            solver.passModel(self._model(cost, upper, balance, one_way))
            self._ready = True
        else:
            every, each = np.arange(columns, dtype=np.int32), np.arange(lines, dtype=np.int32)
            solver.changeColsCost(columns, every, cost.ravel())
            solver.changeColsBounds(columns, every, np.zeros(columns), upper.ravel())
            solver.changeRowsBounds(lines, each, balance.ravel(), balance.ravel())
        solver.run()
        if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise PlanError(f"the solver found no plan: {solver.modelStatusToString(solver.getModelStatus())}")
        solution = solver.getSolution()
        found = np.array(solution.col_value).reshape(len(self.rows), -1, 5)
        duals = np.array(solution.row_dual).reshape(len(self.rows), -1, 2)
        return found[:, 0, _DISCHARGE] - found[:, 0, _CHARGE], -duals[:, 0, 0]

    def _model(self, cost: Floats, upper: Floats, balance: Floats, one_way: Floats) -> highspy.HighsLp:
        matrix = sparse.block_diag([_matrix(self._parents, eta) for eta in one_way], format="csc")
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = cost.size, balance.size
        model.col_cost_, model.col_lower_, model.col_upper_ = cost.ravel(), np.zeros(cost.size), upper.ravel()
        model.row_lower_ = model.row_upper_ = balance.ravel()
        model.a_matrix_.start_, model.a_matrix_.index_ = matrix.indptr, matrix.indices
        model.a_matrix_.value_ = matrix.data
        return model


def _matrix(parents: Ints, one_way: float) -> sparse.csc_matrix:
    """Rows: what is stored, and what is bought and sold, at each node."""
    rows, columns, values = [], [], []
    for node, parent in enumerate(parents.tolist()):
        at, stored, traded = 5 * node, 2 * node, 2 * node + 1
        cells = [
            (stored, at + _STORED, 1.0), (stored, at + _CHARGE, -one_way), (stored, at + _DISCHARGE, 1 / one_way),
            (traded, at + _IMPORT, 1.0), (traded, at + _EXPORT, -1.0),
            (traded, at + _CHARGE, -1.0), (traded, at + _DISCHARGE, 1.0),
        ]  # fmt: skip
        if parent >= 0:
            cells.append((stored, 5 * parent + _STORED, -1.0))
        for row, column, value in cells:
            rows.append(row)
            columns.append(column)
            values.append(value)
    return sparse.csc_matrix((values, (rows, columns)), shape=(2 * len(parents), 5 * len(parents)))


class Horizon:
    """Steps that grow longer, and what falls into them."""

    def __init__(self, slot_hours: float, lengths_hours: Sequence[float] = LENGTHS_HOURS) -> None:
        """Lengths are rounded up to whole slots."""
        counts = [max(1, -int(-length // slot_hours)) for length in lengths_hours]
        self.slots = sum(counts)
        """Slots from now to the end."""
        self.hours: Floats = np.array(counts) * slot_hours
        self._starts = np.cumsum([0, *counts[:-1]])
        self._counts = np.array(counts)

    def __len__(self) -> int:
        return len(self.hours)

    def sums(self, values: Floats) -> Floats:
        """Sums of (…, slots) over each step."""
        return np.add.reduceat(values, self._starts, axis=-1)

    def means(self, values: Floats) -> Floats:
        """Means of (…, slots) over each step."""
        return np.asarray(self.sums(values) / self._counts)


class Controller:
    """Receding horizon for B batteries of one fleet: give it what is measured, slot by slot.

    A plan is no better than its forecast. So two shadows of every battery go along, one that follows the plan and one
    that stores what is left over and gives what is lacking; the battery does what the shadow with the lower bill of
    late does. Source of the idea: N. Cesa-Bianchi, G. Lugosi, Prediction, Learning, and Games, 2006, chapter 2.
    """

    def __init__(
        self, count: int, forecaster: Forecaster, slot_hours: float, *,
        wear: ArrayLike = 0.0, lengths_hours: Sequence[float] = LENGTHS_HOURS, guarded: bool = True,
        past: Floats | None = None,
    ) -> None:  # fmt: skip
        """`guarded` False: the plan is followed whatever it brings. `past` (B, t) [Wh] was measured before."""
        self._forecaster, self._slot_hours = forecaster, slot_hours
        self._horizon = Horizon(slot_hours, lengths_hours)
        futures = forecaster.count if isinstance(forecaster, Analogs) else 1
        self._planner = Planner(count, len(self._horizon), futures, wear=wear)
        before = np.zeros((count, 0)) if past is None else past
        self._past: Floats = np.concatenate([before, np.zeros((count, 64))], axis=1)
        self._known = before.shape[1]
        self._guarded = guarded
        self._shadows: list[Battery] = []
        self._bills: Floats = np.zeros((2, count))
        self._memory = 0.5 ** (slot_hours / MEMORY_HOURS)

    @property
    def slots(self) -> int:
        """Slots of the horizon, the present one included: so many prices are needed."""
        return self._horizon.slots

    @property
    def worth(self) -> Floats:
        """(B,) what one more stored Wh would have saved, by the last plan."""
        return self._planner.worth

    def decide(self, battery: Battery, net_wh: Floats, buy: Floats, sell: Floats) -> Ints:
        """(B,) request to the batteries for the present slot [Wh], discharge positive.

        `net_wh` (B,) is load less generation now; `buy` and `sell` (slots,) are the prices from now on, per Wh.
        """
        self._note(net_wh)
        told, past, slots = self._forecaster, self._past[:, : self._known], self.slots - 1
        later = told.futures(past, slots) if isinstance(told, Analogs) else told.ahead(past, slots)[None]
        now = np.broadcast_to(net_wh[:, None], (len(later), len(net_wh), 1))
        ahead = self._horizon.sums(np.concatenate([now, later], axis=2))
        prices = self._horizon.means(buy), self._horizon.means(sell)
        worth = float(sell.max() + (buy.min() - sell.max()) / 2)

        def planned(store: Battery) -> Ints:
            first = self._planner.plan(store, ahead, *prices, self._horizon.hours, self._slot_hours, worth)
            return np.rint(first).astype(np.int64)

        if not self._guarded:
            return planned(battery)
        if not self._shadows:
            self._shadows = [battery.some(np.arange(len(battery))) for _ in range(2)]
        rule, plan = self._shadows
        wishes = np.rint(net_wh).astype(np.int64), planned(plan)
        follows = self._bills[1] < self._bills[0]
        same = np.array_equal(plan.stored_uwh[follows], battery.stored_uwh[follows])
        request = np.where(follows, wishes[1] if same else planned(battery), wishes[0])
        for number, (shadow, wish) in enumerate(zip((rule, plan), wishes, strict=True)):
            before = shadow.stored_wh
            flow = net_wh - shadow.step(wish)
            paid = np.where(flow > 0, buy[0], sell[0]) * flow - worth * (shadow.stored_wh - before)
            self._bills[number] = self._bills[number] * self._memory + paid
        return request

    def _note(self, net_wh: Floats) -> None:
        if self._known == self._past.shape[1]:
            self._past = np.concatenate([self._past, np.zeros_like(self._past)], axis=1)
        self._past[:, self._known] = net_wh
        self._known += 1


class Predictive:
    """A battery rule for scenarios, ``battery: {rule: mpc}``: the bill with the utility is kept low.

    It knows the utility's prices, which are published, and of its owner what has been measured and the site's forecast.
    """

    def __init__(self, site: RuleSite) -> None:
        self._rows = site.rows
        self._controller = Controller(len(site.rows), site.forecaster, site.slot_hours, past=site.past)
        self._buy, self._sell = site.retail.astype(np.float64), site.feed_in.astype(np.float64)
        self._now = 0

    def __call__(self, battery: Battery, surplus_wh: Ints, deficit_wh: Ints) -> Ints:
        """(B,) request to all batteries; 0 for those of others. Each call is one slot."""
        rows, ahead = self._rows, slice(self._now, self._now + self._controller.slots)
        self._now += 1
        net = (deficit_wh - surplus_wh)[rows].astype(np.float64)
        request = np.zeros(len(battery), dtype=np.int64)
        request[rows] = self._controller.decide(battery.some(rows), net, self._buy[ahead], self._sell[ahead])
        return request
