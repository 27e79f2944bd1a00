"""How fast the live market answers orders and tells its book, against a bare echo server on the same stack.

    python -m benchmarks.live --orders 20000 --seconds 5 --json out.json

Servers run in processes of their own, all on this machine. Orders are immediate bids that nobody meets, so that the
book stays as it is; an answer means that the order is on the disk. The echo server has the same web stack and sends
every frame back, or to all who asked for it as many bytes as the book's frames have. Rates are wall time, of two busy
cores; CPU is that of the server's process, with all its threads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import uvloop

from benchmarks.live_engine import figures, order
from benchmarks.live_lines import Line, joined, open_slot
from benchmarks.live_servers import Place, serve_echo, serve_market, started

KINDS = (
    ("one order a frame, one waiting", 1, 1),
    ("one order a frame, 64 waiting", 1, 64),
    ("100 orders a frame, 4 waiting", 100, 4),
)
"""What is sent: orders in a frame, and frames of a client that may be unanswered."""
MARKS = {"market": {1: b'"op":"answer"', 100: b'"seq":'}, "echo": {1: b'"op":"submit"', 100: b'"quantity":'}}
"""What stands for an answered order in what comes back."""


class Rate(NamedTuple):
    """Answered orders."""

    per_second: float
    cpu_us: float
    """Of the server, for one order."""
    p50_ms: float
    p99_ms: float


async def orders(place: Place, clients: int, batch: int, window: int, count: int) -> Rate:
    """`count` orders in frames of `batch`, of `clients` that have `window` frames unanswered each."""
    slot, lines = await open_slot(place), [await joined(place) for _ in range(clients)]
    text = order(slot, batch)
    mark = MARKS["market" if place.tokens[0] else "echo"][batch]
    for line in lines:
        line.mark = mark
    each = max(count // batch // clients, window)
    used, begun = place.cpu(), time.perf_counter()
    await asyncio.gather(*(line.ask(text, each, window, batch) for line in lines))
    passed, used = time.perf_counter() - begun, place.cpu() - used
    for line in lines:
        line.transport.close()
    took, done = [one for line in lines for one in line.took], each * clients * batch
    p50, p99 = np.percentile(took, [50, 99]) * 1000
    return Rate(done / passed, used / done * 1e6, float(p50), float(p99))


class Told(NamedTuple):
    """What listeners got."""

    frames: float
    """A second, each."""
    core: float
    """Share of one core that the server took."""
    cpu_us: float
    """Of the server, for one frame to one listener."""
    octets: float
    """Of a frame."""


async def fan_out(place: Place, clients: int, seconds: float, size: int) -> Told:
    """Listeners of the book, in which something moves at every beat; of the echo server, of `size` bytes as often."""
    slot, mover = await open_slot(place), await joined(place)
    lines = [await joined(place) for _ in range(clients)]
    market = bool(place.tokens[0])
    for line in lines:
        line.mark = b'"ch":"book"' if market else b"\x81"
        line.say({"op": "subscribe", "channels": ["book"]} if market else f"tell {size}")
    moving = asyncio.create_task(_move(mover, slot)) if market else None
    await asyncio.sleep(1.5)
    before = [(line.count, line.octets) for line in lines]
    used, begun = place.cpu(), time.perf_counter()
    await asyncio.sleep(seconds)
    passed, used = time.perf_counter() - begun, place.cpu() - used
    got = sum(line.count - count for line, (count, _) in zip(lines, before, strict=True))
    octets = sum(line.octets - count for line, (_, count) in zip(lines, before, strict=True))
    if moving is not None:
        moving.cancel()
        mover.say({"op": "mass_cancel"})
    await asyncio.sleep(0.2)
    for line in (mover, *lines):
        line.transport.close()
    return Told(got / passed / clients, used / passed, used / max(got, 1) * 1e6, octets / max(got, 1))


async def _move(mover: Line, slot: int) -> None:
    """A new best price twenty times a second."""
    line = {"slot": slot, "side": "buy", "quantity": 500}
    for step in range(10**9):
        mover.say({"op": "submit", "orders": [line | {"price": 1_000 + 100 * (step % 500)}]})
        await asyncio.sleep(0.05)


async def slow_reader(place: Place, count: int, deaf: bool) -> tuple[Rate, float]:
    """Orders of four clients among 199 listeners and, if `deaf`, one that never reads; growth of memory [MiB]."""
    lines = [await joined(place) for _ in range(199 + deaf)]
    for line in lines:
        line.mark = b'"ch":"book"'
        line.say({"op": "subscribe", "channels": ["book", "trades", "market"]})
    if deaf:
        lines[-1].transport.pause_reading()
    before = place.rss_mib()
    rate = await orders(place, 4, 1, 8, count)
    growth = place.rss_mib() - before
    for line in lines:
        line.transport.abort()
    return rate, growth


def show_orders(live: Place, echo: Place, count: int) -> dict[str, Any]:
    """A line for every kind of traffic and number of clients."""
    results: dict[str, Any] = {}
    for what, batch, window in KINDS:
        for clients in (1, 10, 100):
            sent = min(count, 400 * clients) if window == 1 else count
            ours, bare = (uvloop.run(orders(place, clients, batch, window, sent)) for place in (live, echo))
            results[f"{clients} x {window} x {batch}"] = {"market": ours, "echo": bare}
            print(
                f"{clients:4} clients, {what}: {ours.per_second:6.0f} orders/s ({ours.cpu_us:.1f} us), "
                f"p50 {ours.p50_ms:.1f} ms, p99 {ours.p99_ms:.1f} ms; {ours.per_second / bare.per_second:.2f} of echo "
                f"({bare.per_second:.0f}/s, {bare.cpu_us:.1f} us), {bare.cpu_us / ours.cpu_us:.2f} by CPU",
                flush=True,
            )
    return results


def show_told(live: Place, echo: Place, listeners: int, seconds: float) -> dict[str, Any]:
    """The book's channel against a bare broadcast of as many bytes."""
    told = uvloop.run(fan_out(live, listeners, seconds, 0))
    bare = uvloop.run(fan_out(echo, listeners, seconds, round(told.octets)))
    for name, found in (("market", told), ("bare broadcast", bare)):
        print(
            f"{listeners} listeners, {name}: {found.frames:.1f} frames/s each, {found.core:.2f} of a core, "
            f"{found.cpu_us:.1f} us a frame of {found.octets:.0f} bytes",
            flush=True,
        )
    return {"market": told, "bare": bare}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--listeners", type=int, default=1000)
    parser.add_argument("--only", choices=["engine", "orders", "fan-out", "slow"], action="append")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    parts = given.only or ["engine", "orders", "fan-out", "slow"]
    results: dict[str, Any] = {}
    if "engine" in parts:
        results["engine"] = figures(4 * given.orders)
    with (
        tempfile.TemporaryDirectory() as folder,
        started(serve_market, folder) as live,
        started(serve_echo, "") as echo,
    ):
        if "orders" in parts:
            uvloop.run(orders(live, 1, 1, 1, 100))
            results["orders"] = show_orders(live, echo, given.orders)
        if "fan-out" in parts:
            results["fan-out"] = show_told(live, echo, given.listeners, given.seconds)
        if "slow" in parts:
            alike, _ = uvloop.run(slow_reader(live, given.orders, False))
            deaf, growth = uvloop.run(slow_reader(live, given.orders, True))
            results["never reads"] = {"without": alike, "with": deaf, "growth_mib": growth}
            print(
                f"200 listeners, one never reads: p99 {deaf.p99_ms:.1f} ms against {alike.p99_ms:.1f} ms without it "
                f"(x {deaf.p99_ms / alike.p99_ms:.2f}), memory + {growth:.1f} MiB"
            )
    if given.json:
        given.json.write_text(json.dumps(results, indent=1, default=list), encoding="utf-8")


if __name__ == "__main__":
    main()
