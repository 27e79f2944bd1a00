"""A slot of a lane with solar roofs, for tests of what follows after the gate."""

from __future__ import annotations

from typing import Any

import msgspec

from market import orders
from market.capacity import OpenGate
from market.events import Entry
from market.exchange import Exchange
from market.orders import AdvanceClock, Command, CreateMarket, Register, SettlementRules, Side, Submit
from market.slots import MINUTE, format_time
from tests.market import day

SLOT = day.FIRST
RULES = SettlementRules("market", 20_000, 150_000, 7 * 86_400, "metered")
SOURCES = {"anna": "solar", "bert": "wind"}


def deal(seller: str, buyer: str, quantity: int, price: int = 100_000, source: str = "") -> list[Command]:
    """A trade."""
    sides: list[tuple[str, Side]] = [(seller, "sell"), (buyer, "buy")]
    return [Submit(who, SLOT, side, price, quantity, source=source if side == "sell" else "") for who, side in sides]


def after(minutes: int) -> AdvanceClock:
    """The clock, so many minutes after the slot's delivery began."""
    return AdvanceClock(format_time((SLOT * 15 + minutes) * MINUTE))


def journal(*commands: Command, **rules: Any) -> list[Entry]:
    """A lane's whole journal with these commands at its end."""
    exchange = Exchange(OpenGate(day.CONNECTIONS))
    settings = msgspec.structs.replace(
        day.SETTINGS, grid_fee=0, lot=1, settlement=msgspec.structs.replace(RULES, **rules)
    )
    start: list[Command] = [CreateMarket(settings, day.FEEDER, orders.RULES)]
    for name, place in zip(day.NAMES, day.CONNECTIONS, strict=True):
        start.append(Register(name, place, SOURCES.get(name, "")))
    return exchange.apply_many([*start, AdvanceClock(format_time((SLOT * 15 - 20) * MINUTE)), *commands])
