"""The ledger: journal and postings in SQL tables, written by one writer, never changed.

Everything in it follows from the journal; postings are kept beside it so that anyone can sum them with any tool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import sqlalchemy as sa

from market import journal, keyring, schema
from market.database import Database, LostError, Writer, database_of
from market.events import Entry
from market.frames import SETTLING, TRADING, settlements_frame, trades_frame
from market.keyring import KeyRow
from market.ledger import MOVING, LedgerError, Posting, fold, market_settings, postings, require_zero_sums
from market.merkle import Log, Tree
from market.notes import Checkpoint, NoteError, Signer
from market.notes import sign as signed_note
from market.orders import CreateMarket, MarketSettings
from market.schema import current, downgrade, upgrade

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Ledger", "LedgerError", "Meta", "current", "downgrade", "upgrade"]

CHUNK = 10_000
"""Rows read at a time, so that a ledger of any length fits into memory."""

SIGN_EVERY = 1000
"""Entries between two checkpoints, as closely as the transactions allow."""

LOWEST = -(2**62)
"""A sequence number below any that a ledger can hold, honest or not."""

JournalRow = tuple[int, bytes, bytes]
"""seq, body, leaf."""
PostingRow = tuple[int, int, str, str, int]
"""seq, line, account, asset, amount."""
TileRow = tuple[int, int, bytes]
"""level, position, hashes; see `market.merkle`."""
CheckpointRow = tuple[int, str]
"""size, signed note; see `market.notes`."""


class Meta(NamedTuple):
    """What a ledger says of itself. `market` and `feeder` are None until a market was created in it."""

    name: str
    """Its path, or its URL without a password."""
    revision: str
    entries: int
    market: MarketSettings | None
    feeder: str | None


class Ledger:
    """A ledger, open for reading or for writing. Use it as a context manager, or call `close`."""

    def __init__(self, database: Database, *, readonly: bool) -> None:
        """Opens an existing ledger; see `create` and `open`."""
        schema.check(database)
        self.name = database.name
        """Its path, or its URL without a password."""
        self._database = database
        self._market: CreateMarket | None = None
        self._tree: Tree | None = None
        self._signer: Signer | None = None
        self._signed = 0
        self._engine = database.connect("read" if readonly else "write")
        self._writer: Writer | None = None
        self._rejoined = False
        """Whether the outcome of the last transaction is not known, because it lost its connection."""
        try:
            if not readonly:
                self._writer = Writer(database, self._engine)
            self._last: int = self._rows(sa.select(sa.func.coalesce(sa.func.max(schema.journal.c.seq), 0)))[0][0]
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, target: str | Path) -> Self:
        """A new, empty ledger at a path or URL, open for writing.

        Raises LedgerError if the file exists, whatever is in it, or cannot be made. A database of a server must exist,
        and be empty.
        """
        database = database_of(target)
        schema.create(database)
        return cls(database, readonly=False)

    @classmethod
    def open(cls, target: str | Path, *, readonly: bool = True) -> Self:
        """An existing ledger. Any number may read while one writes.

        Raises LedgerError if it is no ledger, has another schema, is damaged, or another writer has it.
        """
        return cls(database_of(target), readonly=readonly)

    def close(self) -> None:
        """Let go of the file. A ledger of which no reader is left is then one file, complete in itself."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, entries: Sequence[Entry]) -> None:
        """Store entries and their postings durably, all or none: when this returns, they are on the disk.

        Raises LedgerError, and stores nothing, if the entries do not continue the journal, their postings do not
        balance, or the disk refuses; JournalError if one has no canonical form. The ledger stays usable. Raises
        LostError if the connection to a server is gone: append the same entries again, and they are stored once.
        """
        writer = self._require_writer()
        moved: list[PostingRow] = []
        market = self._market or self._find_market()
        for seq, entry in enumerate(entries, self._last + 1):
            if entry.seq != seq:
                raise LedgerError(f"{self.name}: entry {seq} is next, not {entry.seq}")
            market = market or _creation(entry)
            if MOVING.isdisjoint(map(type, entry.events)):
                continue
            if caused := postings(entry, market.settings if market else None):
                moved += [(seq, line, *posting) for line, posting in enumerate(caused)]
        bodies = journal.encode_all(entries)
        rows: list[JournalRow] = [(seq, body, journal.leaf(body)) for seq, body in enumerate(bodies, self._last + 1)]
        tree = (self._tree or self.log().tree()).copy()
        tiles = tree.extend([leaf for _, _, leaf in rows])
        signed = self._checkpoint(tree) if tree.size >= self._signed + SIGN_EVERY else []
        if not (self._rejoined and self._stored(rows)):
            with writer.transaction() as connection:
                self._database.insert(connection, schema.journal, rows)
                self._database.insert(connection, schema.posting, moved)
                self._database.insert(connection, schema.tile, tiles)
                if signed:
                    connection.execute(sa.insert(schema.checkpoint), signed)
        self._rejoined = False
        self._market, self._tree = market, tree
        self._last += len(rows)
        if signed:
            self._signed = self._last

    def sign_with(self, signer: Signer) -> None:
        """Sign what is appended from now on, every thousand entries and when `sign` is called.

        Raises LedgerError if another key signs this ledger; `rotate` hands over.
        """
        self._require_writer()
        rows = self.keys()
        if not rows:
            rows = [keyring.first(signer)]
            self._store(schema.verifier, rows[0]._asdict())
        if rows[-1].key != str(signer.verifier):
            raise LedgerError(
                f"{self.name}: is signed with the key {rows[-1].key}, not {signer.verifier}; use that key, or hand "
                "over to the new one with `wattbook keys rotate`"
            )
        self._signer = signer
        self._signed = max((size for size, _ in self.checkpoints()), default=0)

    def sign(self) -> str | None:
        """Sign all entries stored so far; returns the newest checkpoint, None for a ledger without entries.

        Raises LedgerError if no key was given with `sign_with`.
        """
        if self._signer is None:
            raise LedgerError(f"{self.name}: no key to sign with; call sign_with first")
        self._tree = self._tree or self.log().tree()
        if self._last > self._signed:
            self._store(schema.checkpoint, self._checkpoint(self._tree)[0])
            self._signed = self._last
        return max(self.checkpoints(), default=(0, None))[1]

    def rotate(self, old: Signer, new: Signer) -> None:
        """Sign all entries with the old key a last time, and hand over to the new one. Raises LedgerError."""
        self.sign_with(old)
        self.sign()
        try:
            row = keyring.handover(self.keys(), self._last, old, new)
        except NoteError as error:
            raise LedgerError(f"{self.name}: {error}") from error
        self._store(schema.verifier, row._asdict())
        self._signer = new

    def keys(self) -> list[KeyRow]:
        """The public keys that sign this ledger, oldest first. `market.keyring` verifies them."""
        return [KeyRow(*row) for row in self._rows(sa.select(schema.verifier).order_by(schema.verifier.c.number))]

    def checkpoints(self, first: int = LOWEST, last: int = -LOWEST) -> list[CheckpointRow]:
        """(size, note) of the checkpoints over `first` to `last` entries, as stored."""
        size = schema.checkpoint.c.size
        return self._rows(sa.select(schema.checkpoint).where(size >= first, size <= last).order_by(size))

    def tiles(self, level: int, first: int = LOWEST, last: int = -LOWEST) -> list[TileRow]:
        """(level, position, hashes) of the tiles `first` to `last` of a level, as stored."""
        found = sa.select(schema.tile).where(schema.tile.c.level == level)
        place = schema.tile.c.position
        return self._rows(found.where(place >= first, place <= last).order_by(place))

    def tile_places(self) -> set[tuple[int, int]]:
        """(level, position) of every stored tile."""
        return {
            (level, position) for level, position in self._rows(sa.select(schema.tile.c.level, schema.tile.c.position))
        }

    def log(self, size: int | None = None) -> Log:
        """The Merkle log over the first `size` entries, all by default, for roots and proofs."""

        def tile(level: int, position: int) -> bytes | None:
            rows = self.tiles(level, position, position)
            return rows[0][2] if rows else None

        def leaves(first: int, last: int) -> list[bytes]:
            column = schema.journal.c.seq
            rows = self._rows(sa.select(schema.journal.c.leaf).where(column > first, column <= last).order_by(column))
            return [leaf for (leaf,) in rows]

        return Log(self._last if size is None else size, tile, leaves)

    def __len__(self) -> int:
        """Number of the last entry that was stored when this ledger was opened, or by it since."""
        return self._last

    def pages(self, first: int = 1, size: int = CHUNK) -> Iterator[tuple[list[JournalRow], list[PostingRow]]]:
        """The rows as stored, `size` entries at a time with the postings up to the last of them.

        The last page has the postings that belong to no entry, if there are any.
        """
        by_line = sa.select(schema.posting).order_by(schema.posting.c.seq, schema.posting.c.line)
        before = first - 1
        for rows in self._journal_pages(first, size):
            last = rows[-1][0]
            yield rows, self._rows(by_line.where(schema.posting.c.seq > before, schema.posting.c.seq <= last))
            before = last
        if orphans := self._rows(by_line.where(schema.posting.c.seq > before)):
            yield [], orphans

    def bodies(self, first: int = 1) -> Iterator[JournalRow]:
        """(seq, canonical bytes, leaf hash) of every entry from `first` on, in order."""
        for rows in self._journal_pages(first):
            yield from rows

    def entry_pages(self, first: int = 1) -> Iterator[list[Entry]]:
        """The entries from `first` on, some thousand at a time. Raises JournalError with the seq of a damaged one."""
        for rows in self._journal_pages(first):
            yield [_entry(seq, body) for seq, body, _ in rows]

    def entries(self, first: int = 1, where: Callable[[bytes], object] | None = None) -> Iterator[Entry]:
        """Every entry from `first` on, in order. Raises JournalError with the seq of a damaged one.

        With `where` only those of whose canonical bytes it says so, see `journal.holding`; others are not decoded.
        """
        for rows in self._journal_pages(first):
            for seq, body, _ in rows:
                if where is None or where(body):
                    yield _entry(seq, body)

    def postings(self, first: int = 1) -> Iterator[PostingRow]:
        """(seq, line, account, asset, amount) of every posting from entry `first` on. Checks the sums as it reads.

        Raises LedgerError if the postings of an entry do not sum to zero.
        """
        for _, rows in self.pages(first):
            for seq, lines in groupby(rows, itemgetter(0)):
                stored = list(lines)
                require_zero_sums(seq, [Posting(*row[2:]) for row in stored])
                yield from stored

    def balances(self) -> dict[tuple[str, str], int]:
        """Balance per (account, asset): received less given. Assets sum to zero."""
        return fold(Posting(*row[2:]) for row in self.postings())

    def meta(self) -> Meta:
        """Schema, length, rules and feeder."""
        market = self._market or self._find_market()
        settings, feeder = (market.settings, market.feeder) if market else (None, None)
        return Meta(self.name, schema.HEAD, self._last, settings, feeder)

    def missing_triggers(self) -> list[str]:
        """Names of the triggers that would refuse to change the ledger, but are gone or say something else."""
        with self._database.explained(), self._engine.connect() as connection:
            return self._database.missing_guards(connection, schema.APPEND_ONLY)

    def trades(self) -> pd.DataFrame:
        """One row per trade: seq, time, delivery (UTC), then the fields of `market.events.Traded` in market units."""
        return trades_frame(self.entries(where=TRADING), self._settings())

    def settlements(self) -> pd.DataFrame:
        """One row per participant and settled slot, the utility included, in market units; `estimated` where no
        meter reading was known.
        """
        return settlements_frame(self.entries(where=SETTLING), self._settings())

    def _checkpoint(self, tree: Tree) -> list[dict[str, Any]]:
        """The row of a checkpoint over the tree, none without a key."""
        if self._signer is None:
            return []
        text = Checkpoint(self._signer.name, tree.size, tree.root()).text()
        return [{"size": tree.size, "note": signed_note(text, [self._signer])}]

    def _store(self, table: sa.Table, row: dict[str, Any]) -> None:
        with self._require_writer().transaction() as connection:
            connection.execute(sa.insert(table), row)

    def _require_writer(self) -> Writer:
        if self._writer is None:
            raise LedgerError(f"{self.name}: is open for reading only; open it with readonly=False")
        if self._writer.lost:
            try:
                self._writer.close()
                self._engine.dispose()
                self._writer = Writer(self._database, self._engine)
                self._rejoined = True
                self._signed = max((size for size, _ in self.checkpoints()), default=0)
            except LedgerError as error:
                raise LostError(str(error)) from error
        return self._writer

    def _stored(self, rows: Sequence[JournalRow]) -> bool:
        """Whether the transaction that lost its connection was carried out: all of it, as a transaction is.

        Raises LedgerError if others have written meanwhile.
        """
        found = self._rows(sa.select(schema.journal).where(schema.journal.c.seq > self._last).limit(len(rows) + 1))
        if found and sorted(found) != sorted(rows):
            raise LedgerError(
                f"{self.name}: another process has stored other entries behind entry {self._last} meanwhile; open the "
                "ledger again and go on from its last entry"
            )
        return bool(found)

    def _journal_pages(self, first: int, size: int = CHUNK) -> Iterator[list[JournalRow]]:
        by_seq = sa.select(schema.journal).order_by(schema.journal.c.seq).limit(size)
        while rows := self._rows(by_seq.where(schema.journal.c.seq >= first)):
            yield rows
            first = rows[-1][0] + 1

    def _settings(self) -> MarketSettings:
        market = self._market or self._find_market()
        if market is None:
            raise LedgerError(f"{self.name}: holds no market yet; its first command must create one")
        return market.settings

    def _find_market(self) -> CreateMarket | None:
        self._market = next((market for entry in self.entries() if (market := _creation(entry))), None)
        return self._market

    def stream(self, statement: sa.Select[Any]) -> Iterator[tuple[Any, ...]]:
        """The rows that a statement selects, some thousand at a time."""
        with self._database.explained(), self._engine.connect() as connection:
            for row in connection.execution_options(yield_per=CHUNK).execute(statement):
                yield tuple(row)

    def _rows(self, statement: sa.Select[Any] | sa.TextClause) -> list[Any]:
        with self._database.explained(), self._engine.connect() as connection:
            cursor = connection.execute(statement).cursor
            assert cursor is not None
            return list(cursor.fetchall())  # plain tuples as the driver makes them, several times as fast as rows


def _entry(seq: int, body: bytes) -> Entry:
    try:
        return journal.decode(body)
    except journal.JournalError as error:
        raise journal.JournalError(error.reason, seq) from error


def _creation(entry: Entry) -> CreateMarket | None:
    command = entry.command
    return command if isinstance(command, CreateMarket) and market_settings(entry) else None
