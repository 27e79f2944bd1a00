"""Small pieces of HTML for the report: escaped text, tables, figures. Every value from outside passes `text`."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

Cell = str | int | float | None


def text(value: object) -> str:
    """`value` as text that is safe inside an element or a quoted attribute."""
    return html.escape(str(value), quote=True)


def embedded(value: Any) -> str:
    """JSON that is safe inside a script element: no character can end the element or start a comment.

    Raises ValueError for NaN or infinity, which JSON cannot carry.
    """
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return body.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def number(value: Cell, digits: int = 2) -> str:
    """A number for people, thousands apart by a thin space; a dash for what is missing."""
    if value is None or value != value:
        return "–"
    if isinstance(value, str):
        return text(value)
    return f"{value:,.{digits}f}".replace(",", "\u202f").replace("-", "\u2212")


def table(caption: str, columns: Sequence[tuple[str, int | None]], rows: Iterable[Sequence[Cell]]) -> str:
    """A table whose first column heads its rows.

    `columns` are (heading, digits after the point); digits None marks a column of text.
    """
    head = "".join(f'<th scope="col"{_align(digits)}>{text(heading)}</th>' for heading, digits in columns)
    lines = []
    for row in rows:
        cells = [
            _cell(value, digits, index == 0)
            for index, (value, (_, digits)) in enumerate(zip(row, columns, strict=True))
        ]
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}"><table>'
        f"<caption><span>{text(caption)}</span></caption><thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(lines)
        + "\n</tbody></table></div>"
    )


def folded(summary: str, body: str) -> str:
    """`body` behind a line that opens it."""
    return f"<details><summary>{text(summary)}</summary>{body}</details>"


def figure(chart: str, label: str, caption: str, *, size: str = "", controls: str = "", after: str = "") -> str:
    """A chart's place: its caption, its controls, the node it is drawn in, and a table for those who cannot see it."""
    kind = f"chart {size}".strip()
    return (
        f"<figure><figcaption>{caption}</figcaption>{controls}"
        f'<div class="{kind}" id="chart-{text(chart)}" role="img" aria-label="{text(label)}"></div>{after}</figure>'
    )


def section(name: str, heading: str, note: str, body: str) -> str:
    return (
        f'<section id="{text(name)}" aria-labelledby="{text(name)}-h"><h2 id="{text(name)}-h">{text(heading)}</h2>'
        f'<p class="note">{note}</p>\n{body}\n</section>'
    )


def _align(digits: int | None) -> str:
    return ' class="text"' if digits is None else ""


def _cell(value: Cell, digits: int | None, heads: bool) -> str:
    content = text("–" if value is None else value) if digits is None else number(value, digits)
    if heads:
        return f'<th scope="row"{_align(digits)}>{content}</th>'
    return f"<td{_align(digits)}>{content}</td>"
