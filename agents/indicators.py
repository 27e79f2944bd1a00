"""Indicators of a run: how evenly gains fall, who could set prices, what the air gets, how high the peak is.

All follow from the events of a run and its meters; docs/metrics.md has each formula with its source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.metrics import Ints, Trades, share
from market.units import NANO, PRICE_PER_CT_KWH

Floats = NDArray[np.float64]


def fairness(benefit: NDArray[Any], saving: NDArray[Any]) -> dict[str, float | None]:
    """Jain's index of the benefits, Gini's coefficient of the savings, and the share of participants who lose [%].

    Jain, Chiu and Hawe 1984: (Σ x)² / (n Σ x²), 1 if all gain the same, 1/n if one has it all. Gini: mean difference of
    two participants over twice the mean. Both are of what was gained: who loses counts with zero, and among the losers.
    """
    gains, saved = np.maximum(benefit, 0).astype(np.float64), np.sort(np.maximum(saving, 0)).astype(np.float64)
    count = len(gains)
    rank = np.arange(1, count + 1)
    return {
        "jain": share(float(gains.sum()) ** 2, count * float(gains @ gains)),
        "gini": share(float((2 * rank - count - 1) @ saved), count * float(saved.sum())),
        "losers_pct": 100 * float(np.count_nonzero(benefit < 0)) / count,
    }


def dispersion(benefit: Ints) -> float:
    """Root mean square difference of the benefits from their mean [currency].

    The measure of Gode and Sunder 1993, with the mean in place of the profits at equilibrium, which a market under
    changing wants and wires does not have.
    """
    return float(np.sqrt(np.mean((benefit - benefit.mean()) ** 2))) / NANO


def spread(traded: Trades) -> dict[str, float | None]:
    """Highest less lowest price of local trades, and their standard deviation weighted by energy [ct/kWh]."""
    price, energy = traded.price[traded.local] / PRICE_PER_CT_KWH, traded.quantity[traded.local]
    if not len(price):
        return {"spread_ct": None, "deviation_ct": None}
    mean = np.average(price, weights=energy)
    deviation = np.sqrt(np.average((price - mean) ** 2, weights=energy))
    return {"spread_ct": float(price.max() - price.min()), "deviation_ct": float(deviation)}


def concentration(amounts: Ints) -> float | None:
    """Herfindahl-Hirschman index Σ s² of the shares s of `amounts`: 1/n for n equal ones, 1 for one; None of nothing.

    Herfindahl 1950, Hirschman 1945. Authorities state it times 10 000.
    """
    total = int(amounts.sum())
    return float(((amounts / total) ** 2).sum()) if total else None


def lerner(traded: Trades) -> float | None:
    """Lerner's index (P − C) / P of all local trades: what sellers got above their cost, as a share of what they got.

    Lerner 1934, weighted by revenue. The cost of firm energy is what the utility pays for it.
    """
    local = traded.local
    revenue = int((traded.price * traded.quantity)[local].sum())
    return share(int(((traded.price - traded.cost) * traded.quantity)[local].sum()), revenue)


def residual_supply(offered: Ints, wanted: int) -> float | None:
    """Residual supply index of a slot: what all local sellers but the largest offer / what local buyers want.

    Sheffrin 2002. Below 1 the largest seller is pivotal: without it the utility must deliver. None without buyers or
    sellers. `offered` (P,) and `wanted` are energy.
    """
    if not wanted or not offered.any():
        return None
    return float(offered.sum() - offered.max()) / wanted


def market_power(traded: Trades, sold: Ints, bought: Ints, residual: list[float | None]) -> dict[str, Any]:
    """Concentration of local sales and purchases (P,), Lerner's index, and slots with a pivotal seller."""
    known = [value for value in residual if value is not None]
    return {
        "hhi_sellers": concentration(sold),
        "hhi_buyers": concentration(bought),
        "lerner": lerner(traded),
        "residual_supply_min": min(known, default=None),
        "pivotal_slots": sum(1 for value in known if value < 1),
    }


def factor(origin: str, factors: Mapping[str, float]) -> float:
    """Emissions of an origin [g CO2 eq/kWh]. One without a factor of its own, or none stated, counts as the grid."""
    return factors.get(origin, factors["grid"])


def emissions(
    generated: Mapping[str, float], imported: float, exported: float, load: float, factors: Mapping[str, float]
) -> dict[str, Any]:
    """What generation [kWh] by origin and energy drawn from above cause, by `factors` [g CO2 eq/kWh], in kg.

    `avoided_kg` is what `exported` energy spares the grid above, which is not taken off; `g_per_kwh` is the total less
    that, over the consumption `load`.
    """
    sources = {name: kwh * factor(name, factors) / 1000 for name, kwh in generated.items()}
    total, avoided = sum(sources.values()) + imported * factors["grid"] / 1000, exported * factors["grid"] / 1000
    return {
        "kg": total,
        "avoided_kg": avoided,
        "g_per_kwh": share(1000 * (total - avoided), load),
        "by_source_kg": {**sources, "grid": imported * factors["grid"] / 1000},
    }


def peak(slack_kw: Floats) -> dict[str, Any]:
    """Largest power drawn from above and fed back in a slot, and mean over largest absolute power, from (T,) [kW]."""
    largest = float(np.abs(slack_kw).max(initial=0.0))
    return {
        "import_kw": float(slack_kw.max(initial=0.0)),
        "export_kw": float(-slack_kw.min(initial=0.0)),
        "load_factor": share(float(np.abs(slack_kw).sum()), len(slack_kw) * largest),
    }
