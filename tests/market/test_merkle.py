from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import journal
from market.merkle import EMPTY, WIDTH, Log, MerkleError, Tile, Tree, split, verify_consistency, verify_inclusion

# The vectors of the Certificate Transparency project's own tests (certificate-transparency merkle_tree_test.cc, carried
# on by transparency-dev/merkle, Apache-2.0).
ENTRIES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [bytes.fromhex(text) for text in (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)]  # fmt: skip
INCLUSION = [
    (0, 1, []),
    (0, 8, ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"]),
    (5, 8, ["bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"]),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (1, 5, ["6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"]),
]  # fmt: skip
CONSISTENCY = [
    (1, 1, []),
    (1, 8, ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"]),
    (6, 8, ["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"]),
    (2, 5, ["5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"]),
    (6, 7, ["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"]),
]  # fmt: skip


# -- the text of RFC 6962, section 2.1, word for word and slow -----------------------------------------------------


def largest_power_below(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def mth(d: Sequence[bytes]) -> bytes:
    if not d:
        return sha256(b"").digest()
    if len(d) == 1:
        return sha256(b"\x00" + d[0]).digest()
    k = largest_power_below(len(d))
    return sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def audit_path(m: int, d: Sequence[bytes]) -> list[bytes]:
    if len(d) == 1:
        return []
    k = largest_power_below(len(d))
    return [*audit_path(m, d[:k]), mth(d[k:])] if m < k else [*audit_path(m - k, d[k:]), mth(d[:k])]


def subproof(m: int, d: Sequence[bytes], whole: bool) -> list[bytes]:
    if m == len(d):
        return [] if whole else [mth(d)]
    k = largest_power_below(len(d))
    if m <= k:
        return [*subproof(m, d[:k], whole), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


# -- what is tested -------------------------------------------------------------------------------------------------


def entries(count: int) -> list[bytes]:
    return [number.to_bytes(4, "big") for number in range(count)]


def log_of(bodies: Sequence[bytes], tiles: Sequence[Tile] = ()) -> Log:
    hashes = [journal.leaf(body) for body in bodies]
    stored = {(tile.level, tile.position): tile.hashes for tile in tiles}
    return Log(len(bodies), lambda level, position: stored.get((level, position)), lambda a, b: hashes[a:b])


def hexed(hashes: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in hashes]


def test_published_roots_come_out_entry_by_entry_and_at_once() -> None:
    tree = Tree()
    assert tree.root() == EMPTY == ROOTS[0]
    for size, body in enumerate(ENTRIES, 1):
        tree.extend([journal.leaf(body)])
        assert tree.root() == mth(ENTRIES[:size]) == log_of(ENTRIES[:size]).root() == ROOTS[size]


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
def test_published_inclusion_proofs_are_made_and_verified(index: int, size: int, path: list[str]) -> None:
    assert log_of(ENTRIES).inclusion(index, size) == audit_path(index, ENTRIES[:size]) == hexed(path)
    verify_inclusion(journal.leaf(ENTRIES[index]), index, size, hexed(path), ROOTS[size])


@pytest.mark.parametrize(("old", "new", "path"), CONSISTENCY)
def test_published_consistency_proofs_are_made_and_verified(old: int, new: int, path: list[str]) -> None:
    assert log_of(ENTRIES).consistency(old, new) == subproof(old, ENTRIES[:new], True) == hexed(path)
    verify_consistency(old, new, hexed(path), ROOTS[old], ROOTS[new])


def test_every_proof_of_small_logs_agrees_with_the_text_of_the_rfc() -> None:
    bodies = entries(33)
    log = log_of(bodies)
    roots = [mth(bodies[:size]) for size in range(34)]
    for size in range(1, 34):
        for index in range(size):
            path = log.inclusion(index, size)
            assert path == audit_path(index, bodies[:size])
            verify_inclusion(journal.leaf(bodies[index]), index, size, path, roots[size])
        for old in range(1, size + 1):
            path = log.consistency(old, size)
            assert path == subproof(old, bodies[:size], True)
            verify_consistency(old, size, path, roots[old], roots[size])


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION[1:])
def test_a_wrong_inclusion_proof_is_refused(index: int, size: int, path: list[str]) -> None:
    leaf, right, root, other = journal.leaf(ENTRIES[index]), hexed(path), ROOTS[size], sha256(b"x").digest()
    wrong = [
        (leaf, index - 1, size, right, root),
        (leaf, index + 1, size, right, root),
        (leaf, index ^ 2, size, right, root),
        (leaf, index, size * 2, right, root),
        (leaf, index, size // 2, right, root),
        (leaf, index, 0, right, root),
        (b"short", index, size, right, root),
        (other, index, size, right, root),
        (leaf, index, size, right, EMPTY),
        (leaf, index, size, right, b""),
        (leaf, index, size, [*right, b""], root),
        (leaf, index, size, [*right, root], root),
        (leaf, index, size, [root, *right], root),
        (leaf, index, size, right[:-1], root),
        (leaf, index, size, right[1:], root),
        (leaf, index, size, [right[0], other, *right[1:]], root),
        *((leaf, index, size, flipped(right, place), root) for place in range(len(right))),
    ]
    for values in wrong:
        with pytest.raises(MerkleError):
            verify_inclusion(*values)


@pytest.mark.parametrize(("old", "new", "path"), CONSISTENCY[1:])
def test_a_wrong_consistency_proof_is_refused(old: int, new: int, path: list[str]) -> None:
    right, before, after, other = hexed(path), ROOTS[old], ROOTS[new], sha256(b"x").digest()
    wrong = [
        (old - 1, new, right, before, after),
        (old + 1, new, right, before, after),
        (old ^ 2, new, right, before, after),
        (old, new * 2, right, before, after),
        (old, new // 2, right, before, after),
        (old, new, right, other, after),
        (old, new, right, before, other),
        (old, new, right, after, before),
        (old, new, [], before, after),
        (old, new, [*right, b""], before, after),
        (old, new, [*right, before], before, after),
        (old, new, [before, *right], before, after),
        (old, new, [right[0], *right], before, after),
        (old, new, right[:-1], before, after),
        *((old, new, flipped(right, place), before, after) for place in range(len(right))),
    ]
    for values in wrong:
        with pytest.raises(MerkleError):
            verify_consistency(*values)


def flipped(path: list[bytes], place: int) -> list[bytes]:
    return [*path[:place], bytes([path[place][0] ^ 8]) + path[place][1:], *path[place + 1 :]]


def test_the_empty_log_begins_every_log_and_nothing_goes_back() -> None:
    verify_consistency(0, 0, [], EMPTY, EMPTY)
    verify_consistency(0, 5, [], EMPTY, ROOTS[5])
    verify_consistency(5, 5, [], ROOTS[5], ROOTS[5])
    for old, new, path, before, after in [
        (0, 0, [], EMPTY, ROOTS[1]), (0, 5, [], ROOTS[1], ROOTS[5]), (5, 5, [], ROOTS[4], ROOTS[5]),
        (5, 5, [EMPTY], ROOTS[5], ROOTS[5]), (0, 5, [EMPTY], EMPTY, ROOTS[5]), (2, 1, [], ROOTS[2], ROOTS[1]),
    ]:  # fmt: skip
        with pytest.raises(MerkleError):
            verify_consistency(old, new, path, before, after)


@given(st.lists(st.integers(0, 700), max_size=6))
def test_the_tree_is_the_same_however_its_leaves_arrive(parts: list[int]) -> None:
    hashes = [journal.leaf(body) for body in entries(sum(parts))]
    tree, tiles, done = Tree(), [], 0
    for count in parts:
        tiles += tree.extend(hashes[done : done + count])
        done += count
    whole = Tree()
    assert sorted(whole.extend(hashes)) == sorted(tiles)
    assert whole.root() == tree.root() == log_of(entries(done), tiles).root()
    assert split(b"".join(tile.hashes for tile in sorted(tiles) if tile.level == 0)) + tree.edge() == hashes


def test_tiles_hold_the_roots_of_the_tiles_below_them() -> None:
    count = WIDTH * WIDTH + 3 * WIDTH + 7
    bodies = entries(count)
    tree = Tree()
    tiles = tree.extend([journal.leaf(body) for body in bodies])
    by_level = [[tile for tile in tiles if tile.level == level] for level in range(3)]
    assert [len(found) for found in by_level] == [WIDTH + 3, 1, 0]
    assert [tile.position for tile in by_level[0]] == list(range(WIDTH + 3))
    assert all(len(tile.hashes) == 8192 for tile in tiles)
    assert split(by_level[1][0].hashes)[200] == mth(bodies[200 * WIDTH : 201 * WIDTH])
    assert len(tree.edge()) == 7


def test_proofs_over_several_levels_of_tiles_verify_and_tiles_spare_the_leaves() -> None:
    count = WIDTH * WIDTH + 3 * WIDTH + 7
    hashes = [journal.leaf(body) for body in entries(count)]
    tree = Tree()
    stored = {(tile.level, tile.position): tile.hashes for tile in tree.extend(hashes)}
    read: list[int] = []

    def leaves(first: int, last: int) -> list[bytes]:
        read.append(last - first)
        return hashes[first:last]

    log = Log(count, lambda level, position: stored.get((level, position)), leaves)
    rng = np.random.default_rng(1)
    for index in [0, WIDTH - 1, WIDTH, count - 1, *map(int, rng.integers(count, size=20))]:
        verify_inclusion(hashes[index], index, count, log.inclusion(index), tree.root())
    for old in [1, WIDTH, WIDTH * WIDTH, WIDTH * WIDTH + 1, count - 1, *map(int, rng.integers(1, count, size=20))]:
        verify_consistency(old, count, log.consistency(old), log.root(old), tree.root())
    assert read == [7]


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 700, WIDTH * WIDTH, WIDTH * WIDTH + 300])
def test_a_stored_log_grows_on_as_if_it_had_never_stopped(size: int) -> None:
    bodies = entries(WIDTH * WIDTH + 1000)
    hashes = [journal.leaf(body) for body in bodies]
    tree = Tree()
    again = log_of(bodies[:size], tree.extend(hashes[:size])).tree()
    twin = tree.copy()
    assert again.root() == tree.root()
    assert again.extend(hashes[size:]) == tree.extend(hashes[size:]) == twin.extend(hashes[size:])
    assert again.root() == tree.root() == twin.root()


def test_a_question_beyond_the_end_is_refused() -> None:
    log = log_of(ENTRIES)
    for ask in (lambda: log.root(9), lambda: log.inclusion(8), lambda: log.inclusion(-1), lambda: log.inclusion(3, 3),
                lambda: log.consistency(9), lambda: log.consistency(5, 4)):  # fmt: skip
        with pytest.raises(MerkleError):
            ask()
