"""The sections of the report on what came of it: bills, refusals, the grid, strategies, provenance.

As in `api.report_sections`, each function takes the report's data and returns one section, or "".
"""

from __future__ import annotations

from api.report_html import figure, folded, section, table, text
from api.report_sections import Data


def bills(data: Data) -> str:
    found = data.get("bills")
    if not found:
        return ""
    unit = data["currency"]
    saved = [
        (row["group"], row["count"], row["before"], row["after"], row["saved"], row["benefit"])
        for row in found["saved"]
    ]
    columns = [
        ("group", None),
        ("participants", 0),
        (f"before, {unit}", 2),
        (f"after, {unit}", 2),
        (f"saved, {unit}", 2),
        (f"gain, {unit}", 2),
    ]
    people = [
        (row["name"], row["group"], row["before"], row["after"], row["before"] - row["after"], row["benefit"])
        for row in found["rows"]
    ]
    person = [("participant", None), ("group", None), *columns[2:]]
    height = "tall" if len(saved) > 4 else ""
    body = (
        '<div class="pair">'
        + figure(
            "bills",
            "Bills before and after, one point a participant",
            "<strong>One point a participant.</strong> Below the dashed line, the day cost less with local trading; "
            "a negative bill is income.",
            size=height,
        )
        + figure(
            "savings",
            "Gain by group",
            "<strong>Gain by group</strong>: what was saved, plus the worth of flexible energy bought, less the cost "
            "of flexible energy sold.",
            size=height,
        )
        + "</div>"
        + table(f"Bills by group, {unit}", columns, saved)
        + folded("Table: every participant", table(f"Bills by participant, {unit}", person, people))
    )
    note = (
        "Before: the same day with the utility as the only partner. After: with the market. "
        "A bill alone misleads where the market moves more energy than there was before, such as a car that charges "
        "because it is cheap: the gain counts what that energy was worth."
    )
    return section("bills", "Bills before and after", note, body)


def refused(data: Data) -> str:
    found = data.get("refused")
    if found is None:
        return ""
    if not found["constraints"]:
        return section("refused", "What the gate refused", text(found["note"]), "")
    rows = [
        (", ".join(row["said"]), row["count"], row["wanted"], row["admitted"], row["refused"])
        for row in found["constraints"]
    ]
    columns = [("limit", None), ("times", 0), ("wanted, kWh", 2), ("carried, kWh", 2), ("refused, kWh", 2)]
    body = (
        '<div class="pair">'
        + figure("refused-by", "Refused energy by limit", "<strong>By limit</strong>: which bus or branch was full.")
        + figure("refused-when", "Refused energy over the day", "<strong>Over the day</strong>, by delivery slot.")
        + "</div>"
        + folded("Table: every limit that was met", table("What the gate refused, by limit", columns, rows))
    )
    return section("refused", "What the gate refused", text(found["note"]), body)


def compare(data: Data) -> str:
    runs = data.get("compare")
    if not runs:
        return ""
    rows = [
        (
            run["name"],
            run["slots"],
            run["violations"],
            run["elements"],
            _least(run["u_min"]),
            _most(run["u_max"]),
            _most(run["loading"]),
        )
        for run in runs
    ]
    columns = [
        ("schedule", None),
        ("slots with a violation", 0),
        ("violations", 0),
        ("buses and branches", 0),
        ("lowest, pu", 4),
        ("highest, pu", 4),
        ("fullest branch, %", 1),
    ]
    body = (
        table("Violations: a bus or branch beyond its limit in one slot counts once", columns, rows)
        + '<div class="pair">'
        + figure(
            "compare-loading",
            "Highest loading per slot",
            "<strong>Loading</strong> of the fullest branch, slot by slot.",
        )
        + figure(
            "compare-voltage",
            "Lowest and highest voltage per slot",
            "<strong>Voltage</strong>, lowest and highest of all buses.",
        )
        + "</div>"
        + _unbalance(runs)
        + folded("Table: every slot", table("State of the grid in every slot", *_slots(data, runs)))
    )
    return section("compare", "The grid against its limits", text(data["compare_note"]), body)


def _unbalance(runs: list[Data]) -> str:
    if "unbalance" not in runs[0]:
        return ""
    said = "<strong>Unbalance</strong>: negative over positive sequence of the voltage, highest of all buses."
    return figure("compare-unbalance", "Highest voltage unbalance per slot", said)


def _slots(data: Data, runs: list[Data]) -> tuple[list[tuple[str, int | None]], list[tuple[str | float | None, ...]]]:
    """Columns and rows of the table of all slots."""
    columns: list[tuple[str, int | None]] = [("slot, UTC", None)]
    series = []
    for run in runs:
        columns += [(f"{run['name']}: lowest, pu", 4), ("highest, pu", 4), ("fullest branch, %", 1)]
        series += [run["u_min"], run["u_max"], run["loading"]]
        if "unbalance" in run:
            columns.append(("highest unbalance, %", 2))
            series.append(run["unbalance"])
    return columns, list(zip(data["times"], *series, strict=True))


def strategies(data: Data) -> str:
    found = data.get("strategies")
    if not found:
        return ""
    unit = data["price"]["unit"]
    rows = [
        (
            row["strategy"],
            row["participants"],
            row["bought"],
            row["sold"],
            row["buy_price"],
            row["sell_price"],
            row["benefit"],
        )
        for row in found
    ]
    columns = [
        ("strategy", None),
        ("participants", 0),
        ("bought, kWh", 1),
        ("sold, kWh", 1),
        (f"paid, {unit}", 2),
        (f"received, {unit}", 2),
        (f"gain, {data['currency']}", 2),
    ]
    note = "Energy and mean prices of what each strategy traded with neighbours, and what its users gained in all."
    return section("strategies", "How the strategies did", note, table("Outcomes by strategy", columns, rows))


def provenance(data: Data) -> str:
    facts = "".join(
        f'<tr><th scope="row" class="text">{text(name)}</th>'
        f'<td class="text wrap"><span class="hash">{text(value)}</span></td></tr>'
        for name, value in data["provenance"]
    )
    body = (
        '<div class="scroll" tabindex="0" role="region" aria-label="Provenance">'
        f"<table><caption>What made this page</caption><tbody>{facts}</tbody></table></div>"
        "<h3>Check it</h3><p>The ledger of this run holds every command, event and posting. Anyone can verify it "
        "offline, in the folder that holds both; the root that the audit prints must be the one above.</p>"
        f"<pre><code>{text(data['check'])}</code></pre>"
    )
    return section("provenance", "Provenance", "Where these figures come from and how to check them.", body)


def _least(values: list[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _most(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
