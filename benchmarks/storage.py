"""What a battery's way of planning is worth inside a market: rule, plan, trade, and trade with perfect foresight.

    python benchmarks/storage.py [--scenario town] [--group store] [--seeds 4] [--days 2]

The same days under the same seeds, once for each method; only the batteries of one group differ. What they hold in the
end counts at the middle of the lowest retail and the highest feed-in price, so that nobody gains by running them empty.
Differences from the rule are taken seed by seed; the intervals are 95 %, Student's t over seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from agents import MarketModel
from agents.intervals import Interval, interval
from agents.scenario import Scenario
from scenarios import load

METHODS: Mapping[str, dict[str, Any]] = {
    "rule: store what is left over": {"rule": "self_consumption", "trade": False},
    "plan, behind the connection": {"rule": "mpc", "trade": False},
    "plan and trade, yesterday comes again": {"rule": "mpc", "trade": True, "forecast": "persistence"},
    "plan and trade, prepared for the last days": {"rule": "mpc", "trade": True, "forecast": "analogs"},
    "plan and trade, the truth": {"rule": "mpc", "trade": True, "forecast": {"noisy": 0}},
}
RULE = next(iter(METHODS))


class Outcome(NamedTuple):
    """One run."""

    bills: float
    """Of the owners of the batteries, what these hold in the end taken off [EUR]."""
    everybody: float
    """Of all participants, likewise."""
    stored_kwh: float
    """In the end."""
    local_kwh: float
    bought_kwh: float
    """From the utility."""


def play(scenario: Scenario, group: str, method: Mapping[str, Any], seed: int, days: int) -> Outcome:
    """One run in which the batteries of a group follow a method. Raises KeyError if the scenario has no such group."""
    data = scenario.model_dump(mode="json", exclude_none=True)["participants"]
    places = {item["group"]: number for number, item in enumerate(data)}
    data[places[group]]["battery"] |= method
    changed = scenario.changed(**{"participants": data, "time.days": days, "time.slots": None, "output.compare": []})
    run = MarketModel(changed, seed=seed)
    results = run.run()
    people, table = run.population, results.participants
    prices = changed.prices()
    worth = (int(prices.retail.min()) + int(prices.feed_in.max())) / 2e6
    stored = float(people.battery.stored_wh.sum()) / 1000
    own = table["group"] == group
    energy = results.summary["energy"]
    return Outcome(
        float(table.loc[own, "bill"].sum()) - stored * worth, float(table["bill"].sum()) - stored * worth, stored,
        energy["local_kwh"], energy["bought_from_utility_kwh"],
    )  # fmt: skip


def study(scenario: Scenario, group: str, seeds: Sequence[int], days: int) -> dict[str, list[Outcome]]:
    """Outcomes of every method, one a seed."""
    return {name: [play(scenario, group, method, seed, days) for seed in seeds] for name, method in METHODS.items()}


def _told(value: Interval) -> str:
    reach = "" if value.high is None or value.mean is None else f" ± {value.high - value.mean:.2f}"
    return f"{value.mean:.2f}{reach}"


def show(found: Mapping[str, Sequence[Outcome]], days: int, console: Console) -> None:
    """The table that docs/control.md has."""
    table = Table(title=f"EUR a day, means over {len(found[RULE])} seeds; differences from the rule, seed by seed")
    for heading in (
        "method",
        "owners' bills",
        "less than the rule",
        "all bills less",
        "left, kWh",
        "local, kWh",
        "utility, kWh",
    ):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for name, outcomes in found.items():
        pairs = list(zip(found[RULE], outcomes, strict=True))
        own, everybody = (
            interval((getattr(rule, field) - getattr(one, field)) / days for rule, one in pairs)
            for field in ("bills", "everybody")
        )
        left = interval(one.stored_kwh for one in outcomes).mean or 0.0
        means = [
            interval(getattr(one, field) / days for one in outcomes).mean or 0.0
            for field in ("bills", "local_kwh", "bought_kwh")
        ]
        gains = ["", ""] if name == RULE else [_told(own), _told(everybody)]
        table.add_row(name, f"{means[0]:.2f}", *gains, f"{left:.0f}", f"{means[1]:.0f}", f"{means[2]:.0f}")
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scenario", default="town", help="a shipped scenario")
    parser.add_argument("--group", default="store", help="whose batteries")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--days", type=int, default=2)
    options = parser.parse_args(arguments)
    found = study(load(options.scenario), options.group, range(1, options.seeds + 1), options.days)
    show(found, options.days, Console(width=140))


if __name__ == "__main__":
    main()
