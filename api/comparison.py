"""One comparison from start to files, with its progress and its tables on the terminal."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from agents.compare import DESIGN, SCENARIO, Comparison, Interrupted, RunError, compare, compare_scenarios
from agents.compare_runs import Finished
from agents.designs import DESIGNS, Design
from agents.intervals import Interval
from agents.measures import MEASURES
from agents.scenario import Scenario
from api.compare_page import clear, page, spread
from api.console import err, note, out, say
from api.errors import CommandError, Exit
from api.report import put
from api.simulate import stoppable
from api.version import version

FORMAT = 2
"""Of compare.json."""
RUNS = "runs.csv"
FAILURES = "failures.txt"


def run_comparison(
    scenario: Scenario,
    designs: Sequence[str],
    seeds: Sequence[int],
    jobs: int,
    folder: Path,
    offer: Mapping[str, Design] = DESIGNS,
) -> None:
    """Compare designs of an offer, print the tables and write everything into `folder`.

    Raises CommandError if a run failed or on Ctrl-C; what the others found is written first.
    """
    head = f"{scenario.name}, gate {scenario.grid.gate}: {', '.join(designs)}"
    work = partial(compare, scenario, designs, seeds, offer=offer)
    _run(work, head, DESIGN, len(seeds), len(seeds), jobs, folder)


def run_scenarios(
    scenarios: Mapping[str, Scenario], sources: Mapping[str, str], seeds: Sequence[int], jobs: int, folder: Path
) -> None:
    """The same for scenarios as they are, by the names of their columns; `sources` says where they come from."""
    work = partial(compare_scenarios, scenarios, seeds, sources=sources)
    lengths = {scenario.slots for scenario in scenarios.values()}
    if len(lengths) > 1:
        note("the scenarios differ in length; sums of energy and money do, too. --slots or --days makes them alike")
    _run(work, ", ".join(scenarios), SCENARIO, len(seeds), len(seeds) * len(scenarios), jobs, folder)


def _run(
    work: Callable[..., Comparison], head: str, axis: str, seeds: int, pieces: int, jobs: int, folder: Path
) -> None:
    jobs = min(jobs, pieces)
    (folder / FAILURES).unlink(missing_ok=True)
    note(f"{head}; {seeds} seed{'s' if seeds > 1 else ''} in {jobs} process{'es' if jobs > 1 else ''}")
    stopped: CommandError | None = None
    try:
        with stoppable(), _progress(pieces) as watch, _kept(folder / RUNS, axis) as keep:
            found = work(jobs=jobs, clock=time.perf_counter, progress=watch, heard=keep)
    except RunError as error:
        found = error.found
        stopped = CommandError(Exit.FINDING, *map(str, found.failures), f"where in the program: {folder / FAILURES}")
        (folder / FAILURES).write_text("\n".join(f"{one}\n{one.trace}" for one in found.failures), encoding="utf-8")
    except Interrupted as stop:
        found = stop.found
        kept = f"the {len(found.runs)} runs that had ended are in {folder}" if len(found.runs) else "no run had ended"
        stopped = CommandError(Exit.INTERRUPTED, f"interrupted; {kept}")
    if len(found.runs):
        write(found, folder)
        _show(found, folder)
    else:
        (folder / RUNS).unlink(missing_ok=True)
    if stopped is not None:
        raise stopped


def write(found: Comparison, folder: Path) -> None:
    """runs.csv, table.csv, compare.json and compare.html. Run times aside, the same seeds give the same bytes."""
    table = found.table()
    found.runs.to_csv(folder / RUNS, index=False, lineterminator="\n")
    table.to_csv(folder / "table.csv", index=False, lineterminator="\n")
    found.groups.to_csv(folder / "groups.csv", index=False, lineterminator="\n")
    data = {
        "format": FORMAT,
        "version": version(),
        "columns": found.axis,
        found.axis + "s": {name: _described(found, name) for name in found.columns},
        "currency": found.scenario.market.currency,
        "seeds": list(found.seeds),
        "failures": [
            {"source": told.source, "column": told.column, "seed": told.seed, "reason": told.reason}
            for told in found.failures
        ],
        "measures": {name: {"label": MEASURES[name].label, "unit": found.unit(name)} for name in MEASURES},
        "runs": _records(found.runs),
        "groups": _records(found.groups),
        "table": _records(table),
    }
    text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    (folder / "compare.json").write_text(text, encoding="utf-8")
    put(folder / "compare.html", page(found))


def _described(found: Comparison, name: str) -> dict[str, Any]:
    scenario = found.scenarios[name]
    return {
        "title": found.titles[name], "scenario": scenario.name, "slots": scenario.slots, "gate": scenario.grid.gate,
    }  # fmt: skip


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON knows them: what is not there is null."""
    return [
        {str(key): None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        for row in table.to_dict("records")
    ]


def _show(found: Comparison, folder: Path) -> None:
    count = found.runs["seed"].nunique()
    spans = f"means of {count} seeds, ± 95 % confidence" if count > 1 else f"seed {found.runs['seed'].iloc[0]}"
    if found.failures or len(found.runs) < len(found.columns) * len(found.seeds):
        spans += f"; {len(found.runs)} of {len(found.columns) * len(found.seeds)} runs"
    title = found.scenario.title or found.scenario.name if found.axis == DESIGN else "Scenarios side by side"
    _print(found, f"{title}: {spans}", found.columns, found.interval)
    others = found.columns[1:]
    if others:
        sure = "; *: zero is outside of the interval" if count > 1 else ""
        head = f"\nWhat differs from {found.columns[0]}, seed by seed{sure}"
        _print(found, head, others, found.difference, marked=count > 1)
    say(f"Plots:    {folder / 'compare.html'}", "bold")
    say(f"Figures:  {folder / 'compare.json'}, {folder / 'table.csv'}, {folder / RUNS}")


def _print(
    found: Comparison, title: str, columns: Sequence[str], of: Callable[[str, str], Interval], marked: bool = False
) -> None:
    """A table of means, in several pieces where the terminal is too narrow for all columns."""
    say(title, "bold")
    cells = {column: [_cell(of(column, name), name, marked) for name in MEASURES] for column in columns}
    names = [f"{measure.label} [dim]{found.unit(name)}[/]".rstrip() for name, measure in MEASURES.items()]
    room = out().width - max(len(measure.label) + len(found.unit(name)) + 1 for name, measure in MEASURES.items())
    left = list(columns)
    while left:
        piece = [left.pop(0)]
        used = _width(piece[0], cells)
        while left and used + _width(left[0], cells) <= room:
            used += _width(left[0], cells)
            piece.append(left.pop(0))
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("", no_wrap=True)
        for column in piece:
            table.add_column(column, justify="right", no_wrap=True)
        for place, name in enumerate(names):
            table.add_row(name, *(cells[column][place] for column in piece))
        out().print(table)


def _width(column: str, cells: Mapping[str, list[str]]) -> int:
    return 2 + max(len(column), *map(len, cells[column]))


def _cell(value: Interval, name: str, marked: bool) -> str:
    told = spread(value, MEASURES[name].digits)
    return told + (" *" if clear(value) else "  ") if marked else told


@contextmanager
def _kept(path: Path, axis: str) -> Iterator[Callable[[Finished], None]]:
    """Adds the rows of every piece of work to a file as they come, so that whatever happens later they are there."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["seed", axis, *MEASURES])

        def keep(done: Finished) -> None:
            for row in done.rows:
                writer.writerow([row["seed"], row["column"], *(row[name] for name in MEASURES)])
            file.flush()
            for failure in done.failures:
                note(f"failed: {failure}", "red")

        yield keep


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, else a line for every piece of work."""
    if not err().is_terminal:
        yield lambda done, of: note(f"{done} of {of} done")
        return
    columns = (
        SpinnerColumn(), TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True),
    )  # fmt: skip
    with Progress(*columns, console=err(), transient=True) as bar:
        task = bar.add_task("compare", total=total)
        yield lambda done, _: bar.update(task, completed=done)
