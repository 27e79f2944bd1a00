"""Spread clocks that the exchange does not have, tried on a plain market of traders who look at nothing.

    python -m benchmarks.congestion_plain --seeds 400

The rules of trading are those of the laboratory with `after_trade: keep`, one unit a trader, in plain Python. `clock`
is here to show that the two agree. In `lines` only a match that fills a line further has to wait for the clock. In
`seen` the clock has no start of its own: nothing trades for a tenth of the time, then the threshold falls from the
largest excess of a bid over an ask that was ever there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from agents.intervals import interval
from agents.laboratory_crowd import Crowd
from agents.laboratory_file import Laboratory
from agents.laboratory_measures import optimum
from grid.zones import cuts
from scenarios import laboratory

START, ZERO_AT, PATIENCE = 300, 0.7, 0.1


class Moment(NamedTuple):
    """What a rule may look at."""

    elapsed: float
    """Share of the period."""
    seen: int
    """Largest excess of a bid over an ask so far."""
    loads: bool
    """Whether the match would fill a line further."""


def _falling(start: float, elapsed: float) -> float:
    return start * max(0.0, 1 - elapsed / ZERO_AT)


RULES: dict[str, Callable[[Moment], float]] = {
    "first_come": lambda now: 0.0,
    "clock": lambda now: _falling(START, now.elapsed),
    "lines": lambda now: _falling(START, now.elapsed) if now.loads else 0.0,
    "seen": lambda now: np.inf if now.elapsed < PATIENCE else _falling(now.seen, now.elapsed - PATIENCE),
}
"""By how much a bid must exceed an ask."""


class PlainMarket:
    """One period of a laboratory whose traders are blind."""

    def __init__(self, lab: Laboratory, rule: Callable[[Moment], float], seed: int, *, truthful: bool) -> None:
        crowd = Crowd.of(lab)
        self._lab, self._rule, self._truthful = lab, rule, truthful
        self._rng = np.random.default_rng(seed)
        self._sell, self._limit = crowd.sell, [units[0] for units in crowd.units]
        bounds = cuts(crowd.zones, lab.lines) if lab.lines else []
        self._inside = [[zone in cut.zones for cut in bounds] for zone in crowd.zones]
        self._flow, self._caps = [0] * len(bounds), [cut.cap for cut in bounds]
        self._live: dict[int, int] = {}
        """Price of each resting quote, oldest first."""
        self._seen = 0
        self.surplus = 0

    def run(self) -> int:
        """Surplus of all trades."""
        active = list(range(len(self._sell)))
        steps = self._lab.quotes_per_period or 0
        for step in range(steps):
            trader = active[int(self._rng.integers(len(active)))]
            price = self._quote(trader)
            if self._live.get(trader) != price:
                self._live.pop(trader, None)
                self._live[trader] = price
            while (pair := self._match(step / steps)) is not None:
                for trader in pair:
                    active.remove(trader)
                    del self._live[trader]
            if len({self._sell[trader] for trader in active}) < 2:
                break
        return self.surplus

    def _quote(self, trader: int) -> int:
        limit, price = self._limit[trader], self._lab.price
        if self._truthful:
            return limit
        return int(
            self._rng.integers(limit, price.cap + 1)
            if self._sell[trader]
            else self._rng.integers(price.floor, limit + 1)
        )

    def _match(self, elapsed: float) -> tuple[int, int] | None:
        """The best pair that rule and lines allow, and its trade."""
        bids = sorted((who for who in self._live if not self._sell[who]), key=lambda who: -self._live[who])
        asks = sorted((who for who in self._live if self._sell[who]), key=lambda who: self._live[who])
        if bids and asks:
            self._seen = max(self._seen, self._live[bids[0]] - self._live[asks[0]])
        for buyer in bids:
            for seller in asks:
                excess = self._live[buyer] - self._live[seller]
                if excess < 0:
                    break
                change = [own - other for own, other in zip(self._inside[seller], self._inside[buyer], strict=True)]
                after = [flow + step for flow, step in zip(self._flow, change, strict=True)]
                if any(abs(flow) > cap for flow, cap in zip(after, self._caps, strict=True)):
                    continue
                loads = any(abs(new) > abs(old) for new, old in zip(after, self._flow, strict=True))
                if excess >= self._rule(Moment(elapsed, self._seen, loads)):
                    self._flow = after
                    self.surplus += self._limit[buyer] - self._limit[seller]
                    return buyer, seller
        return None


def share(market: str, traders: str, rule: str, seeds: int) -> list[float]:
    """Share of the optimum [%], per seed."""
    lab = laboratory.load(f"congestion-{market}-zi-c")
    best = optimum(Crowd.of(lab), lab)
    return [
        100 * PlainMarket(lab, RULES[rule], seed, truthful=traders == "truthful").run() / best
        for seed in range(1, seeds + 1)
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.congestion_plain",
        description=(__doc__ or "").partition("\n")[0],
        epilog="Example: python -m benchmarks.congestion_plain --seeds 50",
    )
    parser.add_argument("--seeds", type=int, default=200, help="repetitions of each (200)")
    chosen = parser.parse_args(arguments)
    if chosen.seeds < 2:
        parser.error("--seeds must be at least 2")
    places = [(market, traders) for traders in ("zi_c", "truthful") for market in ("export", "mixed", "open")]
    print("| share of the optimum [%] | " + " | ".join(f"{market} {traders}" for market, traders in places) + " |")
    print("|---" + "|--:" * len(places) + "|")
    for rule in RULES:
        cells = []
        for market, traders in places:
            found = interval(share(market, traders, rule, chosen.seeds))
            cells.append(f"{found.mean:.1f} ± {((found.high or 0) - (found.low or 0)) / 2:.1f}")
        print(f"| `{rule}` | " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
