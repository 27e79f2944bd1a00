"""Market designs side by side: the same days, with the same participants, under each design and for many seeds.

All designs of one seed share one population and one day without local trading, so that what differs is the design
alone, and the difference of two designs is taken seed by seed.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, get_args

import numpy as np
import pandas as pd

from agents import metrics
from agents.indicators import fairness
from agents.intervals import Interval, interval
from agents.metrics import Accounts, Trades, share
from agents.model import MarketModel
from agents.optimum import Optimum, total
from agents.record import Record
from agents.scenario import Market, Scenario, ScenarioError, load_scenario
from agents.scenario_units import write_price
from agents.summary import stack
from grid.gate import GridViolation
from market.units import NANO, PRICE_PER_CT_KWH

NONE = "none"
"""The day without a local market, which everything is set against."""


class Design(NamedTuple):
    """A way to hold the market."""

    title: str
    changes: Mapping[str, Any]
    """Fields of the scenario."""
    strategy: str | None = None
    """What everybody then uses; None: what the scenario says."""
    clock: bool = False
    """With the scenario's spread clock, or if it has none with one that starts at retail less feed_in."""
    third: str = ""
    """Which auctions come after a third of the trading time: `opening` or `every`."""
    closing: bool = False
    """With a closing auction, for which a spread clock goes on at the gate: it would come to zero at 1.5."""

    def fields(self, scenario: Scenario) -> dict[str, Any]:
        """The fields of `scenario` to change: its auctions and, without `clock`, its spread clock are not kept."""
        market, tariffs = scenario.market, scenario.tariffs
        auctions: dict[str, Any] = {"closing": True} if self.closing else {}
        if self.third:
            auctions[self.third] = f"{-(-(market.opens_before - market.gate_closure) // 3)} s"
        clock: dict[str, Any] = {}
        if self.clock:
            start = market.spread_clock.start or tariffs.largest_gap
            zero_at = 1.5 if self.closing else min(market.spread_clock.zero_at, 1.0)
            clock = {"start": write_price(start), "zero_at": zero_at, "power": market.spread_clock.power}
        return {"market.auctions": auctions, "market.spread_clock": clock, **self.changes}


TARIFFS = "tariffs"
_CDA = {"market.design": "cda"}
DESIGNS: Mapping[str, Design] = {
    "cda": Design("continuous double auction", _CDA),
    "clock": Design("continuous double auction with a spread clock", _CDA, clock=True),
    "call": Design("uniform-price call auction at gate closure", {"market.design": "call"}),
    "pay_as_bid": Design("call auction at gate closure, each pair at its own price", {"market.design": "pay_as_bid"}),
    "mmr": Design("mid-market rate at gate closure", {"market.design": "mmr"}),
    "sdr": Design("price by supply-demand ratio at gate closure", {"market.design": "sdr"}),
    NONE: Design("no local market: everybody trades with the utility", _CDA, "utility_only"),
    "cda+opening": Design("continuous double auction after a call auction", _CDA, third="opening"),
    "cda+closing": Design("continuous double auction, and a call auction of what is left", _CDA, closing=True),
    "clock+closing": Design("a slower spread clock, and a call auction of the rest", _CDA, clock=True, closing=True),
    "periodic": Design("a call auction after each third of the trading time", {"market.design": "call"}, third="every"),
}
PLAIN = tuple(DESIGNS)[:7]
"""Those that are compared if nobody says which."""


class Measure(NamedTuple):
    """One figure of a run."""

    label: str
    unit: str
    digits: int


MEASURES: Mapping[str, Measure] = {
    "traded_kwh": Measure("Traded locally", "kWh", 1),
    "trades": Measure("Trades", "", 0),
    "price_ct": Measure("Mean price", "ct/kWh", 2),
    "savings": Measure("Savings", "currency", 2),
    "benefit": Measure("Benefits", "currency", 2),
    "welfare_pct": Measure("Welfare reached", "%", 2),
    "self_sufficiency_pct": Measure("Self-sufficiency", "%", 2),
    "jain": Measure("Jain's index of benefits", "", 3),
    "gini": Measure("Gini of savings", "", 3),
    "losers_pct": Measure("Participants worse off", "%", 1),
    "fees": Measure("Fees to the wires", "currency", 2),
    "losses_kwh": Measure("Lost in the wires", "kWh", 1),
    "refused": Measure("Refused by the wires", "", 0),
    "trimmed": Measure("Trimmed by the wires", "", 0),
    "loading_pct": Measure("Fullest branch", "%", 1),
    "seconds": Measure("Run time", "s", 2),
}
"""Figures by name, in the order of the tables."""


class RunError(RuntimeError):
    """A run that ended before its day did, with seed and design in its text."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a comparison found."""

    scenario: Scenario
    designs: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: pd.DataFrame
    """One row per seed and design, in that order: `seed`, `design` and every measure; empty where there is none."""
    titles: Mapping[str, str]
    """What each design is, in words."""

    def table(self) -> pd.DataFrame:
        """One row per design and measure: `design`, `measure`, `unit`, `mean`, `low`, `high` (95 % by Student's t over
        the seeds), `seeds`, and the same of the difference from the first design, seed by seed.
        """
        rows = []
        for design in self.designs:
            for name in MEASURES:
                found, beyond = self.interval(design, name), self.difference(design, name)
                rows.append(
                    {"design": design, "measure": name, "unit": self.unit(name)}
                    | found._asdict()
                    | {f"difference_{key}": value for key, value in beyond._asdict().items() if key != "seeds"}
                )
        return pd.DataFrame(rows)

    def values(self, design: str) -> pd.DataFrame:
        """The measures of one design, a row per seed."""
        own = self.runs[self.runs["design"] == design]
        return own.set_index("seed")[list(MEASURES)]

    def interval(self, design: str, measure: str) -> Interval:
        """Mean and 95 % interval of a measure under a design."""
        return interval(self.values(design)[measure])

    def difference(self, design: str, measure: str) -> Interval:
        """The same of what a design has more than the first one, seed by seed."""
        return interval(self.values(design)[measure] - self.values(self.designs[0])[measure])

    def unit(self, measure: str) -> str:
        """Unit of a measure, money in the scenario's currency."""
        unit = MEASURES[measure].unit
        return self.scenario.market.currency if unit == "currency" else unit


def problems(designs: Sequence[str], offer: Mapping[str, Design] = DESIGNS) -> list[str]:
    """What is wrong with a choice among the designs of an offer; empty if they can be compared."""
    known = ", ".join(offer)
    if not designs:
        return [f"designs: give at least one of {known}"]
    found = [f"designs: there is no {name!r}, only {known}" for name in designs if name not in offer]
    found += [f"designs: {name!r} is given twice" for name in dict.fromkeys(designs) if designs.count(name) > 1]
    later = [name for name in designs if name in offer and not _offered(offer[name])]
    if later:
        can = ", ".join(name for name in offer if _offered(offer[name]))
        found.append(f"designs: this version's exchange cannot hold {', '.join(later)}; it can hold {can}")
    return found


def tariff_designs(scenario: Scenario, others: Sequence[Scenario]) -> dict[str, Design]:
    """The scenario as it is, and with the tariffs of others, by their names. Raises ScenarioError if two are alike."""
    names = [one.name for one in (scenario, *others)]
    if len(set(names)) < len(names) or NONE in names:
        raise ScenarioError([f"tariffs: every scenario needs a name of its own, not {NONE}; got {', '.join(names)}"])
    market = scenario.model_dump(mode="json")["market"]
    kept = {f"market.{name}": market[name] for name in ("design", "auctions", "spread_clock")}
    own = {scenario.name: Design(f"tariffs of {scenario.name}", kept)}
    return own | {
        other.name: Design(f"tariffs of {other.name}", kept | {TARIFFS: other.model_dump(mode="json")[TARIFFS]})
        for other in others
    }


def compare(
    scenario: Scenario,
    designs: Sequence[str],
    seeds: Sequence[int],
    *,
    jobs: int = 1,
    offer: Mapping[str, Design] = DESIGNS,
    clock: Callable[[], float] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Run every design with every seed in `jobs` processes; the figures do not depend on their number.

    `offer` has the designs by name, for those who try their own. `clock` measures the run times [s], which are left
    out without one. `progress` hears how many seeds are done, and of how many. Raises ScenarioError with all that is
    wrong with the choice, RunError if a run ends early.
    """
    found = problems(designs, offer)
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        found.append(f"seeds: need different whole numbers from 0, got {list(seeds)}")
    if found:
        raise ScenarioError(found)
    work = partial(run_seed, scenario.to_yaml(), {name: offer[name] for name in designs}, clock)
    rows: dict[int, list[dict[str, Any]]] = {}
    for seed, result in _finished(work, seeds, min(jobs, len(seeds))):
        rows[seed] = result
        if progress is not None:
            progress(len(rows), len(seeds))
    runs = pd.DataFrame([row for seed in seeds for row in rows[seed]])
    runs[list(MEASURES)] = runs[list(MEASURES)].astype(np.float64)
    return Comparison(scenario, tuple(designs), tuple(seeds), runs, {name: offer[name].title for name in designs})


def run_seed(
    text: str, designs: Mapping[str, Design], clock: Callable[[], float] | None, seed: int
) -> list[dict[str, Any]]:
    """Every design for one seed; `text` is the scenario as YAML. Raises RunError."""
    scenario = load_scenario(text).changed(seed=seed, **{"output.compare": []})
    none, none_seconds = _run(scenario, NONE, DESIGNS[NONE], None, clock)
    # What could have been is a matter of the wants, the wires and the tariffs, which designs share, and so is the day
    # without a local market.
    against = {TARIFFS: (none, metrics.accounts(none, metrics.trades(none)), metrics.optima(none))}
    rows = []
    for name, design in designs.items():
        own = repr(design.changes.get(TARIFFS, TARIFFS))
        if own not in against and TARIFFS in design.changes:
            tariffs = {TARIFFS: design.changes[TARIFFS]}
            other, _ = _run(scenario, name, DESIGNS[NONE]._replace(changes=tariffs), none, clock)
            against[own] = other, metrics.accounts(other, metrics.trades(other)), metrics.optima(other)
        record, seconds = (none, none_seconds) if name == NONE else _run(scenario, name, design, none, clock)
        found = _figures(record, *against.get(own, against[TARIFFS]))
        rows.append({"seed": seed, "design": name} | found | {"seconds": seconds})
    return rows


def _offered(design: Design) -> bool:
    """Whether a scenario can ask for the design."""
    name = design.changes.get("market.design")
    if name is None or name == "cda":
        return True
    field = Market.model_fields.get("design")
    return field is not None and name in get_args(field.annotation)


def _run(
    scenario: Scenario, name: str, design: Design, like: Record | None, clock: Callable[[], float] | None
) -> tuple[Record, float | None]:
    """One day under a design, with the participants of `like`, and how long its trading took [s]."""
    people = None if like is None else like.population
    model = MarketModel(scenario, strategy=design.strategy, population=people, **design.fields(scenario))
    start = clock() if clock else 0.0
    try:
        model.run_model()
    except GridViolation as violation:  # it does not survive the way between processes
        raise RunError(f"seed {scenario.seed}, design {name}: {violation}") from violation
    return model.record, clock() - start if clock else None


def _figures(record: Record, none: Record, before: Accounts, best: list[Optimum]) -> dict[str, float | None]:
    traded = metrics.trades(record)
    account, physical = metrics.accounts(record, traded), metrics.physics(record)
    saving = account.money - before.money
    benefit = metrics.benefit(record, account) - metrics.benefit(none, before)
    load = int(physical.load.sum())
    admitted = [limit.event.admitted for limit in record.desk.limits]
    welfare, (optimum, _) = int(metrics.welfare(record, traded).sum()), total(best)
    return {
        **_local(traded),
        "savings": int(saving.sum()) / NANO,
        "benefit": int(benefit.sum()) / NANO,
        "welfare_pct": _percent(share(welfare, optimum)),
        "self_sufficiency_pct": _percent(share(load - int(account.bought_utility.sum()), load)),
        **fairness(benefit, saving),
        "fees": int(account.fees.sum()) / NANO,
        "losses_kwh": float(stack(record, "loss_w").sum()) * record.scenario.slot_hours / 1000,
        "refused": sum(1 for wh in admitted if wh == 0),
        "trimmed": sum(1 for wh in admitted if wh > 0),
        "loading_pct": 100 * float(stack(record, "loading").max(initial=0.0)),
    }


def _local(traded: Trades) -> dict[str, float | None]:
    price, energy = traded.price[traded.local], traded.quantity[traded.local]
    mean = share(int(price @ energy), int(energy.sum()))
    return {
        "traded_kwh": int(energy.sum()) / 1000,
        "trades": len(energy),
        "price_ct": None if mean is None else mean / PRICE_PER_CT_KWH,
    }


def _percent(part: float | None) -> float | None:
    return None if part is None else 100 * part


def _finished(
    work: Callable[[int], list[dict[str, Any]]], seeds: Sequence[int], jobs: int
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Results as they come. Processes are spawned, so that they inherit nothing."""
    if jobs <= 1:
        for seed in seeds:
            yield seed, work(seed)
        return
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _leave_interrupts_to_the_parent)
    try:
        waiting = {pool.submit(work, seed): seed for seed in seeds}
        for future in as_completed(waiting):
            yield waiting[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
