"""What every gate must keep, whatever it knows of the wires."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from market.capacity import Gate, Verdict

Ints = NDArray[np.int64]


def check_gate(make: Callable[[], Gate], baseline: Ints, rng: np.random.Generator, *, most: int, asks: int = 60) -> int:
    """Put random questions to a gate of `make` and assert what a market relies on; returns how many bound.

    A verdict is a multiple of the lot, at most what was wanted, and full if it names no limit. A question changes
    nothing: asked again, it has the same answer. What fits for a quantity fits for less. What was admitted leaves
    a state from which the way back is open. A gate asked other things before, or a fresh one, answers alike.
    """
    gate = make()
    names = gate.connections()
    assert len(names) == len(set(names)) == len(baseline)
    reactive = np.zeros_like(baseline)
    rows = gate.open(7, baseline, reactive)
    schedule = np.zeros_like(baseline) if rows is None else rows.schedule
    bound = 0
    for _ in range(asks):
        inject, withdraw = (int(c) for c in rng.integers(-1, len(names), 2))
        lot = int(rng.choice([1, 10, 250]))
        wanted = lot * int(rng.integers(1, max(2, most // lot)))
        before = schedule.copy()
        verdict = gate.check(7, inject, withdraw, wanted, lot)
        assert verdict.admitted % lot == 0
        assert 0 <= verdict.admitted <= wanted
        assert (verdict.admitted == wanted) == (verdict.constraint == "")
        bound += verdict.admitted < wanted
        less = int(rng.integers(0, verdict.admitted // lot + 1)) * lot
        assert gate.check(7, inject, withdraw, less, lot) == Verdict(less, "")
        assert gate.check(7, inject, withdraw, wanted, lot) == verdict
        np.testing.assert_array_equal(schedule, before)
        _move(schedule, inject, withdraw, verdict.admitted)
        assert gate.check(7, withdraw, inject, verdict.admitted, lot) == Verdict(verdict.admitted, "")
    fresh = make()
    other = fresh.open(7, baseline, reactive)
    if other is not None:
        other.schedule[:] = schedule
    for _ in range(10):
        inject, withdraw = (int(c) for c in rng.integers(-1, len(names), 2))
        assert fresh.check(7, inject, withdraw, most, 1) == gate.check(7, inject, withdraw, most, 1)
    gate.close(7)
    return bound


def _move(schedule: Ints, inject: int, withdraw: int, quantity: int) -> None:
    if inject >= 0:
        schedule[inject] += quantity
    if withdraw >= 0:
        schedule[withdraw] -= quantity
