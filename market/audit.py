"""The offline audit: is this file the ledger of a market that kept its own rules?

It needs nothing but the file. What it proves and what it cannot is part of its report.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

import msgspec

from market import journal
from market.conservation import Conservation
from market.events import Entry
from market.ledger import LedgerError, Posting, market_settings, postings, require_zero_sums
from market.orders import MarketSettings
from market.replay import GateFactory, Replayer
from market.store import CHUNK, LOWEST, JournalRow, Ledger, PostingRow

MOST_FINDINGS = 1000
"""An audit stops reading when it has found this much."""

CHECKS = {
    "file": "every page of the file can be read",
    "schema": "the triggers that refuse to change or delete rows are in place",
    "sequence": "entries are numbered from 1 without a gap",
    "leaf": "every entry has the hash that was stored with it",
    "canonical": "every entry is in the one canonical form",
    "postings": "the postings are exactly those that the entries cause",
    "zero_sum": "the postings of every entry sum to zero in every asset",
    "conservation": "orders in = filled + resting + cancelled + expired; no fill beyond limit or quantity; "
    "settled energy is what the meters read",
    "replay": "the commands through a fresh exchange give the same events, byte for byte",
}
"""Every check of the audit and what it proves where it finds nothing."""

NOT_PROVABLE = (
    "that nobody cut entries off the end, or rewrote the whole file from some entry on: needs signed checkpoints",
    "that the operator wrote it: needs a signature",
    "that the wires carried the schedule: the recorded verdicts are repeated, not computed; recheck with the gate",
    "that meters told the truth and that baselines are what would have flowed anyway",
)


class Finding(msgspec.Struct, frozen=True):
    """Something wrong at entry `seq`, or with the file as a whole (None)."""

    seq: int | None
    check: str
    detail: str


class AuditReport(msgspec.Struct, frozen=True):
    """The outcome of an audit. `proved` are the checks, in words, that found nothing over the whole file."""

    path: str
    entries: int
    events: int
    trades: int
    findings: list[Finding]
    proved: list[str]
    not_provable: list[str]

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def first_bad(self) -> int | None:
        """Number of the first entry with a finding, None if no entry has one."""
        return min((finding.seq for finding in self.findings if finding.seq is not None), default=None)


def audit(
    target: str | Path, gate_factory: GateFactory | None = None, progress: Callable[[int], None] | None = None
) -> AuditReport:
    """Audit a ledger file, a page at a time.

    `gate_factory(settings, feeder_json)` makes a real gate whose verdicts are computed anew; by default those of the
    journal are repeated. `progress` is called with the number of entries read so far.
    Raises LedgerError if the file cannot be opened as a ledger; whatever is wrong in it is a finding.
    """
    with Ledger.open(target) as ledger:
        auditor = _Auditor(gate_factory)
        missing = ledger.missing_triggers()
        if missing:
            auditor.find(None, "schema", f"triggers are missing: {', '.join(missing)}")
        # A page that cannot be read is read again row by row, so that the first lost entry is named.
        for size in (CHUNK, 1):
            try:
                for rows, moved in ledger.pages(auditor.last + 1 if size == 1 else LOWEST, size):
                    auditor.page(rows, moved)
                    if progress is not None:
                        progress(auditor.last)
                    if len(auditor.findings) >= MOST_FINDINGS:
                        break
                else:
                    auditor.close()
                break
            except LedgerError as error:
                if size == 1:
                    auditor.find(auditor.last + 1, "file", str(error))
    return auditor.report(ledger.name, gate_factory is not None)


class _Auditor:
    """What has been seen of a journal so far, and what was wrong with it."""

    def __init__(self, gate_factory: GateFactory | None) -> None:
        self.findings: list[Finding] = []
        self.last = 0
        self._entries = 0
        self._events = 0
        self._settings: MarketSettings | None = None
        self._conservation = Conservation()
        self._replayer: Replayer | None = Replayer(gate_factory)
        self._complete = False
        self._whole = True
        """Every entry so far could be read, so that what adds up over entries can be judged."""

    def find(self, seq: int | None, check: str, detail: str) -> None:
        self.findings.append(Finding(seq, check, detail))

    def page(self, rows: list[JournalRow], moved: list[PostingRow]) -> None:
        by_seq: dict[int, list[PostingRow]] = {}
        for row in moved:
            by_seq.setdefault(row[0], []).append(row)
        batch: list[Entry] = []
        for seq, body, leaf in rows:
            if seq < 1:
                self.find(seq, "sequence", "entries are numbered from 1")
                continue
            if seq != self.last + 1:
                gap = f"entries {self.last + 1} to {seq - 1} are" if seq > self.last + 2 else f"entry {seq - 1} is"
                self.find(self.last + 1, "sequence", f"{gap} missing")
                self._replay(batch)
                self._whole, self._replayer, batch = False, None, []
            self.last = seq
            self._entries += 1
            entry = self._read(seq, body, leaf)
            stored = by_seq.pop(seq, [])
            if entry is None:
                self._replay(batch)
                self._whole, self._replayer, batch = False, None, []
            else:
                self._events += len(entry.events)
                self._check_postings(entry, stored)
                batch.append(entry)
        self._replay(batch)
        for seq in by_seq:
            self.find(seq, "postings", "postings without an entry")

    def close(self) -> None:
        self._complete = True
        if self._whole:
            for detail in self._conservation.close():
                self.find(self.last, "conservation", detail)

    def report(self, path: str, rechecked: bool) -> AuditReport:
        failed = {finding.check for finding in self.findings}
        undone = set() if self._whole and self._replayer is not None else {"conservation", "replay"}
        proved = (
            [text for check, text in CHECKS.items() if check not in failed | undone] if "file" not in failed else []
        )
        not_provable = [text for text in NOT_PROVABLE if not (rechecked and "wires" in text)]
        findings = sorted(self.findings, key=lambda finding: (finding.seq is not None, finding.seq or 0))
        return AuditReport(path, self._entries, self._events, self._conservation.trades, findings, proved, not_provable)

    def _read(self, seq: int, body: bytes, leaf: bytes) -> Entry | None:
        """The entry of a row if it is one; what is wrong with the row is found."""
        try:
            entry = journal.decode(body)
        except journal.JournalError as error:
            self.find(seq, "canonical", error.reason)
            return None
        if journal.leaf(body) != leaf:
            self.find(seq, "leaf", "the hash stored with the entry is not that of its body")
        if entry.seq != seq:
            self.find(seq, "sequence", f"the row holds entry {entry.seq}")
            return None
        return entry

    def _check_postings(self, entry: Entry, stored: list[PostingRow]) -> None:
        self._settings = self._settings or market_settings(entry)
        expected: list[Posting] = []
        try:
            expected = postings(entry, self._settings)
        except LedgerError as error:
            self.find(entry.seq, "postings", str(error))
        rows = [(entry.seq, line, *posting) for line, posting in enumerate(expected)]
        posted = [Posting(*row[2:]) for row in stored]
        if rows != stored:
            right, wrong = next(pair for pair in zip_longest(rows, stored) if pair[0] != pair[1])
            self.find(entry.seq, "postings", f"stored is {wrong}, the entry gives {right}")
            try:
                require_zero_sums(entry.seq, posted)
            except (LedgerError, TypeError) as error:
                self.find(entry.seq, "zero_sum", str(error))
            posted = expected
        if self._whole:
            for detail in self._conservation.observe(entry, posted):
                self.find(entry.seq, "conservation", detail)

    def _replay(self, batch: list[Entry]) -> None:
        if self._replayer is None or not batch:
            return
        try:
            mismatch = self._replayer.run(batch)
        except (ValueError, TypeError, LookupError, ArithmeticError) as error:
            which = f"entries {batch[0].seq} to {batch[-1].seq}"
            self.find(batch[0].seq, "replay", f"the exchange cannot carry out one of {which}: {error!r}")
            self._replayer = None
            return
        if mismatch is not None:
            self.find(mismatch.seq, "replay", mismatch.detail)
            self._replayer = None
