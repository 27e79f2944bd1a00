"""`wattbook statement`: what one participant is owed for a month, as a page to print and as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.console import say
from api.errors import CommandError, Exit

if TYPE_CHECKING:
    from market.statement import Statement
    from market.store import Ledger


def statement(
    participant: Annotated[str, typer.Argument(help="Whose statement.", metavar="PARTICIPANT", show_default=False)],
    month: Annotated[str, typer.Option(help="Month of delivery, UTC, such as 2016-06.", show_default=False)],
    ledger: Annotated[
        str,
        typer.Option(
            "--ledger", "--db", help="The ledger: a file or a database.", metavar="LEDGER",
            envvar="WATTBOOK_DATABASE_URL", show_default=False,
        ),
    ],
    corrections: Annotated[
        bool, typer.Option("--corrections", help="State what later runs changed, instead of the month itself.")
    ] = False,
    after: Annotated[
        int, typer.Option(help="With --corrections: only those behind this entry of the journal.", min=0)
    ] = 0,
    until: Annotated[
        int | None,
        typer.Option(help="With --corrections: only those up to this entry; by default all.", min=0,
                     show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The new HTML page; the CSV lies beside it. By default PARTICIPANT-MONTH.html.",
            metavar="FILE", show_default=False,
        ),
    ] = None,
) -> None:  # fmt: skip
    """Write a participant's statement of a month: lines per day and in total, as HTML that prints well and as CSV.

    It holds trades, fees, losses, compensation, and the first run over each slot, and never changes. Later runs have
    statements of their own, with --corrections; each names the entries that it is made of.
    """
    from api.statement_page import as_csv, page
    from market.statement import state
    from market.store import Ledger

    if (after or until is not None) and not corrections:
        raise CommandError(Exit.INPUT, "--after and --until: go with --corrections only; leave them out or add it")
    name = f"{participant}-{month}" + ("-corrections" if corrections else "")
    path = out or Path(f"{name}.html")
    with Ledger.open(ledger) as opened:
        last = len(opened) if until is None else min(until, len(opened))
        found = state(opened, participant, month, (after + 1, last) if corrections else None)
        text = page(found, _origin(opened, found, after, last))
    for file, content in ((path, text), (path.with_suffix(".csv"), as_csv(found))):
        try:
            with file.open("x", encoding="utf-8") as handle:
                handle.write(content)
        except FileExistsError as error:
            raise CommandError(Exit.INPUT, f"{file}: exists already; choose another file with --out") from error
    say(f"{path} and {path.with_suffix('.csv')}: {len(found.lines)} lines, {found.money / 1e9:.2f} {found.currency}")


def _origin(ledger: Ledger, found: Statement, after: int, last: int) -> list[tuple[str, str]]:
    """What names the journal that a statement is made from; the same for ever."""
    end = last if found.corrections else found.last
    runs = "later runs, as listed" if found.corrections else "run 1 of each slot"
    rows = [
        ("Market", found.market),
        ("Entries", f"{after + 1} to {end}" if found.corrections else f"{found.first} to {found.last}"),
        ("Runs", f"{runs}; meters up to version {found.meters}" if found.meters else runs),
        (f"Root of the first {end} entries", ledger.log(end).root().hex()),
    ]
    signed = next((size for size, _ in ledger.checkpoints(end) if size >= end), None)
    rows.append(("Signed", f"by the checkpoint over {signed} entries" if signed else "not yet"))
    rows.append(("Check it", f"wattbook audit, and wattbook ledger postings --participant {found.participant}"))
    return rows
