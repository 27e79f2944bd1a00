"""The gate: closed forms, power-grid-model as the judge, baselines outside of the limits, its life cycle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from numpy.typing import NDArray

from grid.feeder import Feeder
from grid.gate import FeederGate, GridViolation, Violation, build, violations
from grid.powerflow import PowerFlowError, solve
from market.capacity import Gate, OpenGate, Verdict
from market.orders import GateMode
from tests.grid.gate_kit import check_gate
from tests.grid.networks import one_line, radial, settings

Ints = NDArray[np.int64]
SOURCE, PV, LOAD = 0, 1, 2
U0 = 230.0
MODES: tuple[GateMode, ...] = ("ac", "certified", "linear")


def zeros(gate: FeederGate) -> Ints:
    return np.zeros(len(gate.connections()), dtype=np.int64)


def opened(feeder: Feeder, baseline: Any = None, **rules: Any) -> tuple[FeederGate, Ints]:
    """A gate with slot 0 open, and its schedule."""
    gate = FeederGate(feeder, settings(**rules))
    rows = gate.open(0, zeros(gate) if baseline is None else np.asarray(baseline), zeros(gate))
    return gate, rows.schedule


def trade(gate: FeederGate, schedule: Ints, inject: int, withdraw: int, wanted: int, lot: int = 1) -> Verdict:
    """Ask, and apply exactly what was admitted."""
    verdict = gate.check(0, inject, withdraw, wanted, lot)
    schedule[inject] += verdict.admitted
    schedule[withdraw] -= verdict.admitted
    return verdict


@pytest.mark.parametrize("mode", MODES)
def test_eleven_exports_of_one_kilowatt_fit_behind_half_an_ohm(mode: GateMode) -> None:
    gate, schedule = opened(one_line(0.5), gate=mode)
    verdicts = [trade(gate, schedule, PV, SOURCE, 250, 250) for _ in range(12)]
    assert verdicts[:11] == [Verdict(250, "")] * 11
    assert verdicts[11] == Verdict(0, "bus:far:high")
    assert gate.check(0, PV, -1, 250, 250) == Verdict(0, "bus:far:high")
    assert trade(gate, schedule, PV, LOAD, 250, 250) == Verdict(250, ""), "a trade at one bus"
    assert trade(gate, schedule, SOURCE, LOAD, 250, 250) == Verdict(250, ""), "consumption at the far bus"
    assert trade(gate, schedule, PV, SOURCE, 250, 250) == Verdict(250, ""), "what was consumed makes room"
    assert gate.verify([0]) == []


@limits(deadline=None, max_examples=150)
@given(
    r_ohm=st.floats(0.01, 2.0),
    lot=st.sampled_from([1, 7, 100, 250, 1000]),
    wanted=st.integers(1, 400),
    slot=st.sampled_from([300, 900, 3600]),
    export=st.booleans(),
    i_max_a=st.sampled_from([15.0, 60.0, 1e6]),
)
def test_the_largest_fit_is_the_closed_form(
    r_ohm: float, lot: int, wanted: int, slot: int, export: bool, i_max_a: float
) -> None:
    # U (U - U0) = P R: the voltage binds at P = U (U - U0) / R, the current I = (U - U0) / (sqrt(3) R) at U.
    swing = min(0.1 * U0, np.sqrt(3) * r_ohm * i_max_a)
    u = U0 + swing if export else U0 - swing
    fits = abs(u * (u - U0)) / r_ohm * slot / 3600 / lot
    assume(abs(fits - round(fits)) > 1e-6 * max(fits, 1))
    expected = min(int(fits), wanted) * lot
    gate, schedule = opened(one_line(r_ohm, i_max_a=i_max_a), seconds=slot)
    pair = (PV, SOURCE) if export else (SOURCE, LOAD)
    voltage = "bus:far:high" if export else "bus:far:low"
    name = voltage if swing == 0.1 * U0 else "branch:line"
    full = expected == wanted * lot
    assert trade(gate, schedule, *pair, wanted * lot, lot) == Verdict(expected, "" if full else name)
    assert gate.verify([0]) == []


@limits(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), buses=st.integers(4, 40), transformers=st.integers(1, 2))
def test_what_ac_admits_never_breaks_a_limit_under_power_grid_model(seed: int, buses: int, transformers: int) -> None:
    rng = np.random.default_rng(seed)
    feeder = radial(rng, buses, transformers=transformers)
    gate = FeederGate(feeder, settings(voltage=0.06, loading=0.8))
    refused = 0
    count = len(feeder.connection_ids)
    for slot in range(4):
        baseline = np.rint(rng.normal(0, 2_000 / np.sqrt(count), count)).astype(np.int64)
        schedule = gate.open(slot, baseline, baseline // 5).schedule
        for _ in range(40):
            inject, withdraw = (int(c) for c in rng.integers(0, count, 2))
            wanted = int(rng.integers(1, 12_000))
            admitted = gate.check(slot, inject, withdraw, wanted, 1).admitted
            refused += admitted < wanted
            schedule[inject] += admitted
            schedule[withdraw] -= admitted
    assert [found for found in gate.verify(range(4)) if found.by_trade] == []
    assume(refused)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(4))
def test_a_feeder_gate_conforms(mode: GateMode, seed: int) -> None:
    rng = np.random.default_rng(seed)
    feeder = radial(rng, 30, transformers=1 + seed % 2)
    baseline = np.rint(rng.normal(0, 300, len(feeder.connection_ids))).astype(np.int64)

    def make() -> Gate:
        return build(feeder, settings(gate=mode, voltage=0.05))

    assert check_gate(make, baseline, rng, most=9_000) > 0


def test_the_open_gate_conforms() -> None:
    gate = build(one_line(), settings(gate="off"))
    assert isinstance(gate, OpenGate)
    assert gate.connections() == ["utility", "pv", "load"]
    assert check_gate(lambda: OpenGate(["a", "b"]), np.zeros(2, dtype=np.int64), np.random.default_rng(1), most=99) == 0
    with pytest.raises(ValueError, match="OpenGate"):
        FeederGate(one_line(), settings(gate="off"))


def test_a_baseline_outside_its_limits_may_get_better_but_not_worse() -> None:
    # 13 kW of must-run generation lift the far bus to 1.11 pu.
    gate, schedule = opened(one_line(0.5), [0, 3250, 0])
    assert gate.check(0, PV, SOURCE, 250, 1) == Verdict(0, "bus:far:high")
    assert gate.check(0, PV, LOAD, 250, 1) == Verdict(250, "")
    assert trade(gate, schedule, SOURCE, LOAD, 100) == Verdict(100, "")
    assert gate.check(0, PV, SOURCE, 100, 1) == Verdict(0, "bus:far:high"), "what was gained is not given up again"
    assert trade(gate, schedule, SOURCE, LOAD, 900) == Verdict(900, "")
    assert trade(gate, schedule, PV, SOURCE, 900) == Verdict(659, "bus:far:high"), "inside again, its limit counts"
    assert gate.verify([0]) == []


def test_relief_stops_where_another_limit_begins() -> None:
    gate, schedule = opened(one_line(0.5, i_max_a=1e6), [0, 3250, 0])
    # U (U - U0) = P R at 0.9 pu gives P = -9522 W, 5630 Wh below the baseline's 3250 Wh in a quarter of an hour.
    assert trade(gate, schedule, SOURCE, LOAD, 9_000) == Verdict(3250 + 2380, "bus:far:low")


def test_a_change_elsewhere_passes_a_violated_bus() -> None:
    feeder = radial(np.random.default_rng(2), 24, transformers=2)
    gate = FeederGate(feeder, settings())
    names = gate.connections()
    first = max(i for i, name in enumerate(names) if name.startswith("c0"))
    second = max(i for i, name in enumerate(names) if name.startswith("c1"))
    baseline = zeros(gate)
    gate.open(0, baseline, zeros(gate))
    baseline[first] = gate.check(0, first, -1, 1_000_000, 1).admitted + 2_000
    schedule = gate.open(0, baseline, zeros(gate)).schedule
    assert gate.check(0, first, 0, 10, 10).admitted == 0
    lowers = gate.check(0, 0, second, 300, 10)
    assert lowers == Verdict(300, ""), "a load beyond the other transformer lowers the voltage of both"
    schedule[second] -= 300
    found = gate.verify([0])
    assert found
    assert not any(item.by_trade for item in found)


@pytest.mark.parametrize("mode", MODES)
def test_a_baseline_without_any_state_refuses_and_does_not_crash(mode: GateMode) -> None:
    gate = FeederGate(one_line(0.5), settings(gate=mode))
    rows = gate.open(0, np.array([0, 0, -9_000]), zeros(gate))
    assert gate.check(0, SOURCE, LOAD, 100, 10) == Verdict(0, "diverged")
    assert gate.check(0, PV, LOAD, 100, 10) == Verdict(100, "")
    assert gate.check(0, PV, SOURCE, 8_000, 10) == Verdict(8_000, ""), "what ends inside all limits is welcome"
    if mode == "linear":
        assert rows.sensitivity[PV, 0, -1] > 0 == rows.upper[-1]
    gate.refresh(0)
    gate.open(5, np.array([0, 0, -9_000]), zeros(gate))
    gate.open(4, zeros(gate), zeros(gate))
    with pytest.raises(PowerFlowError, match="slot 5") as caught:
        gate.verify([4, 5])
    assert caught.value.slot == 5


def test_a_request_beyond_any_state_is_trimmed_to_what_fits() -> None:
    gate, schedule = opened(one_line(0.5))
    verdict = trade(gate, schedule, SOURCE, LOAD, 1_000_000)
    assert verdict == Verdict(2380, "bus:far:low")
    assert gate.verify([0]) == []


def test_verdicts_depend_on_baseline_schedule_and_question_alone() -> None:
    rng = np.random.default_rng(5)
    feeder = radial(rng, 40)
    count = len(feeder.connection_ids)
    quiet, busy = (FeederGate(feeder, settings(voltage=0.04)) for _ in range(2))
    ours, theirs = (gate.open(0, zeros(gate), zeros(gate)).schedule for gate in (quiet, busy))
    for _ in range(60):
        for _ in range(3):
            inject, withdraw = (int(c) for c in rng.integers(0, count, 2))
            busy.check(0, inject, withdraw, int(rng.integers(1, 20_000)), 1)
        busy.open(1, zeros(busy) + int(rng.integers(-99, 99)), zeros(busy))
        inject, withdraw = (int(c) for c in rng.integers(0, count, 2))
        verdict = quiet.check(0, inject, withdraw, 4_000, 10)
        assert busy.check(0, inject, withdraw, 4_000, 10) == verdict
        for schedule in (ours, theirs):
            schedule[inject] += verdict.admitted
            schedule[withdraw] -= verdict.admitted


def test_reactive_baseline_counts() -> None:
    feeder = one_line(0.3, x_ohm=0.1)
    gate = FeederGate(feeder, settings())
    gate.open(0, zeros(gate), zeros(gate))
    gate.open(1, zeros(gate), np.array([0, 0, -1_500]))
    assert gate.check(1, PV, SOURCE, 90_000, 1).admitted > gate.check(0, PV, SOURCE, 90_000, 1).admitted
    gate.open(2, zeros(gate), np.array([], dtype=np.int64))
    assert gate.check(2, PV, SOURCE, 90_000, 1) == gate.check(0, PV, SOURCE, 90_000, 1)


@pytest.mark.parametrize("mode", MODES)
def test_a_new_baseline_keeps_the_schedule(mode: GateMode) -> None:
    gate, schedule = opened(one_line(0.5), gate=mode)
    assert trade(gate, schedule, PV, SOURCE, 2_500) == Verdict(2_500, "")
    rows = gate.open(0, np.array([0, 0, -1_000]), zeros(gate))
    assert rows.schedule is schedule
    np.testing.assert_array_equal(schedule, [-2_500, 2_500, 0])
    assert trade(gate, schedule, PV, SOURCE, 9_999).admitted == 2_909 - 2_500 + 1_000
    np.testing.assert_array_equal(gate.schedule(0), schedule)
    assert gate.verify([0]) == []
    before = schedule.copy()
    gate.open(0, np.array([0, 500, 0]), zeros(gate))
    np.testing.assert_array_equal(schedule, before)
    overtaken = gate.verify([0])
    assert [item.element for item in overtaken] == ["bus:far:high"]
    assert not overtaken[0].by_trade, "the operator's baseline did it"


def test_a_closed_slot_is_final_and_kept_until_it_is_verified() -> None:
    gate, schedule = opened(one_line(0.5))
    trade(gate, schedule, PV, SOURCE, 700)
    gate.close(0)
    schedule[PV] = 99_999
    np.testing.assert_array_equal(gate.schedule(0), [-700, 700, 0])
    for act in (lambda: gate.check(0, PV, -1, 1, 1), lambda: gate.refresh(0), lambda: gate.close(0)):
        with pytest.raises(ValueError, match="slot 0 is closed"):
            act()
    with pytest.raises(ValueError, match="slot 0 is closed"):
        gate.open(0, zeros(gate), zeros(gate))
    assert gate.verify([0], keep=True) == []
    assert gate.verify([0]) == []
    with pytest.raises(ValueError, match="slot 0 is not open"):
        gate.schedule(0)


def test_many_slots_are_open_at_once_and_apart() -> None:
    gate = FeederGate(one_line(0.5), settings())
    schedules = [gate.open(slot, np.array([0, 100 * slot, 0]), zeros(gate)).schedule for slot in range(12)]
    for slot, schedule in enumerate(schedules):
        admitted = gate.check(slot, PV, SOURCE, 9_999, 1).admitted
        assert admitted == 2_909 - 100 * slot
        schedule[PV] += admitted
    assert gate.verify(range(12)) == []


def test_verification_names_what_a_wrong_schedule_breaks() -> None:
    gate, schedule = opened(one_line(0.5, i_max_a=20.0))
    gate.open(3, zeros(gate), zeros(gate)).schedule[LOAD] = -1_000
    schedule[PV] = 3_000
    found = gate.verify([3, 0])
    assert [(item.slot, item.element) for item in found] == [(0, "branch:line"), (0, "bus:far:high")]
    assert found[0].value == pytest.approx(27.27, abs=0.1) or found[0].value > 1
    assert found[1].value == pytest.approx(1.1028, abs=1e-4)
    assert found[1].limit == 1.1
    assert found[1].before == pytest.approx(1.0)
    assert all(item.by_trade for item in found)
    assert "slot 0: branch:line" in str(GridViolation(found[0]))
    message = str(GridViolation(found[1]))
    assert message == f"slot 0: bus:far:high is at {found[1].value:.7f} pu, but may be at most 1.1"


def test_violations_of_plain_injections_are_counted() -> None:
    active = np.array([[0, 12_000.0, 0], [0, 11_000.0, 0], [0, 0, -9_600.0]])
    found = violations(one_line(0.5), settings(), active, 0 * active)
    assert [(item.slot, item.element) for item in found] == [(0, "bus:far:high"), (2, "bus:far:low")]
    assert found[1] == Violation(2, "bus:far:low", found[1].value, 0.9, found[1].before)
    assert violations(one_line(0.5), settings(), active[1:2], 0 * active[1:2]) == []


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.5, 1e17])
def test_a_wrong_baseline_is_refused_with_its_place(wrong: float) -> None:
    gate = FeederGate(one_line(), settings())
    with pytest.raises(ValueError, match=r"baseline\[1\] \('pv'\) must be a whole number of Wh"):
        gate.open(0, np.array([0, wrong, 0]), zeros(gate))
    with pytest.raises(ValueError, match=r"reactive\[2\] \('load'\) must be a whole number of varh"):
        gate.open(0, zeros(gate), np.array([0, 0, wrong]))
    with pytest.raises(ValueError, match="slot 0 is not open"):
        gate.check(0, PV, -1, 1, 1)


def test_wrong_questions_are_refused() -> None:
    gate = FeederGate(one_line(), settings())
    with pytest.raises(ValueError, match="baseline must have 3 values, one per connection"):
        gate.open(0, np.zeros(2, dtype=np.int64), zeros(gate))
    with pytest.raises(ValueError, match="baseline must be numbers"):
        gate.open(0, np.array(["a", "b", "c"]), zeros(gate))
    gate.open(0, zeros(gate), zeros(gate))
    with pytest.raises(ValueError, match="connection 3 is none of the 3"):
        gate.check(0, 3, -1, 1, 1)
    with pytest.raises(ValueError, match="lot at least 1"):
        gate.check(0, PV, -1, 1, 0)
    with pytest.raises(ValueError, match="wanted must be at least 0"):
        gate.check(0, PV, -1, -1, 1)
    assert gate.check(0, PV, -1, 9, 10) == Verdict(0, "")


def test_senseless_settings_are_all_named() -> None:
    with pytest.raises(ValueError, match=r"voltage_min_ppm .*; loading_max_ppm .*; slot_seconds"):
        FeederGate(one_line(), settings(voltage=-0.1, loading=0.0, seconds=0))


def test_a_slot_never_opened_is_unknown_to_verification() -> None:
    gate = FeederGate(one_line(), settings())
    with pytest.raises(ValueError, match="slot 4 is not open"):
        gate.verify([4])
    assert gate.verify([]) == []
    assert solve(one_line(), *gate.injections([])).u_pu.shape == (0, 2)


SHIPPED = sorted(Path(__file__).parents[2].joinpath("scenarios", "data").glob("*.feeder.json"))


def test_feeders_are_shipped() -> None:
    assert len(SHIPPED) >= 2


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_congested_slots_on_a_shipped_feeder_hold_under_power_grid_model(path: Path) -> None:
    rng = np.random.default_rng(8)
    feeder = Feeder.from_json(path.read_text(encoding="utf-8"))
    gate = FeederGate(feeder, settings())
    count = len(feeder.connection_ids)
    limited = 0
    for slot in range(24):
        baseline = np.rint(rng.normal(0, 30_000 / count, count)).astype(np.int64)
        schedule = gate.open(slot, baseline, baseline // 4).schedule
        for _ in range(60):
            inject, withdraw = (int(c) for c in rng.integers(0, count, 2))
            verdict = gate.check(slot, inject, withdraw, int(rng.integers(1, 25_000)), 1)
            schedule[inject] += verdict.admitted
            schedule[withdraw] -= verdict.admitted
            limited += verdict.constraint != ""
    assert gate.verify(range(24)) == []
    assert limited > 100, "the slots were meant to be congested"
