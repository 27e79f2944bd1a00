"""Commands about a ledger that a server keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from api.errors import Exit
from market.schema import HEAD
from tests.market.conftest import server
from tests.market.server import Server

__all__ = ["server"]


def wattbook(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="wattbook")


@pytest.fixture
def url(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("WATTBOOK_DATABASE_URL", raising=False)
    return server.database()


def test_a_run_keeps_its_ledger_where_it_is_told(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = wattbook("run", "street", "--slots", "2", "--out", tmp_path, "--db", url)
    assert result.exit_code == Exit.OK, result.stderr
    assert f"wattbook audit {url}" in result.stdout
    assert not (tmp_path / "ledger.db").exists()
    assert url in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert wattbook("report", tmp_path).exit_code == Exit.INPUT
    assert wattbook("report", tmp_path, "--db", url).exit_code == Exit.OK
    monkeypatch.setenv("WATTBOOK_DATABASE_URL", url)
    for command in ("audit", "replay"):
        assert wattbook(command).exit_code == Exit.OK
    again = wattbook("run", "street", "--slots", "2", "--out", tmp_path / "again", "--db", url)
    assert again.exit_code == Exit.INPUT
    assert "exists already" in again.stderr


def test_a_ledger_is_made_and_its_schema_shown(url: str) -> None:
    assert "an empty ledger" in wattbook("db", "create", url).stdout
    assert wattbook("db", "downgrade", url, "0002").stdout == f"{url}: schema {HEAD} is now 0002\n"
    assert wattbook("db", "current", url).stdout == f"0002 (newest: {HEAD})\n"
    assert wattbook("db", "upgrade", url).stdout == f"{url}: schema 0002 is now {HEAD}\n"


def test_a_server_that_does_not_answer_is_one_line_and_no_secret() -> None:
    result = wattbook("audit", "postgresql://owner:hunter2@127.0.0.1:1/market")
    assert result.exit_code == Exit.ENVIRONMENT
    assert len(result.stderr.strip().splitlines()) == 1
    assert "cannot be reached" in result.stderr
    assert "hunter2" not in result.stderr
