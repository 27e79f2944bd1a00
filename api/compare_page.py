"""Scenarios or designs side by side as one HTML file, in the style of a run's report; it fetches nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from string import Template
from typing import Any

from agents.compare import DESIGN, Comparison
from agents.intervals import Interval
from agents.measures import GROUP_MEASURES, MEASURES
from api.report_html import embedded, figure, folded, number, section, table, text
from api.report_page import asset, in_script, plotly_js
from api.version import version

_SCRIPTS = ("core.js", "compare.js")
MOST_RELATIVE = 250.0
"""Differences [% of the first column's mean] beyond which the overview draws an arrow."""
MOST_TOGETHER = 3
"""Columns that the overview draws at once; of more it draws one, which can be chosen."""
NOT_IN_OVERVIEW = ("seconds",)
Rows = list[list[str | int | float | None]]


def page(found: Comparison) -> str:
    """The whole page."""
    scenario, shown = found.scenario, _measures(found)
    title = (scenario.title or scenario.name) if found.axis == DESIGN else "Scenarios side by side"
    several = len(found.columns) > 1
    moving = [name for name in shown if _moves(found, name)]
    sections = {"overview": ("Overview", _overview(found, moving))} if several else {}
    sections["charts"] = ("Charts", _charts(found, shown, moving or shown))
    sections["means"] = ("Means", _means(found, shown))
    if several:
        sections["differences"] = ("Differences", _differences(found, shown))
    sections["groups"] = ("Groups", _groups(found))
    sections["columns"] = (found.axis.capitalize() + "s", _columns(found))
    return Template(asset("template.html")).substitute(
        title=text(f"{title}: {found.axis}s compared"),
        heading=text(title),
        lede=text(_lede(found)),
        facts=" · ".join(f"<span>{text(fact)}</span>" for fact in _facts(found)),
        alert=_alert(found),
        version=text(version()),
        css=asset("report.css"),
        toc="\n".join(f'<li><a href="#{name}">{text(label)}</a></li>' for name, (label, _) in sections.items()),
        sections="\n".join(body for _, body in sections.values()),
        data=embedded(_data(found, moving or shown)),
        plotly=in_script(plotly_js()),
        js=in_script("\n".join(asset(name) for name in _SCRIPTS)),
    )


def spread(found: Interval, digits: int, unit: str = "") -> str:
    """A mean and how far its interval reaches to either side."""
    if found.mean is None:
        return "–"
    reach = f" ± {number(found.high - found.mean, digits)}" if found.high is not None else ""
    return f"{number(found.mean, digits)}{reach}{' ' + unit if unit else ''}"


def clear(found: Interval) -> bool:
    """Whether zero is outside of an interval."""
    return found.low is not None and found.high is not None and not found.low <= 0 <= found.high


def _measures(found: Comparison) -> list[str]:
    """Figures that at least one run has."""
    return [name for name in MEASURES if found.runs[name].notna().any()]


def _moves(found: Comparison, name: str) -> bool:
    """Whether a figure is not the same in all runs."""
    return found.runs[name].nunique(dropna=False) > 1


def _lede(found: Comparison) -> str:
    columns = ", ".join(found.columns)
    runs = f"{len(found.seeds)} seed{'s' if len(found.seeds) > 1 else ''} each"
    if found.axis == DESIGN:
        return (
            f"The same days under {len(found.columns)} market designs ({columns}), {runs}. "
            "All designs of one seed share participants, weather and wires."
        )
    return f"{len(found.columns)} scenarios ({columns}), {runs}, the same seeds for all."


def _facts(found: Comparison) -> list[str]:
    scenarios = found.scenarios.values()
    low, high = min(found.seeds), max(found.seeds)
    lengths = list(dict.fromkeys(f"{scenario.slots} slots" for scenario in scenarios))
    gates = list(dict.fromkeys(f"gate {scenario.grid.gate}" for scenario in scenarios))
    return [
        *([found.scenario.name] if found.axis == DESIGN else []),
        " or ".join(lengths),
        " or ".join(gates),
        f"seed {low}" if low == high else f"seeds {low} to {high}",
        f"{len(found.runs)} runs",
    ]


def _alert(found: Comparison) -> str:
    wanted = len(found.columns) * len(found.seeds)
    if len(found.runs) == wanted:
        return ""
    failed = "".join(f"<br>{text(one)}" for one in found.failures[:8])
    more = f"<br>and {len(found.failures) - 8} more" if len(found.failures) > 8 else ""
    return (
        f'<p class="notice alert"><strong>Only {len(found.runs)} of {wanted} runs are in these figures.</strong>'
        f"{failed}{more}</p>"
    )


def _overview(found: Comparison, moving: list[str]) -> str:
    first, others = found.columns[0], found.columns[1:]
    drawn = _relative(found, moving)
    caption = (
        f"<strong>What differs from {text(first)}</strong>, in percent of its mean, with the 95 % confidence interval "
        "of the difference taken seed by seed. Filled: zero is outside of the interval."
    )
    controls = _choice(found.axis, others) if len(others) > MOST_TOGETHER else ""
    rows = max(len(drawn), 1) * (1 if controls else len(others))
    size = "short" if rows < 10 else "" if rows < 16 else "tall" if rows < 30 else "tower"
    body = (
        figure("overview", f"Differences from {first} in percent", caption, size=size, controls=controls)
        if drawn
        else ""
    )
    note = (
        "A difference that all seeds agree about is one of the market; an interval that holds zero may be luck. "
        "The tables below have the same in units."
    )
    return section("overview", f"Against {text(first)}", note, body)


def _choice(axis: str, others: Sequence[str]) -> str:
    options = "".join(f'<option value="{place}">{text(name)}</option>' for place, name in enumerate(others))
    return (
        f'<div class="controls"><label for="overview-of">{text(axis.capitalize())}</label>'
        f'<select id="overview-of">{options}</select></div>'
    )


def _relative(found: Comparison, moving: list[str]) -> list[dict[str, Any]]:
    """Per measure that has a mean in the first column: the differences of the other columns in percent of it."""
    drawn = []
    for name in moving:
        base = found.interval(found.columns[0], name).mean
        if not base or name in NOT_IN_OVERVIEW:
            continue
        beyond = [found.difference(column, name) for column in found.columns[1:]]
        if any(one.mean for one in beyond):
            scaled = [[None if end is None else 100 * end / abs(base) for end in one[:3]] for one in beyond]
            said = [spread(one, MEASURES[name].digits, found.unit(name)) for one in beyond]
            sure = [clear(one) for one in beyond]
            drawn.append({"label": MEASURES[name].label, "differences": scaled, "clear": sure, "said": said})
    return drawn


def _charts(found: Comparison, shown: list[str], moving: list[str]) -> str:
    figures = [
        figure(
            name,
            f"{MEASURES[name].label} by {found.axis}",
            f"<strong>{text(MEASURES[name].label)}</strong>{_in_unit(found.unit(name))}",
            size="short",
        )
        for name in moving
    ]
    rows = [figures[start : start + 2] for start in range(0, len(figures), 2)]
    body = "\n".join(f'<div class="pair">{"".join(row)}</div>' for row in rows)
    note = (
        "A dot is one run, a thin line joins those of one seed; the diamond is the mean of all, its bar the 95 % "
        "confidence interval by Student's t."
    )
    still = [MEASURES[name].label for name in shown if name not in moving]
    if still:
        note += f" The same in every run, and so not drawn: {text(', '.join(still))}."
    return section("charts", "Side by side", note, body)


def _in_unit(unit: str) -> str:
    return f", {text(unit)}" if unit else ""


def _means(found: Comparison, shown: list[str]) -> str:
    rows = [[_label(found, name), *_cells(found.columns, name, found.interval)] for name in shown]
    columns = [("figure", None), *((column, 0) for column in found.columns)]
    note = "Mean over the seeds ± the reach of its 95 % confidence interval."
    return section("means", "Means", note, table(f"Every figure by {found.axis}", columns, rows))


def _differences(found: Comparison, shown: list[str]) -> str:
    first, others = found.columns[0], found.columns[1:]
    rows = [[_label(found, name), *_cells(others, name, found.difference, marked=True)] for name in shown]
    columns = [("figure", None), *((column, 0) for column in others)]
    note = (
        f"What a {found.axis} has more than {text(first)}, taken seed by seed, so that what a seed does to all alike "
        "is not in it. A star marks an interval without zero: a difference that the seeds agree about."
    )
    return section("differences", "Differences", note, table(f"Differences from {first}", columns, rows))


def _cells(columns: Sequence[str], name: str, of: Callable[[str, str], Interval], marked: bool = False) -> list[str]:
    found = [of(column, name) for column in columns]
    return [spread(one, MEASURES[name].digits) + (" *" if marked and clear(one) else "") for one in found]


def _groups(found: Comparison) -> str:
    names = list(dict.fromkeys(found.groups["group"]))
    first, *others = GROUP_MEASURES
    size = "tower" if len(names) * len(found.columns) > 40 else "tall" if len(names) > 6 else ""
    label = GROUP_MEASURES[first].label
    unit = found.unit(first, GROUP_MEASURES)
    caption = f"<strong>{text(label)}</strong>{_in_unit(unit)}: mean over the seeds with its 95 % confidence interval."
    body = figure("groups", f"{label} by group", caption, size=size)
    body += table(f"{label}{_in_unit(unit)}", *_of_groups(found, names, first))
    for name in others:
        title = f"{GROUP_MEASURES[name].label}{_in_unit(found.unit(name, GROUP_MEASURES))}"
        body += folded(title, table(f"{title}, by group", *_of_groups(found, names, name)))
    note = "The groups of participants behind the means, as the scenarios name them. A dash: no such group or figure."
    return section("groups", "Groups", note, body)


def _of_groups(found: Comparison, names: Sequence[str], measure: str) -> tuple[list[tuple[str, int | None]], Rows]:
    digits = GROUP_MEASURES[measure].digits
    rows: Rows = [
        [name, *(spread(found.group_interval(column, name, measure), digits) for column in found.columns)]
        for name in names
    ]
    return [("group", None), *((column, 0) for column in found.columns)], rows


def _columns(found: Comparison) -> str:
    heads = [(found.axis, None), ("what it is", None), ("slots", 0), ("gate", None)]
    rows: Rows = [
        [name, found.titles[name], scenario.slots, scenario.grid.gate] for name, scenario in found.scenarios.items()
    ]
    note = "Savings, benefits and fairness are against the same day without a local market."
    return section("columns", found.axis.capitalize() + "s", note, table("What was compared", heads, rows))


def _label(found: Comparison, name: str) -> str:
    unit = found.unit(name)
    return f"{MEASURES[name].label} [{unit}]" if unit else MEASURES[name].label


def _data(found: Comparison, shown: list[str]) -> dict[str, Any]:
    values = {column: found.values(column).reindex(list(found.seeds)) for column in found.columns}
    several = len(found.columns) > 1
    return {
        "columns": list(found.columns),
        "seeds": list(found.seeds),
        "groups": _group_data(found),
        "overview": {"most": MOST_RELATIVE, "rows": _relative(found, shown)} if several else None,
        "measures": [
            {
                "name": name,
                "unit": found.unit(name),
                "digits": MEASURES[name].digits,
                "values": [[_plain(value) for value in values[column][name].tolist()] for column in found.columns],
                "intervals": [found.interval(column, name)._asdict() for column in found.columns],
            }
            for name in shown
        ],
    }


def _group_data(found: Comparison) -> dict[str, Any]:
    name = next(iter(GROUP_MEASURES))
    names = list(dict.fromkeys(found.groups["group"]))
    return {
        "names": names,
        "unit": found.unit(name, GROUP_MEASURES),
        "digits": GROUP_MEASURES[name].digits,
        "intervals": [
            [found.group_interval(column, group, name)._asdict() for group in names] for column in found.columns
        ],
    }


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
