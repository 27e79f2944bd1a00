"""The data collector of a market model: what Mesa's own collects, without a call per participant and figure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mesa
import numpy as np
from numpy.typing import NDArray

from agents.figures import AGENT_COLUMNS, MODEL_COLUMNS
from market.units import NANO

if TYPE_CHECKING:
    from agents.model import MarketModel

Ints = NDArray[np.int64]
Names = list[tuple[int, str, str, str]]
"""Of each participant: number in Mesa, participant, group, strategy."""


@dataclass(frozen=True)
class Rows:
    """What participants report of one step: kept as columns, told row by row as Mesa keeps it."""

    step: int
    names: Names
    columns: Ints
    """(3, P) money received less paid [nano-currency], sold and bought [Wh]."""

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for name, money, sold, bought in zip(self.names, *self.columns.tolist(), strict=True):
            yield (self.step, *name, -money / NANO, sold / 1000, bought / 1000)


class Collector(mesa.DataCollector):  # type: ignore[misc]
    """`MODEL_COLUMNS` of the model and `AGENT_COLUMNS` of its participants, after every step."""

    agent_reporters: dict[str, Any]

    def __init__(self) -> None:
        super().__init__({name: name for name in MODEL_COLUMNS}, {name: name for name in AGENT_COLUMNS})
        self._names: Names = []

    def collect(self, model: MarketModel) -> None:
        if not self._names:
            people = model.participants
            self._names = [(one.unique_id, one.participant, one.group, one.strategy) for one in people]
        reporters, self.agent_reporters = self.agent_reporters, {}
        super().collect(model)
        self.agent_reporters = reporters
        self._agent_records[model.steps] = Rows(
            model.steps, self._names, np.stack([model.money, model.sold, model.bought])
        )
