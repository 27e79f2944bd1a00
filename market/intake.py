"""From what a participant says to what the matching kernel takes: checked, and as plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market import kernel, rules
from market.book import Order
from market.events import Rejected
from market.members import Members
from market.orders import Amend, Leg, MarketSettings, Submit
from market.units import MAX_EXACT

_LETTERS = "5b3x4i2q"
"""`kernel.MESSAGE` as `struct` spells it."""
_PACKET = 64
HEADROOM = 1024
"""How many orders of the largest quantity can be summed and settled exactly, however low the prices are."""
_FORCE = {"gtc": kernel.GTC, "gtd": kernel.GTC, "ioc": kernel.IOC, "fok": kernel.IOC}


class Intake:
    """Checks orders against a market's settings and packs them as fields of `kernel.MESSAGE`."""

    settings: MarketSettings

    def __init__(self, members: Members) -> None:
        self._members = members
        self.largest = 0
        """Largest quantity that can be paid for exactly at any price [Wh]."""
        self._bits: dict[str, int] = {"": 0}
        """Every origin of energy that was ever named -> its bit; the first is that of energy of no stated origin."""

    def begin(self, settings: MarketSettings) -> None:
        """Take the market's settings, before anything else."""
        self.settings = settings
        # A fee beyond the range of prices is never paid.
        dearest = max(abs(settings.price_floor), abs(settings.price_cap), settings.price_cap - settings.price_floor)
        if settings.settlement is not None:
            dearest = max(dearest + settings.settlement.surcharge, settings.settlement.curtailment)
        self.largest = MAX_EXACT // max(dearest, HEADROOM)
        self._range = settings.price_floor, settings.price_cap, settings.tick, settings.lot

    def _sound(self, price: object, quantity: object) -> bool:
        """Whether both are as they should be, at once; `rules` say what is wrong, and take several times as long."""
        floor, cap, tick, lot = self._range
        return (
            type(price) is int
            and floor <= price <= cap
            and not (price - floor) % tick
            and type(quantity) is int
            and 0 < quantity <= self.largest
            and not quantity % lot
        )

    def problem(self, order: Submit | Leg) -> Rejected | None:
        """What is wrong with an order's own values; None if nothing."""
        plain = (order.side == "buy" and not order.source) or (order.side == "sell" and order.source in self._bits)
        if plain and not order.sources and self._sound(order.price, order.quantity):
            return None
        return rules.submit_problem(order, self.settings, self.largest)

    def origins_problem(self, orders: Sequence[Submit | Leg], field: str) -> Rejected | None:
        """Refusal of orders that together name more origins of energy than a market tells apart; None if they fit."""
        bits = self._bits
        if all(order.source in bits and not order.sources for order in orders):
            return None
        fresh = {name for order in orders for name in (order.source, *order.sources) if name not in bits}
        if len(bits) + len(fresh) <= rules.MAX_SOURCES:
            return None
        most = rules.MAX_SOURCES - 1
        return rules.reject("BAD_SOURCE", f"the market knows {most} sources; {min(fresh)!r} is one more", field)

    def message(self, order: Submit | Leg, known: Order) -> tuple[int, ...]:
        """An order that has no problem; a leg of a basket is immediate. Gives every new origin a bit of its own."""
        if order.source not in self._bits or order.sources:
            for name in (order.source, *order.sources):
                self._bits.setdefault(name, len(self._bits))
        force = kernel.IOC if isinstance(order, Leg) else _FORCE[order.time_in_force]
        origins = 1 << self._bits[order.source]
        if order.side == "buy":
            origins = sum({1 << self._bits[name] for name in order.sources}) if order.sources else -1
        return (
            kernel.SUBMIT,
            kernel.BUY if order.side == "buy" else kernel.SELL,
            force,
            order.flexible,
            isinstance(order, Submit) and order.post_only,
            known.node,
            self._members.owner[known.participant],
            (order.price - self.settings.price_floor) // self.settings.tick,
            known.handle,
            order.quantity,
            origins,
        )

    def amendment(self, command: Amend, order: Order) -> tuple[int, ...] | Rejected:
        """An amendment of a known order, or what is wrong with its own values."""
        price, quantity = command.price, command.quantity
        if not self._sound(price, quantity):
            wrong = rules.amend_problem(command, self.settings, self.largest)
            if wrong is not None:
                return wrong
        floor, _, tick, _ = self._range
        level = -1 if price is None else (price - floor) // tick
        return kernel.AMEND, 0, 0, 0, 0, -1, -1, level, order.handle, -1 if quantity is None else quantity, 0


def about(kind: int, order: Order) -> tuple[int, ...]:
    """A message about an order that is known, as the fields of `kernel.MESSAGE`."""
    return kind, 0, 0, 0, 0, -1, -1, -1, order.handle, 0, 0


@cache
def _layout(count: int) -> Struct:
    return Struct("=" + _LETTERS * count)


def pack(messages: Sequence[Sequence[int]]) -> NDArray[Any]:
    """Messages, each the fields of `kernel.MESSAGE` in order, as an array: twice as fast as numpy's own conversion.

    Raises struct.error for a number that does not fit its field.
    """
    packed = np.zeros(len(messages), kernel.MESSAGE)
    for start in range(0, len(messages), _PACKET):
        part = messages[start : start + _PACKET]
        _layout(len(part)).pack_into(packed, start * kernel.MESSAGE.itemsize, *chain.from_iterable(part))  # type: ignore[arg-type]
    return packed
