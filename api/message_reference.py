"""The reference of commands, events and refusals as Markdown, made from the messages themselves.

`python -m api.message_reference` prints it.
"""

from __future__ import annotations

import ast
import inspect
import sys
from itertools import pairwise
from types import ModuleType
from typing import Any, get_args

import msgspec

from market import events, orders
from market.rules import CODES

_HEAD = """# Commands, events, refusals

What can be said to the exchange, and what it answers. Each is a JSON object with a field `type`; fields at their
default are left out. In the journal a command and all that followed from it are one entry,
`{"command": {…}, "events": […], "seq": n}`; an order's number is the `seq` of its `submit`. This page is made from
`market/orders.py`, `market/events.py` and `market/rules.py` by `make docs`.

Energy is in whole Wh, injection positive where it is signed; prices are whole milli-currency per MWh (10 000 are
1 ct/kWh); a slot is its number, counted in slot lengths from 1970-01-01T00:00Z.
"""


def markdown() -> str:
    """The whole page. The same program gives the same text."""
    parts = [_HEAD]
    for title, module, union in (("Commands", orders, orders.Command), ("Events", events, events.Event)):
        parts.append(f"\n## {title}\n")
        parts += [_message(module, kind) for kind in get_args(union)]
    parts.append("\n## Refusals\n\nCodes of the event `rejected`. A refused command changes nothing.\n\n")
    parts.append("| code | meaning |\n|---|---|\n")
    parts += [f"| `{code}` | {meaning} |\n" for code, meaning in CODES.items()]
    return "".join(parts) + _settings()


def _settings() -> str:
    said = inspect.cleandoc(orders.MarketSettings.__doc__ or "")
    return f"\n## Settings of a market\n\n{said}\n\n" + _fields(orders, orders.MarketSettings)


def _message(module: ModuleType, kind: type[msgspec.Struct]) -> str:
    tag = kind.__struct_config__.tag
    said = inspect.cleandoc(kind.__doc__ or "")
    return f"\n### {tag}\n\n`{tag}`" + (f": {said}\n\n" if said else "\n\n") + _fields(module, kind)


def _fields(module: ModuleType, kind: type[msgspec.Struct]) -> str:
    notes = _notes(module, kind.__name__)
    types = _types(module, kind.__name__)
    rows = [
        f"| `{field.encode_name}` | {types[field.name]} | {_default(field)} | {notes.get(field.name, '')} |\n"
        for field in msgspec.structs.fields(kind)
    ]
    return "| field | type | default | meaning |\n|---|---|---|---|\n" + "".join(rows)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is not msgspec.NODEFAULT:
        return "`" + msgspec.json.encode(field.default).decode() + "`"
    return "" if field.default_factory is msgspec.NODEFAULT else "`[]`"


def _class(module: ModuleType, name: str) -> ast.ClassDef:
    tree = ast.parse(inspect.getsource(module))
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def _types(module: ModuleType, name: str) -> dict[str, str]:
    """Types of the fields as they are written."""
    found: dict[str, str] = {}
    for node in _class(module, name).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            alias = getattr(module, ast.unparse(node.annotation), None)
            choices = " or ".join(f'`"{value}"`' for value in get_args(alias))
            found[node.target.id] = choices or ast.unparse(node.annotation).replace("|", "or")
    return found


def _notes(module: ModuleType, name: str) -> dict[str, str]:
    """The text below a field that says what it is."""
    body = _class(module, name).body
    notes: dict[str, str] = {}
    for node, following in pairwise(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(following, ast.Expr):
            value: Any = getattr(following.value, "value", "")
            notes[node.target.id] = " ".join(str(value).split())
    return notes


if __name__ == "__main__":
    sys.stdout.write(markdown())
