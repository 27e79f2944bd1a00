"""The page `/docs`: routes, frames and codes in plain HTML, made from the documents beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from api import schemas
from market.rules import CODES

STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #8884}
code{font-family:ui-monospace,monospace;font-size:.9em}
"""


def page(openapi: dict[str, Any], asyncapi: dict[str, Any]) -> str:
    """The whole page; needs no script and no other host."""
    codes = [(_code(code), escape(text)) for code, text in (schemas.ERRORS | CODES).items()]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Wattbook: API</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head><body>
<h1>Wattbook: API</h1>
<p>For machines: <a href="/openapi.json">/openapi.json</a>, <a href="/asyncapi.json">/asyncapi.json</a>. Routes marked
with a key want the header <code>Authorization: Bearer TOKEN</code>.</p>
<h2>Routes</h2>{_table(("route", "answer", "what it does"), _routes(openapi))}
<h2>Stream</h2><p>A websocket at <code>/v1/stream</code>.</p>
{_table(("message", "fields", "meaning"), _messages(asyncapi))}
<h2>Codes</h2>{_table(("code", "meaning"), codes)}
</body></html>
"""


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th scope='col'>{name}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _routes(document: dict[str, Any]) -> Sequence[tuple[str, ...]]:
    rows = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            key = " 🔑" if operation.get("security") else ""
            content = operation["responses"]["200"].get("content", {}).get("application/json", {}).get("schema", {})
            rows.append(
                (
                    _code(f"{method.upper()} {path}") + key,
                    _code(content.get("$ref", "").rpartition("/")[2] or "file"),
                    escape(operation.get("description", "")),
                )
            )
    return rows


def _messages(document: dict[str, Any]) -> Sequence[tuple[str, ...]]:
    schemas_ = document["components"]["schemas"]
    return [
        (
            _code(name),
            " ".join(_code(field) for field in schemas_[name].get("properties", {})),
            escape(schemas_[name].get("description", "")),
        )
        for name in document["components"]["messages"]
    ]
