"""Losses against power-grid-model, loss factors against its differences, weights that sum to the whole."""

from __future__ import annotations

import numpy as np
import pytest

from grid import powerflow
from grid.feeder import Feeder
from grid.gate import FeederGate
from grid.losses import MICRO, LossModel
from grid.powerflow import PowerFlowError
from grid.sensitivity import operating_point
from market.capacity import Losing
from tests.grid.networks import injections, one_line, radial, settings

HOURS = 0.25


def case(seed: int, total_w: float = 60e3) -> tuple[Feeder, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    feeder = radial(rng, 30, transformers=1 + seed % 2)
    power, reactive = injections(rng, feeder, total_w)
    return feeder, power[0], reactive[0]


@pytest.mark.parametrize("seed", range(8))
def test_losses_are_those_of_power_grid_model(seed: int) -> None:
    feeder, power, reactive = case(seed)
    found = LossModel(feeder, 900).of(power * HOURS, reactive * HOURS)
    flow = powerflow.solve(feeder, power[np.newaxis], reactive[np.newaxis])
    assert found.energy == pytest.approx(float(flow.loss_w[0]) * HOURS, abs=0.51)


@pytest.mark.parametrize("seed", range(4))
def test_loss_factors_are_the_differences_of_power_grid_model(seed: int) -> None:
    feeder, power, reactive = case(seed)
    model = LossModel(feeder, 900)
    factors = model.factors(operating_point(model._network, power, reactive))
    step = 20.0
    moved = np.concatenate([power + step * np.eye(len(power)), power - step * np.eye(len(power))])
    lost = powerflow.solve(feeder, moved, np.tile(reactive, (len(moved), 1))).loss_w
    slopes = (lost[: len(power)] - lost[len(power) :]) / (2 * step)
    assert factors == pytest.approx(slopes, abs=1e-6)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("total_w", [0.0, 1.0, 5e3, 60e3])
def test_weights_sum_to_the_losses(seed: int, total_w: float) -> None:
    feeder, power, reactive = case(seed, total_w)
    found = LossModel(feeder, 900).of(power * HOURS, reactive * HOURS)
    if not power.any():
        assert not found.weights.any()
        return
    assert found.weights.sum() / MICRO == pytest.approx(found.energy, abs=0.51)
    assert np.abs(found.weights).max() < 100 * found.weights.sum()


def test_who_draws_at_the_end_pays_more_and_who_feeds_in_there_is_paid() -> None:
    feeder = Feeder.from_data(
        {
            "buses": [{"id": name, "u_rated_v": 230.0} for name in ("source", "near", "far")],
            "lines": [
                {"id": f"{a}-{b}", "from": a, "to": b, "r_ohm": 0.1, "x_ohm": 0.0, "i_max_a": 500.0}
                for a, b in (("source", "near"), ("near", "far"))
            ],
            "source": {"bus": "source"},
            "connections": [{"id": name, "bus": name} for name in ("near", "far")] + [{"id": "roof", "bus": "far"}],
        }
    )
    near, far, roof = LossModel(feeder, 3600).of([-3000, -3000, 1000], [0, 0, 0]).weights.tolist()
    assert far > near > 0 > roof
    whole = LossModel(feeder, 3600).of([-3000, -3000, 1000], [0] * 3).energy
    assert near + far + roof == pytest.approx(whole * 1e6, rel=0.01)


def test_a_state_that_does_not_exist_has_no_losses() -> None:
    feeder = one_line()
    with pytest.raises(PowerFlowError):
        LossModel(feeder, 900).of([0, 0, -1_000_000], [0, 0, 0])
    gate = FeederGate(feeder, settings())
    assert isinstance(gate, Losing)
    with pytest.raises(ValueError, match="no power flow"):
        gate.losses(np.array([0, 0, -1_000_000]), np.zeros(3, np.int64))
