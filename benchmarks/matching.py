"""Races Wattbook's matching kernel against other order books on one seeded stream of messages, then on wires.

    python benchmarks/matching.py --messages 1000000 --repeat 3 --json out.json

Ungated, every engine gets the same messages and must report the same trades as the plain-Python book, in the same
order: maker, taker, price and quantity. Gated, the kernel is driven in three ways that must agree with each other.
Repetitions alternate between the engines; medians of CPU seconds are compared.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import c_book, gated
from benchmarks.gated import C_LOOP
from benchmarks.peers import PEERS
from benchmarks.plain_book import PlainBook
from benchmarks.race import Entrant, Race, Result, digest, race
from benchmarks.wattbook_exchange import PACKET, exchange
from benchmarks.wattbook_kernel import batch, latencies, packets, single, ungated
from benchmarks.workload import CANCEL, LEVELS, LIMIT, Workload, draw

PLAIN = "plain Python book"
BATCH = "wattbook, batch"


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


def entrants(only: Sequence[str]) -> tuple[list[Entrant], list[str]]:
    """Engines that can run here, and what is missing for the others."""
    ours = version("wattbook")
    entered = [
        Entrant(BATCH, "whole stream in one call", ours, batch(ungated)),
        Entrant("wattbook, 64 at a time", "64 messages a call", ours, packets(ungated, 64)),
        Entrant("wattbook, single", "one call a message", ours, single(ungated)),
        Entrant("wattbook, exchange", f"{PACKET} commands a call, checks and journal entries included", ours, exchange),
        Entrant(PLAIN, "one call a message", platform.python_version(), plain),
    ]
    missing = []
    if c_book.compiler() is None:
        missing.append("a C compiler (cc, gcc, clang, or name one in CC): no ratio to C is measured")
    else:
        entered.append(Entrant(C_LOOP, "whole stream in one call", "", c_book.c_loop))
    for name, adapter in PEERS.items():
        if only and name not in only:
            continue
        try:
            entered.append(Entrant(name, "one call a message", version(name), adapter))
        except PackageNotFoundError:
            missing.append(f"{name} (pip install 'wattbook[bench]')")
    return entered, missing


def table(results: Sequence[Result], count: int, expected: str) -> str:
    """The ungated results as a Markdown table, fastest first."""
    median = {r.name: r.median for r in results}
    peers = [r.median for r in results if r.name in PEERS and r.digest == expected]
    lines = [
        "| engine | release | M messages/s | × plain Python | × fastest peer | × C | trades |",
        "|---|---|--:|--:|--:|--:|---|",
    ]
    for r in sorted(results, key=lambda r: r.median):
        against = [median[PLAIN] / r.median, min(peers) / r.median if peers else None]
        against.append(median[C_LOOP] / r.median if C_LOOP in median else None)
        ratios = " | ".join("–" if ratio is None else f"{ratio:.3g}" for ratio in against)
        same = "identical" if r.digest == expected else "DIFFERENT"
        lines.append(f"| {r.name} | {r.release} | {count / r.median / 1e6:.3f} | {ratios} | {same} |")
    return "\n".join(lines)


def gated_table(rows: Sequence[tuple[gated.Condition, float, Result, bool]], count: int, base: float) -> str:
    """The gated results as a Markdown table; `base` is the CPU time of the ungated batch [s]."""
    lines = [
        "| wires | rows | infeasible | driven by | M messages/s | × ungated batch | × C | trades |",
        "|---|--:|--:|---|--:|--:|--:|---|",
    ]
    in_c = {condition.name: r.median for condition, _, r, _ in rows if r.name.endswith(C_LOOP)}
    for condition, share, r, same in rows:
        way = r.name.rpartition(": ")[2]
        against = f"{in_c[condition.name] / r.median:.3g}" if in_c else "–"
        speed = f"{count / r.median / 1e6:.3f} | {base / r.median:.3f} | {against}"
        agree = f"{r.trades:,}, identical" if same else f"{r.trades:,}, DIFFERENT"
        lines.append(f"| {condition.name} | {condition.wires.rows} | {share:.0%} | {way} | {speed} | {agree} |")
    return "\n".join(lines)


def race_on_wires(workload: Workload, seed: int, repeat: int) -> list[tuple[gated.Condition, float, Result, bool]]:
    """Every way to drive the kernel under every condition, and whether its trades are those of the batch."""
    rows = []
    for condition in gated.conditions():
        entered = gated.entrants(condition, seed, version("wattbook"))
        results = race(entered, workload, repeat)
        share = gated.infeasible(condition, seed, workload)
        rows += [(condition, share, result, result.digest == results[0].digest) for result in results]
    return rows


def figures(results: Sequence[Result], count: int) -> list[dict[str, Any]]:
    """What a later run is compared with."""
    return [
        {
            "name": r.name,
            "how": r.how,
            "release": r.release,
            "cpu_seconds": r.seconds,
            "messages_per_second": count / r.median,
            "trades": r.trades,
            "digest": r.digest,
        }
        for r in results
    ]


def percentiles(taken: NDArray[np.int64]) -> dict[str, float]:
    """Median, 99th and 99.9th percentile [µs]."""
    return {f"p{share:g}": float(np.percentile(taken, share)) / 1000 for share in (50, 99, 99.9)}


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
    shares = workload.shares()
    spelled = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    print(f"{options.messages:,} messages, seed {options.seed}: {spelled}; {len(workload.trades):,} trades")
    # Compilation and first imports are not part of the race.
    warm = draw(min(options.messages, 2_000), options.seed + 1)
    race(entered, warm, 1)
    race_on_wires(warm, options.seed, 1)

    expected = digest(workload.trades)
    results = race(entered, workload, options.repeat)
    print(table(results, options.messages, expected))
    latency = percentiles(latencies(ungated, workload))
    print("single message, wall: " + ", ".join(f"{name} {value:.2f} µs" for name, value in latency.items()))
    base = next(r.median for r in results if r.name == BATCH)
    on_wires = race_on_wires(workload, options.seed, options.repeat)
    print(gated_table(on_wires, options.messages, base))
    for name in missing:
        print(f"not here: {name}")
    if options.json:
        found = {
            "machine": {
                "processor": platform.machine(),
                "system": platform.system(),
                "python": platform.python_version(),
                "compiler": None if c_book.compiler() is None else c_book.release(),
            },
            "workload": {
                "messages": options.messages,
                "seed": options.seed,
                "shares": shares,
                "trades": len(workload.trades),
                "most_resting": workload.most_resting,
                "digest": expected,
            },
            "missing": missing,
            "engines": figures(results, options.messages),
            "single_message_us": latency,
            "gated": [
                {"buses": condition.wires.buses, "rows": condition.wires.rows, "infeasible": share, "identical": same}
                | figures([result], options.messages)[0]
                for condition, share, result, same in on_wires
            ],
        }
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    ours = [r for r in results if r.name.startswith("wattbook") or r.name == C_LOOP]
    return 0 if all(r.digest == expected for r in ours) and all(same for *_, same in on_wires) else 1


if __name__ == "__main__":
    sys.exit(main())
