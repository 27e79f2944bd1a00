"""What is measured is really stored and really verified."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import ledger as bench
from market.events import Entry
from market.store import Ledger
from tests.market.conftest import server
from tests.market.server import Server

__all__ = ["server"]


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    return bench.village(300, tmp_path_factory.mktemp("village"))


def test_a_measurement_stores_every_entry_in_its_groups(entries: list[Entry], tmp_path: Path) -> None:
    turn = bench.append(entries, 7, tmp_path / "sevens.db")
    assert (turn.done, turn.commits) == (300, 43)
    with Ledger.open(tmp_path / "sevens.db") as stored:
        assert list(stored.entries()) == entries


def test_groups_of_one_end_at_a_bounded_number_of_commits(
    entries: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "MOST_COMMITS", 20)
    turn = bench.append(entries, 1, tmp_path / "ones.db")
    assert (turn.done, turn.commits) == (20, 20)


def test_a_ledger_that_fails_its_audit_has_no_rate(entries: list[Entry], tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "short.db") as short:
        short.append(entries[:200])
    assert bench.verify(tmp_path / "short.db", 200).done == 200
    with pytest.raises(RuntimeError, match="audit of 200 entries"):
        bench.verify(tmp_path / "short.db", 300)


def test_the_benchmark_compares_commits_with_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "SYNCS", 5)
    target = tmp_path / "figures.json"
    options = ["--entries", "300", "--groups", "50", "--repeat", "1", "--folder", str(tmp_path), "--json", str(target)]
    assert bench.main(options) == 0
    turns = json.loads(target.read_text(encoding="utf-8"))["turns"]
    assert set(turns) == {"fsync", "SQLite 50", "encode", "audit"}
    assert turns["SQLite 50"][0]["commits"] == 6
    assert "× fsync rate" in capsys.readouterr().out


def test_a_server_is_measured_beside_the_file(
    entries: list[Entry], tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "SYNCS", 5)
    found = bench.measure(entries, [50], 1, tmp_path, server)
    assert [turn.done for turn in found["PostgreSQL 50"]] == [300]
    assert "| PostgreSQL | 50 |" in bench.report(found)


def test_a_proof_of_the_benchmark_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "PROOFS", 5)
    assert "inclusion in 1,000 leaves: 320 bytes" in bench.proofs(1000, tmp_path / "proofs.db")


def test_a_growing_ledger_has_as_many_entries_as_asked_for(
    entries: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "STRETCHES", 4)
    assert bench.grow(entries, 1000, tmp_path).startswith("1,000 entries")
    with Ledger.open(tmp_path / "growing.db") as ledger:
        assert len(ledger) == 1000
