"""Ways to tamper with a ledger or its export, drawn at random: each says what it did and what must be named.

A master of the file drops the triggers first and puts them back, so that nothing but the audit can notice.
"""

from __future__ import annotations

import gzip
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from market.merkle import WIDTH

Rng = np.random.Generator
TABLES = ("journal", "posting", "tile", "checkpoint", "verifier")
KEYS = {"journal": ["seq"], "posting": ["seq", "line"], "tile": ["level", "position"], "checkpoint": ["size"],
        "verifier": ["number"]}  # fmt: skip


class Deed(NamedTuple):
    """What was done, and which entry must be named first: `first` to `last`, or any if None."""

    what: str
    first: int | None = None
    last: int | None = None


def content(path: Path) -> Any:
    """All that an audit is about, decoded: rows of a ledger, text of an export. What cannot be read is told so."""
    if path.suffix == ".gz":
        try:
            return gzip.decompress(path.read_bytes())
        except (OSError, EOFError, ValueError) as error:
            return error
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        order = {table: ", ".join(keys) for table, keys in KEYS.items()}
        return [connection.execute(f"SELECT * FROM {table} ORDER BY {order[table]}").fetchall() for table in TABLES]
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return error
    finally:
        connection.close()


# -- rows of the database --------------------------------------------------------------------------------------------


class Rows:
    """The tables of a ledger in the hands of its master."""

    def __init__(self, path: Path, other: Path) -> None:
        self.connection = sqlite3.connect(path)
        self.connection.execute("ATTACH ? AS other", (str(other),))
        self.triggers = self.connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in self.triggers:
            self.connection.execute(f"DROP TRIGGER {name}")
        (self.last,) = self.connection.execute("SELECT max(seq) FROM journal").fetchone()
        self.end = self.last + 1
        self.sizes = [size for (size,) in self.connection.execute("SELECT size FROM checkpoint ORDER BY size")]

    def close(self) -> None:
        for _, sql in self.triggers:
            self.connection.execute(sql)
        self.connection.commit()
        self.connection.close()

    def run(self, statement: str, *values: Any) -> list[Any]:
        return self.connection.execute(statement, values).fetchall()

    def any(self, table: str, rng: Rng) -> tuple[dict[str, Any], str, list[Any]]:
        """A random row: its columns, and how to find it again."""
        cursor = self.connection.execute(f"SELECT * FROM {table}")
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
        row = dict(zip(names, rows[rng.integers(len(rows))], strict=True))
        keys = KEYS[table]
        return row, " AND ".join(f"{key} = ?" for key in keys), [row[key] for key in keys]

    def since(self, seq: int) -> int:
        """The first entry that no good checkpoint before `seq` covers."""
        return max((size for size in self.sizes if size < seq), default=0) + 1


def flipped(value: Any, rng: Rng) -> Any:
    """One byte or digit other than before."""
    if isinstance(value, int):
        return value ^ (1 << int(rng.integers(40)))
    text = bytearray(value if isinstance(value, bytes) else value.encode())
    text[rng.integers(len(text))] ^= int(rng.integers(1, 128))
    return bytes(text) if isinstance(value, bytes) else text.decode(errors="replace")


def flip(rows: Rows, rng: Rng) -> Deed:
    table = TABLES[rng.integers(len(TABLES))]
    row, where, key = rows.any(table, rng)
    columns = [name for name in row if name not in KEYS[table] and row[name] != ""]
    column = columns[rng.integers(len(columns))]
    value = flipped(row[column], rng)
    rows.run(f"UPDATE {table} SET {column} = ? WHERE {where}", value, *key)
    what = f"flip {table}.{column} of {key}"
    if table in ("journal", "posting"):
        return Deed(what, row["seq"], row["seq"])
    if table == "tile" and row["level"] == 0:
        place = next(place for place, (a, b) in enumerate(zip(row["hashes"], value, strict=True)) if a != b)
        seq = row["position"] * WIDTH + place // 32 + 1
        return Deed(what, seq, seq)
    return Deed(what)


def delete(rows: Rows, rng: Rng) -> Deed:
    table = TABLES[rng.integers(len(TABLES))]
    row, where, key = rows.any(table, rng)
    rows.run(f"DELETE FROM {table} WHERE {where}", *key)
    what = f"delete {table} {key}"
    if table in ("journal", "posting"):
        return Deed(what, row["seq"], row["seq"])
    if table == "tile":
        seq = row["position"] * WIDTH ** (row["level"] + 1) + 1
        return Deed(what, seq, seq)
    return Deed(what)


def swap(rows: Rows, rng: Rng) -> Deed:
    """Two rows of a table exchange what is not their key."""
    table = TABLES[rng.integers(len(TABLES))]
    (one, where, key), (two, _, other) = sorted((rows.any(table, rng), rows.any(table, rng)), key=lambda row: row[2])
    for target, source in ((key, two), (other, one)):
        columns = [name for name in source if name not in KEYS[table]]
        assigned = ", ".join(f"{name} = ?" for name in columns)
        rows.run(f"UPDATE {table} SET {assigned} WHERE {where}", *(source[name] for name in columns), *target)
    what = f"swap {table} {key} and {other}"
    return Deed(what, one["seq"], one["seq"]) if table in ("journal", "posting") else Deed(what)


def insert(rows: Rows, rng: Rng) -> Deed:
    table = TABLES[rng.integers(len(TABLES))]
    row, _, key = rows.any(table, rng)
    copy = dict(row)
    last = KEYS[table][-1]
    if table == "posting":
        copy["line"] = 1000
    else:
        (highest,) = rows.run(f"SELECT max({last}) FROM {table}")[0]
        copy[last] = highest + 1 + (int(rng.integers(1000)) if table != "journal" else 0)
    names, marks = ", ".join(copy), ", ".join("?" * len(copy))
    rows.run(f"INSERT INTO {table} ({names}) VALUES ({marks})", *copy.values())
    seq = copy["seq"] if table in ("journal", "posting") else None
    return Deed(f"insert {table} {copy[last]} like {key}", seq, seq)


def truncate(rows: Rows, rng: Rng) -> Deed:
    """Cut off the end of a table, of the journal with all that belongs to it but the signatures."""
    table = ("journal", "posting", "tile")[rng.integers(3)]
    cut = int(rng.integers(1, rows.last))
    if table == "tile":
        level, position = rows.run("SELECT level, position FROM tile ORDER BY random() LIMIT 1")[0]
        rows.run("DELETE FROM tile WHERE level = ? AND position >= ?", level, position)
        seq = position * WIDTH ** (level + 1) + 1
        return Deed(f"truncate tiles of level {level} at {position}", seq, seq)
    if table == "posting":
        (first,) = rows.run("SELECT min(seq) FROM posting WHERE seq > ?", cut)[0] or (None,)
        if first is None:
            return Deed("truncate no posting")
        rows.run("DELETE FROM posting WHERE seq > ?", cut)
        return Deed(f"truncate postings behind {cut}", first, first)
    rows.run("DELETE FROM journal WHERE seq > ?", cut)
    rows.run("DELETE FROM posting WHERE seq > ?", cut)
    rows.run("DELETE FROM tile WHERE (position + 1) << (8 * (level + 1)) > ?", cut)
    return Deed(f"truncate journal behind {cut}")


def mix(rows: Rows, rng: Rng) -> Deed:
    """Entries, hashes and postings, or tiles, or checkpoints, of another ledger of the same operator."""
    table = ("journal", "tile", "checkpoint", "verifier")[rng.integers(4)]
    if table != "journal":
        key = KEYS[table][-1]
        rows.run(f"DELETE FROM {table}")
        rows.run(f"INSERT INTO {table} SELECT * FROM other.{table} WHERE {key} <= ?", rows.last)
        return Deed(f"mix in all of {table}")
    first = int(rng.integers(1, rows.last))
    last = min(first + int(rng.integers(1, 200)), rows.last)
    differ = "SELECT min(a.seq) FROM journal a JOIN other.journal b USING (seq) WHERE a.body <> b.body AND seq BETWEEN ? AND ?"  # noqa: E501
    (wrong,) = rows.run(differ, first, last)[0]
    for name in ("posting", "journal"):
        rows.run(f"DELETE FROM {name} WHERE seq BETWEEN ? AND ?", first, last)
    for name in ("journal", "posting"):
        rows.run(f"INSERT INTO {name} SELECT * FROM other.{name} WHERE seq BETWEEN ? AND ?", first, last)
    return Deed(f"mix in entries {first} to {last}", rows.since(wrong) if wrong else None, wrong)


IN_ROWS: list[Callable[[Rows, Rng], Deed]] = [flip, delete, swap, insert, truncate, mix]


def in_rows(path: Path, other: Path, rng: Rng) -> Deed:
    """Tamper with the rows of the ledger at `path`, `other` being another one of the same operator."""
    rows = Rows(path, other)
    try:
        return IN_ROWS[rng.integers(len(IN_ROWS))](rows, rng)
    finally:
        rows.close()


# -- bytes and lines of files ----------------------------------------------------------------------------------------


def in_bytes(path: Path, other: Path, rng: Rng) -> Deed:
    """Tamper with the bytes of a file as a disk would, or a forger who knows nothing."""
    raw = bytearray(path.read_bytes())
    place, kind = int(rng.integers(len(raw))), int(rng.integers(5))
    if kind <= 1:
        raw[place] ^= int(rng.integers(1, 256))
    elif kind == 2:
        del raw[place:]
    elif kind == 3:
        raw[place : place + 64] = rng.bytes(64)
    else:
        foreign = other.read_bytes()
        raw[place : place + 512] = foreign[place : place + 512] or b"\0"
    path.write_bytes(raw)
    return Deed(f"{('flip', 'flip', 'cut', 'scribble', 'foreign bytes')[kind]} at byte {place}")


def in_lines(path: Path, other: Path, rng: Rng) -> Deed:
    """Tamper with the lines of an export and pack it again."""
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    foreign = gzip.decompress(other.read_bytes()).splitlines(keepends=True)
    place, kind = int(rng.integers(len(lines))), int(rng.integers(7))
    stated = re.search(rb'"seq":([0-9]+)}\n$', lines[place]) if kind < 2 else None
    if kind == 0:
        lines[place] = flipped(lines[place], rng)
    elif kind == 1:
        del lines[place]
    elif kind == 2:
        swapped = int(rng.integers(len(lines)))
        lines[place], lines[swapped] = lines[swapped], lines[place]
    elif kind == 3:
        lines.insert(place, lines[int(rng.integers(len(lines)))])
    elif kind == 4:
        del lines[place:]
    elif kind == 5:
        lines[place] = foreign[place % len(foreign)]
    else:
        last = place + int(rng.integers(1, 300))
        lines[place:last] = foreign[place:last]
    path.write_bytes(gzip.compress(b"".join(lines), 1))
    name = ("flip", "delete", "swap", "repeat", "cut", "foreign line", "foreign lines")[kind]
    seq = int(stated[1]) if stated else None
    return Deed(f"{name} at line {place + 1}", seq, seq)
