"""What is not delivered is taken off the schedule side by side, and the wires are looked at again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.delivery import NETTINGS, WHO, Sides, failing, main, simulate, undelivered


def test_trades_that_fail_are_taken_off_the_side_that_fails() -> None:
    sides = Sides(
        np.array([0, 1, 1]), np.array([0, -1, 2]), np.array([1, 1, -1]), np.array([5, 7, 9]), np.ones(3, np.int64)
    )
    lacking = {who: failing(sides, who, 1.0, (2, 3), np.random.default_rng(1)).tolist() for who in WHO}
    assert lacking["nobody"] == [[0, 0, 0], [0, 0, 0]]
    assert lacking["sellers"] == [[-5, 0, 0], [0, 0, -9]]
    assert lacking["buyers"] == [[0, 5, 0], [0, 7, 0]]
    assert failing(sides, "either", 0.0, (2, 3), np.random.default_rng(1)).tolist() == lacking["nobody"]


def test_half_of_the_failures_are_the_sellers_and_a_share_of_the_trades_fails() -> None:
    many = 10_000
    one = np.zeros(many, dtype=np.int64)
    sides = Sides(one, one, one + 1, one + 1, one)
    lacking = failing(sides, "either", 0.2, (1, 2), np.random.default_rng(2))
    assert lacking[0] == pytest.approx([-0.1 * many, 0.1 * many], rel=0.1)


def test_sides_add_up_to_the_schedules_of_the_run_and_what_is_delivered_breaks_nothing() -> None:
    changes: dict[str, Any] = {"time__days": None, "time__slots": 3, "time__start": "2016-06-08T10:00Z"}
    for netting in NETTINGS:
        model, sides = simulate("congested", netting, **changes)
        planned = -failing(sides, "sellers", 1.0, model.record.schedule.shape, np.random.default_rng(0))
        planned -= failing(sides, "buyers", 1.0, model.record.schedule.shape, np.random.default_rng(0))
        np.testing.assert_array_equal(planned, model.record.schedule)
        rows = undelivered(model, sides, 0.2, 4, 1)
        assert [row.who for row in rows] == list(WHO)
        assert [row.slots for row in rows] == [3, 12, 12, 12]
        assert rows[0].violations == 0
        assert rows[0].flexible_kwh > 0
        assert rows[0].local_kwh == pytest.approx(model.results().summary["energy"]["local_kwh"])
        if netting == "one_sided":
            assert [row.violations for row in rows] == [0, 0, 0, 0]


def test_the_command_prints_a_line_for_each_netting_and_each_who(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--scenario", "congested", "--slots", "1", "--draws", "1"]) == 0
    assert capsys.readouterr().out.count("| congested |") == 2 * len(WHO)
