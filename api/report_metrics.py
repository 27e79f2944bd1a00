"""The section of the report on who gained and what the air got: per participant, group and origin of energy."""

from __future__ import annotations

from typing import Any

import pandas as pd

from agents.results import Results
from api.report_html import figure, folded, number, section, table
from api.report_sections import Data


def collect(results: Results) -> dict[str, Any]:
    """Figures of groups and origins, and each participant's gain: against the day without a local market if it was run,
    else against the utility's tariff for the same energy.
    """
    people, summary = results.participants, results.summary
    compared = "benefit" in people
    gain = "benefit" if compared else "saved_at_tariff"
    return {
        "compared": compared,
        "groups": [{"name": name} | {key: row.get(key) for key in _GROUP} for name, row in summary["groups"].items()],
        "sources": [{"name": name, **row} for name, row in summary["sources"].items()],
        "gains": [
            {"group": str(name), "names": rows["participant"].tolist(), "gains": _rounded(rows[gain])}
            for name, rows in people.groupby("group", sort=False)
        ],
        "market": _market(summary),
        "people": [[_plain(value) for value in row] for row in _people(people, gain)],
    }


_GROUP = (
    "participants", "self_sufficiency", "self_consumption", "share_of_sales", "jain", "gini", "losers_pct",
    "profit_dispersion", "co2_kg", "g_per_kwh", "g_per_kwh_without", "benefit", "saved_at_tariff",
)  # fmt: skip


def _people(people: pd.DataFrame, gain: str) -> list[tuple[Any, ...]]:
    columns = [
        "participant",
        "self_sufficiency",
        "self_consumption",
        "import_kw",
        "export_kw",
        "paid_ct",
        "received_ct",
    ]
    return list(people[[*columns, gain, "co2_kg"]].itertuples(index=False, name=None))


def _market(summary: dict[str, Any]) -> list[list[str]]:
    """What is said of the whole market: figure, value, and how to read it."""
    power, price, unit = summary["market_power"], summary["price"], summary["currency"]
    fair = summary.get("fairness")
    rows = [
        ["Price spread", number(price["spread_ct"]) + " ct/kWh", "highest less lowest local price"],
        ["Price deviation", number(price["deviation_ct"]) + " ct/kWh", "of the mean, weighted by energy"],
        [
            "Concentration of sellers",
            number(power["hhi_sellers"], 3),
            "Herfindahl-Hirschman: 1/n for n alike, 1 for one",
        ],
        ["Concentration of buyers", number(power["hhi_buyers"], 3), "the same of what was bought"],
        ["Lerner's index", number(power["lerner"], 3), "margin of local sellers over their cost, of what they got"],
        [
            "Least residual supply",
            number(power["residual_supply_min"], 2),
            f"without the largest seller, over all wants; below 1 in {power['pivotal_slots']} slots",
        ],
    ]
    if fair:
        rows += [
            ["Jain's index", number(fair["jain"], 3), "of the gains: 1 if all gain the same, 1/n if one has it all"],
            ["Gini's coefficient", number(fair["gini"], 3), "of the savings: 0 if all save the same"],
            ["Worse off", number(fair["losers_pct"], 1) + " %", "of the participants"],
            ["Dispersion", f"{number(fair['profit_dispersion'], 3)} {unit}", "of the gains about their mean"],
        ]
    return rows


def metrics(data: Data) -> str:
    """The section."""
    found = data.get("metrics")
    if not found:
        return ""
    unit, compared = data["currency"], found["compared"]
    gain = "gain" if compared else "saving at the tariff"
    body = (
        '<div class="pair">'
        + figure(
            "gains",
            f"{gain.capitalize()} of each participant, by group",
            f"<strong>{gain.capitalize()} of each participant.</strong> A dot is one; the box holds the middle half of "
            "its group, its line is the median.",
            size="tall" if len(found["gains"]) > 6 else "",
        )
        + figure(
            "emissions",
            "Emissions per consumption, by group",
            "<strong>Emissions per kWh consumed</strong>, by contract: a neighbour's energy counts with its origin, "
            "the utility's as the grid's.",
            size="tall" if len(found["gains"]) > 6 else "",
        )
        + "</div>"
        + table("Groups: how evenly gains fell, who sold, what consumption emitted", *_groups(found, unit))
        + table("Origins of energy", *_sources(found))
        + table("The market as a whole", [("figure", None), ("value", 0), ("what it says", None)], found["market"])
        + folded("Table: every participant", table("Figures by participant", *_participants(found, unit, gain)))
    )
    note = (
        "Gains are against the same day without a local market."
        if compared
        else "Savings are what the metered energy would have cost at the utility's tariff, less the bill."
    )
    note += (
        " Most of this follows from the ledger alone: <code>wattbook ledger metrics</code> computes it again, from an "
        "export too."
    )
    return section("metrics", "Fairness, market power, emissions", note, body)


def _groups(found: Data, unit: str) -> tuple[list[tuple[str, int | None]], list[list[Any]]]:
    columns = [
        ("group", None), ("members", 0), ("self-sufficiency, %", 0), ("self-consumption, %", 0),
        (f"gain a member, {unit}", 2), ("Jain", 3), ("Gini", 3), ("worse off, %", 1), ("share of sales, %", 1),
        ("CO2, kg", 1), ("g/kWh", 0),
    ]  # fmt: skip
    compared = found["compared"]
    rows = [
        [
            row["name"], row["participants"], _percent(row["self_sufficiency"]), _percent(row["self_consumption"]),
            row["benefit" if compared else "saved_at_tariff"] / row["participants"], row["jain"], row["gini"],
            row["losers_pct"], _percent(row["share_of_sales"]), row["co2_kg"], row["g_per_kwh"],
        ]
        for row in found["groups"]
    ]  # fmt: skip
    if compared:
        columns.append(("without, g/kWh", 0))
        rows = [[*line, row["g_per_kwh_without"]] for line, row in zip(rows, found["groups"], strict=True)]
    return columns, rows


def _sources(found: Data) -> tuple[list[tuple[str, int | None]], list[list[Any]]]:
    columns = [
        ("origin", None), ("generated, kWh", 1), ("sold locally, kWh", 1), ("share of sales, %", 1),
        ("mean price, ct/kWh", 2), ("sellers", 0), ("concentration", 3), ("Lerner's index", 3), ("CO2, kg", 1),
    ]  # fmt: skip
    rows = [
        [
            row["name"], row["generation_kwh"], row["sold_local_kwh"], _percent(row["share_of_sales"]), row["price_ct"],
            row["sellers"], row["hhi_sellers"], row["lerner"], row["co2_kg"],
        ]
        for row in found["sources"]
    ]  # fmt: skip
    return columns, rows


def _participants(found: Data, unit: str, gain: str) -> tuple[list[tuple[str, int | None]], list[list[Any]]]:
    columns = [
        ("participant", None), ("self-sufficiency, %", 0), ("self-consumption, %", 0), ("peak import, kW", 1),
        ("peak export, kW", 1), ("paid, ct/kWh", 2), ("received, ct/kWh", 2), (f"{gain}, {unit}", 2), ("CO2, kg", 2),
    ]  # fmt: skip
    return columns, [[name, _percent(own), _percent(kept), *rest] for name, own, kept, *rest in found["people"]]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _rounded(values: pd.Series) -> list[float]:
    return [round(float(value), 4) for value in values]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value
