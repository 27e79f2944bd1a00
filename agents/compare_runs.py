"""The runs of a comparison: what is run with one seed, and many of these in several processes.

A run that fails takes no other with it: it is told with its scenario and seed, and the others' figures are kept.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple, Protocol

from agents import metrics
from agents.designs import DESIGNS, NONE, TARIFFS, Design, none_of
from agents.measures import figures
from agents.model import MarketModel
from agents.record import Record
from agents.scenario import Scenario, load_scenario
from grid.gate import GridViolation
from grid.powerflow import PowerFlowError

Clock = Callable[[], float]


class Case(NamedTuple):
    """One scenario with the designs that it is run under, a column of the comparison each."""

    source: str
    """Where the scenario comes from, for people: a file or a shipped name."""
    text: str
    """The scenario as YAML."""
    designs: Mapping[str, Design]


class Failure(NamedTuple):
    """A run that ended before its day did."""

    source: str
    column: str
    """Its design; the source again where that says all."""
    seed: int
    reason: str
    trace: str = ""
    """Where in the program."""

    def __str__(self) -> str:
        column = "" if self.column == self.source else f", {self.column}"
        return f"{self.source}{column}, seed {self.seed}: {self.reason}"


class Finished(NamedTuple):
    """What came of a case with one seed."""

    case: int
    seed: int
    rows: list[dict[str, Any]]
    """`seed`, `column` and every measure."""
    groups: list[dict[str, Any]]
    """`seed`, `column`, `group`, its `participants` and every measure of groups."""
    failures: list[Failure]


class Flag(Protocol):
    """Of a `multiprocessing.Event`, what is needed here."""

    def is_set(self) -> bool: ...
    def set(self) -> None: ...


class _Abandoned(Exception):  # noqa: N818 - it is no error
    """The comparison was interrupted."""


_stop: list[Flag] = []
"""In a process of a pool: what tells that the comparison was interrupted."""


def run_seed(number: int, case: Case, clock: Clock | None, seed: int) -> Finished:
    """Every design of a case, the one with this number, with one seed."""
    done = Finished(number, seed, [], [], [])
    designs = list(case.designs.items())

    def attempt(column: str, work: Callable[[], None]) -> bool:
        """Whether it went well; else the failure is told. What one run does must not cost the others their figures."""
        try:
            work()
        except _Abandoned:
            raise
        except Exception as error:  # noqa: BLE001 - it is told, with its place in the program
            done.failures.append(Failure(case.source, column, seed, _said(error), traceback.format_exc()))
            return False
        return True

    days: list[_Days] = []
    if attempt(case.source, lambda: days.append(_Days(case.text, clock, seed))):
        for column, design in designs:
            told = column if len(designs) > 1 else case.source
            attempt(told, lambda c=column, d=design: days[0].run(c, d, done))  # type: ignore[misc]
    return done


def _said(error: Exception) -> str:
    if isinstance(error, GridViolation):
        return f"{error}: the wires would not carry what the gate admitted, which is a fault of the gate"
    foreseen = isinstance(error, PowerFlowError | ValueError | OSError) and str(error)
    return str(error) if foreseen else f"{type(error).__name__}: {error}"


class _Days:
    """The days of one scenario and seed: they share participants, weather and the day without a local market."""

    def __init__(self, text: str, clock: Clock | None, seed: int) -> None:
        self._scenario = load_scenario(text).changed(seed=seed, **{"output.compare": []})
        self._clock = clock
        self._none, self._none_seconds = _run(self._scenario, none_of(self._scenario), None, clock)
        none = self._none
        # What could have been is a matter of the wants, the wires and the tariffs, which designs share, and so is the
        # day without a local market.
        self._against = {TARIFFS: (none, metrics.accounts(none, metrics.trades(none)), metrics.optima(none))}

    def run(self, column: str, design: Design, done: Finished) -> None:
        """Adds the rows of one design."""
        none, clock, scenario = self._none, self._clock, self._scenario
        own = repr(design.changes.get(TARIFFS, TARIFFS))
        if own not in self._against and TARIFFS in design.changes:
            tariffs = {TARIFFS: design.changes[TARIFFS]}
            other, _ = _run(scenario, DESIGNS[NONE]._replace(changes=tariffs), none, clock)
            self._against[own] = other, metrics.accounts(other, metrics.trades(other)), metrics.optima(other)
        same = design in (DESIGNS[NONE], none_of(scenario))
        record, seconds = (none, self._none_seconds) if same else _run(scenario, design, none, clock)
        found = figures(record, *self._against.get(own, self._against[TARIFFS]))
        head = {"seed": scenario.seed, "column": column}
        done.rows.append(head | found.whole | {"seconds": seconds})
        done.groups.extend(head | {"group": name} | group for name, group in found.groups.items())


def _run(scenario: Scenario, design: Design, like: Record | None, clock: Clock | None) -> tuple[Record, float | None]:
    """One day under a design, with the participants of `like`, and how long its trading took [s]."""
    people = None if like is None else like.population
    model = MarketModel(scenario, strategy=design.strategy, population=people, **design.fields(scenario))
    start = clock() if clock else 0.0
    while model.running:
        model.step()
        if _stop and _stop[0].is_set():
            raise _Abandoned
    return model.record, clock() - start if clock else None


def run_all(cases: Sequence[Case], seeds: Sequence[int], jobs: int, clock: Clock | None) -> Iterator[Finished]:
    """Results as they come, of every case with every seed, seed by seed.

    Processes are spawned, so that they inherit nothing. Whoever stops listening, by an interrupt too, stops them within
    a slot.
    """
    work = [(number, case, clock, seed) for seed in seeds for number, case in enumerate(cases)]
    if jobs <= 1:
        for item in work:
            yield run_seed(*item)
        return
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(min(jobs, len(work)), context, _begin, (stop,))
    waiting: dict[Future[Finished], tuple[int, Case, Clock | None, int]] = {}
    try:
        waiting = {pool.submit(run_seed, *item): item for item in work}
        for future in as_completed(waiting):
            number, case, _, seed = waiting[future]
            try:
                yield future.result()
            except BrokenProcessPool:
                reason = "its process was ended from outside, as happens when memory runs out; try fewer --jobs"
                yield Finished(number, seed, [], [], [Failure(case.source, case.source, seed, reason)])
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(stop: Flag) -> None:
    """In a process of the pool: interrupts are for its parent to see."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _stop[:] = [stop]
