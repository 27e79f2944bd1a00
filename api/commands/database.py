"""`wattbook db`: the schema of a ledger file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.console import say

app = typer.Typer(
    help="Show or change the schema version of a ledger file.",
    epilog="Example: wattbook db current runs/village-seed1/ledger.db",
    no_args_is_help=True,
)

LedgerFile = Annotated[Path, typer.Argument(help="A ledger file.", metavar="FILE", show_default=False)]


@app.command(epilog="Example: wattbook db current runs/village-seed1/ledger.db")
def current(file: LedgerFile) -> None:
    """Print the schema version of a ledger and the newest that this program knows."""
    from market import schema

    say(f"{schema.current(file) or 'none'} (newest: {schema.HEAD})")


@app.command(epilog="Example: wattbook db upgrade old-ledger.db")
def upgrade(
    file: LedgerFile,
    revision: Annotated[str, typer.Argument(help="The version to reach.", metavar="REVISION")] = "head",
) -> None:
    """Bring a ledger to a newer schema. Its entries and postings stay as they are."""
    from market import schema

    before = schema.current(file)
    schema.upgrade(file, revision)
    _changed(file, before, schema.current(file))


@app.command(epilog="Example: wattbook db downgrade ledger.db 0001")
def downgrade(
    file: LedgerFile,
    revision: Annotated[
        str, typer.Argument(help="The version to go back to, such as 0001.", metavar="REVISION", show_default=False)
    ],
) -> None:
    """Bring a ledger back to an older schema. Refused if entries would be lost."""
    from market import schema

    before = schema.current(file)
    schema.downgrade(file, revision)
    _changed(file, before, schema.current(file))


def _changed(file: Path, before: str | None, after: str | None) -> None:
    say(f"{file}: schema {before} as before" if before == after else f"{file}: schema {before} is now {after}")
