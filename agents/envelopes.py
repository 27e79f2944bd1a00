"""Operating envelopes of a run as a table: what every connection could rely on in each slot."""

from __future__ import annotations

from typing import Any

import pandas as pd

from agents.record import Record
from grid.envelope import EnvelopeModel
from market.slots import format_time
from market.units import NANO

COLUMNS = ("slot", "delivery", "participant", "connection", "import_kw", "export_kw", "low_wh", "high_wh", "proven")


def table(record: Record) -> pd.DataFrame:
    """One row per slot and participant, around the slot's baseline, equal shares; no rows unless the scenario asks.

    `import_kw` and `export_kw` are the largest powers drawn and fed in; one below zero means that the other direction
    is all that the baseline allows. Raises ValueError on a feeder with single-phase connections.
    """
    rows: list[tuple[Any, ...]] = []
    people = record.population
    if record.scenario.output.envelopes:
        model = EnvelopeModel(people.feeder, record.settings)
        kw = 1 / (1000 * record.scenario.slot_hours)
        for slot in range(people.first_slot, people.first_slot + people.slots):
            found = model.envelope(*people.baseline(slot))
            delivery = format_time(slot * record.settings.slot_seconds * NANO)
            low, high = (values[people.connection_index].tolist() for values in (found.low, found.high))
            rows += [
                (slot, delivery, name, place, -least * kw, most * kw, least, most, found.proven)
                for name, place, least, most in zip(people.ids, people.connections, low, high, strict=True)
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
