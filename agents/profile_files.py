"""Tables of power over time in CSV and Parquet, checked: every error at once, each with its line and the fix."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from market.slots import NS, format_time

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END = (datetime(2200, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1) * NS
_MICROSECOND = timedelta(microseconds=1)
_SHOWN = 20
MOST_KW = 1e8
"""As for the sizes in a scenario: what is larger is a mistake, and would not fit into whole Wh."""
_PER_NS = {"s": NS, "ms": 10**6, "us": 10**3, "ns": 1}


class ProfileError(ValueError):
    """A profile is wrong. `errors` lists every fault, each with its file, its place, the value and the fix."""

    def __init__(self, errors: list[str]) -> None:
        more = [f"… and {len(errors) - _SHOWN} more"] if len(errors) > _SHOWN else []
        super().__init__("\n".join(errors[:_SHOWN] + more))
        self.errors = errors


@dataclass(frozen=True)
class Series:
    """Columns of kW on a grid of equal steps; values has the shape (columns, T)."""

    names: list[str]
    start_ns: int
    step_ns: int
    values: NDArray[np.float64]


class _Faults:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.errors: list[str] = []

    def add(self, place: str, fault: str) -> None:
        self.errors.append(f"{self.path}: {place}: {fault}" if place else f"{self.path}: {fault}")

    def stop(self) -> None:
        if self.errors:
            raise ProfileError(self.errors)


def read_table(path: Path, *, signed: bool) -> Series:
    """The table of a .csv or .parquet file. Raises ProfileError with every error found."""
    faults = _Faults(path)
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        faults.add("", f"must end in .csv, .parquet or .npz, got {path.suffix or 'no ending'!r}")
    elif not path.is_file():
        faults.add("", "is a folder; give a file" if path.is_dir() else "there is no such file; check the path")
    faults.stop()
    places, names, times, columns = readers[path.suffix.lower()](path, faults)
    if len(places) < 2 and not faults.errors:
        faults.add("", f"needs at least two rows to know the length of a step, got {len(places)}")
    start, step = _grid(faults, places, times)
    for name, column in zip(names, columns, strict=True):
        _check_values(faults, places, name, column, signed)
    faults.stop()
    return Series(names, start, step, np.array(columns, dtype=np.float64))


Table = tuple[list[str], list[str], list[int | None], list[list[float | None]]]
"""Places for messages, names of columns, times [ns], columns; None is what could not be read and is reported."""


def _read_csv(path: Path, faults: _Faults) -> Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            rows = [(f"line {reader.line_num}", [cell.strip() for cell in row]) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        faults.add("", f"cannot be read as UTF-8 CSV ({error}); save it again")
        faults.stop()
    if not rows:
        faults.add("", "is empty; the first line must be: timestamp,kW")
        faults.stop()
    (place, header), body = rows[0], rows[1:]
    names = _names(faults, place, header)
    for place, row in body:
        if len(row) != len(header):
            faults.add(place, f"has {len(row)} fields, the first line has {len(header)}; is the file cut short?")
    body = [(place, row) for place, row in body if len(row) == len(header)]
    at = [name.lower() for name in header].index("timestamp")
    places = [place for place, _ in body]
    times = [_time(faults, place, row[at]) for place, row in body]
    others = [i for i in range(len(header)) if i != at]
    columns = [[_number(faults, place, header[i], row[i]) for place, row in body] for i in others]
    return places, names, times, columns


def _read_parquet(path: Path, faults: _Faults) -> Table:
    try:
        table = pyarrow.parquet.read_table(path)
        header = [str(name) for name in table.column_names]
        cells = [_cells(column) for column in table.columns]
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        faults.add("", f"cannot be read as Parquet ({error}); is it cut short? Save it again")
        faults.stop()
    names = _names(faults, "columns", header)
    places = [f"row {i}" for i in range(table.num_rows)]
    at = [name.lower() for name in header].index("timestamp")
    columns: list[list[float | None]] = []
    for i, name in enumerate(header):
        if i == at:
            continue
        kind = table.column(i).type
        if pyarrow.types.is_floating(kind) or pyarrow.types.is_integer(kind):
            columns.append([math.nan if value is None else float(value) for value in cells[i]])
        else:
            faults.add(f"column {name!r}", f"must hold numbers, got {kind}")
            columns.append([None] * table.num_rows)
    return places, names, _arrow_times(faults, places, table.column(at).type, cells[at]), columns


def _cells(column: Any) -> list[Any]:
    """The values of a column, times as whole numbers of its unit."""
    return list(
        column.cast(pyarrow.int64()).to_pylist() if pyarrow.types.is_timestamp(column.type) else column.to_pylist()
    )


def _arrow_times(faults: _Faults, places: Sequence[str], kind: Any, cells: Sequence[Any]) -> list[int | None]:
    if pyarrow.types.is_timestamp(kind) and kind.tz is not None:
        times: list[int | None] = []
        for place, cell in zip(places, cells, strict=True):
            if cell is None:
                faults.add(place, "timestamp is missing; give every row its time")
                times.append(None)
            else:
                times.append(_within(faults, place, cell * _PER_NS[kind.unit]))
        return times
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        return [_time(faults, place, text or "") for place, text in zip(places, cells, strict=True)]
    fix = "localise it first, such as by tz_localize('Europe/Berlin') in pandas"
    faults.add("column 'timestamp'", f"must be a timestamp with a time zone or ISO 8601 text, got {kind}; {fix}")
    return [None] * len(places)


def _names(faults: _Faults, place: str, header: Sequence[str]) -> list[str]:
    lower = [name.lower() for name in header]
    if lower.count("timestamp") != 1:
        faults.add(place, f"must have one column 'timestamp', got {', '.join(header)}")
    if len(header) < 2:
        faults.add(place, "must have a column of kW beside 'timestamp'")
    for name, uses in Counter(header).items():
        if not name or uses > 1:
            faults.add(place, f"column {name!r} stands {uses} times; every column needs a name of its own")
    faults.stop()
    return [name for name in header if name.lower() != "timestamp"]


def _time(faults: _Faults, place: str, text: str) -> int | None:
    """Nanoseconds since 1970, or None."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        faults.add(place, f"timestamp {text!r} is not ISO 8601; write it like 2016-06-21T12:00:00Z")
        return None
    if moment.tzinfo is None:
        faults.add(place, f"timestamp {text!r} has no offset; write Z for UTC or an offset such as +02:00")
        return None
    return _within(faults, place, (moment - _EPOCH) // _MICROSECOND * 1000)


def _within(faults: _Faults, place: str, time: int) -> int | None:
    """`time` [ns] if it lies within the years that profiles may have, else None."""
    if 0 <= time < _END:
        return time
    faults.add(place, f"timestamp is {time / NS:g} s from 1970, outside 1970 to 2199; check its unit")
    return None


def _number(faults: _Faults, place: str, name: str, text: str) -> float | None:
    try:
        return float(text) if text else math.nan
    except ValueError:
        fix = "write the decimal point as '.'" if "," in text else "write kW as a number"
        faults.add(place, f"{name}: {text!r} is not a number; {fix}")
        return None


def _check_values(
    faults: _Faults, places: Iterable[str], name: str, column: Iterable[float | None], signed: bool
) -> None:
    for place, value in zip(places, column, strict=True):
        if value is None:
            continue
        if not math.isfinite(value):
            fault = "is missing or NaN; fill it" if math.isnan(value) else f"must be finite, got {value}"
            faults.add(place, f"{name}: {fault}")
        elif value < 0 and not signed:
            faults.add(place, f"{name}: must be >= 0 kW, got {value}")
        elif abs(value) > MOST_KW:
            faults.add(place, f"{name}: must be at most {MOST_KW:.0e} kW, got {value}; check its unit")


def _grid(faults: _Faults, places: Sequence[str], times: Sequence[int | None]) -> tuple[int, int]:
    """First time and step; the step is the commonest difference of neighbours, and every other one is a fault."""
    known = [(place, time) for place, time in zip(places, times, strict=True) if time is not None]
    pairs = list(pairwise(known))
    ahead = Counter(later - early for (_, early), (_, later) in pairs if later > early)
    if not ahead:
        if pairs:
            faults.add("", "timestamps never rise; sort the rows by time")
        return 0, 1
    step = min(ahead, key=lambda difference: (-ahead[difference], difference))
    for (_, early), (place, later) in pairs:
        at = f"timestamp {format_time(later)}"
        if later == early:
            faults.add(place, f"{at} stands twice; keep one row")
        elif later < early:
            faults.add(place, f"{at} is before the row above; sort the rows by time")
        elif later - early != step:
            missing = f"{at} is {(later - early) / NS:g} s after the row above, others {step / NS:g} s"
            faults.add(place, f"{missing}; fill the gap or write equal steps")
    return known[0][1], step
