"""The ledger's tables and their versions, and whether a database holds a ledger at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from market import postgres, sqlite
from market.database import Database, database_of
from market.ledger import LedgerError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0005"
"""The newest revision in migrations/versions, known here so that opening a ledger need not import Alembic."""
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
SECRET = ("participant", "token")
"""Tables that only the owner of the database may read."""


def append_only(table: str, dialect: str) -> list[str]:
    """Statements that make the database refuse to change or delete rows of `table`."""
    return postgres.append_only(table) if dialect == "postgresql" else sqlite.append_only(table, APPEND_ONLY[table])


def changeable(table: str, dialect: str) -> list[str]:
    """Statements that take `append_only` back."""
    return postgres.changeable(table) if dialect == "postgresql" else sqlite.changeable(table, APPEND_ONLY[table])


def grant(connection: sa.Connection) -> None:
    """Give the roles of a server what they may do with the tables that there are. Raises ValueError."""
    if connection.dialect.name == "postgresql":
        tables = set(sa.inspect(connection).get_table_names())
        postgres.grant(connection, [table for table in SECRET if table in tables])


def check(database: Database) -> None:
    """Raises LedgerError unless it is a ledger of the schema that this version reads and writes."""
    with _reading(database) as connection:
        tables = set(sa.inspect(connection).get_table_names())
        revision = _revision(connection)
    name = database.name
    if revision is None or revision < HEAD:
        raise LedgerError(f"{name}: has schema {revision}, this version needs {HEAD}; run: wattbook db upgrade {name}")
    if revision > HEAD:
        raise LedgerError(f"{name}: has schema {revision}, newer than {HEAD} of this version; update wattbook")
    absent = (metadata.tables.keys() | set(SECRET)) - tables
    if absent:
        raise LedgerError(f"{name}: table {', '.join(sorted(absent))} is missing; restore it from a copy")


@contextmanager
def _reading(database: Database) -> Iterator[sa.Connection]:
    """A connection that changes nothing, to a ledger of any schema. Raises LedgerError."""
    database.require()
    engine = database.connect("read")
    try:
        with database.explained(), engine.connect() as connection:
            if not database.is_ledger(connection):
                raise LedgerError(f"{database.name}: is a database, but not a ledger of Wattbook; check the path")
            yield connection
    finally:
        engine.dispose()


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return revision


def create(database: Database) -> None:
    """Make an empty ledger of the newest schema. Raises LedgerError; never touches what exists."""
    from alembic import command

    unmake = database.made()
    try:
        _migrate(database, lambda config: command.upgrade(config, "head"), new=True)
    except BaseException:
        unmake()
        raise


def upgrade(target: str | Path, revision: str = "head") -> None:
    """Bring a ledger to a newer schema; its entries stay. Raises LedgerError."""
    from alembic import command

    _migrate(_ledger(target), lambda config: command.upgrade(config, revision))


def downgrade(target: str | Path, revision: str) -> None:
    """Bring a ledger to an older schema. Raises LedgerError, and changes nothing, if entries would be lost."""
    from alembic import command

    _migrate(_ledger(target), lambda config: command.downgrade(config, revision))


def current(target: str | Path) -> str | None:
    """Revision of a ledger's schema, None if it has none. Raises LedgerError if it is none."""
    with _reading(database_of(target)) as connection:
        return _revision(connection)


def _ledger(target: str | Path) -> Database:
    database = database_of(target)
    with _reading(database):
        return database  # it is a ledger: only now may it be written to


def _migrate(database: Database, step: Callable[[Config], None], *, new: bool = False) -> None:
    """Run an Alembic command over one connection, all of it in one transaction. Raises LedgerError."""
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    engine = database.connect("own")
    try:
        with database.explained(), engine.connect().execution_options(writes=True) as connection:
            release = database.lock(connection)
            try:
                with connection.begin():
                    config.attributes["connection"] = connection
                    step(config)
                    if new:
                        database.mark(connection)
            except (CommandError, ValueError) as error:
                raise LedgerError(f"{database.name}: {error}") from error
            finally:
                release()
    finally:
        engine.dispose()
