"""The Merkle tree over a log's entries: RFC 6962, kept as tiles of 256 hashes, with proofs and their verification.

A leaf is SHA-256(0x00 || entry), an inner node SHA-256(0x01 || left || right). A tile of level l holds 256 hashes of
subtrees of 256**l entries each, as in c2sp.org/tlog-tiles; a full tile never changes again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

WIDTH = 256
"""Hashes of a full tile."""
SIZE = 32
"""Bytes of a hash."""
EMPTY = sha256().digest()
"""Root of the log without entries."""
_BITS = 8


class MerkleError(ValueError):
    """A proof that proves nothing, or one that was asked for beyond the log's end."""


class Tile(NamedTuple):
    """A full tile: the hashes of subtrees `256 * position` to `256 * position + 255` of 256**level entries each."""

    level: int
    position: int
    hashes: bytes


def node(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return sha256(b"\1" + left + right).digest()


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Root over a power of two of hashes, all of subtrees of one size."""
    while len(hashes) > 1:
        pairs = iter(hashes)
        hashes = [sha256(b"\1" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return hashes[0]


def split(hashes: bytes) -> list[bytes]:
    """The hashes of a tile one by one."""
    return [hashes[start : start + SIZE] for start in range(0, len(hashes), SIZE)]


class Tree:
    """A growing log. It keeps the roots of its perfect subtrees and the unfinished tiles, never the entries."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[tuple[int, bytes]] = []
        """(height, root) of the perfect subtrees that the log consists of, from left to right, heights falling."""
        self._edges: list[list[bytes]] = []
        """Per level, the hashes of the tile that is not full yet."""

    def copy(self) -> Tree:
        """A tree that grows on its own from here."""
        twin = Tree()
        twin.size, twin._peaks, twin._edges = self.size, self._peaks.copy(), [edge.copy() for edge in self._edges]
        return twin

    def extend(self, leaves: Sequence[bytes]) -> list[Tile]:
        """Append leaf hashes; returns the tiles that became full. One hash per leaf on average, O(log n) at most."""
        tiles: list[Tile] = []
        place = 0
        while place < len(leaves):
            # The largest subtree that fits: hashed in one go, as far as the leaves and the end of the tile reach.
            aligned = self.size & -self.size or WIDTH
            count = min(aligned, WIDTH, 1 << ((len(leaves) - place).bit_length() - 1))
            block = leaves[place : place + count]
            place += count
            self.size += count
            self._fill(block, tiles)
            self._push(count.bit_length() - 1, perfect_root(block), tiles)
        return tiles

    def root(self) -> bytes:
        """Root of all entries so far, in O(log n)."""
        if not self._peaks:
            return EMPTY
        root = self._peaks[-1][1]
        for _, left in self._peaks[-2::-1]:
            root = node(left, root)
        return root

    def edge(self) -> list[bytes]:
        """Leaf hashes behind the last full tile."""
        return self._edges[0].copy() if self._edges else []

    def _fill(self, block: Sequence[bytes], tiles: list[Tile]) -> None:
        """Put leaf hashes into the last tile of level 0, which they do not exceed."""
        if not self._edges:
            self._edges.append([])
        edge = self._edges[0]
        edge += block
        if len(edge) == WIDTH:
            tiles.append(Tile(0, (self.size >> _BITS) - 1, b"".join(edge)))
            edge.clear()

    def _push(self, height: int, root: bytes, tiles: list[Tile]) -> None:
        """Add a perfect subtree on the right and join it with its equals."""
        peaks = self._peaks
        if height and not height % _BITS:
            self._note(height, root, tiles)
        while peaks and peaks[-1][0] == height:
            root = sha256(b"\1" + peaks.pop()[1] + root).digest()
            height += 1
            if not height % _BITS:
                self._note(height, root, tiles)
        peaks.append((height, root))

    def _note(self, height: int, root: bytes, tiles: list[Tile]) -> None:
        """Put a subtree whose height is that of a tile's hashes into its tile."""
        level = height // _BITS
        while len(self._edges) <= level:
            self._edges.append([])
        edge = self._edges[level]
        edge.append(root)
        if len(edge) == WIDTH:
            tiles.append(Tile(level, (self.size >> (_BITS * (level + 1))) - 1, b"".join(edge)))
            edge.clear()


class Log:
    """A log of `size` entries as it is stored, for proofs: reads the few tiles that an answer needs and keeps them.

    `tile(level, position)` gives the hashes of a full tile, or None if it is not stored; `leaves(first, last)` the leaf
    hashes of the entries with the indices first to last - 1. What is not stored is computed from what lies below.
    """

    def __init__(
        self, size: int, tile: Callable[[int, int], bytes | None], leaves: Callable[[int, int], list[bytes]]
    ) -> None:
        self.size = size
        self._tile = tile
        self._leaves = leaves
        self._known: dict[tuple[int, int], list[bytes]] = {}

    def root(self, size: int | None = None) -> bytes:
        """Root of the first `size` entries, of all by default. Raises MerkleError beyond the log's end."""
        size = self.size if size is None else self._within(size)
        return self._hash(0, size) if size else EMPTY

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """Audit path of entry `index` (from 0) in the first `size` entries, leaf's sibling first (RFC 6962 2.1.1).

        Raises MerkleError if there is no such entry.
        """
        size = self.size if size is None else self._within(size)
        if not 0 <= index < size:
            raise MerkleError(f"entry {index + 1} is not among the first {size}")
        path: list[bytes] = []
        first, last = 0, size
        while last - first > 1:
            middle = first + _half(last - first)
            if index < middle:
                path.append(self._hash(middle, last))
                last = middle
            else:
                path.append(self._hash(first, middle))
                first = middle
        return path[::-1]

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """Proof that the first `old` entries are the beginning of the first `new` (RFC 6962 2.1.2).

        Raises MerkleError unless 0 <= old <= new and the log has so many.
        """
        new = self.size if new is None else self._within(new)
        if not 0 <= old <= new:
            raise MerkleError(f"a log of {new} entries does not begin with one of {old}")
        if old in (0, new):
            return []
        path: list[bytes] = []
        first, last = 0, new
        while old < last:
            middle = first + _half(last - first)
            if old <= middle:
                path.append(self._hash(middle, last))
                last = middle
            else:
                path.append(self._hash(first, middle))
                first = middle
        if first:
            path.append(self._hash(first, last))
        return path[::-1]

    def _within(self, size: int) -> int:
        if not 0 <= size <= self.size:
            raise MerkleError(f"the log has {self.size} entries, not {size}")
        return size

    def _hash(self, first: int, last: int) -> bytes:
        """Root over entries first to last - 1, a range as the splits of the RFC make it."""
        count = last - first
        if count & (count - 1):
            middle = first + _half(count)
            return node(self._hash(first, middle), self._hash(middle, last))
        level, rest = divmod(count.bit_length() - 1, _BITS)
        place = first >> (_BITS * level)
        hashes = self._hashes(level, place // WIDTH)
        return perfect_root(hashes[place % WIDTH : place % WIDTH + (1 << rest)])

    def _hashes(self, level: int, position: int) -> list[bytes]:
        """The hashes of a tile, all that the log has of them."""
        known = self._known.get((level, position))
        if known is None:
            first = position * WIDTH
            last = min(first + WIDTH, self.size >> (_BITS * level))
            stored = self._tile(level, position) if last - first == WIDTH else None
            if stored is not None:
                known = split(stored)
            elif level == 0:
                known = self._leaves(first, last)
            else:
                known = [perfect_root(self._hashes(level - 1, place)) for place in range(first, last)]
            self._known[level, position] = known
        return known

    def tree(self) -> Tree:
        """The log as a tree that can grow."""
        tree = Tree()
        tree.size = self.size
        first = 0
        for height in range(self.size.bit_length() - 1, -1, -1):
            if self.size >> height & 1:
                tree._peaks.append((height, self._hash(first, first + (1 << height))))
                first += 1 << height
        level = 0
        while (count := self.size >> (_BITS * level)) > 0:
            tree._edges.append(self._hashes(level, count // WIDTH).copy() if count % WIDTH else [])
            level += 1
        return tree


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Raises MerkleError unless `path` proves that the leaf is entry `index` (from 0) of the log with this root.

    RFC 9162 section 2.1.3.2, which holds for RFC 6962 too.
    """
    if not 0 <= index < size:
        raise MerkleError(f"index {index} lies outside of a log of {size} entries")
    _require_hashes([leaf, *path, root])
    place, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise MerkleError("the path is too long")
        if place & 1 or place == last:
            found = node(sibling, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node(found, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise MerkleError("the path is too short")
    if found != root:
        raise MerkleError("the path leads to another root")


def verify_consistency(old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Raises MerkleError unless `path` proves that the log of `new` entries begins with the log of `old` entries.

    RFC 9162 section 2.1.4.2. A log without entries is the beginning of every other.
    """
    _require_hashes([*path, old_root, new_root])
    if not 0 <= old <= new:
        raise MerkleError(f"a log of {new} entries does not begin with one of {old}")
    if old in (0, new):
        if path:
            raise MerkleError("the path is too long")
        if (old == 0 and old_root != EMPTY) or (old == new and old_root != new_root):
            raise MerkleError("the roots differ")
        return
    if not path:
        raise MerkleError("the path is too short")
    steps = list(path) if old & (old - 1) else [old_root, *path]
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            raise MerkleError("the path is too long")
        if place & 1 or place == last:
            before, after = node(sibling, before), node(sibling, after)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            after = node(after, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise MerkleError("the path is too short")
    if before != old_root or after != new_root:
        raise MerkleError("the path leads to other roots: one of the two logs is not the beginning of the other")


def _half(count: int) -> int:
    """The largest power of two below `count` > 1."""
    return 1 << ((count - 1).bit_length() - 1)


def _require_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(value) != SIZE for value in hashes):
        raise MerkleError(f"a hash must be {SIZE} bytes")
