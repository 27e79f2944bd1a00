"""Reading decoded JSON field by field: every fault is noted with its path, the value and the fix."""

from __future__ import annotations

import difflib
import json
import math
import reprlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

_ABSENT = object()


class FeederError(ValueError):
    """A feeder is wrong. `errors` lists every fault, each with its path, the value and the fix."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


@dataclass(frozen=True)
class Column:
    """A number of each row of a table: its range, and its value if it is left out (None: it must be given)."""

    name: str
    low: float
    high: float
    default: float | None = None
    open: bool = False
    """The lower end of the range itself is refused."""
    whole: bool = False

    def fault(self, value: object) -> str | None:
        """What is wrong with `value`, or None."""
        number = "a whole number" if self.whole else "a finite number"
        must = f"must be {number} {'>' if self.open else '>='} {self.low:g}"
        kinds = (int,) if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            return f"{must}, got {show(value)}"
        if self.low < value <= self.high or (value == self.low and not self.open):
            return None
        if self.high < value < math.inf:
            return f"must be at most {self.high:g}, got {show(value)}; check the unit"
        return f"{must}, got {show(value)}"


def show(value: object) -> str:
    """A short text of any value."""
    return reprlib.repr(value)


def parse(text: str | bytes) -> object:
    """The JSON value of `text`. Raises FeederError if it is not JSON, is cut short or repeats a field."""
    repeated: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) < len(items):
            names = [key for key, _ in items]
            repeated.extend(key for key in found if names.count(key) > 1)
        return found

    try:
        value = json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text, object_pairs_hook=pairs)
    except UnicodeDecodeError as error:
        raise FeederError([f"feeder: is not UTF-8 text (byte {error.start}); save it as UTF-8 JSON"]) from error
    except json.JSONDecodeError as error:
        whole = error.doc.strip()
        if error.pos >= len(error.doc.rstrip()) or (whole.startswith("{") and not whole.endswith("}")):
            reason = "the text ends too early: the file is empty or cut short; get the whole file again"
        else:
            reason = f"is not JSON ({error.msg}); correct it there"
        raise FeederError([f"feeder: line {error.lineno}, column {error.colno}: {reason}"]) from error
    except (ValueError, RecursionError) as error:
        raise FeederError([f"feeder: cannot be read as JSON ({type(error).__name__}); is it a feeder file?"]) from error
    if repeated:
        raise FeederError([f"feeder: the field {show(key)} stands twice in one object; keep one" for key in repeated])
    return value


@dataclass
class Reader:
    """Collects the faults of one feeder."""

    errors: list[str] = field(default_factory=list)
    buses: dict[str, int] = field(default_factory=dict)
    blind: bool = False
    """A branch or bus could not be read, so what hangs together cannot be told."""

    def error(self, path: str, fault: str) -> None:
        self.errors.append(f"feeder: {path}: {fault}" if path else f"feeder: {fault}")

    def object(self, value: object, path: str, known: Collection[str]) -> Mapping[str, Any] | None:
        if not isinstance(value, dict):
            self.error(path, f"must be an object with the fields {', '.join(known)}, got {show(value)}")
            return None
        for key in value:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1, 0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
                name = key if key.isprintable() else show(key)
                self.error(f"{path}.{name}" if path else name, f"unknown field; {hint}")
        return value

    def rows(self, top: Mapping[str, Any], key: str, known: Collection[str], need: str = "") -> list[tuple[str, Any]]:
        """Path and object of each row of a table; `need` says what an empty one lacks."""
        value = top.get(key, [])
        if not isinstance(value, list):
            self.error(key, f"must be a list of objects, got {show(value)}")
            self.blind = True
            return []
        if need and not value:
            self.error(key, f"{'is missing' if key not in top else 'is empty'}; {need}")
        found = []
        for i, item in enumerate(value):
            row = self.object(item, f"{key}[{i}]", known)
            if row is None:
                self.blind = True
            else:
                found.append((f"{key}[{i}]", row))
        return found

    def text(self, row: Mapping[str, Any], key: str, path: str, default: str | None = None) -> str:
        value = row.get(key, _ABSENT)
        if value is _ABSENT and default is not None:
            return default
        if isinstance(value, str) and value and value.isprintable() and value == value.strip():
            return value
        got = "it is missing" if value is _ABSENT else f"got {show(value)}"
        self.error(path, f"must be a non-empty text of one line without outer spaces, {got}")
        return ""

    def number(self, row: Mapping[str, Any], column: Column, path: str) -> float:
        value = row.get(column.name, _ABSENT)
        if value is _ABSENT and column.default is not None:
            return column.default
        fault = f"is missing; give {column.name}" if value is _ABSENT else column.fault(value)
        if fault is not None:
            self.error(f"{path}.{column.name}", fault)
            return math.nan
        return int(value) if column.whole else float(value)

    def ids(self, rows: list[tuple[str, Any]]) -> list[str]:
        found: dict[str, str] = {}
        ids = []
        for path, row in rows:
            name = self.text(row, "id", f"{path}.id")
            if name and name in found:
                self.error(f"{path}.id", f"{name!r} is also the id of {found[name]}; ids of a table must differ")
            found.setdefault(name, path)
            ids.append(name)
        return ids

    def bus(self, row: Mapping[str, Any], key: str, path: str) -> int:
        """Position of the bus that a row names, or -1."""
        value = row.get(key, _ABSENT)
        if isinstance(value, str) and value in self.buses:
            return self.buses[value]
        self.blind = True
        if value is _ABSENT:
            self.error(f"{path}.{key}", "is missing; give the id of a bus")
            return -1
        near = difflib.get_close_matches(value, self.buses, 1, 0.5) if isinstance(value, str) else []
        hint = f"did you mean {near[0]!r}?" if near else "give the id of a bus"
        self.error(f"{path}.{key}", f"there is no bus {show(value)}; {hint}")
        return -1
