"""`wattbook keys`: the keys that sign a ledger's checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.console import say
from api.errors import CommandError, Exit
from api.targets import LedgerTarget

app = typer.Typer(
    help="Make, show and change the keys that sign a ledger.",
    epilog="Example: wattbook keys new example.org/village -o village.key",
    no_args_is_help=True,
)


@app.command(epilog="Example: wattbook keys new example.org/village -o village.key")
def new(
    name: Annotated[
        str,
        typer.Argument(
            help="Names the ledger in every signature: an address of yours, without https://.",
            metavar="NAME",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File for the private key.", metavar="FILE", show_default=False)
    ],
) -> None:
    """Make a key: the private one for your eyes only (mode 0600), the public one beside it, to give away."""
    from api import keys

    signer = keys.generate(name)
    public = keys.write(signer, out)
    say(f"private key: {out}   (keep it secret; who has it can sign in your name)")
    say(f"public key:  {public}   (give it to those who audit, by a way that they trust)")
    say(str(signer.verifier))


@app.command(epilog="Example: wattbook keys show village.key")
def show(
    file: Annotated[
        Path, typer.Argument(help="A file with a private key, or a ledger.", metavar="FILE", show_default=False)
    ],
) -> None:
    """Print the public key of a private one, or all public keys of a ledger with the entries that they sign."""
    from api import keys
    from market.store import Ledger

    with file.open("rb") as opened:
        if opened.read(12) == b"PRIVATE+KEY+":
            say(str(keys.read(file).verifier))
            return
    with Ledger.open(file) as ledger:
        rows = ledger.keys()
    if not rows:
        raise CommandError(Exit.FINDING, f"{file}: nobody signs this ledger; see `wattbook keys sign`")
    for row in rows:
        say(f"{row.key}   signs from entry {row.size + 1} on")


@app.command(epilog="Example: wattbook keys sign ledger.db --signing-key village.key")
def sign(
    ledger: LedgerTarget,
    signing_key: Annotated[
        Path | None,
        typer.Option(
            help="The private key; by default the one in WATTBOOK_SIGNING_KEY.", metavar="FILE", show_default=False
        ),
    ] = None,
) -> None:
    """Sign all entries of a ledger that no checkpoint covers yet, and print the checkpoint."""
    from api import keys
    from market.store import Ledger

    signer = keys.chosen(signing_key)
    if signer is None:
        raise CommandError(Exit.INPUT, "no key to sign with; give --signing-key, or set WATTBOOK_SIGNING_KEY")
    with Ledger.open(ledger, readonly=False) as opened:
        opened.sign_with(signer)
        note = opened.sign()
    say(note.rstrip("\n") if note else f"{ledger}: has no entries, so there is nothing to sign")


@app.command(epilog="Example: wattbook keys rotate ledger.db --old village.key --new village-2.key")
def rotate(
    ledger: LedgerTarget,
    old: Annotated[Path, typer.Option(help="The private key so far.", metavar="FILE", show_default=False)],
    new: Annotated[
        Path, typer.Option(help="The private key from now on, of the same name.", metavar="FILE", show_default=False)
    ],
) -> None:
    """Hand over to a new key: the old one signs all entries a last time, and both sign the handover.

    Checkpoints of both keys stay verifiable by whoever trusts one of the two.
    """
    from api import keys
    from market.store import Ledger

    before, after = keys.read(old), keys.read(new)
    with Ledger.open(ledger, readonly=False) as opened:
        opened.rotate(before, after)
        size = len(opened)
    say(f"{ledger}: {after.verifier} signs from entry {size + 1} on")
