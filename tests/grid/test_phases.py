"""Three phases: states, currents, unbalance and tangents against power-grid-model, OpenDSS and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from grid import phase_network, phase_tree
from grid.feeder import Feeder, FeederError
from grid.losses import LossModel
from grid.network import BASE_VA
from grid.phase_losses import PhaseLosses
from grid.phases import PhaseWires
from grid.powerflow import PhaseFlow, solve
from tests.grid.networks import injections, one_line, settings
from tests.grid.phase_networks import GROUPS, european, unbalanced

Complexes = NDArray[np.complex128]
Floats = NDArray[np.float64]

FEEDERS = ["European LV", *GROUPS]


def feeder(name: str, seed: int = 1) -> Feeder:
    if name == "European LV":
        return european()
    return unbalanced(np.random.default_rng(seed), 25, name, transformers=2)


def reference(it: Feeder, p: Floats, q: Floats) -> PhaseFlow:
    flow = solve(it, p, q)
    assert isinstance(flow, PhaseFlow)
    return flow


def state(net: phase_network.PhaseNetwork, p: Floats, q: Floats) -> tuple[Complexes, Complexes, Complexes]:
    """Voltages, limited values and loads of injections (C,) [W, var]."""
    load = np.zeros((len(net.bus), 3), dtype=np.complex128)
    np.add.at(load, net.connection, ((p - 1j * q) * 3 / BASE_VA)[:, np.newaxis] * net.shares)
    v = net.flat()
    current, near = np.zeros((2, *v.shape), dtype=np.complex128)
    assert phase_tree.solve(net.tree, net.blocks, load, v, current) > 0
    values = np.zeros((phase_tree.VALUE_ROWS, len(v)), dtype=np.complex128)
    phase_tree.values(net.tree, net.blocks, net.plain, load, v, current, near, values)
    return v, values, load


@pytest.mark.parametrize("band", [None, (0.9, 1.1)], ids=["all buses", "merged"])
@pytest.mark.parametrize("name", FEEDERS)
def test_voltages_currents_and_unbalance_are_those_of_power_grid_model(
    name: str, band: tuple[float, float] | None
) -> None:
    it = feeder(name)
    rng = np.random.default_rng(2)
    p, q = injections(rng, it, 60e3, slots=5)
    flow = reference(it, p, q)
    net = phase_network.build(it, band)
    assert (len(net.bus) < 200) or band is None
    lines = len(it.line_ids)
    for slot in range(len(p)):
        v, values, _ = state(net, p[slot], q[slot])
        assert np.abs(np.abs(v) - flow.u_phase_pu[slot][net.bus]).max() < 1e-8
        unbalance = np.abs(values[phase_tree.UNBALANCE, 1:])
        assert np.abs(unbalance - flow.unbalance[slot][net.bus[1:]]).max() < 1e-8
        ends = np.maximum(*(np.abs(values[at : at + 4, 1:]) for at in (phase_tree.NEAR, phase_tree.FAR)))
        loading = (ends / net.rating[1:]).T
        assert np.abs(loading - flow.loading_phase[slot][net.branch[1:]]).max() < 1e-7
    assert flow.unbalance.max() > 1e-3
    assert flow.loading_phase[:, :lines, 3].max() > 0.01


@pytest.mark.parametrize("name", FEEDERS)
def test_the_tangent_is_what_finite_differences_find(name: str) -> None:
    it = feeder(name, seed=3)
    net = phase_network.build(it, (0.9, 1.1))
    rng = np.random.default_rng(4)
    p, q = (array[0] for array in injections(rng, it, 40e3))
    v, values, load = state(net, p, q)
    arrays = net.tree, net.blocks
    dv = phase_tree.tangent(*arrays, v, load, net.connection, net.shares)
    rows = np.indices(values.shape).reshape(2, -1)
    whole = 1e12  # rounded to whole units, so as fine as the differences are
    change = np.zeros((len(p), 2, rows.shape[1]))
    phase_tree.fill_rows(
        *arrays,
        net.plain,
        load,
        v,
        dv,
        net.connection,
        net.shares,
        rows[0],
        rows[1],
        np.full(rows.shape[1], whole),
        change,
    )
    step = 50.0
    for c in rng.choice(len(p) - 1, 6, replace=False) + 1:
        moved = np.zeros_like(p)
        moved[c] = step
        above, below = state(net, p + moved, q), state(net, p - moved, q)
        unit = 2 * step / BASE_VA
        np.testing.assert_allclose(dv[c], (above[0] - below[0]) / unit, rtol=0, atol=2e-6 * np.abs(dv[c]).max())
        differences = (above[1] - below[1]) / unit
        for row in range(phase_tree.VALUE_ROWS):
            allowed = 2e-6 * max(np.abs(differences[row]).max(), 1e-3)
            ours = ((change[c, 0] + 1j * change[c, 1]) / whole).reshape(values.shape)[row]
            assert np.abs(ours[1:] - differences[row, 1:]).max() < allowed


@pytest.mark.parametrize("seed", range(4))
def test_the_voltage_of_merged_buses_stays_within_limits_that_the_ends_keep(seed: int) -> None:
    it, rng = european(), np.random.default_rng(seed)
    band = 0.9, 1.1
    net = phase_network.build(it, band)
    p, q = injections(rng, it, float(rng.uniform(20e3, 60e3)), slots=10)
    flow = reference(it, p, q)
    kept = flow.u_phase_pu[:, net.bus]
    low, high = (kept - net.sag[0][:, np.newaxis]).min(axis=1), (kept + net.sag[1][:, np.newaxis]).max(axis=1)
    assert (flow.u_phase_pu.min(axis=1) >= low - 1e-12).all()
    assert (flow.u_phase_pu.max(axis=1) <= high + 1e-12).all()
    assert 0 < net.sag.max() <= phase_network.SAG_PU


def test_a_balanced_feeder_in_three_phases_is_its_balanced_equivalent() -> None:
    it = unbalanced(np.random.default_rng(5), 12, "Dyn")
    data = it.to_json().replace(', "phase": "a"', "").replace(', "phase": "b"', "").replace(', "phase": "c"', "")
    same = Feeder.from_json(data)
    p, q = injections(np.random.default_rng(6), same, 50e3, slots=3)
    flow, equivalent = reference(same, p, q), solve(same.balanced(), p, q)
    assert np.abs(flow.u_phase_pu - equivalent.u_pu[..., np.newaxis]).max() < 1e-9
    assert flow.unbalance.max() < 1e-9
    np.testing.assert_allclose(flow.loss_w, equivalent.loss_w, rtol=1e-6)
    np.testing.assert_allclose(flow.slack_w, equivalent.slack_w, rtol=1e-8)


def test_what_a_flow_says_in_one_number_is_the_worst_of_the_phases() -> None:
    it = european()
    p, q = injections(np.random.default_rng(7), it, 80e3, slots=2)
    flow = reference(it, p, q)
    far = np.abs(flow.u_phase_pu - 1).max(axis=2)
    np.testing.assert_array_equal(np.abs(flow.u_pu - 1), far)
    np.testing.assert_array_equal(flow.loading, flow.loading_phase.max(axis=2))
    empty = reference(it, p[:0], q[:0])
    assert empty.u_phase_pu.shape == (0, 907, 3)
    assert empty.loading.shape == (0, 906)


def test_energy_is_conserved_in_three_phases() -> None:
    it = unbalanced(np.random.default_rng(8), 20, "YNyn")
    p, q = injections(np.random.default_rng(9), it, 60e3, slots=3)
    flow = reference(it, p, q)
    np.testing.assert_allclose(flow.slack_w + p.sum(axis=1), flow.loss_w, rtol=1e-6)
    assert (flow.loss_w > 0).all()


@pytest.mark.parametrize("name", FEEDERS)
def test_losses_and_what_each_connection_adds_to_them_are_those_of_the_phases(name: str) -> None:
    it = feeder(name, seed=7)
    rng = np.random.default_rng(8)
    p, q = (array[0] for array in injections(rng, it, 40e3))
    p[0] = q[0] = 0
    model = PhaseLosses(it)
    lost, factors = model.at(p, q)
    assert lost == pytest.approx(reference(it, p[np.newaxis], q[np.newaxis]).loss_w[0], rel=1e-5)
    for c in rng.choice(len(p) - 1, 5, replace=False) + 1:
        step = np.zeros_like(p)
        step[c] = 100.0
        slope = (model.at(p + step, q)[0] - model.at(p - step, q)[0]) / 200
        assert factors[c] == pytest.approx(slope, rel=1e-4, abs=1e-6)
    assert factors[0] == 0
    found = LossModel(it, 900).of(p / 4, q / 4)
    assert found.energy == round(lost / 4)
    assert abs(found.weights.sum() / 1e6 - lost / 4) < 1e-3


def test_a_feeder_without_zero_sequence_has_no_three_phase_physics() -> None:
    with pytest.raises(FeederError, match="r0_ohm"):
        PhaseWires(one_line(), settings())


def test_opendss_finds_the_same_voltages_on_the_european_feeder() -> None:
    pytest.importorskip("dss", reason="dss-python is not installed (extra `dev`)")
    from tests.grid.opendss import voltages

    it = european()
    rng = np.random.default_rng(10)
    p = rng.uniform(-6e3, 3e3, (3, len(it.connection_ids)))
    p[:, 0] = 0
    q = 0.3 * p
    flow = reference(it, p, q)
    for slot in range(len(p)):
        assert np.abs(voltages(it, p[slot], q[slot]) - flow.u_phase_pu[slot]).max() < 1e-5
    assert flow.unbalance.max() > 0.003
