"""The whole life of an order: how long it lives, what it refuses to do, and who may stop it."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from market import journal
from market.capacity import Gate, OpenGate
from market.conservation import Conservation
from market.events import (
    Accepted,
    Cancelled,
    Entry,
    Event,
    Expired,
    GateClosed,
    Halted,
    Limited,
    Opened,
    Rejected,
    Resumed,
    Traded,
)
from market.exchange import Exchange
from market.ledger import postings
from market.orders import (
    AdvanceClock,
    Amend,
    Basket,
    Cancel,
    Command,
    CreateMarket,
    Halt,
    Leg,
    MassCancel,
    Register,
    Resume,
    Submit,
    UpdateGrid,
)
from market.replay import Replayer
from market.slots import NS, format_time
from market.spread import threshold
from tests.market.naive import SETTINGS, ConnectionLimits

PLACES = {"c1": 100, "c2": 100, "c3": 100, "slack": 0}
FEEDER = json.dumps({"connections": [{"id": name} for name in PLACES]})
NAMES = ("anna", "ben", "cleo")


def market(limited: bool = False, **changes: object) -> Exchange:
    gate: Gate = ConnectionLimits(PLACES, decides=True) if limited else OpenGate(list(PLACES))
    exchange = Exchange(gate)
    rules = msgspec.structs.replace(SETTINGS, gate="linear" if limited else "off", **changes)
    commands: list[Command] = [CreateMarket(rules, FEEDER), AdvanceClock("2016-06-21T12:00:00Z")]
    commands += [Register(name, place) for name, place in zip((*NAMES, "utility"), PLACES, strict=True)]
    for entry in exchange.apply_many(commands):
        assert not isinstance(entry.events[0], Rejected)
    return exchange


def events(exchange: Exchange, *commands: Command) -> list[Event]:
    return [event for entry in exchange.apply_many(commands) for event in entry.events]


def code(exchange: Exchange, command: Command) -> str:
    (event,) = exchange.apply(command).events
    assert isinstance(event, Rejected)
    return event.code


def ask(slot: int, price: int = 10_000, quantity: int = 100, who: str = "anna") -> Submit:
    return Submit(who, slot, "sell", price, quantity, flexible=True)


def bid(slot: int, price: int = 10_000, quantity: int = 100, who: str = "ben") -> Submit:
    return Submit(who, slot, "buy", price, quantity, flexible=True)


replace = msgspec.structs.replace


def test_gtd_orders_expire_at_their_own_end_in_order_of_time() -> None:
    exchange = market()
    slot = exchange.open_slots()[-1]
    late = replace(ask(slot), time_in_force="gtd", good_till="2016-06-21T12:20:00Z")
    soon = replace(ask(slot), time_in_force="gtd", good_till="2016-06-21T12:10:00.000000001Z")
    events(exchange, late, soon)
    assert events(exchange, AdvanceClock("2016-06-21T12:10:00Z")) == [Accepted()]
    assert events(exchange, AdvanceClock("2016-06-21T12:10:00.000000001Z")) == [Expired(8, 100)]
    assert Expired(7, 100) in events(exchange, AdvanceClock("2016-06-21T12:30:00Z"))


def test_a_gtd_order_that_is_filled_cancelled_or_past_its_gate_does_not_expire_again() -> None:
    exchange = market()
    slot = exchange.open_slots()[0]
    order = replace(ask(slot), time_in_force="gtd", good_till="2016-06-21T14:00:00Z")
    events(exchange, order, replace(order, price=11_000), Cancel("anna", 7))
    told = events(exchange, AdvanceClock("2016-06-21T15:00:00Z"))
    assert [event for event in told if isinstance(event, Expired)] == [Expired(8, 100)]


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"time_in_force": "gtd"}, "BAD_TIME_IN_FORCE"),
        ({"time_in_force": "gtc", "good_till": "2016-06-21T13:00:00Z"}, "BAD_TIME_IN_FORCE"),
        ({"time_in_force": "gtd", "good_till": "noon"}, "BAD_TIME"),
        ({"time_in_force": "gtd", "good_till": "2016-06-21T12:00:00Z"}, "BAD_TIME"),
        ({"time_in_force": "ioc", "post_only": True}, "BAD_TIME_IN_FORCE"),
        ({"time_in_force": "day"}, "BAD_TIME_IN_FORCE"),
        ({"sources": ("solar",)}, "BAD_SOURCE"),
        ({"client_order_id": "é"}, "BAD_ID"),
        ({"client_order_id": "x" * 65}, "BAD_ID"),
    ],
)
def test_contradictions_in_an_order_are_refused(fields: dict[str, object], refusal: str) -> None:
    exchange = market()
    assert code(exchange, replace(ask(exchange.open_slots()[0]), **fields)) == refusal


def test_fok_is_filled_in_full_or_leaves_no_trace_in_the_book() -> None:
    exchange = market()
    slot = exchange.open_slots()[0]
    events(exchange, ask(slot), ask(slot, 11_000, 50))
    before = exchange.depth(slot)
    killed = events(exchange, replace(bid(slot, 12_000, 160), time_in_force="fok"))
    assert killed == [Accepted(9), Cancelled(9, 160, "fok")]
    assert exchange.depth(slot) == before
    filled = events(exchange, replace(bid(slot, 12_000, 150), time_in_force="fok"))
    assert [event.quantity for event in filled if isinstance(event, Traded)] == [100, 50]
    assert exchange.contracted(slot) == {"anna": 150, "ben": -150}


def test_fok_counts_only_what_the_wires_carry_and_records_what_it_was_told() -> None:
    exchange = market(limited=True)
    slot = exchange.open_slots()[0]
    events(exchange, ask(slot, 10_000, 60), ask(slot, 10_000, 80))
    killed = events(exchange, replace(bid(slot, 12_000, 120), time_in_force="fok"))
    assert killed[1:] == [
        Limited(9, 7, 60, 60, ""),
        Limited(9, 8, 60, 40, "limit:c1"),
        Cancelled(9, 120, "fok"),
    ]
    assert exchange.schedule(slot).tolist() == [0, 0, 0, 0]
    assert len([event for event in events(exchange, bid(slot, 12_000, 100)) if isinstance(event, Traded)]) == 2


def test_post_only_never_takes() -> None:
    exchange = market()
    slot = exchange.open_slots()[0]
    events(exchange, ask(slot))
    assert code(exchange, replace(bid(slot), post_only=True)) == "WOULD_TRADE"
    events(exchange, replace(bid(slot, 9_000), post_only=True))
    assert code(exchange, Amend("ben", 9, price=10_000)) == "WOULD_TRADE"
    assert exchange.depth(slot) == ([(9_000, 100)], [(10_000, 100)])
    assert isinstance(events(exchange, ask(slot, 9_000, who="cleo"))[1], Traded)


def test_nobody_trades_with_themselves_the_newer_order_goes() -> None:
    exchange = market()
    slot = exchange.open_slots()[0]
    events(exchange, ask(slot, 9_000, who="cleo"), ask(slot, who="ben"), ask(slot, 11_000))
    told = events(exchange, bid(slot, 12_000, 300))
    assert [type(event) for event in told] == [Accepted, Traded, Cancelled]
    assert told[-1] == Cancelled(10, 200, "self_trade")
    assert exchange.depth(slot) == ([], [(10_000, 100), (11_000, 100)])


def test_a_bid_takes_only_the_origins_that_it_accepts() -> None:
    exchange = market()
    slot = exchange.open_slots()[0]
    grey, wind, sun = ask(slot, 9_000), replace(ask(slot, 9_500), source="wind"), replace(ask(slot), source="solar")
    events(exchange, grey, wind, sun)
    told = events(exchange, replace(bid(slot, 12_000, 300), sources=("solar", "hydro")))
    assert [event.source for event in told if isinstance(event, Traded)] == ["solar"]
    assert exchange.depth(slot) == ([(12_000, 200)], [(9_000, 100), (9_500, 100)])
    assert isinstance(events(exchange, replace(ask(slot, 9_000, who="cleo"), source="hydro"))[1], Traded)


def test_a_named_order_is_taken_once_however_often_it_is_sent() -> None:
    exchange = market()
    slot = exchange.open_slots()[0]
    order = replace(ask(slot), client_order_id="a-1")
    assert events(exchange, *[order] * 5) == [Accepted(7)] * 5
    assert events(exchange, order) == [Accepted(7)]
    assert exchange.depth(slot) == ([], [(10_000, 100)])
    assert code(exchange, replace(order, price=10_100)) == "ID_REUSED"
    assert events(exchange, replace(bid(slot), client_order_id="a-1"))[0] == Accepted(14)
    events(exchange, AdvanceClock("2016-06-22T12:00:00Z"))
    assert events(exchange, order) == [Accepted(7)]


def test_a_named_order_that_was_refused_stays_refused() -> None:
    exchange = market()
    slot = exchange.open_slots()[0]
    events(exchange, ask(slot))
    order = replace(bid(slot), post_only=True, client_order_id="b")
    assert code(exchange, order) == "WOULD_TRADE"
    events(exchange, MassCancel("anna"))
    assert code(exchange, order) == "WOULD_TRADE"


def test_a_basket_fills_all_its_legs_or_none() -> None:
    exchange = market()
    one, two = exchange.open_slots()[:2]
    events(exchange, ask(one), ask(two, quantity=50))
    legs = (Leg(one, "buy", 10_000, 100), Leg(two, "buy", 10_000, 60))
    assert events(exchange, Basket("ben", legs)) == [Accepted(9), Cancelled(9, 160, "basket")]
    assert exchange.depth(one) == ([], [(10_000, 100)])
    told = events(exchange, Basket("ben", (legs[0], replace(legs[1], quantity=50))))
    assert [event.slot for event in told if isinstance(event, Traded)] == [one, two]
    assert exchange.contracted(one) == {"anna": 100, "ben": -100}


def test_orders_and_baskets_share_their_names_also_within_a_batch() -> None:
    exchange = market()
    one, two = exchange.open_slots()[:2]
    order = replace(ask(one), client_order_id="x")
    basket = Basket("anna", (Leg(one, "sell", 10_000, 10), Leg(two, "sell", 10_000, 10)), client_order_id="x")
    told = [event for event in events(exchange, order, basket, order) if not isinstance(event, Cancelled)]
    assert [event.code if isinstance(event, Rejected) else event for event in told] == [
        Accepted(7),
        "ID_REUSED",
        Accepted(7),
    ]


def test_a_basket_with_a_bad_leg_names_it() -> None:
    exchange = market()
    one, two = exchange.open_slots()[:2]
    good = Leg(one, "buy", 10_000, 100)
    assert code(exchange, Basket("ben", (good,))) == "BAD_BASKET"
    assert code(exchange, Basket("ben", (good, good))) == "BAD_BASKET"
    (event,) = exchange.apply(Basket("ben", (good, Leg(two, "buy", 10_050, 100)))).events
    assert isinstance(event, Rejected)
    assert (event.code, event.field) == ("PRICE_OFF_TICK", "legs[1].price")
    assert code(exchange, Basket("ben", (good, replace(good, slot=two + 99)))) == "SLOT_NOT_OPEN"


@pytest.mark.parametrize(("scope", "who"), [("market", ""), ("feeder", ""), ("participant", "anna")])
def test_a_halt_stops_orders_and_amendments_but_not_cancels(scope: str, who: str) -> None:
    exchange = market()
    slot = exchange.open_slots()[0]
    events(exchange, ask(slot), bid(slot, 9_000))
    assert events(exchange, Halt(scope, who)) == [Halted(scope, who)]  # type: ignore[arg-type]
    assert code(exchange, ask(slot)) == "HALTED"
    assert code(exchange, Amend("anna", 7, quantity=50)) == "HALTED"
    assert isinstance(
        events(exchange, ask(slot, 15_000, who="utility"))[0], Rejected if scope == "market" else Accepted
    )
    assert isinstance(events(exchange, bid(slot, 8_000))[0], Accepted if scope == "participant" else Rejected)
    assert events(exchange, Cancel("anna", 7)) == [Cancelled(7, 100, "participant")]
    assert events(exchange, Resume(scope, who)) == [Resumed(scope, who)]  # type: ignore[arg-type]
    assert isinstance(events(exchange, ask(slot))[0], Accepted)
    assert code(exchange, Resume(scope, who)) == "NOT_HALTED"  # type: ignore[arg-type]


def test_a_kill_switch_takes_the_orders_too() -> None:
    exchange = market()
    one, two = exchange.open_slots()[:2]
    events(exchange, ask(one), ask(two), bid(one, 9_000))
    told = events(exchange, Halt("participant", "anna", cancel_orders=True))
    assert told == [Halted("participant", "anna"), Cancelled(7, 100, "halt"), Cancelled(8, 100, "halt")]
    assert exchange.depth(one) == ([(9_000, 100)], [])
    assert code(exchange, Halt("street")) == "BAD_SCOPE"  # type: ignore[arg-type]
    assert code(exchange, Halt("market", "anna")) == "BAD_SCOPE"
    assert code(exchange, Halt("participant", "zoe")) == "UNKNOWN_PARTICIPANT"


def test_what_was_skipped_for_capacity_is_tried_again_when_it_is_released() -> None:
    exchange = market(limited=True)
    slot = exchange.open_slots()[0]
    events(exchange, ask(slot, 10_000, 150), bid(slot, 10_000, 150, who="utility"))
    assert exchange.depth(slot) == ([(10_000, 50)], [(10_000, 50)])
    told = events(exchange, Submit("anna", slot, "buy", 9_000, 40), ask(slot, 9_000, 40, who="cleo"))
    trades = [event for event in told if isinstance(event, Traded)]
    assert [(trade.buyer, trade.seller) for trade in trades] == [("utility", "cleo")]
    events(exchange, MassCancel("cleo"), UpdateGrid(slot, [0, 0, 0, 0]))
    assert exchange.depth(slot)[1] == [(10_000, 50)]


def test_a_release_of_capacity_lets_resting_orders_meet_at_the_older_ones_price() -> None:
    exchange = market(limited=True)
    slot = exchange.open_slots()[0]
    events(exchange, ask(slot, 10_000, 150), bid(slot, 11_000, 140, who="utility"))
    events(exchange, Submit("cleo", slot, "sell", 8_000, 90, flexible=True))
    told = events(exchange, Submit("anna", slot, "buy", 8_000, 30, flexible=True))
    assert not [event for event in told if isinstance(event, Limited)]
    # anna may sell again only after she has bought: her own resting ask is older than the utility's bid.
    told = events(exchange, Submit("cleo", slot, "sell", 8_000, 30, flexible=True))
    older = [event for event in told if isinstance(event, Traded) and event.seller == "anna"]
    assert all(trade.price == 10_000 for trade in older)


def test_the_spread_clock_lets_the_most_valuable_matches_trade_first() -> None:
    exchange = market(spread_start=40_000, spread_zero_ppm=500_000)
    slot = exchange.open_slots()[-1]
    opens, gate = exchange.clock.opens(slot), exchange.clock.gate(slot)
    assert exchange.now == opens
    assert threshold(exchange.settings, exchange.clock, slot, opens) == 40_000
    assert threshold(exchange.settings, exchange.clock, slot, (opens + gate) // 2) == 0
    events(exchange, ask(slot, 10_000), bid(slot, 30_000))
    assert exchange.depth(slot) == ([(30_000, 100)], [(10_000, 100)])
    quarter = opens + (gate - opens) // 4
    just_before = events(exchange, AdvanceClock(format_time(quarter - NS)))
    assert not [event for event in just_before if isinstance(event, Traded)]
    (trade,) = [event for event in events(exchange, AdvanceClock(format_time(quarter))) if isinstance(event, Traded)]
    assert (trade.price, trade.resting, trade.quantity) == (10_000, "sell", 100)


def test_post_only_respects_the_spread() -> None:
    exchange = market(spread_start=40_000)
    slot = exchange.open_slots()[-1]
    assert isinstance(events(exchange, ask(slot), replace(bid(slot, 20_000), post_only=True))[1], Accepted)


def test_an_auction_clears_what_rests_when_the_gate_closes_at_one_price() -> None:
    exchange = market(design="call")
    slot = exchange.open_slots()[0]
    told = events(exchange, ask(slot, 9_000, 60), ask(slot, 10_000, 60, who="cleo"), bid(slot, 12_000, 80))
    assert [type(event) for event in told] == [Accepted] * 3
    assert exchange.depth(slot) == ([(12_000, 80)], [(9_000, 60), (10_000, 60)])
    told = events(exchange, AdvanceClock(format_time(exchange.clock.gate(slot))))
    trades = [event for event in told if isinstance(event, Traded)]
    assert [(trade.seller, trade.quantity, trade.price, trade.resting) for trade in trades] == [
        ("anna", 60, 10_000, "both"),
        ("cleo", 20, 10_000, "both"),
    ]
    assert [event for event in told if isinstance(event, Expired)] == [Expired(8, 40)]


def test_what_wants_to_trade_at_once_is_refused_in_an_auction() -> None:
    exchange = market(design="mmr")
    slots = exchange.open_slots()
    for fields in ({"time_in_force": "ioc"}, {"time_in_force": "fok"}, {"post_only": True}):
        assert code(exchange, replace(ask(slots[0]), **fields)) == "NOT_IN_AUCTION"
    legs = tuple(Leg(slot, "buy", 10_000, 10) for slot in slots[:2])
    assert code(exchange, Basket("ben", legs)) == "NOT_IN_AUCTION"


def lively(seed: int, slots: list[int], count: int) -> list[Command]:
    """All kinds of commands, near enough in price to meet."""
    rng = np.random.default_rng(seed)
    commands: list[Command] = []
    for number in range(7, 7 + count):
        slot, who = slots[rng.integers(len(slots))], NAMES[rng.integers(3)]
        price, quantity = int(rng.integers(90, 110)) * 100, int(rng.integers(1, 9)) * 10
        side = ("buy", "sell")[rng.integers(2)]
        name = f"{rng.integers(count)}" if rng.random() < 0.3 else ""
        order = Submit(who, slot, side, price, quantity, flexible=bool(rng.random() < 0.7), client_order_id=name)  # type: ignore[arg-type]
        kind = rng.random()
        if kind < 0.5:
            commands.append(order)
        elif kind < 0.7:
            commands.append(replace(order, time_in_force=("ioc", "fok")[rng.integers(2)]))
        elif kind < 0.8:
            end = f"2016-06-21T12:{rng.integers(10, 59)}:00Z"
            commands.append(replace(order, time_in_force="gtd", good_till=end))
        elif kind < 0.88:
            legs = tuple(Leg(leg, side, price, quantity, True) for leg in slots[:2])  # type: ignore[arg-type]
            commands.append(Basket(who, legs))
        elif kind < 0.94:
            commands.append(Amend(who, max(1, number - int(rng.geometric(0.05))), price, quantity))
        elif kind < 0.96:
            commands.append(UpdateGrid(slot, [int(wh) * 10 for wh in rng.integers(-9, 9, 3)] + [0]))
        elif kind < 0.98:
            minute = 1 + number * 40 // (7 + count)
            commands.append(AdvanceClock(f"2016-06-21T12:{minute:02d}:00Z"))
        else:
            commands.append(Halt("participant", who, True) if kind < 0.983 else Resume("participant", who))
    return commands


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize(
    ("seed", "design"),
    [*((seed, "cda") for seed in range(6)), (6, "call"), (7, "call"), (6, "pay_as_bid"), (6, "mmr"), (7, "sdr")],
)
def test_every_mix_of_commands_conserves_energy_and_replays(seed: int, design: str, limited: bool) -> None:
    recorded: list[Entry] = []
    spread = 2_000 if seed % 2 and design == "cda" else 0
    exchange = market(limited, spread_start=spread, design=design, retail=11_000, feed_in=9_500)
    original = exchange.apply_many

    fresh = Exchange(ConnectionLimits(PLACES, decides=True) if limited else OpenGate(list(PLACES)))
    rules = exchange.settings
    opening: list[Command] = [CreateMarket(rules, FEEDER), AdvanceClock("2016-06-21T12:00:00Z")]
    opening += [Register(name, place) for name, place in zip((*NAMES, "utility"), PLACES, strict=True)]
    recorded += fresh.apply_many(opening)
    recorded += fresh.apply_many(lively(seed, fresh.open_slots()[1:4], 1_500))
    assert original(lively(seed, exchange.open_slots()[1:4], 1_500)) == recorded[6:]
    kinds = {type(event) for entry in recorded for event in entry.events}
    assert {Traded, Cancelled, Expired, Opened, GateClosed} <= kinds
    assert limited or Limited not in kinds
    assert not limited or Limited in kinds or design != "cda"

    watch = Conservation()
    for entry in recorded:
        assert journal.decode(journal.encode(entry)) == entry
        assert list(watch.observe(entry, postings(entry, rules))) == []
    assert list(watch.close()) == []
    assert Replayer().run(recorded) is None
