from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.events import Accepted, Entry, Event, Rejected, Settled, Traded
from market.ledger import LedgerError, Posting, fold, market_settings, postings, require_zero_sums
from market.orders import Cancel, CreateMarket
from tests.market import day
from tests.market.day import FEEDER, FIRST, SETTINGS

names = st.sampled_from(["utility", "anna", "bert", "cleo"])
wh = st.integers(1, 10**9)
prices = st.integers(-(10**6), 10**6)
trades: st.SearchStrategy[Event] = st.builds(
    Traded,
    st.just(FIRST),
    prices,
    wh,
    names,
    names,
    wh,
    wh,
    st.just("buy"),
    source=st.sampled_from(["", "solar"]),
    fee=st.integers(0, 10**6),
)
lines = st.builds(lambda name, metered, due: (name, metered, due, metered - due), names, prices, prices)
settlements: st.SearchStrategy[Event] = st.builds(Settled, st.just(FIRST), st.lists(lines, max_size=4))


def entry(*events: Event) -> Entry:
    return Entry(9, Cancel("anna", 1), events)


def trade(buyer: str, seller: str, price: int = 200_000, source: str = "", fee: int = 0) -> Traded:
    return Traded(FIRST, price, 30, buyer, seller, 1, 2, "buy", source=source, fee=fee)


@given(st.lists(trades | settlements, max_size=5))
def test_every_entry_sums_to_zero_in_every_asset(events: list[Event]) -> None:
    moved = postings(entry(*events), SETTINGS)
    totals: dict[str, int] = defaultdict(int)
    for posting in moved:
        totals[posting.asset] += posting.amount
        assert posting.amount != 0
    assert not any(totals.values())


def test_a_local_trade_moves_money_energy_origin_and_the_grid_fee() -> None:
    assert postings(entry(trade("anna", "bert", source="solar", fee=50_000)), SETTINGS) == [
        ("anna", "EUR", -6_000_000),
        ("bert", "EUR", 6_000_000),
        ("bert", "WH", -30),
        ("anna", "WH", 30),
        ("bert", "GO:solar", -30),
        ("anna", "GO:solar", 30),
        ("anna", "EUR", -1_500_000),
        ("wires", "EUR", 1_500_000),
    ]


def test_a_trade_without_a_fee_moves_nothing_to_the_wires() -> None:
    assert {posting.account for posting in postings(entry(trade("anna", "utility")), SETTINGS)} == {"anna", "utility"}


def test_a_negative_price_pays_the_buyer_and_a_price_of_zero_moves_no_money() -> None:
    assert ("anna", "EUR", 3_000) in postings(entry(trade("anna", "utility", -100)), SETTINGS)
    assert {posting.asset for posting in postings(entry(trade("anna", "utility", 0)), SETTINGS)} == {"WH"}


def test_settlement_buys_shortages_and_sells_surpluses() -> None:
    settled = Settled(FIRST, [("anna", -30, -10, -20), ("bert", 7, 0, 7), ("cleo", 4, 4, 0)])
    assert fold(postings(entry(settled), SETTINGS)) == {
        ("anna", "WH"): 20,
        ("anna", "EUR"): -20 * SETTINGS.retail,
        ("bert", "WH"): -7,
        ("bert", "EUR"): 7 * SETTINGS.feed_in,
        ("utility", "WH"): -13,
        ("utility", "EUR"): 20 * SETTINGS.retail - 7 * SETTINGS.feed_in,
    }


@pytest.mark.parametrize("mode", ["off", "linear", "ac"])
def test_after_settlement_the_energy_balance_of_each_slot_is_minus_what_was_metered(mode: Any) -> None:
    balance: dict[tuple[int, str], int] = defaultdict(int)
    checked = 0
    for each in day.entries(mode):
        for event in each.events:
            if isinstance(event, Traded | Settled):
                for posting in postings(entry(event), SETTINGS):
                    if posting.asset == "WH":
                        balance[event.slot, posting.account] += posting.amount
            if isinstance(event, Settled):
                for name, metered, _, _ in event.lines:
                    assert balance[event.slot, name] == -metered
                    checked += 1
                assert balance[event.slot, "utility"] == sum(line[1] for line in event.lines)
    assert checked == 4 * 4


def test_postings_that_do_not_balance_are_refused() -> None:
    with pytest.raises(LedgerError, match="entry 3: its postings in EUR sum to 1"):
        require_zero_sums(3, [Posting("anna", "EUR", -4), Posting("bert", "EUR", 5)])


def test_money_beyond_64_bits_is_refused() -> None:
    huge = Traded(FIRST, 2**40, 2**40, "anna", "bert", 1, 2, "buy")
    with pytest.raises(LedgerError, match="64 bits"):
        postings(entry(huge), SETTINGS)


def test_only_an_accepted_market_has_settings() -> None:
    command = CreateMarket(SETTINGS, FEEDER)
    assert market_settings(Entry(1, command, (Accepted(),))) == SETTINGS
    assert market_settings(Entry(1, command, (Rejected("BAD_SETTINGS", "no"),))) is None
    assert market_settings(entry(Accepted())) is None


@given(st.lists(st.builds(Posting, names, st.sampled_from(["EUR", "WH"]), prices)))
def test_balances_add_up_in_parts_as_in_one(moved: list[Posting]) -> None:
    half = len(moved) // 2
    assert fold(moved[half:], fold(moved[:half])) == fold(moved)
