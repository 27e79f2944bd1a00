"""The trading time in the report: what a journal tells of spreads, auctions and the spread clock."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from api.report_trading import is_special, trading
from market.capacity import OpenGate
from market.exchange import Exchange
from market.orders import AdvanceClock, Amend, Command, CreateMarket, MarketSettings, Register, Submit
from market.slots import NS, format_time
from tests.market.naive import SETTINGS


def journal(settings: MarketSettings) -> dict[str, Any]:
    """An opening auction, and a continuous trade of an amended order against one that came before."""
    exchange = Exchange(OpenGate(["c1", "c2", "slack"]))
    commands: list[Command] = [CreateMarket(settings, ""), AdvanceClock("2016-06-21T12:00:00Z")]
    commands += [Register("anna", "c1"), Register("ben", "c2"), Register("utility", "slack")]
    entries = exchange.apply_many(commands)
    slot = exchange.open_slots()[-1]
    opens = exchange.clock.opens(slot)
    entries += exchange.apply_many([Submit("anna", slot, "sell", 9_000, 100), Submit("ben", slot, "buy", 12_000, 60)])
    entries += exchange.apply_many([AdvanceClock(format_time(opens + 1800 * NS))])
    number = exchange.seq + 1
    commands = [Submit("ben", slot, "buy", 8_000, 10), Amend("ben", number, price=10_500)]
    commands += [Submit("utility", slot, "buy", 9_000, 10)]
    entries += exchange.apply_many(commands)
    return trading(entries, settings)


def test_trades_are_placed_by_what_they_had_to_spare_and_when() -> None:
    settings = msgspec.structs.replace(SETTINGS, auction_opening=600, spread_start=2_000)
    seen = journal(settings)
    assert seen["points"] == {"continuous": [[30.0, 0.15]], "auction": [[10.0, 0.3]]}
    assert seen["auctions"] == [10.0]
    assert seen["held"] == 1
    assert [price for _, price in seen["prices"]] == [0.9]
    assert seen["clock"] == [[10.0, 0.2], [45.0, 0.0], [60.0, 0.0]]
    table = seen["table"]
    assert [row[2] for row in table] == [0, 1, 0, 0, 0, 1, 0, 0, 0, 0]
    assert [row[1] is None for row in table] == [True, True] + [False] * 8


@pytest.mark.parametrize(
    ("changes", "special"),
    [({}, False), ({"design": "call"}, True), ({"spread_start": 100}, True), ({"auction_closing": True}, True)],
)
def test_plain_continuous_trading_has_nothing_to_draw(changes: dict[str, object], special: bool) -> None:
    assert is_special(msgspec.structs.replace(SETTINGS, **changes)) == special
