"""Call auctions: exact, conserving, of the largest volume and the greatest welfare, whatever the order of the rows."""

from __future__ import annotations

import highspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import auction
from market.auction import DESIGNS, AuctionDesign, Matches, Orders, clear
from market.kernel import BUY, SELL
from market.orders import MarketSettings

RETAIL, FEED_IN = 320_000, 80_000


def rules(retail: int = RETAIL, feed_in: int = FEED_IN, lot: int = 1, tick: int = 100) -> MarketSettings:
    return MarketSettings(
        name="test", currency="EUR", slot_seconds=900, opens_before_seconds=3600, gate_before_seconds=900, tick=tick,
        price_floor=-50_000, price_cap=600_000, lot=lot, max_orders=1000, gate="off", voltage_min_ppm=900_000,
        voltage_max_ppm=1_100_000, loading_max_ppm=1_000_000, utility="utility", retail=retail, feed_in=feed_in,
        grid_fee=0,
    )  # fmt: skip


def orders(*rows: tuple[str, int, int]) -> Orders:
    """Rows of (side, price, quantity), in the order of their turns."""
    side = np.array([BUY if row[0] == "buy" else SELL for row in rows], dtype=np.int64)
    price, quantity = (np.array([row[place] for row in rows], dtype=np.int64) for place in (1, 2))
    return Orders(side, price, quantity, np.arange(len(rows)), np.arange(len(rows)), np.zeros_like(price))


def told(matches: Matches) -> list[tuple[int, ...]]:
    return list(zip(*(column.tolist() for column in matches), strict=True))


def filled(book: Orders, matches: Matches) -> list[int]:
    amount = np.zeros_like(book.quantity)
    np.add.at(amount, matches.buy, matches.quantity)
    np.add.at(amount, matches.sell, matches.quantity)
    return [int(wh) for wh in amount]


def welfare(book: Orders, matches: Matches) -> int:
    return int(((book.price[matches.buy] - book.price[matches.sell]) * matches.quantity).sum())


order = st.tuples(
    st.sampled_from(["buy", "sell"]), st.integers(-5, 45).map(lambda ticks: ticks * 10_000), st.integers(1, 30)
)
books = st.lists(order, max_size=14).map(lambda rows: orders(*rows))


def volume_at(book: Orders, price: int) -> int:
    """What could trade at one price, by looking at every order."""
    demand = sum(q for s, p, q in zip(book.side, book.price, book.quantity, strict=True) if s == BUY and p >= price)
    supply = sum(q for s, p, q in zip(book.side, book.price, book.quantity, strict=True) if s == SELL and p <= price)
    return int(min(demand, supply))


def best_welfare(book: Orders) -> int:
    """By linear programming over every pair of a bid and an ask."""
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    bids, asks = np.flatnonzero(book.side == BUY), np.flatnonzero(book.side == SELL)
    moved = {
        (b, a): solver.addVariable(lb=0, ub=float(min(book.quantity[b], book.quantity[a]))) for b in bids for a in asks
    }
    if not moved:
        return 0
    for place in bids:
        solver.addConstr(sum(moved[place, a] for a in asks) <= float(book.quantity[place]))
    for place in asks:
        solver.addConstr(sum(moved[b, place] for b in bids) <= float(book.quantity[place]))
    solver.maximize(sum(float(book.price[b] - book.price[a]) * x for (b, a), x in moved.items()))
    return round(solver.getObjectiveValue())


@settings(max_examples=150, deadline=None)
@given(book=books, design=st.sampled_from(DESIGNS), lot=st.sampled_from([1, 5]))
def test_nobody_trades_beyond_limit_or_quantity_and_all_adds_up(book: Orders, design: AuctionDesign, lot: int) -> None:
    book = book._replace(quantity=book.quantity * lot)
    matches = clear(design, book, rules(lot=lot))
    paid, received, bought, sold = [0] * 14, [0] * 14, [0] * 14, [0] * 14
    for buy, sell, price, quantity in told(matches):
        assert (book.side[buy], book.side[sell]) == (BUY, SELL)
        assert book.price[sell] <= price <= book.price[buy]
        assert quantity > 0
        assert quantity % lot == 0
        assert (price + 50_000) % 100 == 0
        bought[buy] += quantity
        sold[sell] += quantity
        paid[buy] += price * quantity
        received[sell] += price * quantity
    assert sum(bought) == sum(sold)
    assert sum(paid) == sum(received)
    assert all(b + s <= q for b, s, q in zip(bought, sold, book.quantity.tolist(), strict=False))


@settings(max_examples=150, deadline=None)
@given(books, st.sampled_from(["call", "pay_as_bid"]))
def test_no_price_would_trade_more_and_no_allocation_is_worth_more(book: Orders, design: AuctionDesign) -> None:
    matches = clear(design, book, rules())
    assert int(matches.quantity.sum()) == max((volume_at(book, p) for p in book.price.tolist()), default=0)
    assert welfare(book, matches) == best_welfare(book)


@settings(max_examples=150, deadline=None)
@given(books)
def test_a_call_has_one_price_at_which_exactly_what_traded_wants_to(book: Orders) -> None:
    matches = clear("call", book, rules())
    known = set(matches.price.tolist())
    assert len(known) == (1 if len(matches.price) else 0)
    amount = filled(book, matches)
    for price in known:
        for side, limit, quantity, traded in zip(book.side, book.price, book.quantity, amount, strict=True):
            gains = limit - price if side == BUY else price - limit
            assert traded == quantity or gains <= 0
            assert traded == 0 or gains >= 0


@settings(max_examples=100, deadline=None)
@given(books, st.sampled_from(DESIGNS), st.integers(0, 99))
def test_the_order_of_the_rows_does_not_matter(book: Orders, design: AuctionDesign, seed: int) -> None:
    places = np.random.default_rng(seed).permutation(len(book.side))
    shuffled = Orders(*(column[places] for column in book))
    there = [(places[b], places[s], p, q) for b, s, p, q in told(clear(design, shuffled, rules()))]
    assert there == told(clear(design, book, rules()))


@settings(max_examples=100, deadline=None)
@given(books, st.sampled_from(["call", "pay_as_bid"]))
def test_of_two_orders_at_one_price_the_earlier_is_filled_first(book: Orders, design: AuctionDesign) -> None:
    amount = filled(book, clear(design, book, rules()))
    for late in range(len(amount)):
        for early in range(late):
            if book.side[early] == book.side[late] and book.price[early] == book.price[late] and amount[late]:
                assert amount[early] == book.quantity[early]


def test_the_price_of_a_call_is_the_middle_of_where_it_clears() -> None:
    book = orders(("buy", 300_000, 10), ("sell", 100_000, 10), ("buy", 150_000, 5), ("sell", 240_000, 5))
    assert told(clear("call", book, rules())) == [(0, 1, 195_000, 10)]


def test_an_order_filled_in_part_sets_the_price() -> None:
    book = orders(("buy", 300_000, 10), ("sell", 100_000, 25))
    assert told(clear("call", book, rules())) == [(0, 1, 100_000, 10)]


def test_the_middle_is_rounded_down_to_the_tick_also_below_zero() -> None:
    book = orders(("buy", -10_000, 1), ("sell", -10_300, 1))
    assert clear("call", book, rules()).price.tolist() == [-10_200]
    assert clear("pay_as_bid", book, rules()).price.tolist() == [-10_200]


def test_pairs_of_pay_as_bid_share_their_gain() -> None:
    book = orders(("buy", 300_000, 10), ("buy", 200_000, 10), ("sell", 180_000, 10), ("sell", 100_000, 10))
    assert told(clear("pay_as_bid", book, rules())) == [(0, 3, 200_000, 10), (1, 2, 190_000, 10)]


def test_mid_market_rate_rations_the_long_side_and_ignores_who_does_not_accept() -> None:
    book = orders(
        ("sell", 90_000, 30), ("sell", 200_000, 10), ("sell", 210_000, 99), ("buy", 250_000, 13), ("buy", 199_900, 50)
    )
    matches = clear("mmr", book, rules())
    assert filled(book, matches) == [10, 3, 0, 13, 0]
    assert set(matches.price.tolist()) == {200_000}


def test_equal_remainders_go_to_the_earlier_turn_and_shares_are_whole_lots() -> None:
    book = orders(("sell", 90_000, 20), ("sell", 90_000, 20), ("sell", 90_000, 20), ("buy", 250_000, 40))
    assert filled(book, clear("mmr", book, rules(lot=10))) == [20, 10, 10, 40]
    late = book._replace(turn=np.array([3, 2, 1, 0]))
    assert filled(late, clear("mmr", late, rules(lot=10))) == [10, 10, 20, 40]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 10**15), min_size=1, max_size=30), st.integers(0, 10**15))
def test_shares_are_whole_add_up_and_are_within_one_of_exact(quantity: list[int], total: int) -> None:
    total = min(total, sum(quantity))
    shares = auction.pro_rata(np.array(quantity), np.arange(len(quantity)), total, 1).tolist()
    assert sum(shares) == total
    for share, own in zip(shares, quantity, strict=True):
        assert 0 <= share <= own
        assert abs(share * sum(quantity) - own * total) < sum(quantity)


@pytest.mark.parametrize(("supply", "demand", "price"), [(1, 10**9, 319_900), (10, 20, 128_000), (20, 20, FEED_IN)])
def test_the_ratio_price_goes_from_retail_to_feed_in(supply: int, demand: int, price: int) -> None:
    assert auction.ratio_price(supply, demand, rules()) == price
    assert auction.ratio_price(supply * 10**9, supply, rules()) == FEED_IN


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_the_ratio_price_is_that_of_the_formula_rounded_down(supply: int, demand: int) -> None:
    ratio = min(supply / demand, 1.0)
    exact = FEED_IN * RETAIL / ((RETAIL - FEED_IN) * ratio + FEED_IN)
    assert -1e-3 < exact - auction.ratio_price(supply, demand, rules()) < 100 + 1e-3


def test_all_local_demand_counts_for_the_ratio_but_only_who_accepts_trades() -> None:
    book = orders(("sell", 90_000, 10), ("buy", 300_000, 10), ("buy", 100_000, 10))
    assert told(clear("sdr", book, rules())) == [(1, 0, 128_000, 10)]


def test_where_nothing_is_offered_or_wanted_there_is_no_price() -> None:
    assert told(clear("sdr", orders(("sell", 90_000, 10)), rules(feed_in=0, retail=0))) == []


def test_the_ratio_needs_a_feed_in_price_between_zero_and_retail() -> None:
    assert "feed_in" in auction.settings_problem("sdr", rules(feed_in=-100))
    assert "feed_in" in auction.settings_problem("sdr", rules(feed_in=RETAIL + 100))
    assert not auction.settings_problem("sdr", rules(feed_in=0))
    assert not auction.settings_problem("call", rules(feed_in=-100))


def test_sums_beyond_what_an_integer_holds_are_bounded_not_broken() -> None:
    book = orders(*[("buy", 200_000, 2**60)] * 20, *[("sell", 100_000, 2**60)] * 20)
    matches = clear("call", book, rules(lot=3))
    assert int(matches.quantity.sum()) == 20 * (2**62 // 40 // 3 * 3)


def test_twenty_two_thousand_truthful_traders_reach_exactly_the_optimal_welfare() -> None:
    rng = np.random.default_rng(7)
    count = 11_000
    value, cost = (rng.integers(800, 3_201, count) * 100 for _ in range(2))
    quantity = rng.integers(1, 2_000, 2 * count)
    side = np.repeat([BUY, SELL], count)
    book = Orders(
        side, np.concatenate([value, cost]), quantity, rng.permutation(2 * count), np.arange(2 * count), quantity * 0
    )
    matches = clear("call", book, rules())
    assert welfare(book, matches) == merged(value, quantity[:count], cost, quantity[count:])


def merged(value: np.ndarray, wanted: np.ndarray, cost: np.ndarray, offered: np.ndarray) -> int:
    """Greatest welfare by walking both sorted sides, in plain Python."""
    bids = sorted(zip(value.tolist(), wanted.tolist(), strict=True), reverse=True)
    asks = sorted(zip(cost.tolist(), offered.tolist(), strict=True))
    best = bid = ask = 0
    need, have = bids[0][1], asks[0][1]
    while bids[bid][0] > asks[ask][0]:
        moved = min(need, have)
        best += (bids[bid][0] - asks[ask][0]) * moved
        need, have = need - moved, have - moved
        if not need:
            bid += 1
            need = bids[bid][1]
        if not have:
            ask += 1
            have = asks[ask][1]
    return best
