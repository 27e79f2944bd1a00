"""The operator's statements of losses against a gate that computes them again from meters and reactive baselines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from market.capacity import Losing
from market.events import Entry, Rejected
from market.exchange import Exchange
from market.orders import RecordLosses, RecordMeter, Settle, UpdateGrid

Ints = NDArray[np.int64]

NEAR_WH = 1
"""Difference of the energy that rounding on another machine may make."""
NEAR_MILLIONTHS = 10
"""Difference of a weight that it may make, as part of the largest."""


class LossCheck:
    """Follows a journal that an exchange has carried out."""

    def __init__(self, gate: Losing, exchange: Exchange) -> None:
        self._gate, self._exchange = gate, exchange
        self._readings: dict[int, dict[str, int]] = {}
        self._reactive: dict[int, list[int]] = {}

    def follow(self, entry: Entry) -> str:
        """What is wrong with the losses that an entry states, in words; empty if nothing."""
        command = entry.command
        if any(isinstance(event, Rejected) for event in entry.events):
            return ""
        if isinstance(command, UpdateGrid):
            self._reactive[command.slot] = command.reactive
        elif isinstance(command, RecordMeter):
            self._readings.setdefault(command.slot, {}).update(command.readings)
        elif isinstance(command, Settle):
            self._readings.pop(command.slot, None)
            self._reactive.pop(command.slot, None)
        elif isinstance(command, RecordLosses):
            return self._compare(command)
        return ""

    def _compare(self, command: RecordLosses) -> str:
        nodes, size = self._exchange.participants, len(self._exchange.gate.connections())
        readings = self._readings.get(command.slot, {})
        injection = np.zeros(size, np.int64)
        for name, value in readings.items():
            injection[nodes[name]] = value
        reactive = np.array(self._reactive.get(command.slot) or [0] * size, np.int64)
        try:
            energy, weights = self._gate.losses(injection, reactive)
        except ValueError as error:
            return f"losses of {command.energy} Wh are stated, but {error}"
        if abs(energy - command.energy) > NEAR_WH:
            return f"losses of {command.energy} Wh are stated, the meters give {energy} Wh"
        most = max(map(abs, command.weights.values()), default=0) * NEAR_MILLIONTHS // 1_000_000 + NEAR_MILLIONTHS
        for name, weight in command.weights.items():
            if abs(int(weights[nodes[name]]) - weight) > most:
                return f"{name!r} has the weight {weight} in losses, the meters give {weights[nodes[name]]}"
        return ""
