"""Envelopes: safe in every corner by power-grid-model, bounds never below the truth, intervals by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from grid.envelope import Envelope, EnvelopeModel
from grid.feeder import Feeder
from grid.gate import FeederGate, violations
from grid.sensitivity import operating_point
from tests.grid.networks import one_line, radial, settings

DATA = Path(__file__).parents[2] / "scenarios" / "data"
HOURS = 0.25


def feeder_of(name: str) -> Feeder:
    if name == "village":
        return Feeder.from_json((DATA / "simbench_lv_rural2.feeder.json").read_text(encoding="utf-8"))
    seed = int(name)
    return radial(np.random.default_rng(seed), 40, transformers=1 + seed % 2)


def around(feeder: Feeder, seed: int, band: float = 0.1) -> tuple[Envelope, np.ndarray, np.ndarray]:
    """Envelopes of a slot with a random baseline, that baseline and its reactive part [Wh, varh]."""
    rng = np.random.default_rng(seed)
    count = len(feeder.connection_ids)
    baseline, reactive = rng.integers(-300, 300, count), rng.integers(-60, 60, count)
    return EnvelopeModel(feeder, settings(voltage=band)).envelope(baseline, reactive), baseline, reactive


def corners(envelope: Envelope, rng: np.random.Generator, count: int) -> np.ndarray:
    """Schedules (S, C) [Wh] with nearly all connections at an end: alike, branches against each other, mixed."""
    size = len(envelope.low)
    lean = rng.choice([0.0, 0.03, 0.5, 0.97, 1.0], (count, 1))
    up = rng.random((count, size)) < lean
    cut = rng.integers(0, size, (count, 1))
    against = rng.random((count, 1)) < 0.3
    up = np.where(against, (np.arange(size) < cut) ^ (rng.random((count, 1)) < 0.5), up)
    chosen = np.where(up, envelope.high, envelope.low)
    inside = rng.random((count, size)) < 0.1 * (rng.random((count, 1)) < 0.5)
    return np.where(inside, rng.integers(envelope.low, envelope.high + 1, (count, size)), chosen)


def broken(name: str, seed: int, count: int, band: float = 0.1) -> int:
    """Violations that power-grid-model finds in that many schedules inside of envelopes."""
    feeder = feeder_of(name)
    envelope, baseline, reactive = around(feeder, seed, band)
    assert envelope.proven
    assert (envelope.low <= baseline).all()
    assert (envelope.high >= baseline).all()
    wired = feeder.connection_bus != feeder.source_bus
    assert (envelope.high - envelope.low)[wired].min() > 300
    energy = corners(envelope, np.random.default_rng(seed + 1000), count)
    return len(violations(feeder, settings(voltage=band), energy / HOURS, np.tile(reactive / HOURS, (count, 1))))


@pytest.mark.parametrize(("name", "band"), [("village", 0.1), ("village", 0.05), ("1", 0.1), ("4", 0.1), ("6", 0.06)])
def test_no_corner_breaks_a_limit(name: str, band: float) -> None:
    assert broken(name, 1, 120, band) == 0


@pytest.mark.slow  # twelve thousand power flows over six feeders
@pytest.mark.parametrize("name", ["village", "0", "1", "2", "3", "4"])
def test_no_corner_of_two_thousand_breaks_a_limit_on_any_feeder(name: str) -> None:
    assert sum(broken(name, seed, 500, band) for seed, band in enumerate([0.1, 0.1, 0.05, 0.07])) == 0


@pytest.mark.parametrize("seed", range(6))
def test_bounds_of_a_box_are_never_below_what_power_flow_finds_inside(seed: int) -> None:
    feeder = feeder_of(str(seed))
    rules = settings(voltage=0.2, loading=3.0)
    model = EnvelopeModel(feeder, rules)
    rng = np.random.default_rng(seed)
    count = len(feeder.connection_ids)
    low = -rng.integers(0, 900, count)
    high = low + rng.integers(0, 1200, count)
    reactive = rng.integers(-90, 90, count)
    low_bus, high_bus, varh = (model._by_bus(values) for values in (low, high, reactive))
    state = model._state((low_bus + high_bus) / 2, varh)
    assert state is not None
    half = (high_bus - low_bus) / 2
    error = model._radius(np.abs(state[model._used]), half, np.hypot(np.maximum(-low_bus, high_bus.__abs__()), varh))
    assert error is not None
    bounds = model._excess(state, half, error)
    exact = 0.0
    for energy in corners(Envelope(low, high, True, ("", "")), rng, 60):
        point = operating_point(model._network, energy / HOURS, reactive / HOURS)
        found = model._excess(point.state, 0 * half, 0 * error)
        assert (found <= bounds + 1e-9).all()
        exact = max(exact, float((found / np.maximum(bounds, 1e-12))[:, 1:].max()))
    assert exact > 0.9  # and not far above


def test_a_single_line_ends_at_its_voltage_limit() -> None:
    # P at which the far bus reaches 1.1 pu behind 0.5 ohm: V (V - 230) / R.
    feeder = one_line(r_ohm=0.5)
    found = EnvelopeModel(feeder, settings(seconds=3600)).envelope([0, 0, 0], [0, 0, 0])
    both = found.high[1] + found.high[2]
    assert found.high[1] == found.high[2]
    assert 0.75 * 253 * 23 / 0.5 < both <= 253 * 23 / 0.5
    assert -207 * 23 / 0.5 <= found.low[1] + found.low[2] < -0.75 * 207 * 23 / 0.5
    assert found.binding == ("bus:far:low", "bus:far:high")


def test_shares_follow_the_weights_and_the_source_needs_none() -> None:
    found = EnvelopeModel(one_line(r_ohm=0.5), settings(seconds=3600)).envelope([0, 0, 0], [0, 0, 0], [5, 3, 1])
    assert found.high[1] == pytest.approx(3 * found.high[2], abs=5)
    assert (found.low[0], found.high[0]) == (0, 0)


def test_a_baseline_beyond_a_limit_has_no_envelope() -> None:
    found = EnvelopeModel(one_line(r_ohm=0.5), settings(seconds=3600)).envelope([0, 9_000, 9_000], [0, 0, 0])
    assert not found.proven
    assert found.low.tolist() == found.high.tolist() == [0, 9_000, 9_000]
    lost = EnvelopeModel(one_line(r_ohm=0.5), settings(seconds=3600)).envelope([0, 0, -900_000], [0, 0, 0])
    assert not lost.proven


def test_the_gate_publishes_the_envelopes_of_an_open_slot() -> None:
    gate = FeederGate(one_line(r_ohm=0.5), settings(seconds=3600))
    gate.open(7, np.zeros(3, np.int64), np.zeros(3, np.int64))
    found = gate.envelope(7)
    assert found.proven
    inside = gate.check(7, 1, -1, int(found.high[1]), 1)
    assert inside.admitted == found.high[1]


def test_single_phases_and_wrong_numbers_are_refused() -> None:
    street = Feeder.from_json((DATA / "european_lv.feeder.json").read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match="one phase"):
        EnvelopeModel(street, settings())
    model = EnvelopeModel(one_line(), settings())
    with pytest.raises(ValueError, match="low must be at most high"):
        model.bound([0, 1, 0], [0, 0, 0], [0, 0, 0])
    with pytest.raises(ValueError, match="3 finite numbers"):
        model.envelope([0, 0], [0, 0, 0])
    with pytest.raises(ValueError, match="weights"):
        model.envelope([0, 0, 0], [0, 0, 0], [1, -1, 1])
