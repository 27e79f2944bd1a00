"""`wattbook audit` and `wattbook replay`: what a ledger proves, checked offline from the file alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.proofs import Key
from api.console import out, say
from api.errors import CommandError, Exit
from api.progress import counting
from api.targets import LedgerTarget, shown

if TYPE_CHECKING:
    from market.audit import AuditReport
    from market.capacity import Gate
    from market.orders import MarketSettings

SHOWN = 20
"""Findings that are printed one by one; the rest is counted."""

Recheck = Annotated[
    bool,
    typer.Option(
        "--recheck-grid",
        "--recheck",
        help="Compute the verdicts of the gate anew instead of repeating the recorded ones.",
    ),
]


def audit(
    ledger: LedgerTarget,
    key: Key = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            help="A checkpoint or a receipt that you were given earlier; the ledger must continue it. Can be given "
            "again.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    recheck: Recheck = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, for machines.")] = False,
) -> None:
    """Check a ledger, or what was exported from one, offline and without trust in anyone.

    Instead of a LEDGER, the address of a live market, such as http://127.0.0.1:8000, has its export fetched, with the
    auditor's token in WATTBOOK_TOKEN.

    Checked are numbering, hashes, sums, conservation, a replay byte for byte, the Merkle tree, and the signatures.

    Tells what was proved, what cannot be proved, and the first bad entry. Exit code 1 if anything is wrong.
    """
    from contextlib import nullcontext

    from api import keys, remote
    from market.audit import audit as check_ledger

    trusted = [keys.public(value) for value in key or []]
    known = [_checkpoint(path) for path in checkpoint or []]
    source = remote.fetched(ledger) if remote.is_address(ledger) else nullcontext(ledger)
    with source as file, counting("auditing") as progress:
        report = check_ledger(file, _real_gate if recheck else None, progress, keys=trusted, checkpoints=known)
    if json:
        import msgspec

        typer.echo(msgspec.json.encode({"ok": report.ok, "first_bad": report.first_bad} | msgspec.to_builtins(report)))
    else:
        _print(report)
    if not report.ok:
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
        with counting("replaying") as progress:
            for step in replay_ledger(ledger, _real_gate if recheck else None):
                progress(step.entries, step.total)
    except ValueError as error:
        raise CommandError(Exit.FINDING, f"{shown(ledger)}: after entry {step.entries}: {error}") from error
    entries, events, mismatch, _ = step
    if mismatch is not None:
        raise CommandError(Exit.FINDING, f"{shown(ledger)}: entry {mismatch.seq} is not reproduced: {mismatch.detail}")
    how = "with the gate's verdicts computed anew" if recheck else "with the recorded verdicts of the gate"
    say(f"{shown(ledger)}: {entries:,} entries give the same {events:,} events, byte for byte, {how}.", "green")


def _print(report: AuditReport) -> None:
    from rich.table import Table

    from market.audit import CHECKS

    say(f"{report.path}: {report.entries:,} entries, {report.events:,} events, {report.trades:,} trades", "bold")
    say(f"root of the journal: {report.root}")
    for number, key in enumerate(report.keys, 1):
        say(f"signed with: {key}" if len(report.keys) == 1 else f"signed with, key {number}: {key}")
    if report.keys:
        say(f"signatures: {report.checkpoints:,} checkpoints, the last good one over {report.signed:,} entries")
    failed = {finding.check for finding in report.findings}
    table = Table(box=None, show_header=False)
    for name, meaning in CHECKS.items():
        if meaning in report.proved:
            table.add_row("[green]proved[/]", name, meaning)
        elif name in failed:
            table.add_row("[red]failed[/]", name, meaning)
        elif not report.ok:
            table.add_row("[yellow]open[/]", name, meaning)
    out().print(table)
    say("Not provable:", "dim")
    for text in report.not_provable:
        say(f"  – {text}", "dim")
    for finding in report.findings[:SHOWN]:
        place = f"entry {finding.seq}" if finding.seq is not None else "file"
        say(f"  {place}: {finding.check}: {finding.detail}", "red")
    if len(report.findings) > SHOWN:
        say(f"  and {len(report.findings) - SHOWN} more", "red")
    if report.ok:
        say("The ledger is sound.", "bold green")


def _checkpoint(path: Path) -> str:
    """The signed note of a file: a checkpoint itself, or the one at the end of a receipt."""
    from market.receipt import TITLE

    text = path.read_bytes().decode()
    return text.partition("\n\n")[2] if text.startswith(TITLE) else text


def _real_gate(settings: MarketSettings, feeder: str) -> Gate:
    from grid.feeder import Feeder
    from grid.gate import build

    return build(Feeder.from_json(feeder), settings)
