"""The auction of one product as the exchange holds it: allocation, the wires' word on it, pairs, prices.

Where a gate limits matches, a `call` or `pay_as_bid` auction first asks whether the wires carry what clears. If not, a
linear program finds the allocation of the greatest welfare that they do carry, in whole lots. Every pair is then put
to the gate as in continuous trading, one after the other, so that nothing enters the schedule unchecked; pairs that
are trimmed are tried again while others make room. The rationing designs are held to the wires by that check alone.

What the program granted is a fact of the journal, since it comes from power flows: a `Recalling` gate repeats it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from market import auction
from market.auction import BY_MERIT, Allocation, AuctionDesign, Ints, Matches, Orders, Places, allocate, ranked
from market.auction_program import grant
from market.capacity import CapacityRows, Gate, Verdict
from market.orders import MarketSettings

PASSES = 64
"""How often pairs are tried again that the wires trimmed, while others make room."""
TRIES = 16
"""Most partners that are tried for what is left of one bid in a pass."""


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
        """The next grant of the slot; None if the wires carried what cleared."""


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
    """Energy of the allocation that found no partner, for want of wires or of a common price [Wh]."""


def clear(
    design: AuctionDesign,
    orders: Orders,
    numbers: Sequence[int],
    settings: MarketSettings,
    gate: Gate,
    slot: int,
    schedule: Ints,
    rows: CapacityRows | None,
) -> Outcome:
    """Hold the auction of `slot` over all that rests there; `numbers` are those of the orders, row by row.

    The utility, who has no node, takes part by merit but not where energy is rationed: there it serves who is left.
    `schedule` (C,), the gate's own, is changed by what trades. `rows` are the gate's answer to `open`; None: nothing
    is limited. Raises ValueError if the gate admits what was not asked.
    """
    if design not in BY_MERIT:
        orders = orders._replace(quantity=np.where(orders.node >= 0, orders.quantity, 0))
    allocation = allocate(design, orders, settings)
    found: Grant | None = None
    if rows is not None and design in BY_MERIT and _moves(orders, allocation.quantity):
        found = _granted(orders, numbers, allocation, settings, gate, slot)
        if found is not None:
            quantity = np.array([found.quantity.get(number, 0) for number in numbers], dtype=np.int64)
            price = allocate("call", orders._replace(quantity=quantity), settings).price if design == "call" else None
            allocation = Allocation(quantity, price)
    admission = _Admission(orders, numbers, allocation.price, settings, gate, slot, schedule, rows is not None)
    unpaired = admission.run(*ranked(design, orders, allocation), allocation.quantity)
    if rows is not None and admission.changes:
        gate.refresh(slot)
    return Outcome(admission.steps, allocation.price, found, unpaired)


def _moves(orders: Orders, quantity: Ints) -> bool:
    """Whether any injection changes by an allocation."""
    return bool(((orders.node >= 0) & (quantity > orders.firm)).any())


def _granted(
    orders: Orders, numbers: Sequence[int], cleared: Allocation, settings: MarketSettings, gate: Gate, slot: int
) -> Grant | None:
    """What the wires leave of what cleared; None if they carry it, or if the gate has no plan of them."""
    if isinstance(gate, Recalling):
        return gate.granted(slot)
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
        self, orders: Orders, numbers: Sequence[int], price: int | None, settings: MarketSettings,
        gate: Gate, slot: int, schedule: Ints, limited: bool,
    ) -> None:  # fmt: skip
        self.steps: list[Step] = []
        self.changes = 0
        """How often the schedule was changed."""
        self._orders, self._numbers, self._price, self._settings = orders, numbers, price, settings
        self._gate, self._slot, self._schedule, self._limited = gate, slot, schedule, limited
        self._refused: dict[tuple[int, int], int] = {}
        """Movers that the gate refused, and after how many changes of the schedule."""
        self._node, self._limits = orders.node.tolist(), orders.price.tolist()
        self._made: list[tuple[int, int, int, int]] = []

    def run(self, bids: Places, asks: Places, quantity: Ints) -> int:
        """Every pair once, then what is left over while anything moves; returns what stays over [Wh].

        Asserts that nobody trades beyond limit or quantity and that what is bought is what is sold.
        """
        buys, sells = self._lanes(bids, quantity), self._lanes(asks, quantity)
        left = buys.quantity.tolist(), sells.quantity.tolist()
        numbered = [np.arange(len(lanes.place)) for lanes in (buys, sells)]
        both = np.concatenate([buys.quantity, sells.quantity])
        pairs = auction.pairs(numbered[0], numbered[1] + len(buys.place), both)
        for bid, ask, wh in zip(*(column.tolist() for column in pairs), strict=True):
            self._try(buys, sells, bid, ask - len(buys.place), wh, left)
        for number in range(PASSES if any(left[0]) and any(left[1]) else 0):
            before = len(self._made)
            for bid, ask in self._left_over(left, number % 2 == 1):
                self._try(buys, sells, bid, ask, min(left[0][bid], left[1][ask]), left)
            if len(self._made) == before:
                break
        buy, sell, price, wh = np.array(self._made, dtype=np.int64).reshape(-1, 4).T
        auction.check(self._orders, Matches(buy, sell, price, wh))
        return sum(left[0])

    def _lanes(self, places: Places, quantity: Ints) -> _Lanes:
        """Of each order the firm part first. Energy without a connection has nothing to move."""
        node = self._orders.node[places]
        firm = np.where(node >= 0, np.minimum(self._orders.firm[places], quantity[places]), quantity[places])
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

    def _try(
        self, buys: _Lanes, sells: _Lanes, bid: int, ask: int, wanted: int, left: tuple[list[int], list[int]]
    ) -> None:
        """Trade what the wires carry, unless the two cannot agree on a price or are one participant."""
        buy, sell = int(buys.place[bid]), int(sells.place[ask])
        limits = self._limits
        if limits[buy] < limits[sell] or self._node[buy] == self._node[sell] >= 0:
            return
        inject, withdraw = int(sells.mover[ask]), int(buys.mover[bid])
        verdict = self._ask(inject, withdraw, wanted)
        if verdict is None:
            return
        price = auction.price_between(limits[buy], limits[sell], self._price, self._settings)
        self.steps.append(
            Step(self._numbers[buy], self._numbers[sell], price, wanted, *verdict, withdraw >= 0, inject >= 0)
        )
        if verdict.admitted:
            self._made.append((buy, sell, price, verdict.admitted))
            left[0][bid] -= verdict.admitted
            left[1][ask] -= verdict.admitted

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
            self.changes += 1
            if inject >= 0:
                self._schedule[inject] += verdict.admitted
            if withdraw >= 0:
                self._schedule[withdraw] -= verdict.admitted
        if verdict.admitted < wanted:
            self._refused[inject, withdraw] = self.changes
        return verdict
