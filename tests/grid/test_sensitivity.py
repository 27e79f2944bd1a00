"""The tangent: against finite differences of our own fixed point, and of power-grid-model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from grid import network
from grid.powerflow import solve
from grid.sensitivity import operating_point, tangent
from tests.grid.networks import injections, one_line, radial

STEP_W = 10.0


@limits(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), buses=st.integers(2, 50), transformers=st.integers(1, 2))
def test_the_tangent_is_the_limit_of_finite_differences(seed: int, buses: int, transformers: int) -> None:
    rng = np.random.default_rng(seed)
    feeder = radial(rng, max(buses, 2 * transformers), transformers=transformers)
    net = network.build(feeder)
    active, reactive = (values[0] for values in injections(rng, feeder, 60e3))
    slope = tangent(net, operating_point(net, active, reactive))
    for c in rng.choice(len(active), size=min(4, len(active)), replace=False):
        step = np.zeros_like(active)
        step[c] = STEP_W
        above = operating_point(net, active + step, reactive)
        below = operating_point(net, active - step, reactive)
        for name in ("voltage", "current_from", "current_to"):
            measured = (getattr(above, name) - getattr(below, name)) / (2 * STEP_W)
            found = getattr(slope, name)[c]
            np.testing.assert_allclose(found, measured, rtol=0, atol=1e-6 * max(1e-6, float(np.abs(measured).max())))


def test_the_tangent_agrees_with_power_grid_model() -> None:
    rng = np.random.default_rng(11)
    feeder = radial(rng, 60, transformers=2)
    net = network.build(feeder)
    active, reactive = injections(rng, feeder, 60e3)
    point = operating_point(net, active[0], reactive[0])
    slope = tangent(net, point)
    c = len(feeder.connection_ids)
    steps = np.concatenate([np.eye(c), -np.eye(c)]) * STEP_W
    flow = solve(feeder, active + steps, np.repeat(reactive, 2 * c, axis=0))
    measured = (flow.u_pu[:c] - flow.u_pu[c:]) / (2 * STEP_W)
    modulus = (slope.voltage * point.voltage.conj()).real / np.abs(point.voltage)
    np.testing.assert_allclose(modulus, measured, rtol=0, atol=1e-6 * np.abs(measured).max())


def test_power_at_the_source_moves_nothing() -> None:
    net = network.build(one_line(x_ohm=0.2))
    slope = tangent(net, operating_point(net, [0.0, 4000.0, -500.0], [0.0, 0.0, -200.0]))
    assert not slope.voltage[0].any()
    assert not slope.current_from[0].any()
    np.testing.assert_array_equal(slope.voltage[1], slope.voltage[2])


def test_the_tangent_of_one_line_is_the_closed_form() -> None:
    # U (U - U0) = P R, so dU/dP = R / (2 U - U0); all real.
    net = network.build(one_line(r_ohm=0.5))
    point = operating_point(net, [0.0, 11_000.0, 0.0], [0.0, 0.0, 0.0])
    u = 230 * point.voltage[1].real
    slope = tangent(net, point)
    assert slope.voltage[1, 1] * 230 == pytest.approx(0.5 / (2 * u - 230), rel=1e-9)
