"""One laboratory from start to files, with its progress and summary on the terminal."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from agents import laboratory
from agents.laboratory_file import Laboratory
from api.console import err, note, out, say
from api.errors import CommandError, Exit

PLAIN_STEPS = 10
"""Lines of progress in all where there is no terminal."""
SMALL = 200_000
"""Quotes up to which a second process would cost more than it saves."""


def run_laboratory(lab: Laboratory, folder: Path) -> None:
    """Run all sessions, write everything into `folder` and print the summary. Raises CommandError on Ctrl-C."""
    for name in laboratory.FILES:
        (folder / name).unlink(missing_ok=True)
    note(f"{lab.name}, seed {lab.seed}, {lab.sessions:,} sessions of {lab.periods} periods: results go to {folder}")
    started = time.perf_counter()
    most = lab.sessions * lab.periods * (lab.quotes_per_period or lab.idle_limit or 0)
    workers = 1 if most <= SMALL else min(os.cpu_count() or 1, lab.sessions)
    try:
        with _progress(lab.sessions) as watch:
            results = laboratory.run(lab, workers=workers, progress=watch)
    except KeyboardInterrupt as stop:
        raise CommandError(Exit.INTERRUPTED, "interrupted; nothing was written") from stop
    results.write(folder)
    _show(results)
    say(f"Results: {folder / 'summary.json'}, {folder / 'trades.csv'}")
    note(f"{time.perf_counter() - started:.1f} s in all")


def _show(results: laboratory.LaboratoryResults) -> None:
    """Figures of all periods, or of some of many, and of the whole."""
    summary = results.summary
    fair, best = results.equilibrium, results.optimum
    say(f"{results.lab.title or results.lab.name}", "bold")
    span = f"{fair.low}" if fair.low == fair.high else f"{fair.low} to {fair.high}"
    say(f"equilibrium {span}, {fair.quantity} units, surplus {fair.surplus}; optimum under the lines {best}")
    table = Table("period", "efficiency", "mean price", "Smith's α", "dispersion", "trades", box=None)
    rows = summary["per_period"]
    step = -(-len(rows) // 10)
    for row in [*rows[::step], {**summary, "period": "all"}]:
        efficiency = row["allocative_efficiency"]
        table.add_row(
            str(row["period"]),
            "–" if efficiency is None else f"{efficiency:.2%}",
            *(_figure(row[key]) for key in ("mean_price", "smiths_alpha", "profit_dispersion", "trades")),
        )
    out().print(table)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


@contextmanager
def _progress(total: int) -> Iterator[laboratory.Progress]:
    """A bar on a terminal, else a line now and then."""
    if not err().is_terminal:
        told = 0

        def tell(done: int, total: int) -> None:
            nonlocal told
            if done * PLAIN_STEPS // total > told:
                told = done * PLAIN_STEPS // total
                note(f"session {done:,} of {total:,}")

        yield tell
        return
    columns = (
        TextColumn("session {task.completed:.0f} of {task.total:.0f}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=err(), transient=True) as bar:
        task = bar.add_task("run", total=total)
        yield lambda done, _: bar.update(task, completed=done)
