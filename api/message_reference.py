"""The reference of commands, events and refusals as Markdown, made from the messages themselves.

`python -m api.message_reference` prints it.
"""

from __future__ import annotations

import ast
import inspect
import sys
from itertools import pairwise
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

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

_USUAL = {
    "participant": "Name under which it is registered.",
    "connection": "Name of a connection of the feeder.",
    "slot": "Number of the delivery slot.",
    "now": "ISO 8601, UTC; not before the last one.",
    "side": "Buy: a plan to withdraw. Sell: a plan to inject.",
    "price": "milli-currency/MWh; on the tick grid from floor to cap.",
    "quantity": "Wh.",
    "time_in_force": "Good till the gate closes, or immediate or cancel.",
    "client_order_id": "The participant's own name for the order.",
    "order": "Number of the order.",
    "resting": "The order that was in the book: its side, or its number.",
    "sell_flexible": "The same for the seller.",
    "wanted": "Wh.",
    "admitted": "Wh.",
    "buyer": "Name of the participant.",
    "seller": "Name of the participant.",
    "buy_order": "Number of the order.",
    "sell_order": "Number of the order.",
    "source": "Origin of the energy; empty if none was claimed.",
    "code": "One of the refusals below.",
    "reason": "For people: the value at fault and the way out.",
    "field": "Name of the field at fault.",
    "why": "Reason.",
    "baseline": "Wh per connection, in the feeder's order.",
    "reactive": "varh per connection, in the feeder's order; empty: zero.",
    "readings": "Wh by participant, injection positive.",
    "lines": "See above.",
    "settings": "See [below](#settings-of-a-market).",
    "priority": "Whether the order kept its place in the queue.",
    "currency": "Such as EUR; the asset of all money in the ledger.",
    "slot_seconds": "Length of a slot.",
    "opens_before_seconds": "How long before its delivery a slot opens.",
    "gate_before_seconds": "How long before its delivery a slot's gate closes.",
    "tick": "Prices are the floor and whole ticks above it.",
    "price_floor": "Least price.",
    "price_cap": "Largest price.",
    "gate": "How a match is checked: not, by rows of the tangent, by rows with a certificate, by AC power flow.",
    "netting": "What the wires must carry: the schedule of all, or also those of the sellers and of the buyers alone.",
    "voltage_min_ppm": "Least voltage of a bus, in millionths of its rated one.",
    "voltage_max_ppm": "Largest voltage of a bus, in millionths of its rated one.",
    "loading_max_ppm": "Largest loading of a branch, in millionths of its rating.",
    "unbalance_max_ppm": "Largest voltage unbalance factor of a bus with three phases, in millionths.",
    "retail": "Price at which the utility sells.",
    "feed_in": "Price at which the utility buys.",
    "name": "Name of the market.",
}
"""What a field of this name means wherever the message itself says no more."""


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
    tariff = inspect.cleandoc(orders.NetworkTariff.__doc__ or "")
    rules = f"\n## Settings of a market\n\n{said}\n\n" + fields(orders, orders.MarketSettings)
    return rules + f"\n### network_tariff\n\n{tariff}\n\n" + fields(orders, orders.NetworkTariff)


def _message(module: ModuleType, kind: type[msgspec.Struct]) -> str:
    tag = kind.__struct_config__.tag
    said = inspect.cleandoc(kind.__doc__ or "")
    return f"\n### {tag}\n\n`{tag}`" + (f": {said}\n\n" if said else "\n\n") + fields(module, kind)


def fields(module: ModuleType, kind: type[msgspec.Struct]) -> str:
    """A table of the fields that a message of a module has beside those of its base."""
    notes = _notes(module, kind.__name__)
    types = _types(module, kind.__name__)
    rows = [
        f"| `{field.encode_name}` | {types[field.name]} | {_default(field)} "
        f"| {notes.get(field.name) or _USUAL.get(field.name, '')} |\n"
        for field in msgspec.structs.fields(kind)
        if field.name in types  # else it is its base's
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
            written = ast.unparse(node.annotation)
            literal = written.startswith("Literal[")
            named = getattr(module, written, None)
            values = ast.literal_eval(f"({written[8:-1]},)") if literal else ()
            values = get_args(named) if get_origin(named) is Literal else values
            choices = " or ".join(f'`"{value}"`' for value in values)
            found[node.target.id] = choices or written.replace("|", "or")
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
