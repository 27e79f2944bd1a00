"""What the ledger adds to the CPU time of a whole `wattbook run village`, and of its trading steps alone.

    python benchmarks/share.py --repeat 5

Every run has a process of its own, with a ledger and with a store that forgets what it is given, in turns; medians are
compared. A whole run starts Python, prepares, trades, compares with the optimum and writes its results; of the ledger's
own time, waiting for the disk is not counted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import simulation
from market.events import Entry
from market.store import Ledger

LIMIT = 0.30
"""Most that the ledger should add to a run."""


class Forgetful:
    """In the place of a ledger: takes entries and keeps none."""

    def __init__(self, ledger: Ledger) -> None:
        pass

    def append(self, entries: Sequence[Entry]) -> None:
        pass

    def sign(self) -> None:
        pass


def whole(scenario: str, stores: bool, folder: str) -> float:
    """CPU seconds [s] of this process for one run, its start included."""
    from api import simulate
    from api.cli import app

    if not stores:
        setattr(simulate, "Patient", Forgetful)  # noqa: B010 (a name that the module only imports)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        sys.stdout = sys.stderr = nowhere
        app(["run", scenario, "--out", folder, "--no-report"], standalone_mode=False)
    return sum(os.times()[:2])


def measure(scenario: str, repeat: int) -> dict[str, tuple[float, float]]:
    """CPU seconds without and with a ledger, medians: of the whole run, and of the trading steps."""
    context = multiprocessing.get_context("spawn")
    runs: dict[bool, list[float]] = {False: [], True: []}
    steps: list[simulation.Run] = []
    for turn in range(repeat):
        for stores in runs:
            with tempfile.TemporaryDirectory() as folder, context.Pool(1) as pool:
                runs[stores].append(pool.apply(whole, (scenario, stores, str(Path(folder) / "run"))))
        with context.Pool(1) as pool:
            steps.append(pool.apply(simulation.simulate, (1, 96, "ac")))
        shown = f"{runs[False][-1]:.2f} s without, {runs[True][-1]:.2f} s with"
        print(f"  {turn + 1}/{repeat}  {shown}", file=sys.stderr, flush=True)
    return {
        "whole run": (statistics.median(runs[False]), statistics.median(runs[True])),
        "trading steps": (
            statistics.median(run.plain for run in steps),
            statistics.median(run.seconds for run in steps),
        ),
    }


def table(found: dict[str, tuple[float, float]]) -> str:
    """A Markdown table."""
    lines = ["| | without ledger [CPU s] | with [CPU s] | added | × limit of 30 % |", "|---|--:|--:|--:|--:|"]
    for name, (without, stored) in found.items():
        added = stored / without - 1
        lines.append(f"| {name} | {without:.2f} | {stored:.2f} | {added:.0%} | {added / LIMIT:.2f} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenario", default="village", help="what is run; the steps are always a village's")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args(arguments)
    if options.repeat < 1:
        parser.error("--repeat must be at least 1")
    print(table(measure(options.scenario, options.repeat)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
