"""Figures of a run, from what was traded and what flowed: who paid what, what it was worth, what it could have been.

Money is whole nano-currency, energy whole Wh, both exact; a participant's row of -1 is the utility.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.optimum import Optimum, achieved, optimum
from agents.record import Record
from grid.gate import FeederGate
from market.settlement import rules_of
from market.tariff import Fees

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

UTILITY = -1


class Trades(NamedTuple):
    """Every trade as columns, in the order in which they happened; M rows."""

    seq: Ints
    column: Ints
    """(M,) delivery slot, counted from the first of the run."""
    buyer: Ints
    """(M,) row of the population, UTILITY for the utility."""
    seller: Ints
    price: Ints
    quantity: Ints
    value: Ints
    """(M,) what a Wh was worth to the buyer; to the utility its feed-in price."""
    cost: Ints
    """(M,) what a Wh cost the seller; the utility its retail price."""
    local: Bools
    """(M,) True: neither side is the utility."""
    fee: Ints
    """(M,) what the buyer paid to the wires beside the price."""


class Accounts(NamedTuple):
    """Energy [Wh] and money [nano-currency] of P participants."""

    sold_local: Ints
    bought_local: Ints
    sold_utility: Ints
    """(P,) to the utility, by trade or by settlement."""
    bought_utility: Ints
    money: Ints
    """(P,) received less paid, fees included."""
    fees: Ints
    """(P,) paid to the wires."""
    losses: Ints
    """(P,) paid to the utility for what the wires lost."""
    utility: int
    """Money of the utility, counted from its own side."""
    wires: int
    """Money of the operator of the wires: fees, less the losses that it pays for."""


class Physics(NamedTuple):
    """Energy that flowed, (P, T) [Wh], all but `battery` >= 0."""

    load: Ints
    generation: Ints
    battery: Ints
    """Discharge positive."""
    curtailed: Ints
    """Generation that was offered as flexible and not sold."""
    unserved: Ints
    """Flexible consumption that was not bought."""


def trades(record: Record) -> Trades:
    """The trades of a run as columns."""
    desk = record.desk
    rows = [
        (deal.seq, deal.event.slot, deal.buy, deal.sell, deal.event.price, deal.event.quantity, deal.event.fee)
        for deal in desk.trades
    ]
    seq, slot, buy, sell, price, quantity, fee = np.array(rows, dtype=np.int64).reshape(-1, 7).T
    outside_buy, outside_sell = buy == UTILITY, sell == UTILITY
    # A want of -1 reads some other want's column, which the choice then drops.
    member = np.append(desk.member, UTILITY)
    column = slot - record.population.first_slot
    value = np.where(outside_buy, desk.feed_in[column], np.append(desk.value, 0)[buy])
    cost = np.where(outside_sell, desk.retail[column], np.append(desk.value, 0)[sell])
    return Trades(
        seq, column, member[buy], member[sell], price, quantity, value, cost,
        ~(outside_buy | outside_sell), fee,
    )  # fmt: skip


def accounts(record: Record, traded: Trades) -> Accounts:
    """What every participant sold, bought, received and paid. Asserts that money and energy sum to zero."""
    people, settings = len(record.population), record.settings
    money, fee = traded.price * traded.quantity, traded.fee * traded.quantity
    sold_local, bought_local, sold_utility, bought_utility, imbalance = energies(traded, record.metered)
    paid, charged = record.imbalance_prices
    settled = np.maximum(imbalance, 0) @ paid - np.maximum(-imbalance, 0) @ charged
    lost, borne = settings.losses_price * record.losses.sum(axis=1), settings.losses_price * record.wires_losses.sum()
    outside = money[traded.seller == UTILITY].sum() - money[traded.buyer == UTILITY].sum()
    result = Accounts(
        sold_local=sold_local,
        bought_local=bought_local,
        sold_utility=sold_utility,
        bought_utility=bought_utility,
        money=_sum(traded.seller, money, people) - _sum(traded.buyer, money + fee, people) + settled - lost,
        fees=_sum(traded.buyer, fee, people),
        losses=lost,
        utility=int(outside - settled.sum() + lost.sum() + borne),
        wires=int(fee.sum() - borne),
    )
    assert int(result.money.sum()) + result.utility + result.wires == 0, "money does not sum to zero"
    taken = result.sold_local + result.sold_utility - result.bought_local - result.bought_utility
    assert (taken == record.metered.sum(axis=1)).all(), "what was sold less what was bought is not what was metered"
    assert result.sold_local.sum() == result.bought_local.sum(), "local sales are not local purchases"
    return result


class Energies(NamedTuple):
    """Energy [Wh] that P participants traded and settled, (P,) each but the last."""

    sold_local: Ints
    bought_local: Ints
    sold_utility: Ints
    """By trade or by settlement."""
    bought_utility: Ints
    imbalance: Ints
    """(P, T) metered less contracted."""


def energies(traded: Trades, metered: Ints) -> Energies:
    """What was traded, and what settlement adds of what was `metered`, (P, T) injection positive [Wh]."""
    people = len(metered)
    local = np.where(traded.local, traded.quantity, 0)
    contracted = np.zeros((people + 1, metered.shape[1]), dtype=np.int64)
    np.add.at(contracted, (traded.seller, traded.column), traded.quantity)
    np.add.at(contracted, (traded.buyer, traded.column), -traded.quantity)
    imbalance = metered - contracted[:people]
    surplus, shortage = np.maximum(imbalance, 0).sum(axis=1), np.maximum(-imbalance, 0).sum(axis=1)
    return Energies(
        sold_local=_sum(traded.seller, local, people),
        bought_local=_sum(traded.buyer, local, people),
        sold_utility=_sum(traded.seller, traded.quantity - local, people) + surplus,
        bought_utility=_sum(traded.buyer, traded.quantity - local, people) + shortage,
        imbalance=imbalance,
    )


def physics(record: Record) -> Physics:
    """What was consumed and generated. Asserts that it adds up to what the meters counted."""
    people = record.population
    moved = record.schedule.T[people.connection_index] - people.battery_traded_wh
    sells, buys = people.beyond()
    curtailed, unserved = sells - np.maximum(moved, 0), buys - np.maximum(-moved, 0)
    load = people.load_wh + people.flexible_load_wh - unserved
    generation = people.must_run_wh + people.dispatchable_wh - curtailed
    assert (generation - load + people.battery_wh == record.metered).all(), "energy is not conserved"
    return Physics(load, generation, people.battery_wh, curtailed, unserved)


def welfare(record: Record, traded: Trades) -> Ints:
    """(T,) welfare of the trades of each slot [nano-currency]; `agents.optimum` says what that is."""
    gains = np.zeros(record.population.slots, dtype=np.int64)
    for column in np.unique(traded.column):
        here = traded.column == column
        gains[column] = achieved(traded.value[here], traded.cost[here], traded.quantity[here], traded.fee[here])
    return gains


def optima(record: Record) -> list[Optimum]:
    """The optimum of every slot under the wires of the feeder, whether or not the run's own gate minded them."""
    people = record.population
    settings = msgspec.structs.replace(record.settings, gate="linear", netting="netted")
    gate = FeederGate(people.feeder, settings)
    fees = Fees(settings, len(gate.connections()))
    found = []
    for slot in range(people.first_slot, people.first_slot + people.slots):
        rows = gate.open(slot, *people.baseline(slot))
        found.append(
            optimum(slot, record.desk.wants(slot), gate, rows, rules_of(settings, slot), fees, alone=people.islanded)
        )
        gate.close(slot)
    return found


def benefit(record: Record, account: Accounts) -> Ints:
    """(P,) money plus value of the flexible energy bought less cost of the flexible energy sold [nano-currency].

    Compares days on which different energy flowed: a bill alone grows with every Wh that a participant gladly buys.
    """
    people = record.population
    moved = record.schedule.T[people.connection_index] - people.battery_traded_wh
    bought, sold = np.maximum(-moved, 0).sum(axis=1), np.maximum(moved, 0).sum(axis=1)
    total: Ints = account.money + people.buy_value * bought - people.sell_cost * sold
    return total


def share(part: float, whole: float) -> float | None:
    """`part` / `whole`, None where there is no whole."""
    return float(part / whole) if whole else None


def _sum(rows: Ints, amounts: Ints, people: int) -> Ints:
    """Exact sums by participant, the utility's left out."""
    total = np.zeros(people + 1, dtype=np.int64)
    np.add.at(total, rows, amounts)
    return total[:people]
