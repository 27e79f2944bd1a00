"""How fast the ledger stores what happened durably, against the disk's own rate, and how fast an audit verifies it.

    python benchmarks/ledger.py --entries 20000 --groups 1 10 100 1000 --repeat 3 --json out.json
    python benchmarks/ledger.py --postgres --proofs 1000000
    python benchmarks/ledger.py --grow 10000000 --folder /a/disk/with/12/gigabytes

The entries are those of a simulated village. A commit is on the disk when it returns, so commits are compared with
plain appends of one page with an fsync each, in the same folder: no ledger that keeps its promise is faster than
that. These figures are wall time, because waiting is what a disk costs; the rates of encoding and of the audit are CPU
time. Everything takes turns, medians are compared.

`--postgres` starts a server of its own on loopback, with its data in the same folder, and measures that too.
`--proofs` fills a log with so many leaves and proves entries of it. `--grow` appends so many entries to one ledger and
compares the last with the first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from agents import MarketModel
from benchmarks.villages import VILLAGE, scenario
from market import journal, schema
from market.audit import audit
from market.events import Entry
from market.merkle import Log, Tree, verify_inclusion
from market.store import Ledger
from tests.market.server import Server, running

PAGE = 4096
SYNCS = 200
"""Pages of one measurement of the disk."""
MOST_COMMITS = 500
"""Commits of one measurement of the ledger, so that groups of one take no longer than the others."""

PROOFS = 300
"""Entries whose inclusion is proved."""
STRETCHES = 100
"""Parts of a growing ledger; the last of them are compared with the first."""
EDGE = 5


class Turn(NamedTuple):
    """One measurement."""

    done: int
    """Entries, or pages for the disk."""
    commits: int
    wall: float
    cpu: float


class _Kept:
    """Entries of a run, in memory."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def append(self, entries: Sequence[Entry]) -> None:
        self.entries += entries


def village(count: int, folder: Path) -> list[Entry]:
    """The first `count` entries of a village's days, fewer if the longest run has fewer."""
    slots = 16
    while True:
        kept = _Kept()
        MarketModel(scenario(1, slots, "off", folder), ledger=kept).run_model()
        if len(kept.entries) >= count or slots >= 7 * 96:
            return kept.entries[:count]
        slots = min(4 * slots, 7 * 96)


def timed(count: int, commits: int, work: Callable[[], object]) -> Turn:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Turn(count, commits, time.perf_counter() - wall, time.process_time() - cpu)


def disk(folder: Path) -> Turn:
    """Pages appended to a file, each on the disk before the next."""
    target = os.open(folder / "pages", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    page = b"\1" * PAGE

    def work() -> None:
        for _ in range(SYNCS):
            os.write(target, page)
            os.fsync(target)

    try:
        return timed(SYNCS, SYNCS, work)
    finally:
        os.close(target)


def append(entries: Sequence[Entry], group: int, target: Path | str) -> Turn:
    """Entries into a new ledger, `group` a commit."""
    parts = [entries[start : start + group] for start in range(0, len(entries), group)][:MOST_COMMITS]
    with Ledger.create(target) as ledger:

        def work() -> None:
            for part in parts:
                ledger.append(part)

        return timed(sum(map(len, parts)), len(parts), work)


def verify(target: Path, count: int) -> Turn:
    """A whole audit: hashes, canonical form, postings, conservation, replay. Raises RuntimeError if it fails."""

    def work() -> None:
        report = audit(target)
        if not report.ok or report.entries != count:
            raise RuntimeError(f"the audit of {report.entries} entries found {report.findings[:3]}")

    return timed(count, 0, work)


def encode(entries: Sequence[Entry]) -> Turn:
    """Canonical bytes and leaf hashes alone."""
    return timed(len(entries), 0, lambda: [journal.leaf(body) for body in journal.encode_all(entries)])


def measure(
    entries: Sequence[Entry], groups: Sequence[int], repeat: int, folder: Path, server: Server | None = None
) -> dict[str, list[Turn]]:
    """Every measurement `repeat` times, in turns; on a server too, if there is one."""
    found: dict[str, list[Turn]] = {}
    for turn in range(repeat):
        whole = folder / f"whole-{turn}.db"
        steps: list[tuple[str, Callable[[], Turn]]] = [("fsync", partial(disk, folder))]
        for group in groups:
            target = folder / f"{group}-{turn}.db"
            steps.append((f"SQLite {group}", partial(append, entries, group, target)))
            if server is not None:
                steps.append((f"PostgreSQL {group}", partial(append, entries, group, server.database())))
        steps.append(("encode", partial(encode, entries)))
        with Ledger.create(whole) as ledger:
            ledger.append(entries)
        steps.append(("audit", partial(verify, whole, len(entries))))
        for name, step in steps:
            found.setdefault(name, []).append(step())
            took = found[name][-1]
            shown = f"{took.wall:8.3f} s, CPU {took.cpu:8.3f} s"
            print(f"  {turn + 1}/{repeat}  {name:16} {shown}", file=sys.stderr, flush=True)
    return found


def report(found: dict[str, list[Turn]]) -> str:
    """The medians as Markdown tables."""
    syncs = statistics.median(turn.done / turn.wall for turn in found["fsync"])
    lines = [
        f"the disk: {syncs:,.0f} pages with fsync per second",
        "",
        "| database | entries a commit | entries/s (wall) | commits/s | × fsync rate | entries/s (CPU) |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, turns in found.items():
        if turns[0].commits and name != "fsync":
            rate = statistics.median(turn.done / turn.wall for turn in turns)
            commits = statistics.median(turn.commits / turn.wall for turn in turns)
            cpu = statistics.median(turn.done / turn.cpu for turn in turns)
            database, group = name.split()
            lines.append(
                f"| {database} | {group} | {rate:,.0f} | {commits:,.0f} | {commits / syncs:.2f} | {cpu:,.0f} |"
            )
    encoding = statistics.median(turn.done / turn.cpu for turn in found["encode"])
    verifying = statistics.median(turn.done / turn.cpu for turn in found["audit"])
    lines += [
        "",
        f"encoding and hashing: {encoding:,.0f} entries per CPU second",
        f"audit with replay: {verifying:,.0f} entries per CPU second, {verifying / encoding:.2f} × encoding",
    ]
    return "\n".join(lines)


def proofs(leaves: int, ledger: Path) -> str:
    """Size and time of inclusion proofs in a log of so many leaves, each made from the stored tiles and verified."""
    rng = np.random.default_rng(1)
    hashes = [sha256(b"\0%d" % number).digest() for number in range(leaves)]
    with Ledger.create(ledger) as made:
        tiles = Tree().extend(hashes)
        with made._require_writer().transaction() as connection:
            made._database.insert(connection, schema.tile, tiles)
        stored = {(level, place): known for level in range(4) for _, place, known in made.tiles(level)}
    chosen = rng.integers(0, leaves, PROOFS).tolist()

    def log() -> Log:
        return Log(leaves, lambda level, place: stored.get((level, place)), lambda first, last: hashes[first:last])

    root = log().root()
    paths: list[list[bytes]] = []
    making = timed(PROOFS, 0, lambda: paths.extend(log().inclusion(index) for index in chosen))

    def verified() -> None:
        for index, path in zip(chosen, paths, strict=True):
            verify_inclusion(hashes[index], index, leaves, path, root)

    checking = timed(PROOFS, 0, verified)
    size = statistics.median(sum(map(len, path)) for path in paths)
    return (
        f"inclusion in {leaves:,} leaves: {size:.0f} bytes, made in {1e3 * making.cpu / PROOFS:.2f} ms from tiles not "
        f"read before, verified in {1e6 * checking.cpu / PROOFS:.0f} µs"
    )


def grow(entries: Sequence[Entry], count: int, folder: Path) -> str:
    """How much longer the last entries of a ledger take than the first: by CPU and wall time per stretch."""
    stretch = max(count // STRETCHES, 1)
    turns: list[Turn] = []
    target = folder / "growing.db"
    shell, *rest = entries
    with Ledger.create(target) as ledger:
        ledger.append([shell])
        while len(ledger) < count:
            parts = renumbered(rest, len(ledger) + 1, min(stretch, count - len(ledger)))
            took = timed(sum(map(len, parts)), len(parts), partial(deque, map(ledger.append, parts), 0))
            turns.append(took)
            print(f"  {len(ledger):,} entries: {took.done / took.cpu:,.0f} a CPU second", file=sys.stderr, flush=True)
        size = sum(file.stat().st_size for file in folder.glob("growing.db*"))
    cpu, wall = ([getattr(turn, name) / turn.done for turn in turns] for name in ("cpu", "wall"))
    ratios = [statistics.median(times[-EDGE:]) / statistics.median(times[:EDGE]) for times in (cpu, wall)]
    return (
        f"{count:,} entries, {size / 2**30:.1f} GiB, 1000 a commit: {stretch:,} entries at the end took "
        f"{ratios[0]:.2f} × the CPU time of as many at the beginning, {ratios[1]:.2f} the wall time; medians of {EDGE}"
    )


def renumbered(entries: Sequence[Entry], first: int, count: int) -> list[list[Entry]]:
    """`count` entries in thousands, numbered on from `first`, the same ones over and over."""
    again = [msgspec.structs.replace(entries[(seq - 2) % len(entries)], seq=seq) for seq in range(first, first + count)]
    return [again[start : start + 1000] for start in range(0, count, 1000)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--groups", type=int, nargs="+", default=[1, 10, 100, 1000], help="entries a commit")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--postgres", action="store_true", help="also on a PostgreSQL server, started for it")
    parser.add_argument("--proofs", type=int, metavar="LEAVES", help="also prove entries of a log of this size")
    parser.add_argument("--grow", type=int, metavar="ENTRIES", help="only grow one ledger to this size")
    parser.add_argument("--folder", type=Path, help="where to measure (default: the system's temporary folder)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    if min(options.entries, options.repeat, *options.groups) < 1:
        parser.error("--entries, --groups and --repeat must be at least 1")
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place)
        folder.chmod(0o711)  # a server runs as somebody else
        entries = village(options.entries, folder)
        if options.grow:
            print(grow(entries, options.grow, folder))
            return 0
        with running(folder) if options.postgres else nullcontext() as server:
            measure(entries[:500], options.groups, 1, _made(folder / "warm"), server)
            found = measure(entries, options.groups, options.repeat, _made(folder / "race"), server)
        print(f"{len(entries):,} entries of a village of {VILLAGE}, {options.repeat} repetitions, medians")
        print(report(found))
        if options.proofs:
            print(proofs(options.proofs, folder / "proofs.db"))
    if options.json:
        figures = {
            "machine": {"processor": platform.machine(), "python": platform.python_version()},
            "entries": len(entries),
            "turns": {name: [turn._asdict() for turn in turns] for name, turns in found.items()},
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
