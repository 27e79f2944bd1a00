"""A bar on standard error for commands that count entries; nothing where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from api.console import err


@contextmanager
def counting(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Gives a function that is told how many entries are done, and of how many."""
    if not err().is_terminal:
        yield lambda done, total: None
        return
    started = time.perf_counter()
    columns = (
        SpinnerColumn(),
        TextColumn(doing),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=err(), transient=True) as bar:
        task = bar.add_task(doing, total=None, rate="")

        def tell(done: int, total: int) -> None:
            rate = done / max(time.perf_counter() - started, 1e-9)
            bar.update(task, completed=done, total=total, rate=f"{done:,} entries, {rate:,.0f}/s")

        yield tell
