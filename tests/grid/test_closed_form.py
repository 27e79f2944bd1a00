"""The closed form of one resistance, from a feeder in native JSON through exchange and gate to an audited ledger.

A 230 V bus lies behind R = 0.5 Ω, X = 0; its voltage U obeys U (U − 230 V) = P R. At the limit of 1.10 pu, 253 V,
that is P = 11.638 kW: eleven exports of 1 kW fit, and with twelve the bus would be at 1.1028 pu.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from grid.feeder import Feeder
from grid.gate import FeederGate
from grid.powerflow import solve
from market.audit import audit
from market.events import Accepted, Entry, Event, Limited, Traded
from market.exchange import Exchange
from market.orders import AdvanceClock, Command, CreateMarket, GateMode, Register, Side, Submit, UpdateGrid
from market.slots import format_time
from market.store import Ledger
from tests.grid.networks import settings

FEEDER = """
{
  "buses": [{"id": "source", "u_rated_v": 230}, {"id": "far", "u_rated_v": 230}],
  "lines": [{"id": "line", "from": "source", "to": "far", "r_ohm": 0.5, "x_ohm": 0.0, "i_max_a": 1000}],
  "source": {"bus": "source", "u_pu": 1.0},
  "connections": [{"id": "utility", "bus": "source"}, {"id": "roof", "bus": "far"}, {"id": "home", "bus": "far"}]
}
"""
SLOT = 1_628_000
KILOWATT = 250
"""Wh that 1 kW makes in a slot of 15 minutes."""
PRICE = 100_000
MODES: tuple[GateMode, ...] = ("ac", "certified", "linear")


class Street:
    """A market on the feeder, with the utility ready to take and to deliver any quantity in one open slot."""

    def __init__(self, mode: GateMode, lot: int) -> None:
        self.feeder = Feeder.from_json(FEEDER)
        self.rules = msgspec.structs.replace(settings(mode), lot=lot)
        self.gate = FeederGate(self.feeder, self.rules)
        self.exchange = Exchange(self.gate)
        self.entries: list[Entry] = []
        start = format_time((SLOT * self.rules.slot_seconds - 3600) * 10**9)
        self.say(CreateMarket(self.rules, FEEDER), AdvanceClock(start))
        self.say(*(Register(name, name) for name in ("utility", "roof", "home")))
        self.say(UpdateGrid(SLOT, [0, 0, 0]))
        self.submit("utility", "buy", self.rules.feed_in, 100_000)
        self.submit("utility", "sell", self.rules.retail, 100_000)

    def say(self, *commands: Command) -> Sequence[Event]:
        entries = self.exchange.apply_many(commands)
        self.entries += entries
        return [event for entry in entries for event in entry.events]

    def submit(self, who: str, side: Side, price: int, quantity: int = KILOWATT) -> tuple[list[Traded], list[Limited]]:
        """What followed from an order of flexible energy."""
        events = self.say(Submit(who, SLOT, side, price, quantity, flexible=True))
        assert isinstance(events[0], Accepted)
        return (
            [event for event in events if isinstance(event, Traded)],
            [event for event in events if isinstance(event, Limited)],
        )

    def export(self) -> tuple[list[Traded], list[Limited]]:
        return self.submit("roof", "sell", self.rules.feed_in)

    def close(self) -> None:
        self.say(AdvanceClock(format_time(SLOT * self.rules.slot_seconds * 10**9)))


@pytest.mark.parametrize("mode", MODES)
def test_exactly_eleven_exports_of_a_kilowatt_are_admitted_then_what_does_not_load_the_wire(
    mode: GateMode, tmp_path: Path
) -> None:
    street = Street(mode, lot=KILOWATT)
    for _ in range(11):
        (trade,), limits = street.export()
        assert (trade.buyer, trade.seller, trade.quantity, limits) == ("utility", "roof", KILOWATT, [])
    trades, (limit,) = street.export()
    assert trades == []
    assert (limit.wanted, limit.admitted, limit.constraint) == (KILOWATT, 0, "bus:far:high")

    (trade,), limits = street.submit("home", "buy", PRICE)
    assert (trade.buyer, trade.seller, limits) == ("home", "roof", []), "a trade at one bus moves nothing on the wire"
    (trade,), limits = street.submit("home", "buy", street.rules.retail)
    assert (trade.buyer, trade.seller, limits) == ("home", "utility", []), "consumption at the far bus"
    (trade,), limits = street.export()
    assert (trade.buyer, trade.seller, limits) == ("utility", "roof", []), "what was consumed makes room"

    assert street.exchange.contracted(SLOT) == {"utility": -11 * KILOWATT, "roof": 13 * KILOWATT, "home": -2 * KILOWATT}
    street.close()
    assert street.gate.verify([SLOT]) == []
    path = tmp_path / "street.db"
    with Ledger.create(path) as ledger:
        ledger.append(street.entries)
    report = audit(path, lambda rules, text: FeederGate(Feeder.from_json(text), rules))
    assert report.ok, report.findings


@pytest.mark.parametrize("mode", MODES)
def test_the_twelfth_is_trimmed_to_the_closed_form_where_the_lot_is_a_watt_hour(mode: GateMode) -> None:
    street = Street(mode, lot=1)
    assert [street.export()[1] for _ in range(11)] == [[]] * 11
    (trade,), (limit,) = street.export()
    most = int(253 * (253 - 230) / 0.5 / 4)
    assert trade.quantity == limit.admitted == most - 11 * KILOWATT == 159
    assert street.export()[0] == [], "not a watt-hour more"
    street.close()
    assert street.gate.verify([SLOT]) == []


def test_with_twelve_kilowatt_the_bus_would_be_beyond_the_limit() -> None:
    flow = solve(Feeder.from_json(FEEDER), [[0, 11_000, 0], [0, 12_000, 0]], [[0, 0, 0], [0, 0, 0]])
    assert flow.u_pu[0, 1] == pytest.approx((230 + (230**2 + 4 * 11_000 * 0.5) ** 0.5) / 460, abs=1e-9)
    assert flow.u_pu[1, 1] == pytest.approx(1.1028, abs=5e-5)
