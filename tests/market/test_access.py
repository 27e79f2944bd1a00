from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from market.access import Access
from market.ledger import LedgerError
from market.store import Ledger, downgrade
from tests.market.conftest import Place

ANNA, BERT = "a" * 43, "b" * 43


@pytest.fixture
def access(place: Place) -> Iterator[Access]:
    target = place()
    Ledger.create(target).close()
    with Access(target) as access:
        yield access


def test_a_token_names_its_holder_until_it_is_revoked(access: Access) -> None:
    access.issue(ANNA, "anna", "participant", 10)
    access.issue(BERT, "anna", "auditor", 11)
    found = access.check(ANNA)
    assert found is not None
    assert (found.participant, found.role, found.created, found.revoked) == ("anna", "participant", 10, None)
    assert access.check("c" * 43) is None
    assert access.revoke("anna", 12, found.mark) == 1
    assert access.check(ANNA) is None
    assert access.check(BERT) is not None
    assert access.revoke("anna", 13) == 1
    assert access.revoke("anna", 14) == 0
    assert [token.revoked for token in access.tokens()] == [12, 13]
    assert access.participants() == ["anna"]


def test_a_revocation_is_seen_at_once_by_who_has_the_ledger_open_elsewhere(place: Place) -> None:
    target = place()
    with Ledger.create(target), Access(target) as server, Access(target) as operator:
        operator.issue(ANNA, "anna", "operator", 1)
        assert server.check(ANNA) is not None
        operator.revoke("anna", 2)
        assert server.check(ANNA) is None


def test_a_token_that_could_be_guessed_is_refused(access: Access) -> None:
    with pytest.raises(LedgerError, match="at least 32 characters"):
        access.issue("secret", "anna", "participant", 1)
    with pytest.raises(LedgerError, match="participant, operator, auditor, got 'king'"):
        access.issue(ANNA, "anna", "king", 1)  # type: ignore[arg-type]
    access.issue(ANNA, "anna", "participant", 1)
    with pytest.raises(LedgerError, match="issued before"):
        access.issue(ANNA, "bert", "participant", 2)
    assert access.participants() == ["anna"]


def test_no_token_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger.create(path).close()
    with Access(path) as access:
        access.issue(ANNA, "anna", "participant", 1)
    assert ANNA.encode() not in path.read_bytes()


def test_the_database_knows_no_other_role(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger.create(path).close()
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO participant VALUES ('anna', 1)")
    with pytest.raises(sqlite3.IntegrityError, match="token_role"):
        connection.execute("INSERT INTO token VALUES (x'00', 'anna', 'king', 1, NULL)")
    connection.close()


def test_tokens_are_not_lost_with_a_downgrade(place: Place) -> None:
    target = place()
    Ledger.create(target).close()
    with Access(target) as access:
        access.issue(ANNA, "anna", "participant", 1)
    with pytest.raises(LedgerError, match="which would be lost"):
        downgrade(target, "0002")
