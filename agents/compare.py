"""Scenarios or market designs side by side: the same seeds for each, and the difference of two taken seed by seed.

All designs of one scenario and seed share one population and one day without local trading, so that what differs is the
design alone. Scenarios share what has the same name in both: groups draw their members, weather and moments by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from agents.compare_runs import Case, Clock, Failure, Finished, run_all
from agents.designs import DESIGNS, Design, as_it_is, problems
from agents.intervals import Interval, interval
from agents.measures import GROUP_MEASURES, MEASURES, Measure
from agents.scenario import Scenario, ScenarioError

DESIGN, SCENARIO = "design", "scenario"
"""What the columns of a comparison are."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a comparison found."""

    axis: str
    """What its columns are: DESIGN or SCENARIO."""
    scenarios: Mapping[str, Scenario]
    """By column, in the order that was asked for: what was run, but for its design and seed."""
    seeds: tuple[int, ...]
    runs: pd.DataFrame
    """A row per seed and column, in that order: `seed`, the column under the name of the axis, and every measure, empty
    where there is none. Runs that failed have no row."""
    groups: pd.DataFrame
    """The same for the groups of each run: `group`, its `participants`, and every measure of groups."""
    titles: Mapping[str, str]
    """What each column is, in words."""
    failures: tuple[Failure, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.scenarios)

    @property
    def scenario(self) -> Scenario:
        """That of the first column."""
        return self.scenarios[self.columns[0]]

    def table(self) -> pd.DataFrame:
        """One row per column and measure: the name of the axis, `measure`, `unit`, `mean`, `low`, `high` (95 % by
        Student's t over the seeds), `seeds`, and the same of the difference from the first column, seed by seed.
        """
        rows = []
        for column in self.columns:
            for name in MEASURES:
                found, beyond = self.interval(column, name), self.difference(column, name)
                rows.append(
                    {self.axis: column, "measure": name, "unit": self.unit(name)}
                    | found._asdict()
                    | {f"difference_{key}": value for key, value in beyond._asdict().items()}
                )
        return pd.DataFrame(rows)

    def values(self, column: str) -> pd.DataFrame:
        """The measures of one column, a row per seed."""
        own = self.runs[self.runs[self.axis] == column]
        return own.set_index("seed")[list(MEASURES)]

    def interval(self, column: str, measure: str) -> Interval:
        """Mean and 95 % interval of a measure in a column."""
        return interval(self.values(column)[measure])

    def difference(self, column: str, measure: str) -> Interval:
        """The same of what a column has more than the first one, seed by seed, of the seeds that both have."""
        return interval(self.values(column)[measure] - self.values(self.columns[0])[measure])

    def group_interval(self, column: str, group: str, measure: str) -> Interval:
        """Mean and 95 % interval of a measure of a group in a column."""
        own = self.groups[(self.groups[self.axis] == column) & (self.groups["group"] == group)]
        return interval(own[measure])

    def unit(self, measure: str, measures: Mapping[str, Measure] = MEASURES) -> str:
        """Unit of a measure, money in the scenarios' currency."""
        unit = measures[measure].unit
        return self.scenario.market.currency if unit == "currency" else unit


class RunError(RuntimeError):
    """Runs ended before their day did: their scenarios and seeds, a line each, and what the other runs found."""

    def __init__(self, found: Comparison) -> None:
        super().__init__("\n".join(map(str, found.failures)))
        self.found = found


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what the runs that had ended found."""

    def __init__(self, found: Comparison) -> None:
        super().__init__()
        self.found = found


def compare(
    scenario: Scenario,
    designs: Sequence[str],
    seeds: Sequence[int],
    *,
    jobs: int = 1,
    offer: Mapping[str, Design] = DESIGNS,
    clock: Clock | None = None,
    progress: Callable[[int, int], None] | None = None,
    heard: Callable[[Finished], None] | None = None,
) -> Comparison:
    """Run every design with every seed in `jobs` processes; the figures do not depend on their number.

    `offer` has the designs by name, for those who try their own. `clock` measures the run times [s], which are left
    out without one. `progress` hears how many seeds are done, and of how many, `heard` what came of each. Raises
    ScenarioError with all that is wrong with the choice, RunError if a run failed, when all others are done, and
    Interrupted on Ctrl-C.
    """
    found = [*problems(designs, offer), *_seed_problems(seeds)]
    if found:
        raise ScenarioError(found)
    chosen = {name: offer[name] for name in designs}
    case = Case(scenario.name, scenario.to_yaml(), chosen)
    empty = Comparison(
        DESIGN, dict.fromkeys(designs, scenario), tuple(seeds), pd.DataFrame(), pd.DataFrame(),
        {name: design.title for name, design in chosen.items()},
    )  # fmt: skip
    return _compared(empty, [case], jobs, clock, progress, heard)


def compare_scenarios(
    scenarios: Mapping[str, Scenario],
    seeds: Sequence[int],
    *,
    jobs: int = 1,
    sources: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    progress: Callable[[int, int], None] | None = None,
    heard: Callable[[Finished], None] | None = None,
) -> Comparison:
    """Run every scenario, by the names of their columns, as it is with every seed; the rest as in `compare`.

    `sources` says for people where a scenario comes from, if not by its column's name.
    """
    found = _seed_problems(seeds)
    if not scenarios:
        found.append("scenarios: give at least one")
    currencies = {name: scenario.market.currency for name, scenario in scenarios.items()}
    if len(set(currencies.values())) > 1:
        told = ", ".join(f"{name} has {currency}" for name, currency in currencies.items())
        found.append(f"market.currency: must be the same in all that are compared, got: {told}")
    if found:
        raise ScenarioError(found)
    cases = [
        Case((sources or {}).get(name, name), scenario.to_yaml(), {name: as_it_is(scenario)})
        for name, scenario in scenarios.items()
    ]
    titles = {name: scenario.title or scenario.name for name, scenario in scenarios.items()}
    empty = Comparison(SCENARIO, dict(scenarios), tuple(seeds), pd.DataFrame(), pd.DataFrame(), titles)
    return _compared(empty, cases, jobs, clock, progress, heard)


def _seed_problems(seeds: Sequence[int]) -> list[str]:
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        return [f"seeds: need different whole numbers from 0, got {list(seeds)}"]
    return []


def _compared(
    empty: Comparison,
    cases: Sequence[Case],
    jobs: int,
    clock: Clock | None,
    progress: Callable[[int, int], None] | None,
    heard: Callable[[Finished], None] | None,
) -> Comparison:
    """The comparison with its runs."""
    done: dict[tuple[int, int], Finished] = {}
    try:
        for result in run_all(cases, empty.seeds, jobs, clock):
            done[result.seed, result.case] = result
            if heard is not None:
                heard(result)
            if progress is not None:
                progress(len(done), len(cases) * len(empty.seeds))
    except KeyboardInterrupt as stop:
        raise Interrupted(_with_runs(empty, cases, done)) from stop
    found = _with_runs(empty, cases, done)
    if found.failures:
        raise RunError(found)
    return found


def _with_runs(empty: Comparison, cases: Sequence[Case], done: Mapping[tuple[int, int], Finished]) -> Comparison:
    order = [done[seed, case] for seed in empty.seeds for case in range(len(cases)) if (seed, case) in done]
    runs = _rows([row for result in order for row in result.rows], ["seed", "column"], MEASURES)
    head = ["seed", "column", "group", "participants"]
    groups = _rows([row for result in order for row in result.groups], head, GROUP_MEASURES)
    return replace(
        empty,
        runs=runs.rename(columns={"column": empty.axis}),
        groups=groups.rename(columns={"column": empty.axis}),
        failures=tuple(told for result in order for told in result.failures),
    )


def _rows(rows: list[dict[str, Any]], head: list[str], measures: Mapping[str, Measure]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=[*head, *measures])
    table[list(measures)] = table[list(measures)].astype(np.float64)
    return table
