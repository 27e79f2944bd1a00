"""The exchange beyond matching: order of things, phases, refusals, meters, settlement."""

from __future__ import annotations

import msgspec
import pytest

from market.book import MAX_LEVELS
from market.capacity import OpenGate, Verdict
from market.events import (
    Accepted,
    Cancelled,
    Event,
    Expired,
    GateClosed,
    Limited,
    Opened,
    Rejected,
    Settled,
    Traded,
)
from market.exchange import Exchange
from market.orders import (
    AdvanceClock,
    Amend,
    Cancel,
    Command,
    CreateMarket,
    MassCancel,
    RecordMeter,
    Register,
    Settle,
    Submit,
    UpdateGrid,
)
from market.rules import CODES
from market.slots import format_time
from tests.market.naive import SETTINGS, ConnectionLimits


def market(gate: OpenGate | ConnectionLimits | None = None, **changes: object) -> Exchange:
    """A market at noon with anna at c1, ben at c2 and the utility at the slack."""
    exchange = Exchange(gate or OpenGate(["c1", "c2", "slack"]))
    rules = msgspec.structs.replace(SETTINGS, **changes)
    commands: list[Command] = [CreateMarket(rules, ""), AdvanceClock("2016-06-21T12:00:00Z")]
    commands += [Register(*pair) for pair in (("anna", "c1"), ("ben", "c2"), ("utility", "slack"))]
    for entry in exchange.apply_many(commands):
        assert not isinstance(entry.events[0], Rejected)
    return exchange


def only(exchange: Exchange, command: Command) -> Event:
    (event,) = exchange.apply(command).events
    return event


def code(exchange: Exchange, command: Command) -> str:
    event = only(exchange, command)
    assert isinstance(event, Rejected)
    assert event.code in CODES
    return event.code


def ask(slot: int, price: int = 10_000, quantity: int = 100) -> Submit:
    return Submit("anna", slot, "sell", price, quantity)


def test_sequence_numbers_count_every_command_from_one() -> None:
    exchange = market()
    slot = exchange.open_slots()[0]
    entries = exchange.apply_many([ask(slot), ask(slot, price=-1), Cancel("ben", 99)])
    assert [entry.seq for entry in entries] == [6, 7, 8]
    assert entries[0].events == (Accepted(6),)


def test_slots_open_and_close_as_the_clock_says() -> None:
    exchange = market()
    first = exchange.clock.slot_at(exchange.now or 0) + 2
    assert exchange.open_slots() == [first, first + 1, first + 2, first + 3]
    exchange.apply(ask(first))
    entry = exchange.apply(AdvanceClock("2016-06-21T12:15:00Z"))
    assert entry.events == (Opened(first + 4), Expired(6, 100), GateClosed(first))


def test_an_order_is_taken_until_the_last_nanosecond_before_the_gate() -> None:
    exchange = market()
    slot = exchange.open_slots()[0]
    gate = exchange.clock.gate(slot)
    exchange.apply(AdvanceClock(format_time(gate - 1)))
    assert isinstance(only(exchange, ask(slot)), Accepted)
    exchange.apply(AdvanceClock(format_time(gate)))
    assert code(exchange, ask(slot)) == "GATE_CLOSED"


def test_a_clock_that_jumps_a_day_opens_and_closes_every_slot_between() -> None:
    exchange = market()
    before = exchange.open_slots()
    events = exchange.apply(AdvanceClock("2016-06-22T12:00:00Z")).events
    opened = [event.slot for event in events if isinstance(event, Opened)]
    closed = [event.slot for event in events if isinstance(event, GateClosed)]
    assert opened == list(range(before[-1] + 1, before[-1] + 97))
    assert sorted(closed) == list(range(before[0], before[0] + 96))
    assert exchange.open_slots() == [slot + 96 for slot in before]


def test_nothing_happens_before_the_market_is_created() -> None:
    exchange = Exchange(OpenGate(["c1"]))
    assert code(exchange, AdvanceClock("2016-06-21T12:00:00Z")) == "NO_MARKET"
    assert code(exchange, Submit("anna", 1, "buy", 0, 10)) == "NO_MARKET"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tick": 0}, "tick"),
        ({"lot": -1}, "lot"),
        ({"price_floor": 60_000}, "price_floor"),
        ({"price_cap": 50_050}, "price_cap"),
        ({"price_cap": MAX_LEVELS * 100}, "tick"),
        ({"retail": 50_100}, "retail"),
        ({"feed_in": 8_050}, "feed_in"),
        ({"opens_before_seconds": 900}, "opens_before_seconds"),
        ({"opens_before_seconds": 10**9}, "opens_before_seconds"),
        ({"voltage_min_ppm": 1_200_000}, "voltage_min_ppm"),
        ({"max_orders": 10**9}, "max_orders"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_by_field(changes: dict[str, int], field: str) -> None:
    event = only(Exchange(OpenGate([])), CreateMarket(msgspec.structs.replace(SETTINGS, **changes), ""))
    assert isinstance(event, Rejected)
    assert event.code == "BAD_SETTINGS"
    assert f"{field}:" in event.reason


def test_all_problems_of_the_settings_are_told_at_once() -> None:
    event = only(Exchange(OpenGate([])), CreateMarket(msgspec.structs.replace(SETTINGS, lot=0, max_orders=0), ""))
    assert isinstance(event, Rejected)
    assert "lot:" in event.reason
    assert "max_orders:" in event.reason


@pytest.mark.parametrize(
    ("order", "refusal"),
    [
        (Submit("anna", 0, "buy", -100, 10), "PRICE_OUT_OF_RANGE"),
        (Submit("anna", 0, "buy", 50_100, 10), "PRICE_OUT_OF_RANGE"),
        (Submit("anna", 0, "buy", 150, 10), "PRICE_OFF_TICK"),
        (Submit("anna", 0, "buy", 100, -10), "BAD_QUANTITY"),
        (Submit("anna", 0, "buy", 100, 0), "BAD_QUANTITY"),
        (Submit("anna", 0, "buy", 100, 2**53), "BAD_QUANTITY"),
        (Submit("anna", 0, "buy", 100, float("nan")), "BAD_QUANTITY"),  # type: ignore[arg-type]
        (Submit("anna", 0, "buy", 1.5, 10), "PRICE_OUT_OF_RANGE"),  # type: ignore[arg-type]
        (Submit("anna", 0, "buy", 100, 15), "QUANTITY_OFF_LOT"),
        (Submit("anna", 0, "up", 100, 10), "BAD_SIDE"),  # type: ignore[arg-type]
        (Submit("anna", 0, "buy", 100, 10, "day"), "BAD_TIME_IN_FORCE"),  # type: ignore[arg-type]
        (Submit("anna", 0, "buy", 100, 10, source="solar"), "BAD_SOURCE"),
        (Submit("anna", 0, "sell", 100, 10, source="SUN"), "BAD_SOURCE"),
        (Submit("carl", 0, "buy", 100, 10), "UNKNOWN_PARTICIPANT"),
        (Submit("anna", 999, "buy", 100, 10), "SLOT_NOT_OPEN"),
        (Submit("anna", -9_999_999, "buy", 100, 10), "GATE_CLOSED"),
    ],
)
def test_a_bad_order_is_refused_with_its_code_and_changes_nothing(order: Submit, refusal: str) -> None:
    exchange = market()
    slot = exchange.open_slots()[0]
    assert code(exchange, msgspec.structs.replace(order, slot=order.slot + slot)) == refusal
    assert exchange.depth(slot) == ([], [])


def test_changes_to_orders_that_are_gone_or_of_others_are_refused() -> None:
    exchange = market()
    slot = exchange.open_slots()[0]
    exchange.apply(ask(slot))
    assert code(exchange, Cancel("ben", 6)) == "NOT_YOUR_ORDER"
    assert code(exchange, Amend("anna", 6)) == "NOTHING_TO_AMEND"
    assert code(exchange, Amend("anna", 6, price=10_001)) == "PRICE_OFF_TICK"
    assert code(exchange, Cancel("anna", 99)) == "UNKNOWN_ORDER"
    assert code(exchange, Cancel("anna", 1)) == "ORDER_CLOSED"
    assert only(exchange, Cancel("anna", 6)) == Cancelled(6, 100, "participant")
    assert code(exchange, Cancel("anna", 6)) == "ORDER_CLOSED"


def test_a_smaller_quantity_keeps_priority_and_anything_else_loses_it() -> None:
    exchange = market()
    slot = exchange.open_slots()[0]
    exchange.apply_many([ask(slot), Submit("ben", slot, "sell", 10_000, 100), Amend("anna", 6, quantity=50)])
    (_, first) = exchange.apply(Submit("utility", slot, "buy", 10_000, 10)).events
    assert isinstance(first, Traded)
    assert first.seller == "anna"
    exchange.apply(Amend("anna", 6, quantity=60))
    (_, second) = exchange.apply(Submit("utility", slot, "buy", 10_000, 10)).events
    assert isinstance(second, Traded)
    assert second.seller == "ben"


def test_mass_cancel_takes_only_the_participants_own_orders() -> None:
    exchange = market()
    one, two = exchange.open_slots()[:2]
    exchange.apply_many([ask(one), ask(two), Submit("ben", one, "sell", 10_000, 50)])
    assert exchange.apply(MassCancel("anna", one)).events == (Cancelled(6, 100, "participant"),)
    assert exchange.apply(MassCancel("anna")).events == (Cancelled(7, 100, "participant"),)
    assert exchange.apply(MassCancel("anna")).events == (Accepted(),)
    assert exchange.depth(one) == ([], [(10_000, 50)])
    assert code(exchange, MassCancel("carl")) == "UNKNOWN_PARTICIPANT"


def test_registration_needs_a_free_connection_and_a_plain_name() -> None:
    exchange = market()
    assert code(exchange, Register("anna", "c1")) == "NAME_TAKEN"
    assert code(exchange, Register("carl", "c1")) == "CONNECTION_TAKEN"
    assert code(exchange, Register("carl", "c9")) == "UNKNOWN_CONNECTION"
    for name in ("", "wires", "a b", "Zoë", "x" * 65, "tab\t"):
        assert code(exchange, Register(name, "c1")) == "BAD_NAME"
    assert code(exchange, CreateMarket(SETTINGS, "")) == "MARKET_EXISTS"
    assert code(exchange, AdvanceClock("2016-06-21T11:59:59Z")) == "BAD_TIME"
    assert code(exchange, AdvanceClock("noon")) == "BAD_TIME"
    assert code(exchange, AdvanceClock("9999-01-01T00:00Z")) == "BAD_TIME"


def test_firm_orders_relabel_the_baseline_and_only_what_exceeds_it_asks_the_wires() -> None:
    exchange = market(ConnectionLimits({"c1": 30, "c2": 1000, "slack": 0}, decides=True))
    slot = exchange.open_slots()[0]
    exchange.apply_many(
        [UpdateGrid(slot, [100, -200, 0]), Submit("ben", slot, "buy", 20_000, 200), ask(slot, quantity=180)]
    )
    events = exchange.apply(MassCancel("ben")).events
    assert events == (Cancelled(7, 70, "participant"),)
    assert exchange.schedule(slot).tolist() == [30, 0, 0]
    assert exchange.contracted(slot) == {"anna": 130, "ben": -130}


def test_a_match_that_does_not_fit_is_trimmed_or_skipped_for_the_next() -> None:
    exchange = market(ConnectionLimits({"c1": 30, "c2": 50, "slack": 0}, decides=False))
    slot = exchange.open_slots()[0]
    exchange.apply_many([ask(slot, 10_000, 100), Submit("ben", slot, "sell", 11_000, 40)])
    events = exchange.apply(Submit("utility", slot, "buy", 12_000, 60)).events
    assert [type(event) for event in events] == [Accepted, Limited, Traded, Traded]
    assert events[1] == Limited(8, 6, wanted=60, admitted=30, constraint="limit:c1")
    assert exchange.depth(slot) == ([], [(10_000, 70), (11_000, 10)])


def test_a_gate_that_admits_nonsense_stops_the_run() -> None:
    gate = ConnectionLimits({"c1": 30, "c2": 50, "slack": 0}, decides=False)
    gate.check = lambda *question: Verdict(7, "odd")  # type: ignore[method-assign]
    exchange = market(gate)
    slot = exchange.open_slots()[0]
    exchange.apply(ask(slot))
    with pytest.raises(ValueError, match="admitted 7 of 100 Wh"):
        exchange.apply(Submit("utility", slot, "buy", 12_000, 100))


def test_baselines_must_give_whole_energy_per_connection_of_an_open_slot() -> None:
    exchange = market()
    slot = exchange.open_slots()[0]
    assert code(exchange, UpdateGrid(slot, [1, 2])) == "BAD_BASELINE"
    assert code(exchange, UpdateGrid(slot, [1, 2, float("nan")])) == "BAD_BASELINE"  # type: ignore[list-item]
    assert code(exchange, UpdateGrid(slot, [1, 2, 3], [1])) == "BAD_BASELINE"
    assert code(exchange, UpdateGrid(slot + 99, [1, 2, 3])) == "SLOT_NOT_OPEN"


def test_settlement_buys_the_shortage_from_the_utility_once() -> None:
    exchange = market()
    slot = exchange.open_slots()[0]
    exchange.apply_many([ask(slot), Submit("ben", slot, "buy", 10_000, 100)])
    assert code(exchange, RecordMeter(slot, {"anna": 90})) == "NOT_DELIVERED"
    exchange.apply(AdvanceClock(format_time(exchange.clock.end(slot))))
    assert code(exchange, Settle(slot)) == "NOT_METERED"
    assert code(exchange, RecordMeter(slot, {"carl": 90})) == "BAD_READING"
    assert code(exchange, RecordMeter(slot, {"anna": 0.5})) == "BAD_READING"  # type: ignore[dict-item]
    assert code(exchange, RecordMeter(slot, {"anna": -5}, unserved={"anna": -1})) == "BAD_READING"
    assert code(exchange, RecordMeter(slot, {"anna": -5}, unserved={"carl": 1})) == "BAD_READING"
    assert only(exchange, RecordMeter(slot, {"anna": 90, "ben": -120})) == Accepted()
    assert only(exchange, Settle(slot)) == Settled(slot, [("anna", 90, 100, -10), ("ben", -120, -100, -20)])
    assert code(exchange, Settle(slot)) == "ALREADY_SETTLED"
    assert code(exchange, RecordMeter(slot, {"anna": 90})) == "ALREADY_SETTLED"


def test_what_is_no_command_is_a_programming_error() -> None:
    with pytest.raises(TypeError):
        market().apply("buy")  # type: ignore[arg-type]
