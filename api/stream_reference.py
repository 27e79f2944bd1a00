"""The reference of the stream and of the routes as Markdown, made from the models themselves.

`python -m api.stream_reference` prints it.
"""

from __future__ import annotations

import inspect
import sys
from typing import get_args, get_type_hints

import msgspec

from api import messages, schemas
from api.message_reference import fields
from api.openapi import REPLIES, REQUESTS

_HEAD = """# The stream, message by message

What is said on `/v1/stream` and what is answered: JSON text frames, one message or, from the server, a list of them.
[The live market](live.md) tells how they go together; `/asyncapi.json` and `/openapi.json` of a running server have the
same for machines, `/docs` for people. This page is made from `api/schemas.py` and `api/messages.py` by `make docs`.

Prices are whole milli-currency per MWh, energy whole Wh, money whole nano-currency, times nanoseconds since 1970 unless
they are text (ISO 8601 UTC). Levels of a book are `[price, Wh]`.
"""


def markdown() -> str:
    """The whole page. The same program gives the same text."""
    parts = [_HEAD, "\n## What a client says\n\nThe first frame is `auth`. `id` is repeated in the answer.\n"]
    parts += [_told(kind, f"`{kind.__struct_config__.tag}`") for kind in REQUESTS]
    parts += [_told(kind, kind.__name__) for kind in (schemas.NewOrder, schemas.Change)]
    parts.append("\n## What is answered\n")
    parts += [_told(kind, f"`{kind.__struct_config__.tag}`") for kind in REPLIES]
    parts += [_told(kind, kind.__name__) for kind in (schemas.Result, schemas.Limits)]
    parts.append(
        "\n## What is heard on a channel\n\nAn update follows the message of number `prev`; a snapshot starts anew.\n"
    )
    for name, (snapshot, update) in messages.CHANNELS.items():
        parts.append(f"\n### Channel {name}\n\nSnapshot (`type` is `snapshot`):\n\n{fields(snapshot)}")
        parts.append(f"\nUpdate:\n\n{fields(update)}")
        items = get_type_hints(update).get("items")
        kinds = [kind for item in get_args(items) for kind in (get_args(item) or (item,))]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, messages.Told):
                parts.append(_item(kind))
    parts.append("\n## Parts\n")
    whole = (messages.OpenSlot, messages.SlotForecast, messages.HaltInForce, messages.Depth, messages.DepthChange)
    parts += [_told(kind, kind.__name__) for kind in (*whole, messages.OwnOrder, messages.OwnForecast)]
    parts.append(
        "\n## Codes\n\nOf the doors; those of the exchange are among [its messages](messages.md#refusals).\n\n"
    )
    parts.append("| code | meaning |\n|---|---|\n")
    parts += [f"| `{code}` | {meaning} |\n" for code, meaning in schemas.ERRORS.items()]
    return "".join(parts)


def _told(kind: type[msgspec.Struct], title: str) -> str:
    said = inspect.cleandoc(kind.__doc__ or "")
    return f"\n### {title}\n\n" + (f"{said}\n\n" if said else "") + fields(kind)


def _item(kind: type[msgspec.Struct]) -> str:
    tag, said = kind.__struct_config__.tag, inspect.cleandoc(kind.__doc__ or "")
    name = f"Item `{tag}`" if tag else "Item"
    return f"\n{name}: {said}\n\n" + fields(kind)


if __name__ == "__main__":
    sys.stdout.write(markdown())
