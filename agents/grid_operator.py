"""What is said for all when a slot opens and before it closes: baselines, the utility's orders, an island's last call.

On an island nothing comes from above the feeder: the baseline is zero, whatever flows was traded, and each slot is
cleared by one auction by merit when its gate closes. The operator does two things there. It buys what the wires will
lose, at the highest price of all, as much as they lost in the last slot that is known. And in the last round it calls
everything in: whatever anybody still has is offered at its cost, and whatever anybody still lacks is bid for at its
worth, firm load at the top of the price range, a tick lower for each class that it hurts less to shed. So what the
supply does not suffice for is shed by the auction itself, the least painful first, and no quote keeps anybody in the
dark.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agents.desk import Desk
from agents.population import Population
from agents.record import Record
from agents.scenario import UTILITY
from agents.wants import Actions
from market.orders import Command, MarketSettings, Submit, UpdateGrid
from market.settlement import tariff
from market.units import MAX_EXACT

Ints = NDArray[np.int64]

UTILITY_WH = 10**9
"""The utility's standing orders: more than any feeder carries in a slot."""
FIRST_LOSSES = 0.02
"""Share of the firm load that an island expects to lose before any slot is known."""
FIRM_BUY = 0
"""Kind of a want, as `agents.wants.columns_of` numbers them."""


def opening(people: Population, record: Record, settings: MarketSettings, slot: int) -> list[Command]:
    """The baseline of a slot that opens, and the utility's standing orders; on an island a bid for the losses."""
    baseline, reactive = people.baseline(slot)
    said: list[Command] = [UpdateGrid(slot, baseline.tolist(), reactive.tolist())]
    if people.islanded:
        losses = expected_losses(people, record, slot) // settings.lot * settings.lot
        return [*said, Submit(UTILITY, slot, "buy", settings.price_cap, losses, flexible=True)] if losses else said
    feed_in, retail = tariff(settings, slot)
    dearest = max(abs(settings.price_cap), abs(settings.price_floor), 1)
    quantity = min(UTILITY_WH, MAX_EXACT // dearest) // settings.lot * settings.lot
    return [
        *said,
        Submit(UTILITY, slot, "buy", feed_in, quantity, flexible=True),
        Submit(UTILITY, slot, "sell", retail, quantity, flexible=True, source="grid"),
    ]


def expected_losses(people: Population, record: Record, slot: int) -> int:
    """What the wires will lose in a slot [Wh]: as much as in the last one whose flows are known."""
    if record.flows:
        return round(float(record.flows[-1].loss_w[0]) * record.scenario.slot_hours)
    return round(FIRST_LOSSES * int(people.position(slot).firm_buy.sum()))


def last_call(people: Population, desk: Desk, settings: MarketSettings, slot: int) -> tuple[Actions, Sequence[Command]]:
    """Quotes for all that is left in a slot of an island, at cost and at worth; firm load by its class."""
    span = desk.rows(slot)
    rows = span.start + np.flatnonzero(desk.left[span] > 0)
    sell, firm = desk.sell[rows], desk.kind[rows] == FIRM_BUY
    floor, cap, tick = settings.price_floor, settings.price_cap, settings.tick
    classes = -np.unique(-people.lost_load)
    rank = np.searchsorted(-classes, -people.lost_load[desk.member[rows]]) + 1
    worth = np.where(firm, np.minimum(desk.limit[rows], cap - rank * tick - desk.fee), desk.limit[rows])
    price = np.where(sell, floor - (floor - worth) // tick * tick, floor + (worth - floor) // tick * tick)
    exists = np.where(sell, price <= cap, price >= floor)
    return desk.call(rows[exists], np.clip(price[exists], floor, cap))


def shed(desk: Desk, slot: int, people: int) -> Ints:
    """(P,) firm load of an island that found no supply in a slot [Wh]."""
    span = desk.rows(slot)
    firm = desk.kind[span] == FIRM_BUY
    left: Ints = np.bincount(desk.member[span][firm], desk.left[span][firm], people).astype(np.int64)
    return left
