"""The ledger's file and schema: its engine, its versions, and whether a file is a ledger at all.

SQLite is the one database so far. What depends on it is here and in `append_only`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from market.ledger import LedgerError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0003"
"""The newest revision in migrations/versions, known here so that opening a ledger need not import Alembic."""
APPLICATION = 0x57415454
"""SQLite's application_id of a ledger: "WATT"."""
MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"

metadata = sa.MetaData()
journal = sa.Table(
    "journal",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("leaf", sa.LargeBinary, nullable=False),
)
posting = sa.Table(
    "posting",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("line", sa.BigInteger, primary_key=True),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("asset", sa.Text, nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
)
tile = sa.Table(
    "tile",
    metadata,
    sa.Column("level", sa.BigInteger, primary_key=True),
    sa.Column("position", sa.BigInteger, primary_key=True),
    sa.Column("hashes", sa.LargeBinary, nullable=False),
)
checkpoint = sa.Table(
    "checkpoint",
    metadata,
    sa.Column("size", sa.BigInteger, primary_key=True),
    sa.Column("note", sa.Text, nullable=False),
)
verifier = sa.Table(
    "verifier",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
)
APPEND_ONLY = {
    "journal": ("seq",),
    "posting": ("seq", "line"),
    "tile": ("level", "position"),
    "checkpoint": ("size",),
    "verifier": ("number",),
}
"""Tables that are only ever added to, and their primary keys."""


def append_only(table: str, dialect: str) -> list[str]:
    """Statements that make the database refuse to change or delete rows of `table`. Raises NotImplementedError.

    An INSERT OR REPLACE deletes without asking the DELETE trigger, hence the third one.
    """
    if dialect != "sqlite":
        raise NotImplementedError(f"append-only triggers are not written for {dialect} yet")
    key = " AND ".join(f"{column} = NEW.{column}" for column in APPEND_ONLY[table])
    exists = f"EXISTS (SELECT 1 FROM {table} WHERE {key})"  # noqa: S608 (names of ours)
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    return [
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {exists} {refuse}",
    ]


def triggers() -> dict[str, str]:
    """Name and statement of every trigger that keeps a ledger append-only."""
    statements = [statement for table in APPEND_ONLY for statement in append_only(table, "sqlite")]
    return {statement.split()[2]: statement for statement in statements}


def file_of(target: str | Path) -> Path:
    """Path of the ledger file of a path or an SQLite URL. Raises LedgerError for another database."""
    if isinstance(target, str) and "://" in target:
        try:
            url = sa.make_url(target)
        except sa.exc.ArgumentError as error:
            raise LedgerError(f"{target}: not a database URL; write a path or sqlite:///PATH") from error
        if url.get_backend_name() != "sqlite" or not url.database:
            raise LedgerError(f"{target}: ledgers are SQLite files so far; write a path or sqlite:///PATH")
        return Path(url.database)
    return Path(target)


def connect(path: Path, *, readonly: bool) -> sa.Engine:
    """Engine of an existing file. Writers begin with the option `writes`, and a commit is on the disk.

    Raises LedgerError if a writer may not write.
    """
    if not readonly and not os.access(path, os.W_OK):
        raise LedgerError(f"{path}: {_REASONS['SQLITE_READONLY']}")
    if not readonly or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        mode = "mode=rw"  # also to read: the last one out tidies up the write-ahead log, which `ro` may not
    elif os.access(path.parent, os.W_OK) or _pending(path):
        mode = "mode=ro"
    else:
        # Readers keep an index of the log beside the file; where they may not, nobody writes and there is no log.
        mode = "mode=ro&immutable=1"
    uri = f"{path.absolute().as_uri()}?{mode}"

    def open_file() -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.execute("PRAGMA foreign_keys = ON")
        if readonly:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        return connection

    engine = sa.create_engine("sqlite://", creator=open_file, poolclass=sa.QueuePool)

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what the database or the disk refuses into a LedgerError that names the file and the fix."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise LedgerError(f"{path}: {_reason(error.orig)}") from error
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: {_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise LedgerError(f"{path}: {_REASONS['SQLITE_CORRUPT']} ({error})") from error
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror or error}") from error


_REASONS = {
    "SQLITE_FULL": "the disk is full; free some space and try again. What was stored before is intact",
    "SQLITE_IOERR": "the disk failed to write or read (full, over quota?). What was stored before is intact",
    "SQLITE_READONLY": "may not be written; check the permissions of the file and its directory",
    "SQLITE_CANTOPEN": "cannot be opened; check the permissions of the file and its directory",
    "SQLITE_BUSY": "another process is writing to it; wait for it or stop it",
    "SQLITE_LOCKED": "another process is writing to it; wait for it or stop it",
    "SQLITE_CONSTRAINT": "another process has stored these entries meanwhile; open it again and go on from there",
    "SQLITE_NOTADB": "is not a ledger (not an SQLite database); check the path",
    "SQLITE_CORRUPT": "is damaged or cut short; restore it from a copy, or audit it to see what is left",
}


def _reason(error: BaseException | None) -> str:
    name = getattr(error, "sqlite_errorname", "") or ""
    for prefix, reason in _REASONS.items():
        if name.startswith(prefix):
            return f"{reason} ({error})"
    return f"the database refused: {error}"


def _pending(path: Path) -> bool:
    """Whether a write-ahead log with entries lies beside the file."""
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0


class WriterLock:
    """One writer per ledger: a lock beside the file that dies with its process, so a crash leaves none behind.

    It is an empty SQLite file held in an exclusive transaction, the one lock that every platform gives.
    Raises LedgerError if another writer holds it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + "-writer")
        with explained(path):
            self._held = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                self._held.execute("BEGIN EXCLUSIVE")
            except sqlite3.Error:
                self._held.close()
                raise

    def release(self) -> None:
        self._held.close()
        self._path.unlink(missing_ok=True)


def check(path: Path) -> None:
    """Raises LedgerError unless the file is a ledger of the schema that this version reads and writes."""
    with _reading(path) as connection:
        tables = set(sa.inspect(connection).get_table_names())
        revision = _revision(connection)
    if revision is None or revision < HEAD:
        raise LedgerError(f"{path}: has schema {revision}, this version needs {HEAD}; run: wattbook db upgrade {path}")
    if revision > HEAD:
        raise LedgerError(f"{path}: has schema {revision}, newer than {HEAD} of this version; update wattbook")
    absent = metadata.tables.keys() - tables
    if absent:
        raise LedgerError(f"{path}: table {', '.join(sorted(absent))} is missing; restore the file from a copy")


@contextmanager
def _reading(path: Path) -> Iterator[sa.Connection]:
    """A connection that changes nothing, to a file that is a ledger of any schema. Raises LedgerError."""
    require_file(path)
    engine = connect(path, readonly=True)
    try:
        with explained(path), engine.connect() as connection:
            if connection.exec_driver_sql("PRAGMA application_id").scalar_one() != APPLICATION:
                raise LedgerError(f"{path}: is a database, but not a ledger of Wattbook; check the path")
            yield connection
    finally:
        engine.dispose()


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return revision


def require_file(path: Path) -> None:
    """Raises LedgerError unless `path` is a file that begins like an SQLite database."""
    with explained(path):
        if not path.exists():
            raise LedgerError(f"{path}: no such file; `wattbook run` makes a ledger")
        if path.is_dir():
            raise LedgerError(f"{path}: is a directory; name the ledger file in it")
        with path.open("rb") as file:
            head = file.read(16)
    if head != b"SQLite format 3\0":
        raise LedgerError(f"{path}: is not a ledger (not an SQLite database); check the path")


def create(path: Path) -> None:
    """Make an empty ledger of the newest schema. Raises LedgerError; never touches a file that exists."""
    from alembic import command

    with explained(path):
        if not path.parent.is_dir():
            raise LedgerError(f"{path}: there is no directory {path.parent}; create it first")
        try:
            path.touch(exist_ok=False)
        except FileExistsError as error:
            raise LedgerError(
                f"{path}: exists already; choose another path, or delete it if you can do without"
            ) from error
    try:
        engine = connect(path, readonly=False)
        try:
            with explained(path), engine.execution_options(writes=True).begin() as connection:
                connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION}")
            migrate(engine, path, lambda config: command.upgrade(config, "head"))
        finally:
            engine.dispose()
    except BaseException:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        raise


def upgrade(target: str | Path, revision: str = "head") -> None:
    """Bring a ledger to a newer schema; its entries stay. Raises LedgerError."""
    from alembic import command

    _migrate(target, lambda config: command.upgrade(config, revision))


def downgrade(target: str | Path, revision: str) -> None:
    """Bring a ledger to an older schema. Raises LedgerError, and changes nothing, if entries would be lost."""
    from alembic import command

    _migrate(target, lambda config: command.downgrade(config, revision))


def current(target: str | Path) -> str | None:
    """Revision of a ledger's schema, None if it has none. Raises LedgerError if the file is none."""
    with _reading(file_of(target)) as connection:
        return _revision(connection)


def migrate(engine: sa.Engine, path: Path, step: Callable[[Config], None]) -> None:
    """Run an Alembic command over one connection, all of it in one transaction. Raises LedgerError."""
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with explained(path), engine.execution_options(writes=True).begin() as connection:
        config.attributes["connection"] = connection
        try:
            step(config)
        except (CommandError, ValueError, NotImplementedError) as error:
            raise LedgerError(f"{path}: {error}") from error


def _migrate(target: str | Path, step: Callable[[Config], None]) -> None:
    path = file_of(target)
    with _reading(path):
        pass  # it is a ledger: only now may it be written to
    engine = connect(path, readonly=False)
    lock = WriterLock(path)
    try:
        migrate(engine, path, step)
    finally:
        engine.dispose()
        lock.release()
