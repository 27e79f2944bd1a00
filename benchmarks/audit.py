"""What an audit spends its time on, stage by stage, against the hashing that no audit can do without.

    python benchmarks/audit.py --entries 40000 --repeat 5

The entries are those of a simulated village, in a signed ledger and in an export of it. All rates are events per CPU
second, best of the repetitions: other work on the machine only ever takes time away. An audit does every stage; reading
is from SQLite, *export* stands for unpacking and splitting the exported file instead.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.ledger import village
from market import journal
from market.audit import audit
from market.conservation import Conservation
from market.evidence import ExportEvidence
from market.export import export
from market.ledger import market_settings, postings
from market.merkle import Tree
from market.notes import Signer
from market.replay import Replayer
from market.store import CHUNK, Ledger

GROUP = 1000
"""Entries a commit."""


def made(folder: Path, count: int) -> tuple[Path, Path]:
    """A signed ledger of a village with so many entries, and its export."""
    entries = village(count, folder)
    ledger, exported = folder / "village.db", folder / "village.ndjson.gz"
    with Ledger.create(ledger) as opened:
        opened.sign_with(Signer("benchmark/village", bytes(32)))
        for first in range(0, len(entries), GROUP):
            opened.append(entries[first : first + GROUP])
        opened.sign()
        export(opened, exported)
    return ledger, exported


def stages(ledger: Path, exported: Path) -> dict[str, Callable[[], object]]:
    """What an audit does, each stage by itself on what the others gave."""
    with Ledger.open(ledger) as opened:
        rows = [row for page, _ in opened.pages() for row in page]
    bodies, leaves = [body for _, body, _ in rows], [leaf for _, _, leaf in rows]
    entries = [journal.decode(body) for body in bodies]
    settings = next(filter(None, map(market_settings, entries)))
    moved = {entry.seq: given for entry in entries if (given := postings(entry, settings))}
    pages = range(0, len(rows), CHUNK)

    def read() -> None:
        with Ledger.open(ledger) as opened:
            for _ in opened.pages():
                pass

    def replay() -> None:
        replayer = Replayer()
        for first in pages:
            if mismatch := replayer.run(entries[first : first + CHUNK]):
                raise RuntimeError(f"the replay differs: {mismatch}")

    return {
        "read": read,
        "export": lambda: [len(page.rows) for page in ExportEvidence(exported).pages(1, CHUNK)],
        "hash": lambda: [journal.leaf(body) for body in bodies],
        "tree": lambda: Tree().extend(leaves),
        "decode": lambda: [journal.decode_all(bodies[first : first + CHUNK]) for first in pages],
        "postings": lambda: [postings(entry, settings) for entry in entries],
        "conservation": lambda: list(Conservation().observe_all(entries, moved)),
        "replay": replay,
        "audit, ledger": lambda: _sound(ledger),
        "audit, export": lambda: _sound(exported),
    }


def _sound(target: Path) -> None:
    """Raises RuntimeError if the audit finds anything."""
    report = audit(target)
    if not report.ok:
        raise RuntimeError(f"the audit found {report.findings[:3]}")


def measure(steps: dict[str, Callable[[], object]], repeat: int) -> dict[str, float]:
    """CPU seconds of each step, the best of `repeat`, in turns."""
    best: dict[str, float] = {}
    for _ in range(repeat):
        for name, step in steps.items():
            started = time.process_time()
            step()
            best[name] = min(best.get(name, float("inf")), time.process_time() - started)
    return best


def report(seconds: dict[str, float], events: int) -> str:
    """The rates as a Markdown table."""
    lines = ["| stage | events/s (CPU) | × hashing |", "|---|--:|--:|"]
    for name, taken in seconds.items():
        lines.append(f"| {name} | {events / taken:,.0f} | {taken / seconds['hash']:.1f} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--entries", type=int, default=40_000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args(arguments)
    if min(options.entries, options.repeat) < 1:
        parser.error("--entries and --repeat must be at least 1")
    with tempfile.TemporaryDirectory() as place:
        ledger, exported = made(Path(place), options.entries)
        told = audit(ledger)
        seconds = measure(stages(ledger, exported), options.repeat)
        print(f"{told.entries:,} entries, {told.events:,} events; export {exported.stat().st_size:,} bytes")
    print(report(seconds, told.events))
    return 0


if __name__ == "__main__":
    sys.exit(main())
