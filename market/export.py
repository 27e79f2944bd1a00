"""Writing the one file that an auditor needs: entries, checkpoints and public keys. `market.evidence` reads it."""

from __future__ import annotations

import base64
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from market.evidence import VERSION, named
from market.ledger import LedgerError
from market.merkle import WIDTH, Tree
from market.store import Ledger

LEVEL = 6
"""Of compression: a third of the time of the highest, and some percent larger."""
_encode = msgspec.json.Encoder(order="sorted").encode


class Exported(NamedTuple):
    """What went into a file. `unsigned` entries at the ledger's end were left out, since no checkpoint covers them."""

    entries: int
    checkpoints: int
    unsigned: int
    root: bytes


def export(ledger: Ledger, path: Path, progress: Callable[[int], None] | None = None) -> Exported:
    """Write a ledger's entries up to its last checkpoint, all of them if it has none, into a new file.

    Memory does not grow with the ledger; the same ledger gives the same bytes. `progress` gets the entries written.
    Raises LedgerError if the file exists or the ledger cannot be read; then no file is left.
    """
    with named(path):
        try:
            file = path.open("xb")
        except FileExistsError as error:
            raise LedgerError(f"{path}: exists already; choose another path, or delete it if you can") from error
    try:
        with named(path), file:
            done = _Writer(file).write(ledger, progress or (lambda _: None))
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return done


class _Writer:
    """Lines into a compressed file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._pack = zlib.compressobj(LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)

    def write(self, ledger: Ledger, progress: Callable[[int], None]) -> Exported:
        keys = ledger.keys()
        signed = [size for size, _ in ledger.checkpoints()]
        last = signed[-1] if signed else len(ledger)
        self._line({"export": VERSION, "entries": last, "keys": [list(row) for row in keys]})
        tree, block, seq = Tree(), [], 0
        notes = iter([*ledger.checkpoints(), (last + 1, "")])
        size, note = next(notes)
        for seq, body, leaf in ledger.bodies():
            if seq > last:
                break
            self._write(body + b"\n")
            block.append(leaf)
            if seq == size:
                self._line({"checkpoint": note})
                size, note = next(notes)
            if len(block) == WIDTH:
                self._leaves(tree, block)
                progress(seq)
        if block:
            self._leaves(tree, block)
        root = tree.root()
        self._line({"end": last, "checkpoints": len(signed), "root": base64.b64encode(root).decode()})
        self._file.write(self._pack.flush())
        return Exported(last, len(signed), len(ledger) - last, root)

    def _leaves(self, tree: Tree, block: list[bytes]) -> None:
        self._line({"first": tree.size + 1, "leaves": base64.b64encode(b"".join(block)).decode()})
        tree.extend(block)
        block.clear()

    def _line(self, value: dict[str, Any]) -> None:
        self._write(_encode(value) + b"\n")

    def _write(self, text: bytes) -> None:
        self._file.write(self._pack.compress(text))
