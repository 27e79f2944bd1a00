"""The keys that signed a log's checkpoints, one after the other, each handed over by the one before.

A handover is a note that both keys sign. It says from which size on the new key signs:

    wattbook key rotation
    ORIGIN
    SIZE
    OLD KEY
    NEW KEY

So whoever trusts one of the keys, an old one or the newest, can verify every checkpoint.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from market.notes import Checkpoint, NoteError, Signer, Verifier, sign, verify

TITLE = "wattbook key rotation"


class KeyRow(NamedTuple):
    """A key as a ledger stores it: it signs checkpoints of more than `size` entries. The first has an empty note."""

    number: int
    size: int
    key: str
    note: str


def first(signer: Signer) -> KeyRow:
    """The row of the key with which a log begins to sign."""
    return KeyRow(0, 0, str(signer.verifier), "")


def handover(rows: Sequence[KeyRow], size: int, old: Signer, new: Signer) -> KeyRow:
    """The row by which `old` hands over to `new` at a log of `size` entries.

    Raises NoteError if `old` is not the log's present key, or the new key has another name or is none.
    """
    if not rows or rows[-1].key != str(old.verifier):
        raise NoteError(f"{old.verifier} is not the key that signs this ledger now: {rows[-1].key if rows else 'none'}")
    if new.name != old.name:
        raise NoteError(f"the new key is named {new.name}, the log {old.name}; make a new key of the log's name")
    if str(new.verifier) in {row.key for row in rows}:
        raise NoteError("the new key has signed this ledger before; make a new one")
    text = _text(old.name, size, str(old.verifier), str(new.verifier))
    return KeyRow(rows[-1].number + 1, size, str(new.verifier), sign(text, [old, new]))


class Keyring:
    """The verified keys of one log. Its name, the origin of its checkpoints, is that of its keys."""

    def __init__(self, rows: Sequence[KeyRow]) -> None:
        """Raises NoteError unless every key but the first was handed over by the one before, in order of size."""
        if not rows:
            raise NoteError("the ledger names no key that signs it")
        self.keys = [Verifier.parse(row.key) for row in rows]
        self.origin = self.keys[0].name
        self._sizes = [row.size for row in rows]
        if (rows[0].number, rows[0].size, rows[0].note) != (0, 0, ""):
            raise NoteError("the first key must stand at entry 0, without a note")
        for number in range(1, len(rows)):
            row, old, new = rows[number], self.keys[number - 1], self.keys[number]
            text, signed = verify(row.note, [old, new])
            if text != _text(self.origin, row.size, str(old), str(new)) or len(signed) != 2:
                raise NoteError(f"the note by which {old} handed over to {new} says something else")
            if row.number != number or row.size < rows[number - 1].size or new in self.keys[:number]:
                raise NoteError(f"the key {new} is out of order")

    def trusts(self, key: Verifier) -> bool:
        """Whether the key is one of the log's, so that trust in it extends to all of them."""
        return key in self.keys

    def key_at(self, size: int) -> Verifier:
        """The key that signs checkpoints of `size` entries."""
        return self.keys[max(bisect_left(self._sizes, size) - 1, 0)]

    def open(self, note: str) -> Checkpoint:
        """The checkpoint of a note, if the key of its size signed it for this log. Raises NoteError."""
        text, _ = verify(note, self.keys)
        found = Checkpoint.parse(text)
        verify(note, [self.key_at(found.size)])
        if found.origin != self.origin:
            raise NoteError(f"it is of the log {found.origin!r}, not of {self.origin!r}")
        return found


def _text(origin: str, size: int, old: str, new: str) -> str:
    return f"{TITLE}\n{origin}\n{size}\n{old}\n{new}\n"
