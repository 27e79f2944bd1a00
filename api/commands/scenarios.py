"""`wattbook scenarios`: what is shipped, and how a scenario is written."""

from __future__ import annotations

from typing import Annotated

import typer

from api.console import out, say

app = typer.Typer(
    help="List the shipped scenarios and laboratories; print one, the JSON schema or the reference of the formats.",
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
    laboratory: Annotated[
        bool, typer.Option("--laboratory", help="Speak of laboratories: their list, schema or reference.")
    ] = False,
) -> None:
    if context.invoked_subcommand:
        return
    if schema:
        import json

        from agents import laboratory_file, scenario

        typer.echo(json.dumps((laboratory_file if laboratory else scenario).json_schema(), indent=2))
    elif reference:
        from agents import laboratory_file, scenario

        typer.echo((laboratory_file if laboratory else scenario).reference(), nl=False)
    else:
        if not laboratory:
            _list()
        _list_laboratories()
        say("\nRun one:         wattbook run NAME")
        say("Write your own:  wattbook scenarios show NAME > mine.yaml; wattbook run mine.yaml")


@app.command(epilog="Example: wattbook scenarios show village > mine.yaml")
def show(
    name: Annotated[str, typer.Argument(help="A shipped scenario or laboratory.", metavar="NAME", show_default=False)],
) -> None:
    """Print a shipped scenario or laboratory as it is written, to read or to start your own from."""
    from scenarios import laboratory, names, path

    is_laboratory = name not in names() and laboratory.means(name)
    typer.echo((laboratory.path if is_laboratory else path)(name).read_text(encoding="utf-8"), nl=False)


def _list() -> None:
    from rich.table import Table

    from scenarios import load, names

    table = Table("scenario", "what it shows", "participants", "slots", "gate", box=None, header_style="bold")
    for name in names():
        scenario = load(name)
        members = sum(group.size for group in scenario.participants)
        table.add_row(name, scenario.title, str(members), str(scenario.slots), scenario.grid.gate)
    out().print(table)


def _list_laboratories() -> None:
    from rich.table import Table

    from scenarios import laboratory

    table = Table("laboratory", "what it shows", box=None, header_style="bold")
    for name in laboratory.names():
        table.add_row(name, laboratory.load(name).title)
    out().print(table)
