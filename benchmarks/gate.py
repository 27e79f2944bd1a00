"""What the gate costs, stage by stage, and against other programs' power flows: `python benchmarks/gate.py`.

    python benchmarks/gate.py --pandapower /path/to/python     # an interpreter that has pandapower

Slots of flexible orders trade on shipped feeders, from slack wires to wires that refuse nearly everything, under the
modes `ac`, `certified` and `linear`. Median CPU times.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents import MarketModel
from benchmarks.gate_orders import Outcome, adverse_orders, random_orders, trade
from benchmarks.powerflows import Flow, lightsim2grid, median, pandapower, power_grid_model
from grid.balanced import BalancedPoint
from grid.certificate import Response
from grid.feeder import Feeder
from grid.gate import FeederGate
from grid.lanes import NO_MATCH, Slot
from market.orders import GateMode, MarketSettings, Netting

SCENARIOS = ("congested", "street")
ORDERS = 3000


class Case(NamedTuple):
    """A slot of orders: the largest [Wh], the part of each branch's rating that may be used, and who meets whom."""

    name: str
    largest: int
    loading: float
    adverse: bool = False
    netting: Netting = "netted"


CASES = [
    Case("small orders", 60, 1.0),
    Case("usual orders", 400, 1.0),
    Case("large orders", 3000, 1.0),
    Case("far from near", 400, 0.5, adverse=True),
    Case("one-sided", 400, 0.5, netting="one_sided"),
]
MODES: tuple[GateMode, ...] = ("ac", "certified", "linear")


def feeder_of(name: str) -> tuple[Feeder, MarketSettings]:
    """Feeder and rules of a shipped scenario."""
    model = MarketModel(name, time__slots=1)
    settings = msgspec.structs.replace(model.scenario.market_settings(), grid_fee=0, network_tariff=None)
    return model.population.feeder, settings


def slots(
    feeder: Feeder, settings: MarketSettings, case: Case, mode: GateMode, seeds: Sequence[int], orders: int = ORDERS
) -> list[Outcome]:
    """One slot a seed, from a baseline of nothing."""
    rules = msgspec.structs.replace(
        settings, gate=mode, netting=case.netting, loading_max_ppm=round(case.loading * 1e6), max_orders=4096
    )
    drawn = adverse_orders if case.adverse else random_orders
    count = len(feeder.connection_ids)
    none = np.zeros(count, dtype=np.int64)
    return [
        trade(feeder, rules, none, drawn(np.random.default_rng(seed), orders, count, case.largest)) for seed in seeds
    ]


def compare(feeder: Feeder, settings: MarketSettings, case: Case, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """A row per mode. Matching alone, with the gate off, is taken off the cost of a question."""
    for mode in (*MODES, "off"):  # compiles
        slots(feeder, settings, case, mode, [0], 60)
    free = slots(feeder, settings, case, "off", seeds)
    matching = sum(o.seconds for o in free) / max(sum(len(o.trades) for o in free), 1)
    rows: list[dict[str, Any]] = []
    exact: list[Outcome] = []
    for mode in MODES:
        found = slots(feeder, settings, case, mode, seeds)
        exact = exact or found
        stages = {stage: sum(o.stages[stage] for o in found) for stage in found[0].stages}
        asked = max(sum(stages.values()), 1)
        trades = sum(len(o.trades) for o in found)
        rows.append(
            {
                "case": case.name,
                "mode": mode,
                "asked": asked,
                "refused": 1 - trades / asked,
                **{stage: count / asked for stage, count in stages.items()},
                "tangents": sum(o.tangents for o in found),
                "us": 1e6 * (sum(o.seconds for o in found) - matching * trades) / asked,
                "energy": sum(o.energy for o in found) / max(sum(o.energy for o in exact), 1),
                "same": all(
                    a.trades == b.trades and a.refusals == b.refusals for a, b in zip(found, exact, strict=True)
                ),
                "violations": sum(len(o.violations) for o in found),
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| orders | mode | asked | refused | envelope | rows | power flow | tangents | µs | energy | trades | broken |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|--:|",
    ]
    for row in rows:
        stages = " | ".join(f"{row[stage]:.1%}" for stage in ("envelope", "rows", "gate"))
        same = "the same" if row["same"] else "other"
        lines.append(
            f"| {row['case']} | {row['mode']} | {row['asked']:,} | {row['refused']:.0%} | {stages} | {row['tangents']} "
            f"| {row['us']:.1f} | {row['energy']:.4f} | {same} | {row['violations']} |"
        )
    return "\n".join(lines)


def pieces(feeder: Feeder, settings: MarketSettings, python: str) -> tuple[dict[str, float], list[Flow]]:
    """Seconds of what the gate is made of, and of whole power flows by others, at one loaded schedule."""
    count = len(feeder.connection_ids)
    none, rng = np.zeros(count, dtype=np.int64), np.random.default_rng(1)
    gate = FeederGate(feeder, msgspec.structs.replace(settings, gate="ac"))
    rows = gate.open(0, none, none)
    for _ in range(400):
        inject, withdraw = rng.integers(count, size=2).tolist()
        admitted = gate.check(0, inject, withdraw, int(rng.integers(1, 300)), 1).admitted
        rows.schedule[inject] += admitted
        rows.schedule[withdraw] -= admitted
    pairs = rng.integers(count, size=(256, 2)).tolist()
    found = {"AC check that fits": median(lambda: [gate.check(0, a, b, 1, 1) for a, b in pairs], 20) / len(pairs)}
    gate.refresh(0)
    found["opening a slot, ac"] = median(lambda: gate.open(1, none, none))
    for mode in ("certified", "linear"):
        other = FeederGate(feeder, msgspec.structs.replace(settings, gate=mode))
        found[f"opening a slot, {mode}"] = median(lambda other=other: other.open(0, none, none))  # type: ignore[misc]
        found |= _refreshing(other._opened(0), other.wires.response())
    power = gate.schedule(0) * 3600.0 / settings.slot_seconds
    own = _voltages(gate, none)
    flows = [*power_grid_model(feeder, power, own), lightsim2grid(feeder, power, own)]
    return found, [flow for flow in [*flows, pandapower(python, feeder, power, own)] if flow is not None]


def _refreshing(slot: Slot, response: Response | None) -> dict[str, float]:
    """Seconds of what renews the rows of a slot."""
    proof = slot.rows.proof
    if proof is None or response is None:
        return {"tangent of rows": median(slot.refresh)}
    found = {"tangent with certificate": median(lambda: slot._prove(proof, response, NO_MATCH))}
    return found | {"state made exact": median(slot.refresh)}


def _voltages(gate: FeederGate, none: NDArray[np.int64]) -> NDArray[np.float64]:
    point = gate.wires.point(none, none)
    assert isinstance(point, BalancedPoint)
    if not point.solve(gate.schedule(0)):
        raise RuntimeError("no state at the schedule")
    return np.abs(point.state)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--slots", type=int, default=3, help="per kind of orders (default: 3)")
    parser.add_argument("--pandapower", default=sys.executable, metavar="PYTHON", help="interpreter with pandapower")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    if options.slots < 1:
        parser.error("--slots must be at least 1")
    figures: dict[str, Any] = {}
    broken = False
    for name in SCENARIOS:
        feeder, settings = feeder_of(name)
        print(f"\n{name}: {len(feeder.bus_ids)} buses, {len(feeder.connection_ids)} connections\n")
        seeds = range(1, options.slots + 1)
        rows = [row for case in CASES for row in compare(feeder, settings, case, seeds)]
        print(table(rows))
        costs, flows = pieces(feeder, settings, options.pandapower)
        print("\n| | µs | × AC check |\n|---|--:|--:|")
        check = costs["AC check that fits"]
        for what, seconds in costs.items():
            print(f"| {what} | {1e6 * seconds:.0f} | {seconds / check:.1f} |")
        for flow in flows:
            told = f"{flow.name} (voltages within {flow.off_pu:.0e} pu)"
            print(f"| {told} | {1e6 * flow.seconds:.0f} | {flow.seconds / check:.1f} |")
        figures[name] = {"cases": rows, "costs": costs, "flows": [flow._asdict() for flow in flows]}
        broken |= any(row["violations"] or not row["same"] for row in rows if row["mode"] == "certified")
        broken |= any(row["violations"] for row in rows if row["mode"] == "ac")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
