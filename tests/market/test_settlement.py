from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from market.rules import settings_problems
from market.settlement import (
    imbalance_money,
    imbalance_prices,
    lines,
    missing,
    rules_of,
    settle,
    tariff,
    tariffs,
)
from tests.market.day import SETTINGS

TARIFF = tariff(SETTINGS, 0)

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


def test_prices_by_time_hold_from_their_slot_on_and_before_the_first_those_of_the_settings() -> None:
    settings = replace(SETTINGS, price_changes=((10, 26_000, 4_000), (12, 30_000, 5_000)))
    base = (SETTINGS.feed_in, SETTINGS.retail)
    assert [tariff(settings, slot) for slot in (0, 9, 10, 11, 12, 999)] == [
        base, base, (4_000, 26_000), (4_000, 26_000), (5_000, 30_000), (5_000, 30_000),
    ]  # fmt: skip
    assert tariffs(settings, 9, 4) == ([base[0], 4_000, 4_000, 5_000], [base[1], 26_000, 26_000, 30_000])
    assert rules_of(settings, 11).retail == 26_000
    assert rules_of(SETTINGS, 11) is SETTINGS


def test_settlements_name_their_prices_only_where_these_differ_by_slot() -> None:
    settings = replace(SETTINGS, price_changes=((10, 26_000, 4_000),))
    assert imbalance_prices(SETTINGS, 10, 0, 0) is None
    assert imbalance_prices(settings, 10, 0, 0) == (4_000, 26_000)


def test_prices_by_time_are_refused_where_no_order_could_have_them() -> None:
    tick, cap = SETTINGS.tick, SETTINGS.price_cap
    for changes, fault in (
        (((10, 26_000, 4_000), (10, 26_000, 4_000)), "price_changes[1]: must be of a later slot than 10, got 10"),
        (((10, cap + tick, 4_000),), "price_changes[0].retail: must be on a tick"),
        (((10, 26_000, 4_000 + tick // 2),), "price_changes[0].feed_in: must be on a tick"),
        (((10, 26_000, 2.5),), "price_changes[0]: must be whole numbers"),
    ):
        (found,) = settings_problems(replace(SETTINGS, price_changes=changes), 0)
        assert found.startswith(fault)
