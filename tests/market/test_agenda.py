"""Auctions at their moments: who trades in them, what goes on after them; the clock's steps mean nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from market.capacity import OpenGate
from market.conservation import Conservation
from market.events import (
    Accepted,
    Auctioned,
    Cancelled,
    Entry,
    Event,
    Expired,
    GateClosed,
    Granted,
    Limited,
    Rejected,
    Traded,
)
from market.exchange import Exchange
from market.ledger import postings
from market.orders import AdvanceClock, Amend, Basket, Cancel, Command, CreateMarket, Leg, Register, Submit, UpdateGrid
from market.replay import Replayer
from market.slots import NS, SlotClock, format_time
from market.spread import threshold
from market.timetable import auctions, collects
from tests.market.naive import SETTINGS, ConnectionLimits, NaiveBook
from tests.market.test_book import (
    BASELINE,
    MODES,
    check_invariants,
    expected,
    oracle,
    own_orders,
    plain,
    random_commands,
)
from tests.market.test_book import exchange as booked
from tests.market.test_lifecycle import FEEDER, NAMES, PLACES, ask, bid, code, events, lively, market

replace = msgspec.structs.replace


def clock_to(exchange: Exchange, slot: int, seconds: float) -> list[Event]:
    """Move the clock to so many seconds after the slot opened."""
    return events(exchange, AdvanceClock(format_time(exchange.clock.opens(slot) + round(seconds * NS))))


def trades(told: list[Event]) -> list[Traded]:
    return [event for event in told if isinstance(event, Traded)]


# -- the timetable -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"auction_opening": 700}, {"auction_every": 60}, {"auction_every": 3599}])
def test_the_moments_of_a_slot_are_the_same_however_time_is_cut(changes: dict[str, int]) -> None:
    settings = replace(SETTINGS, design="call" if "auction_every" in changes else "cda", **changes)
    clock = SlotClock(900 * NS, 4500 * NS, 900 * NS)
    opens, gate = clock.opens(7), clock.gate(7)
    whole = list(auctions(settings, clock, 7, opens - 1, gate + NS))
    first, step = changes.get("auction_opening"), changes.get("auction_every")
    right = [opens + first * NS] if first else list(range(opens + step * NS, gate, step * NS)) if step else []
    assert whole == right
    rng = np.random.default_rng(1)
    cuts = sorted({opens - 5, gate + NS, *(opens + rng.integers(0, 3600, 40) * NS).tolist()})
    parts = [moment for after, until in pairwise(cuts) for moment in auctions(settings, clock, 7, after, until)]
    assert parts == right


def test_orders_collect_until_the_opening_auction_and_the_spread_clock_begins_there() -> None:
    settings = replace(SETTINGS, auction_opening=600, spread_start=10_000, spread_zero_ppm=500_000)
    clock = SlotClock(900 * NS, 4500 * NS, 900 * NS)
    opens = clock.opens(7)
    assert collects(settings, clock, 7, opens + 600 * NS - 1)
    assert not collects(settings, clock, 7, opens + 600 * NS)
    assert threshold(settings, clock, 7, opens + 600 * NS) == 10_000
    assert threshold(settings, clock, 7, opens + (600 + 750) * NS) == 5_000
    assert threshold(settings, clock, 7, opens + (600 + 1500) * NS) == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"auction_opening": -1}, "auction_opening: must be from 0 to less than the trading time of 3600 s, got -1"),
        (
            {"auction_opening": 3600},
            "auction_opening: must be from 0 to less than the trading time of 3600 s, got 3600",
        ),
        ({"auction_opening": 60, "design": "call"}, "auction_opening: does not go with design call, got 60"),
        ({"auction_every": 60}, "auction_every: does not go with design cda, got 60; choose call"),
        ({"auction_every": 1, "opens_before_seconds": 20_000, "design": "mmr"}, "auction_every: must be at least 2"),
        ({"auction_closing": True, "design": "sdr"}, "auction_closing: does not go with design sdr, which always"),
        ({"spread_zero_ppm": 1_500_000}, "spread_zero_ppm: must be from 1 to 1000000, got 1500000"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_the_way_out(changes: dict[str, object], told: str) -> None:
    (event,) = Exchange(OpenGate([])).apply(CreateMarket(replace(SETTINGS, **changes), "")).events
    assert isinstance(event, Rejected)
    assert event.code == "BAD_SETTINGS"
    assert told in event.reason


# -- opening -----------------------------------------------------------------------------------------------------


def test_an_opening_auction_clears_what_collected_and_trading_goes_on_with_what_is_left() -> None:
    exchange = market(auction_opening=600)
    slot = exchange.open_slots()[-1]
    told = events(exchange, ask(slot, 9_000, 60), ask(slot, 10_000, 60, "cleo"), bid(slot, 12_000, 80))
    assert [type(event) for event in told] == [Accepted] * 3
    assert clock_to(exchange, slot, 599.999999999) == [Accepted()]
    told = clock_to(exchange, slot, 600)
    at = format_time(exchange.clock.opens(slot) + 600 * NS)
    assert told[0] == Auctioned(slot, at, 10_000)
    assert [(trade.seller, trade.quantity, trade.price, trade.resting) for trade in trades(told)] == [
        ("anna", 60, 10_000, "both"),
        ("cleo", 20, 10_000, "both"),
    ]
    assert exchange.depth(slot) == ([], [(10_000, 40)])
    assert code(exchange, Cancel("anna", 7)) == "ORDER_CLOSED"
    (trade,) = trades(events(exchange, ask(slot, 10_000, 50), bid(slot, 11_000, 60))[2:][:1])
    assert (trade.seller, trade.quantity, trade.price) == ("cleo", 40, 10_000), "it was there before"


def test_what_the_auction_left_may_be_amended_by_its_whole_quantity_and_keeps_its_place() -> None:
    exchange = market(auction_opening=600)
    slot = exchange.open_slots()[-1]
    events(exchange, ask(slot, 10_000, 100), bid(slot, 10_000, 30), ask(slot, 10_000, 40, "cleo"))
    clock_to(exchange, slot, 600)
    events(exchange, Amend("anna", 7, quantity=80))
    assert exchange.depth(slot)[1] == [(10_000, 90)]
    told = trades(events(exchange, bid(slot, 10_000, 70)))
    assert [(trade.seller, trade.quantity) for trade in told] == [("anna", 50), ("cleo", 20)]


def test_while_orders_collect_nothing_may_ask_to_trade_at_once() -> None:
    exchange = market(auction_opening=600)
    before, slot = exchange.open_slots()[-2:]
    fields: list[dict[str, object]] = [{"time_in_force": "ioc"}, {"time_in_force": "fok"}, {"post_only": True}]
    for changes in fields:
        assert code(exchange, replace(ask(slot), **changes)) == "NOT_IN_AUCTION"
        assert isinstance(exchange.apply(replace(ask(before), **changes)).events[0], Accepted)
    refusal = exchange.apply(Basket("ben", (Leg(before, "buy", 9_000, 10), Leg(slot, "buy", 9_000, 10)))).events[0]
    assert isinstance(refusal, Rejected)
    assert (refusal.code, refusal.field) == ("NOT_IN_AUCTION", "legs[1].slot")
    clock_to(exchange, slot, 600)
    for changes in fields:
        assert isinstance(exchange.apply(replace(ask(slot), **changes)).events[0], Accepted)


def test_orders_may_be_changed_cancelled_and_end_while_they_collect() -> None:
    exchange = market(auction_opening=600)
    slot = exchange.open_slots()[-1]
    end = format_time(exchange.clock.opens(slot) + 600 * NS)
    late = format_time(exchange.clock.opens(slot) + 601 * NS)
    events(
        exchange,
        replace(ask(slot, 8_000), time_in_force="gtd", good_till=end),
        replace(ask(slot, 9_000), time_in_force="gtd", good_till=late),
        ask(slot, 9_500, who="cleo"),
        Cancel("cleo", 9),
        bid(slot, 9_000, 50),
        Amend("ben", 11, 10_000, 70),
    )
    told = clock_to(exchange, slot, 900)
    assert told[0] == Expired(7, 100), "an order that ends at the moment of the auction does not take part"
    assert [(trade.sell_order, trade.quantity) for trade in trades(told)] == [(8, 70)]
    assert Expired(8, 30) in told


def make_auction_trades(naive: NaiveBook, trades: list[Traded]) -> list[Event]:
    """What an auction traded is taken out; then continuous trading begins."""
    resting = {order.number: order for order in naive.orders}
    for trade in trades:
        sides = ((trade.buy_order, trade.buy_flexible, -1), (trade.sell_order, trade.sell_flexible, 1))
        for number, flexible, sign in sides:
            order = resting[number]
            assert trade.quantity <= order.quantity - (order.firm if flexible else 0)
            order.quantity -= trade.quantity
            if flexible:
                naive.schedule[order.node] += sign * trade.quantity
            elif order.node >= 0:
                order.firm -= trade.quantity
                assert order.firm >= 0
    naive.orders = [order for order in naive.orders if order.quantity]
    naive.refused.clear()
    naive.changes += 1
    naive.spread = 0
    return naive.uncross()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(3))
def test_after_an_auction_the_book_is_one_in_which_its_trades_were_made(mode: str, seed: int) -> None:
    """Against the plain book: same answers to every command that follows, same orders, same schedule."""
    exchange, _ = booked(mode, auction_opening=600)
    slot = exchange.open_slots()[-1]
    naive = oracle(mode, exchange)
    naive.spread = 10**18
    exchange.apply(UpdateGrid(slot, BASELINE))
    rng = np.random.default_rng(seed)

    def same(count: int, collecting: bool) -> None:
        first = exchange.seq + 1
        commands = own_orders(list(random_commands(rng, slot, first, count)), first, rng)
        if collecting:
            commands = [
                replace(command, time_in_force="gtc", post_only=False) if isinstance(command, Submit) else command
                for command in commands
            ]
        for number, (command, entry) in enumerate(zip(commands, exchange.apply_many(commands), strict=True), first):
            ours = tuple(map(plain, entry.events))
            assert ours == expected(naive, number, command), f"seed={seed} command {number}: {command}"
        check_invariants(exchange, slot, naive)

    same(300, collecting=True)
    told = clock_to(exchange, slot, 600)
    cleared = [trade for trade in trades(told) if trade.resting == "both"]
    assert len(cleared) > 20
    assert isinstance(told[0], Auctioned)
    wanted = [plain(event) for event in make_auction_trades(naive, cleared)]
    assert [plain(event) for event in told[len(told) - len(wanted) :]] == wanted
    assert len(trades(told)) == len(cleared) + len(trades(wanted))
    assert exchange.schedule(slot).tolist() == naive.schedule
    check_invariants(exchange, slot, naive)
    same(3_000, collecting=False)
    assert exchange.schedule(slot).tolist() == naive.schedule


# -- closing -----------------------------------------------------------------------------------------------------


def test_a_closing_auction_takes_what_the_spread_clock_held_back() -> None:
    exchange = market(spread_start=40_000, spread_zero_ppm=2_000_000, auction_closing=True)
    slot = exchange.open_slots()[-1]
    events(exchange, ask(slot, 9_000, 60), bid(slot, 12_000, 80), ask(slot, 10_000, 60, "cleo"))
    told = clock_to(exchange, slot, 3600)
    assert Auctioned(slot, format_time(exchange.clock.gate(slot)), 10_000) in told
    assert [(trade.seller, trade.quantity, trade.resting) for trade in trades(told)] == [
        ("anna", 60, "both"),
        ("cleo", 20, "both"),
    ]
    assert told[told.index(Expired(9, 40)) + 1] == GateClosed(slot)


def test_without_a_bid_that_reaches_an_ask_no_auction_is_held() -> None:
    exchange = market(auction_opening=600, auction_closing=True)
    slot = exchange.open_slots()[-1]
    events(exchange, ask(slot, 9_000), bid(slot, 8_900))
    told = clock_to(exchange, slot, 3600)
    assert not [event for event in told if isinstance(event, Auctioned)]


# -- periodic ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("design", ["call", "pay_as_bid", "mmr", "sdr"])
def test_what_an_auction_leaves_rests_for_the_next(design: str) -> None:
    exchange = market(design=design, auction_every=600, retail=12_000, feed_in=8_000)
    slot = exchange.open_slots()[-1]
    events(exchange, ask(slot, 8_000, 100), bid(slot, 12_000, 30))
    first = clock_to(exchange, slot, 600)
    assert [trade.quantity for trade in trades(first)] == [30]
    assert exchange.depth(slot) == ([], [(8_000, 70)])
    events(exchange, bid(slot, 12_000, 50, "cleo"))
    assert not trades(clock_to(exchange, slot, 1199))
    assert [(trade.buyer, trade.quantity) for trade in trades(clock_to(exchange, slot, 1200))] == [("cleo", 50)]
    events(exchange, bid(slot, 12_000, 90))
    assert [trade.quantity for trade in trades(clock_to(exchange, slot, 3600))] == [20]


# -- steps of the clock ------------------------------------------------------------------------------------------

VARIANTS: list[dict[str, object]] = [
    {"design": "call", "auction_every": 240},
    {"design": "pay_as_bid", "auction_every": 600},
    {"design": "mmr", "auction_every": 300},
    {"design": "sdr", "auction_every": 450},
    {"auction_opening": 900},
    {"auction_opening": 450, "auction_closing": True},
    {"auction_closing": True, "spread_start": 3_000, "spread_zero_ppm": 1_500_000},
]


def stepped(variant: dict[str, object], seed: int, limited: bool, steps: int) -> Iterator[tuple[Event, ...]]:
    """Orders at a few moments, and the clock from one to the next in so many steps; what each stretch of time told."""
    exchange = market(limited, retail=11_000, feed_in=9_500, **variant)
    rng = np.random.default_rng(seed)
    slots = exchange.open_slots()
    for begin, end in pairwise((0, 500, 1300, 2900, 4500)):
        submits = []
        for _ in range(60):
            who, side = NAMES[rng.integers(3)], ("buy", "sell")[rng.integers(2)]
            price, quantity = int(rng.integers(90, 110)) * 100, int(rng.integers(1, 9)) * 10
            order = Submit(who, int(rng.choice(slots)), side, price, quantity, flexible=bool(rng.random() < 0.7))  # type: ignore[arg-type]
            if rng.random() < 0.3:
                till = format_time((exchange.now or 0) + int(rng.integers(1, 3000)) * NS)
                order = replace(order, time_in_force="gtd", good_till=till)
            submits.append(order)
        exchange.apply_many(submits)
        now = exchange.now or 0
        clocks = [now + (end - begin) * NS * step // steps for step in range(1, steps + 1)]
        told = events(exchange, *(AdvanceClock(format_time(moment)) for moment in clocks))
        # Numbers of orders differ by the clock commands between them.
        yield tuple(unnumbered(event) for event in told if not isinstance(event, Accepted))


def unnumbered(event: Event) -> Event:
    names = [
        name for name in ("order", "resting", "buy_order", "sell_order") if isinstance(getattr(event, name, ""), int)
    ]
    if isinstance(event, Granted):
        return replace(event, orders=[(0, wh) for _, wh in event.orders])
    return replace(event, **dict.fromkeys(names, 0))


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("variant", VARIANTS[:-1])
def test_one_step_of_the_clock_or_many_give_the_same(variant: dict[str, object], limited: bool) -> None:
    for seed in range(3):
        one, many = (list(stepped(variant, seed, limited, steps)) for steps in (1, 37))
        assert one == many
        assert any(isinstance(event, Auctioned) for told in one for event in told)


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", range(2))
def test_auctions_replay_without_wires(variant: dict[str, object], limited: bool, seed: int) -> None:
    rules = replace(SETTINGS, gate="linear" if limited else "off", retail=11_000, feed_in=9_500, **variant)
    exchange = Exchange(ConnectionLimits(PLACES, decides=True) if limited else OpenGate(list(PLACES)))
    setup = market().seq
    opening: list[Command] = [CreateMarket(rules, FEEDER), AdvanceClock("2016-06-21T12:00:00Z")]
    opening += [Register(name, place) for name, place in zip((*NAMES, "utility"), PLACES, strict=True)]
    recorded: list[Entry] = exchange.apply_many(opening)
    assert exchange.seq == setup
    recorded += exchange.apply_many(lively(seed, exchange.open_slots()[1:4], 1_200))
    recorded += exchange.apply_many([AdvanceClock("2016-06-21T14:00:00Z")])
    kinds = [type(event) for entry in recorded for event in entry.events]
    assert kinds.count(Auctioned) >= (5 if rules.auction_every else 1)
    assert not limited or kinds.count(Limited)
    assert Cancelled in kinds
    if limited and rules.design in ("call", "pay_as_bid"):
        assert Granted in kinds
    assert Replayer().run(recorded) is None
    watch = Conservation()
    assert [fault for entry in recorded for fault in watch.observe(entry, postings(entry, rules))] == []
    assert list(watch.close()) == []


def test_an_auction_at_another_price_than_its_own_is_found() -> None:
    exchange = market(auction_opening=600)
    slot = exchange.open_slots()[-1]
    commands: list[Command] = [
        ask(slot, 9_000),
        bid(slot, 12_000),
        AdvanceClock(format_time(exchange.clock.opens(slot) + 600 * NS)),
    ]
    entries = exchange.apply_many(commands)
    for forged, told in ((10_500, []), (10_600, ["so that the two trade at 10600"]), (None, ["no auction was held"])):
        last = entries[-1]
        auctioned = [] if forged is None else [replace(last.events[0], price=forged)]
        watch = Conservation()
        for name in NAMES:
            list(watch.observe(Entry(1, Register(name, name), (Accepted(),)), []))
        found = [fault for entry in entries[:2] for fault in watch.observe(entry, [])]
        found += watch.observe(replace(last, events=(*auctioned, *last.events[1:])), [])
        assert len(found) == len(told)
        assert all(part in fault for part, fault in zip(told, found, strict=True))
