"""The entries' part of an audit: numbering, hashes, form, postings, conservation, and the replay.

A page that is in order is checked as a whole; only one that is not is looked through row by row, to name what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from market import journal
from market.conservation import Conservation
from market.events import Entry
from market.ledger import MOVING, LedgerError, Posting, market_settings, postings, require_zero_sums
from market.logcheck import Finding
from market.orders import RULES, CreateMarket, MarketSettings
from market.replay import GateFactory, Replayer
from market.store import JournalRow, PostingRow

Moved = list[tuple[int, list[Posting]]]
"""Postings per entry, for entries that have some."""


class EntryCheck:
    """Follows a journal page by page; what is wrong is added to `findings`."""

    def __init__(self, findings: list[Finding], gate_factory: GateFactory | None, *, stores_postings: bool) -> None:
        """`stores_postings` is False where postings are derived from the entries and not in the evidence."""
        self.last = 0
        """Number of the last entry."""
        self.count = 0
        self.events = 0
        self.gapless = True
        """No entry so far is missing, so that the tree of the hashes is that of the log."""
        self.rules = RULES
        """Version of the rules by which the market matched, as its journal says."""
        self._findings = findings
        self._stores_postings = stores_postings
        self._settings: MarketSettings | None = None
        self._conservation = Conservation()
        self._replayer: Replayer | None = Replayer(gate_factory)
        self._whole = True
        """Every entry so far could be read, so that what adds up over entries can be judged."""

    @property
    def replayed(self) -> bool:
        """Whether all entries so far could be replayed and added up."""
        return self._whole and self._replayer is not None

    @property
    def whole(self) -> bool:
        """Whether all entries so far could be read and added up."""
        return self._whole

    @property
    def trades(self) -> int:
        return self._conservation.trades

    def page(self, rows: list[JournalRow], moved: list[PostingRow]) -> list[bytes]:
        """Check some entries with their postings; returns their hashes, computed from the bodies."""
        found = self._as_a_whole(rows, moved)
        return self._one_by_one(rows, moved) if found is None else found

    def close(self) -> None:
        """What does not add up once the last entry was read."""
        if self._whole:
            for detail in self._conservation.close():
                self._find(self.last, "conservation", detail)

    def _find(self, seq: int | None, check: str, detail: str) -> None:
        self._findings.append(Finding(seq, check, detail))

    # -- a page in order ----------------------------------------------------------------------------------------------

    def _as_a_whole(self, rows: list[JournalRow], moved: list[PostingRow]) -> list[bytes] | None:
        """The hashes of a page whose rows are in order; None, and nothing is noted, if there is anything to find."""
        if not rows or not self._whole:
            return None
        seqs, bodies, leaves = (list(column) for column in zip(*rows, strict=True))
        entries = journal.decode_all(bodies)
        if entries is None or seqs != list(range(self.last + 1, self.last + 1 + len(rows))):
            return None
        if [entry.seq for entry in entries] != seqs or [journal.leaf(body) for body in bodies] != leaves:
            return None
        settings = self._settings or next(filter(None, map(market_settings, entries)), None)
        try:
            caused = [
                (entry.seq, postings(entry, settings))
                for entry in entries
                if not MOVING.isdisjoint(map(type, entry.events))
            ]
        except LedgerError:
            return None
        if self._stores_postings and moved != [
            (seq, line, *posting) for seq, given in caused for line, posting in enumerate(given)
        ]:
            return None
        self._settings = settings
        self._accept(entries, caused)
        return leaves

    def _accept(self, entries: list[Entry], caused: Moved) -> None:
        """Note entries whose rows are in order, and hold them against the rules."""
        self.last = entries[-1].seq
        self.count += len(entries)
        self.events += sum(len(entry.events) for entry in entries)
        for seq, detail in self._conservation.observe_all(entries, dict(caused)):
            self._find(seq, "conservation", detail)
        self._replay(entries)

    # -- a page with something wrong ----------------------------------------------------------------------------------

    def _one_by_one(self, rows: list[JournalRow], moved: list[PostingRow]) -> list[bytes]:
        by_seq: dict[int, list[PostingRow]] = {}
        for row in moved:
            by_seq.setdefault(row[0], []).append(row)
        batch: list[Entry] = []
        leaves: list[bytes] = []
        for seq, body, leaf in rows:
            if seq < 1:
                self._find(seq, "sequence", "entries are numbered from 1")
                continue
            if seq != self.last + 1:
                self._find(min(seq, self.last + 1), "sequence", _gap(self.last, seq))
                self.gapless = False
                self._break(batch)
                if seq <= self.last:
                    continue
            self.last = seq
            self.count += 1
            leaves.append(journal.leaf(body) if type(body) is bytes else b"")
            entry = self._read(seq, body, leaf, leaves[-1])
            stored = by_seq.pop(seq, [])
            if entry is None:
                self._break(batch)
            else:
                self.events += len(entry.events)
                self._check_postings(entry, stored)
                batch.append(entry)
        self._replay(batch)
        for seq in by_seq:
            self._find(seq, "postings", "postings without an entry")
        return leaves

    def _break(self, batch: list[Entry]) -> None:
        """From here on entries are checked one by one, but no longer replayed or added up."""
        self._replay(batch)
        batch.clear()
        self._whole, self._replayer = False, None

    def _read(self, seq: int, body: bytes, leaf: bytes, right: bytes) -> Entry | None:
        """The entry of a row if it is one; what is wrong with the row is found."""
        try:
            entry = journal.decode(body)
        except journal.JournalError as error:
            self._find(seq, "canonical", error.reason)
            return None
        if leaf != right:
            self._find(seq, "leaf", "the hash stored with the entry is not that of its body")
        if entry.seq != seq:
            self._find(seq, "sequence", f"the row holds entry {entry.seq}")
            return None
        return entry

    def _check_postings(self, entry: Entry, stored: list[PostingRow]) -> None:
        self._settings = self._settings or market_settings(entry)
        expected: list[Posting] = []
        try:
            expected = postings(entry, self._settings)
        except LedgerError as error:
            self._find(entry.seq, "postings", str(error))
        rows = [(entry.seq, line, *posting) for line, posting in enumerate(expected)]
        if self._stores_postings and rows != stored:
            right, wrong = next(pair for pair in zip_longest(rows, stored) if pair[0] != pair[1])
            self._find(entry.seq, "postings", f"stored is {wrong}, the entry gives {right}")
            try:
                require_zero_sums(entry.seq, [Posting(*row[2:]) for row in stored])
            except (LedgerError, TypeError) as error:
                self._find(entry.seq, "zero_sum", str(error))
        if self._whole:
            for detail in self._conservation.observe(entry, expected):
                self._find(entry.seq, "conservation", detail)

    def _replay(self, batch: Sequence[Entry]) -> None:
        if self._replayer is None or not batch:
            return
        for entry in batch if batch[0].seq == 1 else ():
            if isinstance(entry.command, CreateMarket):
                self.rules = entry.command.rules
        try:
            mismatch = self._replayer.run(batch)
        except (ValueError, TypeError, LookupError, ArithmeticError) as error:
            if self._earlier():
                return
            which = f"entries {batch[0].seq} to {batch[-1].seq}"
            self._find(batch[0].seq, "replay", f"the exchange cannot carry out one of {which}: {error!r}")
            self._replayer = None
            return
        if mismatch is not None and not self._earlier():
            self._find(mismatch.seq, "replay", mismatch.detail)
            self._replayer = None

    def _earlier(self) -> bool:
        """True, and nothing is replayed any more, if earlier rules explain why a replay differs."""
        if self.rules == RULES:
            return False
        self._replayer = None
        return True


def _gap(last: int, seq: int) -> str:
    """What is wrong with entry `seq` behind entry `last`, in words."""
    if seq <= last:
        return f"entry {seq} stands behind entry {last}"
    return f"entries {last + 1} to {seq - 1} are missing" if seq > last + 2 else f"entry {seq - 1} is missing"
