"""`wattbook ledger`: what a ledger holds, as tables for people and rows for programs."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

import typer

from api.console import note, say
from api.errors import CommandError, Exit
from api.targets import LedgerTarget

app = typer.Typer(
    help="List the trades, settlements, postings or balances of a ledger, in market units: Wh, milli-currency/MWh, "
    "nano-currency; or figures of it.",
    epilog="Example: wattbook ledger trades runs/village-seed1/ledger.db --where 'price > 200000 and source = solar'",
    no_args_is_help=True,
)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?|–")
ROWS = 50
"""Rows of a table if nobody says how many."""


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


Where = Annotated[
    str,
    typer.Option(
        help="Only rows for which this holds: FIELD = VALUE, also != < <= > >=, joined by and, or, not and "
        "parentheses. Fields are the columns.",
        metavar="CONDITION",
        show_default=False,
    ),
]
Participant = Annotated[
    str, typer.Option(help="Only rows that concern this participant or account.", metavar="NAME", show_default=False)
]
Since = Annotated[
    str,
    typer.Option("--from", help="Only deliveries from this time on, UTC.", metavar="TIME", show_default=False),
]
Until = Annotated[
    str, typer.Option("--to", help="Only deliveries before this time, UTC.", metavar="TIME", show_default=False)
]
Written = Annotated[Format, typer.Option("--format", help="table; csv with a heading; json, one object a line.")]
Limit = Annotated[
    int | None,
    typer.Option(
        help=f"At most so many rows; a table has {ROWS} by default.", min=0, metavar="ROWS", show_default=False
    ),
]


@app.command(epilog="Example: wattbook ledger trades ledger.db --where 'buyer = house-1 and price > 200000'")
def trades(
    ledger: LedgerTarget, where: Where = "", participant: Participant = "", since: Since = "", until: Until = "",
    written: Written = Format.TABLE, limit: Limit = None,
) -> None:  # fmt: skip
    """Trades in the order of the journal. The price is what the seller receives; the buyer pays the fee on top."""
    _list("trades", ledger, where, participant, written, limit, since, until)


@app.command(epilog="Example: wattbook ledger settlements ledger.db --where 'run > 1' --format csv")
def settlements(
    ledger: LedgerTarget, where: Where = "", participant: Participant = "", since: Since = "", until: Until = "",
    written: Written = Format.TABLE, limit: Limit = None,
) -> None:  # fmt: skip
    """What each run over a slot settled: metered against contracted. Money is what the run posted."""
    _list("settlements", ledger, where, participant, written, limit, since, until)


@app.command(epilog="Example: wattbook ledger postings ledger.db --where 'asset = EUR and amount < 0'")
def postings(
    ledger: LedgerTarget, where: Where = "", participant: Participant = "", written: Written = Format.TABLE,
    limit: Limit = None,
) -> None:  # fmt: skip
    """Postings as stored: what each entry gave to accounts, negative where it took."""
    _list("postings", ledger, where, participant, written, limit)


@app.command(epilog="Example: wattbook ledger balances ledger.db --where 'asset = GO:solar'")
def balances(
    ledger: LedgerTarget, where: Where = "", participant: Participant = "", written: Written = Format.TABLE,
    limit: Limit = None,
) -> None:  # fmt: skip
    """What each account received less what it gave. Every asset sums to zero."""
    _list("balances", ledger, where, participant, written, limit)


class By(StrEnum):
    """What has a row of its own."""

    MARKET = "market"
    GROUP = "group"
    PARTICIPANT = "participant"
    SOURCE = "source"


@app.command(epilog="Example: wattbook ledger metrics village.ndjson.gz --by group")
def metrics(
    ledger: LedgerTarget,
    by: Annotated[By, typer.Option(help="What has a row of its own.")] = By.MARKET,
    emissions: Annotated[
        str,
        typer.Option(
            help="Emissions in g CO2 eq/kWh by origin, such as grid=250,solar=30; else those of docs/metrics.md.",
            metavar="ORIGIN=G,...",
            show_default=False,
        ),
    ] = "",
    written: Written = Format.TABLE,
) -> None:
    """Figures from the journal alone, of a ledger or of what was exported from one, in kWh, ct/kWh, kg and currency.

    Instead of a LEDGER give an exported file just as well. A table shows the main columns, csv and json have all.

    Self-sufficiency, savings at the utility's tariff, fairness, market power, emissions and peaks, so that anyone can
    compute again what a report says. docs/metrics.md has the formulas, and which figures need more than a journal.
    """
    from agents import parts, told
    from agents.scenario import Emissions
    from market.evidence import entries_of

    factors = Emissions().model_dump() | _factors(emissions)
    found = told.read(entries_of(ledger), factors)
    if by is By.MARKET:
        given: Iterable[Mapping[Any, Any]] = [told.market(found)]
    elif by is By.SOURCE:
        given = parts.origins(found.books, found.generated).to_dict("records")
    elif by is By.PARTICIPANT:
        given = parts.participants(found.books).to_dict("records")
    else:
        each = parts.groups(parts.participants(found.books), "saved_at_tariff", "saved_at_tariff")
        given = [{"group": name, **figures} for name, figures in each.items()]
    rows = [{str(name): None if value != value else value for name, value in row.items()} for row in given]
    if by is By.MARKET and written is Format.TABLE:
        rows = [{"figure": name, "value": value} for name, value in rows[0].items()]
    if written is Format.TABLE:
        shown = _SHOWN.get(by) or list(rows[0] if rows else [])
        rows = [{name: _rounded(row[name]) for name in shown} for row in rows]
    _WRITERS[written](list(rows[0]) if rows else [], rows)


_TRADED = ("load_kwh", "generation_kwh", "bought_local_kwh", "sold_local_kwh", "self_sufficiency", "self_consumption")
_SHOWN: dict[By, list[str]] = {
    By.GROUP: ["group", "participants", *_TRADED, "bill", "saved_at_tariff", "jain", "losers_pct", "co2_kg"],
    By.PARTICIPANT: ["participant", *_TRADED, "paid_ct", "received_ct", "bill", "saved_at_tariff", "co2_kg"],
}
"""Columns of tables for people; csv and json have all."""


def _rounded(value: object) -> object:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else value


def _factors(text: str) -> dict[str, float]:
    """Emissions by origin as an option gives them. Raises CommandError with all that is wrong."""
    found, errors = {}, []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = part.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            errors.append(f"--emissions: {part!r} is no emission; write it like grid=250")
            continue
        if not 0 <= found[name.strip()] < math.inf:
            errors.append(f"--emissions: {part!r} must be a number from 0")
    if errors:
        raise CommandError(Exit.INPUT, *errors)
    return found


def _list(
    kind: str, ledger: str, where: str, participant: str, written: Format, limit: int | None, since: str = "",
    until: str = "",
) -> None:  # fmt: skip
    from market import listing
    from market.store import Ledger
    from market.where import Comparison, Condition, Joined, WhereError, parse

    fields = listing.FIELDS[kind]
    try:
        conditions: list[Condition] = [parse(where, fields)] if where else []
    except WhereError as error:
        raise CommandError(Exit.INPUT, f"--{error}") from error
    if participant:
        conditions.append(listing.of(kind, participant))
    for option, sign, time in (("--from", ">=", since), ("--to", "<", until)):
        if time:
            conditions.append(Comparison("delivery", sign, _time(option, time)))
    if limit is None and written is Format.TABLE:
        limit = ROWS
    with Ledger.open(ledger) as opened:
        found = listing.rows(opened, kind, Joined(tuple(conditions)))
        shown = found if limit is None else islice(found, limit)
        _WRITERS[written](list(fields), shown)
        if written is Format.TABLE and next(found, None) is not None:
            note(f"there are more rows than {limit}; give --limit, or --format csv for all of them")


def _time(option: str, text: str) -> str:
    """A time as rows spell it; a day stands for its midnight."""
    from market.slots import format_time, parse_time

    try:
        return format_time(parse_time(text if "T" in text else f"{text}T00:00:00Z"))
    except ValueError as error:
        told = f"{option}: {text!r} is no time; write it like 2016-06-21 or 2016-06-21T12:00:00Z ({error})"
        raise CommandError(Exit.INPUT, told) from error


def _table(names: list[str], rows: Iterable[dict[str, Any]]) -> None:
    lines = list(_cells(names, rows))
    right = [all(_NUMBER.fullmatch(line[place]) for line in lines) for place in range(len(names))]
    width = [max(len(name), *(len(line[place]) for line in lines), 0) for place, name in enumerate(names)]
    for number, line in enumerate([names, *lines]):
        cells = [
            cell.rjust(wide) if number_like else cell.ljust(wide)
            for cell, wide, number_like in zip(line, width, right, strict=True)
        ]
        say("  ".join(cells).rstrip(), "" if number else "bold")


def _csv(names: list[str], rows: Iterable[dict[str, Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(_cells(names, rows))


def _json(names: list[str], rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        sys.stdout.write(json.dumps({name: row[name] for name in names}) + "\n")


def _cells(names: list[str], rows: Iterable[dict[str, Any]]) -> Iterator[list[str]]:
    for row in rows:
        yield [_cell(row[name]) for name in names]


def _cell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_WRITERS = {Format.TABLE: _table, Format.CSV: _csv, Format.JSON: _json}
