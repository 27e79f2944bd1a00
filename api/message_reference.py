"""The reference of commands, events and refusals as Markdown, made from the messages themselves.

`python -m api.message_reference` prints it.
"""

from __future__ import annotations

import ast
import inspect
import sys
from itertools import pairwise
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
    "ch": "The channel.",
    "seq": "Number of the message.",
    "prev": "Number of the channel's message before it.",
    "poss_dup": "The client may have seen it before.",
    "time": "ISO 8601, UTC.",
    "filled": "Wh traded of it.",
    "flexible": "Whether it asks for power beyond the baseline.",
    "metered": "Wh, injection positive.",
    "contracted": "Wh, sold less bought.",
    "imbalance": "Wh, metered less contracted.",
    "run": "Number of the settlement run.",
    "loss_w": "Losses of the feeder [W].",
    "source_w": "What the feeder takes from above [W].",
    "violations": "Limits that are broken.",
    "supply": "Wh.",
    "demand": "Wh.",
    "constraint": "What bound, such as `branch:line 3` or `bus:far:high`.",
    "id": "Repeated in the answer.",
    "scope": "What the halt is about.",
    "closed": "The slot trades no more.",
    "bids": "[price, Wh], best first.",
    "asks": "[price, Wh], best first.",
    "trade": "Name of the trade.",
    "binding": "Limits that bound, such as `branch:line 3`.",
    "halted": "Whether its orders are refused.",
}
"""What a field of this name means wherever the message itself says no more."""


def markdown() -> str:
    """The whole page. The same program gives the same text."""
    parts = [_HEAD]
    for title, union in (("Commands", orders.Command), ("Events", events.Event)):
        parts.append(f"\n## {title}\n")
        parts += [_message(kind) for kind in get_args(union)]
    parts.append("\n## Refusals\n\nCodes of the event `rejected`. A refused command changes nothing.\n\n")
    parts.append("| code | meaning |\n|---|---|\n")
    parts += [f"| `{code}` | {meaning} |\n" for code, meaning in CODES.items()]
    return "".join(parts) + _settings()


def _settings() -> str:
    said = inspect.cleandoc(orders.MarketSettings.__doc__ or "")
    tariff = inspect.cleandoc(orders.NetworkTariff.__doc__ or "")
    rules = f"\n## Settings of a market\n\n{said}\n\n" + fields(orders.MarketSettings)
    return rules + f"\n### network_tariff\n\n{tariff}\n\n" + fields(orders.NetworkTariff)


def _message(kind: type[msgspec.Struct]) -> str:
    tag = kind.__struct_config__.tag
    said = inspect.cleandoc(kind.__doc__ or "")
    return f"\n### {tag}\n\n`{tag}`" + (f": {said}\n\n" if said else "\n\n") + fields(kind)


def fields(kind: type[msgspec.Struct]) -> str:
    """A table of the fields of a message, those of its bases among them."""
    types: dict[str, str] = {}
    notes: dict[str, str] = {}
    for base in reversed(kind.__mro__[: kind.__mro__.index(msgspec.Struct)]):
        types |= _types(base)
        notes |= _notes(base)
    rows = [
        f"| `{field.encode_name}` | {types[field.name]} | {_default(field)} "
        f"| {notes.get(field.name) or _USUAL.get(field.name, '')} |\n"
        for field in msgspec.structs.fields(kind)
    ]
    return "| field | type | default | meaning |\n|---|---|---|---|\n" + "".join(rows)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is not msgspec.NODEFAULT:
        return "`" + msgspec.json.encode(field.default).decode() + "`"
    if field.default_factory is msgspec.NODEFAULT:
        return ""
    return "`" + msgspec.json.encode(field.default_factory()).decode() + "`"


def _body(kind: type) -> list[ast.stmt]:
    """What is written in a class."""
    (written,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(written, ast.ClassDef)
    return written.body


def _types(kind: type) -> dict[str, str]:
    """Types of the fields as they are written in the class itself."""
    found: dict[str, str] = {}
    for node in _body(kind):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            written = ast.unparse(node.annotation)
            literal = written.startswith("Literal[")
            named = getattr(sys.modules[kind.__module__], written, None)
            values = ast.literal_eval(f"({written[8:-1]},)") if literal else ()
            values = get_args(named) if get_origin(named) is Literal else values
            choices = " or ".join(f'`"{value}"`' for value in values)
            found[node.target.id] = choices or written.replace("|", "or")
    return found


def _notes(kind: type) -> dict[str, str]:
    """The text below a field of the class itself that says what it is."""
    notes: dict[str, str] = {}
    for node, following in pairwise(_body(kind)):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(following, ast.Expr):
            value: Any = getattr(following.value, "value", "")
            notes[node.target.id] = " ".join(str(value).split())
    return notes


if __name__ == "__main__":
    sys.stdout.write(markdown())
