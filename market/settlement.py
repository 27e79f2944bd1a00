"""Contracted against metered: who was short, who had a surplus, and what the difference costs. Exact integers.

| quantity   | meaning                                               | sign                  |
|------------|-------------------------------------------------------|-----------------------|
| metered    | energy that the meter counted in the slot [Wh]        | injection positive    |
| contracted | sold less bought for the slot [Wh]                    | sold positive         |
| imbalance  | metered - contracted: what nobody had contracted [Wh] | surplus positive      |
| money      | what the participant receives for it [nano-currency]  | received positive     |

A surplus is sold to the utility at `feed_in`, a shortage bought from it at `retail`. The utility takes the opposite of
all imbalances, so that energy and money of a settlement sum to zero.

A participant without a meter reading is settled as contracted, imbalance 0: nobody pays for a meter that was silent.
`missing` names them, so that a later run can correct what a late reading changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from market.orders import MarketSettings
from market.units import Money, cost

Line = tuple[str, int, int, int]
"""participant, metered, contracted, imbalance [Wh], as `market.events.Settled` carries them."""


class Statement(NamedTuple):
    """One participant in one settled slot: energy [Wh], injection positive; money received [nano-currency]."""

    participant: str
    metered: int
    contracted: int
    imbalance: int
    money: int


def lines(metered: Mapping[str, int], contracted: Mapping[str, int], utility: str) -> list[Line]:
    """One line per participant of either mapping but the utility, alphabetically (by code point)."""
    settled = []
    for name in sorted(metered.keys() | contracted.keys()):
        if name != utility:
            contract = contracted.get(name, 0)
            reading = metered.get(name, contract)
            settled.append((name, reading, contract, reading - contract))
    return settled


def missing(metered: Mapping[str, int], contracted: Mapping[str, int], utility: str) -> list[str]:
    """Participants whom `lines` settles as contracted because no reading of them is known, alphabetically."""
    return sorted(contracted.keys() - metered.keys() - {utility})


def imbalance_money(imbalance: int, settings: MarketSettings) -> Money:
    """Money [nano-currency] that a participant receives for `imbalance` Wh, negative where it pays."""
    return cost(settings.feed_in if imbalance > 0 else settings.retail, imbalance)


def settle(settled: Iterable[Line], settings: MarketSettings) -> list[Statement]:
    """Statements of the lines, and one of the utility, last, that closes the sums of energy and money."""
    statements = [Statement(*line, imbalance_money(line[3], settings)) for line in settled]
    closing = (-sum(column) for column in zip(*(statement[1:] for statement in statements), strict=True))
    return [*statements, Statement(settings.utility, *closing)] if statements else []
