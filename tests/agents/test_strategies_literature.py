"""What the published literature found must be found here: each test names its source.

The quick tests use few sessions and tolerances of a few standard errors; the slow ones run the shipped files in full.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.laboratory import LaboratoryResults, run
from agents.laboratory_file import Laboratory
from scenarios import laboratory

CLOCK = {"start": 300, "zero_at": 0.7}


def shipped(name: str, strategy: str | None = None, **changes: Any) -> Laboratory:
    """A shipped laboratory, with another strategy for everybody if one is named."""
    lab = laboratory.load(name)
    if strategy is not None:
        traders = [group.model_dump(mode="json") | {"strategy": strategy} for group in lab.traders]
        changes["traders"] = traders
    return lab.changed(**changes)


def efficiency(results: LaboratoryResults, *periods: int) -> float:
    """Mean allocative efficiency in these periods (from 1), or in all."""
    columns = [period - 1 for period in periods] or slice(None)
    return float(results.measures.efficiency[:, columns].mean())


# -- Gode and Sunder 1993 ----------------------------------------------------------------------------------------


def test_without_a_budget_all_units_trade_and_efficiency_is_an_identity() -> None:
    results = run(shipped("gode-sunder-1-zi-u", sessions=5, periods=2))
    assert (results.measures.trades == 36).all()
    assert results.optimum == 1026
    np.testing.assert_allclose(results.measures.efficiency, 924 / 1026)


def test_a_budget_alone_makes_nearly_everything() -> None:
    results = run(shipped("gode-sunder-1-zi-c", sessions=15, periods=2))
    assert results.equilibrium.price == 83
    assert efficiency(results) == pytest.approx(0.998, abs=0.002)
    assert 31 < results.summary["profit_dispersion"] < 40


def test_profits_are_more_dispersed_without_a_budget() -> None:
    loose, tight = (run(shipped(f"gode-sunder-1-{name}", sessions=5, periods=1)) for name in ("zi-u", "zi-c"))
    assert loose.summary["profit_dispersion"] > 3 * tight.summary["profit_dispersion"]


@pytest.mark.slow
def test_gode_and_sunder_in_full() -> None:
    results = run(shipped("gode-sunder-1-zi-c"), workers=2)
    assert efficiency(results) == pytest.approx(0.998, abs=0.001)
    assert 33 < results.summary["profit_dispersion"] < 36


# -- the symmetric market ----------------------------------------------------------------------------------------


def test_zi_c_scatters_around_the_equilibrium() -> None:
    summary = run(shipped("symmetric-zi-c", sessions=60)).summary
    assert summary["mean_price"] == pytest.approx(100, abs=1.5)
    assert summary["smiths_alpha"] == pytest.approx(16, abs=1)


def test_truthful_traders_waste_a_third() -> None:
    assert 0.64 < efficiency(run(shipped("symmetric-truthful", sessions=60))) < 0.69


def test_shavers_waste_nothing() -> None:
    assert efficiency(run(shipped("symmetric-shaver", sessions=6, periods=2))) >= 0.99


def _zip_learns(results: LaboratoryResults) -> None:
    alpha = np.nanmean(results.measures.alpha, axis=0)
    assert alpha[0] > 6
    assert (alpha[9:] < alpha[0] / 2).all()
    late = results.measures.price[:, 20:]
    assert abs(np.nanmean(late) / 100 - 1) < 0.02
    assert efficiency(results, 10) > 0.97


def test_zip_starts_dispersed_and_finds_the_equilibrium() -> None:
    """Cliff and Bruten 1997: within 2 % of it from day 21 of 30 on."""
    _zip_learns(run(shipped("symmetric-zip", sessions=4)))


@pytest.mark.slow
def test_zip_in_full() -> None:
    results = run(shipped("symmetric-zip"), workers=2)
    _zip_learns(results)
    assert (np.abs(np.nanmean(results.measures.price[:, 20:], axis=0) / 100 - 1) < 0.02).all()


def test_gd_trades_near_the_equilibrium_at_once() -> None:
    """Gjerstad and Dickhaut 1998: efficiency near one, prices near the equilibrium within a few periods."""
    results = run(shipped("symmetric-gd", sessions=2, periods=4))
    assert efficiency(results) > 0.97
    assert results.measures.alpha[:, 1:].mean() < 8


def test_aa_is_nearly_perfect() -> None:
    """Vytelingum, Cliff and Jennings 2008: efficiency above 0.99, prices closer to P0 than those of ZIP."""
    results = run(shipped("symmetric-aa", sessions=2, periods=4))
    assert efficiency(results) > 0.98
    assert results.measures.alpha[:, 1:].mean() < 5


def test_roth_erev_learns_to_trade() -> None:
    """Nicolaisen, Petrov and Tesfatsion 2001: what has paid is tried more often."""
    results = run(shipped("symmetric-roth-erev", sessions=2, periods=60))
    early, late = (results.measures.efficiency[:, part].mean() for part in (slice(0, 10), slice(50, 60)))
    assert late > early + 0.2
    assert late > 0.65


# -- congestion --------------------------------------------------------------------------------------------------

FIRST_COME = {
    "export": (600, 0.71, 0.37),
    "mixed": (725, 0.89, 0.58),
    "open": (750, 0.96, 0.66),
}


@pytest.mark.parametrize("market", FIRST_COME)
def test_first_come_wastes_scarce_capacity(market: str) -> None:
    best, zi_c, truthful = FIRST_COME[market]
    for strategy, expected in (("zi-c", zi_c), ("truthful", truthful)):
        results = run(shipped(f"congestion-{market}-{strategy}", sessions=100))
        assert results.optimum == best
        assert efficiency(results) == pytest.approx(expected, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("market", "expected"), [("export", 0.63), ("mixed", 0.89), ("open", 0.99)])
def test_first_come_with_zip(market: str, expected: float) -> None:
    assert efficiency(run(shipped(f"congestion-{market}-zip"), workers=2), 10) == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize(("market", "zi_c"), [("export", 0.87), ("mixed", 0.91), ("open", 0.95)])
def test_the_spread_clock_gives_capacity_to_the_most_valuable_trades(market: str, zi_c: float) -> None:
    truthful = run(shipped(f"congestion-{market}-truthful", sessions=20, spread_clock=CLOCK))
    assert efficiency(truthful) >= 0.99
    chance = run(shipped(f"congestion-{market}-zi-c", sessions=100, spread_clock=CLOCK))
    assert efficiency(chance) >= zi_c - 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("market", "least"), [("export", 0.93), ("mixed", 0.97), ("open", 0.99)])
def test_the_spread_clock_with_zip(market: str, least: float) -> None:
    results = run(shipped(f"congestion-{market}-zip", spread_clock=CLOCK), workers=2)
    assert efficiency(results, 10) >= least
