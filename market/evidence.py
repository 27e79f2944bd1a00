"""What an audit reads: a ledger, or one file that was exported from it, page by page in the same shape.

An export is NDJSON, compressed by gzip:

    {"entries":N,"export":1,"keys":[[number,size,key,note],…]}
    canonical bytes of an entry                                     one line each, in order
    {"checkpoint":"signed note"}                                    behind the last entry that it covers
    {"first":F,"leaves":"base64"}                                   leaf hashes of entries F and on, behind them
    {"checkpoints":C,"end":N,"root":"base64"}                       the last line

Postings and tiles are left out: they follow from the entries.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, Protocol

import msgspec

from market.events import Entry
from market.journal import JournalError, decode
from market.keyring import KeyRow
from market.ledger import LedgerError
from market.merkle import WIDTH, split
from market.store import CHUNK, CheckpointRow, JournalRow, Ledger, PostingRow, TileRow

VERSION = 1
BLOCK = 1 << 18
"""Bytes read at a time."""
LONGEST = 1 << 28
"""Bytes of the longest line; a longer one is none of ours."""
_SEQ = re.compile(rb'"seq":([0-9]{1,16})\}$')


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Turns what the disk refuses into a LedgerError that names the file."""
    try:
        yield
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror or error}") from error


class Page(NamedTuple):
    """Some entries as stored, their postings if there are any in the evidence, and the checkpoints that cover them."""

    rows: list[JournalRow]
    postings: list[PostingRow]
    checkpoints: list[CheckpointRow]


class Evidence(Protocol):
    """What an audit can be made of."""

    name: str
    entries: int
    """Entries that it says it holds."""
    keys: list[KeyRow]
    exported: bool
    """True: no postings, no tiles, but all entries are signed if any is."""

    def pages(self, first: int, size: int) -> Iterator[Page]:
        """From entry `first` on, `size` entries at a time. Raises LedgerError where it cannot be read on."""

    def tiles(self, level: int, first: int, last: int) -> list[TileRow]:
        """Stored tiles of a level, by position."""

    def tile_places(self) -> set[tuple[int, int]]:
        """(level, position) of every stored tile."""

    def damage(self) -> list[str]:
        """What is wrong with the evidence as a whole, in words."""


class LedgerEvidence:
    """A ledger that is open."""

    exported = False

    def __init__(self, ledger: Ledger) -> None:
        self.name = ledger.name
        self.entries = len(ledger)
        self.keys = ledger.keys()
        self.tiles = ledger.tiles
        self.tile_places = ledger.tile_places
        self._ledger = ledger

    def pages(self, first: int, size: int) -> Iterator[Page]:
        before = first - 1
        for rows, moved in self._ledger.pages(first, size):
            last = rows[-1][0] if rows else before
            yield Page(rows, moved, self._ledger.checkpoints(before + 1, last))
            before = last
        if beyond := self._ledger.checkpoints(before + 1):
            yield Page([], [], beyond)

    def damage(self) -> list[str]:
        missing = self._ledger.missing_triggers()
        return [f"triggers are missing: {', '.join(missing)}"] if missing else []


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    export: int
    entries: int
    keys: list[KeyRow]


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """Any line that is no entry."""

    checkpoint: str = ""
    first: int = 0
    leaves: str = ""
    end: int = -1
    checkpoints: int = 0
    root: str = ""


_header = msgspec.json.Decoder(_Header)
_line = msgspec.json.Decoder(_Line)


class ExportEvidence:
    """An exported file. `root` is what its last line says, b"" until that was read."""

    exported = True

    def __init__(self, path: Path) -> None:
        """Raises LedgerError if it is no export."""
        self.name = str(path)
        self._path = path
        self.root = b""
        self._damage: list[str] = []
        lines = _Lines(path)
        head = next(iter(lines), b"")
        try:
            header = _header.decode(head)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise LedgerError(f"{path}: line 1 is not the head of an exported ledger: {error}") from error
        if header.export != VERSION:
            raise LedgerError(
                f"{path}: is export version {header.export}, this program reads {VERSION}; update wattbook"
            )
        self.entries = header.entries
        self.keys = header.keys

    def pages(self, first: int, size: int) -> Iterator[Page]:
        """All pages, whatever `first` is: an export is read once, from its start."""
        reader = _Reader(self._path, size)
        yield from reader.pages()
        self.root = reader.root
        if reader.end != (self.entries, reader.checkpoints):
            self._damage.append(
                f"the last line says {reader.end[0]} entries and {reader.end[1]} checkpoints, the first "
                f"{self.entries} entries, and {reader.checkpoints} checkpoints are there"
            )

    def tiles(self, level: int, first: int, last: int) -> list[TileRow]:
        return []

    def tile_places(self) -> set[tuple[int, int]]:
        return set()

    def damage(self) -> list[str]:
        return self._damage


class _Reader:
    """Lines of an export put together into pages."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._rows: list[JournalRow] = []
        self._block: list[tuple[int, bytes]] = []
        self._signed: list[CheckpointRow] = []
        self._last = 0
        self.checkpoints = 0
        self.end = (-1, -1)
        self.root = b""

    def pages(self) -> Iterator[Page]:
        lines = iter(_Lines(self._path))
        next(lines)
        number = 1
        try:
            for number, line in enumerate(lines, 2):
                if self.end[0] >= 0:
                    raise LedgerError(f"{self._path}: line {number} stands behind the last line")
                if line.startswith(b'{"command":'):
                    self._entry(line)
                else:
                    self._other(line, number)
                if len(self._rows) >= self._size:
                    yield self._page()
        except LedgerError:
            self._flush(0, b"")
            yield self._page()
            raise
        self._flush(0, b"")
        if self._rows or self._signed:
            yield self._page()
        if self.end[0] < 0:
            raise LedgerError(f"{self._path}: is cut short behind line {number}: its last line is missing")

    def _page(self) -> Page:
        page = Page(self._rows, [], self._signed)
        self._rows, self._signed = [], []
        return page

    def _entry(self, line: bytes) -> None:
        stated = _SEQ.search(line, max(len(line) - 30, 0))
        self._last = int(stated[1]) if stated else self._last + 1
        self._block.append((self._last, line))
        if len(self._block) == 2 * WIDTH:
            self._flush(0, b"")

    def _other(self, line: bytes, number: int) -> None:
        try:
            read = _line.decode(line)
            leaves, root = (base64.b64decode(text, validate=True) for text in (read.leaves, read.root))
        except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error):
            self._entry(line)  # a line that was an entry once, or never; the audit says what is wrong with it
            return
        if read.checkpoint:
            self.checkpoints += 1
            self._signed.append((self._last, read.checkpoint))
        elif leaves:
            self._flush(read.first, leaves)
        elif read.end >= 0:
            self.end, self.root = (read.end, read.checkpoints), root
        else:
            raise LedgerError(f"{self._path}: line {number} says nothing")

    def _flush(self, first: int, leaves: bytes) -> None:
        """Join the entries of a block with their hashes; one without gets an empty one, which is never right."""
        hashes = split(leaves)
        for seq, body in self._block:
            place = seq - first
            self._rows.append((seq, body, hashes[place] if 0 <= place < len(hashes) else b""))
        self._block = []


class _Lines:
    """Lines of a file, without their ends; unpacked if gzip packed it. Raises LedgerError where it is damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        number, rest = 1, b""
        with named(self._path), self._path.open("rb") as file:
            for block in self._blocks(file):
                *lines, rest = (rest + block).split(b"\n")
                yield from lines
                number += len(lines)
                if len(rest) > LONGEST:
                    raise LedgerError(f"{self._path}: line {number} does not end; this is no exported ledger")
        if rest:
            raise LedgerError(f"{self._path}: is cut short in line {number}")

    def _blocks(self, file: IO[bytes]) -> Iterator[bytes]:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while block := file.read(BLOCK):
            if not packed:
                yield block
                continue
            while block:
                if unpack.eof:
                    raise LedgerError(f"{self._path}: something stands behind its end")
                try:
                    yield unpack.decompress(block, BLOCK)
                except zlib.error as error:
                    raise LedgerError(f"{self._path}: is damaged: {error}") from error
                block = unpack.unconsumed_tail or unpack.unused_data
        if packed and not unpack.eof:
            raise LedgerError(f"{self._path}: is cut short: the compressed file has no end")


def is_export(path: Path) -> bool:
    """Whether a file begins like an export, packed or not."""
    with named(path), path.open("rb") as file:
        head = file.read(12)
    return head.startswith((b"\x1f\x8b", b'{"entries":'))


def entries_of(target: str | Path) -> Iterator[Entry]:
    """The entries of a ledger or an exported file, in order, without checking more than that they can be read.

    Raises LedgerError where they cannot.
    """
    if "://" in str(target) or not Path(target).is_file() or not is_export(Path(target)):
        with Ledger.open(target) as ledger:
            yield from ledger.entries()
        return
    for page in ExportEvidence(Path(target)).pages(1, CHUNK):
        for seq, body, _ in page.rows:
            try:
                yield decode(body)
            except JournalError as error:
                raise JournalError(error.reason, seq) from error
