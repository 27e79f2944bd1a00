"""`wattbook compare`: what it prints, what it leaves, what it refuses."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from agents.compare import Comparison, Interrupted, RunError, compare
from agents.compare_runs import Failure
from agents.measures import MEASURES
from agents.scenario import Scenario
from api import comparison
from api.cli import app

SHORT = ("village", "--slots", "2", "--seeds", "2", "--seed", "7", "--jobs", "1", "--designs", "cda, none")
FILES = {"runs.csv", "groups.csv", "table.csv", "compare.json", "compare.html"}


def wattbook(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="wattbook")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("runs") / "compared"
    return folder, wattbook("compare", *SHORT, "--out", folder)


def test_a_comparison_leaves_its_files_and_says_where(finished: tuple[Path, Result]) -> None:
    folder, result = finished
    assert result.exit_code == 0, result.output
    assert {path.name for path in folder.iterdir()} == FILES
    assert str(folder / "compare.html") in result.stdout
    for measure in MEASURES.values():
        assert measure.label in result.stdout
    assert "means of 2 seeds" in result.stdout
    assert "2 of 2 done" in result.stderr


def test_json_and_csv_say_the_same(finished: tuple[Path, Result]) -> None:
    folder, _ = finished
    data = json.loads((folder / "compare.json").read_text())
    assert data["seeds"] == [7, 8]
    assert list(data["designs"]) == ["cda", "none"]
    assert len(data["runs"]) == 4
    for name, rows in (("runs", data["runs"]), ("table", data["table"])):
        with (folder / f"{name}.csv").open(newline="") as file:
            listed = list(csv.DictReader(file))
        assert len(listed) == len(rows)
        for row, told in zip(rows, listed, strict=True):
            for key, value in row.items():
                same = told[key] == "" if value is None else told[key] == str(value)
                assert same, f"{name}.{key}: {value} is not {told[key]}"


def test_the_page_has_every_figure_and_fetches_nothing(finished: tuple[Path, Result]) -> None:
    text = (finished[0] / "compare.html").read_text(encoding="utf-8")
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert "default-src 'none'" in own
    assert not re.findall(r"(?:src|href)=\"(?!#)", own)
    data = json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)[0])
    assert data["seeds"] == [7, 8]
    for measure in data["measures"]:
        assert f'id="chart-{measure["name"]}"' in own
        assert len(measure["values"]) == len(measure["intervals"]) == 2
    assert {"traded_kwh", "savings", "welfare_pct"} <= {measure["name"] for measure in data["measures"]}


def test_results_are_not_replaced_unasked(finished: tuple[Path, Result], tmp_path: Path) -> None:
    folder, _ = finished
    before = (folder / "compare.json").read_bytes()
    refused = wattbook("compare", *SHORT, "--out", folder)
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert (folder / "compare.json").read_bytes() == before


def test_without_out_each_comparison_gets_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ("compare", "street", "--slots", "1", "--seeds", "1", "--designs", "none")
    for _ in range(2):
        assert wattbook(*quick).exit_code == 0
    assert [path.name for path in sorted((tmp_path / "runs").iterdir())] == ["street-compare", "street-compare-2"]


def test_seven_designs_are_compared_unless_some_are_chosen(tmp_path: Path) -> None:
    quick = ("compare", "street", "--slots", "1", "--seeds", "1", "--jobs", "1", "--out", tmp_path)
    assert wattbook(*quick).exit_code == 0
    data = json.loads((tmp_path / "compare.json").read_text())
    assert list(data["designs"]) == ["cda", "clock", "call", "pay_as_bid", "mmr", "sdr", "none"]
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    if 'id="chart-overview"' in page:
        assert '<select id="overview-of">' in page, "six others are too many to draw at once"


def test_every_mistake_in_the_designs_is_told(tmp_path: Path) -> None:
    result = wattbook("compare", "street", "--designs", "cda,cda,auction", "--out", tmp_path / "none")
    assert result.exit_code == 2
    assert "'auction'" in result.stderr
    assert "'cda' is given twice" in result.stderr
    assert not (tmp_path / "none").exists()
    assert wattbook("compare", "street", "--designs", ",").exit_code == 2
    assert wattbook("compare", "street", "--slots", "1", "--days", "1").exit_code == 2
    assert wattbook("compare", "street", "--seeds", "0").exit_code == 2
    assert wattbook("compare", "nowhere").exit_code == 2


MINE = """
name: village
title: Mine
time: {start: 2016-06-08T10:00Z, slots: 2}
grid: {network: simbench_lv_rural2, gate: linear}
participants:
  - {group: home, kind: household, count: 6, load: {annual_kwh: 4000}, strategy: truthful}
  - {group: sun, kind: household, count: 4, load: {annual_kwh: 3000}, pv: {kwp: 9}, strategy: truthful}
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two scenario files, the second with a fee, and both with the same name inside."""
    one, two = tmp_path / "free.yaml", tmp_path / "fee.yaml"
    one.write_text(MINE)
    two.write_text(MINE + "tariffs: {grid_fee: 6 ct/kWh}\n")
    return one, two


def test_scenario_files_are_compared_with_each_other(files: tuple[Path, Path], tmp_path: Path) -> None:
    result = wattbook("compare", *files, "--seeds", "2", "--jobs", "1", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    data = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert (data["columns"], list(data["scenarios"]), data["failures"]) == ("scenario", ["free", "fee"], [])
    rows = {(row["scenario"], row["measure"]): row for row in data["table"]}
    assert rows["fee", "fees"]["mean"] == pytest.approx(0.06 * rows["fee", "traded_kwh"]["mean"])
    fees = [run["fees"] for run in data["runs"] if run["scenario"] == "fee"]
    assert rows["fee", "fees"]["difference_mean"] == pytest.approx(sum(fees) / 2)
    assert "What differs from free, seed by seed" in result.stdout
    page = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    assert 'id="chart-overview"' in page


def test_shipped_scenarios_are_compared_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = wattbook("compare", "village", "congested", "--slots", "1", "--seeds", "1", "--jobs", "1")
    assert result.exit_code == 0, result.output
    with (tmp_path / "runs" / "village-congested-compare" / "runs.csv").open(newline="") as file:
        assert [row["scenario"] for row in csv.DictReader(file)] == ["village", "congested"]


def test_every_mistake_in_every_file_is_told_at_once(files: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = files
    one.write_text(MINE.replace("count: 6", "count: -6").replace("gate: linear", "gate: loose"))
    two.write_text(MINE.replace("slots: 2", "slots: 0"))
    result = wattbook("compare", one, two, "nowhere", "--designs", "cda", "--slots", "1", "--days", "1")
    assert result.exit_code == 2
    for told in ("free.yaml: participants[0].count", "-6", "free.yaml: grid.gate", "fee.yaml: time.slots", "nowhere"):
        assert told in result.stderr
    assert "--designs" in result.stderr
    assert "--slots and --days" in result.stderr
    assert not list(tmp_path.glob("runs/*"))


def test_a_scenario_given_twice_is_refused(files: tuple[Path, Path]) -> None:
    result = wattbook("compare", files[0], files[1], files[0])
    assert result.exit_code == 2
    assert "free.yaml: is given twice" in result.stderr


def partial(found: Comparison, failures: tuple[Failure, ...]) -> Comparison:
    return replace(found, runs=found.runs[:1], failures=failures)


@pytest.mark.parametrize("ended", ["failed", "interrupted"])
def test_what_was_found_before_the_end_is_kept(ended: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Comparison] = []
    whole = compare

    def fail(*arguments: Any, **options: Any) -> Comparison:
        kept.append(whole(*arguments, **options))
        failure = Failure("village", "none", 7, "slot 3: too much", "Traceback of it")
        raise RunError(partial(kept[0], (failure,))) if ended == "failed" else Interrupted(partial(kept[0], ()))

    monkeypatch.setattr(comparison, "compare", fail)
    result = wattbook("compare", "village", "--designs", "cda,none", "--slots", "1", "--seeds", "1", "--out", tmp_path)
    assert result.exit_code == (1 if ended == "failed" else 130)
    with (tmp_path / "runs.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 1
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "Only 1 of 2 runs" in page
    assert "1 of 2 runs" in result.stdout
    if ended == "failed":
        assert "village, none, seed 7: slot 3: too much" in result.stderr
        assert "Traceback of it" in (tmp_path / "failures.txt").read_text()
        assert "village, none, seed 7: slot 3: too much" in page
    else:
        assert "the 1 runs that had ended are in" in result.stderr


def test_an_interrupt_before_any_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(scenario: Scenario, designs: list[str], seeds: range, **_: object) -> None:
        empty = pd.DataFrame(columns=["seed", "design", *MEASURES])
        raise Interrupted(Comparison("design", dict.fromkeys(designs, scenario), tuple(seeds), empty, empty, {}))

    monkeypatch.setattr(comparison, "compare", stop)
    result = wattbook("compare", *SHORT, "--out", tmp_path)
    assert result.exit_code == 130
    assert not list(tmp_path.iterdir())


def test_a_signal_ends_all_processes_and_keeps_what_had_ended(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "api", "compare", "street", "village", "--seeds", "20", "--slots", "1"]
    with subprocess.Popen([*command, "--jobs", "2", "--out", out], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "done" in line:
                break
        process.send_signal(signal.SIGTERM)  # as Ctrl-C, which shells let programs in the background ignore
        told = process.stderr.read()
    assert process.returncode == 130, told
    assert "interrupted; the " in told
    assert "Traceback" not in told
    with (out / "runs.csv").open(newline="") as file:
        assert 1 <= len(list(csv.DictReader(file))) < 40
    assert (out / "compare.html").exists()
