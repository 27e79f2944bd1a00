"""Power flow: power-grid-model against closed forms, and the compiled fixed point against power-grid-model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from grid import network
from grid.feeder import Feeder
from grid.powerflow import PowerFlowError, nearest, solve
from grid.sensitivity import operating_point
from tests.grid.networks import injections, one_line, radial

CASES = sorted(Path(__file__).parents[1].joinpath("cases", "powerflow").glob("*/input.json"))
PANDAPOWER = sorted(Path(__file__).parents[1].joinpath("cases", "pandapower").glob("*.json"))


def difference(feeder: Feeder, injection_w: Any, injection_var: Any) -> tuple[float, float]:
    """Largest disagreement of our fixed point with power-grid-model: voltages [pu], currents over their limit."""
    flow = solve(feeder, injection_w, injection_var)
    net = network.build(feeder)
    voltage = current = 0.0
    base = np.concatenate([feeder.i_max_a, feeder.s_va / feeder.u_rated_v[feeder.transformer_to]])
    for s, (p, q) in enumerate(zip(injection_w, injection_var, strict=True)):
        point = operating_point(net, p, q)
        larger = np.maximum(np.abs(point.current_from), np.abs(point.current_to))
        voltage = max(voltage, float(np.abs(np.abs(point.voltage) - flow.u_pu[s]).max()))
        current = max(current, float((np.abs(larger - flow.current_a[s]) / base).max()))
    return voltage, current


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.parent.name)
def test_case_folders_keep_their_expected_values(path: Path) -> None:
    case = json.loads(path.read_text())
    expected = json.loads(path.with_name("expected.json").read_text())
    feeder = Feeder.from_data(case["feeder"])
    flow = solve(feeder, case["injection_w"], case["injection_var"])
    assert set(expected["values"]) == set(expected["tolerance"]), "a tolerance per quantity"
    for quantity, values in expected["values"].items():
        np.testing.assert_allclose(getattr(flow, quantity), values, rtol=0, atol=expected["tolerance"][quantity])
    voltage, current = difference(feeder, case["injection_w"], case["injection_var"])
    assert voltage < 1e-8
    assert current < 1e-8


def test_there_are_case_folders() -> None:
    assert len(CASES) >= 3
    assert all((path.parent / "README.md").read_text().strip() for path in CASES)


@pytest.mark.parametrize("path", PANDAPOWER, ids=lambda path: path.stem)
def test_published_networks_have_the_voltages_of_pandapower_and_of_power_grid_model(
    path: Path, record_property: Callable[[str, object], None]
) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    feeder = Feeder.from_data(case["feeder"])
    theirs = np.array(case["u_pu"], dtype=np.float64)
    known = np.isfinite(theirs)
    assert known.mean() > 0.75
    flow = solve(feeder, case["injection_w"], case["injection_var"])
    net = network.build(feeder)
    ours = np.array(
        [
            np.abs(operating_point(net, np.array(p), np.array(q)).voltage)
            for p, q in zip(case["injection_w"], case["injection_var"], strict=True)
        ]
    )
    found = {
        "ours to pandapower": np.abs(ours - theirs)[known].max(),
        "ours to power-grid-model": np.abs(ours - flow.u_pu).max(),
        "power-grid-model to pandapower": np.abs(flow.u_pu - theirs)[known].max(),
    }
    for pair, difference_pu in found.items():
        record_property(pair, float(difference_pu))
        assert difference_pu < 1e-8, pair
    assert np.ptp(ours) > 1e-3


def test_there_are_ten_published_networks() -> None:
    assert len(PANDAPOWER) >= 10


@limits(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), buses=st.integers(2, 60), transformers=st.integers(1, 3))
def test_the_fixed_point_agrees_with_power_grid_model(seed: int, buses: int, transformers: int) -> None:
    rng = np.random.default_rng(seed)
    feeder = radial(rng, max(buses, 2 * transformers), transformers=transformers)
    voltage, current = difference(feeder, *injections(rng, feeder, 60e3, 2))
    assert voltage < 1e-8
    assert current < 1e-8


def test_the_fixed_point_agrees_on_a_feeder_of_907_buses() -> None:
    rng = np.random.default_rng(7)
    feeder = radial(rng, 903, transformers=2, reach_km=0.9, spread=30)
    assert max(difference(feeder, *injections(rng, feeder, 100e3))) < 1e-8


def test_a_very_short_line_costs_no_accuracy() -> None:
    data = json.loads(one_line().to_json())
    data["buses"].append({"id": "switch", "u_rated_v": 230})
    data["lines"].append({"id": "busbar", "from": "far", "to": "switch", "r_ohm": 1e-6, "x_ohm": 0, "i_max_a": 400})
    data["connections"].append({"id": "behind", "bus": "switch"})
    feeder = Feeder.from_data(data)
    injection = np.array([[0.0, 0.0, 0.0, 9_000.0]])
    assert difference(feeder, injection, 0 * injection)[0] < 1e-8


def test_losses_are_what_the_source_and_the_connections_feed_in() -> None:
    rng = np.random.default_rng(3)
    feeder = radial(rng, 40, transformers=2)
    active, reactive = injections(rng, feeder, 60e3, 3)
    flow = solve(feeder, active, reactive)
    np.testing.assert_allclose(flow.slack_w + active.sum(axis=1), flow.loss_w, atol=1e-3)
    assert (flow.loss_w > 0).all()


def test_loading_of_a_line_is_current_over_limit() -> None:
    feeder = one_line(i_max_a=20.0)
    flow = solve(feeder, [[0, 5000.0, 0]], [[0, 0, 0]])
    assert flow.loading[0, 0] == pytest.approx(flow.current_a[0, 0] / 20)


def test_no_slots_give_empty_arrays() -> None:
    flow = solve(one_line(), np.empty((0, 3)), np.empty((0, 3)))
    assert flow.u_pu.shape == (0, 2)
    assert flow.loading.shape == (0, 1)
    assert flow.loss_w.shape == flow.slack_w.shape == (0,)


def test_an_impossible_slot_is_named() -> None:
    active = np.zeros((4, 3))
    active[2, 1] = -1e6
    with pytest.raises(PowerFlowError, match="slot 2") as caught:
        solve(one_line(), active, 0 * active)
    assert caught.value.slot == 2
    with pytest.raises(PowerFlowError, match="diverges"):
        operating_point(network.build(one_line()), active[2], 0 * active[2])


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_place(wrong: float) -> None:
    active = np.zeros((2, 3))
    active[1, 2] = wrong
    with pytest.raises(ValueError, match=r"injection_w\[1, 2\] \('load'\) must be a finite number"):
        solve(one_line(), active, np.zeros((2, 3)))
    with pytest.raises(ValueError, match="injection_var"):
        solve(one_line(), np.zeros((2, 3)), active)
    with pytest.raises(ValueError, match="3 finite numbers"):
        operating_point(network.build(one_line()), active[1], np.zeros(3))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(slots, 3\), got \(1, 2\)"):
        solve(one_line(), [[1.0, 2.0]], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="shape of injection_w"):
        solve(one_line(), np.zeros((2, 3)), np.zeros((1, 3)))


def test_the_nearest_state_is_that_of_the_whole_change_or_of_the_largest_share_that_has_one() -> None:
    # Behind R = 0.5 ohm at 230 V there is a state down to -U0^2 / (4 R) = -26.45 kW.
    feeder, none = one_line(0.5), np.zeros(3)
    flow, share = nearest(feeder, none, [0, 0, -20_000.0], none)
    assert share == 1
    np.testing.assert_array_equal(flow.u_pu, solve(feeder, [[0, 0, -20_000.0]], [none]).u_pu)
    flow, share = nearest(feeder, [0, 0, -20_000.0], [0, 0, -10_000.0], none)
    assert share == pytest.approx(0.645, abs=0.005)
    assert flow.u_pu[0, 1] == pytest.approx(0.5, abs=0.05)
    with pytest.raises(PowerFlowError):
        nearest(feeder, [0, 0, -30_000.0], [0, 0, -1_000.0], none)
