"""What goes between strategies and exchange, as columns and as records: see `agents.desk`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.population import Population
from agents.strategies import Strategy
from market.events import Limited, Traded

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

KINDS = 4
"""Kinds of want that a participant can have in a slot: bid or ask, firm or flexible."""

STORAGE = "storage"
"""Origin of what batteries sell."""
UTILITY = -1
"""Stands for a want where the utility has the order."""

NONE: Ints = np.zeros(0, dtype=np.int64)
NEVER: Bools = np.zeros(0, dtype=np.bool_)


class Group(NamedTuple):
    """Participants with one strategy, and the randomness that is theirs."""

    name: str
    strategy: Strategy
    members: Ints
    """Rows of the population."""
    rng: np.random.Generator


class Deal(NamedTuple):
    """A trade, and whose wants it served."""

    seq: int
    """Of the order that arrived."""
    buy: int
    """Want of the buyer, or UTILITY."""
    sell: int
    event: Traded


class Limit(NamedTuple):
    """A match that the wires trimmed or refused."""

    seq: int
    arriving: int
    """Want of the order that arrived; `resting` that of the other, or UTILITY."""
    resting: int
    event: Limited


class Actions(NamedTuple):
    """Quotes that change something, in the order of their arrival; A rows."""

    row: Ints
    """(A,) want."""
    price: Ints
    quantity: Ints
    """(A,) to rest or to trade now; 0 withdraws the order."""
    submit: Bools
    """(A,) True: a new order, False: a change of the live one."""
    immediate: Bools


def columns_of(population: Population, lot: int, batteries: Ints) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Slot (as a column), member, kind, quantity and battery of all wants of a run, in the order of slots.

    Each of the `batteries` has a bid and an ask in every slot, as yet of nothing; the battery of other wants is -1.
    """
    columns = (
        population.firm_buy_wh,
        population.flexible_buy_wh,
        population.firm_sell_wh,
        population.flexible_sell_wh,
    )
    offered = np.stack(columns, axis=2).transpose(1, 0, 2) // lot * lot
    slot, member, kind = (place.astype(np.int64) for place in np.nonzero(offered))
    quantity = offered[slot, member, kind]
    if not len(batteries):
        return slot, member, kind, quantity, np.full(len(slot), -1)
    every, battery, side = (
        grid.ravel() for grid in np.meshgrid(np.arange(population.slots), batteries, [1, 3], indexing="ij")
    )
    nothing = np.zeros_like(every)
    order = np.argsort(np.concatenate([slot, every]), kind="stable")
    return (
        np.concatenate([slot, every])[order],
        np.concatenate([member, population.battery_owner[battery]])[order],
        np.concatenate([kind, side])[order],
        np.concatenate([quantity, nothing])[order],
        np.concatenate([np.full(len(slot), -1), battery])[order],
    )
