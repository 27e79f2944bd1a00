"""What the wires lost in a slot that was metered: the operator's statement, and who paid for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.record import Record
from grid.losses import LossModel
from grid.powerflow import PowerFlowError
from market.events import Lost
from market.orders import RecordLosses
from market.settlement import WIRES


def statement(model: LossModel, record: Record, slot: int) -> RecordLosses:
    """The losses of `slot` in the state that its meters had, with the weights that the market's rule needs."""
    people, column = record.population, slot - record.population.first_slot
    baseline, reactive = people.baseline(slot)
    try:
        found = model.of(baseline + record.schedule[column], reactive)
    except PowerFlowError:  # trading without a gate has gone beyond any state, or nearly so
        return RecordLosses(slot, round(float(record.flows[column].loss_w[0]) * record.scenario.slot_hours))
    if record.settings.losses != "marginal":
        return RecordLosses(slot, found.energy)
    weights = found.weights[people.connection_index].tolist()
    return RecordLosses(slot, found.energy, dict(zip(people.ids, weights, strict=True)))


def book(record: Record, rows: dict[str, int], lost: Lost) -> NDArray[np.int64]:
    """Keep who pays for how much, and what (P,) [nano-currency]; `rows` are the participants' in the population."""
    column = lost.slot - record.population.first_slot
    for name, quantity in lost.lines:
        if name == WIRES:
            record.wires_losses[column] = quantity
        else:
            record.losses[rows[name], column] = quantity
    paid: NDArray[np.int64] = record.settings.losses_price * record.losses[:, column]
    return paid
