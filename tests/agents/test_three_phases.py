"""A market on the three-phase street: what its results say of the phases."""

from __future__ import annotations

import numpy as np
import pytest

from agents import MarketModel
from agents.results import Results


@pytest.fixture(scope="module")
def results() -> Results:
    """The two hours before noon, when roofs fill the wires."""
    return MarketModel("european_lv", time__start="2016-06-08T09:30Z", time__slots=8).run()


def test_phases_are_in_the_results_and_none_is_outside_its_limits(results: Results) -> None:
    grid, table = results.grid, results.slots
    voltages = np.stack([grid[f"{phase}_u_pu"] for phase in "abc"])
    assert voltages.shape == (3, 8, 907)
    assert np.ptp(voltages, axis=0).max() > 0.01
    np.testing.assert_array_equal(voltages.max(axis=(0, 2)), table["u_max_pu"])
    np.testing.assert_array_equal(voltages.min(axis=(0, 2)), table["u_min_pu"])
    np.testing.assert_array_equal(grid["unbalance"].max(axis=1), table["unbalance_max"])
    loadings = np.stack([grid[f"{conductor}_loading"] for conductor in "abcn"])
    np.testing.assert_array_equal(loadings.max(axis=0), grid["loading"])
    assert results.summary["grid"]["violations"] == 0
    assert 0 < results.summary["grid"]["unbalance_max"] <= 0.02
    assert voltages.max() <= 1.1 + 1e-7


def test_matches_met_limits_of_phases_that_the_schedule_without_gate_breaks(results: Results) -> None:
    elements = set(results.limited["element"])
    assert elements
    assert all(element.split(":")[1][-2:] in (".a", ".b", ".c", ".n") for element in elements)
    assert results.summary["gate_off"]["violations"] > 0
