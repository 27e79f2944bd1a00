"""What a ledger asks of the database that keeps it. SQLite and PostgreSQL answer in modules of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from market.ledger import LedgerError

APPLICATION = 0x57415454
"""The mark of a ledger: "WATT". SQLite's application_id; in PostgreSQL the key of the writer's lock."""

DAMAGED = "is damaged or cut short; restore it from a copy, or audit it to see what is left"


class LostError(LedgerError):
    """The connection to the database is gone: what was to be stored last is stored in full or not at all.

    To write the same again is safe, now or later: the writer connects anew and looks what is there.
    """


Mode = Literal["read", "write", "own"]
"""What a connection is for: reading, appending, or changing the schema."""


class Database(ABC):
    """One place where a ledger may be: a file, or a database of a server."""

    name: str
    """What messages call it: a path, or a URL without its password."""

    @abstractmethod
    def require(self) -> None:
        """Raises LedgerError unless there is something that can be asked whether it is a ledger."""

    @abstractmethod
    def connect(self, mode: Mode) -> sa.Engine:
        """Engine of what exists. A commit of a writer is on the disk when it returns. Raises LedgerError."""

    @abstractmethod
    def reason(self, error: BaseException | None) -> str:
        """What the database or the disk refused, and what to do, in one sentence."""

    @abstractmethod
    def is_ledger(self, connection: sa.Connection) -> bool:
        """Whether a ledger was made here, of whatever version."""

    @abstractmethod
    def made(self) -> Callable[[], None]:
        """Make room for a new ledger; returns what takes it away again. Raises LedgerError if something is there."""

    @abstractmethod
    def mark(self, connection: sa.Connection) -> None:
        """Mark what was migrated over this connection as a ledger."""

    @abstractmethod
    def lock(self, connection: sa.Connection) -> Callable[[], None]:
        """Become the one writer, over this connection; returns what ends it. Raises LedgerError if there is one."""

    @abstractmethod
    def alive(self, connection: sa.Connection) -> bool:
        """Whether the connection, and with it the writer's lock, still stands after a failure."""

    @abstractmethod
    def insert(self, connection: sa.Connection, table: sa.Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows whose values are in the order of the table's columns."""

    @abstractmethod
    def missing_guards(self, connection: sa.Connection, tables: Mapping[str, Sequence[str]]) -> list[str]:
        """Names of the triggers that keep tables append-only, but are gone or say something else.

        `tables` are named with the columns of their keys.
        """

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns what the database or the disk refuses into a LedgerError that names the ledger and the fix."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise LedgerError(f"{self.name}: {self.reason(error.orig)}") from error
        except UnicodeDecodeError as error:
            raise LedgerError(f"{self.name}: {DAMAGED} ({error})") from error
        except OSError as error:
            raise LedgerError(f"{self.name}: {error.strerror or error}") from error


class Writer:
    """The one connection that writes to a ledger, and the lock that makes it the only one."""

    def __init__(self, database: Database, engine: sa.Engine) -> None:
        """Raises LedgerError if another writer has the ledger, or it may not be written."""
        self._database = database
        self.lost = False
        """The connection is gone, and with it the lock; another writer must be made."""
        with database.explained():
            self._connection = engine.connect().execution_options(writes=True)
        try:
            self._release = database.lock(self._connection)
        except BaseException:
            self._connection.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A transaction that is on the disk when it ends, or is undone by an exception.

        Raises LedgerError; LostError if its outcome cannot be known, because the connection is gone.
        """
        try:
            with self._database.explained(), self._connection.begin():
                yield self._connection
        except LedgerError as error:
            self.lost = not self._database.alive(self._connection)
            if self.lost:
                raise LostError(str(error)) from error
            raise

    def close(self) -> None:
        """Let another one write."""
        try:
            if not self.lost:
                self._release()
        finally:
            self._connection.close()


def database_of(target: str | Path) -> Database:
    """The database of a path or URL. Raises LedgerError for one that is neither SQLite nor PostgreSQL."""
    from market.sqlite import SQLiteFile

    if isinstance(target, Path) or "://" not in target:
        return SQLiteFile(Path(target))
    try:
        url = sa.make_url(target)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise LedgerError(f"{target}: not a database URL; {_FORMS}") from error
    backend = url.drivername.partition("+")[0]
    if backend == "sqlite" and url.database:
        return SQLiteFile(Path(url.database))
    if backend in ("postgresql", "postgres"):
        from market.postgres import PostgresDatabase

        return PostgresDatabase(url)
    raise LedgerError(f"{url.render_as_string()}: ledgers are kept in SQLite or PostgreSQL; {_FORMS}")


_FORMS = "write a path, sqlite:///PATH or postgresql://USER@HOST/DATABASE"
