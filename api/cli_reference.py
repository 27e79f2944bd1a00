"""The reference of the command line as Markdown, made from the commands themselves: `python -m api.cli_reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import typer

from api.cli import app
from api.errors import Exit

_HEAD = """# The command line

`wattbook` is one program with a command for each thing to do. `wattbook --help` and `wattbook COMMAND --help` print
what is written here; this page is made from the program by `make docs`, and a test keeps the two alike.

Results go to standard output, everything else to standard error. Without a terminal there are no colours and no moving
bars; `NO_COLOR=1` turns colours off on a terminal too. `python -m api` does the same as `wattbook`.

Options of the program itself stand before the command: `wattbook --debug run village`.

"""
_CODES = {
    Exit.OK: "fine",
    Exit.FINDING: "a check was made and found something wrong: an audit, a replay, a violation of the grid's limits",
    Exit.INPUT: "wrong input: the command line, a scenario, a feeder, a profile, or a file that is no ledger",
    Exit.ENVIRONMENT: "the machine refused: the disk is full, a folder may not be written, a file is in use",
    Exit.INTERRUPTED: "interrupted by Ctrl-C or SIGTERM; what the ledger has is complete up to its last slot",
}


def commands() -> Iterator[tuple[str, Any]]:
    """(full name, command) of the program and of each command, groups before their members."""
    yield from _walk("wattbook", typer.main.get_command(app))


def markdown() -> str:
    """The whole page. The same program gives the same text."""
    parts = [_HEAD + "Exit codes:\n\n| code | meaning |\n|---|---|\n"]
    parts += [f"| {int(code)} | {meaning} |\n" for code, meaning in _CODES.items()]
    parts += [_section(name, command) for name, command in commands()]
    return "".join(parts)


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for child, inner in getattr(command, "commands", {}).items():
        yield from _walk(f"{name} {child}", inner)


def _section(name: str, command: Any) -> str:
    said = (command.help or "").split("Exit codes:")[0].strip()
    lines = [f"\n## {name}\n", f"{said}\n"]
    rows = [_row(param) for param in command.params if param.name != "help"]
    if rows:
        lines += ["| argument or option | default | meaning |", "|---|---|---|", *rows, ""]
    if command.epilog:
        lines.append(f"    {command.epilog.removeprefix('Example: ')}\n")
    return "\n".join(lines)


def _row(param: Any) -> str:
    if param.param_type_name == "argument":
        name = f"`{(param.metavar or param.name).upper()}`".replace("|", r"\|")
    else:
        name = ", ".join(f"`{flag}`" for flag in [*param.opts, *param.secondary_opts])
    default = param.opts[0] if param.default is True else param.default
    shown = "" if default in (None, False) or param.required else f"`{default}`"
    return f"| {name} | {shown} | {param.help or ''} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
