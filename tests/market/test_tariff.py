"""Fees in matching: one rule of prices, limits kept net of fees, pairs symmetric, settings refused with their path."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import auction, closing
from market.capacity import OpenGate
from market.conservation import Conservation
from market.events import Rejected, Traded
from market.exchange import Exchange
from market.kernel import BUY, SELL
from market.ledger import fold, postings
from market.orders import AdvanceClock, Command, CreateMarket, NetworkTariff, Register, Submit
from market.tariff import Fees, distances
from tests.market import day
from tests.market.naive import SETTINGS

TREE: dict[str, Any] = {
    "model": "distance",
    "parent": (-1, 0, 1, 1, 0),
    "length": (0, 10, 3, 4, 20),
    "place": (0, 2, 3, 4, 2),
}
"""Connections c0 at the root, c1 and c4 at one node, c2 beside them, c3 on another branch."""


def rules(fee: int = 0, tariff: dict[str, Any] | None = None, **changes: Any) -> Any:
    network = None if tariff is None else NetworkTariff(**{**TREE, **tariff})
    return msgspec.structs.replace(SETTINGS, grid_fee=fee, network_tariff=network, **changes)


def apart(tariff: NetworkTariff) -> Any:
    """(C, C) distance between all connections."""
    return distances(tariff)[np.ix_(tariff.place, tariff.place)]


def replaced(rules: Any, tariff: NetworkTariff) -> Any:
    return msgspec.structs.replace(rules, network_tariff=tariff)


def opened(terms: Any) -> tuple[Exchange, list[Any], int]:
    market = Exchange(OpenGate(day.CONNECTIONS))
    commands: list[Command] = [CreateMarket(terms, day.FEEDER)]
    commands += [Register(name, place) for name, place in zip(day.NAMES, day.CONNECTIONS, strict=True)]
    entries = market.apply_many([*commands, AdvanceClock("2016-06-21T12:00:00Z")])
    return market, entries, market.open_slots()[0]


def traded(market: Exchange, *orders: Submit) -> list[Traded]:
    return [event for entry in market.apply_many(orders) for event in entry.events if isinstance(event, Traded)]


def test_distances_follow_the_tree_and_are_those_of_walking_it() -> None:
    assert apart(NetworkTariff(**TREE)).tolist() == [
        [0, 13, 14, 20, 13],
        [13, 0, 7, 33, 0],
        [14, 7, 0, 34, 7],
        [20, 33, 34, 0, 33],
        [13, 0, 7, 33, 0],
    ]


def test_fees_add_up_base_rate_and_band_rounded_down_to_the_tick() -> None:
    fees = Fees(rules(500, {"rate": 50_000_000, "limits": (7, 20), "fees": (0, 150, 900)}), 5)
    assert fees.of(1, 2) == 800  # 500 + 7 * 50 + 0 = 850
    assert fees.of(0, 3) == 1_600  # 500 + 1000 + 150 = 1650
    assert fees.of(2, 3) == 3_100
    assert fees.of(1, -1) == fees.of(-1, 1) == fees.of(-1, -1) == 0
    assert fees.least == 500
    assert fees.zones.tolist()[1] == fees.zones.tolist()[4]


@pytest.mark.parametrize("fees", [(0, 150, 900), (900, 150, 0), (150, 150, 150)])
def test_least_and_typical_fee_are_those_of_all_pairs_of_connections(fees: tuple[int, ...]) -> None:
    found = Fees(rules(500, {"rate": 50_000_000, "limits": (7, 20), "fees": fees}), 5)
    pairs = sorted(found.of(a, b) for a in range(5) for b in range(5) if a != b)
    assert (found.least, found.typical) == (pairs[0], pairs[len(pairs) // 2])


def test_without_fees_there_is_no_table() -> None:
    assert Fees(rules(), 5).levels.shape == (0, 0)
    assert not Fees(rules(0, {"rate": 0}), 5)


@pytest.mark.parametrize(("first", "price"), [("sell", 1_000), ("buy", 4_000 - 2_000)])
def test_the_buyer_pays_the_fee_and_the_older_order_gets_its_limit(first: str, price: int) -> None:
    market, _, slot = opened(rules(2_000))
    ask = Submit("anna", slot, "sell", 1_000, 50)
    bid = Submit("bert", slot, "buy", 4_000, 50)
    (trade,) = traded(market, *((ask, bid) if first == "sell" else (bid, ask)))
    assert (trade.price, trade.fee, trade.resting) == (price, 2_000, first)


def test_a_pair_that_does_not_pay_its_fee_is_passed_over_and_the_next_one_trades() -> None:
    market, _, slot = opened(rules(0, {"limits": (15,), "fees": (300, 5_000)}))
    asks = [Submit("cleo", slot, "sell", 1_000, 50), Submit("bert", slot, "sell", 1_500, 50)]
    (trade,) = traded(market, *asks, Submit("dora", slot, "buy", 1_900, 50))  # 33 away from cleo, 7 from bert
    assert (trade.seller, trade.price, trade.fee) == ("bert", 1_500, 300)


def test_trades_with_the_utility_bear_no_fee() -> None:
    market, _, slot = opened(rules(2_000))
    (trade,) = traded(market, Submit("utility", slot, "sell", 3_000, 50), Submit("anna", slot, "buy", 3_000, 50))
    assert (trade.price, trade.fee) == (3_000, 0)


def test_a_post_only_order_rests_where_only_the_fee_keeps_it_from_trading() -> None:
    market, _, slot = opened(rules(2_000))
    traded(market, Submit("anna", slot, "sell", 1_000, 50))
    assert traded(market, Submit("bert", slot, "buy", 2_900, 50, post_only=True)) == []
    (entry,) = market.apply_many([Submit("bert", slot, "buy", 3_000, 50, post_only=True)])
    assert isinstance(entry.events[0], Rejected)
    assert entry.events[0].code == "WOULD_TRADE"


@pytest.mark.parametrize(("terms", "field"), [
    (rules(50), "grid_fee"),
    (rules(-100), "grid_fee"),
    (rules(0, {"parent": (-1, 0, 3, 1, 0)}), "network_tariff.parent"),
    (rules(0, {"length": (0, 1)}), "network_tariff.parent"),
    (rules(0, {"length": (0, 10, -3, 4, 20)}), "network_tariff.length"),
    (rules(0, {"place": (0, 2, 9, 4, 2)}), "network_tariff.place"),
    (rules(0, {"place": (0, 2)}), "network_tariff.place"),
    (rules(0, {"rate": -1}), "network_tariff.rate"),
    (rules(0, {"limits": (9, 3), "fees": (1, 2, 3)}), "network_tariff.limits"),
    (rules(0, {"limits": (9,), "fees": (1,)}), "network_tariff.fees"),
    (rules(0, {"fees": (-100,)}), "network_tariff.fees"),
])  # fmt: skip
def test_fees_that_make_no_sense_are_refused_with_their_field(terms: Any, field: str) -> None:
    entry = Exchange(OpenGate(day.CONNECTIONS)).apply(CreateMarket(terms, day.FEEDER))
    (event,) = entry.events
    assert isinstance(event, Rejected)
    assert event.code == "BAD_SETTINGS"
    assert f"{field}: must" in event.reason


lengths = st.lists(st.integers(0, 40), min_size=5, max_size=5)
tariffs = st.builds(
    lambda parents, length, place, rate, fees: {
        "parent": (-1, *(number % node for node, number in enumerate(parents, 1))),
        "length": (0, *length[1:]), "place": tuple(place), "rate": rate,
        "limits": (10, 30), "fees": tuple(sorted(fees)),
    },
    st.lists(st.integers(0, 99), min_size=4, max_size=4), lengths, st.lists(st.integers(0, 4), min_size=5, max_size=5),
    st.sampled_from([0, 30_000_000]), st.lists(st.integers(0, 4_000), min_size=3, max_size=3),
)  # fmt: skip
order = st.tuples(
    st.sampled_from(day.NAMES), st.sampled_from(["buy", "sell"]), st.integers(0, 100), st.integers(1, 9),
    st.booleans(), st.sampled_from(["gtc", "ioc"]),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(tariff=tariffs, fee=st.sampled_from([0, 700]), orders=st.lists(order, min_size=2, max_size=25))
def test_limits_hold_net_of_fees_and_every_asset_sums_to_zero(tariff: Any, fee: int, orders: list[Any]) -> None:
    market, begun, slot = opened(rules(fee, tariff))
    fees = market.fees
    assert (fees.levels == fees.levels.T).all()
    entries = begun + market.apply_many(
        [
            Submit(name, slot, side, price * 100, lots * 10, force, flexible)
            for name, side, price, lots, flexible, force in orders
        ]
    )
    book = Conservation()
    wires = 0
    for entry in entries:
        moved = postings(entry, market.settings)
        assert list(book.observe(entry, moved)) == []
        totals: dict[str, int] = {}
        for posting in moved:
            totals[posting.asset] = totals.get(posting.asset, 0) + posting.amount
        assert not any(totals.values())
        wires += fold(moved).get(("wires", "EUR"), 0)
        for trade in entry.events:
            if isinstance(trade, Traded):
                bid, ask = entries[trade.buy_order - 1].command, entries[trade.sell_order - 1].command
                assert isinstance(bid, Submit)
                assert isinstance(ask, Submit)
                assert ask.price <= trade.price
                assert trade.price + trade.fee <= bid.price
                wires -= trade.fee * trade.quantity
    assert wires == 0


def test_what_rests_cannot_trade_any_more() -> None:
    rng = np.random.default_rng(3)
    market, _, slot = opened(rules(700, {"rate": 30_000_000}))
    nodes = market.participants | {"utility": -1}
    live: dict[int, tuple[Submit, int]] = {}
    for _ in range(400):
        side = "buy" if rng.random() < 0.5 else "sell"
        command = Submit(str(rng.choice(day.NAMES)), slot, side, int(rng.integers(0, 90)) * 100, 10)  # type: ignore[arg-type]
        entry = market.apply(command)
        live[entry.seq] = (command, 10)
        for event in entry.events:
            if isinstance(event, Traded):
                live.pop(event.buy_order)
                live.pop(event.sell_order)
            elif type(event).__name__ == "Cancelled":
                live.pop(entry.seq)
    orders = [command for command, _ in live.values()]
    for bid in (one for one in orders if one.side == "buy"):
        for ask in (one for one in orders if one.side == "sell" and one.participant != bid.participant):
            fee = market.fees.of(nodes[bid.participant], nodes[ask.participant])
            assert bid.price - ask.price < fee or bid.price < ask.price
    assert len(orders) > 50


def crowd(seed: int, count: int = 40) -> auction.Orders:
    rng = np.random.default_rng(seed)
    side = rng.integers(0, 2, count)
    price = np.where(side == BUY, rng.integers(100, 300, count), rng.integers(50, 250, count)) * 100
    node = rng.integers(0, 5, count)
    node[:2], side[:2], price[:2] = -1, [BUY, SELL], [SETTINGS.feed_in, SETTINGS.retail]
    quantity = rng.integers(1, 20, count) * 10
    quantity[:2] = 10**7
    return auction.Orders(side, price, quantity, np.arange(count), node, np.zeros(count, np.int64))


def held(design: Any, orders: auction.Orders, terms: Any) -> tuple[closing.Outcome, Fees]:
    fees = Fees(terms, 5)
    zero = np.zeros(5, np.int64)
    count = range(len(orders.side))
    return closing.clear(design, orders, count, terms, OpenGate([]), 0, zero, None, lambda a, b: a != b, fees), fees


@pytest.mark.parametrize("design", auction.DESIGNS)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tariff", [None, {"limits": (7, 20), "fees": (0, 1_500, 4_000)}])
def test_auctions_keep_limits_net_of_fees(design: Any, seed: int, tariff: Any) -> None:
    orders, terms = crowd(seed), rules(1_000, tariff)
    outcome, fees = held(design, orders, terms)
    assert outcome.steps
    for step in outcome.steps:
        fee = fees.of(int(orders.node[step.buy]), int(orders.node[step.sell]))
        assert orders.price[step.sell] <= step.price
        assert step.price + fee <= orders.price[step.buy]
        assert (step.price - terms.price_floor) % terms.tick == 0


@pytest.mark.parametrize("seed", range(6))
def test_with_one_fee_a_call_has_one_price_for_buyers_and_one_for_sellers(seed: int) -> None:
    orders, terms = crowd(seed), rules(1_000)
    outcome, fees = held("call", orders, terms)
    assert outcome.price is not None
    for step in outcome.steps:
        buys, sells = int(orders.node[step.buy]), int(orders.node[step.sell])
        if sells >= 0:
            assert step.price == outcome.price
        if buys >= 0:
            assert step.price + fees.of(buys, sells) == outcome.price + 1_000


@pytest.mark.parametrize("seed", range(6))
def test_with_one_fee_a_call_reaches_the_greatest_welfare(seed: int) -> None:
    orders, terms = crowd(seed), rules(1_000)
    outcome, fees = held("call", orders, terms)
    gained = sum(
        int(orders.price[s.buy] - orders.price[s.sell] - fees.of(int(orders.node[s.buy]), int(orders.node[s.sell])))
        * s.admitted
        for s in outcome.steps
    )
    local = orders.node >= 0
    lots = np.repeat(np.arange(len(local)), np.where(local, orders.quantity // 10, 0))
    bids = np.sort(orders.price[lots][orders.side[lots] == BUY])[::-1]
    asks = np.sort(orders.price[lots][orders.side[lots] == SELL])
    best = 0
    for pairs in range(min(len(bids), len(asks)) + 1):
        inside = bids[:pairs].sum() - asks[:pairs].sum() - 1_000 * pairs
        outside = np.maximum(bids[pairs:] - terms.retail, 0).sum() + np.maximum(terms.feed_in - asks[pairs:], 0).sum()
        best = max(best, int(inside + outside) * 10)
    assert gained == best


def test_a_fee_beyond_what_lies_between_the_utilitys_prices_leaves_all_to_it() -> None:
    orders, terms = crowd(1), rules(25_000)
    outcome, _ = held("call", orders, terms)
    assert outcome.steps
    assert all(-1 in (orders.node[step.buy], orders.node[step.sell]) for step in outcome.steps)
