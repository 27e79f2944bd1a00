"""The welfare optimum of a slot under the grid's constraints: what the best possible market could have achieved.

Welfare [nano-currency] is the sum over all trades of (value of the buyer − cost of the seller − fee of the wires)
× quantity. It is net of fees: the fee is a cost here, like that of a carrier, so that the optimum is reached by trades
by which nobody loses. Values and costs are the private limits behind the orders of the run itself. The
utility takes part without limit, selling at retail and buying at feed-in. A Wh that is not traded counts zero: firm
energy then settles with the utility at just those prices, flexible energy does not flow. The achieved welfare is the
same sum over the trades that happened, so achieved / optimum is a share of the same thing.

Optimum of one slot, by linear programming (HiGHS), in wants k with limit l, energy x and sign s (+1 sells, −1 buys).
Connections between which and all others the fees are the same form a zone; with one fee for all there is one:

    maximise   −Σ s l x − retail Σ m + feed_in Σ e − Σ fee(z, w) t(z, w)
    subject to Σ bought in w = Σ t(z, w) + m(w)     (t local from zone z to w, m from, e to the utility)
               Σ sold in z   = Σ t(z, w) + e(z)
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
from market.tariff import Fees
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


def optimum(
    slot: int, wants: Wants, gate: Gate, rows: CapacityRows | None, settings: MarketSettings, fees: Fees,
    *, alone: bool = False,
) -> Optimum:  # fmt: skip
    """Best allocation of the wants of `slot`, whose `rows` come from ``gate.open`` at its baseline.

    `alone`: without the utility, on an island.

    Moves the schedule of `rows`: the gate must be one of its own, not that of a running market.
    """
    program, prices, parts = _program(wants, settings, fees, 0.0 if alone else np.inf)
    program.solve()
    unconstrained = _welfare(program, prices)
    solved, excess = 1, 0.0
    binding: list[str] = []
    if rows is not None and program.moves:
        excess, binding, rounds = constrain(slot, program, gate, rows)
        solved += rounds
    energy, local, imported, exported = np.split(program.solution, parts)
    return Optimum(
        _welfare(program, prices), unconstrained, energy, float(local.sum()), float(imported.sum()),
        float(exported.sum()), binding, excess, solved,
    )  # fmt: skip


def _program(wants: Wants, settings: MarketSettings, fees: Fees, utility: float) -> tuple[Program, Ints, list[int]]:
    """The linear program of one slot, its prices in market units, and where t, m and e begin behind the wants."""
    sign, count = np.where(wants.sell, 1, -1), len(wants.sell)
    zone = fees.zones[wants.connection] if fees else np.zeros(count, np.int64)
    sides = [np.flatnonzero(sign == side) for side in (-1, 1)]
    (buyers, buying), (sellers, selling) = (np.unique(zone[side], return_index=True) for side in sides)
    from_zone, to_zone = (grid.ravel() for grid in np.meshgrid(np.arange(len(sellers)), np.arange(len(buyers))))
    places = [wants.connection[side][first] for side, first in zip(sides, (buying, selling), strict=True)]
    fee = fees.between(places[1][from_zone], places[0][to_zone])
    # A seller and a buyer who both turn to the utility lose what lies between its prices: no trade may cost more.
    worth = fee <= settings.retail - settings.feed_in
    from_zone, to_zone, fee = from_zone[worth], to_zone[worth], fee[worth]
    parts = np.cumsum([count, len(fee), len(buyers)]).tolist()
    retail, feed_in = np.full(len(buyers), -settings.retail), np.full(len(sellers), settings.feed_in)
    prices = np.concatenate([-sign * wants.limit, -fee, retail, feed_in])
    sums = []
    for side, zones, ends, begin in (
        (sides[0], buyers, to_zone, parts[1]), (sides[1], sellers, from_zone, parts[2]),
    ):  # fmt: skip
        for number, name in enumerate(zones):
            own = side[zone[side] == name]
            others = np.append(parts[0] + np.flatnonzero(ends == number), begin + number)
            sums.append((np.append(own, others), np.append(np.ones(len(own)), np.full(len(others), -1.0))))
    most = np.append(wants.quantity, np.full(len(prices) - count, np.inf))
    most[parts[1] :] = utility
    program = Program(prices / PRICE_PER_CT_KWH, most, sums)
    moves = np.flatnonzero(wants.flexible)
    program.move(moves, sign[moves].astype(np.float64), wants.connection[moves])
    return program, prices.astype(np.int64), parts


def _welfare(program: Program, prices: Ints) -> int:
    """[nano-currency], exact where the energies are whole Wh."""
    whole = np.rint(program.solution)
    if np.abs(program.solution - whole).max(initial=0.0) < 1e-6:
        return int(prices @ whole.astype(np.int64))
    return round(float(prices @ program.solution))


def achieved(value: Ints, cost: Ints, quantity: Ints, fee: Ints) -> int:
    """Welfare [nano-currency] of trades: buyers' values, sellers' costs, energies, fees; all of shape (trades,)."""
    return int(((value - cost - fee) * quantity).sum())


def total(optima: Sequence[Optimum]) -> tuple[int, int]:
    """Welfare of all slots: constrained and unconstrained [nano-currency]."""
    return sum(item.welfare for item in optima), sum(item.unconstrained for item in optima)
