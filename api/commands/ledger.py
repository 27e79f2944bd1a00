"""`wattbook audit` and `wattbook replay`: what a ledger proves, checked offline from the file alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from api.console import err, out, say
from api.errors import CommandError, Exit
from api.targets import LedgerTarget, shown

if TYPE_CHECKING:
    from market.audit import AuditReport
    from market.capacity import Gate
    from market.orders import MarketSettings

SHOWN = 20
"""Findings that are printed one by one; the rest is counted."""

Recheck = Annotated[
    bool,
    typer.Option("--recheck", help="Compute the verdicts of the gate anew instead of repeating the recorded ones."),
]


def audit(ledger: LedgerTarget, recheck: Recheck = False) -> None:
    """Check a ledger from the file alone: numbering, hashes, sums, conservation, and a replay byte for byte.

    Exit code 1 if anything is wrong; the first bad entry is named.
    """
    from api.digest import seal
    from market.audit import CHECKS
    from market.audit import audit as check_ledger

    with _progress("auditing") as progress:
        report = check_ledger(ledger, _real_gate if recheck else None, progress)
    say(f"{report.path}: {report.entries:,} entries, {report.events:,} events, {report.trades:,} trades")
    say(f"digest of the journal: {seal(ledger).digest}")
    _print_checks(report, CHECKS)
    if report.ok:
        say("The ledger is sound.", "bold green")
        return
    for finding in report.findings[:SHOWN]:
        place = f"entry {finding.seq}" if finding.seq is not None else "file"
        say(f"  {place}: {finding.check}: {finding.detail}", "red")
    if len(report.findings) > SHOWN:
        say(f"  and {len(report.findings) - SHOWN} more", "red")
    first = f"; the first bad entry is {report.first_bad}" if report.first_bad is not None else ""
    raise CommandError(Exit.FINDING, f"{shown(ledger)}: {len(report.findings)} findings{first}")


def replay(ledger: LedgerTarget, recheck: Recheck = False) -> None:
    """Carry out a ledger's commands again and compare the events, byte for byte.

    Without --recheck the verdicts of the wires are those in the ledger and no power flow is needed.
    """
    from market.replay import Step
    from market.replay import replay as replay_ledger

    step = Step(0, 0, None)
    try:
        with _progress("replaying") as progress:
            for step in replay_ledger(ledger, _real_gate if recheck else None):
                progress(step.entries)
    except ValueError as error:
        raise CommandError(Exit.FINDING, f"{shown(ledger)}: after entry {step.entries}: {error}") from error
    entries, events, mismatch = step
    if mismatch is not None:
        raise CommandError(Exit.FINDING, f"{shown(ledger)}: entry {mismatch.seq} is not reproduced: {mismatch.detail}")
    how = "with the gate's verdicts computed anew" if recheck else "with the recorded verdicts of the gate"
    say(f"{shown(ledger)}: {entries:,} entries give the same {events:,} events, byte for byte, {how}.", "green")


def _print_checks(report: AuditReport, checks: dict[str, str]) -> None:
    from rich.table import Table

    failed = {finding.check for finding in report.findings}
    table = Table(box=None, show_header=False)
    for name, meaning in checks.items():
        proved = meaning in report.proved
        mark = "[green]proved[/]" if proved else "[red]failed[/]" if name in failed else "[yellow]open[/]"
        table.add_row(mark, name, meaning)
    out().print(table)
    say("Not provable from this file alone:", "dim")
    for text in report.not_provable:
        say(f"  – {text}", "dim")


def _real_gate(settings: MarketSettings, feeder: str) -> Gate:
    from grid.feeder import Feeder
    from grid.gate import build

    return build(Feeder.from_json(feeder), settings)


@contextmanager
def _progress(doing: str) -> Iterator[Callable[[int], None]]:
    """A line on standard error that counts entries, on a terminal only."""
    if not err().is_terminal:
        yield lambda _: None
        return
    with err().status(f"{doing} …") as status:
        yield lambda entries: status.update(f"{doing} … {entries:,} entries")
