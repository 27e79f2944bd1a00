"""`wattbook scenarios`: what is shipped, and how a scenario is written."""

from __future__ import annotations

from typing import Annotated

import typer

from api.console import out, say

app = typer.Typer(
    help="List the shipped scenarios; print one, the JSON schema or the reference of the format.",
    epilog="Example: wattbook scenarios show village > mine.yaml",
    invoke_without_command=True,
)


@app.callback()
def scenarios(
    context: typer.Context,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of a scenario file, for editors.")
    ] = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="Print the reference of a scenario file as Markdown.")
    ] = False,
) -> None:
    if context.invoked_subcommand:
        return
    if schema:
        import json

        from agents.scenario import json_schema

        typer.echo(json.dumps(json_schema(), indent=2))
    elif reference:
        from agents.scenario import reference as markdown

        typer.echo(markdown(), nl=False)
    else:
        _list()


@app.command(epilog="Example: wattbook scenarios show village > mine.yaml")
def show(name: Annotated[str, typer.Argument(help="A shipped scenario.", metavar="NAME", show_default=False)]) -> None:
    """Print a shipped scenario as it is written, to read or to start your own from."""
    from scenarios import path

    typer.echo(path(name).read_text(encoding="utf-8"), nl=False)


def _list() -> None:
    from rich.table import Table

    from scenarios import load, names

    table = Table("scenario", "what it shows", "participants", "slots", "gate", box=None, header_style="bold")
    for name in names():
        scenario = load(name)
        members = sum(group.size for group in scenario.participants)
        table.add_row(name, scenario.title, str(members), str(scenario.slots), scenario.grid.gate)
    out().print(table)
    say("\nRun one:         wattbook run NAME")
    say("Write your own:  wattbook scenarios show NAME > mine.yaml; wattbook run mine.yaml")
