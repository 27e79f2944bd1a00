"""The command line: `wattbook`. Commands live in `api.commands`; what is heavy is imported when a command runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from api.commands import (
    books,
    compare,
    database,
    feeder,
    keys,
    ledger,
    proofs,
    report,
    run,
    scenarios,
    serve,
    statement,
    tokens,
    trade,
)
from api.console import complain
from api.errors import explain

HELP = """Trade local energy on a feeder, check every match against its wires, and keep a ledger that anyone can audit.

Exit codes: 0 fine, 1 a check found something wrong, 2 wrong input, 3 the machine refused, 130 interrupted.
"""
EPILOG = "Example: wattbook run village --seed 3"


class _Commands(TyperGroup):
    """The commands, with foreseen errors told as lines and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as error:
            told = explain(error)
            if told is None or ctx.params.get("debug"):
                raise
            complain(told.messages)
            raise typer.Exit(int(told.code)) from error


app = typer.Typer(
    name="wattbook",
    cls=_Commands,
    help=HELP,
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from api.version import version

        typer.echo(f"wattbook {version()}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="WATTBOOK_DEBUG", help="Show the traceback of an error.")
    ] = False,
) -> None:
    pass


app.command("run", epilog="Example: wattbook run village --seed 3 --out runs/first")(run.run)
app.command("compare", epilog="Example: wattbook compare village --designs cda,call,mmr,none --seeds 10")(
    compare.compare
)
app.command("serve", epilog="Example: wattbook serve village --speed 60")(serve.serve)
app.command("trade", epilog="Example: wattbook trade ws://127.0.0.1:8000/v1/stream --token wb_...")(trade.trade)
app.command(
    "bot",
    epilog="Example: wattbook bot --strategy zip --as house-17 --url ws://127.0.0.1:8000/v1/stream --token wb_...",
)(trade.bot)
app.command("report", epilog="Example: wattbook report runs/village-seed1 --open")(report.report)
app.command("audit", epilog="Example: wattbook audit runs/village-seed1/ledger.db")(ledger.audit)
app.command("export", epilog="Example: wattbook export runs/village-seed1/ledger.db -o village.ndjson.gz")(
    proofs.export
)
app.command("proof", epilog="Example: wattbook proof 1234 --db runs/village-seed1/ledger.db -o 1234.tlog-proof")(
    proofs.proof
)
app.command("verify-proof", epilog="Example: wattbook verify-proof 1234.tlog-proof --key signing.key.pub")(
    proofs.verify_proof
)
app.command("statement", epilog="Example: wattbook statement home-001 --ledger ledger.db --month 2016-06 -o june.html")(
    statement.statement
)
app.command("replay", epilog="Example: wattbook replay runs/village-seed1/ledger.db --recheck")(ledger.replay)
app.command("feeder", epilog="Example: wattbook feeder my-street.json")(feeder.feeder)
app.add_typer(books.app, name="ledger")
app.add_typer(scenarios.app, name="scenarios")
app.add_typer(keys.app, name="keys")
app.add_typer(tokens.app, name="tokens")
app.add_typer(database.app, name="db")


def main() -> None:
    """Entry point of the console script."""
    app(prog_name="wattbook")
