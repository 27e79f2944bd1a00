"""Laboratory markets: abstract, without time of day, on the exchange and with the strategies of the village.

``run(load_laboratory("lab.yaml")).write("out")`` is all there is to it. Sessions are independent of each other, so
they may run in several processes; the results are the same bytes for any number.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents import laboratory_measures as measures
from agents.laboratory_crowd import Crowd
from agents.laboratory_file import Laboratory
from agents.laboratory_market import MAKERS, Session

Ints = NDArray[np.int64]

HEADER = ("session", "period", "step", "buyer", "seller", "price", "quantity", "value", "cost", "maker")
"""Columns of trades.csv; sessions and periods count from 1, steps from 0."""
FILES = ("trades.csv", "summary.json", "laboratory.yaml")
"""What `LaboratoryResults.write` leaves in a folder."""

Progress = Callable[[int, int], None]
"""Called with the number of sessions done and their total."""


@dataclass(frozen=True)
class LaboratoryResults:
    """All trades of a laboratory, and what follows from them."""

    lab: Laboratory
    crowd: Crowd
    sessions: list[Ints]
    """Per session the trades in their order, as rows of `agents.laboratory_market.COLUMNS`."""

    @cached_property
    def equilibrium(self) -> measures.Equilibrium:
        """Competitive equilibrium, without lines."""
        sides: dict[bool, list[int]] = {True: [], False: []}
        for sell, units in zip(self.crowd.sell, self.crowd.units, strict=True):
            sides[sell] += units
        return measures.equilibrium(sides[False], sides[True], self.lab.price.floor, self.lab.price.cap)

    @cached_property
    def optimum(self) -> int:
        """Largest surplus per period that the lines allow."""
        return measures.optimum(self.crowd, self.lab)

    @cached_property
    def measures(self) -> measures.Measures:
        """Per session and period."""
        return measures.measure(self.lab, self.crowd, self.sessions, self.optimum, self.equilibrium)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What summary.json holds."""
        return measures.summary(self.lab, self.crowd, self.measures, self.optimum, self.equilibrium)

    def trades_csv(self) -> str:
        """All trades as CSV text."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(HEADER)
        names = self.crowd.names
        for number, trades in enumerate(self.sessions, 1):
            writer.writerows(
                (
                    number,
                    period + 1,
                    step,
                    names[buyer],
                    names[seller],
                    price,
                    1,
                    value,
                    cost,
                    MAKERS[maker],
                )
                for period, step, buyer, seller, price, value, cost, maker in trades.tolist()
            )
        return text.getvalue()

    def write(self, folder: str | Path) -> None:
        """Write `FILES` into a folder, which is made if it is not there."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        texts = (self.trades_csv(), json.dumps(self.summary, indent=2, ensure_ascii=False) + "\n", self.lab.to_yaml())
        for name, text in zip(FILES, texts, strict=True):
            (place / name).write_text(text, encoding="utf-8")


def run(lab: Laboratory, *, workers: int = 1, progress: Progress | None = None) -> LaboratoryResults:
    """All sessions of a laboratory, in `workers` processes.

    More than one worker starts new interpreters, so a script that asks for them needs ``if __name__ == "__main__":``.
    """
    crowd = Crowd.of(lab)
    parts = _split(lab.sessions, workers)
    if workers <= 1 or len(parts) == 1:
        found = [_part(lab, part, progress) for part in [range(lab.sessions)]]
        return LaboratoryResults(lab, crowd, [trades for part in found for trades in part])
    sessions: list[Ints] = []
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        try:
            waiting = [pool.submit(_part, lab, part) for part in parts]
            for future in waiting:
                sessions += future.result()
                if progress is not None:
                    progress(len(sessions), lab.sessions)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return LaboratoryResults(lab, crowd, sessions)


def _split(sessions: int, workers: int) -> list[range]:
    """Parts of about equal size, enough to keep all workers busy and a progress bar moving."""
    size = max(1, min(-(-sessions // (8 * max(workers, 1))), 50))
    return [range(start, min(start + size, sessions)) for start in range(0, sessions, size)]


def _part(lab: Laboratory, numbers: Sequence[int], progress: Progress | None = None) -> list[Ints]:
    crowd = Crowd.of(lab)
    found = []
    for number in numbers:
        found.append(Session(lab, number, crowd).run())
        if progress is not None:
            progress(len(found), lab.sessions)
    return found
