"""What the wires see when a part of the trades is not delivered, by netting: `python benchmarks/delivery.py`.

Runs a scenario with `netted` and with `one_sided`, then lets a share of all trades fail at random, many times over: the
seller does not feed in, or the buyer does not draw. power-grid-model looks at every slot of every draw. A side that was
firm has no schedule of its own and cannot fail.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents import MarketModel
from agents.scenario import UTILITY
from grid.gate import violations
from market.events import Entry, Traded
from market.orders import Netting

Ints = NDArray[np.int64]
WHO = ("nobody", "sellers", "buyers", "either")
NETTINGS: tuple[Netting, ...] = ("netted", "one_sided")
KINDS = {"voltage": "{:.4f} pu", "unbalance": "unbalance {:.2%}", "loading": "load {:.1%}"}
AT_ONCE = 500
"""Slots that power-grid-model looks at together."""


class Sides(NamedTuple):
    """What N trades add to a slot's schedule; connection -1 where a side adds nothing."""

    slot: Ints
    """Counted from the first slot of the run."""
    seller: Ints
    buyer: Ints
    quantity: Ints
    """[Wh]"""
    local: Ints
    """1 between neighbours, 0 with the utility."""


class Row(NamedTuple):
    """A line of the table."""

    scenario: str
    netting: str
    local_kwh: float
    flexible_kwh: float
    who: str
    slots: int
    broken: int
    """Slots in which a limit is broken."""
    violations: int
    beyond: dict[str, float]
    """By `KINDS`, the farthest beyond a limit: voltage [pu], unbalance [of V1], loading [of the rating]."""


class _Trades:
    """Keeps the trades of a run."""

    def __init__(self) -> None:
        self.events: list[Traded] = []

    def append(self, entries: Sequence[Entry]) -> None:
        self.events += [event for entry in entries for event in entry.events if isinstance(event, Traded)]


def simulate(scenario: str, netting: Netting, **changes: Any) -> tuple[MarketModel, Sides]:
    """A finished run and what its trades add to the schedules."""
    kept = _Trades()
    model = MarketModel(scenario, ledger=kept, grid__netting=netting, output__compare=[], **changes)
    model.run_model()
    people = model.population
    at = dict(zip(people.ids, people.connection_index.tolist(), strict=True))
    rows = [
        (
            event.slot - people.first_slot,
            at.get(event.seller, -1) if event.sell_flexible else -1,
            at.get(event.buyer, -1) if event.buy_flexible else -1,
            event.quantity,
            UTILITY not in (event.buyer, event.seller),
        )
        for event in kept.events
    ]
    return model, Sides(*np.array(rows, dtype=np.int64).reshape(-1, 5).T)


def failing(sides: Sides, who: str, share: float, shape: tuple[int, int], rng: np.random.Generator) -> Ints:
    """(T, C) = `shape`: what the schedules lack [Wh, injection positive] if this share of the trades fails."""
    lacking = np.zeros(shape, dtype=np.int64)
    fails = rng.random(len(sides.slot)) < share
    chance = {"nobody": 0.0, "sellers": 1.0, "buyers": 0.0, "either": 0.5}[who]
    by_seller: NDArray[np.bool_] = rng.random(len(fails)) < chance
    by_buyer: NDArray[np.bool_] = ~by_seller if who != "nobody" else by_seller
    for side, mine, sign in ((sides.seller, fails & by_seller, -1), (sides.buyer, fails & by_buyer, 1)):
        mine &= side >= 0
        np.add.at(lacking, (sides.slot[mine], side[mine]), sign * sides.quantity[mine])
    return lacking


def undelivered(model: MarketModel, sides: Sides, share: float, draws: int, seed: int) -> list[Row]:
    """A row for each answer to who fails."""
    people, record = model.population, model.record
    hours = record.scenario.slot_hours
    flows = [people.baseline(people.first_slot + slot) for slot in range(model.slots)]
    baseline, reactive = (np.array(kind) for kind in zip(*flows, strict=True))
    planned = baseline + record.schedule
    flexible = (sides.seller >= 0) | (sides.buyer >= 0)
    energy = float(sides.quantity @ sides.local) / 1000, float(sides.quantity[flexible].sum()) / 1000
    rows = []
    for who in WHO:
        rng = np.random.default_rng(seed)
        times = 1 if who == "nobody" else draws
        power = np.concatenate([planned + failing(sides, who, share, planned.shape, rng) for _ in range(times)]) / hours
        var = np.tile(reactive, (times, 1)) / hours
        found = [
            item._replace(slot=item.slot + begin)
            for begin in range(0, len(power), AT_ONCE)
            for item in violations(
                people.feeder, record.settings, power[begin : begin + AT_ONCE], var[begin : begin + AT_ONCE]
            )
        ]
        far = dict.fromkeys(KINDS, 0.0)
        for item in found:
            kind = "voltage" if item.element.startswith("bus:") else "loading"
            kind = "unbalance" if item.element.endswith(":vuf") else kind
            far[kind] = max(far[kind], abs(item.value - item.limit))
        rows.append(
            Row(
                record.scenario.name, record.settings.netting, *energy, who,
                len(power), len({item.slot for item in found}), len(found), far,
            )
        )  # fmt: skip
    return rows


def table(rows: Sequence[Row]) -> str:
    lines = [
        "| scenario | netting | between neighbours, flexible | who fails | broken slots | violations | farthest |",
        "|---|---|--:|---|--:|--:|--:|",
    ]
    for row in rows:
        far = ", ".join(KINDS[kind].format(most) for kind, most in row.beyond.items() if most) or "–"
        lines.append(
            f"| {row.scenario} | {row.netting} | {row.local_kwh:,.0f}, {row.flexible_kwh:,.0f} kWh | {row.who} "
            f"| {row.broken:,} of {row.slots:,} | {row.violations:,} | {far} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenario", nargs="+", default=["congested", "european_lv"], metavar="NAME")
    parser.add_argument("--slots", type=int, help="only so many slots of each (default: all)")
    parser.add_argument("--share", type=float, default=0.2, help="of the trades that fail (default: 0.2)")
    parser.add_argument("--draws", type=int, default=20, help="draws of who fails, for every slot (default: 20)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    if not 0 <= options.share <= 1 or options.draws < 1:
        parser.error("--share must be from 0 to 1, and --draws at least 1")
    shorter = {} if options.slots is None else {"time__days": None, "time__slots": options.slots}
    rows = []
    for scenario in options.scenario:
        for netting in NETTINGS:
            model, sides = simulate(scenario, netting, seed=options.seed, **shorter)
            rows += undelivered(model, sides, options.share, options.draws, options.seed)
    print(table(rows))
    return 1 if any(row.violations for row in rows if row.who == "nobody") else 0


if __name__ == "__main__":
    sys.exit(main())
