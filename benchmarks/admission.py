"""Thousands of slots on published feeders, and what power-grid-model says of each: `python benchmarks/admission.py`.

    python benchmarks/admission.py --random 10000 --adverse 2000 --json out.json

Every slot begins with a baseline inside the limits; then orders trade under one gate mode. What was traded is added up
from the trades themselves, not from what the gate remembers, and power-grid-model looks at the sum, in three phases
where the feeder has them. The same slots trade under every mode, and without a gate, to show that they are hard.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.gate_orders import LEVELS, Orders, match, random_orders
from grid.feeder import Feeder
from grid.gate import FeederGate, Violation, build, violations
from grid.powerflow import PowerFlowError
from market.book import STAGES
from market.orders import GateMode, MarketSettings

Ints = NDArray[np.int64]
ROOT = Path(__file__).resolve().parents[1]
HOURS = 0.25
BATCH = 100
"""Slots that power-grid-model looks at together."""


class Street(NamedTuple):
    """A feeder, the voltage band 1 +- `band`, and the size of its usual orders [Wh]."""

    file: str
    band: float
    largest: int


FEEDERS = {
    "SimBench rural": Street("scenarios/data/simbench_lv_rural2.feeder.json", 0.05, 3000),
    "SimBench semi-urban": Street("tests/cases/pandapower/simbench_semiurb4.json", 0.05, 6000),
    "Kerber village": Street("tests/cases/pandapower/kerber_village.json", 0.05, 4000),
    "Kerber overhead": Street("tests/cases/pandapower/kerber_overhead.json", 0.08, 6000),
    "European LV, three phases": Street("scenarios/data/european_lv.feeder.json", 0.10, 1500),
}
MODES: tuple[GateMode, ...] = ("ac", "certified", "linear", "off")


class Plan(NamedTuple):
    """One slot: what flows anyway (C,) [Wh, varh], and the orders."""

    baseline: Ints
    reactive: Ints
    orders: Orders


class Tally(NamedTuple):
    """What became of the slots of one feeder under one mode."""

    slots: int = 0
    energy: int = 0
    """[Wh]"""
    matches: int = 0
    refused: int = 0
    """Questions that were not answered with all that was wanted."""
    stages: tuple[int, ...] = (0,) * len(STAGES)
    broken: int = 0
    """Slots in which power-grid-model finds a limit broken, or no state."""
    violations: int = 0
    voltage: float = 0.0
    """Farthest beyond a limit of voltage [pu]."""
    loading: float = 0.0
    """Farthest beyond full load [of the rating]."""

    def plus(self, other: Tally) -> Tally:
        return Tally(
            self.slots + other.slots,
            self.energy + other.energy,
            self.matches + other.matches,
            self.refused + other.refused,
            tuple(a + b for a, b in zip(self.stages, other.stages, strict=True)),
            self.broken + other.broken,
            self.violations + other.violations,
            max(self.voltage, other.voltage),
            max(self.loading, other.loading),
        )


def load(name: str) -> tuple[Feeder, MarketSettings, int]:
    """Feeder, rules in mode `ac`, and the largest usual order [Wh]."""
    street = FEEDERS[name]
    data = json.loads(ROOT.joinpath(street.file).read_text(encoding="utf-8"))
    rules = MarketSettings(
        name=name, currency="EUR", slot_seconds=round(HOURS * 3600), opens_before_seconds=7200, gate_before_seconds=300,
        tick=100, price_floor=0, price_cap=100 * LEVELS, lot=1, max_orders=4096, gate="ac",
        voltage_min_ppm=round((1 - street.band) * 1e6), voltage_max_ppm=round((1 + street.band) * 1e6),
        loading_max_ppm=1_000_000, utility="utility", retail=9000, feed_in=100, grid_fee=0,
    )  # fmt: skip
    return Feeder.from_data(data.get("feeder", data)), rules, street.largest


def found(
    feeder: Feeder, rules: MarketSettings, energy: NDArray[np.float64], varh: NDArray[np.float64]
) -> list[list[Violation] | None]:
    """Per slot of (S, C) [Wh, varh] the limits that power-grid-model finds broken; None: it finds no state."""
    result: list[list[Violation] | None] = [[] for _ in energy]
    left = list(range(len(energy)))
    while left:
        try:
            seen = violations(feeder, rules, energy[left] / HOURS, varh[left] / HOURS)
        except PowerFlowError as error:
            if error.slot < 0:
                raise
            result[left.pop(error.slot)] = None
            continue
        for item in seen:
            slot = result[left[item.slot]]
            assert slot is not None
            slot.append(item)
        break
    return result


def baselines(
    feeder: Feeder, rules: MarketSettings, rng: np.random.Generator, near: NDArray[np.bool_]
) -> tuple[Ints, Ints]:
    """(S, C) [Wh, varh] inside the limits; where `near`, so that a little more of the same would break one."""
    size = (len(near), len(feeder.connection_ids))
    drift = rng.uniform(-1, 1, (len(near), 1))
    shape, turned = rng.normal(0, 1, size) + drift, 0.2 * rng.normal(0, 1, size)
    low, high = np.zeros((len(near), 1)), np.full((len(near), 1), 2000.0)
    for _ in range(10):
        middle = (low + high) / 2
        seen = found(feeder, rules, np.rint(middle * shape), np.rint(middle * turned))
        fits = np.array([[items == []] for items in seen])
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    share = np.where(near[:, np.newaxis], 1.0, rng.uniform(0.1, 0.8, (len(near), 1)))
    energy, varh = np.rint(share * low * shape), np.rint(share * low * turned)
    # A smaller share of what fits need not fit where voltages of both kinds are in play.
    safe = np.array([[items == []] for items in found(feeder, rules, energy, varh)])
    return (energy * safe).astype(np.int64), (varh * safe).astype(np.int64)


def adverse(feeder: Feeder, rng: np.random.Generator, kind: int, count: int, largest: int) -> Orders:
    """Orders that a gate may stumble over, by `kind`:

    0. all sell to those at the other end of the list, or to the source: flows only add up;
    1. the same two ends trade to and fro, tiny after huge, so that capacity is freed and filled again;
    2. crumbs of a few watt-hours in one direction, which add up before anything is renewed;
    3. one phase sells to the others, or one bus to its neighbours;
    4. huge orders, each larger than the feeder.
    """
    c = len(feeder.connection_ids)
    drawn = random_orders(rng, count, c, largest)
    sells = np.arange(count) % 2 == 0
    pair, third = np.arange(count) // 2, max(c // 3, 1)
    ends = np.where(sells, c - 1 - rng.integers(0, third, count), rng.integers(0, third, count))
    connection, quantity = ends, drawn.quantity
    if kind == 1:
        back = pair % 2 == 1
        connection = np.where(back, ends[::-1], ends)
        quantity = np.where(
            pair % 3 == 0, 5 * drawn.quantity, np.where(pair % 3 == 1, 1 + drawn.quantity % 7, quantity)
        )
    elif kind == 2:
        quantity = 1 + drawn.quantity % max(largest // 20, 2)
    elif kind == 3:
        phases = np.array(feeder.connection_phase)
        mine = np.flatnonzero(phases == "a") if feeder.three_phase else np.arange(max(c - third, 0), c)
        others = np.setdiff1d(np.arange(c), mine)
        connection = np.where(sells, rng.choice(mine, count), rng.choice(others, count))
    elif kind == 4:
        quantity = 20 * drawn.quantity
    return Orders(sells, connection, np.where(sells, 0, LEVELS), quantity)


KINDS = 5


def plans(
    feeder: Feeder, rules: MarketSettings, largest: int, seed: int, count: int, orders: int, hard: bool
) -> list[Plan]:
    """Slots that follow from the seed alone; `hard`: adversarial ones, half of them from the brink of a limit."""
    rng = np.random.default_rng([seed, hard])
    near = rng.random(count) < 0.5 if hard else np.zeros(count, dtype=np.bool_)
    energy, varh = baselines(feeder, rules, rng, near)
    drawn = [
        adverse(feeder, rng, slot % KINDS, orders * (1 + 4 * (slot % KINDS == 2)), largest)
        if hard
        else random_orders(rng, orders, len(feeder.connection_ids), int(largest * rng.choice([0.1, 1.0, 6.0])))
        for slot in range(count)
    ]
    return [Plan(*plan) for plan in zip(energy, varh, drawn, strict=True)]


def admit(feeder: Feeder, rules: MarketSettings, slots: Sequence[Plan]) -> Tally:
    """Trade the slots under the rules' gate and have them looked at."""
    gate, count = build(feeder, rules), len(feeder.connection_ids)
    total = Tally()
    planned = np.zeros((len(slots), count))
    for number, plan in enumerate(slots):
        outcome = match(gate, number, rules, count, plan.baseline, plan.reactive, plan.orders)
        for buy, sell, quantity in outcome.trades:
            planned[number, plan.orders.connection[sell - 1]] += quantity
            planned[number, plan.orders.connection[buy - 1]] -= quantity
        if isinstance(gate, FeederGate):
            gate.close(number)
        stages = tuple(outcome.stages[stage] for stage in STAGES)
        total = total.plus(Tally(1, outcome.energy, len(outcome.trades), len(outcome.refusals), stages))
    planned += [plan.baseline for plan in slots]
    for items in found(feeder, rules, planned, np.array([plan.reactive for plan in slots], dtype=np.float64)):
        if items != []:
            total = total.plus(_beyond(items or []))
    return total


def _beyond(items: Sequence[Violation]) -> Tally:
    """A broken slot: how far its limits were passed."""
    volts = [abs(item.value - item.limit) for item in items if item.element.startswith("bus:")]
    loads = [item.value - item.limit for item in items if not item.element.startswith("bus:")]
    return Tally(broken=1, violations=len(items), voltage=max(volts, default=0.0), loading=max(loads, default=0.0))


def race(name: str, random: int, hard: int, orders: int, first_seed: int = 0) -> dict[tuple[str, str], Tally]:
    """Tallies of a feeder by kind of slot and mode."""
    feeder, rules, largest = load(name)
    totals: dict[tuple[str, str], Tally] = {}
    for kind, wanted in (("random", random), ("adverse", hard)):
        for begin in range(0, wanted, BATCH):
            seed = first_seed + begin // BATCH
            slots = plans(feeder, rules, largest, seed, min(BATCH, wanted - begin), orders, kind == "adverse")
            for mode in MODES:
                tally = admit(feeder, msgspec.structs.replace(rules, gate=mode), slots)
                totals[kind, mode] = totals.get((kind, mode), Tally()).plus(tally)
    return totals


def table(results: dict[str, dict[tuple[str, str], Tally]]) -> str:
    """A line per feeder and kind of slot; energy as a share of what mode `ac` admits."""
    told = "| energy: certified | linear | broken: ac | certified | linear | off | farthest: linear | off |"
    lines = [
        f"| feeder | slots | matches | envelope | rows | power flow {told}",
        "|---" + "|--:" * 11 + "|---|---|",
    ]
    for name, totals in results.items():
        for kind in dict.fromkeys(kind for kind, _ in totals):
            exact, certified, linear, off = (totals[kind, mode] for mode in MODES)
            asked = max(sum(certified.stages), 1)
            cells = [
                name,
                f"{exact.slots:,} {kind}",
                f"{exact.matches:,}",
                *(f"{count / asked:.0%}" for count in certified.stages),
                *(f"{tally.energy / max(exact.energy, 1):.2%}" for tally in (certified, linear)),
                *(f"{tally.broken:,}" for tally in (exact, certified, linear, off)),
                *(f"{t.voltage:.0e} pu, load {t.loading:.0e}" if t.broken else "–" for t in (linear, off)),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--random", type=int, default=500, help="random slots, over all feeders (default: 500)")
    parser.add_argument("--adverse", type=int, default=100, help="adversarial slots, over all feeders (default: 100)")
    parser.add_argument("--orders", type=int, default=80, help="orders a slot (default: 80)")
    parser.add_argument("--feeder", choices=FEEDERS, nargs="+", default=list(FEEDERS), help="default: all")
    parser.add_argument("--json", type=Path, help="write the figures here, after each feeder")
    options = parser.parse_args(arguments)
    if min(options.random, options.adverse) < len(options.feeder) or options.orders < 2:
        parser.error("needs at least one slot of each kind per feeder, and two orders")
    results: dict[str, dict[tuple[str, str], Tally]] = {}
    for name in options.feeder:
        each = -(-options.random // len(options.feeder)), -(-options.adverse // len(options.feeder))
        results[name] = race(name, *each, options.orders)
        if options.json:
            figures = {
                feeder: {f"{kind} {mode}": tally._asdict() for (kind, mode), tally in totals.items()}
                for feeder, totals in results.items()
            }
            options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(table(results))
    guarded = [t for totals in results.values() for (_, mode), t in totals.items() if mode in ("ac", "certified")]
    return 1 if any(tally.broken for tally in guarded) else 0


if __name__ == "__main__":
    sys.exit(main())
