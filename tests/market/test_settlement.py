from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from market.settlement import imbalance_money, lines, missing, settle, tariff
from tests.market.day import SETTINGS

TARIFF = tariff(SETTINGS)

energies = st.dictionaries(st.sampled_from(["anna", "bert", "cleo", "dora", "utility"]), st.integers(-(10**9), 10**9))


def test_a_shortage_is_bought_at_retail_and_a_surplus_sold_at_feed_in() -> None:
    assert imbalance_money(-10, TARIFF) == -10 * SETTINGS.retail
    assert imbalance_money(10, TARIFF) == 10 * SETTINGS.feed_in
    assert imbalance_money(0, TARIFF) == 0


def test_lines_are_alphabetical_and_leave_the_utility_out() -> None:
    metered = {"dora": -500, "anna": 70}
    contracted = {"utility": 300, "anna": 100, "dora": -400, "bert": 0}
    assert lines(metered, contracted, "utility") == [
        ("anna", 70, 100, -30),
        ("bert", 0, 0, 0),
        ("dora", -500, -400, -100),
    ]


def test_a_silent_meter_counts_as_contracted_and_is_named() -> None:
    metered, contracted = {"anna": 5}, {"anna": 5, "bert": -40, "utility": 40}
    assert ("bert", -40, -40, 0) in lines(metered, contracted, "utility")
    assert missing(metered, contracted, "utility") == ["bert"]


def test_a_reading_of_zero_is_a_reading() -> None:
    assert lines({"anna": 0}, {"anna": 50}, "utility") == [("anna", 0, 50, -50)]
    assert missing({"anna": 0}, {"anna": 50}, "utility") == []


@given(energies, energies)
def test_the_utility_takes_the_opposite_of_all_imbalances(metered: dict[str, int], contracted: dict[str, int]) -> None:
    statements = settle(lines(metered, contracted, "utility"), TARIFF, "utility")
    for statement in statements:
        assert statement.imbalance == statement.metered - statement.contracted
    assert [statement.participant for statement in statements][-1:] in ([], ["utility"])
    for field in ("metered", "contracted", "imbalance", "money"):
        assert sum(getattr(statement, field) for statement in statements) == 0


@given(energies, energies)
def test_whoever_is_known_has_exactly_one_line(metered: dict[str, int], contracted: dict[str, int]) -> None:
    names = [line[0] for line in lines(metered, contracted, "utility")]
    assert names == sorted((metered.keys() | contracted.keys()) - {"utility"})
