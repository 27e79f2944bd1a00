"""What phases change on the European low-voltage test feeder: `python benchmarks/phases.py [--picture FILE]`.

Voltages of single-phase customers against the balanced equivalent of the same feeder, what gates of either model
admit, and what a check costs. power-grid-model judges in three phases.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

import scenarios
from grid.feeder import Feeder
from grid.gate import FeederGate, violations
from grid.phases import PhasePoint, PhaseWires
from grid.powerflow import PhaseFlow, PowerFlowError, solve
from market.orders import MarketSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOURS = (("night", 300, 0), ("evening", 1_500, 0), ("cars at home", 2_500, 0), ("noon", 400, 4_000))
"""Mean demand of a customer and mean generation of four in ten [W]."""
SLOTS, QUESTIONS, LARGEST_WH = 20, 80, 1_500


def feeder() -> tuple[Feeder, MarketSettings]:
    scenario = scenarios.load("european_lv")
    folder = Path(scenarios.__file__).parent / "data"
    return Feeder.from_json((folder / "european_lv.feeder.json").read_bytes()), scenario.market_settings()


def hours(it: Feeder, slots: int = 50) -> dict[str, tuple[Floats, PhaseFlow, Floats]]:
    """Injections, three-phase flow and balanced voltages (S, N) of each hour; power factor 0.95."""
    found = {}
    rng = np.random.default_rng(1)
    for name, demand, generation in HOURS:
        shape = (slots, len(it.connection_ids))
        load = rng.exponential(demand, shape)
        sun = rng.normal(generation, generation / 4, shape) * (rng.random(shape[1]) < 0.4)
        load[:, 0] = sun[:, 0] = 0
        flow = solve(it, sun - load, -0.33 * load)
        assert isinstance(flow, PhaseFlow)
        found[name] = sun - load, flow, solve(it.balanced(), sun - load, -0.33 * load).u_pu
    return found


def voltages(found: dict[str, tuple[Floats, PhaseFlow, Floats]]) -> None:
    print("hour            phases, pu       balanced, pu     missed: most   mean   unbalance   neutral")
    for name, (_, flow, equivalent) in found.items():
        missed = np.abs(flow.u_phase_pu - equivalent[..., np.newaxis])[:, 1:]
        spans = [f"{u[:, 1:].min():.3f} to {u[:, 1:].max():.3f}" for u in (flow.u_phase_pu, equivalent)]
        neutral = flow.current_phase_a[..., 3].max()
        print(
            f"{name:14}  {spans[0]}   {spans[1]}         {100 * missed.max():.1f} %  {100 * missed.mean():.1f} %"
            f"      {100 * flow.unbalance.max():.2f} %   {neutral:5.0f} A"
        )


def crowd(gate: FeederGate, sure: bool) -> tuple[int, int]:
    """The same random trades for every gate, in SLOTS slots; energy admitted and wanted [Wh].

    `sure` ends a slot at the first trade after which three phases have no state.
    """
    rng = np.random.default_rng(2)
    count = len(gate.connections())
    idle = np.zeros(count, dtype=np.int64)
    admitted = wanted = 0
    for slot in range(SLOTS):
        rows = gate.open(slot, idle, idle)
        for inject, withdraw in rng.integers(0, count, (QUESTIONS, 2)).tolist():
            asked = int(rng.integers(1, LARGEST_WH)) if inject != withdraw else 0
            carried = gate.check(slot, inject, withdraw, asked, 1).admitted if sure else asked
            rows.schedule[inject] += carried
            rows.schedule[withdraw] -= carried
            admitted, wanted = admitted + carried, wanted + asked
        gate.close(slot)
    return admitted, wanted


def gates(it: Feeder, settings: MarketSettings) -> None:
    print("\ngate           admitted   slots with violations   violations   voltage   unbalance   currents")
    for name, model, sure in (("three phases", it, True), ("balanced", it.balanced(), True), ("none", it, False)):
        gate = FeederGate(model, settings)
        admitted, wanted = crowd(gate, sure)
        power = gate.injections(range(SLOTS))
        found, collapsed = [], 0
        for slot in range(SLOTS):
            try:
                found += [
                    item._replace(slot=slot)
                    for item in violations(it, settings, power[0][slot : slot + 1], power[1][slot : slot + 1])
                ]
            except PowerFlowError:
                collapsed += 1
        kinds = [sum(test(item.element) for item in found) for test in (_voltage, _unbalance, _current)]
        bad = len({item.slot for item in found})
        print(
            f"{name:14} {100 * admitted / wanted:6.1f} %     {bad:3} of {SLOTS}"
            f"{f', {collapsed} without a state' if collapsed else '':22} {len(found):6}   "
            f"{kinds[0]:7}     {kinds[1]:7}    {kinds[2]:7}"
        )


def _voltage(element: str) -> bool:
    return element.endswith((":high", ":low"))


def _unbalance(element: str) -> bool:
    return element.endswith(":vuf")


def _current(element: str) -> bool:
    return element.startswith("branch:")


def cost(it: Feeder, settings: MarketSettings) -> None:
    gate = FeederGate(it, settings)
    assert isinstance(gate.wires, PhaseWires)
    count = len(it.connection_ids)
    idle = np.zeros(count, dtype=np.int64)
    spent: dict[str, list[float]] = {"fits": [], "trimmed": [], "refused": []}
    gate.open(0, idle, idle)
    gate.check(0, 1, 2, 100, 1)  # compiles
    rng = np.random.default_rng(3)
    for slot in range(SLOTS):
        rows = gate.open(slot, idle, idle)
        for inject, withdraw in rng.integers(0, count, (200, 2)).tolist():
            asked = int(rng.integers(1, LARGEST_WH))
            started = time.perf_counter()
            carried = gate.check(slot, inject, withdraw, asked, 1).admitted
            seconds = time.perf_counter() - started
            if inject != withdraw:
                spent["fits" if carried == asked else "trimmed" if carried else "refused"].append(seconds)
            rows.schedule[inject] += carried
            rows.schedule[withdraw] -= carried
    power = gate.injections(range(SLOTS))
    flow = solve(it, *power)
    assert isinstance(flow, PhaseFlow)
    apart = 0.0
    for slot in range(SLOTS):
        point = gate.wires.point(idle, idle)
        assert isinstance(point, PhasePoint)
        assert point.solve(gate.schedule(slot))
        apart = max(apart, float(np.abs(np.abs(point.state) - flow.u_phase_pu[slot][gate.wires.network.bus]).max()))
    linear = FeederGate(it, msgspec.structs.replace(settings, gate="linear"))
    rows = linear.open(0, idle, idle)
    one = _median(lambda: solve(it, *power), SLOTS)
    fits = float(np.median(spent["fits"]))
    print(f"\nbuses solved, of {len(it.bus_ids)}             {len(gate.wires.network.bus)}")
    for kind, times in spent.items():
        print(f"AC check, {kind:8}              {1e6 * np.median(times):.0f} µs")
    print(f"linear rows                      {len(rows.names)}")
    print(f"opening a slot, ac               {1e3 * _median(lambda: gate.open(0, idle, idle)):.2f} ms")
    print(f"refresh, linear                  {1e3 * _median(lambda: linear.refresh(0)):.1f} ms")
    print(f"power-grid-model, one slot       {1e3 * one:.1f} ms, {one / fits:.0f} times a check that fits")
    print(f"disagreement in voltage          {apart:.0e} pu")
    try:
        from tests.grid.opendss import voltages as opendss
    except ImportError:
        return
    theirs = max(float(np.abs(opendss(it, p, q) - u).max()) for p, q, u in zip(*power, flow.u_phase_pu, strict=True))
    print(f"OpenDSS against power-grid-model {theirs:.0e} pu")


def _median(what: Callable[[], Any], parts: int = 1) -> float:
    times = []
    for _ in range(15):
        started = time.perf_counter()
        what()
        times.append(time.perf_counter() - started)
    return float(np.median(times)) / parts


def picture(it: Feeder, found: dict[str, tuple[Floats, PhaseFlow, Floats]], path: Path) -> None:
    """Voltage over the distance from the source in the first slot of the evening with cars, as SVG."""
    _, flow, equivalent = found["cars at home"]
    distance = _distances(it)
    wide, high, left, bottom = 720, 380, 60, 46
    u, plain = flow.u_phase_pu[0], equivalent[0]
    low, top = np.floor(u.min() * 100) / 100, np.ceil(u.max() * 100) / 100
    far = np.ceil(distance.max() / 50) * 50

    def at(metres: float, volts: float) -> str:
        x = left + (wide - left - 20) * metres / far
        return f"{x:.1f},{(high - bottom) - (high - bottom - 34) * (volts - low) / (top - low):.1f}"

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif">']
    parts.append(f'<rect width="{wide}" height="{high}" fill="#fff"/>')
    for tick in np.arange(low, top + 1e-9, 0.01):
        (x, y), (end, _) = (at(metres, tick).split(",") for metres in (0, far))
        parts.append(f'<path d="M{x} {y}H{end}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{float(y) + 4}" font-size="12" text-anchor="end">{tick:.2f}</text>')
    for tick in range(0, int(far) + 1, 50):
        x, y = at(tick, low).split(",")
        parts.append(f'<text x="{x}" y="{float(y) + 18}" font-size="12" text-anchor="middle">{tick}</text>')
    ends = np.stack([it.line_from, it.line_to], axis=1)
    series = [(f"phase {name}", u[:, f], colour) for f, (name, colour) in enumerate(_COLOURS)]
    for place, (name, volts, colour) in enumerate([*series, ("balanced model", plain, "#222222")]):
        dash = ' stroke-dasharray="5 3"' if name == "balanced model" else ""
        path_data = " ".join(f"M{at(distance[a], volts[a])}L{at(distance[b], volts[b])}" for a, b in ends.tolist())
        parts.append(f'<path d="{path_data}" stroke="{colour}" stroke-width="1.6" fill="none"{dash}/>')
        start = left + 10 + 150 * place
        parts.append(f'<path d="M{start} 16h26" stroke="{colour}" stroke-width="2.4"{dash}/>')
        parts.append(f'<text x="{start + 32}" y="20" font-size="13">{name}</text>')
    parts.append(f'<text x="{wide / 2}" y="{high - 8}" font-size="13" text-anchor="middle">metres of cable</text>')
    turned = f'transform="rotate(-90 14 {high / 2})" text-anchor="middle"'
    parts.append(f'<text x="14" y="{high / 2}" font-size="13" {turned}>voltage, pu</text></svg>')
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


_COLOURS = (("a", "#0072B2"), ("b", "#C25400"), ("c", "#009E73"))


def _distances(it: Feeder) -> Floats:
    """(N,) metres of cable from the source, by the coordinates of the buses."""
    length = np.hypot(it.x[it.line_from] - it.x[it.line_to], it.y[it.line_from] - it.y[it.line_to])
    distance = np.full(len(it.bus_ids), np.nan)
    distance[it.source_bus] = 0
    distance[it.transformer_to] = 0
    while np.isnan(distance).any():
        for a, b, metres in zip(it.line_from, it.line_to, length, strict=True):
            if np.isnan(distance[b]):
                distance[b] = distance[a] + metres
            elif np.isnan(distance[a]):
                distance[a] = distance[b] + metres
    return distance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write the voltages along the street as SVG")
    chosen = parser.parse_args()
    it, settings = feeder()
    found = hours(it)
    voltages(found)
    if chosen.picture:
        picture(it, found, chosen.picture)
    gates(it, settings)
    cost(it, settings)


if __name__ == "__main__":
    main()
