"""Operating envelopes: what they cost beside one AC power flow, and how much room their proof gives away.

    python benchmarks/envelope.py

For the village's feeder and random ones (tests/grid/networks.py): the time of one envelope as a ratio to one power flow
by power-grid-model in the same run, violations among random corners of the box, and by how much all export limits, or
all import limits, could still grow together before power-grid-model finds a limit broken.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from grid.envelope import EnvelopeModel
from grid.feeder import Feeder
from grid.gate import violations
from grid.powerflow import PowerFlowError, solve
from tests.grid.networks import radial, settings

VILLAGE = Path(__file__).resolve().parent.parent / "scenarios" / "data" / "simbench_lv_rural2.feeder.json"
HOURS = 0.25
CORNERS = 500


def room(feeder: Feeder, start: np.ndarray, end: np.ndarray, reactive: np.ndarray) -> float:
    """Largest factor, to a hundredth, by which the way from `start` to `end` (C,) [Wh] may be stretched."""
    factor = 1.0
    while factor < 3:
        energy = (start + (end - start) * (factor + 0.01)) / HOURS
        try:
            if violations(feeder, settings(), energy[np.newaxis], reactive[np.newaxis] / HOURS):
                break
        except PowerFlowError:
            break
        factor += 0.01
    return factor


def timed(work: object, repeat: int = 7) -> float:
    """Median seconds of a call."""
    taken = []
    for _ in range(repeat):
        begun = time.perf_counter()
        work()  # type: ignore[operator]
        taken.append(time.perf_counter() - begun)
    return float(np.median(taken))


def main() -> None:
    print("| feeder | connections | envelope | × power flow | violations | exports | imports |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    feeders = {"village": Feeder.from_json(VILLAGE.read_text(encoding="utf-8"))}
    feeders |= {f"random {n}": radial(np.random.default_rng(n), 40, transformers=1 + n % 2) for n in range(5)}
    for name, feeder in feeders.items():
        rng = np.random.default_rng(1)
        count = len(feeder.connection_ids)
        baseline, reactive = rng.integers(-300, 300, count), rng.integers(-60, 60, count)
        model = EnvelopeModel(feeder, settings())
        found = model.envelope(baseline, reactive)
        var = np.tile(reactive / HOURS, (CORNERS, 1))
        up = rng.random((CORNERS, count)) < rng.choice([0, 0.2, 0.5, 0.8, 1], (CORNERS, 1))
        power = np.where(up, found.high, found.low) / HOURS
        broken = len(violations(feeder, settings(), power, var))
        cost = timed(lambda: model.envelope(baseline, reactive))  # noqa: B023 - called at once
        flow = timed(lambda: solve(feeder, power[:1], var[:1]))  # noqa: B023
        ways = [room(feeder, baseline, end, reactive) - 1 for end in (found.high, found.low)]
        print(
            f"| {name} | {count} | {1000 * cost:.0f} ms | {cost / flow:.0f} | {broken} of {CORNERS} "
            f"| + {ways[0]:.0%} | + {ways[1]:.0%} |"
        )


if __name__ == "__main__":
    main()
