"""Who gets scarce capacity: first come, first served against a spread clock, and what was tried beyond it.

    python -m benchmarks.congestion --seeds 100 --jobs 2 --out congestion
    python -m benchmarks.congestion --markets export mixed open --traders zi_c truthful --rules first_come clock closing

Markets: `export` (all sellers behind a line of 3), `mixed` (half of the buyers behind a line of 2) and `open` (no line)
are those of `scenarios/laboratory/congestion-*.yaml`, with everybody `zi_c`, `truthful` or, on the tenth day, `zip`;
`congested` is the scenario, with the strategies that it names. Figures are means over the seeds, each with its 95 %
confidence interval, and differences are taken seed by seed from the first rule. Folder DIR gets table.csv and runs.csv.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from agents.compare import compare
from agents.designs import Design
from agents.intervals import interval
from benchmarks.congestion_rules import RULES, run_rule
from scenarios import laboratory as shipped
from scenarios import load

LINES = ("export", "mixed", "open")
TRADERS = ("zi_c", "truthful", "zip")
DAYS = {"zi_c": 1, "truthful": 1, "zip": 10}
"""Periods of a session, the last of which counts: only `zip` learns."""
SCENARIO = "congested"
MEASURES = ("welfare_pct", "benefit", "losers_pct", "traded_kwh", "refused", "trimmed")
"""Of a run of the scenario; see `agents.measures`."""


class Tell(Protocol):
    """Progress: called when a piece of work is done."""

    def __call__(self, label: str, amount: float = 1.0) -> None: ...


def in_laboratory(market: str, traders: str, rule: str, seeds: int, jobs: int) -> list[dict[str, Any]]:
    """A row per seed: `share` of the optimum [%], what `buyers` and `sellers` gain, and when they trade.

    `delay` is the mean step of a trade [% of the period].
    """
    lab = shipped.load(f"congestion-{market}-{traders.replace('_', '-')}")
    results = run_rule(lab.changed(sessions=seeds, periods=DAYS[traders], spread_clock=None), RULES[rule], jobs)
    rows = []
    for seed, trades in enumerate(results.sessions, 1):
        day = trades[trades[:, 0] == DAYS[traders] - 1]
        step, price, value, cost = (day[:, place] for place in (1, 4, 5, 6))
        figures = {
            "share": 100 * float((value - cost).sum()) / results.optimum,
            "buyers": float((value - price).sum()),
            "sellers": float((price - cost).sum()),
            "delay": 100 * float(step.mean()) / (lab.quotes_per_period or 1) if len(step) else np.nan,
        }
        rows.append({"market": market, "traders": traders, "rule": rule, "seed": seed} | figures)
    return rows


def in_village(rules: Sequence[str], seeds: int, jobs: int, tell: Tell) -> list[dict[str, Any]]:
    """A row per rule and seed of the scenario: the figures of `MEASURES`."""
    scenario = load(SCENARIO)
    offer = {name: Design(RULES[name].title, RULES[name].fields(scenario)) for name in rules}
    found = compare(
        scenario, rules, range(1, seeds + 1), jobs=jobs, offer=offer,
        progress=lambda done, of: tell(f"{SCENARIO}, seed {done} of {of}", len(rules) / of),
    )  # fmt: skip
    runs = found.runs[["design", "seed", *MEASURES]].rename(columns={"design": "rule", "welfare_pct": "share"})
    runs.insert(0, "traders", "as written")
    runs.insert(0, "market", SCENARIO)
    return runs.to_dict("records")  # type: ignore[return-value]


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """A row per market, traders, rule and figure: `mean`, `low`, `high`, and the same of the difference from the
    first rule, seed by seed.
    """
    rows = []
    for (market, traders), cell in runs.groupby(["market", "traders"], sort=False):
        first = cell[cell["rule"] == cell["rule"].iloc[0]].set_index("seed")
        for rule, own in cell.groupby("rule", sort=False):
            for figure in own.columns[4:]:
                values = own.set_index("seed")[figure]
                if values.notna().any():
                    mean, beyond = interval(values), interval(values - first[figure])
                    rows.append(
                        {"market": market, "traders": traders, "rule": rule, "figure": figure, "seeds": mean.seeds}
                        | {"mean": mean.mean, "low": mean.low, "high": mean.high}
                        | {"more": beyond.mean, "more_low": beyond.low, "more_high": beyond.high}
                    )
    return pd.DataFrame(rows)


def markdown(found: pd.DataFrame, figure: str) -> str:
    """One figure: a row per rule, a column per market and traders, mean ± half of the confidence interval."""
    own = found[found["figure"] == figure]
    places = list(dict.fromkeys(zip(own["market"], own["traders"], strict=True)))
    lines = [
        "| " + " | ".join([figure, *(f"{market} {traders}" for market, traders in places)]) + " |",
        "|---" + "|--:" * len(places) + "|",
    ]
    for rule in dict.fromkeys(own["rule"]):
        cells = []
        for market, traders in places:
            one = own[(own["market"] == market) & (own["traders"] == traders) & (own["rule"] == rule)]
            cells.append(_spread(one.iloc[0]) if len(one) else "–")
        lines.append("| " + " | ".join([f"`{rule}`", *cells]) + " |")
    return "\n".join(lines)


def _spread(row: pd.Series[Any]) -> str:
    reach = (row["high"] - row["low"]) / 2 if pd.notna(row["high"]) else np.nan
    return f"{row['mean']:.1f}" + ("" if np.isnan(reach) else f" ± {reach:.1f}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.congestion",
        description=(__doc__ or "").partition("\n\n")[0],
        epilog="Example: python -m benchmarks.congestion --markets export congested --seeds 20 --out congestion. "
        "Rules: " + "; ".join(f"{name}: {rule.title}" for name, rule in RULES.items()) + ".",
    )
    parser.add_argument("--markets", nargs="+", choices=[*LINES, SCENARIO], default=[*LINES, SCENARIO])
    parser.add_argument("--traders", nargs="+", choices=TRADERS, default=list(TRADERS), help="of the laboratory")
    parser.add_argument("--rules", nargs="+", choices=list(RULES), default=["first_come", "clock"], metavar="RULE")
    parser.add_argument("--seeds", type=int, default=100, help="repetitions of everything (100)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for runs.csv and table.csv")
    chosen = parser.parse_args(arguments)
    if min(chosen.seeds, chosen.jobs) < 1:
        parser.error("--seeds and --jobs must be at least 1")
    runs = _measure(chosen)
    found = table(runs)
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        runs.to_csv(chosen.out / "runs.csv", index=False, lineterminator="\n")
        found.to_csv(chosen.out / "table.csv", index=False, lineterminator="\n")
    print(f"{chosen.seeds} seeds, mean ± 95 % confidence; share: of the optimum under the wires [%]")
    for figure in dict.fromkeys(found["figure"]):
        print(f"\n{markdown(found, figure)}")
    return 0


def _measure(chosen: argparse.Namespace) -> pd.DataFrame:
    places = [(market, traders) for market in chosen.markets if market != SCENARIO for traders in chosen.traders]
    village = SCENARIO in chosen.markets
    rows: list[dict[str, Any]] = []
    with _progress(len(places) * len(chosen.rules) + village * len(chosen.rules)) as tell:
        for market, traders in places:
            for rule in chosen.rules:
                rows += in_laboratory(market, traders, rule, chosen.seeds, chosen.jobs)
                tell(f"{market}, {traders}, {rule}")
        offered = [name for name in chosen.rules if RULES[name].in_scenario]
        if village and offered:
            rows += in_village(offered, chosen.seeds, chosen.jobs, tell)
    return pd.DataFrame(rows)


@contextmanager
def _progress(total: int) -> Iterator[Tell]:
    """A bar on a terminal, else a line for each piece of work."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda label, amount=1.0: print(f"  {label}", file=sys.stderr, flush=True)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("…", total=total)
        yield lambda label, amount=1.0: bar.update(task, description=label, advance=amount)


if __name__ == "__main__":
    sys.exit(main())
