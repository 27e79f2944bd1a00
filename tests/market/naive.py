"""The same market rules in plain Python, O(n) and obvious: the oracle for the compiled book."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from market.capacity import CapacityRows, Verdict
from market.events import Accepted, Amended, Cancelled, Event, Expired, Limited, Rejected, Traded
from market.kernel import MAX_PASS, MAX_RETRIES, MAX_SKIPPED
from market.orders import Amend, Cancel, Leg, MarketSettings, Submit

SETTINGS = MarketSettings(
    name="test",
    currency="EUR",
    slot_seconds=900,
    opens_before_seconds=4500,
    gate_before_seconds=900,
    tick=100,
    price_floor=0,
    price_cap=50_000,
    lot=10,
    max_orders=500,
    gate="linear",
    voltage_min_ppm=900_000,
    voltage_max_ppm=1_100_000,
    loading_max_ppm=1_000_000,
    utility="utility",
    retail=30_000,
    feed_in=8_000,
    grid_fee=0,
)


class ConnectionLimits:
    """A toy gate: each connection may change its injection by at most its own limit [Wh], up or down.

    Its rows are exact, so the kernel may decide by itself (`decides`) or ask; both must come to the same.
    """

    def __init__(self, limits: dict[str, int], decides: bool, refresh_after: int = 0) -> None:
        self.refresh_after = refresh_after
        self.names = list(limits)
        self.limits = list(limits.values())
        self.decides = decides
        self.rows: dict[int, CapacityRows] = {}
        self.asked = 0

    def connections(self) -> list[str]:
        return self.names

    def open(self, slot: int, baseline: np.ndarray, reactive: np.ndarray) -> CapacityRows:
        size = len(self.names)
        if slot not in self.rows:
            sensitivity = np.zeros((size, 2, size))
            sensitivity[np.arange(size), 0, np.arange(size)] = 1.0
            self.rows[slot] = CapacityRows(
                schedule=np.zeros(size, np.int64),
                state=np.zeros((2, size)),
                sensitivity=sensitivity,
                lower=np.full(size, -1.0),
                upper=np.array(self.limits, float),
                names=[f"limit:{name}" for name in self.names],
                decides=self.decides,
                refresh_after=self.refresh_after,
            )
        return self.rows[slot]

    def check(self, slot: int, inject: int, withdraw: int, wanted: int, lot: int) -> Verdict:
        self.asked += 1
        return fitting(self.rows[slot].schedule.tolist(), self.limits, self.names, inject, withdraw, wanted, lot)

    def planner(self, slot: int) -> tuple[ConnectionLimits, CapacityRows]:
        twin = ConnectionLimits(dict(zip(self.names, self.limits, strict=True)), decides=True)
        rows = twin.open(slot, np.zeros(0), np.zeros(0))
        rows.schedule[:] = self.rows[slot].schedule
        rows.upper[:] = np.maximum(rows.upper, 1e-6)
        twin.refresh(slot)
        return twin, rows

    def refresh(self, slot: int) -> None:
        self.rows[slot].state[0] = self.rows[slot].schedule

    def close(self, slot: int) -> None:
        del self.rows[slot]


def fitting(
    schedule: list[int], limits: list[int], names: list[str], inject: int, withdraw: int, wanted: int, lot: int
) -> Verdict:
    """The largest fitting number of lots; of limits that bind alike, the first connection's is named."""
    quantity, binding = wanted, ""
    if inject == withdraw:
        return Verdict(wanted, "")
    for number, sign in sorted([(inject, 1), (withdraw, -1)]):
        if number >= 0:
            room = max(limits[number], abs(schedule[number])) - sign * schedule[number]
            if room < quantity:
                quantity, binding = room, f"limit:{names[number]}"
    return Verdict(quantity if binding == "" else quantity // lot * lot, binding)


@dataclass(slots=True)
class Resting:
    number: int
    participant: str
    side: str
    price: int
    quantity: int
    firm: int
    total: int
    flexible: bool
    node: int
    source: str
    sources: tuple[str, ...]
    post_only: bool
    turn: int
    end: int | None = None
    """When it expires by itself [ns]."""

    def accepts(self, other: Resting) -> bool:
        """True if the bid of the two takes energy of the ask's origin."""
        bid, ask = (self, other) if self.side == "buy" else (other, self)
        return not bid.sources or ask.source in bid.sources


class NaiveBook:
    """One slot's book as a list that is sorted whenever something is to be matched."""

    def __init__(
        self, settings: MarketSettings, nodes: dict[str, int], names: list[str], limits: list[int] | None, slot: int = 0
    ) -> None:
        """`nodes` are the participants' connections, `names` those of the connections, `limits` theirs [Wh] if any."""
        self.settings = settings
        self.slot = slot
        self.spread = 0
        """What a bid must exceed an ask by to trade [milli-currency/MWh]."""
        self.nodes = nodes
        self.limits = limits
        self.names = names
        self.schedule = [0] * len(names)
        self.allowance = {(side, node): 0 for side in ("buy", "sell") for node in range(len(names))}
        self.baseline = dict(self.allowance)
        self.orders: list[Resting] = []
        self.known: dict[int, str] = {}
        self.turn = 0
        self.questions = 0
        self.moves = 0
        self.refused: set[tuple[int, int]] = set()
        """(injecting, withdrawing) connections that were refused since the schedule changed last."""
        self.changes = 0
        """How often the schedule has changed, or been set anew."""
        self.passed: tuple[int, int] | None = None
        """Spread and changes at the end of the last pass over all resting orders."""
        self.asked: list[Limited] = []
        """Every question of capacity and its answer."""

    def fee(self, order: Resting, other: Resting) -> int:
        """What the wires take of a match between two orders, by walking from place to place."""
        rules, tariff = self.settings, self.settings.network_tariff
        if order.node < 0 or other.node < 0:
            return 0
        if tariff is None:
            return rules.grid_fee
        ways = []
        for node in (tariff.place[order.node], tariff.place[other.node]):
            way = {node: 0}
            while tariff.parent[node] >= 0:
                way[tariff.parent[node]] = way[node] + tariff.length[node]
                node = tariff.parent[node]
            ways.append(way)
        distance = min(ways[0][node] + ways[1][node] for node in ways[0] if node in ways[1])
        band = sum(distance > limit for limit in tariff.limits)
        fee = rules.grid_fee + tariff.rate * distance // 1_000_000 + (tariff.fees[band] if tariff.fees else 0)
        return fee // rules.tick * rules.tick

    def dear(self, order: Resting, other: Resting) -> bool:
        """True if what lies between the limits of two orders does not pay the fee."""
        return abs(order.price - other.price) < self.spread + self.fee(order, other)

    def rebase(self, baseline: list[int]) -> list[Event]:
        """A new baseline [Wh]: what firm orders hold of the old one stays theirs. Resting orders are tried again."""
        self.forget()
        for node, wh in enumerate(baseline):
            for side, fresh in (("buy", max(-wh, 0)), ("sell", max(wh, 0))):
                self.allowance[side, node] += fresh - self.baseline[side, node]
                self.baseline[side, node] = fresh
        return self.uncross()

    def forget(self) -> None:
        """The schedule is another one: pairs that were refused may be asked about again."""
        self.refused.clear()
        self.changes += 1

    def uncross(self) -> list[Event]:
        """Let resting orders trade, unless neither spread nor schedule are new since this was tried last."""
        bids = [order for order in self.orders if order.side == "buy"]
        if (self.spread, self.changes) == self.passed or not any(map(self.reachable, bids)):
            return []
        events = self.retry(MAX_PASS)
        self.passed = (self.spread, self.changes)
        return events

    def apply(self, number: int, command: Submit | Amend | Cancel) -> list[Event]:
        if isinstance(command, Submit):
            return self.submit(number, command)
        if not 0 < command.order < number:
            return [_unknown(command.order)]
        if self.known.get(command.order, command.participant) != command.participant:
            return [Rejected("NOT_YOUR_ORDER", f"order {command.order} is not yours", "order")]
        order = next((order for order in self.orders if order.number == command.order), None)
        if order is None:
            return [_closed(command.order)]
        return self.cancel(order) if isinstance(command, Cancel) else self.amend(order, command)

    def submit(self, number: int, command: Submit, end: int | None = None) -> list[Event]:
        self.known[number] = command.participant
        if command.time_in_force in ("gtc", "gtd") and len(self.orders) >= self.settings.max_orders:
            most = self.settings.max_orders
            return [Rejected("BOOK_FULL", f"{most} orders rest in this slot; use ioc or wait")]
        order = self.order(number, command.participant, command)
        order.post_only, order.end = command.post_only, end
        if command.post_only and self.would_trade(order):
            return [_would_trade()]
        if command.time_in_force == "fok":
            return [Accepted(number), *self.fill_or_kill(order)]
        return [Accepted(number), *self.match(order, command.time_in_force == "ioc")]

    def order(self, number: int, participant: str, given: Submit | Leg) -> Resting:
        """What is to be matched: no more of the order than that."""
        return Resting(
            number,
            participant,
            given.side,
            given.price,
            given.quantity,
            0,
            given.quantity,
            given.flexible,
            -1 if participant == self.settings.utility else self.nodes[participant],
            given.source,
            given.sources,
            False,
            0,
        )

    def fill_or_kill(self, order: Resting) -> list[Event]:
        """Try it, and put everything back if it is not filled."""
        before = self.save()
        events = self.match(order, True)
        if not any(isinstance(event, Cancelled) for event in events):
            return events
        asked = self.restore(before)
        return [*asked, Cancelled(order.number, order.total, "fok")]

    def save(self) -> dict[str, Any]:
        self.asked = []
        before = dict(self.__dict__)
        before |= {name: copy(before[name]) for name in ("schedule", "allowance", "refused")}
        before["orders"] = [replace(other) for other in self.orders]
        return before

    def restore(self, before: dict[str, Any]) -> list[Limited]:
        """Everything as it was when this was saved; returns the questions that were asked since."""
        asked = list(self.asked)
        self.__dict__.update(before)
        self.forget()
        return asked

    def amend(self, order: Resting, command: Amend) -> list[Event]:
        price = order.price if command.price is None else command.price
        total = order.total if command.quantity is None else command.quantity
        remaining = total - (order.total - order.quantity)
        if remaining <= 0:
            return self.cancel(order, "amended")
        kept = price == order.price and total <= order.total
        if order.post_only and not kept and self.would_trade(replace(order, price=price)):
            return [_would_trade()]
        self.give_back(order)
        order.price, order.total, order.quantity = price, total, remaining
        told: list[Event] = [Amended(order.number, price, total, "kept" if kept else "lost")]
        if kept:
            order.firm = self.reserve(order)
            return told
        self.orders.remove(order)
        order.turn = 0
        return told + self.match(order, False)

    def cancel(self, order: Resting, why: str = "participant") -> list[Event]:
        self.orders.remove(order)
        self.give_back(order)
        return [Cancelled(order.number, order.quantity, why)]

    def expire(self, order: Resting) -> Expired:
        self.orders.remove(order)
        self.give_back(order)
        return Expired(order.number, order.quantity)

    def reserve(self, order: Resting) -> int:
        """The part of an order that the baseline of its connection has left, in whole lots."""
        if order.flexible or order.node < 0:
            return 0
        key = order.side, order.node
        firm = max(min(order.quantity, self.allowance[key]), 0) // self.settings.lot * self.settings.lot
        self.allowance[key] -= firm
        return firm

    def give_back(self, order: Resting) -> None:
        if order.firm:
            self.allowance[order.side, order.node] += order.firm

    def reachable(self, order: Resting) -> list[Resting]:
        """Orders of the other side within the limit, best first."""
        sign = 1 if order.side == "buy" else -1
        others = [other for other in self.orders if other.side != order.side and other.quantity]
        others = [other for other in others if sign * (order.price - other.price) >= self.spread]
        return sorted(others, key=lambda other: (sign * other.price, other.turn))

    def would_trade(self, order: Resting) -> bool:
        return any(not self.dear(order, other) for other in self.reachable(order))

    def match(self, order: Resting, ioc: bool) -> list[Event]:
        events: list[Event] = []
        order.firm = self.reserve(order)
        self.moves = 0
        met_itself = self.meet(order, events, None)
        self.orders = [other for other in self.orders if other.quantity]
        if order.quantity and (ioc or met_itself):
            self.give_back(order)
            events.append(Cancelled(order.number, order.quantity, "self_trade" if met_itself else "ioc"))
        elif order.quantity:
            self.turn += 1
            order.turn = self.turn
            self.orders.append(order)
        if self.limits is not None and self.moves:
            events += self.retry(MAX_RETRIES)
        return events

    def retry(self, budget: int) -> list[Event]:
        """One pass of the resting bids over the resting asks, with few questions."""
        events: list[Event] = []
        self.questions = 0
        bids = [order for order in self.orders if order.side == "buy"]
        for bid in sorted(bids, key=lambda bid: (-bid.price, bid.turn)):
            if not self.reachable(bid) or self.questions >= budget:
                break
            self.meet(bid, events, budget)
        self.orders = [order for order in self.orders if order.quantity]
        return events

    def meet(self, order: Resting, events: list[Event], questions: int | None) -> bool:
        """Fill an order from the other side; True if it met one of its own participant, which ends it."""
        skipped = 0
        for other in self.reachable(order):
            while order.quantity and other.quantity and skipped < MAX_SKIPPED:
                if questions is not None and self.questions >= questions:
                    return False
                own, dear = order.participant == other.participant, self.dear(order, other)
                if own and not dear and questions is None:
                    return True
                quantity = min(order.quantity, other.quantity, order.firm or 10**18, other.firm or 10**18)
                pair = self.who_moves(order, other)
                admitted = quantity
                if own or dear or not order.accepts(other):
                    admitted = 0
                elif self.limits is not None and pair != (-1, -1):
                    admitted = self.admit(order, other, pair, quantity, events)
                    if admitted < quantity:
                        self.refused.add(pair)
                if admitted:
                    events.append(self.fill(order, other, admitted, pair))
                    if 0 < admitted < quantity:
                        self.refused.add(pair)
                if admitted < quantity:
                    skipped += 1
                    break
        return False

    def who_moves(self, order: Resting, other: Resting) -> tuple[int, int]:
        node, other_node = (-1 if party.firm else party.node for party in (order, other))
        return (node, other_node) if order.side == "sell" else (other_node, node)

    def admit(self, order: Resting, other: Resting, pair: tuple[int, int], quantity: int, events: list[Event]) -> int:
        """A pair that was refused is not asked about again until the schedule has changed."""
        if pair in self.refused:
            return 0
        assert self.limits is not None
        self.questions += 1
        verdict = fitting(self.schedule, self.limits, self.names, *pair, quantity, self.settings.lot)
        if verdict.admitted < quantity:
            events.append(Limited(order.number, other.number, quantity, verdict.admitted, verdict.constraint))
            self.asked.append(events[-1])  # type: ignore[arg-type]
        else:
            older = older_of(order, other)
            newer = other if older is order else order
            self.asked.append(Limited(newer.number, older.number, quantity, quantity, ""))
        return verdict.admitted

    def fill(self, order: Resting, other: Resting, quantity: int, pair: tuple[int, int]) -> Traded:
        for party in (order, other):
            party.quantity -= quantity
            party.firm = max(party.firm - quantity, 0)
        for node, change in zip(pair, (quantity, -quantity), strict=True):
            if node >= 0:
                self.schedule[node] += change
        if pair != (-1, -1):
            self.moves += 1
            self.forget()
        buy, sell = (order, other) if order.side == "buy" else (other, order)
        resting = older_of(order, other)
        return Traded(
            slot=self.slot,
            price=resting.price - (self.fee(buy, sell) if resting is buy else 0),
            quantity=quantity,
            buyer=buy.participant,
            seller=sell.participant,
            buy_order=buy.number,
            sell_order=sell.number,
            resting=resting.side,  # type: ignore[arg-type]
            buy_flexible=pair[1] >= 0,
            sell_flexible=pair[0] >= 0,
            source=sell.source,
            fee=self.fee(buy, sell),
        )


def older_of(order: Resting, other: Resting) -> Resting:
    """Which of the two was in the book first; `other` rests, `order` only if it has a turn."""
    return order if order.turn and order.turn < other.turn else other


def _would_trade() -> Rejected:
    return Rejected("WOULD_TRADE", "a post-only order may not trade at once; change its price", "price")


def _closed(order: int) -> Rejected:
    return Rejected("ORDER_CLOSED", f"order {order} is filled, cancelled, expired or was never accepted", "order")


def _unknown(order: int) -> Rejected:
    return Rejected("UNKNOWN_ORDER", f"no order has the number {order!r:.40}", "order")
