"""Designs side by side as one HTML file, in the style of a run's report: charts, tables, nothing fetched."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from string import Template
from typing import Any

from agents.compare import MEASURES, Comparison
from agents.intervals import Interval
from api.report_html import embedded, figure, number, section, table, text
from api.report_page import asset, in_script, plotly_js
from api.version import version

_SCRIPTS = ("core.js", "compare.js")


def page(found: Comparison) -> str:
    """The whole page."""
    scenario, shown = found.scenario, _measures(found)
    title = scenario.title or scenario.name
    sections = {"charts": ("Charts", _charts(found, shown)), "means": ("Means", _means(found, shown))}
    if len(found.designs) > 1:
        sections["differences"] = ("Differences", _differences(found, shown))
    sections["designs"] = ("Designs", _designs(found))
    return Template(asset("template.html")).substitute(
        title=text(f"{title}: designs compared"),
        heading=text(title),
        lede=text(_lede(found)),
        facts=" · ".join(f"<span>{text(fact)}</span>" for fact in _facts(found)),
        alert="",
        version=text(version()),
        css=asset("report.css"),
        toc="\n".join(f'<li><a href="#{name}">{text(label)}</a></li>' for name, (label, _) in sections.items()),
        sections="\n".join(body for _, body in sections.values()),
        data=embedded(_data(found, shown)),
        plotly=in_script(plotly_js()),
        js=in_script("\n".join(asset(name) for name in _SCRIPTS)),
    )


def spread(found: Interval, digits: int, unit: str = "") -> str:
    """A mean and how far its interval reaches to either side."""
    if found.mean is None:
        return "–"
    reach = f" ± {number(found.high - found.mean, digits)}" if found.high is not None else ""
    return f"{number(found.mean, digits)}{reach}{' ' + unit if unit else ''}"


def _measures(found: Comparison) -> list[str]:
    """Figures that at least one run has."""
    return [name for name in MEASURES if found.runs[name].notna().any()]


def _lede(found: Comparison) -> str:
    designs = ", ".join(found.designs)
    return (
        f"The same days under {len(found.designs)} market designs ({designs}), {len(found.seeds)} seeds each. "
        "All designs of one seed share participants, weather and wires."
    )


def _facts(found: Comparison) -> list[str]:
    scenario = found.scenario
    low, high = min(found.seeds), max(found.seeds)
    return [
        scenario.name,
        f"{scenario.slots} slots",
        f"gate {scenario.grid.gate}",
        f"seed {low}" if low == high else f"seeds {low} to {high}",
    ]


def _charts(found: Comparison, shown: list[str]) -> str:
    figures = [
        figure(
            name,
            f"{MEASURES[name].label} by design",
            f"<strong>{text(MEASURES[name].label)}</strong>{_in_unit(found.unit(name))}",
            size="short",
        )
        for name in shown
    ]
    rows = [figures[start : start + 2] for start in range(0, len(figures), 2)]
    body = "\n".join(f'<div class="pair">{"".join(row)}</div>' for row in rows)
    note = "A dot is one seed; the diamond is the mean of all, its bar the 95 % confidence interval by Student's t."
    return section("charts", "Side by side", note, body)


def _in_unit(unit: str) -> str:
    return f", {text(unit)}" if unit else ""


def _means(found: Comparison, shown: list[str]) -> str:
    rows = [
        [
            _label(found, name),
            *(spread(found.interval(design, name), MEASURES[name].digits) for design in found.designs),
        ]
        for name in shown
    ]
    columns = [("figure", None), *((design, None) for design in found.designs)]
    note = "Mean over the seeds ± the reach of its 95 % confidence interval."
    return section("means", "Means", note, table("Every figure by design", columns, rows))


def _differences(found: Comparison, shown: list[str]) -> str:
    first, others = found.designs[0], found.designs[1:]
    rows = [[_label(found, name), *_cells(others, name, found.difference)] for name in shown]
    columns = [("figure", None), *((design, None) for design in others)]
    note = (
        f"What a design has more than {text(first)}, taken seed by seed, so that what a seed does to all designs alike "
        "is not in it. An interval without zero is a difference that the seeds agree about."
    )
    return section("differences", f"Against {text(first)}", note, table("Differences by design", columns, rows))


def _cells(designs: Sequence[str], name: str, of: Callable[[str, str], Interval]) -> list[str]:
    return [spread(of(design, name), MEASURES[name].digits) for design in designs]


def _designs(found: Comparison) -> str:
    rows = [[design, found.titles[design]] for design in found.designs]
    note = "Savings, benefits and fairness are against the same day without a local market."
    return section(
        "designs", "Designs", note, table("What was compared", [("design", None), ("what it is", None)], rows)
    )


def _label(found: Comparison, name: str) -> str:
    unit = found.unit(name)
    return f"{MEASURES[name].label} [{unit}]" if unit else MEASURES[name].label


def _data(found: Comparison, shown: list[str]) -> dict[str, Any]:
    values = {design: found.values(design) for design in found.designs}
    return {
        "designs": list(found.designs),
        "seeds": list(found.seeds),
        "measures": [
            {
                "name": name,
                "unit": found.unit(name),
                "digits": MEASURES[name].digits,
                "values": [[_plain(value) for value in values[design][name].tolist()] for design in found.designs],
                "intervals": [found.interval(design, name)._asdict() for design in found.designs],
            }
            for name in shown
        ],
    }


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
