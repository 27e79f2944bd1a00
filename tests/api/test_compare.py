"""`wattbook compare`: what it prints, what it leaves, what it refuses."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agents.compare import MEASURES, RunError
from api import comparison
from api.cli import app

SHORT = ("village", "--slots", "2", "--seeds", "2", "--seed", "7", "--jobs", "1", "--designs", "cda, none")
FILES = {"runs.csv", "table.csv", "compare.json", "compare.html"}


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
    assert "2 of 2 seeds" in result.stderr


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


@pytest.mark.parametrize(("raised", "code"), [(RunError("seed 1, cda: too much"), 1), (KeyboardInterrupt(), 130)])
def test_a_comparison_that_ends_early_writes_nothing(
    raised: BaseException, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(comparison, "compare", fail)
    result = wattbook("compare", *SHORT, "--out", tmp_path)
    assert result.exit_code == code
    assert not list(tmp_path.iterdir())
