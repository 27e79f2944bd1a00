"""Operating envelopes for clients: computed once a slot, when somebody asks."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from agents.model import MarketModel
from grid.envelope import Envelope, EnvelopeModel

KEPT = 200
"""Slots whose envelopes are kept."""


class Envelopes:
    """Those of one market, around the baselines of its scenario. May be asked from several threads."""

    def __init__(self, model: MarketModel) -> None:
        self._market = model
        self._model: EnvelopeModel | None = None
        self._known = True
        self._found: dict[int, Envelope] = {}
        self._busy = threading.Lock()

    def of(self, participant: str, slots: Sequence[int]) -> dict[str, Any]:
        """Least and largest injection of a participant's connection per slot; unknown for a feeder of single phases."""
        place = self._market.exchange.participants.get(participant)
        with self._busy:
            ours = [slot for slot in slots if place is not None and self._compute(slot)]
            lines = [
                {"slot": slot, "low": int(self._found[slot].low[place]), "high": int(self._found[slot].high[place])}
                for slot in ours
            ]
        return {"known": self._known, "slots": lines}

    def _compute(self, slot: int) -> bool:
        people = self._market.population
        if not 0 <= slot - people.first_slot < people.slots or not self._known:
            return False
        if slot in self._found:
            return True
        if self._model is None:
            try:
                self._model = EnvelopeModel(people.feeder, self._market.exchange.settings)
            except ValueError:  # single-phase connections, which the proof does not cover
                self._known = False
                return False
        self._found[slot] = self._model.envelope(*people.baseline(slot))
        while len(self._found) > KEPT:
            self._found.pop(next(iter(self._found)))
        return True
