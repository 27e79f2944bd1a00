"""The word of an engine that admitted nothing: the state of the grid in a slot whose gate has closed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.record import Record
from grid.gate import FeederGate, GridViolation, Violation, violations
from grid.powerflow import PowerFlowError, nearest
from market.capacity import Gate

Floats = NDArray[np.float64]


def verify(gate: Gate, record: Record, slot: int, schedule: NDArray[np.int64]) -> None:
    """Record what flows in `slot` with all that was traded, `schedule` (C,) [Wh], and every limit that it breaks.

    Where trading without a gate went beyond any state, the slot has the violation `diverged` and the state at the
    largest share of its trades that has one. Raises GridViolation if a gate admitted a violation, PowerFlowError if
    the wires cannot carry what flows without any trade.
    """
    people, column = record.population, slot - record.population.first_slot
    baseline, reactive = people.baseline(slot)
    record.schedule[column] = schedule
    record.metered[:, column] = (baseline + schedule)[people.connection_index]
    power: Floats = np.array([baseline, schedule, reactive]) / record.scenario.slot_hours
    try:
        flow, share = nearest(people.feeder, *power)
    except PowerFlowError as cause:
        reason = f"what flows without any trade is more than the wires can carry (seed {record.seed})"
        raise PowerFlowError(
            cause.feeder, slot, f"{reason}; lower it in the scenario, or use a stronger feeder"
        ) from cause
    record.flows.append(flow)
    record.verified = slot
    if isinstance(gate, FeederGate):
        found = gate.verify([slot])
        made = [item for item in found if item.by_trade]
        if made:
            error = GridViolation(made[0])
            error.args = (f"{error} (seed {record.seed})",)
            raise error
    else:
        found = _unguarded(record, slot, power[0], share * power[1], power[2])
        if share < 1:
            found.append(Violation(slot, "diverged", np.inf, 1.0, 1.0))
    record.violations += found


def _unguarded(record: Record, slot: int, baseline: Floats, schedule: Floats, reactive: Floats) -> list[Violation]:
    """Limits that a slot breaks which no gate has watched; all (C,), in W and var."""
    feeder, settings, var = record.population.feeder, record.settings, reactive[np.newaxis]
    before = violations(feeder, settings, baseline[np.newaxis], var)
    known = {item.element: item.value for item in before}
    return [
        item._replace(slot=slot, before=known.get(item.element, item.limit))
        for item in violations(feeder, settings, (baseline + schedule)[np.newaxis], var)
    ]
