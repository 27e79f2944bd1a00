"""Which ledger a command is about: a file, or a database of a server."""

from __future__ import annotations

from typing import Annotated

import typer

LedgerTarget = Annotated[
    str,
    typer.Argument(
        help="A ledger file or a database, postgresql://USER@HOST/NAME; by default what WATTBOOK_DATABASE_URL says.",
        metavar="LEDGER",
        envvar="WATTBOOK_DATABASE_URL",
        show_default=False,
    ),
]

LedgerOption = Annotated[
    str | None,
    typer.Option(
        "--db",
        help="The run's ledger: a file, or an empty database, postgresql://USER@HOST/NAME; by default in the folder.",
        metavar="LEDGER",
        show_default=False,
    ),
]


def shown(ledger: str) -> str:
    """Its name in messages: a URL without its password."""
    from market.database import database_of

    return database_of(ledger).name
