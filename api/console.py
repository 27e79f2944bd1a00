"""Where the command line writes: results to standard output, everything else to standard error."""

from __future__ import annotations

import sys
from functools import cache

from rich.console import Console
from rich.text import Text

PLAIN_WIDTH = 120
"""Columns when the output is no terminal, so that a pipe gets the same tables everywhere."""


@cache
def out() -> Console:
    """Standard output. Colours only on a terminal, and not where NO_COLOR is set."""
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)


@cache
def err() -> Console:
    """Standard error, under the same rules."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else PLAIN_WIDTH, highlight=False)


def say(message: str, style: str = "") -> None:
    """A line of the result. It is never wrapped, so that paths in it can be copied."""
    out().print(Text(message, style), soft_wrap=True)


def note(message: str, style: str = "dim") -> None:
    """A line about what is going on."""
    err().print(Text(message, style), soft_wrap=True)


def complain(messages: list[str]) -> None:
    """Errors, one line each."""
    for message in messages:
        err().print(Text.assemble(("wattbook: ", "bold red"), (message, "red")), soft_wrap=True)
