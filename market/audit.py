"""The offline audit: is this the ledger of a market that kept its own rules, and the one that its operator signed?

It needs nothing but a ledger or what was exported from one. What it proves and what it cannot is part of its report.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from market.entrycheck import EntryCheck
from market.evidence import Evidence, ExportEvidence, LedgerEvidence, Page, is_export
from market.ledger import LedgerError
from market.logcheck import Finding, LogCheck
from market.notes import Verifier
from market.orders import RULES
from market.replay import GateFactory
from market.store import CHUNK, LOWEST, Ledger

__all__ = ["CHECKS", "AuditReport", "Finding", "audit"]

MOST_FINDINGS = 1000
"""An audit stops reading when it has found this much."""

CHECKS = {
    "file": "all of it can be read, from the first entry to the last",
    "schema": "the triggers that refuse to change or delete rows are in place",
    "sequence": "entries are numbered from 1 without a gap",
    "leaf": "every entry has the hash that was stored with it",
    "canonical": "every entry is in the one canonical form",
    "postings": "the postings are exactly those that the entries cause",
    "zero_sum": "the postings of every entry sum to zero in every asset",
    "conservation": "orders in = filled + resting + cancelled + expired; no fill beyond limit or quantity; "
    "settled energy is what the meters read; origin is issued for metered generation only and cancelled once",
    "replay": "the commands through a fresh exchange give the same events, byte for byte",
    "tiles": "the tiles of the Merkle tree are those of the entries",
    "checkpoint": "every checkpoint holds the root of the entries up to it: the log only ever grew",
    "signature": "every checkpoint is signed by the key of the log",
    "continuity": "the log continues the one whose checkpoints you gave",
}
"""Every check of the audit and what it proves where it finds nothing."""

_UNSIGNED = (
    "that nobody cut entries off the end, or rewrote the file from some entry on: it carries no signed checkpoint",
    "that the operator wrote it: it carries no signature",
)
_WIRES = "that the wires carried the schedule: the recorded verdicts are repeated, not computed; recheck with the gate"
_EARLIER = (
    "that the exchange matched as it had to: the journal was written by version {} of its rules, this program has "
    "version {}; replay it with the program that wrote it"
)
_METERS = "that meters told the truth, of energy and of what generated it, and that baselines would have flowed anyway"
_ONE_LOG = (
    "that the operator showed the same log to everyone: compare a checkpoint with others, or give one that you got "
    "earlier; nor that entries came later than the last checkpoint and were left out"
)


class AuditReport(msgspec.Struct, frozen=True):
    """The outcome of an audit. `proved` are the checks, in words, that found nothing over the whole of it."""

    path: str
    entries: int
    events: int
    trades: int
    root: str
    """Root of the Merkle tree over all entries read, in hexadecimal."""
    checkpoints: int
    signed: int
    """Entries under a checkpoint that is in order."""
    keys: list[str]
    """Public keys of the log, oldest first."""
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
    target: str | Path,
    gate_factory: GateFactory | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    keys: Sequence[Verifier] = (),
    checkpoints: Sequence[str] = (),
) -> AuditReport:
    """Audit a ledger or an exported file, a page at a time.

    `gate_factory(settings, feeder_json)` makes a real gate whose verdicts are computed anew; by default those of the
    journal are repeated. `progress` is called with the number of entries read so far and of all. `keys` are public
    keys that the auditor trusts: one of them must be the log's. `checkpoints` are notes that he was given earlier.
    Raises LedgerError if it cannot be opened at all; whatever is wrong in it is a finding.
    """
    if "://" not in str(target) and Path(target).is_file() and is_export(Path(target)):
        with _few_collections():
            return _audit(ExportEvidence(Path(target)), gate_factory, progress, keys, checkpoints)
    with Ledger.open(target) as ledger, _few_collections():
        return _audit(LedgerEvidence(ledger), gate_factory, progress, keys, checkpoints)


@contextmanager
def _few_collections() -> Iterator[None]:
    """Let Python look for cycles seldom: an audit makes millions of objects and none, which costs a fifth of it."""
    before = gc.get_threshold()
    gc.set_threshold(1_000_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _audit(
    evidence: Evidence,
    gate_factory: GateFactory | None,
    progress: Callable[[int, int], None] | None,
    keys: Sequence[Verifier],
    known: Sequence[str],
) -> AuditReport:
    auditor = _Auditor(evidence, gate_factory, keys, known)
    # A page that cannot be read is read again row by row, so that the first lost entry is named.
    for size in (CHUNK, 1):
        try:
            for page in evidence.pages(auditor.last + 1 if size == 1 else LOWEST, size):
                auditor.page(page)
                if progress is not None:
                    progress(auditor.last, evidence.entries)
                if len(auditor.findings) >= MOST_FINDINGS:
                    break
            else:
                auditor.close()
            break
        except LedgerError as error:
            if size == 1 or evidence.exported:
                auditor.findings.append(Finding(auditor.last + 1, "file", str(error)))
                break
    return auditor.report(gate_factory is not None, known=bool(known), trusted=bool(keys))


class _Auditor:
    """What has been seen of the evidence so far, and what was wrong with it."""

    def __init__(
        self, evidence: Evidence, gate_factory: GateFactory | None, keys: Sequence[Verifier], known: Sequence[str]
    ) -> None:
        self.findings: list[Finding] = []
        self._evidence = evidence
        self._entries = EntryCheck(self.findings, gate_factory, stores_postings=not evidence.exported)
        self._log = LogCheck(evidence, keys, known, self.findings)
        self._complete = False

    @property
    def last(self) -> int:
        """Number of the last entry that was read."""
        return self._entries.last

    def page(self, page: Page) -> None:
        first = self.last + 1
        leaves = self._entries.page(page.rows, page.postings)
        if self._entries.gapless:
            self._log.page(first, leaves, page.checkpoints)

    def close(self) -> None:
        self._complete = True
        self._entries.close()
        for detail in self._evidence.damage():
            self.findings.append(Finding(None, "file" if self._evidence.exported else "schema", detail))
        if self._entries.gapless:
            self._log.close()

    def report(self, rechecked: bool, known: bool, trusted: bool) -> AuditReport:
        failed = {finding.check for finding in self.findings}
        log, entries, evidence = self._log, self._entries, self._evidence
        undone = set() if entries.replayed else {"conservation", "replay"}
        if entries.rules != RULES and entries.whole:
            undone.discard("conservation")
        if not entries.gapless:
            undone |= {"tiles", "checkpoint", "continuity"}
        if evidence.exported:
            undone |= {"schema", "postings", "tiles"}
        if not log.signed:
            undone |= {"checkpoint", "signature"}
        if not known:
            undone.add("continuity")
        proved = [text for check, text in CHECKS.items() if check not in failed | undone] if self._complete else []
        findings = sorted(self.findings, key=lambda finding: (finding.seq is not None, finding.seq or 0))
        return AuditReport(
            evidence.name,
            entries.count,
            entries.events,
            entries.trades,
            log.tree.root().hex(),
            log.checkpoints,
            log.signed,
            [row.key for row in evidence.keys],
            findings,
            proved,
            self._open(rechecked, trusted),
        )

    def _open(self, rechecked: bool, trusted: bool) -> list[str]:
        """What nobody can prove from what the auditor has."""
        entries = self._entries
        signed, keys, count = self._log.signed, self._evidence.keys, entries.count
        texts = [_ONE_LOG] if signed else [*_UNSIGNED]
        if signed and not trusted:
            texts.insert(
                0, f"that {keys[0].key} is the operator's key: it names itself; get it another way and give --key"
            )
        if 0 < signed < count:
            texts.insert(0, f"that entries {signed + 1} to {count} stay as they are: no checkpoint covers them yet")
        if not rechecked:
            texts.append(_WIRES)
        if entries.rules != RULES and not entries.replayed:
            texts.append(_EARLIER.format(entries.rules, RULES))
        return [*texts, _METERS]
