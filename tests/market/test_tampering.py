"""Random tampering with a ledger and with its export: all of it is found, or changes nothing that means anything."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from market.audit import AuditReport, audit
from market.events import Entry
from market.exchange import Exchange
from market.export import export
from market.ledger import LedgerError
from market.orders import Submit
from market.store import Ledger
from tests.market import day
from tests.market.signed import FOREIGN, KEY, NEXT, signed_ledger
from tests.market.tamper import IN_ROWS, Deed, Rng, Rows, content, in_bytes, in_lines, in_rows

ENTRIES = day.entries(seed=11, slots=8, orders=60)
OTHER = day.entries(seed=12, slots=8, orders=60)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    for name, entries in (("own", ENTRIES), ("other", OTHER)):
        path = signed_ledger(folder / f"{name}.db", entries)
        with Ledger.open(path) as ledger:
            export(ledger, folder / f"{name}.gz")
        assert audit(path, keys=[KEY.verifier]).ok
    return folder


Way = tuple[str, Callable[[Path, Path, Rng], Deed]]
WAYS: list[Way] = [("db", in_rows), ("db", in_bytes), ("gz", in_lines), ("gz", in_bytes)]


def outcome(path: Path) -> AuditReport | LedgerError:
    try:
        return audit(path, keys=[KEY.verifier])
    except LedgerError as error:
        return error


def judge(original: Path, path: Path, deed: Deed) -> None:
    """Raises AssertionError unless the deed was found, with the entry that it says, or changed nothing."""
    found = outcome(path)
    if isinstance(found, LedgerError):
        assert str(path) in str(found), deed
        return
    if not found.ok:
        if deed.last is not None:
            assert found.first_bad is not None, (deed, found.findings[:3])
            assert (deed.first or 0) <= found.first_bad <= deed.last, (deed, found.findings[:3])
        return
    if content(path) != content(original):
        # All that may change unnoticed: a checkpoint less. Then the next one covers the same entries, or the report
        # says which entries nobody vouches for any more.
        lost = [*content(original)]
        kept = [*content(path)]
        assert [kept[table] == lost[table] for table in (0, 1, 2, 4)] == [True] * 4, deed
        assert len(kept[3]) == len(lost[3]) - 1, deed
        assert found.signed == kept[3][-1][0], deed
        assert found.signed == found.entries or any("no checkpoint covers" in text for text in found.not_provable), deed


def tamper(originals: Path, folder: Path, suffix: str, way: Callable[[Path, Path, Rng], Deed], seed: int) -> None:
    original = originals / f"own.{suffix}"
    path = folder / f"tampered.{suffix}"
    shutil.copy(original, path)
    deed = way(path, originals / f"other.{suffix}", np.random.default_rng(seed))
    judge(original, path, deed._replace(what=f"{deed.what} (seed {seed})"))
    for left in folder.glob("tampered*"):
        left.unlink()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}-{way[1].__name__}")
def test_tampering_is_found(originals: Path, tmp_path: Path, way: Way) -> None:
    for seed in range(25):
        tamper(originals, tmp_path, *way, seed)


@pytest.mark.slow  # a thousand and more audits
@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}-{way[1].__name__}")
@pytest.mark.parametrize("start", range(1000, 1400, 50))
def test_tampering_is_found_every_time(originals: Path, tmp_path: Path, way: Way, start: int) -> None:
    for seed in range(start, start + 50):
        tamper(originals, tmp_path, *way, seed)


def test_the_random_deeds_are_of_every_kind(originals: Path, tmp_path: Path) -> None:
    kinds = set()
    for seed in range(60):
        path = tmp_path / "tampered.db"
        shutil.copy(originals / "own.db", path)
        kinds.add(in_rows(path, originals / "other.db", np.random.default_rng(seed)).what.split()[0])
    assert kinds == {deed.__name__ for deed in IN_ROWS}


def test_bytes_that_mean_nothing_may_change(originals: Path, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    raw = bytearray((originals / "own.db").read_bytes())
    raw[92:96] = b"\xff\xff\xff\xff"  # which version of SQLite wrote the file last
    path.write_bytes(raw)
    assert content(path) == content(originals / "own.db")
    assert audit(path, keys=[KEY.verifier]).ok
    packed = tmp_path / "export.gz"
    raw = bytearray((originals / "own.gz").read_bytes())
    raw[9] ^= 1  # which system packed it
    packed.write_bytes(raw)
    assert content(packed) == content(originals / "own.gz")
    assert audit(packed, keys=[KEY.verifier]).ok


def changed(seq: int) -> list[Entry]:
    """The day with one order at another price from entry `seq` on, played out by the rules."""
    commands = [entry.command for entry in ENTRIES]
    order = commands[seq - 1]
    assert isinstance(order, Submit)
    commands[seq - 1] = msgspec.structs.replace(order, price=order.price + 100)
    return Exchange(day.gate_of("ac")).apply_many(commands)


ORDER = next(entry.seq for entry in ENTRIES[250:] if isinstance(entry.command, Submit))


def test_a_history_rewritten_by_the_rules_is_found_by_its_signatures(tmp_path: Path, originals: Path) -> None:
    forged = tmp_path / "forged.db"
    day.ledger_at(forged, tuple(changed(ORDER)))
    assert audit(forged).ok
    rows = Rows(forged, originals / "own.db")
    for table in ("checkpoint", "verifier"):
        rows.run(f"INSERT INTO {table} SELECT * FROM other.{table}")
    since = max(size for (size,) in rows.run("SELECT size FROM checkpoint") if size < ORDER) + 1
    rows.close()
    report = audit(forged)
    assert {finding.check for finding in report.findings} == {"checkpoint"}
    assert report.first_bad == since <= ORDER
    assert report.signed == since - 1
    with Ledger.open(forged) as ledger:
        export(ledger, tmp_path / "forged.gz")
    report = audit(tmp_path / "forged.gz")
    assert report.first_bad == since
    assert "checkpoint" in {finding.check for finding in report.findings}


def test_a_history_signed_anew_by_the_operator_is_found_by_an_earlier_checkpoint_only(
    tmp_path: Path, originals: Path
) -> None:
    with Ledger.open(originals / "own.db") as ledger:
        early = dict(ledger.checkpoints())[200]
        late = ledger.checkpoints()[-1][1]
    forged = signed_ledger(tmp_path / "forged.db", changed(ORDER))
    assert audit(forged, keys=[KEY.verifier, NEXT.verifier], checkpoints=[early]).ok
    report = audit(forged, keys=[KEY.verifier], checkpoints=[early, late])
    assert {finding.check for finding in report.findings} == {"continuity"}
    assert report.first_bad == 201 <= ORDER
    assert any("showed the same log to everyone" in text for text in audit(forged).not_provable)


def test_a_history_signed_by_somebody_else_is_sound_but_not_the_operators(tmp_path: Path) -> None:
    forged = tmp_path / "forged.db"
    with Ledger.create(forged) as ledger:
        ledger.sign_with(FOREIGN)
        ledger.append(ENTRIES)
        ledger.sign()
    assert any("names itself" in text for text in audit(forged).not_provable)
    report = audit(forged, keys=[KEY.verifier])
    assert {finding.check for finding in report.findings} == {"signature"}
