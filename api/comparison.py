"""One comparison of designs from start to files, with its progress and its table on the terminal."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from agents.compare import DESIGNS, MEASURES, Comparison, Design, RunError, compare
from agents.scenario import Scenario
from api.compare_page import page, spread
from api.console import err, note, out, say
from api.errors import CommandError, Exit
from api.report import put
from api.version import version

FORMAT = 1
"""Of compare.json."""


def run_comparison(
    scenario: Scenario,
    designs: Sequence[str],
    seeds: Sequence[int],
    jobs: int,
    folder: Path,
    offer: Mapping[str, Design] = DESIGNS,
) -> None:
    """Compare designs of an offer, print the table and write everything into `folder`.

    Raises CommandError if the wires do not carry what a run admitted, or on Ctrl-C; nothing is written then.
    """
    jobs = min(jobs, len(seeds))
    note(
        f"{scenario.name}, gate {scenario.grid.gate}: {', '.join(designs)}; {len(seeds)} seeds in "
        f"{jobs} process{'es' if jobs > 1 else ''}"
    )
    try:
        with _progress(len(seeds)) as watch:
            found = compare(
                scenario, designs, list(seeds), jobs=jobs, offer=offer, clock=time.perf_counter, progress=watch
            )
    except RunError as error:
        raise CommandError(
            Exit.FINDING,
            f"{error}: the wires would not carry what the gate admitted, which is a fault of the gate. Please report "
            "it with the scenario",
        ) from error
    except KeyboardInterrupt as stop:
        raise CommandError(Exit.INTERRUPTED, "interrupted; nothing was written") from stop
    write(found, folder)
    count = len(found.seeds)
    spans = f"means of {count} seeds, ± 95 % confidence" if count > 1 else f"seed {found.seeds[0]}"
    say(f"{scenario.title or scenario.name}: {spans}", "bold")
    out().print(_shown(found))
    say(f"Plots:    {folder / 'compare.html'}", "bold")
    say(f"Figures:  {folder / 'compare.json'}, {folder / 'table.csv'}, {folder / 'runs.csv'}")


def write(found: Comparison, folder: Path) -> None:
    """runs.csv, table.csv, compare.json and compare.html. Run times aside, the same seeds give the same bytes."""
    table = found.table()
    found.runs.to_csv(folder / "runs.csv", index=False, lineterminator="\n")
    table.to_csv(folder / "table.csv", index=False, lineterminator="\n")
    data = {
        "format": FORMAT,
        "version": version(),
        "scenario": found.scenario.name,
        "slots": found.scenario.slots,
        "gate": found.scenario.grid.gate,
        "currency": found.scenario.market.currency,
        "designs": dict(found.titles),
        "seeds": list(found.seeds),
        "measures": {name: {"label": MEASURES[name].label, "unit": found.unit(name)} for name in MEASURES},
        "runs": _records(found.runs),
        "table": _records(table),
    }
    text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    (folder / "compare.json").write_text(text, encoding="utf-8")
    put(folder / "compare.html", page(found))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON knows them: what is not there is null."""
    return [
        {str(key): None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        for row in table.to_dict("records")
    ]


def _shown(found: Comparison) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("", no_wrap=True)
    for design in found.designs:
        table.add_column(design, justify="right", no_wrap=True)
    for name, measure in MEASURES.items():
        cells = [spread(found.interval(design, name), measure.digits) for design in found.designs]
        unit = found.unit(name)
        table.add_row(f"{measure.label}{f' [dim]{unit}[/]' if unit else ''}", *cells)
    return table


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, else a line for every seed."""
    if not err().is_terminal:
        yield lambda done, seeds: note(f"{done} of {seeds} seeds")
        return
    columns = (
        SpinnerColumn(), TextColumn("seeds"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True),
    )  # fmt: skip
    with Progress(*columns, console=err(), transient=True) as bar:
        task = bar.add_task("compare", total=total)
        yield lambda done, _: bar.update(task, completed=done)
