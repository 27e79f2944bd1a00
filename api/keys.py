"""Keys in files and in the environment: made from the machine's randomness, readable by their owner alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.errors import CommandError, Exit
from market.notes import NoteError, Signer, Verifier

ENVIRONMENT = "WATTBOOK_SIGNING_KEY"
"""Holds a private key as text, for machines without a place for key files."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def generate(name: str) -> Signer:
    """A new private key. Raises CommandError for a name that a signature cannot carry."""
    try:
        return Signer(name, Ed25519PrivateKey.generate().private_bytes_raw())
    except NoteError as error:
        raise CommandError(Exit.INPUT, str(error)) from error


def write(signer: Signer, path: Path) -> Path:
    """Store a private key for its owner's eyes only, and the public key beside it as PATH.pub, which is returned.

    Raises CommandError if a file is there already, OSError if the disk refuses.
    """
    public = path.with_name(path.name + ".pub")
    for target in (path, public):
        if target.exists():
            raise CommandError(Exit.INPUT, f"{target}: exists already; a key is never overwritten, choose another file")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(signer.secret() + "\n")
        file.flush()
        os.fsync(file.fileno())
    public.write_text(f"{signer.verifier}\n", encoding="utf-8")
    return public


def read(path: Path) -> Signer:
    """The private key of a file. Raises CommandError if others may read it, or it holds none."""
    mode = path.stat().st_mode
    if os.name == "posix" and mode & _OTHERS:
        raise CommandError(
            Exit.INPUT,
            f"{path}: others may read this private key (mode {stat.S_IMODE(mode):04o}); run: chmod 600 {path}. If they "
            "could have, hand over to a new key: wattbook keys rotate",
        )
    try:
        return Signer.parse(path.read_text(encoding="utf-8"))
    except NoteError as error:
        raise CommandError(Exit.INPUT, f"{path}: {error}") from error


def chosen(path: Path | None) -> Signer | None:
    """The key of a file, else that of the environment, else None. Raises CommandError for a bad one."""
    if path is not None:
        return read(path)
    text = os.environ.get(ENVIRONMENT)
    if not text:
        return None
    try:
        return Signer.parse(text)
    except NoteError as error:
        raise CommandError(Exit.INPUT, f"{ENVIRONMENT}: {error}") from error


def public(value: str) -> Verifier:
    """A public key, given as text or as a file that holds one. Raises CommandError."""
    path = Path(value)
    try:
        if "+" not in value or path.is_file():
            return Verifier.parse(path.read_text(encoding="utf-8"))
        return Verifier.parse(value)
    except (NoteError, UnicodeDecodeError) as error:
        raise CommandError(Exit.INPUT, f"--key {value:.80}: {error}") from error
