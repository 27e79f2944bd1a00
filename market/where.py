"""Conditions that people write, such as ``buyer = house-1 and price > 200000``: parsed, never pasted into SQL.

    condition := term { "or" term };  term := factor { "and" factor }
    factor := "not" factor | "(" condition ")" | FIELD OPERATOR VALUE

Operators are ``= != < <= > >=``. Values are whole numbers, words, or text in quotes. A condition is asked of a row, or
turned into an expression of SQLAlchemy with bound values.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

_TOKEN = re.compile(r"""\s*(?:(?P<mark>[()]|!=|<=|>=|==?|<|>)|(?P<quoted>"[^"]*"|'[^']*')|(?P<word>[^\s()=<>!'"]+))""")
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
Fields = Mapping[str, type]
"""Name -> int, str or bool."""
DEEPEST = 50
"""Most parentheses and nots inside of each other."""


class WhereError(ValueError):
    """A condition that cannot be read; the message names what, and what to write instead."""


@dataclass(frozen=True)
class Comparison:
    field: str
    sign: str
    value: Any

    def matches(self, row: Mapping[str, Any]) -> bool:
        return bool(_COMPARE[self.sign](row[self.field], self.value))

    def clause(self, columns: Mapping[str, Any]) -> Any:
        return _COMPARE[self.sign](columns[self.field], self.value)


@dataclass(frozen=True)
class Joined:
    """All of the parts (`every`), or any of them."""

    parts: tuple[Condition, ...]
    every: bool = True

    def matches(self, row: Mapping[str, Any]) -> bool:
        return (all if self.every else any)(part.matches(row) for part in self.parts)

    def clause(self, columns: Mapping[str, Any]) -> Any:
        clauses = [part.clause(columns) for part in self.parts]
        return sa.and_(sa.true(), *clauses) if self.every else sa.or_(sa.false(), *clauses)


@dataclass(frozen=True)
class Negated:
    part: Condition

    def matches(self, row: Mapping[str, Any]) -> bool:
        return not self.part.matches(row)

    def clause(self, columns: Mapping[str, Any]) -> Any:
        return sa.not_(self.part.clause(columns))


Condition = Comparison | Joined | Negated


def parse(text: str, fields: Fields) -> Condition:
    """The condition that a text says, over these fields. Raises WhereError."""
    return _Parser(text, fields).whole()


class _Parser:
    def __init__(self, text: str, fields: Fields) -> None:
        self._fields, self._tokens, place = fields, [], 0
        text = text.strip()
        while place < len(text):
            found = _TOKEN.match(text, place)
            if found is None:
                raise WhereError(f"where: cannot read {text[place:]!r:.60}; write FIELD OPERATOR VALUE")
            place = found.end()
            self._tokens.append((found.lastgroup or "", found[found.lastgroup or 0]))
        self._next = 0
        self._depth = 0

    def whole(self) -> Condition:
        condition = self._any()
        if self._next < len(self._tokens):
            raise WhereError(f"where: {self._tokens[self._next][1]!r:.60} is left over; join conditions with and, or")
        return condition

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._word("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Joined(tuple(parts), every=False)

    def _all(self) -> Condition:
        parts = [self._one()]
        while self._word("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else Joined(tuple(parts))

    def _one(self) -> Condition:
        self._depth += 1
        if self._depth > DEEPEST:
            raise WhereError(f"where: more than {DEEPEST} conditions inside of each other; write it flatter")
        try:
            if self._word("not"):
                return Negated(self._one())
            if self._mark("("):
                inner = self._any()
                if not self._mark(")"):
                    raise WhereError("where: a parenthesis is not closed")
                return inner
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Condition:
        known = ", ".join(self._fields)
        kind, name = self._take()
        if kind != "word" or name not in self._fields:
            raise WhereError(f"where: no field {name!r:.60}; there are {known}")
        kind, sign = self._take()
        if kind != "mark" or sign not in _COMPARE:
            raise WhereError(f"where: {name} needs one of = != < <= > >= behind it, got {sign!r:.60}")
        kind, value = self._take()
        if kind not in ("word", "quoted"):
            raise WhereError(f"where: {name} {sign} needs a value behind it, got {value!r:.60}")
        return Comparison(name, sign, self._value(name, value[1:-1] if kind == "quoted" else value))

    def _value(self, name: str, text: str) -> Any:
        wanted = self._fields[name]
        if wanted is int:
            if not re.fullmatch(r"[+-]?[0-9]{1,18}", text, re.ASCII):
                raise WhereError(f"where: {name} is a whole number in market units, got {text!r:.60}")
            return int(text)
        if wanted is bool:
            if text not in ("true", "false"):
                raise WhereError(f"where: {name} is true or false, got {text!r:.60}")
            return text == "true"
        return text

    def _take(self) -> tuple[str, str]:
        if self._next >= len(self._tokens):
            return "", "the end"
        self._next += 1
        return self._tokens[self._next - 1]

    def _word(self, word: str) -> bool:
        return self._skip("word", word)

    def _mark(self, mark: str) -> bool:
        return self._skip("mark", mark)

    def _skip(self, kind: str, text: str) -> bool:
        here = self._tokens[self._next] if self._next < len(self._tokens) else ("", "")
        if here[0] != kind or here[1].lower() != text:
            return False
        self._next += 1
        return True
