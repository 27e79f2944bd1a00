"""A participant's statement as one HTML page that prints well, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from importlib.resources import files
from itertools import groupby
from string import Template

from api.report_html import number, text
from market.statement import ITEMS, Line, Statement
from market.units import NANO


def money(nano: int) -> str:
    """Currency with all its nine digits, exact."""
    whole, part = divmod(abs(nano), NANO)
    return f"{'-' if nano < 0 else ''}{whole}.{part:09d}"


def as_csv(found: Statement) -> str:
    """Lines per day, then the totals, which have no day. Energy in Wh, money in whole currency, received positive."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["day", "item", "source", "run", "wh", f"money_{found.currency.lower()}"])
    for line in found.lines:
        writer.writerow([*line[:5], money(line.money)])
    for line in found.totals():
        writer.writerow(["", line.item, line.source, "", line.wh, money(line.money)])
    writer.writerow(["", "total", "", "", "", money(found.money)])
    return file.getvalue()


def page(found: Statement, origin: Iterable[tuple[str, str]]) -> str:
    """The whole page; `origin` are (label, value) of what it was made from."""
    kind = "Corrections" if found.corrections else "Statement"
    template = files("api").joinpath("assets", "statement", "statement.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        title=text(f"{kind} {found.month}: {found.participant}"),
        heading=text(f"{kind} for {found.participant}"),
        lede=text(_lede(found)),
        verb="To be paid" if found.money < 0 else "To be received",
        tone="owes" if found.money < 0 else "gets",
        money=f"{number(abs(found.money) / NANO)} {text(found.currency)}",
        notices="\n".join(f'<p class="notice">{text(notice)}</p>' for notice in _notices(found)),
        totals=_totals(found),
        days=_days(found),
        source="".join(f"<dt>{text(label)}</dt><dd>{text(value)}</dd>" for label, value in origin),
    )


def _lede(found: Statement) -> str:
    if found.corrections:
        told = f"{found.slots} corrections of slots" if found.slots != 1 else "one correction of a slot"
        return f"Market {found.market}, deliveries of {found.month} (UTC), {told}. Only differences are listed."
    return f"Market {found.market}, deliveries of {found.month} (UTC), {found.slots} slots settled."


def _notices(found: Statement) -> list[str]:
    notices = []
    if found.open:
        notices.append(f"Provisional: {found.open} slots with trades of this month are not settled yet.")
    if found.estimated:
        notices.append(f"{found.estimated} slots had no meter reading and were settled as contracted.")
    return notices


def _totals(found: Statement) -> str:
    rows = [_row(f"{_name(line)}<small>{text(ITEMS[line.item])}</small>", line) for line in found.totals()]
    rows.append(f'<tr class="total"><td>Total</td><td></td><td class="n">{_shown(found.money)}</td></tr>')
    return _table(["Item", "kWh", found.currency], rows)


def _days(found: Statement) -> str:
    rows = []
    for day, lines in groupby(found.lines, lambda line: line.day):
        rest = list(lines)
        rows += [_row(_name(line), line, day if place == 0 else "") for place, line in enumerate(rest)]
        total = sum(line.money for line in rest)
        rows.append(f'<tr><th scope="row"></th><th>Sum of the day</th><td></td><th class="n">{_shown(total)}</th></tr>')
    return _table(["Day", "Item", "kWh", found.currency], rows)


def _row(name: str, line: Line, day: str | None = None) -> str:
    head = "" if day is None else f'<th scope="row">{text(day)}</th>'
    amount = "" if line.item.startswith("origin") else _shown(line.money)
    return f'<tr>{head}<td>{name}</td><td class="n">{number(line.wh / 1000, 3)}</td><td class="n">{amount}</td></tr>'


def _table(columns: list[str], rows: list[str]) -> str:
    numbers = len(columns) - 2
    head = "".join(
        f'<th scope="col"{" class=n" if place >= numbers else ""}>{text(name)}</th>'
        for place, name in enumerate(columns)
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _name(line: Line) -> str:
    source = f", {line.source}" if line.source else ""
    run = f", run {line.run}" if line.run > 1 else ""
    return text(line.item[0].upper() + line.item[1:] + source + run)


def _shown(nano: int) -> str:
    return number(nano / NANO, 4)
