"""How fast whole days are simulated, and how that grows: a village of 100, and ten of them on one feeder.

    python benchmarks/simulation.py --slots 96 --repeat 3 --copies 1 10 --gate ac --json out.json

The gate is on and every entry goes to a ledger on disk, in the background as `wattbook run` does it; the same day
without a ledger tells what that adds. Each run has a process of its own, so that its peak memory is its own; sizes take
turns, and medians of CPU seconds are compared. Compiling and preparing are not in the time.
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

_KIB = 1024 if sys.platform == "darwin" else 1


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
    from market.store import Ledger

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        MarketModel(scenario(1, 4, gate, place)).run_model()
        idle = _peak()
        model = MarketModel(scenario(copies, slots, gate, place))
        start = time.process_time()
        model.run_model()
        plain = time.process_time() - start
        with Ledger.create(place / "ledger.db") as ledger, Background(ledger) as background:
            model = MarketModel(scenario(copies, slots, gate, place), ledger=background)
            wall, start, own = time.perf_counter(), time.process_time(), time.thread_time()
            model.run_model()
            own = time.thread_time() - own
            background.flush()
            seconds, wall = time.process_time() - start, time.perf_counter() - wall
            counts = model.counts
    size = copies * VILLAGE
    return Run(size, slots, counts["orders"], counts["trades"], seconds, wall, own, plain, _peak(), idle)


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


def exponent(small: Run, large: Run) -> float:
    """Power of the number of participants with which CPU time grows."""
    return math.log(large.seconds / small.seconds) / math.log(large.participants / small.participants)


def table(runs: Sequence[Run]) -> str:
    """One line a size; ratios are against the first."""
    lines = [
        "| participants | CPU s | agent-slots/s | orders/s | ledger adds | to the thread | MiB | × time | exponent |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    first = runs[0]
    for run in runs:
        growth = f"{exponent(first, run):.2f}" if run.participants != first.participants else "–"
        memory = f"{run.peak_mib:.0f} (idle {run.idle_mib:.0f})"
        added = f"{run.seconds / run.plain - 1:.0%} | {run.thread / run.plain - 1:.0%}"
        speed = f"{run.seconds:.2f} | {run.rate:,.0f} | {run.orders / run.seconds:,.0f} | {added}"
        lines.append(f"| {run.participants} | {speed} | {memory} | {run.seconds / first.seconds:.1f} | {growth} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 10], help="villages on the feeder, one run each")
    parser.add_argument("--slots", type=int, default=96)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--gate", choices=["linear", "ac", "off"], default="ac")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    if min(*options.copies, options.slots, options.repeat, 1) < 1:
        parser.error("--copies, --slots and --repeat must be at least 1")
    runs = measure(sorted(set(options.copies)), options.slots, options.gate, options.repeat)
    print(f"{options.slots} slots, gate {options.gate}, {options.repeat} runs each, median by CPU time")
    print(table([middle(found) for found in runs.values()]))
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
