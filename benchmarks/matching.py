"""Races Wattbook's matching kernel against other order books on one seeded stream of messages.

    python benchmarks/matching.py --messages 1000000 --repeat 3 --json out.json

Every engine gets the same messages and must report the same trades as the plain-Python book, in the same order:
maker, taker, price and quantity. Repetitions alternate between the engines; medians of CPU seconds are compared.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import PEERS, Race
from benchmarks.plain_book import PlainBook
from benchmarks.wattbook_exchange import PACKET, exchange
from benchmarks.wattbook_kernel import batch, micro_batch, single
from benchmarks.workload import CANCEL, LEVELS, LIMIT, Workload, draw

PLAIN = "plain Python book"


@dataclass
class Result:
    """One engine's runs over the stream."""

    name: str
    how: str
    release: str
    digest: str = ""
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Entrant:
    name: str
    how: str
    release: str
    prepare: Callable[[Workload], Race]


def plain(workload: Workload) -> Race:
    book = PlainBook(LEVELS)
    rows = workload.messages.tolist()
    found: list[tuple[int, int, int, int]] = []

    def go() -> None:
        for kind, side, level, quantity, handle in rows:
            if kind == CANCEL:
                book.cancel(handle)
            else:
                found.extend(book.submit(handle, side, level if kind == LIMIT else None, quantity))

    return go, lambda: np.array(found, dtype=np.int64).reshape(-1, 4)


def entrants(only: list[str]) -> tuple[list[Entrant], list[str]]:
    """Engines that can run here, and names of the peers that are not installed."""
    ours = version("wattbook")
    entered = [
        Entrant("wattbook, batch", "whole stream in one call", ours, batch),
        Entrant("wattbook, 64 at a time", "64 messages a call", ours, micro_batch(64)),
        Entrant("wattbook, single", "one call a message", ours, single),
        Entrant("wattbook, exchange", f"{PACKET} commands a call, checks and journal entries included", ours, exchange),
        Entrant(PLAIN, "one call a message", platform.python_version(), plain),
    ]
    missing = []
    for name, adapter in PEERS.items():
        if only and name not in only:
            continue
        try:
            entered.append(Entrant(name, "one call a message", version(name), adapter))
        except PackageNotFoundError:
            missing.append(name)
    return entered, missing


def digest(trades: NDArray[np.int64]) -> str:
    """Fingerprint of a sequence of trades."""
    return hashlib.sha256(np.ascontiguousarray(trades, dtype="<i8").tobytes()).hexdigest()[:16]


def race(entered: list[Entrant], workload: Workload, repeat: int) -> list[Result]:
    """Run every entrant `repeat` times in turns. CPU time of the process, garbage collection as Python has it."""
    results = [Result(entrant.name, entrant.how, entrant.release) for entrant in entered]
    for turn in range(repeat):
        for entrant, result in zip(entered, results, strict=True):
            go, trades = entrant.prepare(workload)
            gc.collect()
            gc.freeze()
            start = time.process_time()
            go()
            result.seconds.append(time.process_time() - start)
            gc.unfreeze()
            if turn == 0:
                result.digest = digest(trades())
            print(f"  {turn + 1}/{repeat}  {entrant.name:24} {result.seconds[-1]:9.3f} s", file=sys.stderr, flush=True)
    return results


def table(results: list[Result], count: int, expected: str) -> str:
    """The results as a Markdown table, fastest first."""
    base = next(r.median for r in results if r.name == PLAIN)
    peers = [r.median for r in results if r.name in PEERS and r.digest == expected]
    lines = [
        "| engine | release | M messages/s | × plain Python | × fastest peer | trades |",
        "|---|---|--:|--:|--:|---|",
    ]
    for r in sorted(results, key=lambda r: r.median):
        against = f"{min(peers) / r.median:.2f}" if peers else "–"
        same = "identical" if r.digest == expected else "DIFFERENT"
        lines.append(
            f"| {r.name} | {r.release} | {count / r.median / 1e6:.3f} | {base / r.median:.2f} | {against} | {same} |"
        )
    return "\n".join(lines)


def report(results: list[Result], workload: Workload, seed: int, missing: list[str]) -> dict[str, object]:
    """What a later run is compared with."""
    expected = digest(workload.trades)
    count = len(workload.messages)
    return {
        "machine": {"processor": platform.machine(), "system": platform.system(), "python": platform.python_version()},
        "workload": {
            "messages": count,
            "seed": seed,
            "shares": workload.shares(),
            "trades": len(workload.trades),
            "most_resting": workload.most_resting,
            "digest": expected,
        },
        "missing": missing,
        "engines": [
            {
                "name": r.name,
                "how": r.how,
                "release": r.release,
                "cpu_seconds": r.seconds,
                "messages_per_second": count / r.median,
                "identical": r.digest == expected,
            }
            for r in results
        ],
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--only", nargs="*", default=[], choices=list(PEERS), help="peers to run (default: all)")
    options = parser.parse_args(arguments)
    if options.messages < 1 or options.repeat < 1:
        parser.error("--messages and --repeat must be at least 1")

    entered, missing = entrants(options.only)
    workload = draw(options.messages, options.seed)
    shares = ", ".join(f"{name} {share:.1%}" for name, share in workload.shares().items())
    print(f"{options.messages:,} messages, seed {options.seed}: {shares}; {len(workload.trades):,} trades")
    # Compilation and first imports are not part of the race.
    race(entered, draw(min(options.messages, 2_000), options.seed + 1), 1)
    results = race(entered, workload, options.repeat)
    print(table(results, options.messages, digest(workload.trades)))
    if missing:
        print(f"not installed: {', '.join(missing)}; get them with: pip install 'wattbook[bench]'")
    figures = report(results, workload, options.seed, missing)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    ours = [r for r in results if r.name.startswith("wattbook")]
    return 0 if all(r.digest == digest(workload.trades) for r in ours) else 1


if __name__ == "__main__":
    sys.exit(main())
