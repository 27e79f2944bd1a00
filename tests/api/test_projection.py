"""What clients see of the journal, and only of the journal, is what the exchange has."""

from __future__ import annotations

import pytest

from api.projection import Projection
from market.capacity import OpenGate
from market.exchange import Exchange
from market.orders import MarketSettings, Submit
from tests.market.rig import gate_of
from tests.market.test_every_command import CALL, SPREAD
from tests.market.traffic import LIMITS, MARKET, NAMES, Traffic, replace


@pytest.mark.parametrize(
    ("market", "gate"), [(MARKET, "off"), (MARKET, "linear"), (SPREAD, "linear"), (CALL, "off")],
    ids=["plain", "wires", "spread clock", "auction"],
)  # fmt: skip
def test_books_and_orders_made_of_events_are_those_of_the_exchange(market: MarketSettings, gate: str) -> None:
    exchange, projection = Exchange(gate_of(gate)), Projection()
    traffic = Traffic(7, replace(market, gate=gate))
    commands = traffic.opening()
    compared = 0
    while exchange.seq < 2_500:
        for entry in exchange.apply_many(commands):
            projection.take(entry)
        commands = traffic.take(traffic.dice.between(1, 40))
        assert projection.open == set(exchange.open_slots())
        for slot in exchange.open_slots():
            assert projection.depth(slot) == exchange.depth(slot), f"slot {slot} after entry {exchange.seq}"
            compared += len(exchange.depth(slot)[0])
        rests = sum(order.quantity - order.filled for name in NAMES for order in projection.orders[name].values())
        assert rests == sum(wh for slot in projection.open for side in projection.depth(slot) for _, wh in side)
    assert compared > 500


def test_of_orders_that_never_rest_nothing_is_kept() -> None:
    exchange, projection = Exchange(OpenGate(list(LIMITS))), Projection()
    traffic = Traffic(1, replace(MARKET, gate="off"))
    opening = traffic.opening()
    slot = traffic.slots()[0]
    orders = [Submit(NAMES[0], slot, "buy", 9_500, 10, "ioc") for _ in range(100)]
    entries = exchange.apply_many([*opening, *orders])
    told = [projection.take(entry)["orders", NAMES[0]] for entry in entries]
    assert [[type(item).__name__ for item in items] for items in told[-100:]] == [["OwnAccepted", "OwnCancelled"]] * 100
    assert not projection._owner
