"""The log's part of an audit: grows the tree again and holds it against tiles, checkpoints and earlier receipts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

import msgspec

from market.evidence import Evidence
from market.keyring import Keyring
from market.merkle import WIDTH, Tile, Tree, split
from market.notes import NoteError, Verifier
from market.store import CheckpointRow

_BYTEWISE = {"sequence", "leaf", "canonical", "tiles"}
"""Checks that name the very entry that was changed."""


class Finding(msgspec.Struct, frozen=True):
    """Something wrong at entry `seq`, or with the evidence as a whole (None)."""

    seq: int | None
    check: str
    detail: str


class LogCheck:
    """Follows the leaf hashes of a journal in order. `signed` entries are covered by a good checkpoint so far."""

    def __init__(
        self, evidence: Evidence, trusted: Sequence[Verifier], known: Sequence[str], findings: list[Finding]
    ) -> None:
        """`trusted` are keys that the auditor holds; `known` notes of checkpoints that he was given earlier.

        What is wrong is added to `findings`.
        """
        self.tree = Tree()
        self.signed = 0
        self.checkpoints = 0
        self.ring: Keyring | None = None
        self._findings = findings
        self._evidence = evidence
        self._places: set[tuple[int, int]] = set()
        self._known: list[tuple[int, bytes]] = []
        self._agreed = 0
        """Entries under a known checkpoint that this log continues."""
        if evidence.keys:
            try:
                self.ring = Keyring(evidence.keys)
            except NoteError as error:
                self._find(None, "signature", f"the keys of the log: {error}")
        if trusted and (self.ring is None or not any(self.ring.trusts(key) for key in trusted)):
            signers = ", ".join(row.key for row in evidence.keys) or "nobody"
            self._find(None, "signature", f"the log is signed by {signers}, not by the key that you gave")
            self.ring = None
        for note in known:
            try:
                if self.ring is None:
                    raise NoteError("the log has no key that you trust")
                point = self.ring.open(note)
                self._known.append((point.size, point.root))
            except NoteError as error:
                self._find(None, "continuity", f"the checkpoint that you gave: {error}")
        self._known.sort()

    def page(self, first: int, leaves: Sequence[bytes], checkpoints: Sequence[CheckpointRow]) -> None:
        """Append the hashes of the entries from `first` on and compare what is stored about them."""
        done = 0
        stops = sorted({size for size, _ in [*checkpoints, *self._known] if first <= size < first + len(leaves)})
        notes: dict[int, list[str]] = {}
        for size, note in checkpoints:
            notes.setdefault(size, []).append(note)
        full: list[Tile] = []
        for size in dict.fromkeys([*stops, first + len(leaves) - 1]):
            full += self.tree.extend(leaves[done : size - first + 1])
            done = size - first + 1
            for note in notes.pop(size, ()):
                self._checkpoint(size, note)
            self._compare_known(size)
        for size in notes:
            self._find(None, "checkpoint", f"a checkpoint is stored for {size} entries, which are not there")
        if not self._evidence.exported:
            self._compare_tiles(full)

    def close(self) -> None:
        """Look for what is left over once the last entry was read."""
        if not self._evidence.exported:
            for level, position in sorted(self._evidence.tile_places() - self._places):
                self._find(None, "tiles", f"tile {position} of level {level} belongs to no entries")
        for size, _ in self._known:
            if size > self.tree.size:
                text = f"the log had {size} entries when it signed the checkpoint that you gave, now it has fewer"
                self._find(self.tree.size + 1, "continuity", text)
        if self._evidence.exported and self._evidence.keys and self.signed < self.tree.size:
            text = f"entries {self.signed + 1} to {self.tree.size} lie under no checkpoint"
            self._find(self._blamed(self.signed, self.tree.size), "checkpoint", text)

    def _checkpoint(self, size: int, note: str) -> None:
        self.checkpoints += 1
        if self.ring is None:
            if not self._evidence.keys:
                self._find(None, "signature", f"the checkpoint of {size} entries is signed by an unknown key")
            return
        try:
            point = self.ring.open(note)
        except NoteError as error:
            self._find(None, "signature", f"the checkpoint of {size} entries: {error}")
            return
        if point.size != size:
            self._find(None, "checkpoint", f"a checkpoint of {point.size} entries is stored for {size}")
        elif point.root != self.tree.root():
            text = f"{_range(self.signed, size)}: the signed root is another"
            self._find(self._blamed(self.signed, size), "checkpoint", text)
        else:
            self.signed = size

    def _compare_known(self, size: int) -> None:
        for stop, root in self._known:
            if stop == size and root == self.tree.root():
                self._agreed = size
            elif stop == size:
                text = f"{_range(self._agreed, size)}: the checkpoint that you gave has another root"
                self._find(self._blamed(self._agreed, size), "continuity", text)

    def _blamed(self, good: int, size: int) -> int | None:
        """First entry that a wrong root may mean, unless its bytes are blamed already.

        What the replay or the sums say may be the effect of an earlier entry, such as a forged meter reading.
        """
        bytewise = {finding.seq for finding in self._findings if finding.check in _BYTEWISE and finding.seq is not None}
        return None if any(seq <= size for seq in bytewise) else good + 1

    def _compare_tiles(self, full: Iterable[Tile]) -> None:
        by_level: dict[int, list[Tile]] = {}
        for tile in full:
            by_level.setdefault(tile.level, []).append(tile)
            self._places.add((tile.level, tile.position))
        for level, tiles in sorted(by_level.items()):
            first, last = tiles[0].position, tiles[-1].position
            stored = self._evidence.tiles(level, first, last)
            if stored == tiles:
                continue
            found = {position: hashes for _, position, hashes in stored}
            for tile in tiles:
                for seq, detail in _differences(tile, found.get(tile.position)):
                    self._find(seq, "tiles", detail)

    def _find(self, seq: int | None, check: str, detail: str) -> None:
        self._findings.append(Finding(seq, check, detail))


def _differences(tile: Tile, stored: bytes | None) -> Iterator[tuple[int, str]]:
    """The first difference of a stored tile: first entry concerned, and words."""
    span = WIDTH**tile.level
    first = tile.position * WIDTH * span + 1
    name = f"tile {tile.position} of level {tile.level}"
    if stored is None:
        yield first, f"{name} is missing"
    elif not isinstance(stored, bytes):
        yield first, f"{name} is no list of hashes"
    elif stored != tile.hashes:
        pairs = zip_longest(split(tile.hashes), split(stored))
        place = next(place for place, (right, wrong) in enumerate(pairs) if right != wrong)
        yield first + min(place, WIDTH - 1) * span, f"{name} has another hash than the entries give"


def _range(good: int, size: int) -> str:
    return f"one of the entries {good + 1} to {size} is not what was signed"
