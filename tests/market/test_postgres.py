"""What a server adds to a ledger: roles, connections that fail, a server that is stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest
import sqlalchemy as sa

from market import postgres, schema
from market.audit import audit
from market.database import LostError, Writer, database_of
from market.events import Accepted, Entry
from market.ledger import LedgerError
from market.notes import Signer
from market.orders import Cancel
from market.store import Ledger
from tests.market import conftest, day
from tests.market.day import ledger_at
from tests.market.server import MISSING, Server

ENTRIES = day.entries()
SIGNER = Signer("example.org/market", bytes(32))
MORE = Entry(len(ENTRIES) + 1, Cancel("anna", 1), (Accepted(),))


@pytest.fixture
def url(server: Server) -> str:
    return ledger_at(server.database(), ENTRIES)


CUT = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
"""Ends the session that holds the lock of a writer."""


def cut_behind(writer: Writer, url: str) -> Callable[[], AbstractContextManager[sa.Connection]]:
    """A writer's transactions, each losing its connection between the server's commit and the word of it."""

    @contextmanager
    def transaction() -> Iterator[sa.Connection]:
        with Writer.transaction(writer) as connection:
            yield connection
        Server.execute(url, CUT)
        with Writer.transaction(writer) as connection:
            connection.exec_driver_sql("SELECT 1")

    return transaction


def as_user(url: str, user: str) -> str:
    return url.replace("owner@", f"{user}@")


def test_a_new_ledger_has_the_columns_that_the_code_knows(url: str) -> None:
    engine = database_of(url).connect("read")
    found = sa.MetaData()
    found.reflect(engine)
    engine.dispose()
    for name, table in schema.metadata.tables.items():
        kinds = [(column.name, type(column.type).__visit_name__) for column in found.tables[name].columns]
        names = {sa.BigInteger: "BIGINT", sa.LargeBinary: "BYTEA", sa.Text: "TEXT"}
        assert kinds == [(column.name, names[type(column.type)]) for column in table.columns]


@pytest.mark.parametrize("statement", [
    "UPDATE journal SET body = ''",
    "DELETE FROM posting WHERE seq < 0",
    "TRUNCATE journal, posting, tile",
    "INSERT INTO journal SELECT * FROM journal ON CONFLICT (seq) DO UPDATE SET body = ''",
    "SET session_replication_role = replica; DELETE FROM journal",
])  # fmt: skip
def test_the_server_refuses_to_change_or_delete_even_for_its_master(url: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        Server.execute(url, statement)
    assert audit(url).ok


def test_an_audit_finds_triggers_that_are_gone_asleep_or_hollow(server: Server, url: str) -> None:
    Server.execute(url, "ALTER TABLE posting DISABLE TRIGGER posting_append_only")
    assert "posting_append_only" in audit(url).findings[0].detail
    Server.execute(url, "DROP TRIGGER journal_append_only ON journal", "DELETE FROM posting WHERE seq = 100")
    assert "journal_append_only, posting_append_only" in audit(url).findings[0].detail
    hollow = ledger_at(server.database(), ENTRIES)
    Server.execute(
        hollow,
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    )
    assert [finding.check for finding in audit(hollow).findings] == ["schema"]


def test_a_changed_entry_is_found(url: str) -> None:
    Server.execute(
        url,
        "ALTER TABLE journal DISABLE TRIGGER journal_append_only",
        "UPDATE journal SET body = body || ' ' WHERE seq = 77",
        "ALTER TABLE journal ENABLE ALWAYS TRIGGER journal_append_only",
    )
    assert audit(url).first_bad == 77


def test_roles_may_do_what_their_names_say(server: Server, url: str) -> None:
    Server.execute(
        server.url(), "CREATE ROLE wolf LOGIN IN ROLE wattbook_writer", "CREATE ROLE rose LOGIN IN ROLE wattbook_reader"
    )
    with Ledger.open(as_user(url, "wolf"), readonly=False) as ledger:
        ledger.append([MORE])
    with Ledger.open(as_user(url, "rose")) as ledger:
        assert len(ledger) == MORE.seq
    assert audit(as_user(url, "rose")).entries == MORE.seq
    with Ledger.open(as_user(url, "rose"), readonly=False) as ledger, pytest.raises(LedgerError, match="permission"):
        ledger.append([Entry(MORE.seq + 1, Cancel("anna", 1), (Accepted(),))])
    for user, statement in (
        ("wolf", "UPDATE journal SET body = ''"),
        ("wolf", "DELETE FROM posting"),
        ("wolf", "TRUNCATE tile"),
        ("wolf", "DROP TRIGGER journal_append_only ON journal"),
        ("wolf", "SELECT * FROM token"),
        ("wolf", "INSERT INTO alembic_version VALUES ('9')"),
        ("rose", "INSERT INTO journal VALUES (0, '', '')"),
        ("rose", "SELECT * FROM token"),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            Server.execute(as_user(url, user), statement)


def test_even_the_owner_writes_in_the_role_of_a_writer(url: str) -> None:
    with Ledger.open(url, readonly=False) as ledger:
        assert ledger._writer is not None
        with ledger._writer.transaction() as connection:
            user = connection.exec_driver_sql("SELECT current_user, current_setting('synchronous_commit')").one()
    assert tuple(user) == ("wattbook_writer", "on")


def test_somebody_who_may_not_make_roles_is_told_what_to_ask_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "WRITER", "wattbook_pen")
    Server.execute(server.url(), "CREATE ROLE modest LOGIN")
    target = server.database()
    Server.execute(server.url(), f"ALTER DATABASE {target.rpartition('/')[2]} OWNER TO modest")
    with pytest.raises(LedgerError, match="CREATE ROLE wattbook_pen"):
        Ledger.create(as_user(target, "modest"))
    Server.execute(target, "CREATE TABLE empty()")


@pytest.mark.parametrize(("wrong", "message"), [
    (lambda server: server.url("nowhere"), "createdb NAME"),
    (lambda server: as_user(server.url(), "nobody"), "createuser NAME"),
    (lambda server: server.url().replace(str(server.port), "1"), "start it, or check the URL"),
    (lambda server: server.url().replace("127.0.0.1", "nowhere.invalid"), "there is no such host"),
    (lambda server: server.url(), "not a ledger of Wattbook"),
])  # fmt: skip
def test_what_cannot_be_opened_is_named_with_a_way_out(
    server: Server, wrong: Callable[[Server], str], message: str
) -> None:
    for readonly in (True, False):
        with pytest.raises(LedgerError, match=message):
            Ledger.open(wrong(server), readonly=readonly)


def test_passwords_are_not_in_messages(server: Server) -> None:
    with pytest.raises(LedgerError) as caught:
        Ledger.open(server.url().replace("owner@", "owner:hunter2@"))
    assert "hunter2" not in str(caught.value)


def test_an_older_server_or_another_encoding_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    latin = "ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"
    Server.execute(server.url(), f"CREATE DATABASE latin {latin}")
    with pytest.raises(LedgerError, match="createdb -E UTF8"):
        Ledger.create(server.url("latin"))
    monkeypatch.setattr(postgres, "OLDEST", 99)
    with pytest.raises(LedgerError, match="needs PostgreSQL 99 or newer"):
        Ledger.create(server.database())


def test_a_database_with_tables_is_left_alone(server: Server) -> None:
    target = server.database()
    Server.execute(target, "CREATE TABLE journal(mine int)")
    with pytest.raises(LedgerError, match="exists already, with tables"):
        Ledger.create(target)
    Server.execute(target, "SELECT mine FROM journal")


@pytest.mark.parametrize(("statement", "message"), [
    ("DROP TABLE posting", "table posting is missing"),
    ("UPDATE alembic_version SET version_num = '9999'", "update wattbook"),
    ("COMMENT ON TABLE alembic_version IS NULL", "not a ledger"),
])  # fmt: skip
def test_a_damaged_or_newer_schema_is_refused(url: str, statement: str, message: str) -> None:
    Server.execute(url, statement)
    for readonly in (True, False):
        with pytest.raises(LedgerError, match=message):
            Ledger.open(url, readonly=readonly)


def test_a_server_that_only_reads_refuses_writers_and_is_audited(url: str) -> None:
    Server.execute(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET default_transaction_read_only = on")
    with Ledger.open(url, readonly=False) as writer:
        for _ in range(2):
            with pytest.raises(LedgerError, match="may not be written; the server is read-only"):
                writer.append([MORE])
    report = audit(url)
    assert report.ok
    assert report.entries == len(ENTRIES)


def test_an_entry_that_somebody_else_stored_is_not_stored_twice(url: str) -> None:
    with Ledger.open(url, readonly=False) as writer:
        Server.execute(url, f"INSERT INTO journal VALUES ({MORE.seq}, '', '')")
        with pytest.raises(LedgerError, match="open it again"):
            writer.append([MORE])
        with pytest.raises(LedgerError, match="open it again"):
            writer.append([MORE])


def test_a_writer_goes_on_after_the_server_was_stopped_and_started(url: str, server: Server) -> None:
    last = Entry(MORE.seq + 1, Cancel("anna", 1), (Accepted(),))
    with Ledger.open(url, readonly=False) as writer:
        writer.append([MORE])
        server.stop("immediate")
        for _ in range(2):
            with pytest.raises(LostError, match=r"nothing is stored twice|start it"):
                writer.append([last])
        server.start()
        writer.append([last])
        assert len(writer) == last.seq
        with pytest.raises(LedgerError, match="another process is writing"):
            Ledger.open(url, readonly=False)  # the lock was taken again
    assert audit(url).entries == last.seq


def test_what_was_stored_although_the_connection_was_lost_is_not_stored_twice(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = ledger_at(server.database(), ENTRIES[:-2])
    with Ledger.open(url, readonly=False) as writer:
        writer.sign_with(SIGNER)
        assert writer._writer is not None
        with monkeypatch.context() as patch:
            patch.setattr(writer._writer, "transaction", cut_behind(writer._writer, url))
            with pytest.raises(LostError):
                writer.append(ENTRIES[-2:-1])
        writer.append(ENTRIES[-2:-1])
        assert len(writer) == len(ENTRIES) - 1
        writer.sign()
        writer.append(ENTRIES[-1:])
        writer.sign()
    report = audit(url)
    assert report.ok
    assert (report.entries, report.checkpoints) == (len(ENTRIES), 2)


def test_a_writer_that_lost_its_connection_does_not_write_behind_somebody_else(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Entry(MORE.seq, Cancel("ben", 1), (Accepted(),))
    with Ledger.open(url, readonly=False) as writer:
        assert writer._writer is not None
        Server.execute(url, CUT)
        with pytest.raises(LostError):
            writer.append([MORE])
        with Ledger.open(url, readonly=False) as second:
            second.append([other])
            with pytest.raises(LostError, match="another process is writing"):
                writer.append([MORE])
        for _ in range(2):
            with pytest.raises(LedgerError, match="stored other entries behind entry"):
                writer.append([MORE])
    assert audit(url).entries == other.seq


def test_the_lock_of_a_killed_writer_is_free(url: str) -> None:
    code = """
import sys, time
from market.store import Ledger
ledger = Ledger.open(sys.argv[1], readonly=False)
print("open", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(LedgerError, match="another process is writing"):
            Ledger.open(url, readonly=False)
        writer.send_signal(signal.SIGKILL)
    Ledger.open(url, readonly=False).close()


def test_without_a_server_the_tests_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "binaries", lambda: None)
    make = conftest.server.__wrapped__ if hasattr(conftest.server, "__wrapped__") else conftest.server
    with pytest.raises(pytest.skip.Exception, match="postgresql"):
        next(make())
    assert "postgresql" in MISSING
