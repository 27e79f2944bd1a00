from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest

from market.events import Entry
from market.orders import Curtail
from market.statement import ITEMS, Line, Statement, StatementError, state
from market.store import Ledger, upgrade
from tests.market import day
from tests.market.conftest import Place
from tests.market.corrected import SLOT, after, journal
from tests.market.day import ledger_at
from tests.market.test_correction import CORRECTIONS, SETTLED

MONTH = "1971-02"
CASES = Path(__file__).parent.parent / "cases" / "ledger"


def stated(
    path: Path, entries: list[Entry] | tuple[Entry, ...], who: str, corrections: tuple[int, int] | None = None
) -> Statement:
    ledger_at(path, tuple(entries))
    with Ledger.open(path) as ledger:
        return state(ledger, who, MONTH, corrections)


def shown(lines: list[Line]) -> dict[tuple[str, str], tuple[int, int]]:
    return {(line.item, line.source): (line.wh, line.money) for line in lines}


def test_a_statement_lists_what_was_traded_and_settled(tmp_path: Path) -> None:
    entries = journal(*SETTLED[:4], after(0), Curtail(SLOT, {"anna": 200}), *SETTLED[4:])
    found = stated(tmp_path / "a.db", entries, "anna")
    assert shown(found.lines) == {
        ("sold locally", ""): (1_000, 1_000 * 100_000),
        ("curtailment", ""): (200, 200 * 150_000),
        ("shortage", ""): (200, -200 * 140_000),
        ("origin given", "solar"): (1_000, 0),
        ("origin issued", "solar"): (800, 0),
        ("origin returned", "solar"): (200, 0),
    }
    assert {line.day for line in found.lines} == {"1971-02-21"}
    assert (found.slots, found.estimated, found.open, found.meters) == (1, 0, 0, 1)


@pytest.mark.parametrize("who", day.NAMES)
def test_the_sum_of_a_statement_is_what_the_ledger_posted(who: str, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    found = stated(path, day.entries(), who)
    with Ledger.open(path) as ledger:
        assert found.money == ledger.balances()[who, "EUR"]
    assert found.open == 1
    assert {line.item for line in found.lines} <= set(ITEMS)
    totals = Counter[tuple[str, str]]()
    for line in found.lines:
        totals[line.item, line.source] += line.wh
    assert {(line.item, line.source): line.wh for line in found.totals()} == dict(totals)


@pytest.mark.parametrize("who", ["anna", "cleo", "dora", "utility"])
def test_a_statement_never_changes_and_a_correction_is_one_of_its_own(who: str, tmp_path: Path) -> None:
    before = stated(tmp_path / "a.db", journal(*SETTLED), who)
    entries = journal(*SETTLED, *CORRECTIONS)
    assert stated(tmp_path / "b.db", entries, who) == before
    later = stated(tmp_path / "c.db", entries, who, (len(entries) - 1, len(entries)))
    with Ledger.open(tmp_path / "c.db") as ledger:
        assert before.money + later.money == ledger.balances().get((who, "EUR"), 0)
    assert {line.run for line in later.lines} <= {2}
    assert stated(tmp_path / "d.db", entries, who, (1, len(entries) - 1)).lines == []


def test_a_correction_states_the_difference_with_run_and_version(tmp_path: Path) -> None:
    entries = journal(*SETTLED, *CORRECTIONS)
    found = stated(tmp_path / "a.db", entries, "anna", (1, len(entries)))
    assert shown(found.lines) == {
        ("correction", ""): (150, 150 * 140_000),
        ("origin issued", "solar"): (150, 0),
        ("origin returned", "solar"): (-150, 0),
    }
    assert (found.first, found.last, found.meters, found.slots) == (len(entries), len(entries), 2, 1)


def test_a_servers_ledger_gives_the_same_statement(place: Place, tmp_path: Path) -> None:
    url = ledger_at(place(), day.entries())
    with Ledger.open(url) as ledger:
        assert state(ledger, "anna", MONTH) == stated(tmp_path / "a.db", day.entries(), "anna")


def test_a_ledger_of_the_first_schema_still_settles_and_states(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress((CASES / "schema_0001.db.gz").read_bytes()))
    upgrade(path)
    with Ledger.open(path) as ledger:
        balances = ledger.balances()
        for who in ("anna", "bert"):
            assert state(ledger, who, MONTH).money == balances[who, "EUR"]


def test_slots_without_a_reading_or_a_settlement_are_counted(tmp_path: Path) -> None:
    silent = stated(tmp_path / "a.db", day.entries(), day.NAMES[-1])
    assert silent.estimated == silent.slots == 4
    shorter = day.entries()[:-3]
    assert stated(tmp_path / "b.db", shorter, "anna").open == 2


@pytest.mark.parametrize(
    ("who", "month", "told"),
    [
        ("zoe", MONTH, "participant: 'zoe' was never settled"),
        ("anna", "1971-03", "month: no slot of 1971-03 is settled; there are 1971-02"),
        ("anna", "1971-13", "month: must be a year and a month such as 2016-06, got '1971-13'"),
    ],
)
def test_a_statement_that_there_is_not_is_refused_by_name(who: str, month: str, told: str, tmp_path: Path) -> None:
    path = ledger_at(tmp_path / "a.db", day.entries())
    with Ledger.open(path) as ledger, pytest.raises(StatementError, match=told):
        state(ledger, who, month)
