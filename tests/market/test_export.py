from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from market import journal
from market.audit import CHECKS, audit
from market.export import export
from market.ledger import LedgerError
from market.notes import Signer
from market.receipt import make, verify
from market.store import Ledger
from tests.market import day
from tests.market.conftest import Place
from tests.market.signed import ENTRIES, FOREIGN, KEY, NEXT, signed_ledger

NOT_IN_AN_EXPORT = {"schema", "postings", "tiles"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return signed_ledger(tmp_path / "ledger.db")


def exported(ledger: Path, name: str = "ledger.ndjson.gz") -> Path:
    target = ledger.parent / name
    with Ledger.open(ledger) as opened:
        export(opened, target)
    return target


def test_an_export_holds_every_entry_checkpoint_and_key(path: Path) -> None:
    lines = gzip.decompress(exported(path).read_bytes()).splitlines()
    bodies = [line for line in lines if line.startswith(b'{"command"')]
    assert bodies == [journal.encode(entry) for entry in ENTRIES]
    others = [json.loads(line) for line in lines if not line.startswith(b'{"command"')]
    with Ledger.open(path) as ledger:
        assert [other["checkpoint"] for other in others if "checkpoint" in other] == [
            note for _, note in ledger.checkpoints()
        ]
        assert others[0]["keys"] == [list(row) for row in ledger.keys()]  # noqa: SIM118
    assert others[0]["entries"] == others[-1]["end"] == len(ENTRIES)


def test_an_export_proves_all_that_does_not_need_the_database(path: Path) -> None:
    report = audit(exported(path), keys=[KEY.verifier])
    assert report.findings == []
    assert report.proved == [CHECKS[check] for check in CHECKS if check not in NOT_IN_AN_EXPORT | {"continuity"}]
    whole = audit(path, keys=[NEXT.verifier])
    assert whole.ok
    assert (report.root, report.entries, report.trades) == (whole.root, whole.entries, whole.trades)
    assert report.signed == len(ENTRIES)
    assert not any("names itself" in text for text in report.not_provable)


def test_the_same_ledger_gives_the_same_bytes_and_they_may_be_packed_anew(path: Path) -> None:
    first, second = exported(path), exported(path, "again.gz")
    assert first.read_bytes() == second.read_bytes()
    plain = path.parent / "plain.ndjson"
    plain.write_bytes(gzip.decompress(first.read_bytes()))
    assert audit(plain, keys=[KEY.verifier]).ok


def test_an_export_never_replaces_a_file_and_leaves_none_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = exported(path)
    before = target.read_bytes()
    with pytest.raises(LedgerError, match="exists already"):
        exported(path)
    assert target.read_bytes() == before

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("market.export.os.fsync", full)
    with pytest.raises(LedgerError, match="No space left"):
        exported(path, "other.gz")
    assert not (path.parent / "other.gz").exists()


def test_entries_behind_the_last_checkpoint_wait_for_the_next_export(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.create(path) as ledger:
        ledger.sign_with(KEY)
        ledger.append(ENTRIES[:300])
        ledger.sign()
        ledger.append(ENTRIES[300:350])
        done = export(ledger, tmp_path / "out.gz")
    assert (done.entries, done.unsigned) == (300, 50)
    assert audit(tmp_path / "out.gz").entries == 300
    report = audit(path)
    assert report.ok
    assert (report.signed, report.entries) == (300, 350)
    assert any("entries 301 to 350" in text for text in report.not_provable)


def test_an_unsigned_ledger_is_exported_whole_and_says_what_it_lacks(tmp_path: Path) -> None:
    path = day.ledger_at(tmp_path / "ledger.db", ENTRIES)
    report = audit(exported(path))
    assert report.ok
    assert (report.entries, report.signed, report.keys) == (len(ENTRIES), 0, [])
    assert any("no signed checkpoint" in text for text in report.not_provable)
    assert not audit(exported(path, "again.gz"), keys=[KEY.verifier]).ok


def test_an_empty_ledger_is_exported_and_in_order(tmp_path: Path) -> None:
    Ledger.create(tmp_path / "ledger.db").close()
    report = audit(exported(tmp_path / "ledger.db"))
    assert (report.ok, report.entries) == (True, 0)


def test_either_database_signs_audits_exports_and_hands_out_receipts(place: Place, path: Path) -> None:
    target = signed_ledger(place())
    report = audit(target, keys=[NEXT.verifier])
    assert report.ok
    unproved = {"continuity"}
    assert report.proved == [CHECKS[check] for check in CHECKS if check not in unproved]
    with Ledger.open(target) as ledger:
        export(ledger, path.parent / "from_database.gz")
        assert verify(make(ledger, 500), [KEY.verifier]).entry == ENTRIES[499]
    assert (path.parent / "from_database.gz").read_bytes() == exported(path).read_bytes()


@pytest.mark.parametrize("key", [FOREIGN, Signer("example.org/elsewhere", bytes([1] * 32))])
def test_a_ledger_of_another_key_is_refused(path: Path, key: Signer) -> None:
    for target in (path, exported(path)):
        report = audit(target, keys=[key.verifier])
        assert [finding.check for finding in report.findings if finding.seq is None] == ["signature"]
        assert "not by the key that you gave" in report.findings[0].detail
        assert CHECKS["signature"] not in report.proved


def test_a_checkpoint_given_earlier_must_be_continued(tmp_path: Path) -> None:
    honest = signed_ledger(tmp_path / "honest.db", ENTRIES[:400], rotate=False)
    with Ledger.open(honest) as ledger:
        (_, early), *_, (_, late) = ledger.checkpoints()
    forked = tmp_path / "forked.db"
    other = day.entries(seed=8, slots=12, orders=60)
    signed_ledger(forked, other[:300], rotate=False)
    for target in (honest, exported(honest)):
        report = audit(target, keys=[KEY.verifier], checkpoints=[early, late])
        assert report.ok
        assert CHECKS["continuity"] in report.proved
    for target in (forked, exported(forked, "forked.gz")):
        assert audit(target, keys=[KEY.verifier]).ok
        report = audit(target, keys=[KEY.verifier], checkpoints=[early])
        assert [finding.check for finding in report.findings] == ["continuity"]
        assert report.first_bad == 1
        report = audit(target, keys=[KEY.verifier], checkpoints=[late])
        assert report.first_bad == 301
        assert "now it has fewer" in report.findings[0].detail
    assert not audit(honest, checkpoints=[early.replace("lane", "line")]).ok


@pytest.mark.parametrize(("content", "why"), [
    (b"\x1f\x8b", "is cut short"), (b"\x1f\x8bnonsense", "is damaged"), (gzip.compress(b""), "line 1"),
    (gzip.compress(b"{}\n"), "line 1"), (b'{"entries":3}\n', "line 1"), (gzip.compress(b"no line end"), "cut short in"),
    (b'{"entries":0,"export":2,"keys":[]}\n', "update wattbook"),
])  # fmt: skip
def test_what_is_no_export_is_an_error(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "broken.gz"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=why):
        audit(path)


@pytest.mark.slow  # writes and audits tens of thousands of entries to watch the memory
def test_memory_does_not_grow_with_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("market.audit.CHUNK", 1000)
    monkeypatch.setattr(Ledger._journal_pages, "__defaults__", (1000,))
    writing, reading = [], []
    for slots in (60, 240):
        entries = day.entries(seed=3, slots=slots, orders=60)
        path = signed_ledger(tmp_path / f"{slots}.db", entries, 1000, rotate=False)
        del entries
        day.entries.cache_clear()
        tracemalloc.start()
        target = exported(path, f"{slots}.gz")
        writing.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()
        assert audit(target).ok
        reading.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert writing[1] < 1.2 * writing[0]
    # The replayed exchange remembers a little of every slot that it settled.
    assert reading[1] < 2 * reading[0]
