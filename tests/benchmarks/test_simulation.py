"""Larger villages are the village many times over, and a run's figures are those of its market."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import scenarios
from agents import MarketModel
from benchmarks.simulation import Run, exponent, main, middle, table
from benchmarks.villages import VILLAGE, scenario


def _run(participants: int, seconds: float) -> Run:
    own, plain, market = seconds * 0.75, seconds * 0.625, seconds * 0.25
    return Run(participants, 96, 1000, 100, seconds, seconds, own, plain, market, 0.5, 300.0, 200.0)


def test_one_village_is_the_shipped_one_and_ten_have_ten_times_as_many_of_each_group(tmp_path: Path) -> None:
    shipped = scenarios.load("village")
    for copies in (1, 10):
        groups = scenario(copies, 4, "off", tmp_path).participants
        expected = {group.group: copies * group.size for group in shipped.participants}
        assert {group.group: group.size for group in groups} == expected
        assert sum(expected.values()) in range(copies * VILLAGE - copies, copies * VILLAGE + copies)


def test_copies_of_the_feeder_share_its_source_and_nothing_else(tmp_path: Path) -> None:
    one = MarketModel(scenario(1, 4, "off", tmp_path)).population.feeder
    three = MarketModel(scenario(3, 4, "off", tmp_path)).population.feeder
    source = one.bus_ids[one.source_bus]
    assert three.bus_ids[three.source_bus] == source
    assert len(three.bus_ids) - 1 == 3 * (len(one.bus_ids) - 1)
    assert len(three.line_ids) == 3 * len(one.line_ids)
    at_source = sum(bus == one.source_bus for bus in one.connection_bus)
    assert len(three.connection_ids) - at_source == 3 * (len(one.connection_ids) - at_source)


def test_time_in_proportion_to_the_participants_has_the_exponent_one() -> None:
    assert exponent(_run(100, 2.0), _run(1000, 20.0)) == pytest.approx(1.0)
    assert exponent(_run(100, 2.0), _run(1000, 200.0)) == pytest.approx(2.0)


def test_the_median_run_is_shown_with_its_ratio_to_the_first_size() -> None:
    assert middle([_run(100, 3.0), _run(100, 1.0), _run(100, 2.0)]).seconds == 2.0
    rows = table([_run(100, 2.0), _run(1000, 10.0), _run(10_000, 200.0)]).splitlines()
    assert rows[3] == "| 1000 | 10.00 | 10.00 | 9,600 | 100 | 60% | 20% | 2.50 | 0.50 | 300 (idle 200) | 5.0 | 0.70 |"
    assert rows[4].endswith("| 100.0 | 1.30 |")  # the exponent is that of the last step, so that no bend hides


def test_the_benchmark_simulates_in_processes_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "figures.json"
    assert main(["--copies", "1", "--slots", "4", "--repeat", "1", "--gate", "off", "--json", str(target)]) == 0
    (run,) = json.loads(target.read_text(encoding="utf-8"))["runs"]
    assert run["participants"] == VILLAGE
    assert run["orders"] > 0
    assert 0 < run["market"] < run["plain"] < run["seconds"]
    assert run["prepare"] > 0
    assert 0 < run["thread"] < run["seconds"]
    told = capsys.readouterr().out
    assert "gate off" in told
    assert "quoted and not measured here: 448 CPU s" in told
