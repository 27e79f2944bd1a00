"""A ledger in a database of a PostgreSQL server, one ledger a database.

Who owns the database makes and migrates the ledger. Two roles come with it: `wattbook_writer` may read and append,
`wattbook_reader` may read. A connection takes on the role that it needs, so that even the owner appends only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from market.database import APPLICATION, DAMAGED, Database, Mode
from market.ledger import LedgerError

OLDEST = 15
"""The oldest major version of the server."""
MARK = "a ledger of Wattbook"
"""Comment on the table of the schema's version, by which a ledger is known."""
WRITER, READER = "wattbook_writer", "wattbook_reader"
ROLES = {"read": READER, "write": WRITER}

_REFUSE = "BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END"
_FUNCTION = f"CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $${_REFUSE}$$"


def append_only(table: str) -> list[str]:
    """Statements that make PostgreSQL refuse to change, delete or truncate rows of `table`, replication included."""
    every = "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    return [
        _FUNCTION,
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} {every}",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_append_only",
    ]


def changeable(table: str) -> list[str]:
    """Statements that take `append_only` back."""
    return [f"DROP TRIGGER {table}_append_only ON {table}"]


def grant(connection: sa.Connection, secret: Sequence[str] = ()) -> None:
    """Make the two roles where they are missing, and give them what they may do; `secret` tables are the owner's.

    Raises ValueError if the roles are missing and the user may not make them.
    """
    known = set(connection.scalars(sa.text("SELECT rolname FROM pg_roles WHERE rolname LIKE 'wattbook%'")))
    missing = [role for role in (WRITER, READER) if role not in known]
    may = connection.scalar(sa.text("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"))
    if missing and not may:
        wanted = " ".join(f"CREATE ROLE {role};" for role in missing)
        raise ValueError(f"its roles are missing; let somebody who may create roles run: {wanted}")
    for role in missing:
        connection.exec_driver_sql(f"CREATE ROLE {role} NOLOGIN")
    for role in (WRITER, READER):
        if may:
            connection.exec_driver_sql(f"GRANT {role} TO CURRENT_USER")
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA public TO {role}")
        connection.exec_driver_sql(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}")
        connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    connection.exec_driver_sql(f"GRANT INSERT ON ALL TABLES IN SCHEMA public TO {WRITER}")
    connection.exec_driver_sql(f"REVOKE INSERT ON alembic_version FROM {WRITER}")
    for table in secret:
        connection.exec_driver_sql(f"REVOKE ALL ON {table} FROM {WRITER}, {READER}")


class PostgresDatabase(Database):
    """A database on a server, named by its URL."""

    def __init__(self, url: sa.URL) -> None:
        self._url = url.set(drivername="postgresql+psycopg")
        self.name = url.set(drivername="postgresql", password=None, query={}).render_as_string()
        if not url.database:
            raise LedgerError(f"{self.name}: names no database; write postgresql://USER@HOST/DATABASE")
        try:
            import psycopg  # noqa: F401
        except ImportError as error:
            raise LedgerError(
                f"{self.name}: needs the driver of PostgreSQL; pip install 'wattbook[postgres]'"
            ) from error

    def require(self) -> None:
        engine = self.connect("own")
        try:
            with self.explained(), engine.connect() as connection:
                self._require_server(connection)
        finally:
            engine.dispose()

    def connect(self, mode: Mode) -> sa.Engine:
        engine = sa.create_engine(
            self._url,
            connect_args={"connect_timeout": 10, "application_name": "wattbook", "client_encoding": "utf8"},
            pool_pre_ping=mode == "read",
        )
        role = ROLES.get(mode)

        @sa.event.listens_for(engine, "connect")
        def begin(connection: Any, _: object) -> None:
            before, connection.autocommit = connection.autocommit, True
            connection.execute("SET synchronous_commit = on")
            if mode == "read":
                connection.execute("SET default_transaction_read_only = on")
            if role is not None and connection.execute("SELECT pg_has_role(%s, 'MEMBER')", [role]).fetchone()[0]:
                connection.execute(f"SET ROLE {role}")
            connection.autocommit = before

        return engine

    def reason(self, error: BaseException | None) -> str:
        import psycopg

        said = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        state = getattr(error, "sqlstate", None) or ""
        for prefix, reason in _STATES.items():
            if state.startswith(prefix):
                return f"{reason} ({said})"
        if isinstance(error, psycopg.OperationalError):
            for words, reason in _CONNECTING.items():
                if words in str(error):
                    return f"{reason} ({said})"
            return f"{_STATES['08']} ({said})"
        return f"the database refused: {said}"

    def is_ledger(self, connection: sa.Connection) -> bool:
        said = connection.scalar(sa.text("SELECT obj_description(to_regclass('alembic_version'), 'pg_class')"))
        return bool(said == MARK)

    def made(self) -> Callable[[], None]:
        self.require()
        engine = self.connect("own")
        try:
            with self.explained(), engine.connect() as connection:
                found = sa.inspect(connection).get_table_names()
        finally:
            engine.dispose()
        if found:
            shown = ", ".join(sorted(found)[:5])
            raise LedgerError(f"{self.name}: exists already, with tables ({shown}); make a new database: createdb NAME")
        return lambda: None  # all is one transaction, and PostgreSQL takes back tables too

    def mark(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"COMMENT ON TABLE alembic_version IS '{MARK}'")

    def lock(self, connection: sa.Connection) -> Callable[[], None]:
        """An advisory lock of the database, held by the very connection that writes and gone with it.

        A second is waited for, in which the server notices that a writer has died.
        """
        key = {"key": APPLICATION}
        with self.explained(), connection.begin():
            connection.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
            connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), key)

        def release() -> None:
            try:
                if self.alive(connection):
                    with self.explained(), connection.begin():
                        connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), key)
            except LedgerError:
                if self.alive(connection):  # else the lock is gone with the session
                    raise

        return release

    def alive(self, connection: sa.Connection) -> bool:
        driver: Any = None if connection.invalidated else connection.connection.driver_connection
        return driver is not None and not driver.closed

    def insert(self, connection: sa.Connection, table: sa.Table, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        columns = ", ".join(column.name for column in table.columns)
        driver: Any = connection.connection.driver_connection
        with (
            driver.cursor() as cursor,
            cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.set_types([_TYPES[type(column.type)] for column in table.columns])
            for row in rows:
                copy.write_row(row)

    @contextmanager
    def explained(self) -> Iterator[None]:
        import psycopg

        try:
            with super().explained():
                yield
        except psycopg.Error as error:
            raise LedgerError(f"{self.name}: {self.reason(error)}") from error

    def missing_guards(self, connection: sa.Connection, tables: Mapping[str, Sequence[str]]) -> list[str]:
        rows = connection.execute(
            sa.text(
                "SELECT tgname, tgtype, prosrc FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid "
                "WHERE tgenabled = 'A' AND tgqual IS NULL"
            )
        )
        stored = {name for name, kind, source in rows if kind == _BEFORE_ALL and source == _REFUSE}
        return sorted(f"{table}_append_only" for table in tables if f"{table}_append_only" not in stored)

    def _require_server(self, connection: sa.Connection) -> None:
        version = int(connection.scalar(sa.text("SHOW server_version_num")) or 0)
        if version // 10_000 < OLDEST:
            raise LedgerError(
                f"{self.name}: needs PostgreSQL {OLDEST} or newer, the server is {version // 10_000}; update it"
            )
        encoding = connection.scalar(sa.text("SHOW server_encoding"))
        if encoding != "UTF8":
            raise LedgerError(f"{self.name}: has the encoding {encoding}; make a database with: createdb -E UTF8 NAME")


_TYPES: dict[type[Any], str] = {sa.BigInteger: "int8", sa.LargeBinary: "bytea", sa.Text: "text"}

_BEFORE_ALL = 2 + 8 + 16 + 32
"""pg_trigger.tgtype: before each statement of UPDATE, DELETE or TRUNCATE."""

_STATES = {
    "53100": "the disk of the server is full; free some space and try again. What was stored before is intact",
    "53300": "the server has no connection left; raise max_connections or close some",
    "25006": "may not be written; the server is read-only (a standby?)",
    "42501": "permission denied; let the owner run: GRANT wattbook_writer TO the user (or wattbook_reader)",
    "55P03": "another process is writing to it; wait for it or stop it",
    "42P01": "a table is missing; restore the database from a copy",
    "23505": "another process has stored these entries meanwhile; open it again and go on from there",
    "3D000": "there is no such database; make it: createdb NAME",
    "28": "the server refuses this user; check name and password in the URL, and pg_hba.conf",
    "XX00": DAMAGED,
    "57P": "the server was stopped; start it, and write the same again: nothing is stored twice",
    "08": "the server went away; write the same again when it is back: nothing is stored twice",
}
"""By the beginning of the SQLSTATE."""
_CONNECTING = {
    "does not exist": "there is no such database or user; make it: createdb NAME, createuser NAME",
    "authentication failed": "the server refuses this user; check name and password in the URL",
    "no password supplied": "the server asks for a password; put it into the URL or into ~/.pgpass",
    "pg_hba.conf": "the server refuses this user; check name and password in the URL, and pg_hba.conf",
    "too many": "the server has no connection left; raise max_connections or close some",
    "starting up": "the server is starting; try again in a moment",
    "could not translate host name": "there is no such host; check the URL",
    "failed to resolve host": "there is no such host; check the URL",
    "connection failed": "the server cannot be reached; start it, or check the URL",
    "connection timeout": "the server does not answer; start it, or check the URL",
}
"""By words in the message: what fails while connecting has no SQLSTATE."""
