"""Canonical bytes of the journal: one JSON text per entry, the same bytes on every machine.

The text is RFC 8785 restricted to ASCII keys and integers within +-(2**53 - 1), so that no parser of any language
can read two meanings into it. Fields at their default are left out; a body that spells them is not canonical.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from market.events import Entry
from market.orders import Command
from market.units import MAX_EXACT

_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Entry)
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER = b"0" * 16
_RUN = 500
"""Entries that are decoded and encoded again at once: more of them would not stay in the processor's cache between."""


class JournalError(ValueError):
    """An entry that has no canonical bytes, or bytes that are no canonical entry. `seq` is None where unknown."""

    def __init__(self, reason: str, seq: int | None = None) -> None:
        super().__init__(reason if seq is None else f"entry {seq}: {reason}")
        self.reason = reason
        self.seq = seq


def encode(entry: Entry) -> bytes:
    """Canonical bytes ``{"command":{...},"events":[...],"seq":n}`` of one entry.

    Raises JournalError if a number is no integer within +-(2**53 - 1), a key is not ASCII, a text is not Unicode or a
    field has the wrong type.
    """
    return _checked(entry, entry.seq)


def require_canonical(command: Command) -> None:
    """Raises JournalError, naming the place, unless the journal can carry a command.

    To be asked of what comes from outside before it is carried out: what cannot be stored must not happen.
    """
    _checked(Entry(0, command, ()), None)


def encode_all(entries: Sequence[Entry]) -> list[bytes]:
    """Canonical bytes of every entry, as `encode` gives them one by one. Raises JournalError."""
    try:
        text = _encoder.encode_lines(entries)
        if _odd(text):
            return [encode(entry) for entry in entries]
        _decoder.decode_lines(text)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        # One of them is at fault; one by one, the first such says so.
        return [encode(entry) for entry in entries]
    # No line break is inside of an entry: in JSON texts it is escaped.
    return text.split(b"\n")[:-1]


def decode_all(bodies: Sequence[bytes]) -> list[Entry] | None:
    """The entries of canonical bytes, None if a single one of them is not canonical; then `decode` tells which."""
    entries: list[Entry] = []
    for start in range(0, len(bodies), _RUN):
        found = _decode_run(bodies[start : start + _RUN])
        if found is None:
            return None
        entries += found
    return entries


def _decode_run(bodies: Sequence[bytes]) -> list[Entry] | None:
    try:
        text = b"\n".join(bodies) + b"\n"
        entries = _decoder.decode_lines(text)
        if len(entries) != len(bodies) or _encoder.encode_lines(entries) != text:
            return None
        if _odd(text):
            for entry, body in zip(entries, bodies, strict=True):
                if _odd(body):
                    _check(msgspec.to_builtins(entry))
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return None
    return entries


def decode(body: bytes) -> Entry:
    """The entry of canonical bytes. Raises JournalError, whatever the bytes are."""
    if not isinstance(body, bytes):
        raise JournalError(f"the body must be bytes, got {type(body).__name__}")
    try:
        entry = _decoder.decode(body)
        canonical = _canonical(entry)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise JournalError(f"not an entry of the journal: {error}") from error
    if canonical != body:
        raise JournalError("not in canonical form: unknown, repeated, unsorted or default fields, or spaces", entry.seq)
    return entry


def _checked(entry: Entry, seq: int | None) -> bytes:
    try:
        body = _canonical(entry)
        _decoder.decode(body)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise JournalError(f"has no canonical form: {error}", seq) from error
    return body


def holding(*kinds: str) -> Callable[[bytes], object]:
    """Tells true of canonical bytes if, and only if, their command or one of their events is of these types.

    In JSON a text cannot look like that: its quotation marks are escaped.
    """
    return re.compile(b'"type":"(?:%s)"' % "|".join(map(re.escape, kinds)).encode()).search


def naming(text: str) -> Callable[[bytes], bool]:
    """Tells true of canonical bytes if a text stands in them as a key or a value of its own."""
    spelled = msgspec.json.encode(text)
    return lambda body: spelled in body


def leaf(body: bytes) -> bytes:
    """Hash of one entry as a leaf of the log's Merkle tree: SHA-256(0x00 || body), RFC 6962 section 2.1."""
    return sha256(b"\0" + body).digest()


def _canonical(entry: Entry) -> bytes:
    """The bytes, its numbers and keys checked but not its types. Raises TypeError, ValueError or OverflowError."""
    body = _encoder.encode(entry)
    if _odd(body):
        _check(msgspec.to_builtins(entry))
    return body


def _odd(text: bytes) -> bool:
    """Whether a number may be too large, having 16 digits, or a key may not be ASCII, so that `_check` must look.

    To look for zeros where digits were is several times as fast as a regular expression.
    """
    return _LONG_NUMBER in text.translate(_DIGITS) or not text.isascii()


def _check(value: Any, place: str = "$") -> None:
    """Raises ValueError, naming the place, unless every number is exact everywhere and every key is ASCII."""
    if isinstance(value, int):
        if not -MAX_EXACT <= value <= MAX_EXACT:
            raise ValueError(f"a number is not within +-(2**53 - 1) - at `{place}`")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not key.isascii():
                raise ValueError(f"key {key!r:.80} is not ASCII - at `{place}`")
            _check(item, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        if set(map(type, value)) == {int} and min(value) >= -MAX_EXACT and max(value) <= MAX_EXACT:
            return
        for number, item in enumerate(value):
            _check(item, f"{place}[{number}]")
