"""What a connection's own devices do among themselves before anything is traded; see `agents.population`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.devices.battery import Battery
from agents.devices.registry import Rule

Ints = NDArray[np.int64]


class Netted(NamedTuple):
    """(P, T) each [Wh]; all but `battery` >= 0."""

    firm_sell: Ints
    flexible_sell: Ints
    firm_buy: Ints
    flexible_buy: Ints
    battery: Ints
    """Discharge positive, charge negative."""


def own(load: Ints, flexible_load: Ints, must_run: Ints, dispatchable: Ints) -> Netted:
    """Net the columns (P, T) connection by connection, without batteries.

    Energy is conserved: firm_sell + flexible_sell − firm_buy − flexible_buy = all generation − all load.
    """
    served_first = np.minimum(dispatchable, np.maximum(load - must_run, 0))
    firm = must_run + served_first - load
    flexible_sell = dispatchable - served_first
    firm_sell, firm_buy = np.maximum(firm, 0), np.maximum(-firm, 0)
    served = np.minimum(flexible_load, flexible_sell)
    flexible_sell -= served
    flexible_buy = flexible_load - served
    served = np.minimum(flexible_buy, firm_sell)
    firm_sell -= served
    flexible_buy -= served
    return Netted(firm_sell, flexible_sell, firm_buy, flexible_buy, np.zeros_like(load))


def store(netted: Netted, battery: Battery, owner: Ints, rules: Mapping[Rule, Ints]) -> None:
    """Run `battery` (B,), of rows `owner`, through all T slots of `netted`, which what it takes and gives changes.

    `rules` gives the batteries that follow each rule; no rule moves more than its owner has left or lacks.
    """
    for t in range(netted.battery.shape[1] if rules else 0):
        surplus = netted.flexible_sell[owner, t] + netted.firm_sell[owner, t]
        deficit = netted.firm_buy[owner, t]
        request = np.zeros(len(owner), dtype=np.int64)
        for rule, members in rules.items():
            request[members] = rule(battery, surplus, deficit)[members]
        move(netted, owner, t, battery.step(np.clip(request, -surplus, deficit)))


def move(netted: Netted, owner: Ints, column: int, realised: Ints) -> None:
    """Book what batteries of the rows `owner` took or gave within their connections in one slot."""
    taken, given = np.maximum(-realised, 0), np.maximum(realised, 0)
    from_spare = np.minimum(taken, netted.flexible_sell[owner, column])
    netted.flexible_sell[owner, column] -= from_spare
    netted.firm_sell[owner, column] -= taken - from_spare
    netted.firm_buy[owner, column] -= given
    netted.battery[owner, column] += realised
