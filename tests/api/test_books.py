from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from market.store import Ledger
from tests.market import day
from tests.market.corrected import journal
from tests.market.day import ledger_at
from tests.market.test_correction import CORRECTIONS, SETTLED


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return ledger_at(tmp_path / "ledger.db", tuple(journal(*SETTLED, *CORRECTIONS)))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_rows_come_as_a_table_as_csv_and_as_json(path: Path) -> None:
    table, written, objects = (
        run("ledger", "trades", path, "--where", "price > 100000", "--format", how).stdout
        for how in ("table", "csv", "json")
    )
    (row,) = csv.DictReader(written.splitlines())
    (parsed,) = (json.loads(line) for line in objects.splitlines())
    assert row == {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in parsed.items()
    }
    assert (parsed["buyer"], parsed["seller"], parsed["price"], parsed["source"]) == ("cleo", "bert", 160_000, "wind")
    heading, line = table.splitlines()
    assert heading.split() == list(parsed)
    assert line.split() == list(row.values())


def test_a_table_says_that_there_is_more(path: Path) -> None:
    result = run("ledger", "postings", path, "--limit", "2")
    assert len(result.stdout.splitlines()) == 3
    assert "there are more rows than 2" in result.stderr
    assert run("ledger", "postings", path, "--limit", "2", "--format", "csv").stderr == ""


def test_times_and_participants_choose_rows(path: Path) -> None:
    assert (
        len(run("ledger", "trades", path, "--from", "1971-02-21", "--to", "1971-02-22", "--format", "json").stdout) > 9
    )
    assert run("ledger", "trades", path, "--from", "1971-02-22", "--format", "json").stdout == ""
    found = run("ledger", "settlements", path, "--participant", "dora", "--format", "json").stdout
    assert [json.loads(line)["run"] for line in found.splitlines()] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["trades", "--where", "prise > 3"], "--where: no field 'prise'; there are seq, time"),
        (["balances", "--where", "amount > many"], "--where: amount is a whole number in market units, got 'many'"),
        (["trades", "--from", "yesterday"], "--from: 'yesterday' is no time; write it like 2016-06-21"),
    ],
)
def test_what_cannot_be_listed_is_refused_with_the_way_out(path: Path, arguments: list[str], told: str) -> None:
    result = run("ledger", arguments[0], path, *arguments[1:])
    assert result.exit_code != 0
    assert told in str(result.exception) + result.stderr


def test_a_statement_is_a_page_and_a_csv_that_name_the_journal(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "anna.html"
    result = run("statement", "anna", "--ledger", path, "--month", "1971-02", "-o", out)
    assert result.exit_code == 0, result.output
    page, rows = out.read_text(), [*csv.DictReader(out.with_suffix(".csv").read_text().splitlines())]
    with Ledger.open(path) as ledger:
        assert ledger.log(14).root().hex() in page
    assert "Entries</dt><dd>9 to 14" in page
    assert "http" not in page.replace("http-equiv", "")
    (total,) = (row for row in rows if row["item"] == "total")
    assert Decimal(total["money_eur"]) == Decimal("0.072")
    days = [Decimal(row["money_eur"]) for row in rows if row["day"]]
    assert sum(days) == Decimal(total["money_eur"])
    again = run("statement", "anna", "--ledger", path, "--month", "1971-02", "-o", out)
    assert "exists already" in str(again.exception) + again.stderr


def test_a_page_is_the_same_after_a_correction_which_has_a_page_of_its_own(tmp_path: Path) -> None:
    pages = []
    for name, more in (("before", []), ("behind", CORRECTIONS)):
        path = ledger_at(tmp_path / f"{name}.db", tuple(journal(*SETTLED, *more)))
        out = tmp_path / f"{name}.html"
        assert run("statement", "anna", "--ledger", path, "--month", "1971-02", "-o", out).exit_code == 0
        pages.append((out.read_text(), out.with_suffix(".csv").read_text()))
    assert pages[0] == pages[1]
    out = tmp_path / "correction.html"
    result = run(
        "statement", "anna", "--ledger", path, "--month", "1971-02", "--corrections", "--after", "14", "-o", out
    )
    assert result.exit_code == 0, result.output
    assert "Correction, run 2" in out.read_text()
    assert "Entries</dt><dd>15 to 16" in out.read_text()


def test_a_range_of_entries_goes_with_corrections_only(path: Path) -> None:
    result = run("statement", "anna", "--ledger", path, "--month", "1971-02", "--after", "3")
    assert "go with --corrections only" in str(result.exception) + result.stderr


def test_lists_work_on_a_day_of_every_command(tmp_path: Path) -> None:
    path = ledger_at(tmp_path / "day.db", day.entries())
    for kind in ("trades", "settlements", "postings", "balances"):
        result = run("ledger", kind, path, "--format", "csv")
        assert result.exit_code == 0
        assert len(result.stdout.splitlines()) > 5


def test_metrics_of_an_export_are_those_of_its_ledger(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run("run", "village", "--slots", "4", "--no-report", "--out", out).exit_code == 0
    assert run("export", out / "ledger.db", "-o", tmp_path / "street.ndjson.gz").exit_code == 0
    for by in ("market", "group", "participant", "source"):
        for how in ("table", "csv", "json"):
            stored, exported = (
                run("ledger", "metrics", target, "--by", by, "--format", how)
                for target in (out / "ledger.db", tmp_path / "street.ndjson.gz")
            )
            assert stored.exit_code == 0, stored.output
            assert stored.stdout == exported.stdout
            assert stored.stdout
    told = run("ledger", "metrics", out / "ledger.db", "--by", "participant", "--format", "csv").stdout
    with (out / "participants.csv").open(newline="") as file:
        bills = {row["participant"]: float(row["bill"]) for row in csv.DictReader(file)}
    assert {row["participant"]: float(row["bill"]) for row in csv.DictReader(told.splitlines())} == bills


def test_factors_of_emissions_are_chosen_and_checked(path: Path) -> None:
    one, two = (
        json.loads(run("ledger", "metrics", path, "--format", "json", "--emissions", f"grid={grid}").stdout)
        for grid in (100, 200)
    )
    assert two["co2_kg"] > one["co2_kg"] > 0
    result = run("ledger", "metrics", path, "--emissions", "solar=much,wind=-3,grid=1")
    assert result.exit_code == 2
    assert "'solar=much'" in result.stderr
    assert "'wind=-3'" in result.stderr
