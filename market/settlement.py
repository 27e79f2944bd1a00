"""Contracted against metered: who was short, who had a surplus, and what the difference costs. Exact integers.

| quantity   | meaning                                               | sign                  |
|------------|-------------------------------------------------------|-----------------------|
| metered    | energy that the meter counted in the slot [Wh]        | injection positive    |
| contracted | sold less bought for the slot [Wh]                    | sold positive         |
| imbalance  | metered - contracted: what nobody had contracted [Wh] | surplus positive      |
| money      | what the participant receives for it [nano-currency]  | received positive     |

A surplus is sold to the utility and a shortage bought from it, at its tariff or at prices made of the slot's trades.
The utility takes the opposite of all imbalances, so that energy and money of a settlement sum to zero.

A participant without a meter reading is settled as contracted, imbalance 0: nobody pays for a meter that was silent.
`missing` names them, so that a later run can correct what a late reading changes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from market.orders import LossModel, MarketSettings
from market.units import Money, cost

WIRES = "wires"
"""Account of the operator of the wires. No participant may bear its name."""

Prices = tuple[int, int]
"""What is paid for a surplus and for a shortage [milli-currency/MWh]."""
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
    for name in sorted((metered.keys() | contracted.keys()) - {utility}):
        contract = contracted.get(name, 0)
        reading = metered.get(name, contract)
        settled.append((name, reading, contract, reading - contract))
    return settled


def missing(metered: Mapping[str, int], contracted: Mapping[str, int], utility: str) -> list[str]:
    """Participants whom `lines` settles as contracted because no reading of them is known, alphabetically."""
    return sorted(contracted.keys() - metered.keys() - {utility})


def loss_shares(energy: int, weights: Mapping[str, int]) -> list[tuple[str, int]]:
    """`energy` Wh in proportion to the weights by largest remainders, equals by name; alphabetically, without zeros.

    The parts sum to `energy`. If the weights do not sum to more than zero, all of it is the wires' own.
    """
    total = sum(weights.values())
    if total <= 0 or not energy:
        return [(WIRES, energy)] if energy else []
    exact = {name: divmod(energy * weight, total) for name, weight in sorted(weights.items())}
    left = energy - sum(whole for whole, _ in exact.values())
    raised = set(sorted(exact, key=lambda name: -exact[name][1])[:left])
    parts = {name: whole + (name in raised) for name, (whole, _) in exact.items()}
    return [(name, part) for name, part in parts.items() if part]


def lost(
    model: LossModel, energy: int, weights: Mapping[str, int], metered: Mapping[str, int],
    contracted: Mapping[str, int], utility: str,
) -> list[tuple[str, int]]:  # fmt: skip
    """Who pays for how much [Wh] of what the wires lost in a slot; for `average` by the energy that each meter saw."""
    if model == "average":
        weights = {name: abs(reading) for name, reading, _, _ in lines(metered, contracted, utility)}
    return loss_shares(energy, weights if model != "operator" else {})


def imbalance_prices(settings: MarketSettings, slot: int, volume: int, value: int) -> Prices | None:
    """What a surplus receives and a shortage pays, None if one tariff for all slots says so [milli-currency/MWh].

    `volume` is what was traded locally in the slot [Wh], `value` the sum of price x quantity over these trades, at the
    price that the seller receives: their mean, rounded down, less and plus the surcharge. Without trades: the tariff.
    """
    rules = settings.settlement
    if rules is None or rules.imbalance == "tariff" or not volume:
        return tariff(settings, slot) if settings.price_changes else None
    mean = value // volume
    return mean - rules.surcharge, mean + rules.surcharge


def imbalance_money(imbalance: int, prices: Prices) -> Money:
    """Money [nano-currency] that a participant receives for `imbalance` Wh, negative where it pays."""
    return cost(prices[imbalance <= 0], imbalance)


def tariff(settings: MarketSettings, slot: int) -> Prices:
    """What the utility pays for a surplus of a slot and takes for a shortage."""
    changes = settings.price_changes
    at = bisect_right(changes, slot, key=lambda change: change[0])
    _, retail, feed_in = changes[at - 1] if at else (slot, settings.retail, settings.feed_in)
    return feed_in, retail


def tariffs(settings: MarketSettings, first_slot: int, slots: int) -> tuple[list[int], list[int]]:
    """`tariff` of so many slots: what is paid for a surplus and taken for a shortage in each."""
    pairs = [tariff(settings, slot) for slot in range(first_slot, first_slot + slots)]
    return [feed_in for feed_in, _ in pairs], [retail for _, retail in pairs]


def rules_of(settings: MarketSettings, slot: int) -> MarketSettings:
    """The settings with the utility's prices of one slot in `retail` and `feed_in`."""
    if not settings.price_changes:
        return settings
    feed_in, retail = tariff(settings, slot)
    return msgspec.structs.replace(settings, retail=retail, feed_in=feed_in)


def settle(settled: Iterable[Line], prices: Prices, utility: str) -> list[Statement]:
    """Statements of the lines, and one of the utility, last, that closes the sums of energy and money."""
    surplus, shortage = prices
    # `imbalance_money` and a named tuple's own constructor spelled out: that takes half the time.
    statements = [
        tuple.__new__(Statement, (*line, (surplus if line[3] > 0 else shortage) * line[3])) for line in settled
    ]
    return _closed(statements, utility)


def correct(corrected: Iterable[Line], prices: Prices, utility: str) -> list[Statement]:
    """What a correction changes, by the lines of `market.events.Corrected`: differences, the contracts' are zero."""
    changes = []
    for name, before, now, contract in corrected:
        money = imbalance_money(now - contract, prices) - imbalance_money(before - contract, prices)
        changes.append(Statement(name, now - before, 0, now - before, money))
    return _closed(changes, utility)


def _closed(statements: list[Statement], utility: str) -> list[Statement]:
    closing = (-sum(column) for column in zip(*(statement[1:] for statement in statements), strict=True))
    return [*statements, Statement(utility, *closing)] if statements else []
