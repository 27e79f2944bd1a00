"""A run by the command line: what it leaves, what it refuses to overwrite, and how it ends when it must stop."""

from __future__ import annotations

import errno
import json
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agents import MarketModel
from api import report, report_data
from api.cli import app
from api.digest import seal
from api.errors import Exit
from api.report_page import page
from market.ledger import LedgerError
from market.store import Ledger

SHORT = ("village", "--slots", "3", "--seed", "5")
QUIET = ("street", "--slots", "2")
"""A night without wind or battery: nobody has anything to sell."""
FILES = {
    "ledger.db", "scenario.yaml", "feeder.json", "trades.csv", "slots.csv", "participants.csv", "limited.csv",
    "depth.csv", "grid.npz", "summary.json", "report.html",
}  # fmt: skip


def wattbook(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="wattbook")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("runs") / "village"
    return folder, wattbook("run", *SHORT, "--out", folder)


def test_a_run_leaves_everything_and_says_where(finished: tuple[Path, Result]) -> None:
    folder, result = finished
    assert result.exit_code == 0, result.output
    assert {path.name for path in folder.iterdir()} >= FILES
    assert str(folder / "report.html") in result.stdout
    assert f"wattbook audit {folder / 'ledger.db'}" in result.stdout


def test_the_summary_has_the_figures_of_the_run(finished: tuple[Path, Result]) -> None:
    folder, result = finished
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["seed"] == 5
    assert summary["slots"] == 3
    assert f"{summary['energy']['local_kwh']:.1f} kWh" in result.stdout.replace("\u202f", ",")
    for group in summary["groups"]:
        assert group in result.stdout


def test_a_run_without_a_single_trade_is_told_as_well(tmp_path: Path) -> None:
    result = wattbook("run", *QUIET, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "summary.json").read_text())["energy"]["trades"] == 0
    assert (tmp_path / "report.html").stat().st_size > 1_000_000


def test_without_a_terminal_progress_is_lines(finished: tuple[Path, Result]) -> None:
    _, result = finished
    assert "slot 3 of 3: " in result.stderr
    assert "orders/s" in result.stderr
    assert "\x1b" not in result.output


def test_with_the_gate_off_there_is_nothing_to_compare_it_with(tmp_path: Path) -> None:
    result = wattbook("run", "congested", "--slots", "1", "--gate", "off", "--out", tmp_path, "--no-report")
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["gate"] == "off"
    assert "gate_off" not in summary
    assert "without_local_trading" in summary


def test_its_ledger_is_sound_and_replays_with_the_gate_asked_again(finished: tuple[Path, Result]) -> None:
    folder, _ = finished
    for command in (["audit"], ["replay"], ["replay", "--recheck"], ["audit", "--recheck"]):
        result = wattbook(*command, folder / "ledger.db")
        assert result.exit_code == 0, result.output


def test_the_report_shows_the_root_that_the_audit_prints(finished: tuple[Path, Result]) -> None:
    folder, _ = finished
    root = seal(folder / "ledger.db").root
    assert root in (folder / "report.html").read_text()
    assert root in wattbook("audit", folder / "ledger.db").stdout


def test_energy_in_equals_energy_out_in_every_step_of_the_report(finished: tuple[Path, Result]) -> None:
    folder, _ = finished
    html = (folder / "report.html").read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    balance = json.loads(found[1])["balance"]
    totals = [
        [sum(column) for column in zip(*(row["kwh"] for row in balance[side]), strict=True)] for side in ("in", "out")
    ]
    assert len(totals[0]) == 3
    assert totals[0] == pytest.approx(totals[1], abs=1e-3)


def test_a_long_run_is_shown_in_blocks_that_keep_every_sum(
    finished: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = report.read(finished[0])
    whole = report_data.report_data(run)
    monkeypatch.setattr(report_data, "MOST_STEPS", 2)
    blocks = report_data.report_data(run)
    assert len(whole["times"]) == 3
    assert len(blocks["times"]) == len(blocks["map"]["runs"][0]["u"]) == len(blocks["refused"]["slots"]) == 2
    assert "2 slots" in blocks["headline_note"]
    assert sum(blocks["volume"]["local"]) == pytest.approx(sum(whole["volume"]["local"]))
    assert max(blocks["compare"][0]["loading"]) == max(whole["compare"][0]["loading"])
    assert page(blocks)
    monkeypatch.setattr(report_data, "MOST_STATES", 1)
    assert len(report_data.report_data(run)["times"]) == 1


def test_an_audit_of_a_changed_ledger_exits_with_1(finished: tuple[Path, Result], tmp_path: Path) -> None:
    import shutil
    import sqlite3

    folder, _ = finished
    path = tmp_path / "changed.db"
    shutil.copy(folder / "ledger.db", path)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER posting_no_update")
        connection.execute("UPDATE posting SET amount = amount + 1 WHERE seq = (SELECT max(seq) FROM posting)")
    connection.close()
    result = wattbook("audit", path)
    assert result.exit_code == Exit.FINDING
    assert "the first bad entry is" in result.stderr
    assert "posting" in result.stdout


def test_the_report_can_be_written_again_and_is_the_same(finished: tuple[Path, Result]) -> None:
    folder, _ = finished
    before = (folder / "report.html").read_bytes()
    result = wattbook("report", folder)
    assert result.exit_code == 0, result.output
    assert (folder / "report.html").read_bytes() == before


def test_a_folder_with_a_ledger_is_refused_unless_forced(tmp_path: Path) -> None:
    assert wattbook("run", *SHORT, "--out", tmp_path, "--no-report").exit_code == 0
    root = seal(tmp_path / "ledger.db").root
    assert not (tmp_path / "report.html").exists()
    refused = wattbook("run", *SHORT, "--out", tmp_path)
    assert refused.exit_code == Exit.INPUT
    assert "--force" in refused.stderr
    other = (*SHORT[:-1], "6")
    assert wattbook("run", *other, "--out", tmp_path, "--no-report", "--force").exit_code == 0
    assert seal(tmp_path / "ledger.db").root != root


def test_folders_of_their_own_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from api.commands.run import choose_folder

    monkeypatch.chdir(tmp_path)
    found = [choose_folder("street", 5, None, False) for _ in range(3)]
    assert [path.name for path in found] == ["street-seed5", "street-seed5-2", "street-seed5-3"]
    assert choose_folder("street", 5, None, True).name == "street-seed5"


def test_force_removes_only_what_a_run_writes(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "data.csv").write_text("mine too")
    assert wattbook("run", *SHORT, "--out", tmp_path, "--no-report", "--force").exit_code == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "data.csv").read_text() == "mine too"


def test_an_interrupted_run_keeps_its_complete_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = MarketModel._trade_until

    def interrupted(model: MarketModel, *arguments: Any) -> Any:
        if model.steps == 2:
            raise KeyboardInterrupt
        return real(model, *arguments)

    monkeypatch.setattr(MarketModel, "_trade_until", interrupted)
    result = wattbook("run", *SHORT, "--out", tmp_path)
    assert result.exit_code == Exit.INTERRUPTED
    assert f"wattbook audit {tmp_path / 'ledger.db'}" in result.stderr
    assert "Traceback" not in result.output
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        assert len(ledger) > 0
    assert wattbook("audit", tmp_path / "ledger.db").exit_code == 0
    unfinished = wattbook("report", tmp_path)
    assert unfinished.exit_code == Exit.INPUT
    assert "not finished" in unfinished.stderr


def test_a_stop_that_a_callback_swallowed_ends_the_run_after_its_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = MarketModel._trade_until

    def stopped(model: MarketModel, *arguments: Any) -> Any:
        if model.steps == 2:
            with suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        return real(model, *arguments)

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(MarketModel, "_trade_until", stopped)
    result = wattbook("run", *SHORT, "--out", tmp_path)
    assert result.exit_code == Exit.INTERRUPTED
    assert "slot 2 of 3: " in result.stderr
    assert "slot 3 of 3: " not in result.stderr
    assert wattbook("audit", tmp_path / "ledger.db").exit_code == 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_full_disk_is_one_line_and_code_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise LedgerError("ledger.db: the disk is full") from OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Ledger, "append", full)
    result = wattbook("run", *SHORT, "--out", tmp_path)
    assert result.exit_code == Exit.ENVIRONMENT
    assert result.stderr.strip().splitlines()[-1] == "wattbook: ledger.db: the disk is full"


def test_bad_scenarios_are_told_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: bad\ntime: {start: 2016-06-08}\ngrid: {network: street}\nparticipants: []\nfoo: 1\n")
    result = wattbook("run", path, "--out", tmp_path / "out")
    assert result.exit_code == Exit.INPUT
    assert len(result.stderr.strip().splitlines()) >= 2
    assert all(line.startswith("wattbook: bad.yaml: ") for line in result.stderr.strip().splitlines())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["vilage"], "village"),
        (["nowhere.yaml"], "nowhere.yaml"),
        (["street", "--slots", "2", "--days", "1"], "--days"),
    ],
)
def test_mistakes_in_the_command_are_named(arguments: list[str], named: str, tmp_path: Path) -> None:
    result = wattbook("run", *arguments, "--out", tmp_path / "out")
    assert result.exit_code == Exit.INPUT
    assert named in result.stderr
    assert "Traceback" not in result.stderr


def test_reports_need_the_folder_of_a_run(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        result = wattbook("report", folder)
        assert result.exit_code == Exit.INPUT
        assert folder.name in result.stderr
