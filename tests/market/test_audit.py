from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market import journal
from market.audit import CHECKS, AuditReport, audit
from market.capacity import Gate, OpenGate, Verdict
from market.conservation import Conservation
from market.events import Cancelled, Entry, Event, Expired, GateClosed, Limited, Settled, Traded
from market.ledger import LedgerError, postings
from market.orders import AdvanceClock, Cancel, GateMode, MarketSettings, Submit
from market.replay import Replayer, replay
from market.store import Ledger
from tests.market import day
from tests.market.day import CONNECTIONS, CappedGate, entries, gate_of, ledger_at, trade_seq

ENTRIES = day.entries()
TRADE = trade_seq(ENTRIES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return ledger_at(tmp_path / "ledger.db", ENTRIES)


def without_triggers(path: Path, *statements: str | tuple[str, Any]) -> None:
    """Change rows as an operator could who is the master of the file, and put the triggers back."""
    connection = sqlite3.connect(path)
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(*([statement] if isinstance(statement, str) else statement))
    for _, sql in triggers:
        connection.execute(sql)
    connection.commit()
    connection.close()


def rewrite(path: Path, entries: Iterable[Entry]) -> Path:
    """A ledger with the hashes and postings that fit the entries, as a forger would write it."""
    with Ledger.create(path) as ledger:
        ledger.append(list(entries))
    return path


def checks(report: AuditReport) -> set[str]:
    return {finding.check for finding in report.findings}


@pytest.mark.parametrize("mode", ["off", "linear", "ac"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_honest_ledger_passes_every_check(tmp_path: Path, mode: GateMode, seed: int) -> None:
    entries = day.entries(mode, seed)
    report = audit(ledger_at(tmp_path / "ledger.db", entries))
    assert report.findings == []
    assert report.ok
    assert report.first_bad is None
    unsigned = {"checkpoint", "signature", "continuity"}
    assert report.proved == [CHECKS[check] for check in CHECKS if check not in unsigned]
    assert report.entries == len(entries)
    assert report.trades == sum(isinstance(event, Traded) for entry in entries for event in entry.events) > 20
    assert any(isinstance(event, Limited) for entry in entries for event in entry.events) == (mode != "off")


def test_an_audit_changes_no_byte_and_leaves_no_file(path: Path) -> None:
    before = path.read_bytes()
    audit(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["ledger.db"]


def test_an_empty_ledger_is_in_order(tmp_path: Path) -> None:
    Ledger.create(tmp_path / "ledger.db").close()
    report = audit(tmp_path / "ledger.db")
    assert (report.ok, report.entries) == (True, 0)


def test_a_ledger_is_audited_page_by_page(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("market.audit.CHUNK", 7)
    seen: list[int] = []
    assert audit(path, progress=lambda done, _: seen.append(done)).ok
    assert seen == [*range(7, len(ENTRIES), 7), len(ENTRIES)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seq=st.integers(1, len(ENTRIES)), place=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_one_flipped_byte_of_a_body_is_found_at_its_entry(path: Path, seq: int, place: int, flip: int) -> None:
    right = journal.encode(ENTRIES[seq - 1])
    body = bytearray(right)
    body[place % len(body)] ^= flip
    without_triggers(path, ("UPDATE journal SET body = ? WHERE seq = ?", (bytes(body), seq)))
    report = audit(path)
    assert report.first_bad == seq
    assert checks(report) & {"leaf", "canonical"}
    without_triggers(path, ("UPDATE journal SET body = ? WHERE seq = ?", (right, seq)))


@pytest.mark.parametrize(("statement", "seq", "found"), [
    (f"UPDATE journal SET leaf = x'00' WHERE seq = {TRADE}", TRADE, {"leaf"}),
    (f"UPDATE journal SET leaf = zeroblob(32) WHERE seq = {TRADE}", TRADE, {"leaf"}),
    (f"UPDATE journal SET body = 'text' WHERE seq = {TRADE}", TRADE, {"canonical"}),
    (f"UPDATE posting SET amount = amount + 1 WHERE seq = {TRADE} AND line = 1", TRADE, {"postings", "zero_sum"}),
    (f"UPDATE posting SET amount = 'lots' WHERE seq = {TRADE} AND line = 1", TRADE, {"postings", "zero_sum"}),
    (f"UPDATE posting SET amount = 2 * amount WHERE seq = {TRADE}", TRADE, {"postings"}),
    (f"UPDATE posting SET account = 'thief' WHERE seq = {TRADE} AND line = 1", TRADE, {"postings"}),
    (f"UPDATE posting SET asset = 'GO:wind' WHERE seq = {TRADE} AND asset = 'WH'", TRADE, {"postings"}),
    (f"DELETE FROM posting WHERE seq = {TRADE}", TRADE, {"postings"}),
    (f"DELETE FROM posting WHERE seq = {TRADE} AND line = 0", TRADE, {"postings", "zero_sum"}),
    (f"INSERT INTO posting VALUES ({TRADE}, 99, 'thief', 'EUR', 5)", TRADE, {"postings", "zero_sum"}),
    ("INSERT INTO posting VALUES (1, 0, 'thief', 'EUR', 5), (1, 1, 'anna', 'EUR', -5)", 1, {"postings"}),
    ("INSERT INTO posting VALUES (9999, 0, 'thief', 'EUR', 5), (9999, 1, 'anna', 'EUR', -5)", 9999, {"postings"}),
    ("INSERT INTO posting VALUES (-3, 0, 'thief', 'EUR', 5), (-3, 1, 'anna', 'EUR', -5)", -3, {"postings"}),
    (f"DELETE FROM journal WHERE seq = {TRADE}", TRADE, {"sequence", "postings"}),
    (f"DELETE FROM journal WHERE seq BETWEEN {TRADE} AND {TRADE + 5}", TRADE, {"sequence", "postings"}),
    (f"UPDATE journal SET seq = -seq WHERE seq = {TRADE}", -TRADE, {"sequence", "postings"}),
    ("INSERT INTO journal SELECT 0, body, leaf FROM journal WHERE seq = 1", 0, {"sequence"}),
    ("INSERT INTO journal SELECT 9999, body, leaf FROM journal WHERE seq = 9", len(ENTRIES) + 1, {"sequence"}),
    ("DELETE FROM journal WHERE seq = 1", 1, {"sequence", "postings"}),
])  # fmt: skip
def test_a_tampered_row_is_found_and_named(path: Path, statement: str, seq: int, found: set[str]) -> None:
    without_triggers(path, statement)
    report = audit(path)
    assert not report.ok
    assert checks(report) >= found
    assert report.first_bad == seq
    assert not set(report.proved) & {CHECKS[check] for check in found}


def test_swapped_entries_are_found_at_the_first_of_them(path: Path) -> None:
    without_triggers(
        path,
        f"UPDATE journal SET seq = -1 WHERE seq = {TRADE}",
        f"UPDATE journal SET seq = {TRADE} WHERE seq = {TRADE + 1}",
        f"UPDATE journal SET seq = {TRADE + 1} WHERE seq = -1",
    )
    report = audit(path)
    assert report.first_bad == TRADE
    assert "sequence" in checks(report)


def test_missing_and_disarmed_triggers_are_found(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER journal_no_delete")
    connection.execute("DROP TRIGGER posting_no_update")
    connection.execute("CREATE TRIGGER posting_no_update BEFORE UPDATE ON posting BEGIN SELECT 1; END")
    connection.close()
    report = audit(path)
    assert [finding.check for finding in report.findings] == ["schema"]
    assert "journal_no_delete, posting_no_update" in report.findings[0].detail
    assert report.first_bad is None
    assert not report.ok


def replaced(seq: int, change: Callable[[Entry], Entry]) -> list[Entry]:
    return [change(entry) if entry.seq == seq else entry for entry in ENTRIES]


def with_event(kind: type[Event], **changes: Any) -> Callable[[Entry], Entry]:
    def change(entry: Entry) -> Entry:
        place = next(place for place, event in enumerate(entry.events) if isinstance(event, kind))
        event = msgspec.structs.replace(entry.events[place], **changes)
        return msgspec.structs.replace(entry, events=(*entry.events[:place], event, *entry.events[place + 1 :]))

    return change


def seq_with(kind: type[Any]) -> int:
    seqs = [entry.seq for entry in ENTRIES if any(isinstance(event, kind) for event in entry.events)]
    return seqs[len(seqs) // 2]


@pytest.mark.parametrize(("kind", "changes", "found"), [
    (Traded, {"quantity": 10_000_000}, {"conservation", "replay"}),
    (Traded, {"quantity": -10}, {"conservation", "replay"}),
    (Traded, {"price": 499_900}, {"conservation", "replay"}),
    (Traded, {"price": -10_000}, {"conservation", "replay"}),
    (Traded, {"buyer": "thief"}, {"conservation", "replay"}),
    (Traded, {"source": "hydro"}, {"conservation", "replay"}),
    (Traded, {"fee": 100}, {"conservation", "replay"}),
    (Traded, {"sell_order": 1}, {"conservation", "replay"}),
    (Traded, {"slot": day.FIRST + 99}, {"conservation", "replay"}),
    (Limited, {"admitted": 7}, {"replay"}),
    (Limited, {"admitted": 10**9}, {"replay"}),
    (Limited, {"admitted": -10}, {"replay"}),
    (Limited, {"wanted": 30}, {"replay"}),
    (Cancelled, {"quantity": 1}, {"conservation", "replay"}),
    (Expired, {"quantity": 1}, {"conservation", "replay"}),
    (Expired, {"order": 1}, {"conservation", "replay"}),
    (GateClosed, {"slot": 7}, {"replay"}),
    (Settled, {"lines": []}, {"conservation", "replay"}),
    (Settled, {"lines": [("anna", 1, 2, 3)]}, {"conservation", "replay"}),
])  # fmt: skip
def test_a_forged_event_is_found_though_hashes_and_postings_fit_it(
    tmp_path: Path, kind: type[Event], changes: dict[str, Any], found: set[str]
) -> None:
    seq = seq_with(kind)
    report = audit(rewrite(tmp_path / "ledger.db", replaced(seq, with_event(kind, **changes))))
    assert report.first_bad == seq
    assert {finding.check for finding in report.findings if finding.seq == seq} == found
    assert not checks(report) & {"leaf", "canonical", "postings", "zero_sum", "sequence"}


NUMBERS = [
    (entry.seq, place, field)
    for entry in ENTRIES
    for place, event in enumerate(entry.events)
    for field in event.__struct_fields__
    if type(getattr(event, field)) in (int, bool)
]


@settings(max_examples=80, deadline=None)
@given(target=st.sampled_from(NUMBERS), change=st.integers(-600, 600).filter(bool))
def test_the_replay_names_the_entry_in_which_any_one_number_is_forged(
    target: tuple[int, int, str], change: int
) -> None:
    seq, place, field = target
    events = list(ENTRIES[seq - 1].events)
    value = getattr(events[place], field)
    forged = not value if isinstance(value, bool) else value + change
    events[place] = msgspec.structs.replace(events[place], **{field: forged})
    mismatch = Replayer().run(replaced(seq, lambda entry: msgspec.structs.replace(entry, events=tuple(events))))
    assert mismatch is not None
    assert mismatch.seq == seq


def test_a_forged_command_is_found_by_the_replay(tmp_path: Path) -> None:
    def cheaper(entry: Entry) -> Entry:
        assert isinstance(entry.command, Submit)
        worst = -10_000 if entry.command.side == "buy" else 500_000
        return msgspec.structs.replace(entry, command=msgspec.structs.replace(entry.command, price=worst))

    report = audit(rewrite(tmp_path / "ledger.db", replaced(TRADE, cheaper)))
    assert report.first_bad == TRADE
    assert checks(report) >= {"replay", "conservation"}


def test_a_withheld_event_is_found(tmp_path: Path) -> None:
    silent = replaced(TRADE, lambda entry: msgspec.structs.replace(entry, events=entry.events[:1]))
    report = audit(rewrite(tmp_path / "ledger.db", silent))
    assert report.first_bad == TRADE
    assert "replay" in checks(report)


def test_a_verdict_that_was_never_asked_for_is_found(tmp_path: Path) -> None:
    entries = list(day.entries("off"))
    place = trade_seq(tuple(entries)) - 1
    trade = next(event for event in entries[place].events if isinstance(event, Traded))
    false = Limited(place + 1, trade.sell_order, 50, 0, "bus:1:high")
    entries[place] = msgspec.structs.replace(entries[place], events=(*entries[place].events, false))
    assert audit(rewrite(tmp_path / "ledger.db", entries)).first_bad == place + 1


def test_an_entry_forged_at_the_end_is_found(tmp_path: Path) -> None:
    last = len(ENTRIES) + 1
    forged = Entry(last, Cancel("anna", 1), (Cancelled(1, 10, "participant"),))
    report = audit(rewrite(tmp_path / "ledger.db", [*ENTRIES, forged]))
    assert report.first_bad == last


def test_a_feeder_that_cannot_be_read_is_found(tmp_path: Path) -> None:
    command = msgspec.structs.replace(ENTRIES[0].command, feeder="no feeder")
    entries = [msgspec.structs.replace(ENTRIES[0], command=command), *ENTRIES[1:]]
    report = audit(rewrite(tmp_path / "ledger.db", entries))
    assert report.first_bad == 1
    assert "native JSON format" in report.findings[0].detail


def test_pages_that_the_disk_lost_are_found_and_the_rest_is_read(path: Path) -> None:
    connection = sqlite3.connect(path)
    root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'journal'").fetchone()[0]
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    count = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.close()
    content = bytearray(path.read_bytes())
    pages = [page for page in range(root + 1, count) if content[page * size] == 0x0D and b'"seq":1' in
             content[page * size : (page + 1) * size]]  # fmt: skip
    page = pages[len(pages) // 2]
    content[page * size : (page + 1) * size] = b"\xff" * size
    path.write_bytes(content)
    report = audit(path)
    assert not report.ok
    assert checks(report) & {"file", "canonical", "leaf", "sequence"}
    assert report.first_bad is not None
    assert 1 < report.first_bad <= len(ENTRIES)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_reported_and_crashes_nothing(path: Path, data: st.DataObject) -> None:
    right = path.read_bytes()
    content = bytearray(right)
    start = data.draw(st.integers(100, len(content) - 1))
    length = data.draw(st.integers(1, 300))
    content[start : start + length] = data.draw(st.binary(min_size=length, max_size=length))
    path.write_bytes(content[: len(right)])
    told = ""
    try:
        told = "in order" if audit(path).ok else "findings"
    except LedgerError as error:
        told = str(error)
    assert told in ("in order", "findings") or str(path) in told
    if told == "in order":
        # A byte that no row uses may change unnoticed; then the rows are those that were written.
        with Ledger.open(path) as ledger:
            assert tuple(ledger.entries()) == ENTRIES
    path.write_bytes(right)


def test_what_is_no_ledger_is_an_error_not_a_report(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no such file"):
        audit(tmp_path / "missing.db")


def real_gate(market: MarketSettings, feeder: str) -> Gate:
    return gate_of(market.gate)


@pytest.mark.parametrize("mode", ["off", "linear", "ac"])
def test_a_recheck_computes_the_same_verdicts(tmp_path: Path, mode: GateMode) -> None:
    path = ledger_at(tmp_path / "ledger.db", day.entries(mode))
    report = audit(path, gate_factory=real_gate)
    assert report.ok
    assert not any("wires" in text for text in report.not_provable)
    assert any("wires" in text for text in audit(path).not_provable)


def test_a_recheck_finds_verdicts_that_the_wires_would_not_give(path: Path) -> None:
    report = audit(path, gate_factory=lambda market, feeder: OpenGate(CONNECTIONS))
    limited = min(entry.seq for entry in ENTRIES if any(isinstance(event, Limited) for event in entry.events))
    assert checks(report) == {"replay"}
    assert report.first_bad == limited


def test_replay_tells_how_far_it_came(path: Path) -> None:
    steps = list(replay(path))
    events = sum(len(entry.events) for entry in ENTRIES)
    assert steps[-1] == (len(ENTRIES), events, None, len(ENTRIES))


def test_replay_stops_at_the_first_difference(tmp_path: Path) -> None:
    forged = replaced(TRADE, with_event(Traded, price=499_900))
    *_, last = replay(rewrite(tmp_path / "ledger.db", forged))
    assert last.mismatch is not None
    assert last.mismatch.seq == TRADE
    assert "499900" in last.mismatch.detail
    assert last.entries == TRADE - 1


def test_an_order_that_outlives_its_gate_is_found() -> None:
    watch = Conservation()
    closing = next(entry.seq for entry in ENTRIES if any(isinstance(event, Expired) for event in entry.events))
    found: list[str] = []
    for entry in ENTRIES[:closing]:
        if entry.seq == closing:
            assert isinstance(entry.command, AdvanceClock)
            kept = tuple(event for event in entry.events if not isinstance(event, Expired))
            entry = msgspec.structs.replace(entry, events=kept)
        found += watch.observe(entry, postings(entry, day.settings("ac")))
    assert any("still rests" in text for text in found)


def test_orders_in_are_filled_resting_cancelled_or_expired_at_every_entry() -> None:
    watch = Conservation()
    for entry in ENTRIES:
        assert list(watch.observe(entry, postings(entry, day.settings("ac")))) == []
        totals = watch.totals
        assert totals.submitted == totals.filled + totals.cancelled + totals.expired + watch.resting
    assert watch.resting == 0
    assert totals.submitted > 0


class Renaming(CappedGate):
    """Answers as it should, but calls the limits by other names."""

    def check(self, slot: int, inject: int, withdraw: int, wanted: int, lot: int) -> Verdict:
        verdict = super().check(slot, inject, withdraw, wanted, lot)
        return verdict._replace(constraint=verdict.constraint and "branch:other")


def test_verdicts_computed_anew_may_name_another_limit_only_where_stages_of_a_gate_decide() -> None:
    for mode, agrees in (("certified", True), ("ac", False)):
        assert (Replayer(lambda *_: Renaming(600)).run(entries(mode)) is None) == agrees
        assert Replayer(lambda *_: CappedGate(599)).run(entries(mode)) is not None
