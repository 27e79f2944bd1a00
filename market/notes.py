"""Signed notes: a text with Ed25519 signatures under it, as c2sp.org/signed-note describes them; checkpoints of a log.

Keys are texts too: ``NAME+ID+BASE64`` the public one, ``PRIVATE+KEY+NAME+ID+BASE64`` the private one. Any tool of that
family (Go's sumdb/note, transparency logs, witnesses) reads and writes the same.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from market.merkle import SIZE

MOST_SIGNATURES = 100
_ED25519 = b"\x01"
_PRIVATE = "PRIVATE+KEY+"
_MARK = "\N{EM DASH} "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


class NoteError(ValueError):
    """A note, a signature, a key or a checkpoint that is not what it should be; the message says why."""


class Verifier:
    """A public key with its name, which tells signatures of one signer from another's."""

    def __init__(self, name: str, public: bytes) -> None:
        """`public` are the 32 bytes of an Ed25519 key. Raises NoteError for a name with spaces or a plus."""
        require_name(name)
        if len(public) != SIZE:
            raise NoteError(f"a public key has {SIZE} bytes, not {len(public)}")
        self.name = name
        self.public = public
        self.id = sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key of ``NAME+ID+BASE64``. Raises NoteError."""
        name, _, rest = text.strip().partition("+")
        number, _, encoded = rest.partition("+")
        key = _decoded(encoded, "the public key")
        if key[:1] != _ED25519 or len(key) != 1 + SIZE:
            raise NoteError(
                "not a public key: need NAME+ID+BASE64 of an Ed25519 key, as `wattbook keys show` prints it"
            )
        verifier = cls(name, key[1:])
        if number != verifier.id.hex():
            raise NoteError(
                f"the public key of {name} was copied wrongly: its ID is {verifier.id.hex()}, not {number!r}"
            )
        return verifier

    def verify(self, text: str, signature: bytes) -> bool:
        """Whether `signature` (64 bytes) is this key's under the text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Verifier) and (self.name, self.public) == (other.name, other.public)

    def __hash__(self) -> int:
        return hash((self.name, self.public))


class Signer:
    """A private key with its name. Equal texts get equal signatures: Ed25519 needs no randomness to sign."""

    def __init__(self, name: str, seed: bytes) -> None:
        """`seed` are the 32 secret bytes of an Ed25519 key. Raises NoteError."""
        if len(seed) != SIZE:
            raise NoteError(f"a private key has {SIZE} bytes, not {len(seed)}")
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name, self._key.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key of ``PRIVATE+KEY+NAME+ID+BASE64``. Raises NoteError, which never quotes the key."""
        if not text.strip().startswith(_PRIVATE):
            raise NoteError("not a private key: need PRIVATE+KEY+NAME+ID+BASE64, as `wattbook keys new` writes it")
        name, _, rest = text.strip().removeprefix(_PRIVATE).partition("+")
        number, _, encoded = rest.partition("+")
        key = _decoded(encoded, "the private key")
        if key[:1] != _ED25519 or len(key) != 1 + SIZE:
            raise NoteError("not a private key: it does not hold an Ed25519 key")
        signer = cls(name, key[1:])
        if number != signer.verifier.id.hex():
            raise NoteError(f"the private key of {name} was copied wrongly: its ID does not fit")
        return signer

    @property
    def name(self) -> str:
        return self.verifier.name

    def secret(self) -> str:
        """The private key as text, to be kept secret."""
        return f"{_PRIVATE}{self.name}+{self.verifier.id.hex()}+{base64.b64encode(_ED25519 + self._seed).decode()}"

    def signature(self, text: str) -> str:
        """The signature line under a text."""
        signed = self.verifier.id + self._key.sign(text.encode())
        return f"{_MARK}{self.name} {base64.b64encode(signed).decode()}\n"


class Signature(NamedTuple):
    """A signature line: whose it says it is, the ID of its key, and 64 bytes if it is an Ed25519 one."""

    name: str
    id: bytes
    value: bytes


def sign(text: str, signers: Sequence[Signer]) -> str:
    """The note of a text, signed by each. Raises NoteError if the text does not end a line or holds control bytes."""
    _require_text(text)
    return text + "\n" + "".join(signer.signature(text) for signer in signers)


def parse(note: str) -> tuple[str, list[Signature]]:
    """Text and signature lines of a note, none of them verified yet. Raises NoteError."""
    text, gap, lines = note.rpartition("\n\n")
    if not gap or not lines.endswith("\n"):
        raise NoteError("not a signed note: it needs a text, an empty line and signature lines")
    text += "\n"
    _require_text(text)
    found: list[Signature] = []
    for line in lines[:-1].split("\n"):
        name, _, encoded = line.removeprefix(_MARK).partition(" ")
        if not line.startswith(_MARK) or len(found) == MOST_SIGNATURES:
            raise NoteError("not a signed note: a line behind the text is no signature, or there are too many")
        require_name(name)
        value = _decoded(encoded, f"the signature of {name}")
        if len(value) < 5:
            raise NoteError(f"the signature of {name} is cut short")
        found.append(Signature(name, value[:4], value[4:]))
    return text, found


def verify(note: str, known: Iterable[Verifier]) -> tuple[str, list[Verifier]]:
    """The text of a note and which of the known keys signed it, in the order of their signatures.

    Signatures of unknown keys are passed over. Raises NoteError if a known key's signature is false or none is there.
    """
    text, found = parse(note)
    keys = {(verifier.name, verifier.id): verifier for verifier in known}
    signed: list[Verifier] = []
    for name, number, value in found:
        verifier = keys.get((name, number))
        if verifier is None or verifier in signed:
            continue
        if not verifier.verify(text, value):
            raise NoteError(f"the signature of {name}+{number.hex()} is false")
        signed.append(verifier)
    if not signed:
        signers = ", ".join(f"{name}+{number.hex()}" for name, number, _ in found)
        raise NoteError(f"signed by {signers}, not by a key that you trust")
    return text, signed


class Checkpoint(NamedTuple):
    """What a log signs: its name, how many entries it has, and their root (c2sp.org/tlog-checkpoint)."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The checkpoint of a note's text; lines behind the third are passed over. Raises NoteError."""
        lines = text.split("\n")
        if len(lines) < 4 or not all(lines[:-1]) or lines[-1]:
            raise NoteError("not a checkpoint: need lines for origin, size and root")
        origin, size, encoded, *_ = lines
        if not _DECIMAL.fullmatch(size):
            raise NoteError(f"not a checkpoint: {size!r:.40} is no size")
        root = _decoded(encoded, "the checkpoint's root")
        if len(root) != SIZE:
            raise NoteError(f"not a checkpoint: a root has {SIZE} bytes, not {len(root)}")
        return cls(origin, int(size), root)


def require_name(name: str) -> None:
    """Raises NoteError for a name of a key that a note cannot carry."""
    if not name or "+" in name or any(sign.isspace() or ord(sign) < 0x20 for sign in name):
        raise NoteError(
            f"{name!r:.60} cannot name a key: need a text without spaces and plus, like example.org/village"
        )


def _require_text(text: str) -> None:
    if not text.endswith("\n") or _CONTROL.search(text):
        raise NoteError("not the text of a note: it must end its line and hold no control characters")


def _decoded(encoded: str, what: str) -> bytes:
    """Bytes of standard base64 in its one canonical form. Raises NoteError."""
    try:
        value = base64.b64decode(encoded.encode(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"{what} is not base64: {error}") from error
    if base64.b64encode(value).decode() != encoded:
        raise NoteError(f"{what} is not base64 in its canonical form")
    return value
