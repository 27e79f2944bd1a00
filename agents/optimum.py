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

Only flexible wants move the injections P: firm energy flows anyway. How the capacity rows are met is said in
`market.wire_program`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.capacity import CapacityRows, Gate
from market.orders import MarketSettings
from market.units import PRICE_PER_CT_KWH
from market.wire_program import Program, constrain

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


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
    """Largest excess of a limit by AC power flow, relative; see `market.wire_program.Found`."""
    rounds: int


def optimum(slot: int, wants: Wants, gate: Gate, rows: CapacityRows | None, settings: MarketSettings) -> Optimum:
    """Best allocation of the wants of `slot`, whose `rows` come from ``gate.open`` at its baseline.

    Moves the schedule of `rows`: the gate must be one of its own, not that of a running market.
    """
    program, prices = _program(wants, settings)
    program.solve()
    unconstrained = _welfare(program, prices)
    solved, excess = 1, 0.0
    binding: list[str] = []
    if rows is not None and program.moves:
        excess, binding, rounds = constrain(slot, program, gate, rows)
        solved += rounds
    local, imported, exported = program.solution[-3:]
    return Optimum(
        _welfare(program, prices), unconstrained, program.solution[:-3], float(local), float(imported),
        float(exported), binding, excess, solved,
    )  # fmt: skip


def _program(wants: Wants, settings: MarketSettings) -> tuple[Program, Ints]:
    """The linear program of one slot, and its prices in market units. Columns: the wants, then t, m, e."""
    sign, count = np.where(wants.sell, 1, -1), len(wants.sell)
    prices = np.concatenate([-sign * wants.limit, [-settings.grid_fee, -settings.retail, settings.feed_in]])
    bought, sold = np.flatnonzero(sign < 0), np.flatnonzero(sign > 0)
    sums = [
        (np.append(side, [count, other]), np.append(np.ones(len(side)), [-1.0, -1.0]))
        for side, other in ((bought, count + 1), (sold, count + 2))
    ]
    program = Program(prices / PRICE_PER_CT_KWH, np.append(wants.quantity, np.full(3, np.inf)), sums)
    moves = np.flatnonzero(wants.flexible)
    program.move(moves, sign[moves].astype(np.float64), wants.connection[moves])
    return program, prices.astype(np.int64)


def _welfare(program: Program, prices: Ints) -> int:
    """[nano-currency], exact where the energies are whole Wh."""
    whole = np.rint(program.solution)
    if np.abs(program.solution - whole).max(initial=0.0) < 1e-6:
        return int(prices @ whole.astype(np.int64))
    return round(float(prices @ program.solution))


def achieved(value: Ints, cost: Ints, quantity: Ints, local: Bools, settings: MarketSettings) -> int:
    """Welfare [nano-currency] of trades: buyers' values, sellers' costs, energies; all of shape (trades,).

    `local` is False where the utility is on one side: such a trade bears no grid fee.
    """
    return int(((value - cost - np.where(local, settings.grid_fee, 0)) * quantity).sum())


def total(optima: Sequence[Optimum]) -> tuple[int, int]:
    """Welfare of all slots: constrained and unconstrained [nano-currency]."""
    return sum(item.welfare for item in optima), sum(item.unconstrained for item in optima)
