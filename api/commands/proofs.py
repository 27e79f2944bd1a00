"""`wattbook export`, `wattbook proof` and `wattbook verify-proof`: what an operator hands out, and its check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.console import say
from api.errors import CommandError, Exit
from api.progress import counting
from api.targets import LedgerTarget

if TYPE_CHECKING:
    from market.events import Event

Key = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        help="A public key that you trust, or a file with one; the ledger must be signed by it. Can be given again.",
        metavar="KEY|FILE",
        show_default=False,
    ),
]


def export(
    ledger: LedgerTarget,
    out: Annotated[Path, typer.Option("--out", "-o", help="The new file.", metavar="FILE", show_default=False)],
) -> None:
    """Write all that an auditor needs into one compressed file: entries, checkpoints, public keys.

    Entries that no checkpoint covers yet are left out of a signed ledger's export.
    """
    from market.export import export as write
    from market.store import Ledger

    with Ledger.open(ledger) as opened, counting("exporting") as progress:
        done = write(opened, out, lambda entries: progress(entries, len(opened)))
    say(f"{out}: {done.entries:,} entries, {done.checkpoints:,} checkpoints, {out.stat().st_size:,} bytes")
    if done.unsigned:
        say(f"{done.unsigned:,} entries at the end are not signed yet and were left out", "yellow")
    if not done.checkpoints:
        say("the ledger is not signed: whoever reads this cannot know who wrote it (wattbook keys sign)", "yellow")
    say(f"root {done.root.hex()}   (check it: wattbook audit {out})")


def proof(
    trade: Annotated[
        int, typer.Argument(help="Number of the entry that traded, or of any other.", metavar="TRADE", min=1)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The new file.", metavar="FILE", show_default=False)],
    ledger: Annotated[
        str,
        typer.Option("--db", help="The ledger.", metavar="LEDGER", envvar="WATTBOOK_DATABASE_URL", show_default=False),
    ],
) -> None:
    """Write a participant's receipt: the entry, and the proof that a signed checkpoint covers it."""
    from market.receipt import make
    from market.store import Ledger

    with Ledger.open(ledger) as opened:
        receipt = make(opened, trade)
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(receipt)
    except FileExistsError as error:
        raise CommandError(Exit.INPUT, f"{out}: exists already; choose another file") from error
    say(f"{out}: {len(receipt):,} bytes   (check it: wattbook verify-proof {out} --key KEY)")


def verify_proof(
    file: Annotated[Path, typer.Argument(help="A receipt.", metavar="FILE", show_default=False)], key: Key = None
) -> None:
    """Check a receipt without the ledger and print what it proves. Exit code 1 if it proves nothing."""
    from api import keys
    from market.receipt import ReceiptError, verify

    trusted = [keys.public(value) for value in key or []]
    try:
        proved = verify(file.read_bytes().decode(), trusted)
    except ReceiptError as error:
        raise CommandError(Exit.FINDING, f"{file}: {error}") from error
    point = proved.checkpoint
    say(f"proved: entry {proved.entry.seq} is one of the {point.size:,} entries that {point.origin} signed", "green")
    say(f"signed with {proved.key}, root {point.root.hex()}")
    for event in proved.entry.events:
        say(f"  {_told(event)}")
    if not proved.trusted:
        say("not proved: that this is the operator's key; the receipt names it itself. Give --key", "yellow")
    say("not proved: that the operator shows everyone this same log; compare checkpoints with others", "dim")


def _told(event: Event) -> str:
    """An event in a line."""
    import msgspec

    fields = {name: value for name, value in msgspec.structs.asdict(event).items() if value not in ("", False)}
    kind = type(event).__struct_config__.tag
    return f"{kind}: " + ", ".join(f"{name} {value}" for name, value in fields.items())
