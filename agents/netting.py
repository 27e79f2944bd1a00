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


def net(
    load: Ints,
    flexible_load: Ints,
    must_run: Ints,
    dispatchable: Ints,
    battery: Battery,
    owner: Ints,
    rules: Mapping[Rule, Ints],
) -> Netted:
    """Net the columns (P, T) connection by connection; runs `battery` (B,), of rows `owner`, through all T slots.

    `rules` gives the batteries that follow each rule; no rule moves more than its owner has left or lacks. Energy is
    conserved: firm_sell + flexible_sell − firm_buy − flexible_buy = all generation − all load + battery.
    """
    own = np.minimum(dispatchable, np.maximum(load - must_run, 0))
    firm = must_run + own - load
    flexible_sell = dispatchable - own
    firm_sell, firm_buy = np.maximum(firm, 0), np.maximum(-firm, 0)
    served = np.minimum(flexible_load, flexible_sell)
    flexible_sell -= served
    flexible_buy = flexible_load - served
    served = np.minimum(flexible_buy, firm_sell)
    firm_sell -= served
    flexible_buy -= served

    moved = np.zeros_like(load)
    for t in range(load.shape[1] if len(owner) else 0):
        spare, surplus = flexible_sell[owner, t], flexible_sell[owner, t] + firm_sell[owner, t]
        deficit = firm_buy[owner, t]
        request = np.zeros(len(owner), dtype=np.int64)
        for rule, members in rules.items():
            request[members] = rule(battery, surplus, deficit)[members]
        realised = battery.step(np.clip(request, -surplus, deficit))
        from_spare = np.minimum(np.maximum(-realised, 0), spare)
        flexible_sell[owner, t] -= from_spare
        firm_sell[owner, t] -= np.maximum(-realised, 0) - from_spare
        firm_buy[owner, t] -= np.maximum(realised, 0)
        moved[owner, t] = realised
    return Netted(firm_sell, flexible_sell, firm_buy, flexible_buy, moved)
