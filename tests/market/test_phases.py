"""To the nanosecond: when orders are taken, when they end, who may still act while trading is stopped, what is kept."""

from __future__ import annotations

import msgspec
import pytest

from market import journal
from market.events import Accepted, Cancelled, Entry, Event, Expired, GateClosed, Halted, Opened, Rejected, Traded
from market.exchange import Exchange
from market.orders import (
    AdvanceClock,
    Amend,
    Basket,
    Cancel,
    Command,
    Halt,
    Leg,
    MassCancel,
    RecordMeter,
    Resume,
    Settle,
    Submit,
    UpdateGrid,
)
from market.slots import MINUTE, Phase, format_time
from tests.market.rig import gate_of
from tests.market.traffic import MARKET, Traffic

replace = msgspec.structs.replace


def market(gate: str = "off") -> tuple[Exchange, list[Entry]]:
    exchange = Exchange(gate_of(gate))
    return exchange, exchange.apply_many(Traffic(0, replace(MARKET, gate=gate)).opening())


def at(exchange: Exchange, time: int) -> list[Event]:
    return list(exchange.apply(AdvanceClock(format_time(time))).events)


def first(exchange: Exchange, command: Command) -> Event:
    return exchange.apply(command).events[0]


def code(exchange: Exchange, command: Command) -> str:
    event = first(exchange, command)
    assert isinstance(event, Rejected)
    return event.code


def ask(slot: int, who: str = "anna", price: int = 10_000) -> Submit:
    return Submit(who, slot, "sell", price, 100)


def bid(slot: int, who: str = "ben", price: int = 10_000) -> Submit:
    return Submit(who, slot, "buy", price, 100)


def legs(*slots: int) -> tuple[Leg, ...]:
    return tuple(Leg(slot, "buy", 10_000, 100) for slot in slots)


def commands_for(slot: int, order: int) -> list[Command]:
    """All that needs an open slot, `order` being an order of anna's in it."""
    return [
        ask(slot),
        Amend("anna", order, quantity=50),
        Cancel("anna", order),
        MassCancel("anna", slot),
        UpdateGrid(slot, [0] * 7),
        Basket("ben", legs(slot, slot + 1)),
    ]


@pytest.mark.parametrize("place", range(6))
def test_a_slot_takes_commands_from_the_nanosecond_at_which_it_opens(place: int) -> None:
    exchange, _ = market()
    slot = exchange.open_slots()[-1] + 1
    opens = exchange.clock.opens(slot)
    at(exchange, opens - 1)
    assert exchange.clock.phase(slot, opens - 1) is Phase.PRE_OPEN
    command = commands_for(slot, 1)[place]
    assert code(exchange, command) in ("SLOT_NOT_OPEN", "ORDER_CLOSED")
    assert at(exchange, opens) == [Opened(slot), GateClosed(exchange.open_slots()[0] - 1)]
    assert exchange.clock.phase(slot, opens) is Phase.OPEN
    number = exchange.apply(ask(slot)).seq
    if isinstance(command, Basket):
        command = replace(command, legs=legs(slot - 1, slot))
    told = exchange.apply(commands_for(slot, number)[place] if place in (1, 2) else command).events
    assert not any(isinstance(event, Rejected) for event in told)


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("early", [1, 0])
def test_a_slot_takes_commands_until_the_nanosecond_before_its_gate(place: int, early: int) -> None:
    exchange, _ = market()
    slot = exchange.open_slots()[0]
    number = exchange.apply(ask(slot)).seq
    told = at(exchange, exchange.clock.gate(slot) - early)
    command = commands_for(slot, number)[place]
    if early:
        assert told == [Accepted()]
        assert not isinstance(first(exchange, command), Rejected)
    else:
        assert told[-2:] == [Expired(number, 100), GateClosed(slot)]
        assert code(exchange, command) == ("ORDER_CLOSED" if place in (1, 2) else "GATE_CLOSED")


@pytest.mark.parametrize("late", [0, 1])
def test_a_time_that_has_passed_changes_nothing(late: int) -> None:
    exchange, _ = market()
    slot = exchange.open_slots()[0]
    gate = exchange.clock.gate(slot)
    at(exchange, gate + late)
    assert code(exchange, ask(slot)) == "GATE_CLOSED"
    assert at(exchange, gate + late) == [Accepted()]
    assert code(exchange, AdvanceClock(format_time(gate + late - 1))) == "BAD_TIME"


def test_an_order_good_till_a_time_lives_until_the_nanosecond_before_it() -> None:
    exchange, _ = market()
    slot = exchange.open_slots()[-1]
    end = (exchange.now or 0) + 7 * MINUTE
    order = replace(ask(slot), time_in_force="gtd", good_till=format_time(end))
    number = exchange.apply(order).seq
    assert at(exchange, end - 1) == [Accepted()]
    assert isinstance(exchange.apply(replace(bid(slot), quantity=10)).events[1], Traded)
    assert not isinstance(first(exchange, order), Rejected)
    assert at(exchange, end) == [Expired(number, 90), Expired(number + 3, 100)]
    assert code(exchange, order) == "BAD_TIME"
    assert exchange.depth(slot) == ([], [])


@pytest.mark.parametrize(("after", "why"), [(-1, "own end"), (0, "own end"), (1, "gate")])
def test_of_its_own_end_and_the_gate_the_earlier_ends_an_order(after: int, why: str) -> None:
    exchange, _ = market()
    slot = exchange.open_slots()[0]
    gate = exchange.clock.gate(slot)
    order = replace(ask(slot), time_in_force="gtd", good_till=format_time(gate + after))
    number = exchange.apply(order).seq
    told = at(exchange, gate)
    assert told.count(Expired(number, 100)) == 1
    # An own end comes before all that the gate does.
    assert told.index(Expired(number, 100)) == (0 if why == "own end" else len(told) - 2)
    assert at(exchange, gate + 2) == [Accepted()]


def test_meters_are_read_from_the_nanosecond_at_which_delivery_ends() -> None:
    exchange, _ = market()
    slot = exchange.open_slots()[0]
    at(exchange, exchange.clock.end(slot) - 1)
    assert code(exchange, RecordMeter(slot, {})) == "NOT_DELIVERED"
    assert code(exchange, Settle(slot)) == "NOT_DELIVERED"
    at(exchange, exchange.clock.end(slot))
    assert first(exchange, RecordMeter(slot, {"anna": 5})) == Accepted()


def test_a_reading_that_cannot_be_paid_for_exactly_is_refused() -> None:
    exchange, _ = market()
    slot = exchange.open_slots()[0]
    at(exchange, exchange.clock.end(slot))
    # The dearest Wh: the cap, and the surcharge on imbalances.
    most = (2**53 - 1) // (50_000 + 700)
    for reading in (most + 1, -most - 1, 2**53 - 1):
        assert code(exchange, RecordMeter(slot, {"anna": reading})) == "BAD_READING"
    assert first(exchange, RecordMeter(slot, {"anna": most, "ben": -most})) == Accepted()


@pytest.mark.parametrize("scope", ["market", "feeder", "participant"])
def test_while_trading_is_halted_all_ways_to_cancel_work_and_time_goes_on(scope: str) -> None:
    exchange, _ = market()
    one, two, three, last = exchange.open_slots()
    numbers = [exchange.apply(ask(slot)).seq for slot in (one, two, three, three, last)]
    who = "anna" if scope == "participant" else ""
    assert first(exchange, Halt(scope, who)) == Halted(scope, who)  # type: ignore[arg-type]
    assert code(exchange, ask(one)) == "HALTED"
    assert code(exchange, Amend("anna", numbers[0], quantity=10)) == "HALTED"
    assert code(exchange, Basket("anna", legs(one, two))) == "HALTED"
    assert first(exchange, Cancel("anna", numbers[1])) == Cancelled(numbers[1], 100, "participant")
    assert list(exchange.apply(MassCancel("anna", three)).events) == [
        Cancelled(number, 100, "participant") for number in numbers[2:4]
    ]
    assert Expired(numbers[0], 100) in at(exchange, exchange.clock.gate(one))
    # Halted once more, with the orders this time: a kill switch for what came before the first.
    assert list(exchange.apply(Halt(scope, who, True)).events) == [  # type: ignore[arg-type]
        Halted(scope, who),  # type: ignore[arg-type]
        Cancelled(numbers[4], 100, "halt"),
    ]
    assert not isinstance(first(exchange, Resume(scope, who)), Rejected)  # type: ignore[arg-type]
    assert isinstance(first(exchange, ask(two)), Accepted)


def test_a_halt_of_the_market_outlives_that_of_a_participant() -> None:
    exchange, _ = market()
    slot = exchange.open_slots()[0]
    exchange.apply_many([Halt("market"), Halt("participant", "anna"), Resume("participant", "anna")])
    assert code(exchange, ask(slot)) == "HALTED"
    exchange.apply(Resume("market"))
    assert isinstance(first(exchange, ask(slot)), Accepted)


# -- the same order again --------------------------------------------------------------------------------------------


def restarted(entries: list[Entry], gate: str = "off") -> Exchange:
    """Another exchange with the state that the journal's bytes hold."""
    exchange = Exchange(gate_of(gate))
    known = [journal.decode(body) for body in journal.encode_all(entries)]
    assert exchange.apply_many([entry.command for entry in known]) == known
    return exchange


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("gate", ["off", "linear", "ac"])
def test_a_named_order_is_answered_alike_whatever_became_of_it(gate: str, restart: bool) -> None:
    exchange, entries = market(gate)
    one, two = exchange.open_slots()[:2]
    order = replace(ask(one), client_order_id="a", flexible=True)
    named: list[Command] = [
        order,
        replace(ask(two), client_order_id="b"),
        replace(bid(two, "anna"), client_order_id="self trade"),
        replace(bid(one, "cleo", 9_000), client_order_id="b"),
        replace(bid(one, "dora"), client_order_id="takes", time_in_force="ioc"),
        replace(bid(one, "dora", 5_000), client_order_id="in vain", time_in_force="fok"),
        replace(bid(one, "emil", 10_100), client_order_id="refused", post_only=True),
        replace(bid(one, "emil", -100), client_order_id="no price"),
        replace(bid(one + 99), client_order_id="no slot"),
        Basket("ben", legs(one, two), "both"),
    ]
    entries += exchange.apply_many(named)
    answers = [entry.events[0] for entry in entries[-len(named) :]]
    number = entries[-len(named)].seq
    entries += exchange.apply_many(
        [Amend("anna", number + 1, price=11_000), Amend("anna", number + 1, quantity=30), Cancel("cleo", number + 3)]
    )
    for time in (exchange.now or 0, exchange.clock.gate(one), exchange.clock.end(two)):
        entries.append(exchange.apply(AdvanceClock(format_time(time))))
        if restart:
            exchange = restarted(entries, gate)
        depths = [exchange.depth(slot) for slot in exchange.open_slots()]
        entries += exchange.apply_many(named)
        assert [entry.events for entry in entries[-len(named) :]] == [(answer,) for answer in answers]
        assert [exchange.depth(slot) for slot in exchange.open_slots()] == depths
        for command in named:
            other = {"legs": ()} if isinstance(command, Basket) else {"quantity": 990}
            entries.append(exchange.apply(replace(command, **other)))
            (event,) = entries[-1].events
            assert isinstance(event, Rejected)
            assert event.code == "ID_REUSED"


@pytest.mark.parametrize("batch", [False, True])
def test_a_name_is_for_one_slot_only(batch: bool) -> None:
    exchange, _ = market()
    one, two = exchange.open_slots()[:2]
    orders = [replace(ask(slot), client_order_id="mine") for slot in (one, two, one)]
    entries = exchange.apply_many(orders) if batch else [exchange.apply(order) for order in orders]
    number = entries[0].seq
    (refused,) = entries[1].events
    assert isinstance(refused, Rejected)
    assert refused.code == "ID_REUSED"
    assert [entries[0].events, entries[2].events] == [(Accepted(number),)] * 2
    assert exchange.depth(two) == ([], [])


def test_a_halt_does_not_change_what_a_named_basket_was_answered() -> None:
    exchange, _ = market()
    one, two = exchange.open_slots()[:2]
    order = replace(ask(one, "ben"), client_order_id="order")
    basket = Basket("ben", legs(one, two), "basket")
    answers = [first(exchange, order), first(exchange, basket)]
    exchange.apply(Halt("market"))
    assert [first(exchange, order), first(exchange, basket)] == answers
    assert code(exchange, Basket("ben", legs(one, two), "order")) == "ID_REUSED"
    assert code(exchange, Basket("ben", legs(one, two), "new")) == "HALTED"
    exchange.apply(Resume("market"))
    assert [first(exchange, order), first(exchange, basket)] == answers
    assert code(exchange, Basket("ben", legs(one, two), "new")) == "HALTED"


def test_orders_that_are_refused_use_up_no_origin_of_energy() -> None:
    exchange, _ = market()
    one, two = exchange.open_slots()[:2]
    for number in range(100):
        bad = replace(ask(one), source=f"bad{number}", time_in_force="gtd")
        assert code(exchange, bad) == "BAD_TIME_IN_FORCE"
    new = [Leg(slot, "sell", 10_000, 10, source=f"leg{slot}") for slot in (one, two)]
    for number in range(60):
        assert isinstance(first(exchange, replace(ask(one), source=f"good{number}", quantity=10)), Accepted)
        exchange.apply(MassCancel("anna"))
    assert code(exchange, Basket("ben", tuple(new))) == "BAD_SOURCE"
    assert isinstance(first(exchange, replace(ask(one), source="last")), Accepted)
    assert code(exchange, replace(ask(one), source="beyond")) == "BAD_SOURCE"
    assert isinstance(first(exchange, replace(ask(one), source="good0")), Accepted)
