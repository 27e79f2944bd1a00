"""`wattbook db`: make a ledger, show or change the version of its schema."""

from __future__ import annotations

from typing import Annotated

import typer

from api.console import say
from api.targets import LedgerTarget, shown

app = typer.Typer(
    help="Make a ledger, show or change the version of its schema.",
    epilog="Example: wattbook db current runs/village-seed1/ledger.db",
    no_args_is_help=True,
)


@app.command(epilog="Example: wattbook db create postgresql://operator@localhost/market")
def create(ledger: LedgerTarget) -> None:
    """Make an empty ledger: a new file, or the tables of a ledger in an empty database of a server."""
    from market.store import Ledger

    with Ledger.create(ledger) as made:
        say(f"{made.name}: an empty ledger")


@app.command(epilog="Example: wattbook db current runs/village-seed1/ledger.db")
def current(ledger: LedgerTarget) -> None:
    """Print the schema version of a ledger and the newest that this program knows."""
    from market import schema

    say(f"{schema.current(ledger) or 'none'} (newest: {schema.HEAD})")


@app.command(epilog="Example: wattbook db upgrade old-ledger.db")
def upgrade(
    ledger: LedgerTarget,
    revision: Annotated[str, typer.Argument(help="The version to reach.", metavar="REVISION")] = "head",
) -> None:
    """Bring a ledger to a newer schema. Its entries and postings stay as they are."""
    from market import schema

    before = schema.current(ledger)
    schema.upgrade(ledger, revision)
    _changed(ledger, before, schema.current(ledger))


@app.command(epilog="Example: wattbook db downgrade ledger.db 0001")
def downgrade(
    ledger: LedgerTarget,
    revision: Annotated[
        str, typer.Argument(help="The version to go back to, such as 0001.", metavar="REVISION", show_default=False)
    ],
) -> None:
    """Bring a ledger back to an older schema. Refused if entries would be lost."""
    from market import schema

    before = schema.current(ledger)
    schema.downgrade(ledger, revision)
    _changed(ledger, before, schema.current(ledger))


def _changed(ledger: str, before: str | None, after: str | None) -> None:
    name = shown(ledger)
    say(f"{name}: schema {before} as before" if before == after else f"{name}: schema {before} is now {after}")
