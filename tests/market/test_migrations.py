from __future__ import annotations

import gzip
import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from market import journal, schema
from market.audit import CHECKS, audit
from market.database import database_of
from market.events import Entry
from market.ledger import LedgerError
from market.merkle import Tree
from market.orders import Cancel
from market.store import Ledger, current, downgrade, upgrade
from tests.market import day
from tests.market.day import ledger_at

CASES = Path(__file__).parent.parent / "cases" / "ledger"
OLD_ENTRIES = "832735f435fc96763fd760dc0251ef268b725906c2ee20bc3caeae567f41e23c"
LATER = {"checkpoint", "tile", "verifier", "participant", "token"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return ledger_at(tmp_path / "ledger.db", day.entries())


def tree_of(bodies: list[bytes]) -> Tree:
    tree = Tree()
    tree.extend([journal.leaf(body) for body in bodies])
    return tree


def tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    return names


def test_head_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


def test_a_new_ledger_is_at_head_and_has_the_columns_that_the_code_knows(path: Path) -> None:
    assert current(path) == schema.HEAD
    engine = database_of(path).connect("read")
    found = sa.MetaData()
    found.reflect(engine)
    engine.dispose()
    for name, table in schema.metadata.tables.items():
        assert [column.name for column in found.tables[name].columns] == [column.name for column in table.columns]
        assert not any(column.nullable for column in found.tables[name].columns)
    assert found.tables.keys() == schema.metadata.tables.keys() | LATER | {"alembic_version"}


def test_down_and_up_again_keeps_every_entry_and_posting(path: Path) -> None:
    downgrade(path, "0001")
    assert current(path) == "0001"
    assert tables(path) == {"journal", "posting", "alembic_version"}
    with pytest.raises(LedgerError, match="run: wattbook db upgrade"):
        Ledger.open(path)
    upgrade(path)
    assert current(path) == schema.HEAD
    assert tables(path) >= LATER
    report = audit(path)
    assert (report.ok, report.entries) == (True, len(day.entries()))


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_a_ledger_of_an_earlier_schema_keeps_every_entry_gets_its_tiles_and_audits(
    tmp_path: Path, revision: str
) -> None:
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress((CASES / f"schema_{revision}.db.gz").read_bytes()))
    assert current(path) == revision
    upgrade(path)
    with Ledger.open(path) as ledger:
        bodies = [body for _, body, _ in ledger.bodies()]
        assert sha256(b"\n".join(bodies)).hexdigest() == OLD_ENTRIES
        assert [row[:2] for row in ledger.tiles(0)] == [(0, 0)]
        assert ledger.log().root() == ledger.log().tree().root() == tree_of(bodies).root()
    report = audit(path)
    assert report.entries == 404
    assert report.ok
    # The rules of matching have changed since: that is said, and nothing else is left unproved.
    assert CHECKS["replay"] not in report.proved
    assert CHECKS["conservation"] in report.proved
    assert any("version 1 of its rules" in text for text in report.not_provable)


def test_tiles_are_filled_anew_when_the_schema_comes_up_again(path: Path) -> None:
    with Ledger.open(path, readonly=False) as ledger:
        ledger.append([Entry(seq, Cancel("anna", 1), ()) for seq in range(len(ledger) + 1, 70_000)])
        before = [ledger.tiles(level) for level in range(3)]
    assert [len(tiles) for tiles in before] == [273, 1, 0]
    downgrade(path, "0002")
    upgrade(path)
    with Ledger.open(path) as ledger:
        assert [ledger.tiles(level) for level in range(3)] == before


def test_upgrading_the_newest_schema_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    upgrade(f"sqlite:///{path}", "head")
    assert path.read_bytes() == before


def test_a_journal_with_entries_is_never_dropped(path: Path) -> None:
    with pytest.raises(LedgerError, match="never dropped"):
        downgrade(path, "base")
    assert current(path) == schema.HEAD
    assert audit(path).ok


def test_a_table_with_rows_is_never_dropped(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO checkpoint VALUES (1, 'signed')")
    connection.commit()
    connection.close()
    with pytest.raises(LedgerError, match="not empty, so not dropped: checkpoint"):
        downgrade(path, "0001")
    assert current(path) == schema.HEAD


def test_an_empty_ledger_goes_down_to_nothing_and_up_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger.create(path).close()
    downgrade(path, "base")
    assert current(path) is None
    assert tables(path) == {"alembic_version"}
    upgrade(path)
    with Ledger.open(path, readonly=False) as ledger:
        ledger.append(day.entries())
    assert audit(path).ok


def test_an_unknown_revision_is_refused(path: Path) -> None:
    with pytest.raises(LedgerError, match="9999"):
        upgrade(path, "9999")
    with pytest.raises(LedgerError, match="9999"):
        downgrade(path, "9999")


def test_a_foreign_file_is_not_migrated(tmp_path: Path) -> None:
    foreign, text = tmp_path / "foreign.db", tmp_path / "notes.txt"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE trades(price)")
    connection.close()
    text.write_text("this is no database at all")
    for target in (foreign, text, tmp_path / "missing.db"):
        before = target.read_bytes() if target.exists() else None
        for act in (upgrade, current, lambda path: downgrade(path, "base")):
            with pytest.raises(LedgerError, match=target.name):
                act(target)
        assert (target.read_bytes() if target.exists() else None) == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["foreign.db", "notes.txt"]
