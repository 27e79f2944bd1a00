"""What a laboratory measures: the competitive equilibrium, the optimum under the lines, and how near trading came.

- Allocative efficiency: surplus of all trades, Σ (value − cost), as a share of the largest possible one that the lines
  allow (V. L. Smith, "An experimental study of competitive market behavior", Journal of Political Economy 70, 1962).
- Smith's α, same source: 100 / P0 times the root of the mean squared difference of trade prices from the equilibrium
  price P0 [%].
- Profit dispersion: root of the mean over traders of the squared difference between profit and equilibrium profit
  (D. K. Gode and S. Sunder, Journal of Political Economy 101, 1993).

P0 is the middle of the prices at which demand meets supply, without lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import highspy
import numpy as np
from numpy.typing import NDArray

from agents.laboratory_crowd import Crowd
from agents.laboratory_file import Laboratory
from agents.laboratory_market import COLUMNS
from grid.zones import cuts

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_COLUMN = {name: place for place, name in enumerate(COLUMNS)}


class Equilibrium(NamedTuple):
    """Where demand meets supply, without lines."""

    low: int
    high: int
    """Least and largest price that clears the market."""
    quantity: int
    """Most units that trade at a gain or at none."""
    surplus: int

    @property
    def price(self) -> float:
        """P0, the middle."""
        return (self.low + self.high) / 2


def equilibrium(values: Sequence[int], costs: Sequence[int], floor: int, cap: int) -> Equilibrium:
    """The competitive equilibrium of units with these values and costs; prices from `floor` to `cap`."""
    bids, asks = sorted(values, reverse=True), sorted(costs)
    quantity = sum(bid >= ask for bid, ask in zip(bids, asks, strict=False))
    surplus = sum(bids[:quantity]) - sum(asks[:quantity])
    # At the price no unit traded may lose, and no unit left over may wish to trade.
    low = max([floor, *asks[:quantity][-1:], *bids[quantity : quantity + 1]])
    high = min([cap, *bids[:quantity][-1:], *asks[quantity : quantity + 1]])
    return Equilibrium(min(low, high), max(low, high), quantity, surplus)


def optimum(crowd: Crowd, lab: Laboratory) -> int:
    """Largest surplus per period that the lines allow, exact.

    A linear program in which each unit trades or not. Lines in trees bound sums over nested sets of zones, which makes
    the program a network flow: its vertices are whole. Raises RuntimeError if HiGHS finds no such vertex.
    """
    sign = np.array([1 if sell else -1 for sell, units in zip(crowd.sell, crowd.units, strict=True) for _ in units])
    price = np.array([price for units in crowd.units for price in units], dtype=np.int64)
    trader = np.repeat(np.arange(len(crowd.units)), [len(units) for units in crowd.units])
    if not lab.lines:
        found = equilibrium(price[sign < 0].tolist(), price[sign > 0].tolist(), lab.price.floor, lab.price.cap)
        return found.surplus
    bounds = cuts(crowd.zones, lab.lines)
    rows = [sign, *(np.where([crowd.zones[t] in cut.zones for t in trader], sign, 0) for cut in bounds)]
    chosen = _choose(-sign * price, np.array(rows), np.array([0, *(cut.cap for cut in bounds)]))
    return int((-sign * price * chosen).sum())


def _choose(gain: Ints, rows: Ints, caps: Ints) -> Ints:
    """Which x in {0, 1} have the largest gain · x under −caps <= rows · x <= caps."""
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("solver", "simplex")
    program = highspy.HighsLp()
    count, size = rows.shape
    program.num_col_, program.num_row_ = size, count
    program.sense_ = highspy.ObjSense.kMaximize
    program.col_cost_ = gain.astype(np.float64)
    program.col_lower_, program.col_upper_ = np.zeros(size), np.ones(size)
    program.row_lower_, program.row_upper_ = -caps.astype(np.float64), caps.astype(np.float64)
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_ = np.arange(0, count * size + 1, size, dtype=np.int32)
    program.a_matrix_.index_ = np.tile(np.arange(size, dtype=np.int32), count)
    program.a_matrix_.value_ = rows.astype(np.float64).ravel()
    solver.passModel(program)
    solver.run()
    solution = np.array(solver.getSolution().col_value)
    whole = np.rint(solution)
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal or np.abs(solution - whole).max(initial=0) > 1e-6:
        raise RuntimeError("the linear program of the optimum has no whole solution")
    chosen: Ints = whole.astype(np.int64)
    return chosen


class Measures(NamedTuple):
    """One row per session, one column per period; NaN where nothing traded, or nothing could."""

    trades: Ints
    efficiency: Floats
    price: Floats
    alpha: Floats
    dispersion: Floats

    def period(self, number: int) -> Measures:
        """The column of one period."""
        one = slice(number, number + 1)
        return Measures(
            self.trades[:, one],
            self.efficiency[:, one],
            self.price[:, one],
            self.alpha[:, one],
            self.dispersion[:, one],
        )


def measure(lab: Laboratory, crowd: Crowd, sessions: Sequence[Ints], best: int, fair: Equilibrium) -> Measures:
    """Measures of the trades of each session, rows of `COLUMNS`."""
    shape = (len(sessions), lab.periods)
    table = np.concatenate(sessions) if sessions else np.zeros((0, len(COLUMNS)), dtype=np.int64)
    session = np.repeat(np.arange(len(sessions)), [len(trades) for trades in sessions])
    cell = session * lab.periods + table[:, _COLUMN["period"]]
    price, value, cost = (table[:, _COLUMN[name]] for name in ("price", "value", "cost"))
    cells = len(sessions) * lab.periods

    def total(weights: Any) -> Floats:
        return np.bincount(cell, weights=weights, minlength=cells).astype(np.float64)

    count = np.bincount(cell, minlength=cells)
    size = np.where(count, count, np.nan)
    surplus = total(value - cost)
    squares = total((price - fair.price) ** 2)
    profit = np.zeros((cells, len(crowd.names)))
    np.add.at(profit, (cell, table[:, _COLUMN["buyer"]]), value - price)
    np.add.at(profit, (cell, table[:, _COLUMN["seller"]]), price - cost)
    away = profit - _fair_profits(crowd, fair.price)
    columns = (
        surplus / best if best else np.full(cells, np.nan),
        total(price) / size,
        100 / fair.price * np.sqrt(squares / size) if fair.price > 0 else np.full(cells, np.nan),
        np.sqrt((away**2).mean(axis=1)),
    )
    return Measures(count.reshape(shape), *(column.reshape(shape) for column in columns))


def _fair_profits(crowd: Crowd, price: float) -> Floats:
    """(N,) profit per period of each trader who trades at the equilibrium price whatever gains by it."""
    gains = [
        sum(max(0.0, price - unit if sell else unit - price) for unit in units)
        for sell, units in zip(crowd.sell, crowd.units, strict=True)
    ]
    return np.array(gains)


def summary(lab: Laboratory, crowd: Crowd, found: Measures, best: int, fair: Equilibrium) -> dict[str, Any]:
    """What `summary.json` holds; means are over sessions, or over sessions and periods."""
    return {
        "kind": "laboratory",
        "name": lab.name,
        "title": lab.title,
        "seed": lab.seed,
        "sessions": lab.sessions,
        "periods": lab.periods,
        "traders": len(crowd.names),
        "strategies": sorted({name for name, _ in crowd.uses}),
        "equilibrium": {
            "price": fair.price,
            "low": fair.low,
            "high": fair.high,
            "quantity": fair.quantity,
            "surplus": fair.surplus,
        },
        "optimum": best,
        **_means(found),
        "per_period": [{"period": period + 1, **_means(found.period(period))} for period in range(lab.periods)],
    }


def _means(found: Measures) -> dict[str, Any]:
    """Means over all cells; the mean price is that of all trades."""
    weights = np.where(np.isnan(found.price), 0, found.trades)
    priced = np.nansum(found.price * weights)
    per_session = found.efficiency.mean(axis=1)
    spread = float(per_session.std(ddof=1) / np.sqrt(len(per_session))) if len(per_session) > 1 else None
    return {
        "allocative_efficiency": _mean(found.efficiency),
        "allocative_efficiency_standard_error": None if spread is None or np.isnan(spread) else spread,
        "mean_price": float(priced / weights.sum()) if weights.sum() else None,
        "smiths_alpha": _mean(found.alpha),
        "profit_dispersion": _mean(found.dispersion),
        "trades": float(found.trades.mean()),
    }


def _mean(column: Floats) -> float | None:
    known = column[~np.isnan(column)]
    return float(known.mean()) if len(known) else None
