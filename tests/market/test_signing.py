"""A ledger that signs what it stores: checkpoints, keys and their handover."""

from __future__ import annotations

import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest

from market import keyring
from market.keyring import Keyring, KeyRow
from market.ledger import LedgerError
from market.merkle import MerkleError, verify_consistency
from market.notes import Checkpoint, NoteError, Signer, Verifier, sign, verify
from market.store import Ledger
from tests.market import day

ENTRIES = day.entries(slots=12, orders=60)
OLD, NEW, NEWEST = (Signer("example.org/lane", bytes([number] * 32)) for number in (1, 2, 3))
FOREIGN = Signer("example.org/other", bytes([9] * 32))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "ledger.db")


def appended(ledger: Ledger, first: int, last: int) -> None:
    for start in range(first - 1, last, 50):
        ledger.append(ENTRIES[start : min(start + 50, last)])


def test_checkpoints_come_every_so_many_entries_and_at_the_end(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("market.store.SIGN_EVERY", 120)
    ledger.sign_with(OLD)
    appended(ledger, 1, 400)
    ledger.sign()
    sizes = [size for size, _ in ledger.checkpoints()]
    assert sizes == [150, 300, 400]
    ring = Keyring(ledger.keys())
    points = [ring.open(note) for _, note in ledger.checkpoints()]
    assert [point.size for point in points] == sizes
    log = ledger.log()
    assert [point.root for point in points] == [log.root(size) for size in sizes]
    for before, after in pairwise(points):
        path = log.consistency(before.size, after.size)
        verify_consistency(before.size, after.size, path, before.root, after.root)


def test_signing_twice_signs_once_and_nothing_is_signed_of_an_empty_ledger(ledger: Ledger) -> None:
    ledger.sign_with(OLD)
    assert ledger.sign() is None
    appended(ledger, 1, 60)
    note = ledger.sign()
    assert note == ledger.sign()
    assert ledger.checkpoints() == [(60, note)]


def test_a_reopened_ledger_signs_on_and_its_root_is_that_of_one_never_closed(ledger: Ledger, tmp_path: Path) -> None:
    ledger.sign_with(OLD)
    appended(ledger, 1, 300)
    first = ledger.sign()
    ledger.close()
    with Ledger.open(tmp_path / "ledger.db", readonly=False) as again:
        again.sign_with(OLD)
        assert again.sign() == first
        appended(again, 301, 600)
        second = again.sign()
    with Ledger.create(tmp_path / "whole.db") as whole:
        whole.sign_with(OLD)
        whole.append(ENTRIES[:600])
        assert whole.sign() == second
        assert whole.tiles(0) != []
    with Ledger.open(tmp_path / "ledger.db") as again, Ledger.open(tmp_path / "whole.db") as whole:
        assert again.tiles(0) == whole.tiles(0)


def test_a_failed_append_leaves_the_log_as_it_was(ledger: Ledger) -> None:
    ledger.sign_with(OLD)
    appended(ledger, 1, 200)
    with pytest.raises(LedgerError):
        ledger.append(ENTRIES[250:300])
    appended(ledger, 201, 400)
    assert Keyring(ledger.keys()).open(ledger.sign() or "").root == ledger.log().tree().root()


def test_another_key_may_not_sign_on(ledger: Ledger) -> None:
    ledger.sign_with(OLD)
    for other in (NEW, FOREIGN):
        with pytest.raises(LedgerError, match="wattbook keys rotate"):
            ledger.sign_with(other)


def test_without_a_key_nothing_is_signed(ledger: Ledger) -> None:
    appended(ledger, 1, 60)
    assert (ledger.checkpoints(), ledger.keys()) == ([], [])
    with pytest.raises(LedgerError, match="no key to sign with"):
        ledger.sign()


def test_a_reader_may_not_sign(ledger: Ledger, tmp_path: Path) -> None:
    ledger.close()
    with Ledger.open(tmp_path / "ledger.db") as reader, pytest.raises(LedgerError, match="reading only"):
        reader.sign_with(OLD)


@pytest.mark.parametrize("table", ["checkpoint", "tile", "verifier"])
def test_what_was_signed_is_never_changed(ledger: Ledger, tmp_path: Path, table: str) -> None:
    ledger.sign_with(OLD)
    appended(ledger, 1, 300)
    ledger.sign()
    ledger.close()
    connection = sqlite3.connect(tmp_path / "ledger.db")
    column = {"checkpoint": "note", "tile": "hashes", "verifier": "key"}[table]
    for statement in (f"UPDATE {table} SET {column} = ''", f"DELETE FROM {table}",
                      f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"):  # fmt: skip
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


# -- handing over ---------------------------------------------------------------------------------------------------


def test_every_checkpoint_stays_verifiable_through_two_rotations(ledger: Ledger) -> None:
    ledger.sign_with(OLD)
    appended(ledger, 1, 100)
    ledger.rotate(OLD, NEW)
    appended(ledger, 101, 200)
    ledger.rotate(NEW, NEWEST)
    appended(ledger, 201, 300)
    ledger.sign()
    notes = dict(ledger.checkpoints())
    assert verify(notes[100], [OLD.verifier])[1] == [OLD.verifier]
    assert verify(notes[200], [NEW.verifier])[1] == [NEW.verifier]
    assert verify(notes[300], [NEWEST.verifier])[1] == [NEWEST.verifier]
    ring = Keyring(ledger.keys())
    assert [ring.open(note).size for note in notes.values()] == [100, 200, 300]
    assert all(ring.trusts(signer.verifier) for signer in (OLD, NEW, NEWEST))
    assert not ring.trusts(FOREIGN.verifier)
    with pytest.raises(LedgerError):
        ledger.sign_with(OLD)


def test_a_retired_key_signs_nothing_later_and_a_new_one_nothing_earlier(ledger: Ledger) -> None:
    ledger.sign_with(OLD)
    appended(ledger, 1, 100)
    ledger.rotate(OLD, NEW)
    ring = Keyring(ledger.keys())
    root = bytes(32)
    for size, signer in ((101, OLD), (100, NEW), (5, NEW)):
        with pytest.raises(NoteError, match="not by a key that you trust"):
            ring.open(sign(Checkpoint(OLD.name, size, root).text(), [signer]))


def test_a_checkpoint_of_another_log_is_refused(ledger: Ledger) -> None:
    ledger.sign_with(OLD)
    with pytest.raises(NoteError, match="of the log 'elsewhere'"):
        Keyring(ledger.keys()).open(sign(Checkpoint("elsewhere", 1, bytes(32)).text(), [OLD]))


def test_handing_over_needs_the_present_key_and_a_new_one_of_the_same_name(ledger: Ledger) -> None:
    ledger.sign_with(OLD)
    appended(ledger, 1, 100)
    for old, new, why in ((NEW, NEWEST, "is signed with the key"), (OLD, FOREIGN, "is named"), (OLD, OLD, "before")):
        with pytest.raises(LedgerError, match=why):
            ledger.rotate(old, new)


def rows() -> list[KeyRow]:
    found = [keyring.first(OLD)]
    found.append(keyring.handover(found, 100, OLD, NEW))
    found.append(keyring.handover(found, 200, NEW, NEWEST))
    return found


@pytest.mark.parametrize(("number", "changes"), [
    (0, {"size": 1}), (0, {"note": "x"}), (0, {"number": 1}), (0, {"key": str(NEWEST.verifier)}),
    (0, {"key": "nonsense"}), (1, {"size": 101}), (1, {"number": 2}), (1, {"key": str(NEWEST.verifier)}),
    (1, {"note": ""}),
    (1, {"note": sign("wattbook key rotation\n", [OLD, NEW])}), (2, {"note": rows()[1].note}), (2, {"size": 99}),
])  # fmt: skip
def test_a_forged_handover_is_refused(number: int, changes: dict[str, object]) -> None:
    forged = rows()
    Keyring(forged)
    forged[number] = forged[number]._replace(**changes)  # type: ignore[arg-type]
    with pytest.raises(NoteError):
        Keyring(forged)


def test_a_handover_signed_by_one_of_the_two_is_refused() -> None:
    text = rows()[1].note.rpartition("\n\n")[0] + "\n"
    for signers in ([OLD], [NEW], [NEW, FOREIGN]):
        with pytest.raises(NoteError):
            Keyring([rows()[0], rows()[1]._replace(note=sign(text, signers))])


def test_the_order_of_handovers_matters() -> None:
    with pytest.raises(NoteError):
        Keyring([])
    with pytest.raises(NoteError):
        Keyring([rows()[0], rows()[2]])
    with pytest.raises(NoteError):
        Keyring([rows()[0], rows()[2], rows()[1]])


# -- forks ----------------------------------------------------------------------------------------------------------


def test_no_proof_joins_two_histories(tmp_path: Path) -> None:
    checkpoints = []
    for name, seed in (("one", 1), ("two", 2)):
        with Ledger.create(tmp_path / f"{name}.db") as ledger:
            ledger.sign_with(OLD)
            ledger.append(ENTRIES[:100])
            changed = day.entries(seed=seed, slots=12, orders=60)[100:300]
            ledger.append(changed)
            ledger.sign()
            point = Keyring(ledger.keys()).open(ledger.checkpoints()[-1][1])
            checkpoints.append((point, ledger.log()))
            paths = [ledger.log().consistency(size, 300) for size in (100, 200, 250)]
            own = [ledger.log().root(size) for size in (100, 200, 250)]
            for size, path, root in zip((100, 200, 250), paths, own, strict=True):
                verify_consistency(size, 300, path, root, point.root)
    (one, _), (two, log) = checkpoints
    assert one.size == two.size
    assert one.root != two.root
    with pytest.raises(MerkleError):
        verify_consistency(one.size, two.size, [], one.root, two.root)
    with Ledger.open(tmp_path / "one.db") as ledger, pytest.raises(MerkleError):
        verify_consistency(200, 300, log.consistency(200), ledger.log().root(200), two.root)


def test_a_verifier_compares_by_name_and_key() -> None:
    assert Verifier.parse(str(OLD.verifier)) == OLD.verifier
    assert len({OLD.verifier, NEW.verifier, Verifier("example.org/elsewhere", OLD.verifier.public)}) == 3
