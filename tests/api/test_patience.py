"""A server that is stopped and started while a ledger is written."""

from __future__ import annotations

import pytest

from api import patience
from api.patience import Patient
from market.audit import audit
from market.commit import Background
from market.database import LostError
from market.notes import Signer
from market.store import Ledger
from tests.market import day
from tests.market.conftest import server
from tests.market.server import Server

__all__ = ["server"]

ENTRIES = day.entries()
HALF = len(ENTRIES) // 2


def test_a_run_outlasts_a_restart_of_the_server_and_stores_every_entry_once(server: Server) -> None:
    url = server.database()
    with Ledger.create(url) as ledger:
        ledger.sign_with(Signer("example.org/market", bytes(32)))
        patient = Patient(ledger)
        with Background(patient) as background:
            background.append(ENTRIES[:HALF])
            background.flush()
            server.stop("immediate")
            for entry in ENTRIES[HALF:]:
                background.append([entry])
            server.start()
        Server.execute(url, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        patient.sign()
    report = audit(url)
    assert report.ok
    assert (report.entries, report.signed) == (len(ENTRIES), len(ENTRIES))


def test_a_server_that_stays_away_is_given_up_once_and_the_ledger_goes_on_where_it_ended(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSE", 0.01)
    url = server.database()
    with Ledger.create(url) as ledger:
        patient = Patient(ledger, seconds=0.2)
        patient.append(ENTRIES[:HALF])
        server.stop("immediate")
        for _ in range(2):
            with pytest.raises(LostError, match="start it"):
                patient.append(ENTRIES[HALF:])
        server.start()
    with Ledger.open(url, readonly=False) as ledger:
        assert len(ledger) == HALF
        ledger.append(ENTRIES[HALF:])
    assert audit(url).ok
    assert "trying again for 0.2 s" in capsys.readouterr().err
