"""`wattbook tokens`: who may connect to a live market."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from api.console import note, out, say
from api.errors import CommandError, Exit

app = typer.Typer(
    help="Give out and take back the tokens by which clients of a live market are known.",
    epilog="Example: wattbook tokens list --db runs/village-live.db",
    no_args_is_help=True,
)

Db = Annotated[
    str,
    typer.Option("--db", help="The ledger.", metavar="LEDGER", envvar="WATTBOOK_DATABASE_URL", show_default=False),
]


class Role(StrEnum):
    """What a token allows."""

    participant = "participant"
    operator = "operator"
    auditor = "auditor"


@app.command(epilog="Example: wattbook tokens new home-001 --db runs/village-live.db")
def new(
    name: Annotated[str, typer.Argument(help="The participant, or whose token it is.", show_default=False)],
    db: Db,
    role: Annotated[Role, typer.Option(help="What it allows.")] = Role.participant,
) -> None:
    """Print a new token, which nobody can read again: only its hash is kept."""
    from contextlib import closing

    from api.auth import Tokens

    with closing(Tokens(db)) as tokens:
        say(tokens.issue(role.value, name))
    note(f"acts as {name}, {role.value}; take it back with: wattbook tokens revoke {name} --db {db}")


@app.command("list", epilog="Example: wattbook tokens list --db runs/village-live.db")
def listed(db: Db) -> None:
    """List all tokens that were ever given out, by their marks."""
    from contextlib import closing

    from rich.table import Table

    from api.auth import Tokens
    from market.slots import format_time

    table = Table("mark", "name", "role", "created", "revoked", box=None)
    with closing(Tokens(db)) as tokens:
        for token in tokens.all():
            gone = "" if token.revoked is None else format_time(token.revoked)
            table.add_row(token.mark, token.participant, token.role, format_time(token.created), gone)
    out().print(table)


@app.command(epilog="Example: wattbook tokens revoke home-001 --db runs/village-live.db")
def revoke(
    name: Annotated[str, typer.Argument(help="Whose tokens.", show_default=False)],
    db: Db,
    mark: Annotated[
        str | None, typer.Option(help="Only the token with this mark.", metavar="MARK", show_default=False)
    ] = None,
) -> None:
    """Take back all tokens of somebody, or one. Their connections are closed within a second."""
    from contextlib import closing

    from api.auth import Tokens

    with closing(Tokens(db)) as tokens:
        count = tokens.revoke(name, mark)
    if not count:
        raise CommandError(Exit.INPUT, f"{name}: has no such token that is valid; wattbook tokens list shows them")
    say(f"{count} revoked")
