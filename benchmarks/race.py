"""A fair race: entrants take turns over the same work, CPU time of the process counts, medians are compared."""

from __future__ import annotations

import gc
import hashlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.workload import Workload

Trades = NDArray[np.int64]
Race = tuple[Callable[[], None], Callable[[], Trades]]
"""What is timed, and what then translates the outcome into rows of (maker, taker, level, quantity)."""


@dataclass(frozen=True)
class Entrant:
    name: str
    how: str
    release: str
    prepare: Callable[[Workload], Race]


@dataclass
class Result:
    """One entrant's runs over the stream."""

    name: str
    how: str
    release: str
    digest: str = ""
    trades: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def digest(trades: Trades) -> str:
    """Fingerprint of a sequence of trades."""
    return hashlib.sha256(np.ascontiguousarray(trades, dtype="<i8").tobytes()).hexdigest()[:16]


def race(entered: Sequence[Entrant], workload: Workload, repeat: int) -> list[Result]:
    """Run every entrant `repeat` times in turns. CPU time of the process, garbage collection as Python has it."""
    results = [Result(entrant.name, entrant.how, entrant.release) for entrant in entered]
    for turn in range(repeat):
        for entrant, result in zip(entered, results, strict=True):
            go, trades = entrant.prepare(workload)
            gc.collect()
            gc.freeze()
            start = time.process_time()
            go()
            result.seconds.append(time.process_time() - start)
            gc.unfreeze()
            if turn == 0:
                made = trades()
                result.digest, result.trades = digest(made), len(made)
            print(f"  {turn + 1}/{repeat}  {entrant.name:26} {result.seconds[-1]:9.4f} s", file=sys.stderr, flush=True)
    return results
