"""How fast whole days are simulated, and how that grows: a village of 100, and ten and a hundred of them on one feeder.

    python benchmarks/simulation.py --slots 96 --repeat 3 --copies 1 10 100 --gate ac --json out.json

The gate is on and every entry goes to a ledger on disk, in the background as `wattbook run` does it; the same day
without a ledger tells what that adds, and how much of it the market takes: exchange, kernel and gate for the same
orders, which is a limit for what may be done around them. Each run has a process of its own, so that its peak memory
is its own; sizes take turns, and medians of CPU seconds are compared. Preparing is told apart; compiling, which
happens once on a machine, is in no figure.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.villages import VILLAGE, scenario
from market.events import Entry
from market.orders import Command

_KIB = 1024 if sys.platform == "darwin" else 1
QUOTED_SECONDS, QUOTED_PARTICIPANTS = 448, 100
"""CPU seconds and assets of a day of 96 slots elsewhere."""


class Run(NamedTuple):
    """One simulated day."""

    participants: int
    slots: int
    orders: int
    trades: int
    seconds: float
    """CPU time of all steps."""
    wall: float
    thread: float
    """CPU time of the simulating thread, part of `seconds`; the rest is the ledger's thread."""
    plain: float
    """CPU time of the same day without a ledger."""
    market: float
    """Part of `plain` that the exchange takes, the gate included."""
    prepare: float
    """CPU time to make the market: feeder, profiles, devices, gate."""
    peak_mib: float
    idle_mib: float
    """Memory of the process before the market is made: interpreter and libraries."""

    @property
    def rate(self) -> float:
        """Participants times slots per CPU second."""
        return self.participants * self.slots / self.seconds


def simulate(copies: int, slots: int, gate: str) -> Run:
    """Run `copies` villages in this process, once over few slots to have everything compiled, then in earnest."""
    from agents import MarketModel
    from market.commit import Background
    from market.exchange import Exchange
    from market.store import Ledger

    class Watched(Exchange):
        """Counts the CPU time of its commands."""

        seconds = 0.0

        def apply_many(self, commands: Sequence[Command]) -> list[Entry]:
            start = time.process_time()
            entries = super().apply_many(commands)
            Watched.seconds += time.process_time() - start
            return entries

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        MarketModel(scenario(1, 4, gate, place)).run_model()
        idle = _peak()
        chosen = scenario(copies, slots, gate, place)
        start = time.process_time()
        model = MarketModel(chosen)
        prepare = time.process_time() - start
        model.exchange.__class__ = Watched
        start = time.process_time()
        model.run_model()
        plain = time.process_time() - start
        del model
        with Ledger.create(place / "ledger.db") as ledger, Background(ledger) as background:
            model = MarketModel(chosen, ledger=background)
            wall, start, own = time.perf_counter(), time.process_time(), time.thread_time()
            model.run_model()
            own = time.thread_time() - own
            background.flush()
            seconds, wall = time.process_time() - start, time.perf_counter() - wall
            counts = model.counts
    size = copies * VILLAGE
    times = seconds, wall, own, plain, Watched.seconds, prepare
    return Run(size, slots, counts["orders"], counts["trades"], *times, _peak(), idle)


def _peak() -> float:
    """Most memory that the process has had so far [MiB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / _KIB


def measure(copies: Sequence[int], slots: int, gate: str, repeat: int) -> dict[int, list[Run]]:
    """`repeat` runs of every size in turns."""
    runs: dict[int, list[Run]] = {count: [] for count in copies}
    context = multiprocessing.get_context("spawn")
    for turn in range(repeat):
        for count in copies:
            with context.Pool(1) as pool:
                run = pool.apply(simulate, (count, slots, gate))
            runs[count].append(run)
            shown = f"{run.seconds:8.2f} s  {run.peak_mib:7.0f} MiB"
            print(f"  {turn + 1}/{repeat}  {run.participants:6} participants {shown}", file=sys.stderr, flush=True)
    return runs


def middle(runs: Sequence[Run]) -> Run:
    """The run with the median CPU time, the shorter of two in the middle."""
    return sorted(runs, key=lambda run: run.seconds)[(len(runs) - 1) // 2]


def scale(run: Run) -> str:
    """The same day on another platform: a figure quoted, not measured, so no ratio of speeds is drawn from it."""
    rate = QUOTED_PARTICIPANTS * 96 / QUOTED_SECONDS
    return (
        f"For scale, quoted and not measured here: {QUOTED_SECONDS} CPU s for {QUOTED_PARTICIPANTS} assets and one day "
        f"without any grid ({rate:.0f} asset-slots/s) on the best-known open platform (gsy-e 1.3.0); "
        f"here {run.seconds:.2f} CPU s for {run.participants} participants and {run.slots} slots with gate and ledger."
    )


def exponent(small: Run, large: Run) -> float:
    """Power of the number of participants with which CPU time grows."""
    return math.log(large.seconds / small.seconds) / math.log(large.participants / small.participants)


def table(runs: Sequence[Run]) -> str:
    """One line a size; `× time` is against the first, the exponent against the line before."""
    names = (
        "participants", "CPU s", "wall s", "agent-slots/s", "orders/s", "ledger adds", "to the thread", "× market",
        "prepare s", "MiB", "× time", "exponent",
    )  # fmt: skip
    lines = ["| " + " | ".join(names) + " |", "|--:" * len(names) + "|"]
    first = before = runs[0]
    for run in runs:
        growth = f"{exponent(before, run):.2f}" if run is not first else "–"
        before = run
        memory = f"{run.peak_mib:.0f} (idle {run.idle_mib:.0f})"
        added = f"{run.seconds / run.plain - 1:.0%} | {run.thread / run.plain - 1:.0%}"
        speed = f"{run.seconds:.2f} | {run.wall:.2f} | {run.rate:,.0f} | {run.orders / run.seconds:,.0f} | {added}"
        parts = f"{run.plain / run.market:.2f} | {run.prepare:.2f}"
        growing = f"{run.seconds / first.seconds:.1f} | {growth}"
        lines.append(f"| {run.participants} | {speed} | {parts} | {memory} | {growing} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 10], help="villages on the feeder, one run each")
    parser.add_argument("--slots", type=int, default=96)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--gate", choices=["linear", "certified", "ac", "off"], default="ac")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    if min(*options.copies, options.slots, options.repeat, 1) < 1:
        parser.error("--copies, --slots and --repeat must be at least 1")
    runs = measure(sorted(set(options.copies)), options.slots, options.gate, options.repeat)
    print(f"{options.slots} slots, gate {options.gate}, {options.repeat} runs each, median by CPU time")
    chosen = [middle(found) for found in runs.values()]
    print(table(chosen))
    print(scale(chosen[0]))
    if options.json:
        figures = {
            "machine": {"processor": platform.machine(), "python": platform.python_version()},
            "gate": options.gate,
            "runs": [run._asdict() for found in runs.values() for run in found],
            "cpu_seconds": {str(count): statistics.median(r.seconds for r in found) for count, found in runs.items()},
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
