"""Receipts: one entry, and the proof that a signed checkpoint covers it, in one small text file.

The format is c2sp.org/tlog-proof, which other tools read too; its extra line carries the entry and the log's keys:

    c2sp.org/tlog-proof@v1
    extra BASE64 of {"entry":"canonical bytes","keys":[[number,size,key,note],…]}
    index 41
    BASE64 of a hash, the leaf's sibling first
    …

    ORIGIN
    SIZE
    ROOT

    — NAME SIGNATURE
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from market import journal
from market.events import Entry
from market.keyring import Keyring, KeyRow
from market.ledger import LedgerError
from market.merkle import MerkleError, verify_inclusion
from market.notes import Checkpoint, NoteError, Verifier
from market.store import Ledger

TITLE = "c2sp.org/tlog-proof@v1"


class ReceiptError(ValueError):
    """A receipt that proves nothing; the message says why."""


class Proved(NamedTuple):
    """What a receipt proves: that the log which `checkpoint` signs holds this entry at this place."""

    entry: Entry
    checkpoint: Checkpoint
    key: str
    """The key that signed the checkpoint."""
    trusted: bool
    """False: nobody vouched for the key but the receipt itself."""


class _Extra(msgspec.Struct, forbid_unknown_fields=True):
    entry: str
    keys: list[KeyRow]


_extra = msgspec.json.Decoder(_Extra)


def make(ledger: Ledger, seq: int) -> str:
    """The receipt of entry `seq` under the newest checkpoint. Raises LedgerError if none covers it."""
    if not 1 <= seq <= len(ledger):
        raise LedgerError(f"{ledger.name}: has no entry {seq}; it has {len(ledger)}")
    size, note = max(ledger.checkpoints(), default=(0, ""))
    if seq > size:
        raise LedgerError(
            f"{ledger.name}: entry {seq} is not signed yet, the last checkpoint covers {size}; ask again later, or "
            "sign the ledger with `wattbook keys sign`"
        )
    _, body, _ = next(ledger.bodies(seq))
    extra = msgspec.json.encode(_Extra(body.decode(), ledger.keys()), order="sorted")
    lines = [TITLE, f"extra {_text(extra)}", f"index {seq - 1}", *map(_text, ledger.log(size).inclusion(seq - 1)), ""]
    return "\n".join(lines) + "\n" + note


def verify(receipt: str, trusted: Sequence[Verifier] = ()) -> Proved:
    """What the receipt proves to somebody who trusts these keys. Raises ReceiptError if it proves nothing."""
    head, gap, note = receipt.partition("\n\n")
    title, *lines = head.split("\n")
    if title != TITLE or not gap or len(lines) < 2 or not lines[0].startswith("extra "):
        raise ReceiptError(f"not a receipt: it must begin with {TITLE}, an extra line and an index")
    try:
        extra = _extra.decode(_bytes(lines[0].removeprefix("extra ")))
        path = [_bytes(line) for line in lines[2:]]
        index = _index(lines[1])
        body = extra.entry.encode()
        entry = journal.decode(body)
        ring = Keyring(extra.keys)
        if trusted and not any(ring.trusts(key) for key in trusted):
            raise ReceiptError(f"its log is signed by {extra.keys[-1].key}, not by the key that you gave")
        point = ring.open(note)
        if entry.seq != index + 1:
            raise ReceiptError(f"it holds entry {entry.seq}, but proves a place for entry {index + 1}")
        verify_inclusion(journal.leaf(body), index, point.size, path, point.root)
    except (msgspec.MsgspecError, binascii.Error, UnicodeError) as error:
        raise ReceiptError(f"not a receipt: {error}") from error
    except (journal.JournalError, NoteError, MerkleError) as error:
        raise ReceiptError(f"it proves nothing: {error}") from error
    return Proved(entry, point, str(ring.key_at(point.size)), bool(trusted))


def _index(line: str) -> int:
    word, _, number = line.partition(" ")
    if word != "index" or not number.isascii() or not number.isdigit() or str(int(number[:20])) != number:
        raise ReceiptError("not a receipt: need a line with the index of the entry")
    return int(number)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(text: str) -> bytes:
    value = base64.b64decode(text.encode(), validate=True)
    if _text(value) != text:
        raise ReceiptError("not a receipt: base64 in another form than the canonical one")
    return value
