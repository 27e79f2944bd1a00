"""The summary that a run prints: the figures of the report's head, groups, and what the gate refused."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from agents.results import Results
from api.console import out
from api.report_figures import headline, limit_words
from market.orders import MarketSettings

MOST_LIMITS = 8
"""Limits that are listed by name."""
ROOMY = 100
"""Columns of a terminal from which tables get two spaces between columns, and one below."""


def show(results: Results, settings: MarketSettings) -> None:
    """Print the summary of a finished run."""
    summary = results.summary
    out().print(_figures(summary, settings))
    out().print(_groups(summary))
    if results.limited.shape[0]:
        out().print(_limits(results))


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, header_style="dim", pad_edge=False,
        collapse_padding=out().width < ROOMY,
    )  # fmt: skip
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right", vertical="bottom", no_wrap=place == 0)
    return table


def _plain(text: str) -> str:
    """Numbers as a terminal shows them everywhere, and as they can be pasted into other programs."""
    return text.replace("\u202f", ",").replace("\u2212", "-")


def _figures(summary: dict[str, Any], settings: MarketSettings) -> Table:
    table = Table(
        title=Text(f"{summary['title'] or summary['scenario']}, seed {summary['seed']}"),
        title_justify="left", title_style="bold", box=None, show_header=False, pad_edge=False,
    )  # fmt: skip
    for tile in headline(summary, settings):
        style = {"good": "green", "bad": "red"}.get(tile["tone"], "")
        value = _plain(f"{tile['value']} {tile['unit']}".strip())
        table.add_row(tile["label"], f"[{style}]{value}[/]" if style else value, Text(_plain(tile["note"]), "dim"))
    return table


def _groups(summary: dict[str, Any]) -> Table:
    unit = summary["currency"]
    compared = "without_local_trading" in summary
    names = [f"saved\n{unit}", f"gain\n{unit}", "self-\nsuff. %", "without\n%"] if compared else ["self-\nsuff. %"]
    table = _table(
        "\nGroups, and their trade with neighbours",
        "group",
        "members",
        "bought\nkWh",
        "sold\nkWh",
        f"bill\n{unit}",
        *names,
    )
    for name, group in summary["groups"].items():
        more = [_percent(group["self_sufficiency"])]
        if compared:
            more = [
                f"{group['saving']:.2f}",
                f"{group['benefit']:.2f}",
                *more,
                _percent(group["self_sufficiency_without"]),
            ]
        table.add_row(
            name, str(group["participants"]), f"{group['bought_local_kwh']:.1f}", f"{group['sold_local_kwh']:.1f}",
            f"{group['bill']:.2f}", *more,
        )  # fmt: skip
    return table


def _limits(results: Results) -> Table:
    limited = results.limited
    sums = limited.groupby("element")[["wanted_kwh", "admitted_kwh"]].sum()
    sums["times"] = limited.groupby("element").size()
    sums = sums.sort_values(["times", "wanted_kwh"], ascending=False)
    table = _table("\nLimits that matches met", "limit", "times", "wanted kWh", "carried kWh")
    for row in sums.head(MOST_LIMITS).itertuples():
        table.add_row(
            Text(", ".join(limit_words(str(row.Index)))),
            f"{row.times:,}",
            f"{row.wanted_kwh:.2f}",
            f"{row.admitted_kwh:.2f}",
        )
    if len(sums) > MOST_LIMITS:
        rest = sums.iloc[MOST_LIMITS:]
        table.add_row(
            f"{len(rest)} others",
            f"{rest['times'].sum():,}",
            f"{rest['wanted_kwh'].sum():.2f}",
            f"{rest['admitted_kwh'].sum():.2f}",
        )
    return table


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f}"
