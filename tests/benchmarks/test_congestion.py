"""The study of congestion: its rules and its tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import congestion, congestion_plain
from benchmarks.congestion_rules import RULES
from scenarios import laboratory, load


def test_every_rule_is_one_of_the_laboratory_and_of_the_scenario() -> None:
    lab, scenario = laboratory.load("congestion-export-zi-c"), load("congested")
    for rule in RULES.values():
        assert rule.on(lab).closing == rule.closing
        if rule.in_scenario:
            assert scenario.changed(**rule.fields(scenario)).market.spread_clock.power == rule.power


def test_the_clock_beats_first_come_where_a_line_binds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    choice = ["--markets", "export", "--traders", "truthful", "--seeds", "12", "--out", str(tmp_path)]
    assert congestion.main(choice) == 0
    rows = pd.read_csv(tmp_path / "table.csv").to_dict("records")
    found = {(row["rule"], row["figure"]): row for row in rows}
    assert found["clock", "share"]["mean"] == pytest.approx(100)
    assert found["clock", "share"]["more_low"] > 0
    assert found["first_come", "share"]["more"] == 0
    assert found["clock", "delay"]["mean"] > found["first_come", "delay"]["mean"]
    runs = pd.read_csv(tmp_path / "runs.csv")
    assert ((runs["buyers"] + runs["sellers"]) * 100 / 600 - runs["share"]).abs().max() < 1e-9
    assert len(runs) == 2 * 12
    assert "| `clock` | 100.0 ± 0.0 |" in capsys.readouterr().out


@pytest.mark.parametrize("rule", ["first_come", "clock"])
def test_the_plain_market_has_the_rules_of_the_laboratory(rule: str) -> None:
    there = [row["share"] for row in congestion.in_laboratory("export", "zi_c", rule, 60, 1)]
    here = congestion_plain.share("export", "zi_c", rule, 60)
    assert abs(np.mean(here) - np.mean(there)) < 4 * np.sqrt((np.var(here) + np.var(there)) / 60)


def test_lines_alone_do_not_protect_what_trades_beside_them() -> None:
    shares = {rule: np.mean(congestion_plain.share("open", "truthful", rule, 8)) for rule in ("clock", "lines")}
    assert shares["clock"] == pytest.approx(100)
    assert shares["lines"] < 90
