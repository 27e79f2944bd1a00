"""What it costs to ask a long ledger something, against reading its bytes and against decoding all of it.

    python benchmarks/reading.py --entries 1000000 --folder /a/disk/with/a/gigabyte

The ledger is a village's day over and over, numbered on. Figures are CPU time, best of the repetitions, since other
work on the machine only ever takes time away.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.ledger import renumbered, village
from market.listing import FIELDS, rows
from market.statement import state
from market.store import Ledger
from market.where import Joined

DAY = 40_000
"""Entries that are repeated."""


def made(path: Path, count: int, folder: Path) -> None:
    """A ledger of so many entries. It would not audit: its slots come again."""
    shell, *rest = village(min(DAY, count), folder)
    with Ledger.create(path) as ledger:
        ledger.append([shell])
        while len(ledger) < count:
            for part in renumbered(rest, len(ledger) + 1, min(DAY, count - len(ledger))):
                ledger.append(part)


def questions(ledger: Ledger) -> dict[str, Callable[[], int]]:
    """What is asked, each giving the number of rows of the answer."""
    trade = next(rows(ledger, "trades", Joined(())))
    who, month = trade["buyer"], trade["delivery"][:7]

    def listed(kind: str) -> Callable[[], int]:
        return lambda: sum(1 for _ in rows(ledger, kind, Joined(())))

    asked: dict[str, Callable[[], int]] = {
        "read the bytes": lambda: sum(1 for _ in ledger.bodies()),
        "decode all of it": lambda: sum(1 for _ in ledger.entries()),
        "statement": lambda: len(state(ledger, who, month).lines),
    }
    return asked | {f"ledger {kind}": listed(kind) for kind in FIELDS}


def measure(ledger: Ledger, repeat: int) -> str:
    """A Markdown table."""
    lines = ["| | rows | CPU s | × reading | × decoding |", "|---|--:|--:|--:|--:|"]
    taken: dict[str, float] = {}
    for name, ask in questions(ledger).items():
        count = 0
        for _ in range(repeat):
            started = time.process_time()
            count = ask()
            taken[name] = min(taken.get(name, float("inf")), time.process_time() - started)
        ratios = (taken[name] / taken[base] for base in ("read the bytes", "decode all of it") if base in taken)
        shown = [f"{ratio:.2f}" for ratio in ratios] + [""]
        lines.append(f"| {name} | {count:,} | {taken[name]:.2f} | {shown[0]} | {shown[1]} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to measure (default: the system's temporary folder)")
    options = parser.parse_args(arguments)
    if min(options.entries, options.repeat) < 1:
        parser.error("--entries and --repeat must be at least 1")
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        path = Path(place) / "long.db"
        made(path, options.entries, Path(place))
        with Ledger.open(path) as ledger:
            print(f"{len(ledger):,} entries, {path.stat().st_size / 2**20:,.0f} MiB")
            print(measure(ledger, options.repeat))
    return 0


if __name__ == "__main__":
    sys.exit(main())
