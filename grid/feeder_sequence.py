"""The rules of zero-sequence data: what makes a feeder three-phase, and what then must not be missing.

A feeder is either the balanced equivalent of itself, without any zero-sequence data, or three-phase, with all of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from grid.feeder_reader import Column, Reader, show

STARS = ("wye", "wye_n")
WINDINGS = (*STARS, "delta", "zigzag", "zigzag_n")
"""Names of windings; those on _n have a neutral that is grounded. Zigzag counts with delta in the vector group."""

LINE_COLUMNS = (
    Column("r0_ohm", 0, 1e6, default=math.nan),
    Column("x0_ohm", 0, 1e6, default=math.nan),
    Column("c0_f", 0, 1, default=0.0),
)
GROUNDING_COLUMNS = tuple(
    Column(f"{part}_grounding_{end}_ohm", 0, 1e6, default=0.0) for end in ("from", "to") for part in ("r", "x")
)
LINE_FIELDS = tuple(column.name for column in LINE_COLUMNS)
TRANSFORMER_FIELDS = ("winding_from", "winding_to", *(column.name for column in GROUNDING_COLUMNS))


def winding(reader: Reader, row: Mapping[str, Any], key: str, path: str) -> str:
    """Name of a winding, "" where none is given."""
    value = row.get(key, "")
    if value in WINDINGS or (value == "" and key not in row):
        return str(value)
    reader.error(f"{path}.{key}", f"must be one of {', '.join(WINDINGS)}, got {show(value)}")
    return ""


def complete(reader: Reader, top: Mapping[str, Any]) -> None:
    """If one branch has zero-sequence data, all must; names each field that is missing."""
    lines, transformers = ([*_rows(top, key)] for key in ("lines", "transformers"))
    fields = [(lines, LINE_FIELDS), (transformers, TRANSFORMER_FIELDS)]
    given = [(path, key) for rows, keys in fields for path, row in rows for key in keys if key in row]
    if not given:
        return
    path, key = given[0]
    fix = f"is missing; {path} has {key}, so the feeder is three-phase and every branch needs its zero sequence"
    for rows, needed in ((lines, ("r0_ohm", "x0_ohm")), (transformers, ("winding_from", "winding_to"))):
        for where, row in rows:
            for name in needed:
                if name not in row:
                    reader.error(f"{where}.{name}", fix)
    for where, row in lines:
        if row.get("r0_ohm") == 0 and row.get("x0_ohm") == 0:
            reader.error(where, "r0_ohm and x0_ohm are both 0; give the line its zero-sequence impedance")


def _rows(top: Mapping[str, Any], key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    table = top.get(key, [])
    for i, row in enumerate(table if isinstance(table, list) else []):
        if isinstance(row, dict):
            yield f"{key}[{i}]", row


def vector_groups(reader: Reader, values: Mapping[str, Any], beyond: Mapping[int, str]) -> None:
    """Clock numbers must suit the windings, and the winding away from the source must feed a neutral.

    `beyond` gives the end away from the source, "from" or "to", of each transformer of which it is known.
    """
    for i, name in enumerate(values["transformer_ids"]):
        windings = {end: values[f"winding_{end}"][i] for end in ("from", "to")}
        if not all(windings.values()):
            continue
        path, clock = f"transformers[{i}] {name!r}", int(values["clock"][i])
        odd = (windings["from"] in STARS) != (windings["to"] in STARS)
        if clock % 2 != odd:
            pair = f"{windings['from']} and {windings['to']}"
            reader.error(f"{path}.clock", f"must be {'odd' if odd else 'even'} between {pair}, got {clock}")
        far = beyond.get(i)
        if far is None:
            continue
        near = windings["from" if far == "to" else "to"]
        if windings[far] != "zigzag_n" and not (windings[far] == "wye_n" and near in ("delta", "wye_n")):
            fault = f"{windings[far]!r} opposite {near!r} gives the buses beyond it no neutral"
            fix = "make it 'wye_n' opposite 'delta' or 'wye_n', or 'zigzag_n'"
            reader.error(f"{path}.winding_{far}", f"{fault}; {fix}")


def outward(source: int, values: Mapping[str, Any]) -> dict[int, str]:
    """The end away from the source of each transformer that the source reaches."""
    ends: dict[int, list[tuple[int, int, str]]] = {}
    for kind in ("line", "transformer"):
        for i, (a, b) in enumerate(zip(values[f"{kind}_from"], values[f"{kind}_to"], strict=True)):
            at = i if kind == "transformer" else -1
            ends.setdefault(int(a), []).append((int(b), at, "to"))
            ends.setdefault(int(b), []).append((int(a), at, "from"))
    found: dict[int, str] = {}
    seen, rest = {source}, [source]
    while rest:
        for bus, transformer, end in ends.get(rest.pop(), []):
            if bus not in seen:
                seen.add(bus)
                rest.append(bus)
                if transformer >= 0:
                    found[transformer] = end
    return found
