"""Feeders: a radial network as checked arrays, and its native JSON format.

    {"name": "…", "license": "…", "attribution": "…", "origin": "…",
     "buses":        [{"id", "u_rated_v", "x"?, "y"?}],
     "lines":        [{"id", "from", "to", "r_ohm", "x_ohm", "c_f"?, "i_max_a", "r0_ohm"?, "x0_ohm"?, "c0_f"?}],
     "transformers": [{"id", "from", "to", "s_va", "u1_v", "u2_v", "uk", "pk_w", "i0"?, "p0_w"?, "clock"?,
                       "tap_side"?, "tap_pos"?, "tap_nom"?, "tap_min"?, "tap_max"?, "tap_size_v"?,
                       "winding_from"?, "winding_to"?, "r_grounding_from_ohm"?, "x_grounding_from_ohm"?,
                       "r_grounding_to_ohm"?, "x_grounding_to_ohm"?}],
     "source":       {"bus", "u_pu"?},
     "connections":  [{"id", "bus", "phase"?, "profile"?}]}

Fields with ? may be left out. Branch fields have the meaning and the units of power-grid-model's `line` and
`transformer`: impedances and capacitances are positive sequence and of the whole branch, capacitance counts at
50 Hz, `uk` and `i0` are fractions of one, and a transformer's impedance refers to its `to` side.

A feeder whose branches all have their zero sequence (`r0_ohm`, `x0_ohm` and `c0_f` of lines, the windings of
transformers: wye, wye_n, delta, zigzag or zigzag_n) is three-phase. There a connection may be at one phase, "a", "b"
or "c", and the neutral; without `phase` it is balanced over the three. A feeder without any zero sequence is taken as
its balanced equivalent, whatever phase its connections name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid import feeder_sequence as sequence
from grid.feeder_reader import FeederError, parse
from grid.feeder_rules import TRANSFORMER_COLUMNS, check

__all__ = ["Feeder", "FeederError"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Feeder:
    """A radial feeder with N buses, L lines, T transformers and C connections. Every array is read-only.

    Make one by `from_json` or `from_data`: they check everything. `source_bus`, `line_from`, `connection_bus` and
    their like are positions in `bus_ids`. A bus of unknown place has NaN in `x` and `y`.
    """

    name: str
    license: str
    attribution: str
    origin: str
    bus_ids: list[str]
    u_rated_v: Floats
    """Rated voltage, line to line [V], shape (N,)."""
    x: Floats
    y: Floats
    line_ids: list[str]
    line_from: Ints
    line_to: Ints
    r_ohm: Floats
    x_ohm: Floats
    c_f: Floats
    """Capacitance of the whole line [F], shape (L,); half of it sits at either end."""
    i_max_a: Floats
    """Thermal limit of the whole branch [A], shape (L,)."""
    r0_ohm: Floats
    """Zero-sequence resistance of the whole line, shape (L,); NaN where it is not given."""
    x0_ohm: Floats
    c0_f: Floats
    transformer_ids: list[str]
    transformer_from: Ints
    transformer_to: Ints
    s_va: Floats
    u1_v: Floats
    u2_v: Floats
    uk: Floats
    pk_w: Floats
    i0: Floats
    p0_w: Floats
    clock: Ints
    """Vector group number, shape (T,); odd numbers are delta-wye, even ones wye-wye."""
    tap_side: Ints
    """0: the tap changer is at the `from` side, 1: at the `to` side, shape (T,)."""
    tap_pos: Ints
    tap_nom: Ints
    tap_min: Ints
    tap_max: Ints
    tap_size_v: Floats
    winding_from: list[str]
    """wye, wye_n, delta, zigzag or zigzag_n, "" where it is not given."""
    winding_to: list[str]
    r_grounding_from_ohm: Floats
    """Between the star point of the from-side and earth, shape (T,)."""
    x_grounding_from_ohm: Floats
    r_grounding_to_ohm: Floats
    x_grounding_to_ohm: Floats
    source_bus: int
    source_u_pu: float
    connection_ids: list[str]
    connection_bus: Ints
    connection_phase: list[str]
    """"a", "b", "c" or "abc" of each connection."""
    connection_profile: list[str]
    """Name of the profile that the data's author gave to each connection, or ""."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Feeder:
        """The feeder that `text` describes. Raises FeederError with every error found."""
        return cls.from_data(parse(text))

    @classmethod
    def from_data(cls, data: object) -> Feeder:
        """The feeder of already decoded JSON. Raises FeederError with every error found."""
        return cls(**check(data))

    def to_json(self) -> str:
        """The feeder in the native format: deterministic, and `from_json` gives the same feeder back."""
        head = {key: getattr(self, key) for key in ("name", "license", "attribution", "origin") if getattr(self, key)}
        parts = [f'"{key}": {json.dumps(value)}' for key, value in head.items()]
        parts.append(_table("buses", map(self._bus, range(len(self.bus_ids)))))
        parts.append(_table("lines", map(self._line, range(len(self.line_ids)))))
        parts.append(_table("transformers", map(self._transformer, range(len(self.transformer_ids)))))
        parts.append('"source": ' + json.dumps({"bus": self.bus_ids[self.source_bus], "u_pu": self.source_u_pu}))
        parts.append(_table("connections", map(self._connection, range(len(self.connection_ids)))))
        return "{" + ",\n".join(parts) + "}\n"

    @property
    def three_phase(self) -> bool:
        """Whether every branch has its zero sequence, and there is one."""
        return self.phases_lack == ""

    def need_phases(self) -> None:
        """Raises FeederError if the feeder has no three-phase model, with what it lacks and who would need it."""
        if self.three_phase:
            return
        single = [
            f"feeder: connections[{i}].phase: {phase!r} needs a three-phase feeder, but {self.phases_lack}"
            for i, phase in enumerate(self.connection_phase)
            if phase != "abc"
        ]
        raise FeederError(single or [f"feeder: is not three-phase: {self.phases_lack}"])

    def balanced(self) -> Feeder:
        """The same feeder without its zero sequence: its balanced equivalent."""
        data = json.loads(self.to_json())
        for table, names in (("lines", sequence.LINE_FIELDS), ("transformers", sequence.TRANSFORMER_FIELDS)):
            for row in data[table]:
                for name in names:
                    row.pop(name, None)
        return Feeder.from_data(data)

    @cached_property
    def phases_lack(self) -> str:
        """What keeps the feeder from a three-phase model, "" if nothing does."""
        for i, name in enumerate(self.line_ids):
            if np.isnan(self.r0_ohm[i]):
                return f"lines[{i}] {name!r} has no r0_ohm and x0_ohm"
        for i, name in enumerate(self.transformer_ids):
            if not self.winding_from[i]:
                return f"transformers[{i}] {name!r} has no winding_from and winding_to"
        return "" if self.line_ids or self.transformer_ids else "it has no branch"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the JSON text, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Feeder) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def _bus(self, i: int) -> dict[str, Any]:
        row: dict[str, Any] = {"id": self.bus_ids[i], "u_rated_v": float(self.u_rated_v[i])}
        if not np.isnan(self.x[i]):
            row |= {"x": float(self.x[i]), "y": float(self.y[i])}
        return row

    def _line(self, i: int) -> dict[str, Any]:
        row: dict[str, Any] = {"id": self.line_ids[i]}
        row |= {"from": self.bus_ids[self.line_from[i]], "to": self.bus_ids[self.line_to[i]]}
        keys = ["r_ohm", "x_ohm", "c_f", "i_max_a"]
        if not np.isnan(self.r0_ohm[i]):
            keys += sequence.LINE_FIELDS
        return row | {key: float(getattr(self, key)[i]) for key in keys}

    def _transformer(self, i: int) -> dict[str, Any]:
        row: dict[str, Any] = {"id": self.transformer_ids[i]}
        row |= {"from": self.bus_ids[self.transformer_from[i]], "to": self.bus_ids[self.transformer_to[i]]}
        row["tap_side"] = ("from", "to")[int(self.tap_side[i])]
        row |= {column.name: getattr(self, column.name)[i].item() for column in TRANSFORMER_COLUMNS}
        if self.winding_from[i]:
            row |= {"winding_from": self.winding_from[i], "winding_to": self.winding_to[i]}
            groundings = {column.name: float(getattr(self, column.name)[i]) for column in sequence.GROUNDING_COLUMNS}
            row |= {key: ohm for key, ohm in groundings.items() if ohm}
        return row

    def _connection(self, i: int) -> dict[str, Any]:
        row = {"id": self.connection_ids[i], "bus": self.bus_ids[self.connection_bus[i]]}
        if self.connection_phase[i] != "abc":
            row["phase"] = self.connection_phase[i]
        if self.connection_profile[i]:
            row["profile"] = self.connection_profile[i]
        return row


def _table(key: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """A list of objects, one a line, so that two versions of a feeder can be compared by eye."""
    lines = [json.dumps(row) for row in rows]
    return f'"{key}": [' + ("\n  " + ",\n  ".join(lines) if lines else "") + "]"
