"""The allocation of the greatest welfare that the wires carry: a linear program over all orders of an auction.

Columns are the firm and the flexible part of every order; only the flexible ones move injections, see
`market.wire_program`. What the program finds becomes whole lots before anybody trades.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from market.auction import Allocation, Ints, Orders
from market.capacity import CapacityRows, Gate
from market.kernel import BUY, SELL
from market.orders import MarketSettings
from market.wire_program import Program, constrain

Floats = NDArray[np.float64]

TIE_SHARE = 0.01
"""Time priority breaks ties: the first of all orders gains this part of a tick more, the others evenly less."""
NEAR = 1e-6
"""What differs less from whole lots is whole: the solver's own tolerance."""


def grant(
    orders: Orders, cleared: Allocation, settings: MarketSettings, slot: int, planner: tuple[Gate, CapacityRows]
) -> tuple[Ints | None, list[str]]:
    """Wh of every order (N,) and the limits that bind; None if the wires carry what `cleared` without them.

    `planner` is a gate and its rows at the present schedule; both are used up.
    """
    program = _program(orders, settings, cleared)
    found = constrain(slot, program, *planner)
    if found.rounds == 0:
        return None, []
    firm, flexible = np.split(program.solution, 2)
    return _whole(orders, firm + flexible, settings.lot), found.binding


def _program(orders: Orders, settings: MarketSettings, cleared: Allocation) -> Program:
    """Welfare by the prices of the orders themselves; the program starts at what cleared."""
    firm = np.where(orders.node >= 0, np.minimum(orders.firm, orders.quantity), orders.quantity)
    sign, count = np.where(orders.side == SELL, 1.0, -1.0), len(orders.side)
    late = np.argsort(np.argsort(orders.turn))
    # Prices in ticks. What comes on top also makes pairs of equal prices trade, as they do without wires.
    gain = -sign * (orders.price - settings.price_floor) / settings.tick + TIE_SHARE * (1 - late / count)
    program = Program(
        np.tile(gain, 2),
        np.concatenate([firm, orders.quantity - firm]).astype(np.float64),
        [(np.arange(2 * count), np.tile(sign, 2))],
    )
    moving = np.flatnonzero(orders.quantity > firm)
    program.move(count + moving, sign[moving], orders.node[moving])
    first = np.minimum(cleared.quantity, firm)
    program.solution = np.concatenate([first, cleared.quantity - first]).astype(np.float64)
    return program


def _whole(orders: Orders, energy: Floats, lot: int) -> Ints:
    """Whole lots, as many bought as sold, by largest remainders, equals by turn."""
    lots = np.clip(energy, 0, orders.quantity) / lot
    near = np.rint(lots)
    lots = np.where(np.abs(lots - near) < NEAR, near, lots)
    sides = [np.flatnonzero(orders.side == side) for side in (BUY, SELL)]
    total = min(int(np.floor(lots[places].sum() + 0.5)) for places in sides)
    whole = np.floor(lots).astype(np.int64)
    for places in sides:
        rest = lots[places] - whole[places]
        ranked = places[np.lexsort((orders.turn[places], -rest))]
        missing = total - int(whole[places].sum())
        raised = ranked[rest[np.searchsorted(places, ranked)] > 0][: max(missing, 0)]
        whole[raised] += 1
    bought, sold = (int(whole[places].sum()) for places in sides)
    # A side that still has more gives up the last lots of its latest orders.
    for places, excess in ((sides[0], bought - sold), (sides[1], sold - bought)):
        if excess > 0:
            latest = places[np.argsort(-orders.turn[places])]
            before = np.cumsum(whole[latest]) - whole[latest]
            whole[latest] -= np.clip(excess - before, 0, whole[latest])
    result: Ints = whole * lot
    return result
