"""The rules of the native feeder format: every error at once, each with its path, the value and the fix."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from grid import feeder_sequence as sequence
from grid.feeder_reader import Column, FeederError, Reader, show

PHASES = ("abc", "a", "b", "c")

LINE_COLUMNS = (
    Column("r_ohm", 0, 1e6),
    Column("x_ohm", 0, 1e6),
    Column("c_f", 0, 1, default=0.0),
    Column("i_max_a", 0, 1e9, open=True),  # many nets write 99 999 kA for "no limit"
)
TRANSFORMER_COLUMNS = (
    Column("s_va", 0, 1e12, open=True),
    Column("u1_v", 1, 1e7),
    Column("u2_v", 1, 1e7),
    Column("uk", 0, 1, open=True),
    Column("pk_w", 0, 1e12),
    Column("i0", 0, 1, default=0.0),
    Column("p0_w", 0, 1e12, default=0.0),
    Column("clock", 0, 11, default=0, whole=True),
    Column("tap_pos", -127, 127, default=0, whole=True),
    Column("tap_nom", -127, 127, default=0, whole=True),
    Column("tap_min", -127, 127, default=0, whole=True),
    Column("tap_max", -127, 127, default=0, whole=True),
    Column("tap_size_v", 0, 1e7, default=0.0),
)
_U_RATED = Column("u_rated_v", 1, 1e7)
_PLACE = (Column("x", -1e9, 1e9, default=math.nan), Column("y", -1e9, 1e9, default=math.nan))
_U_PU = Column("u_pu", 0.5, 1.5, default=1.0)
_TOP = ("name", "license", "attribution", "origin", "buses", "lines", "transformers", "source", "connections")


def check(data: object) -> dict[str, Any]:
    """Every field of a `Feeder` from decoded JSON. Raises FeederError with every error found."""
    reader = Reader()
    top = reader.object(data, "", _TOP)
    if top is None:
        raise FeederError(reader.errors)
    values: dict[str, Any] = {key: reader.text(top, key, key, "") for key in _TOP[:4]}
    values |= _buses(reader, top)
    values |= _lines(reader, top)
    values |= _transformers(reader, top)
    values |= _source(reader, top)
    values |= _connections(reader, top)
    sequence.complete(reader, top)
    _topology(reader, values)
    if "source_bus" in values:
        sequence.vector_groups(reader, values, sequence.outward(values["source_bus"], values))
    if reader.errors:
        raise FeederError(reader.errors)
    return values


def _arrays(reader: Reader, rows: list[tuple[str, Any]], columns: Collection[Column]) -> dict[str, list[float]]:
    return {column.name: [reader.number(row, column, path) for path, row in rows] for column in columns}


def _frozen(columns: Mapping[str, list[float]], whole: Collection[str] = ()) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for key, values in columns.items():
        array = np.array(values, dtype=np.float64)
        arrays[key] = np.nan_to_num(array).astype(np.int64) if key in whole else array
    return arrays


def _buses(reader: Reader, top: Mapping[str, Any]) -> dict[str, Any]:
    rows = reader.rows(top, "buses", ("id", "u_rated_v", "x", "y"), "list the feeder's buses")
    ids = reader.ids(rows)
    for i, name in enumerate(ids):
        reader.buses.setdefault(name, i)
    reader.blind |= len(reader.buses) < len(ids)
    for path, row in rows:
        if ("x" in row) != ("y" in row):
            reader.error(f"{path}.{'y' if 'x' in row else 'x'}", "is missing; give both x and y or neither")
    return {"bus_ids": ids} | _frozen(_arrays(reader, rows, (_U_RATED, *_PLACE)))


def _lines(reader: Reader, top: Mapping[str, Any]) -> dict[str, Any]:
    names = [column.name for column in LINE_COLUMNS]
    rows = reader.rows(top, "lines", ("id", "from", "to", *names, *sequence.LINE_FIELDS))
    columns = _arrays(reader, rows, (*LINE_COLUMNS, *sequence.LINE_COLUMNS))
    for (path, _), r, x in zip(rows, columns["r_ohm"], columns["x_ohm"], strict=True):
        if r == 0 and x == 0:
            reader.error(path, "r_ohm and x_ohm are both 0; make the two buses one, or give the line its impedance")
    return {
        "line_ids": reader.ids(rows),
        "line_from": np.array([reader.bus(row, "from", path) for path, row in rows], dtype=np.int64),
        "line_to": np.array([reader.bus(row, "to", path) for path, row in rows], dtype=np.int64),
    } | _frozen(columns)


def _transformers(reader: Reader, top: Mapping[str, Any]) -> dict[str, Any]:
    names = [column.name for column in TRANSFORMER_COLUMNS]
    rows = reader.rows(top, "transformers", ("id", "from", "to", "tap_side", *names, *sequence.TRANSFORMER_FIELDS))
    columns = _arrays(reader, rows, (*TRANSFORMER_COLUMNS, *sequence.GROUNDING_COLUMNS))
    sides = []
    for i, (path, row) in enumerate(rows):
        side = row.get("tap_side", "from")
        if side not in ("from", "to"):
            reader.error(f"{path}.tap_side", f"must be 'from' or 'to', got {show(side)}")
        sides.append(1 if side == "to" else 0)
        _winding(reader, path, {key: values[i] for key, values in columns.items()}, sides[i])
    whole = [column.name for column in TRANSFORMER_COLUMNS if column.whole]
    return {
        "transformer_ids": reader.ids(rows),
        "transformer_from": np.array([reader.bus(row, "from", path) for path, row in rows], dtype=np.int64),
        "transformer_to": np.array([reader.bus(row, "to", path) for path, row in rows], dtype=np.int64),
        "tap_side": np.array(sides, dtype=np.int64),
        "winding_from": [sequence.winding(reader, row, "winding_from", path) for path, row in rows],
        "winding_to": [sequence.winding(reader, row, "winding_to", path) for path, row in rows],
    } | _frozen(columns, whole)


def _winding(reader: Reader, path: str, t: Mapping[str, float], side: int) -> None:
    """What the numbers of one transformer must satisfy together; a comparison with NaN is False, so none repeats."""
    if t["pk_w"] > t["uk"] * t["s_va"] * (1 + 1e-12):
        reader.error(f"{path}.pk_w", f"must be at most uk * s_va = {t['uk'] * t['s_va']:g} W, got {t['pk_w']:g}")
    if t["p0_w"] > t["i0"] * t["s_va"] * (1 + 1e-12):
        must = f"must be at least p0_w / s_va = {t['p0_w'] / t['s_va']:g}"
        reader.error(f"{path}.i0", f"{must}, got {t['i0']:g}")
    low, high = sorted((t["tap_min"], t["tap_max"]))
    for key in ("tap_pos", "tap_nom"):
        if t[key] < low or t[key] > high:
            reader.error(f"{path}.{key}", f"must lie within tap_min and tap_max ({low:g} to {high:g}), got {t[key]:g}")
    reach = max(abs(low - t["tap_nom"]), abs(high - t["tap_nom"])) * t["tap_size_v"]
    rated = t["u2_v" if side else "u1_v"]
    if reach >= rated / 2:
        fault = f"taps would move the voltage by up to {reach:g} V of {rated:g} V; give the volts of one tap"
        reader.error(f"{path}.tap_size_v", fault)


def _source(reader: Reader, top: Mapping[str, Any]) -> dict[str, Any]:
    if "source" not in top:
        reader.error("source", 'is missing; add {"bus": …, "u_pu": 1.0} for the bus that the feeder is fed from')
        return {}
    if isinstance(top["source"], list):
        found = f"must be one object, got a list of {len(top['source'])}"
        reader.error("source", f"{found}; a feeder is fed from one bus, remove the others")
        return {}
    row = reader.object(top["source"], "source", ("bus", "u_pu"))
    if row is None:
        return {}
    return {"source_bus": reader.bus(row, "bus", "source"), "source_u_pu": reader.number(row, _U_PU, "source")}


def _connections(reader: Reader, top: Mapping[str, Any]) -> dict[str, Any]:
    need = "add at least one, such as {'id': 'house 1', 'bus': …}"
    rows = reader.rows(top, "connections", ("id", "bus", "phase", "profile"), need)
    phases = []
    for path, row in rows:
        phases.append(row.get("phase", "abc"))
        if phases[-1] not in PHASES:
            reader.error(f"{path}.phase", f"must be one of {', '.join(PHASES)}, got {show(phases[-1])}")
    blind = reader.blind
    values = {
        "connection_ids": reader.ids(rows),
        "connection_bus": np.array([reader.bus(row, "bus", path) for path, row in rows], dtype=np.int64),
        "connection_phase": phases,
        "connection_profile": [reader.text(row, "profile", f"{path}.profile", "") for path, row in rows],
    }
    reader.blind = blind
    return values


def _topology(reader: Reader, values: Mapping[str, Any]) -> None:
    """Radial and in one piece: what closes a loop, and what the source does not reach."""
    ids, rated = values["bus_ids"], values["u_rated_v"]
    parent = list(range(len(ids)))

    def root(bus: int) -> int:
        while parent[bus] != bus:
            parent[bus] = parent[parent[bus]]
            bus = parent[bus]
        return bus

    for kind in ("line", "transformer"):
        for i, (a, b) in enumerate(zip(values[f"{kind}_from"], values[f"{kind}_to"], strict=True)):
            if a < 0 or b < 0:
                continue
            path = f"{kind}s[{i}] {values[f'{kind}_ids'][i]!r}"
            if kind == "line" and rated[a] != rated[b] and not math.isnan(rated[a] + rated[b]):
                ends = f"{ids[a]!r} is {rated[a]:g} V and {ids[b]!r} is {rated[b]:g} V"
                reader.error(path, f"must join two buses of the same voltage, but {ends}; use a transformer")
            for bus, key in ((a, "u1_v"), (b, "u2_v")):
                if kind == "transformer" and (2 * values[key][i] < rated[bus] or values[key][i] > 2 * rated[bus]):
                    gap = f"{values[key][i]:g} V is far from the {rated[bus]:g} V of bus {ids[bus]!r}"
                    reader.error(f"{path}.{key}", f"{gap}; exchange from and to, or correct it")
            if a == b:
                reader.error(path, f"begins and ends at bus {ids[a]!r}; remove it")
            elif root(a) == root(b):
                loop = f"closes a loop between {ids[a]!r} and {ids[b]!r}"
                reader.error(path, f"{loop}; only radial feeders are supported, open the loop")
            parent[root(a)] = root(b)
    if reader.blind or "source_bus" not in values:
        return
    lost: dict[int, list[int]] = {}
    for bus in range(len(ids)):
        if root(bus) != root(values["source_bus"]):
            lost.setdefault(root(bus), []).append(bus)
    for buses in lost.values():
        more = f" and {len(buses) - 1} more" if len(buses) > 1 else ""
        fault = "not connected to the source; add the branch that is missing or remove it"
        reader.error(f"buses[{buses[0]}]", f"{ids[buses[0]]!r}{more}: {fault}")
