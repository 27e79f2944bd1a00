"""A disk whose power can be cut: what a process did to its files, written down, and what of it survives.

Only what was synced must survive. A file's bytes are safe once the file is synced, its name once the folder is. Of the
rest any part may survive, in any order, down to single sectors; the cut decides by chance.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

SOURCE = Path(__file__).with_name("disk.c")
REPOSITORY = Path(__file__).resolve().parents[3]
SECTOR = 512
MISSING = "no C compiler found: install Debian's `gcc`, or name one in CC"


class Step(NamedTuple):
    """One thing that a process did. `kind`: Create, Write, Truncate, Sync, Unlink, Rename."""

    kind: str
    name: str
    offset: int
    data: bytes


@dataclass
class _File:
    """One file, whatever it is called: what is safe, and what was done to it since."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[Step] = field(default_factory=list)


def compiler() -> str | None:
    return shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")


def shim(folder: Path) -> Path:
    """The compiled recorder. Raises subprocess.CalledProcessError if it does not compile."""
    target = folder / "disk.so"
    options = ["-shared", "-fPIC", "-O1", "-Wall", "-o", str(target), str(SOURCE), "-ldl", "-lpthread"]
    command = [compiler() or "cc", *options]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return target


def run(library: Path, folder: Path, code: str, *arguments: object, **environment: object) -> str:
    """What a Python program prints that works in `folder`, on a disk of ours. Raises RuntimeError if it fails."""
    variables = {name: str(value) for name, value in environment.items()}
    kept = {**os.environ, "LD_PRELOAD": str(library), "POWER_FOLDER": str(folder), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code, str(folder), *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, env=kept | variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def recorded(library: Path, folder: Path, code: str, *arguments: object) -> list[Step]:
    """What a Python program does to the files in `folder`, which it makes first."""
    folder.mkdir()
    record = folder.with_name(folder.name + ".record")
    run(library, folder, code, *arguments, POWER_RECORD=record)
    return list(_steps(record.read_bytes()))


def after_cut(steps: list[Step], cut: int, rng: np.random.Generator, lucky: float, folder: Path) -> None:
    """Put into a new `folder` what a cut after the first `cut` steps leaves.

    `lucky` is the share of what was not synced that survives all the same.
    """
    names: dict[str, _File] = {}
    safe_names: dict[str, _File] = {}
    since: list[Step] = []
    for step in steps[:cut]:
        if step.kind == "S" and step.name == ".":
            safe_names, since = dict(names), []
        elif step.kind == "S":
            file = names[step.name]
            for pending in file.pending:
                _apply(file.safe, pending)
            file.pending.clear()
        elif step.kind in "WT":
            names[step.name].pending.append(step)
        else:
            _rename(names, step)
            since.append(step)
    for step in since:
        if rng.random() < lucky and (step.kind == "C" or step.name in safe_names):
            if step.kind == "C":
                if step.name in names:
                    safe_names[step.name] = names[step.name]
            else:
                _rename(safe_names, step)
    folder.mkdir()
    for name, file in safe_names.items():
        image = bytearray(file.safe)
        for pending in file.pending:
            for part in _sectors(pending):
                if rng.random() < lucky:
                    _apply(image, part)
        (folder / name).write_bytes(image)


def _rename(names: dict[str, _File], step: Step) -> None:
    if step.kind == "C":
        names[step.name] = _File()
    elif step.kind == "U":
        del names[step.name]
    else:
        names[step.data.decode()] = names.pop(step.name)


def _sectors(step: Step) -> Iterator[Step]:
    """A write as the disk does it, sector by sector."""
    if step.kind == "T":
        yield step
    place = step.offset
    while step.kind == "W" and place < step.offset + len(step.data):
        end = min((place // SECTOR + 1) * SECTOR, step.offset + len(step.data))
        yield step._replace(offset=place, data=step.data[place - step.offset : end - step.offset])
        place = end


def _apply(image: bytearray, step: Step) -> None:
    if step.kind == "T":
        del image[step.offset :]
        image.extend(bytes(step.offset - len(image)))
        return
    end = step.offset + len(step.data)
    image.extend(bytes(max(end - len(image), 0)))
    image[step.offset : end] = step.data


def _steps(record: bytes) -> Iterator[Step]:
    place = 0
    while place < len(record):
        kind, length = struct.unpack_from("<cH", record, place)
        name = record[place + 3 : place + 3 + length].decode()
        place += 3 + length
        offset, size = struct.unpack_from("<qI", record, place)
        place += 12
        yield Step(kind.decode(), name, offset, record[place : place + size])
        place += size
