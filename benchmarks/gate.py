"""What the gate costs, and how far it is from power-grid-model: `python benchmarks/gate.py`.

Random trades of flexible energy drive slots of a feeder into congestion. Medians over single questions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents import MarketModel
from grid.balanced import BalancedPoint
from grid.gate import FeederGate
from grid.phases import PhasePoint, PhaseWires
from grid.powerflow import PhaseFlow, solve

SLOTS = 16
QUESTIONS = 2000
LARGEST_WH = 3000


def measure(name: str) -> dict[str, str]:
    """Figures of one shipped scenario's feeder, by what was measured."""
    model = MarketModel(name, time__slots=1)
    feeder, settings = model.population.feeder, model.exchange.settings
    count = len(feeder.connection_ids)
    zero = np.zeros(count, dtype=np.int64)
    gate = FeederGate(feeder, settings)
    rng = np.random.default_rng(1)
    spent: dict[str, list[float]] = {"fits": [], "trimmed": [], "refused": []}
    gate.open(0, zero, zero)
    gate.check(0, 0, 1, 100, 1)  # compiles
    for slot in range(1, SLOTS + 1):
        rows = gate.open(slot, zero, zero)
        for inject, withdraw in rng.integers(count, size=(QUESTIONS, 2)).tolist():
            wanted = int(rng.integers(1, LARGEST_WH))
            started = time.perf_counter()
            admitted = gate.check(slot, inject, withdraw, wanted, 1).admitted
            seconds = time.perf_counter() - started
            if inject == withdraw:
                continue
            spent["fits" if admitted == wanted else "trimmed" if admitted else "refused"].append(seconds)
            rows.schedule[inject] += admitted
            rows.schedule[withdraw] -= admitted
    found = {f"AC check, {kind}": f"{1e6 * np.median(times):.0f} µs" for kind, times in spent.items() if times}
    found["opening a slot, ac"] = _duration(lambda: gate.open(0, zero, zero))
    linear = FeederGate(feeder, msgspec.structs.replace(settings, gate="linear"))
    linear.open(0, zero, zero)
    found["refresh, linear"] = _duration(lambda: linear.refresh(0))
    slots = range(1, SLOTS + 1)
    power = gate.injections(slots)
    found["power-grid-model, one slot of a batch"] = _duration(lambda: solve(feeder, *power), SLOTS)
    found["disagreement in voltage"] = f"{_disagreement(gate, zero, slots):.0e} pu"
    found["violations found"] = str(len(gate.verify(slots)))
    return found


def _duration(what: Callable[[], Any], parts: int = 1) -> str:
    times = []
    for _ in range(50):
        started = time.perf_counter()
        what()
        times.append(time.perf_counter() - started)
    return f"{1e3 * np.median(times) / parts:.2f} ms"


def _disagreement(gate: FeederGate, zero: NDArray[np.int64], slots: range) -> float:
    """Largest difference of a voltage's modulus [pu] between the gate's state and power-grid-model's."""
    flow = solve(gate.feeder, *gate.injections(slots))
    worst = 0.0
    for row, slot in enumerate(slots):
        point = gate.wires.point(zero, zero)
        assert point.solve(gate.schedule(slot))
        if isinstance(gate.wires, PhaseWires):
            assert isinstance(point, PhasePoint)
            assert isinstance(flow, PhaseFlow)
            theirs = flow.u_phase_pu[row][gate.wires.network.bus]
        else:
            assert isinstance(point, BalancedPoint)
            theirs = flow.u_pu[row]
        worst = max(worst, float(np.abs(np.abs(point.state) - theirs).max()))
    return worst


def main() -> None:
    for name in ("congested", "street"):
        print(name)
        for what, value in measure(name).items():
            print(f"  {what:40} {value}")


if __name__ == "__main__":
    main()
