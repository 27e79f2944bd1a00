from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.events import Traded
from market.listing import FIELDS, Row, of, rows
from market.store import Ledger
from market.where import Comparison, Joined, WhereError, parse
from tests.market import corrected, day
from tests.market.conftest import Place
from tests.market.day import ledger_at
from tests.market.test_correction import CORRECTIONS, SETTLED

EVERYTHING = Joined(())
FIELD = {"price": int, "buyer": str, "own": bool}


@pytest.fixture
def path(place: Place) -> str:
    return ledger_at(place(), day.entries())


def listed(path: str | Path, kind: str, where: str = "") -> list[Row]:
    with Ledger.open(path) as ledger:
        return list(rows(ledger, kind, parse(where, FIELDS[kind]) if where else EVERYTHING))


def test_every_list_has_the_columns_that_it_names(path: str) -> None:
    for kind, fields in FIELDS.items():
        found = listed(path, kind)
        assert found
        assert [*found[0]] == [*fields]
        assert {type(value) for row in found for value in row.values()} <= {int, str, bool}


def test_trades_are_those_of_the_journal(path: str) -> None:
    trades = [(e.seq, t.price, t.buyer) for e in day.entries() for t in e.events if isinstance(t, Traded)]
    assert [(row["seq"], row["price"], row["buyer"]) for row in listed(path, "trades")] == trades
    assert {row["delivery"] for row in listed(path, "trades", f"slot = {day.FIRST}")} == {"1971-02-21T16:00:00Z"}


def test_balances_are_the_sums_of_the_postings(path: str) -> None:
    sums: Counter[tuple[str, str]] = Counter()
    for row in listed(path, "postings"):
        sums[row["account"], row["asset"]] += row["amount"]
    assert {(row["account"], row["asset"]): row["amount"] for row in listed(path, "balances")} == dict(sums)
    with Ledger.open(path) as ledger:
        assert dict(sums) == ledger.balances()


Filter = Callable[[Row], bool]
CASES: list[tuple[str, str, Filter]] = [
    ("trades", "buyer = anna and price > 100000", lambda row: row["buyer"] == "anna" and row["price"] > 100_000),
    ("trades", "not (source = solar or source = '')", lambda row: row["source"] not in ("solar", "")),
    ("trades", "buy_flexible = true", lambda row: bool(row["buy_flexible"])),
    ("postings", "asset = EUR and amount < 0 or account = wires", lambda row: (
        (row["asset"] == "EUR" and row["amount"] < 0) or row["account"] == "wires")),
    ("postings", "not asset = WH and seq >= 50", lambda row: row["asset"] != "WH" and row["seq"] >= 50),
    ("balances", "amount <= -1 AND account != utility", lambda row: row["amount"] < 0 and row["account"] != "utility"),
    ("settlements", "imbalance < 0 or estimated = true", lambda row: row["imbalance"] < 0 or row["estimated"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "where", "right"), CASES)
def test_a_condition_picks_the_same_rows_as_python(path: str, kind: str, where: str, right: Filter) -> None:
    expected = [row for row in listed(path, kind) if right(row)]
    assert expected
    assert listed(path, kind, where) == expected


def test_rows_of_a_participant_are_those_in_which_it_has_a_part(path: str) -> None:
    with Ledger.open(path) as ledger:
        found = list(rows(ledger, "trades", of("trades", "anna")))
    assert found == [row for row in listed(path, "trades") if "anna" in (row["buyer"], row["seller"])]


def test_corrections_are_rows_of_their_own(tmp_path: Path) -> None:
    entries = corrected.journal(*SETTLED, *CORRECTIONS)
    found = listed(ledger_at(tmp_path / "ledger.db", tuple(entries)), "settlements", "participant = anna")
    shown = [(row["run"], row["meters"], row["metered"], row["imbalance"], row["money"]) for row in found]
    assert shown == [(1, 1, 800, -200, -200 * 140_000), (2, 2, 950, -50, 150 * 140_000)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prise > 3", "no field 'prise'; there are price, buyer, own"),
        ("price", "needs one of"),
        ("price > 'x'", "price is a whole number in market units, got 'x'"),
        ("price > 1e5", "price is a whole number"),
        ("own = yes", "own is true or false, got 'yes'"),
        ("(price > 3", "not closed"),
        ("price > 3 buyer = anna", "left over"),
        ("price > 3 and", "no field 'the end'"),
        ("price = = 3", "needs a value"),
        ("'", "cannot read"),
        ("(" * 60 + "price = 1" + ")" * 60, "write it flatter"),
    ],
)
def test_a_condition_that_cannot_be_read_is_refused_with_the_way_out(text: str, told: str) -> None:
    with pytest.raises(WhereError, match=told.replace("(", r"\(")):
        parse(text, FIELD)


def test_a_value_never_becomes_sql(path: str) -> None:
    assert listed(path, "postings", "account = \"x' OR '1'='1\"") == []
    assert listed(path, "postings", "account = ';DROP'") == []


names = st.text(st.characters(exclude_characters="'\"", exclude_categories=["Cs"]), max_size=8)


@given(st.integers(-(10**17), 10**17), names)
def test_every_value_in_quotes_is_read_as_it_is(number: int, name: str) -> None:
    found = parse(f"price = {number} and buyer = '{name}'", FIELD)
    assert found == Joined((Comparison("price", "=", number), Comparison("buyer", "=", name)))


@given(st.text(max_size=40))
def test_any_text_is_a_condition_or_a_where_error(text: str) -> None:
    try:
        row: dict[str, Any] = {"price": 1, "buyer": "anna", "own": True}
        parse(text, FIELD).matches(row)
    except WhereError:
        pass
