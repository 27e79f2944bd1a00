"""`wattbook report`: the HTML report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.console import say
from api.targets import LedgerOption


def report(
    directory: Annotated[Path, typer.Argument(help="The folder of a run.", metavar="DIR", show_default=False)],
    db: LedgerOption = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write report.html from what a run left in its folder: one file that works offline."""
    from api.report import write

    path = write(directory, db)
    say(str(path))
    if open_:
        typer.launch(path.absolute().as_uri())
