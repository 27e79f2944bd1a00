"""The auction of one product as the exchange holds it: allocation, the wires' word on it, pairs, prices.

Where a gate limits matches, a `call` or `pay_as_bid` auction first asks whether the wires carry what clears. If not, a
linear program finds the allocation of the greatest welfare that they do carry, in whole lots. Every pair is then put
to the gate as in continuous trading, one after the other, so that nothing enters the schedule unchecked; pairs that
are trimmed are tried again while others make room. The rationing designs are held to the wires by that check alone.

What the program granted is a fact of the journal, since it comes from power flows: a `Recalling` gate repeats it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from market import auction
from market.auction import (
    BY_MERIT,
    Allocation,
    AuctionDesign,
    Ints,
    Matches,
    Orders,
    Places,
    allocate,
    net,
    ranked,
)
from market.auction_program import grant
from market.capacity import CapacityRows, Gate, Verdict
from market.kernel import BOUGHT, BUY, SELL, SOLD
from market.orders import MarketSettings
from market.tariff import Fees

PASSES = 64
"""How often pairs are tried again that the wires trimmed, while others make room."""
TRIES = 16
"""Most partners that are tried for what is left of one bid in a pass."""


Suits = Callable[[int, int], bool]
"""Whether a bid and an ask, by their rows, may trade with each other."""


@runtime_checkable
class Planning(Protocol):
    """A gate that can also draw its wires at other schedules."""

    def planner(self, slot: int) -> tuple[Gate, CapacityRows]:
        """A gate whose `refresh` may be used freely, and its rows at the present schedule of `slot`."""


class Grant(NamedTuple):
    """What the wires leave of an auction, by the number of the order."""

    quantity: dict[int, int]
    """Wh of every order that was granted any."""
    binding: list[str]
    """Limits that hold the welfare down."""


@runtime_checkable
class Recalling(Protocol):
    """A gate that repeats the grants of a journal."""

    def granted(self, slot: int) -> Grant | None:
        """Asked once in each auction of the slot: its grant, None if the wires carried what cleared."""


class Step(NamedTuple):
    """One pair and its fate. Energy in Wh."""

    buy: int
    """Number of the order."""
    sell: int
    price: int
    wanted: int
    admitted: int
    """What the wires carry of `wanted`, 0 if nothing."""
    constraint: str
    """The limit that binds if not all is admitted."""
    buy_flexible: bool
    """The buyer's schedule changes; for a side without a connection always False."""
    sell_flexible: bool


class Outcome(NamedTuple):
    """An auction with all that its journal must hold."""

    steps: list[Step]
    price: int | None
    """Of the auction, if it has one; a pair that it does not suit trades at the nearest price that both accept."""
    grant: Grant | None
    """None if the wires carry what clears, or if nobody asked them."""
    unpaired: int
    """Energy of the allocation that found no partner, for want of wires or of anybody it may meet [Wh]."""


def clear(
    design: AuctionDesign,
    orders: Orders,
    numbers: Sequence[int],
    settings: MarketSettings,
    gate: Gate,
    slot: int,
    schedule: Ints,
    rows: CapacityRows | None,
    suits: Suits | None = None,
    fees: Fees | None = None,
    gross: Ints | None = None,
) -> Outcome:
    """Hold the auction of `slot` over all that rests there; `numbers` are those of the orders, row by row.

    The utility, whose orders have no node, takes part by merit. Where energy is rationed it stays out, and then trades
    with who is left, at its own prices.
    `schedule` (C,), the gate's own, and `gross`, as in `CapacityRows`, are changed by what trades. `rows` are what the
    gate answered to `open`; None: nothing is limited. `suits` forbids pairs, of one owner or of an origin that the bid
    does not accept; without it orders at one connection do not meet. `fees` are what the wires take of
    each pair, None: nothing; docs/auctions.md says what they do to prices. Raises ValueError if the gate admits what
    was not asked.
    """
    fees = fees or Fees(settings, 0)
    everybody, local = orders, orders.node >= 0
    # Else the utility, which never trades with itself, would fill its own orders.
    least = max(min(fees.least, settings.retail - settings.feed_in - settings.tick), 0)
    orders, settings = offers, _ = net(orders, settings, least)
    if design not in BY_MERIT:
        orders = orders._replace(quantity=np.where(local, orders.quantity, 0))
    allocation = allocate(design, orders, settings)
    found: Grant | None = None
    recalled = gate.granted(slot) if isinstance(gate, Recalling) else None
    if rows is not None and design in BY_MERIT and _moves(orders, allocation.quantity):
        found = recalled or _planned(orders, numbers, allocation, settings, gate, slot)
        if found is not None:
            quantity = np.array([found.quantity.get(number, 0) for number in numbers], dtype=np.int64)
            price = allocate("call", orders._replace(quantity=quantity), settings).price if design == "call" else None
            allocation = Allocation(quantity, price)
    suits = suits or _apart(orders)
    admission = _Admission(
        everybody, numbers, settings, gate, slot, schedule, gross, rows is not None, suits, fees, least
    )
    unpaired = admission.run(*ranked(design, orders, allocation), allocation.quantity, allocation.price)
    tariff = ((SELL, settings.retail), (BUY, settings.feed_in)) if design not in BY_MERIT or fees else ()
    for side, price in tariff:
        # The utility's orders of one side against all others of the other side.
        left = np.where(local == (orders.side != side), admission.left(), 0)
        rest = allocate("call", offers._replace(quantity=left), settings)
        admission.run(*ranked("call", offers, rest), rest.quantity, price)
    admission.check()
    if rows is not None and admission.changes:
        gate.refresh(slot)
    return Outcome(admission.steps, allocation.price, found, unpaired)


def _apart(orders: Orders) -> Suits:
    node = orders.node.tolist()
    return lambda buy, sell: not node[buy] == node[sell] >= 0


def _moves(orders: Orders, quantity: Ints) -> bool:
    """Whether any injection changes by an allocation."""
    return bool(((orders.node >= 0) & (quantity > orders.firm)).any())


def _planned(
    orders: Orders, numbers: Sequence[int], cleared: Allocation, settings: MarketSettings, gate: Gate, slot: int
) -> Grant | None:
    """What the wires leave of what cleared; None if they carry it, or if the gate has no plan of them."""
    if not isinstance(gate, Planning):
        return None
    quantity, binding = grant(orders, cleared, settings, slot, gate.planner(slot))
    if quantity is None:
        return None
    return Grant({number: wh for number, wh in zip(numbers, quantity.tolist(), strict=True) if wh}, binding)


class _Lanes(NamedTuple):
    """Parts of orders in the order in which they are paired, each firm or flexible throughout."""

    place: Places
    """(L,) row of the order."""
    quantity: Ints
    mover: Ints
    """(L,) connection whose injection changes; -1: none does."""


class _Admission:
    """Pairs, put to the gate one by one."""

    def __init__(
        self, orders: Orders, numbers: Sequence[int], settings: MarketSettings, gate: Gate,
        slot: int, schedule: Ints, gross: Ints | None, limited: bool, suits: Suits, fees: Fees, least: int,
    ) -> None:  # fmt: skip
        self.steps: list[Step] = []
        self.changes = 0
        """How often the schedule was changed."""
        self._orders, self._numbers, self._settings = orders, numbers, settings
        self._gate, self._slot, self._limited = gate, slot, limited
        self._schedule, self._gross = schedule, gross
        self._refused: dict[tuple[int, int], int] = {}
        """Movers that the gate refused, and after how many changes of the schedule."""
        self._suits, self._limits, self._nodes, self._fees = suits, orders.price.tolist(), orders.node.tolist(), fees
        self._least = least
        self._firm = orders.firm.copy()
        """(N,) firm energy that each order has left [Wh]."""
        self._made: list[tuple[int, int, int, int]] = []

    def run(self, bids: Places, asks: Places, quantity: Ints, price: int | None) -> int:
        """Every pair once, then what is left over while anything moves; returns what stays over [Wh]."""
        self._price = price
        self._buys, self._sells = self._lanes(bids, quantity), self._lanes(asks, quantity)
        left = self._buys.quantity.tolist(), self._sells.quantity.tolist()
        for bid, ask, wh in self._paired():
            self._try(bid, ask, wh, left)
        for number in range(PASSES if any(left[0]) and any(left[1]) else 0):
            before = len(self._made)
            for bid, ask in self._left_over(left, number % 2 == 1):
                if self._may_meet(bid, ask):
                    self._try(bid, ask, min(left[0][bid], left[1][ask]), left)
            if len(self._made) == before:
                break
        return sum(left[0])

    def left(self) -> Ints:
        """(N,) quantity of each order that has not traded [Wh]."""
        buy, sell, _, energy = self._trades()
        left = self._orders.quantity.copy()
        np.subtract.at(left, buy, energy)
        np.subtract.at(left, sell, energy)
        return left

    def check(self) -> None:
        """Assert that nobody trades beyond limit or quantity and that what is bought is what is sold."""
        trades, node = self._trades(), self._orders.node
        auction.check(self._orders, trades, self._fees.between(node[trades.buy], node[trades.sell]))

    def _trades(self) -> Matches:
        return Matches(*np.array(self._made, dtype=np.int64).reshape(-1, 4).T)

    def _paired(self) -> list[tuple[int, int, int]]:
        """Lanes of bids and asks side by side, and their energy; who may not meet changes partners with others."""
        first = len(self._buys.place)
        both = np.concatenate([self._buys.quantity, self._sells.quantity])
        pairs = auction.pairs(np.arange(first), np.arange(first, len(both)), both)
        rows = [(bid, ask - first, wh) for bid, ask, wh in zip(*(column.tolist() for column in pairs), strict=True)]
        good = [row for row in rows if self._may_meet(*row[:2])]
        for bid, ask, wh in rows if len(good) < len(rows) else ():
            if self._may_meet(bid, ask):
                continue
            for place, (other_bid, other_ask, other_wh) in enumerate(good):
                moved = min(wh, other_wh)
                if moved and self._may_meet(bid, other_ask) and self._may_meet(other_bid, ask):
                    good[place] = other_bid, other_ask, other_wh - moved
                    good += [(bid, other_ask, moved), (other_bid, ask, moved)]
                    wh -= moved
        return [row for row in good if row[2]]

    def _lanes(self, places: Places, quantity: Ints) -> _Lanes:
        """Of each order the firm part first. Energy without a connection has nothing to move."""
        node = self._orders.node[places]
        firm = np.where(node >= 0, np.minimum(self._firm[places], quantity[places]), quantity[places])
        parts = np.stack([firm, quantity[places] - firm], axis=1).ravel()
        movers = np.stack([np.full(len(node), -1), node], axis=1).ravel()
        some = parts > 0
        return _Lanes(np.repeat(places, 2)[some], parts[some], movers[some])

    @staticmethod
    def _left_over(left: tuple[list[int], list[int]], turned: bool) -> Iterator[tuple[int, int]]:
        """Pairs of lanes that both have something left, as it is when each is taken; `turned` takes the last ask first.

        Where two trades make room for each other by turns, one order alone would go back and forth in small steps.
        """
        asks = range(len(left[1]))
        for bid, _ in enumerate(left[0]):
            tries = 0
            for ask in reversed(asks) if turned else asks:
                if not left[0][bid] or tries == TRIES:
                    break
                if left[1][ask]:
                    tries += 1
                    yield bid, ask

    def _may_meet(self, bid: int, ask: int) -> bool:
        buy, sell = int(self._buys.place[bid]), int(self._sells.place[ask])
        fee = self._fees.of(self._nodes[buy], self._nodes[sell])
        return bool(self._limits[buy] - fee >= self._limits[sell]) and self._suits(buy, sell)

    def _try(self, bid: int, ask: int, wanted: int, left: tuple[list[int], list[int]]) -> None:
        """Trade what the wires carry."""
        buy, sell = int(self._buys.place[bid]), int(self._sells.place[ask])
        inject, withdraw = int(self._sells.mover[ask]), int(self._buys.mover[bid])
        verdict = self._ask(inject, withdraw, wanted)
        if verdict is None:
            return
        price = self._agreed(buy, sell)
        self.steps.append(
            Step(self._numbers[buy], self._numbers[sell], price, wanted, *verdict, withdraw >= 0, inject >= 0)
        )
        if verdict.admitted:
            self._made.append((buy, sell, price, verdict.admitted))
            left[0][bid] -= verdict.admitted
            left[1][ask] -= verdict.admitted
            self._firm[buy] -= verdict.admitted if withdraw < 0 else 0
            self._firm[sell] -= verdict.admitted if inject < 0 else 0

    def _agreed(self, buy: int, sell: int) -> int:
        """The price of a pair, as `auction.prices` has it for many."""
        pair, fee = (np.array([buy]), np.array([sell])), np.array([self._fees.of(self._nodes[buy], self._nodes[sell])])
        return int(auction.prices(self._orders, *pair, self._price, self._settings, fee, self._least)[0])

    def _ask(self, inject: int, withdraw: int, wanted: int) -> Verdict | None:
        """The gate's verdict, carried out; None if it has refused the like and nothing has changed since."""
        if inject < 0 and withdraw < 0:
            return Verdict(wanted, "")
        verdict = Verdict(wanted, "")
        if self._limited:
            if self._refused.get((inject, withdraw)) == self.changes:
                return None
            verdict = self._gate.check(self._slot, inject, withdraw, wanted, self._settings.lot)
            if not 0 <= verdict.admitted <= wanted or verdict.admitted % self._settings.lot:
                raise ValueError(f"the gate admitted {verdict.admitted} of {wanted} Wh: not a number of lots within it")
        if verdict.admitted:
            self._change(inject, withdraw, verdict.admitted)
        if verdict.admitted < wanted:
            self._refused[inject, withdraw] = self.changes
        return verdict

    def _change(self, inject: int, withdraw: int, quantity: int) -> None:
        """Write a match into the schedule, net and by side."""
        self.changes += 1
        for side, connection, moved in ((SELL, inject, quantity), (BUY, withdraw, -quantity)):
            if connection >= 0:
                self._schedule[connection] += moved
                if self._gross is not None:
                    self._gross[SOLD if side == SELL else BOUGHT, connection] += quantity
