"""What a battery saves in a year: a simple rule, model predictive control with honest forecasts, and the best possible.

    python benchmarks/battery.py --days 366 --json out.json

Five buildings with sun and a battery buy by a tariff of two prices and are paid nothing, or little, for what they feed
in. Each method runs the same batteries slot by slot; the bound is one linear program over the whole time that knows
everything. A method can only be between doing nothing and the bound: that is asserted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import highspy
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from scipy import sparse

from agents import scenario_files
from agents.devices.battery import MICRO, Battery
from agents.devices.mpc import Controller
from agents.forecast import Analogs, Forecaster, NoisyTruth, Persistence, Smoothing
from scenarios import load

Floats = NDArray[np.float64]
HOURS = 0.25
DAY = 96
FIRST = 1_451_602_800 // 900
"""The slot in which 2016 begins in Germany."""


class Building(NamedTuple):
    """Who takes part: profiles of the shipped recordings, and sizes."""

    name: str
    load: str
    annual_kwh: float
    sun: str
    kwp: float
    kwh: float
    kw: float


BUILDINGS = (
    Building("family", "H0-A", 4_000, "PV1", 5, 7, 4),
    Building("heat pump home", "H0-G", 6_500, "PV3", 9, 10, 5),
    Building("shop", "G4-A", 18_000, "PV4", 20, 20, 10),
    Building("farm", "L1-A", 25_000, "PV5", 30, 30, 15),
    Building("workshop", "G1-B", 30_000, "PV8", 25, 40, 20),
)
EFFICIENCY = 0.9
PEAK, LOW = 0.36e-3, 0.26e-3
"""Buying [EUR/Wh] from 6 to 22 o'clock, and at night."""


def prices(slots: int, feed_in: float) -> tuple[Floats, Floats]:
    """Buying and selling (slots,) [EUR/Wh]."""
    hour = np.arange(slots) % DAY / 4
    return np.where((hour >= 6) & (hour < 22), PEAK, LOW), np.full(slots, feed_in)


def nets(slots: int) -> Floats:
    """(B, slots) load less generation of every building [Wh], whole."""
    profiles = scenario_files.load_profiles(load("village"))

    def energy(name: str, annual_kwh: float) -> Floats:
        shape = profiles.values(name, FIRST, slots, 900)
        return np.asarray(shape * annual_kwh * 1000 / profiles.full_load_hours(name) * HOURS)

    rows = [energy(b.load, b.annual_kwh) - energy(b.sun, 950 * b.kwp) for b in BUILDINGS]
    return np.rint(np.array(rows))


def batteries() -> Battery:
    """The batteries of the buildings, empty."""
    sizes = np.array([(b.kwh * 1000, b.kw * 1000) for b in BUILDINGS]).T
    return Battery(sizes[0], sizes[1], HOURS, efficiency=EFFICIENCY, initial=0.0)


Decide = Callable[[Battery, int], NDArray[np.int64]]


def bill(net: Floats, buy: Floats, sell: Floats) -> Floats:
    """(B,) what load less generation (B, T) costs [EUR]."""
    return np.asarray(np.maximum(net, 0) @ buy - np.maximum(-net, 0) @ sell)


def realised(net: Floats, battery: Battery, decide: Decide, tick: Callable[[], None] = lambda: None) -> Floats:
    """(B, T) what flows if the batteries, which move on, do what a method decides, slot by slot."""
    flows = np.empty_like(net)
    for slot in range(net.shape[1]):
        flows[:, slot] = net[:, slot] - battery.step(decide(battery, slot))
        tick()
    return flows


def greedy(net: Floats) -> Decide:
    """Store what is left over, give what is lacking."""
    return lambda battery, slot: net[:, slot].astype(np.int64)


def predictive(net: Floats, buy: Floats, sell: Floats, forecaster: Forecaster, *, guarded: bool = True) -> Decide:
    """Model predictive control with a forecaster; `guarded` by the rule where the plan did worse of late."""
    made: list[Controller] = []

    def decide(battery: Battery, slot: int) -> NDArray[np.int64]:
        if not made:
            made.append(Controller(len(battery), forecaster, HOURS, guarded=guarded))
        ahead = (slot + np.arange(made[0].slots)) % len(buy)
        return made[0].decide(battery, net[:, slot], buy[ahead], sell[ahead])

    return decide


def bound(net: Floats, battery: Battery, buy: Floats, sell: Floats) -> Floats:
    """(B,) the lowest bill that batteries of this size, empty at first, allow, knowing everything [EUR]."""
    eta = battery.one_way_ppm / MICRO
    slots = net.shape[1]
    found = []
    for row in range(len(net)):
        one = sparse.eye_array(slots, format="csc")
        before = one - sparse.eye_array(slots, k=-1, format="csc")
        none = sparse.csc_array((slots, slots))
        # Columns: charge, discharge, stored, bought, sold.
        matrix = sparse.block_array(
            [[-eta[row] * one, one / eta[row], before, none, none], [-one, one, none, one, -one]], format="csc"
        )
        limit = np.full(slots, float(battery.limit_wh[row]))
        full = np.full(slots, battery.capacity_uwh[row] / MICRO)
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = 5 * slots, 2 * slots
        model.col_cost_ = np.concatenate([np.zeros(3 * slots), buy, -sell])
        model.col_lower_ = np.zeros(5 * slots)
        model.col_upper_ = np.concatenate([limit, limit, full, np.full(2 * slots, highspy.kHighsInf)])
        model.row_lower_ = model.row_upper_ = np.concatenate([np.zeros(slots), net[row]])
        model.a_matrix_.start_, model.a_matrix_.index_ = matrix.indptr, matrix.indices
        model.a_matrix_.value_ = matrix.data
        solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        solver.setOptionValue("output_flag", False)
        solver.passModel(model)
        solver.run()
        if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise RuntimeError(f"row {row}: no bound found")
        found.append(solver.getInfo().objective_function_value)
    return np.array(found)


def study(days: int, feed_in: float, seed: int, progress: Progress) -> dict[str, Any]:
    """Bills by method [EUR], per building; CPU seconds of each method."""
    slots = days * DAY
    net = nets(slots)
    buy, sell = prices(slots, feed_in)
    truth = NoisyTruth(net[:, 1:], 0.0, np.random.default_rng(seed))
    rough = NoisyTruth(net[:, 1:], 0.3, np.random.default_rng(seed))
    methods: dict[str, Decide] = {
        "greedy": greedy(net),
        "mpc, yesterday": predictive(net, buy, sell, Persistence(DAY)),
        "mpc, smoothing": predictive(net, buy, sell, Smoothing(DAY)),
        "mpc, smoothing, unguarded": predictive(net, buy, sell, Smoothing(DAY), guarded=False),
        "mpc, last days": predictive(net, buy, sell, Analogs(DAY)),
        "mpc, truth with 30 % error": predictive(net, buy, sell, _Shifted(rough), guarded=False),
        "mpc, truth": predictive(net, buy, sell, _Shifted(truth), guarded=False),
    }
    bills, seconds = {"no battery": bill(net, buy, sell)}, {"no battery": 0.0}
    for name, decide in methods.items():
        task = progress.add_task(name, total=slots)
        started = time.process_time()
        bills[name] = bill(realised(net, batteries(), decide, partial(progress.advance, task)), buy, sell)
        seconds[name] = time.process_time() - started
    task = progress.add_task("bound", total=1)
    started = time.process_time()
    bills["bound"] = bound(net, batteries(), buy, sell)
    seconds["bound"] = time.process_time() - started
    progress.advance(task)
    for name, found in bills.items():
        assert (found >= bills["bound"] - 1e-6).all(), f"{name} is cheaper than the bound"
    return {"bills": {name: found.tolist() for name, found in bills.items()}, "seconds": seconds, "days": days}


class _Shifted:
    """The truth of what follows the slot that is measured already."""

    def __init__(self, truth: NoisyTruth) -> None:
        self._truth = truth

    def ahead(self, past: Floats, slots: int) -> Floats:
        return self._truth.ahead(past[:, 1:], slots)


def show(found: dict[str, Any], feed_in: float) -> None:
    """The table: bills, and savings against no battery."""
    bills = {name: np.array(values) for name, values in found["bills"].items()}
    table = Table(title=f"{found['days']} days, {feed_in * 1e5:g} ct/kWh for feeding in")
    for heading in ("method", *(b.name for b in BUILDINGS), "all, EUR", "saved", "CPU s"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for name, values in bills.items():
        saved = 1 - values.sum() / bills["no battery"].sum()
        cells = [f"{value:.0f}" for value in values]
        table.add_row(name, *cells, f"{values.sum():.0f}", f"{saved:.1%}", f"{found['seconds'][name]:.1f}")
    Console(width=130).print(table)


def speed(count: int, seed: int) -> None:
    """Print what a slot costs `count` batteries, against a limit of one CPU second."""
    rng = np.random.default_rng(seed)
    slots = DAY + 12
    forecasters: dict[str, Forecaster] = {"one future": Smoothing(DAY), "four futures": Analogs(DAY)}
    net = rng.normal(0, 500, (count, slots)) + 500 * np.sin(np.arange(slots) / DAY * 2 * np.pi)
    for name, forecaster in forecasters.items():
        store = Battery(rng.uniform(4e3, 2e4, count), rng.uniform(2e3, 8e3, count), HOURS, efficiency=EFFICIENCY)
        control = Controller(count, forecaster, HOURS)
        buy, sell = prices(slots + control.slots, 0.0)
        seconds = []
        for slot in range(slots):
            started = time.process_time()
            ahead = slice(slot, slot + control.slots)
            store.step(control.decide(store, net[:, slot], buy[ahead], sell[ahead]))
            seconds.append(time.process_time() - started)
        middle = float(np.median(seconds))
        print(f"{count} batteries, {name}: {middle:.3f} CPU s a slot, {middle:.2f} of the limit of 1 s")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=366, help="length of the study, at most 366")
    parser.add_argument("--feed-in", type=float, default=0.0, help="paid for feeding in [ct/kWh]")
    parser.add_argument("--seed", type=int, default=1, help="of the errors of the forecasts that know the truth")
    parser.add_argument("--speed", type=int, metavar="N", help="measure what a slot costs N batteries, and no more")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args(arguments)
    if not 1 <= options.days <= 366:
        parser.error(f"--days: must be from 1 to 366, got {options.days}")
    if options.speed is not None:
        speed(options.speed, options.seed)
        return
    with Progress(console=Console(file=sys.stderr)) as progress:
        found = study(options.days, options.feed_in * 1e-5, options.seed, progress)
    show(found, options.feed_in * 1e-5)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
