from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from market.audit import audit
from market.database import database_of
from market.events import Accepted, Entry
from market.ledger import LedgerError
from market.orders import Cancel, CreateMarket
from market.store import Ledger
from tests.market import day
from tests.market.day import FEEDER, SETTINGS, ledger_at

ENTRIES = day.entries()
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return ledger_at(tmp_path / "ledger.db", ENTRIES)


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)


def test_a_ledger_at_rest_is_one_file(path: Path) -> None:
    assert [file.name for file in path.parent.iterdir()] == ["ledger.db"]


def test_a_database_url_is_as_good_as_a_path(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'by url.db'}"
    with Ledger.create(url) as ledger:
        ledger.append(ENTRIES)
    with Ledger.open(url) as ledger:
        assert len(ledger) == len(ENTRIES)
    for wrong in ("mysql://host/market", "sqlite://", "://", "postgresql://host"):
        with pytest.raises(LedgerError, match="postgresql://USER@HOST/DATABASE"):
            Ledger.open(wrong)


def test_a_path_with_characters_of_a_url_is_a_path(tmp_path: Path) -> None:
    target = tmp_path / "a?b#c%20 d.db"
    ledger_at(target, ENTRIES)
    with Ledger.open(target) as ledger:
        assert len(ledger) == len(ENTRIES)


@pytest.mark.parametrize("statement", [
    "UPDATE journal SET body = x'00' WHERE seq = 3",
    "DELETE FROM journal WHERE seq = 3",
    "INSERT OR REPLACE INTO journal VALUES (3, x'00', x'00')",
    "UPDATE posting SET amount = 0",
    "DELETE FROM posting",
    "INSERT OR REPLACE INTO posting SELECT seq, line, account, asset, 0 FROM posting",
])  # fmt: skip
def test_the_database_refuses_to_change_or_delete(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()
    assert audit(path).ok


def test_commits_are_synced_to_the_disk(tmp_path: Path) -> None:
    engine = database_of(ledger_at(tmp_path / "ledger.db", ENTRIES)).connect("write")
    with engine.connect() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "journal_mode")]
    engine.dispose()
    assert found == [2, "wal"]


def test_a_ledger_opens_without_loading_what_only_migrations_and_tables_need(path: Path) -> None:
    code = """
import sys
from market.store import Ledger
Ledger.open(sys.argv[1]).close()
print(sorted({"alembic", "pandas", "numba"} & sys.modules.keys()))
"""
    assert python(code, path).stdout == "[]\n"


def test_an_entry_that_somebody_else_stored_is_not_stored_twice(path: Path) -> None:
    more = Entry(len(ENTRIES) + 1, Cancel("anna", 1), (Accepted(),))
    with Ledger.open(path, readonly=False) as writer:
        connection = sqlite3.connect(path)
        connection.execute("INSERT INTO journal VALUES (?, x'00', x'00')", (more.seq,))
        connection.commit()
        connection.close()
        with pytest.raises(LedgerError, match="open it again"):
            writer.append([more])
    assert audit(path).first_bad == more.seq


def test_a_writer_in_another_process_is_noticed(path: Path) -> None:
    code = "import sys; from market.store import Ledger; Ledger.open(sys.argv[1], readonly=False)"
    with Ledger.open(path, readonly=False):
        result = python(code, path)
    assert result.returncode != 0
    assert "another process is writing" in result.stderr


def test_an_existing_file_is_never_overwritten(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    (tmp_path / "empty").touch()
    for target in (path, tmp_path / "empty"):
        with pytest.raises(LedgerError, match="exists already"):
            Ledger.create(target)
    assert path.read_bytes() == before


def spoilt(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def foreign(path: Path) -> None:
    path.unlink()
    spoilt(path, "CREATE TABLE trades(price)")


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda path: path.unlink(), "no such file"),
    (lambda path: (path.unlink(), path.mkdir()), "is a directory"),
    (lambda path: path.write_bytes(b""), "not an SQLite database"),
    (lambda path: path.write_text("seq;price\n1;2\n" * 99), "not an SQLite database"),
    (lambda path: os.truncate(path, 10), "not an SQLite database"),
    (cut_short, "damaged or cut short"),
    (lambda path: spoilt(path, "PRAGMA application_id = 7"), "not a ledger of Wattbook"),
    (foreign, "not a ledger of Wattbook"),
    (lambda path: spoilt(path, "DROP TABLE posting"), "table posting is missing"),
    (lambda path: spoilt(path, "UPDATE alembic_version SET version_num = '9999'"), "newer than .* update wattbook"),
    (lambda path: spoilt(path, "UPDATE alembic_version SET version_num = '0001'"), "run: wattbook db upgrade"),
    (lambda path: spoilt(path, "DROP TABLE alembic_version"), "run: wattbook db upgrade"),
])  # fmt: skip
def test_what_is_no_ledger_is_refused_with_its_name_and_a_way_out(
    path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(path)
    for readonly in (True, False):
        with pytest.raises(LedgerError, match=message) as caught:
            Ledger.open(path, readonly=readonly)
        assert str(path) in str(caught.value)


def test_a_ledger_cannot_be_made_where_there_is_no_directory(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no directory"):
        Ledger.create(tmp_path / "nowhere" / "ledger.db")


# Root may write anywhere, so the test becomes nobody, once everything is imported.
AS_NOBODY = """
import os, sys
import alembic.command, alembic.config, sqlalchemy.dialects.sqlite
from market.store import Ledger
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
"""


def test_a_read_only_directory_is_readable_and_refuses_writers() -> None:
    with TemporaryDirectory() as name:
        path = ledger_at(Path(name) / "ledger.db", ENTRIES)
        path.chmod(0o444)
        path.parent.chmod(0o555)
        read = python(AS_NOBODY + "print(sum(1 for _ in Ledger.open(sys.argv[1]).entries()))", path)
        write = python(AS_NOBODY + "Ledger.open(sys.argv[1], readonly=False)", path)
        create = python(AS_NOBODY + "Ledger.create(sys.argv[1] + '2')", path)
        left = [file.name for file in path.parent.iterdir()]
        path.parent.chmod(0o755)
    assert read.stdout == f"{len(ENTRIES)}\n", read.stderr
    assert "check the permissions" in write.stderr
    assert "Permission denied" in create.stderr
    assert left == ["ledger.db"]


def test_a_read_only_file_refuses_writers_at_once() -> None:
    with TemporaryDirectory() as name:
        path = ledger_at(Path(name) / "ledger.db", ENTRIES)
        path.chmod(0o444)
        path.parent.chmod(0o777)
        result = python(AS_NOBODY + "Ledger.open(sys.argv[1], readonly=False)", path)
        assert not path.with_name("ledger.db-writer").exists()
    assert "may not be written; check the permissions" in result.stderr


def long_journal(length: int) -> list[Entry]:
    fill = [Entry(seq, Cancel("x" * 60, 1), (Accepted(),)) for seq in range(2, length + 1)]
    return [Entry(1, CreateMarket(SETTINGS, FEEDER), (Accepted(),)), *fill]


@pytest.mark.parametrize("limit", ["pages", "size"])
def test_a_full_disk_is_reported_and_leaves_what_was_stored(tmp_path: Path, limit: str) -> None:
    path = tmp_path / "ledger.db"
    code = """
import resource, signal, sys
from market.ledger import LedgerError
from market.store import Ledger
from tests.market.test_store import long_journal
entries = long_journal(20_000)
ledger = Ledger.create(sys.argv[1])
ledger.append(entries[:100])
if sys.argv[2] == "pages":
    ledger._writer._connection.exec_driver_sql("PRAGMA max_page_count = 60")
    ledger._writer._connection.rollback()
else:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
try:
    ledger.append(entries[100:])
except LedgerError as error:
    print(error)
if sys.argv[2] == "pages":
    ledger._writer._connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    ledger._writer._connection.rollback()
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
ledger.append(entries[100:200])
ledger.close()
"""
    result = python(code, path, limit)
    assert result.returncode == 0, result.stderr
    assert str(path) in result.stdout
    assert "What was stored before is intact" in result.stdout
    with Ledger.open(path) as ledger:
        assert list(ledger.entries()) == long_journal(200)


def test_a_ledger_that_cannot_be_made_leaves_no_file(tmp_path: Path) -> None:
    code = """
import resource, sys
from market.store import Ledger
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
Ledger.create(sys.argv[1])
"""
    result = python(code, tmp_path / "ledger.db")
    assert "LedgerError" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_a_ledger_that_opens_and_holds_what_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    code = """
import sys
from market.store import Ledger
from tests.market.test_store import long_journal
entries = long_journal(400_000)
with Ledger.create(sys.argv[1]) as ledger:
    for first in range(0, len(entries), 5_000):
        ledger.append(entries[first:first + 5_000])
        print(first + 5_000, flush=True)
"""
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(3)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += map(int, writer.stdout.read().split())
    writer.wait()
    writer.stdout.close()
    assert writer.returncode == -signal.SIGKILL
    with Ledger.open(path, readonly=False) as ledger:
        stored = len(ledger)
        assert stored in (acknowledged[-1], acknowledged[-1] + 5_000)
        assert list(ledger.entries()) == long_journal(stored)
        ledger.append([Entry(stored + 1, Cancel("anna", 1), (Accepted(),))])
