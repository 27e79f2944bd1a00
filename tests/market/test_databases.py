"""What holds of a ledger wherever it is kept: in a file, or in a database of a server."""

from __future__ import annotations

import msgspec
import pytest

from market import journal, store
from market.audit import audit
from market.events import Accepted, Entry, Settled, Traded
from market.ledger import LedgerError, fold, postings
from market.orders import Cancel
from market.replay import replay
from market.store import Ledger
from tests.market import day
from tests.market.conftest import Place
from tests.market.day import FEEDER, ledger_at

ENTRIES = day.entries()


@pytest.fixture
def path(place: Place) -> str:
    return ledger_at(place(), ENTRIES)


def test_what_was_appended_is_read_back(path: str) -> None:
    with Ledger.open(path) as ledger:
        assert tuple(ledger.entries()) == ENTRIES
        assert [row[1] for row in ledger.bodies(3)] == [journal.encode(entry) for entry in ENTRIES[2:]]
        assert len(ledger) == len(ENTRIES)
        moved = [posting for entry in ENTRIES[1:] for posting in postings(entry, day.settings("ac"))]
        assert [row[2:] for row in ledger.postings()] == moved
        assert ledger.balances() == fold(moved)
        meta = ledger.meta()
    assert (meta.entries, meta.market, meta.feeder) == (len(ENTRIES), day.settings("ac"), FEEDER)


def test_pages_of_any_size_hold_the_same_rows(path: str) -> None:
    with Ledger.open(path) as ledger:
        whole = list(ledger.pages())
        assert [row for page in ledger.pages(size=7) for row in page[0]] == whole[0][0]
        assert [row for page in ledger.pages(size=7) for row in page[1]] == whole[0][1]


def test_every_asset_sums_to_zero(path: str) -> None:
    totals: dict[str, int] = {}
    with Ledger.open(path) as ledger:
        for (_, asset), amount in ledger.balances().items():
            totals[asset] = totals.get(asset, 0) + amount
    assert totals == {"EUR": 0, "WH": 0, "GO:solar": 0, "GO:wind": 0}


def test_trades_are_a_table(path: str) -> None:
    with Ledger.open(path) as ledger:
        frame = ledger.trades()
    trades = [event for entry in ENTRIES for event in entry.events if isinstance(event, Traded)]
    assert frame["quantity"].tolist() == [trade.quantity for trade in trades]
    assert frame["source"].tolist() == [trade.source for trade in trades]
    assert (frame["time"] < frame["delivery"]).all()
    assert (frame["delivery"].astype("int64") // 10**9 % 900 == 0).all()
    assert str(frame["time"].dt.tz) == "UTC"


def test_settlements_are_a_table_that_shows_which_meters_were_silent(path: str) -> None:
    with Ledger.open(path) as ledger:
        frame = ledger.settlements()
    assert set(frame[frame["estimated"]]["participant"]) == {"dora"}
    assert (frame.groupby("slot")[["metered", "contracted", "imbalance", "money"]].sum() == 0).all(axis=None)
    settled = [event for entry in ENTRIES for event in entry.events if isinstance(event, Settled)]
    assert len(frame) == sum(len(event.lines) + 1 for event in settled)


def test_a_ledger_without_a_market_has_no_trades_and_says_so(place: Place) -> None:
    with Ledger.create(place()) as ledger:
        assert ledger.meta().market is None
        with pytest.raises(LedgerError, match="no market yet"):
            ledger.trades()


def test_entries_must_continue_the_journal(place: Place) -> None:
    with Ledger.create(place()) as ledger:
        ledger.append(ENTRIES[:5])
        for wrong in (ENTRIES[:1], ENTRIES[6:8], ENTRIES[5:7] + ENTRIES[5:7]):
            with pytest.raises(LedgerError, match="is next"):
                ledger.append(wrong)
        ledger.append(ENTRIES[5:])
        assert tuple(ledger.entries()) == ENTRIES


def test_a_batch_is_stored_whole_or_not_at_all(place: Place) -> None:
    path = place()
    with Ledger.create(path) as ledger:
        ledger.append(ENTRIES[:5])
        bad = msgspec.structs.replace(ENTRIES[7], command=Cancel("anna", 2**60))
        with pytest.raises(journal.JournalError):
            ledger.append([*ENTRIES[5:7], bad])
        assert tuple(ledger.entries()) == ENTRIES[:5]
        ledger.append(ENTRIES[5:])
        ledger.append([])
    assert audit(path).ok


def test_a_trade_before_its_market_is_refused(place: Place) -> None:
    trade = next(event for entry in ENTRIES for event in entry.events if isinstance(event, Traded))
    with Ledger.create(place()) as ledger, pytest.raises(LedgerError, match="no market was created"):
        ledger.append([Entry(1, Cancel("anna", 1), (trade,))])


def test_nobody_writes_to_a_ledger_opened_for_reading(path: str) -> None:
    with Ledger.open(path) as ledger, pytest.raises(LedgerError, match="for reading only"):
        ledger.append([Entry(len(ENTRIES) + 1, Cancel("anna", 1), (Accepted(),))])


def test_there_is_one_writer_and_any_number_of_readers(path: str) -> None:
    more = Entry(len(ENTRIES) + 1, Cancel("anna", 1), (Accepted(),))
    with Ledger.open(path, readonly=False) as writer:
        with pytest.raises(LedgerError, match="another process is writing"):
            Ledger.open(path, readonly=False)
        with pytest.raises(LedgerError, match="another process is writing"):
            store.upgrade(path)
        with Ledger.open(path) as reader, Ledger.open(path) as other:
            pages = reader.pages(size=100)
            next(pages)
            writer.append([more])
            assert sum(1 for _ in other.entries()) == len(ENTRIES) + 1
            assert sum(len(rows) for rows, _ in pages) == len(ENTRIES) + 1 - 100
    Ledger.open(path, readonly=False).close()


def test_an_existing_ledger_is_never_overwritten(path: str) -> None:
    with pytest.raises(LedgerError, match="exists already"):
        Ledger.create(path)
    assert audit(path).ok


def test_it_audits_and_replays(path: str) -> None:
    report = audit(path)
    assert (report.ok, report.entries, report.first_bad) == (True, len(ENTRIES), None)
    assert [step.mismatch for step in replay(path)] == [None]


def test_both_databases_hold_the_same_bytes(path: str) -> None:
    with Ledger.open(path) as ledger:
        assert [body for _, body, _ in ledger.bodies()] == [journal.encode(entry) for entry in ENTRIES]


def test_down_and_up_again_keeps_every_entry_and_posting(path: str) -> None:
    store.downgrade(path, "0001")
    assert store.current(path) == "0001"
    with pytest.raises(LedgerError, match="run: wattbook db upgrade"):
        Ledger.open(path)
    store.upgrade(path)
    report = audit(path)
    assert (report.ok, report.entries) == (True, len(ENTRIES))


def test_a_journal_with_entries_is_never_dropped(path: str) -> None:
    with pytest.raises(LedgerError, match="never dropped"):
        store.downgrade(path, "base")
    assert audit(path).ok


def test_an_empty_ledger_goes_down_to_nothing_and_up_again(place: Place) -> None:
    path = place()
    Ledger.create(path).close()
    store.downgrade(path, "base")
    assert store.current(path) is None
    store.upgrade(path)
    with Ledger.open(path, readonly=False) as ledger:
        ledger.append(ENTRIES)
    assert audit(path).ok
