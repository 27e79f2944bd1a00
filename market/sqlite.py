"""A ledger in one SQLite file: the embedded database, and the default."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from market.database import APPLICATION, DAMAGED, Database, Mode
from market.ledger import LedgerError

VARIABLES = 1000
"""Values in a full statement: enough to leave the interpreter to others for a while, few enough to be quick to bind."""


def append_only(table: str, key: Sequence[str]) -> list[str]:
    """Statements that make SQLite refuse to change or delete rows of `table`, known by the columns of its key.

    An INSERT OR REPLACE deletes without asking the DELETE trigger, hence the third one.
    """
    same = " AND ".join(f"{column} = NEW.{column}" for column in key)
    exists = f"EXISTS (SELECT 1 FROM {table} WHERE {same})"  # noqa: S608 (names of ours)
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    return [
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {exists} {refuse}",
    ]


def changeable(table: str, key: Sequence[str]) -> list[str]:
    """Statements that take `append_only` back."""
    return [f"DROP TRIGGER {statement.split()[2]}" for statement in append_only(table, key)]


class SQLiteFile(Database):
    """A file. Its write-ahead log lies beside it while it is open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)

    def require(self) -> None:
        with self.explained():
            if not self.path.exists():
                raise LedgerError(f"{self.name}: no such file; `wattbook run` makes a ledger")
            if self.path.is_dir():
                raise LedgerError(f"{self.name}: is a directory; name the ledger file in it")
            with self.path.open("rb") as file:
                head = file.read(16)
        if head != b"SQLite format 3\0":
            raise LedgerError(f"{self.name}: is not a ledger (not an SQLite database); check the path")

    def connect(self, mode: Mode) -> sa.Engine:
        """Writers begin with the option `writes`, so that they wait for each other before they read."""
        readonly = mode == "read"
        uri = f"{self.path.absolute().as_uri()}?{self._mode(readonly)}"

        def open_file() -> sqlite3.Connection:
            if not readonly:
                return _opened(uri, "journal_mode = WAL", "synchronous = FULL")
            try:
                connection = _opened(uri, "query_only = ON")
                connection.execute("SELECT count(*) FROM sqlite_master")
            except sqlite3.OperationalError as error:
                # A full disk has no room for the index of a log. If nobody writes there is no log, so none is needed.
                if not error.sqlite_errorname.startswith(_NO_ROOM) or self._in_use():
                    raise
                connection.close()
                return _opened(f"{self.path.absolute().as_uri()}?mode=ro&immutable=1", "query_only = ON")
            return connection

        engine = sa.create_engine("sqlite://", creator=open_file, poolclass=sa.QueuePool)

        @sa.event.listens_for(engine, "begin")
        def begin(connection: sa.Connection) -> None:
            writes = connection.get_execution_options().get("writes", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def reason(self, error: BaseException | None) -> str:
        name = getattr(error, "sqlite_errorname", "") or ""
        for prefix, reason in _REASONS.items():
            if name.startswith(prefix):
                return f"{reason} ({error})"
        return f"the database refused: {error}"

    def is_ledger(self, connection: sa.Connection) -> bool:
        return bool(connection.exec_driver_sql("PRAGMA application_id").scalar_one() == APPLICATION)

    def made(self) -> Callable[[], None]:
        with self.explained():
            if not self.path.parent.is_dir():
                raise LedgerError(f"{self.name}: there is no directory {self.path.parent}; create it first")
            try:
                self.path.touch(exist_ok=False)
            except FileExistsError as error:
                raise LedgerError(
                    f"{self.name}: exists already; choose another path, or delete it if you can do without"
                ) from error

        def unmake() -> None:
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

        return unmake

    def mark(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION}")

    def lock(self, connection: sa.Connection) -> Callable[[], None]:
        """A lock beside the file that dies with its process, so a crash leaves none behind.

        It is an empty SQLite file held in an exclusive transaction, the one lock that every platform gives.
        """
        path = self.path.with_name(self.path.name + "-writer")
        with self.explained():
            held = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                held.execute("BEGIN EXCLUSIVE")
            except sqlite3.Error:
                held.close()
                raise

        def release() -> None:
            held.close()
            path.unlink(missing_ok=True)

        return release

    def alive(self, connection: sa.Connection) -> bool:
        return True

    def insert(self, connection: sa.Connection, table: sa.Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Many rows a statement: the interpreter's lock is free while SQLite carries one out."""
        driver: Any = connection.connection.driver_connection
        places = "(" + ", ".join("?" * len(table.columns)) + ")"
        most = VARIABLES // len(table.columns)
        for start in range(0, len(rows), most):
            part = rows[start : start + most]
            statement = f"INSERT INTO {table.name} VALUES {', '.join([places] * len(part))}"  # noqa: S608 (ours)
            driver.execute(statement, list(chain.from_iterable(part)))

    def missing_guards(self, connection: sa.Connection, tables: Mapping[str, Sequence[str]]) -> list[str]:
        rows = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE type = 'trigger'")
        stored = {row[0] for row in rows}
        wanted = [statement for table, key in tables.items() for statement in append_only(table, key)]
        return sorted(statement.split()[2] for statement in wanted if statement not in stored)

    @contextmanager
    def explained(self) -> Iterator[None]:
        try:
            with super().explained():
                yield
        except sqlite3.Error as error:
            raise LedgerError(f"{self.name}: {self.reason(error)}") from error

    def _mode(self, readonly: bool) -> str:
        path = self.path
        if not readonly:
            if not os.access(path, os.W_OK):
                raise LedgerError(f"{self.name}: {_REASONS['SQLITE_READONLY']}")
            return "mode=rw"
        if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
            return "mode=rw"  # also to read: the last one out tidies up the write-ahead log, which `ro` may not
        if os.access(path.parent, os.W_OK) or self._pending():
            return "mode=ro"
        # Readers keep an index of the log beside the file; where they may not, nobody writes and there is no log.
        return "mode=ro&immutable=1"

    def _in_use(self) -> bool:
        """Whether somebody writes, or left something in a write-ahead log."""
        return self._pending() or self.path.with_name(self.path.name + "-writer").exists()

    def _pending(self) -> bool:
        """Whether a write-ahead log with entries lies beside the file."""
        log = self.path.with_name(self.path.name + "-wal")
        return log.exists() and log.stat().st_size > 0


def _opened(uri: str, *settings: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
    for setting in ("busy_timeout = 5000", "foreign_keys = ON", *settings):
        connection.execute(f"PRAGMA {setting}")
    return connection


_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN")
_REASONS = {
    "SQLITE_FULL": "the disk is full; free some space and try again. What was stored before is intact",
    "SQLITE_IOERR": "the disk failed to write or read (full, over quota?). What was stored before is intact",
    "SQLITE_READONLY": "may not be written; check the permissions of the file and its directory",
    "SQLITE_CANTOPEN": "cannot be opened; check the permissions of the file and its directory",
    "SQLITE_BUSY": "another process is writing to it; wait for it or stop it",
    "SQLITE_LOCKED": "another process is writing to it; wait for it or stop it",
    "SQLITE_CONSTRAINT": "another process has stored these entries meanwhile; open it again and go on from there",
    "SQLITE_NOTADB": "is not a ledger (not an SQLite database); check the path",
    "SQLITE_CORRUPT": DAMAGED,
}
