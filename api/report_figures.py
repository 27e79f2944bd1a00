"""The figures at the head of the report and the sentence above them; the terminal's summary shows the same."""

from __future__ import annotations

from typing import Any

from api.report_html import number
from market.orders import MarketSettings
from market.units import ct_per_kwh

Tile = dict[str, str]
TOLERANCE = 1e-6
"""What a limit may be exceeded by [pu, share of the rating] before a figure is shown as bad."""


def lede(summary: dict[str, Any], feeder: str, settings: MarketSettings) -> str:
    """What happened, in two sentences."""
    length = f"{settings.slot_seconds / 60:g} minutes"
    checked = {
        "off": "The gate was off: no match was checked against the wires.",
        "linear": "Every match that changes a flow was checked against the wires before it was made, by their tangent.",
        "certified": "Every match that changes a flow was proven to fit the wires before it was made.",
        "ac": "Every match that changes a flow was checked against the wires before it was made, by AC power flow.",
    }[summary["gate"]]
    return (
        f"{summary['participants']} participants on {feeder or 'one feeder'} traded "
        f"{number(summary['energy']['local_kwh'], 0)} kWh with each other in {summary['slots']} slots of {length}. "
        f"{checked}"
    )


def alert(summary: dict[str, Any]) -> str:
    """What has to be said first: that the schedule breaks limits; empty if it does not."""
    grid = summary["grid"]
    if not grid["violations"]:
        return ""
    branch = ""
    if "loading_max" in grid:
        branch = f", and {grid['loading_max_branch']} carries up to {_percent(grid['loading_max'])} % of its rating"
    cause = "" if grid.get("violations_by_trade", 1) else " All of it was so before any trade."
    return (
        f"This schedule breaks limits of the grid in {grid['violated_slots']} of {summary['slots']} slots: voltages "
        f"reach from {grid['u_min_pu']:.3f} to {grid['u_max_pu']:.3f} pu{branch}.{cause}"
    )


def limit_words(element: str) -> tuple[str, str]:
    """Where and what a limit is, from its name: `bus:ID:high`, `:low` or `:vuf`, `branch:ID`, or `diverged`."""
    kind, _, rest = element.partition(":")
    if kind == "branch":
        return rest, "loading"
    if kind == "bus":
        place, _, side = rest.rpartition(":")
        return place, "unbalance" if side == "vuf" else f"voltage too {side}"
    return "no state of the grid", element


def headline(summary: dict[str, Any], settings: MarketSettings) -> list[Tile]:
    """Label, value, unit, note and tone of each figure."""
    parts = (
        _trade(summary, settings),
        _island(summary),
        _money(summary, settings),
        _sharing(summary),
        _wires(summary, settings),
        _run(summary),
    )
    return [tile for tiles in parts for tile in tiles]


def stage_words(stages: dict[str, int]) -> str:
    """By which stages of the gate how many questions were decided."""
    words = {"envelope": "by the envelope", "rows": "by rows", "gate": "by power flow"}
    told = [f"{number(count, 0)} {words[stage]}" for stage, count in stages.items() if count]
    return ", ".join(told) or "–"


def _tile(label: str, value: str, unit: str = "", note: str = "", tone: str = "") -> Tile:
    return {"label": label, "value": value, "unit": unit, "note": note, "tone": tone}


def _trade(summary: dict[str, Any], settings: MarketSettings) -> list[Tile]:
    energy, price = summary["energy"], summary["price"]
    part = energy["local_kwh"] / energy["load_kwh"] if energy["load_kwh"] else None
    between = (
        "there is no utility"
        if "island" in summary
        else f"utility: sells at {_reach(settings, 1)}, buys at {_reach(settings, 2)}"
    )
    fee = f"; {tariff(settings)}" if settings.grid_fee or settings.network_tariff else ""
    without = summary.get("without_local_trading")
    before = f"{_percent(without['self_sufficiency'])} % without local trading" if without else ""
    return [
        _tile(
            "Traded between neighbours", number(energy["local_kwh"], 1), "kWh", f"{_percent(part)} % of the consumption"
        ),
        _tile("Trades", number(energy["trades"], 0), "", f"from {number(summary['orders'], 0)} orders and changes"),
        _tile("Mean price", number(price["mean_ct"]), "ct/kWh", f"{_span(price)}{between}{fee}"),
        _tile("Self-sufficiency", _percent(energy["self_sufficiency"]), "%", before),
    ]


def _reach(settings: MarketSettings, field: int) -> str:
    """The utility's price as seller (1) or buyer (2), or the least and the largest that it ever is [ct/kWh]."""
    prices = {(0, settings.retail, settings.feed_in)[field], *(change[field] for change in settings.price_changes)}
    return " to ".join(f"{ct_per_kwh(price):g}" for price in sorted({min(prices), max(prices)}))


def _span(price: dict[str, Any]) -> str:
    return f"{price['low_ct']:.2f} to {price['high_ct']:.2f}; " if price["mean_ct"] is not None else ""


def _sharing(summary: dict[str, Any]) -> list[Tile]:
    """How gains fell, who could set prices, what consumption emitted, and the peak."""
    power, air, peak = summary["market_power"], summary["emissions"], summary["peak"]
    fair, without = summary.get("fairness"), summary.get("without_local_trading")
    tiles = []
    if fair:
        worse = f"{number(fair['losers_pct'], 0)} % worse off"
        note = f"Jain's index of gains; Gini of savings {number(fair['gini'])}; {worse}"
        tiles.append(_tile("Fairness", number(fair["jain"]), "", note))
    pivotal = f"largest seller needed in {power['pivotal_slots']} of {summary['slots']} slots"
    note = f"HHI of sellers; Lerner's index {number(power['lerner'])}; {pivotal}"
    tiles.append(_tile("Market power", number(power["hhi_sellers"], 3), "", note))
    before = f"{number(without['emissions']['consumed_g_per_kwh'], 0)} without local trading; " if without else ""
    note = f"CO2 of consumption, by contract; {before}{number(air['kg'], 0)} kg of all that flowed"
    tiles.append(_tile("Emissions", number(air["consumed_g_per_kwh"], 0), "g/kWh", note))
    told = f"; {number(without['peak']['import_kw'], 1)} without local trading" if without else ""
    note = f"from above{told}; fed back {number(peak['export_kw'], 1)}"
    tiles.append(_tile("Peak", number(peak["import_kw"], 1), "kW", note))
    return tiles


def tariff(settings: MarketSettings) -> str:
    """What the wires charge, in a few words."""
    charge = settings.network_tariff
    base = f"grid fee {ct_per_kwh(settings.grid_fee):g} ct/kWh"
    return base if charge is None else f"{base} and more by {charge.model}"


def _wires_account(summary: dict[str, Any], settings: MarketSettings) -> Tile:
    """What the operator of the wires earned, and what became of the losses."""
    money, lost = summary["money"], f"{number(summary['grid']['losses_kwh'], 1)} kWh lost"
    if "island" in summary:
        note = f"fees, less what {number(summary['energy']['sold_to_utility_kwh'], 1)} kWh cost for {lost}"
        return _tile("The wires earned", number(money["wires"] + money["utility"]), summary["currency"], note)
    paid = {
        "none": f"{lost}, which nobody pays for",
        "operator": f"{lost}, for which it paid {number(money['losses_operator'])}",
    }.get(settings.losses, f"{lost}, for which participants paid {number(money['losses'])} by {settings.losses} shares")
    note = f"fees {number(money['grid_fees'])} ({tariff(settings)}); {paid}"
    return _tile("The wires earned", number(money["wires"]), summary["currency"], note)


def _island(summary: dict[str, Any]) -> list[Tile]:
    """What an island had to do without, and what was left for the unit that keeps its balance."""
    found = summary.get("island")
    if found is None:
        return []
    value = (
        f"in {found['shed_slots']} slots; worth {number(found['lost_load'])} {summary['currency']} to those it was for"
    )
    balance = f"at most {number(found['balancing_largest_kwh'])} kWh in a slot"
    return [
        _tile("Load shed", number(found["shed_kwh"], 1), "kWh", value, "bad" if found["shed_kwh"] else "good"),
        _tile("Left to balance", number(found["balancing_kwh"], 1), "kWh", balance),
    ]


def _money(summary: dict[str, Any], settings: MarketSettings) -> list[Tile]:
    currency, welfare = summary["currency"], summary["welfare"]
    tiles = []
    without = summary.get("without_local_trading")
    if without:
        tiles.append(
            _tile(
                "Saved together",
                number(without["savings"]),
                currency,
                f"{without['better_off']} participants better off, {without['worse_off']} worse off",
            )
        )
    tiles.append(_wires_account(summary, settings))
    note = "of the optimum that the wires allow"
    if summary["grid"]["violations"] and (welfare["share"] or 0) > 1:
        note += ", by trading what they do not carry"
    elif welfare["congested_slots"]:
        note += f"; congestion costs {number(welfare['congestion_cost'])} {currency}"
    tiles.append(_tile("Welfare reached", _percent(welfare["share"], 1), "%", note))
    return tiles


def _unbalance(grid: dict[str, Any], settings: MarketSettings) -> list[Tile]:
    if "unbalance_max" not in grid:
        return []
    most = settings.unbalance_max_ppm / 1e6
    note = f"at {grid['unbalance_max_bus']}; may be {100 * most:g} %"
    tone = "bad" if grid["unbalance_max"] > most + TOLERANCE else ""
    return [_tile("Highest unbalance", _percent(grid["unbalance_max"], 2), "%", note, tone)]


def _wires(summary: dict[str, Any], settings: MarketSettings) -> list[Tile]:
    grid, limited = summary["grid"], summary["limited"]
    bad = grid["violations"]
    off = summary.get("gate_off")
    note = "by an independent power flow"
    if bad:
        note = f"in {grid['violated_slots']} of {summary['slots']} slots, {note}"
    if off:
        note += f"; {number(off['violations'], 0)} with the gate off"
    low, high = settings.voltage_min_ppm / 1e6, settings.voltage_max_ppm / 1e6
    kept = low - TOLERANCE <= grid["u_min_pu"] and grid["u_max_pu"] <= high + TOLERANCE
    full = grid.get("loading_max", 0.0) > settings.loading_max_ppm / 1e6 + TOLERANCE
    met = number(limited["refused"] + limited["trimmed"], 0)
    said = f"{number(limited['refused'], 0)} skipped, {number(limited['trimmed'], 0)} trimmed"
    if summary["gate"] == "off":
        met, said = "–", "not checked: the gate was off"
    return [
        _tile(
            "Voltage", f"{grid['u_min_pu']:.3f} to {grid['u_max_pu']:.3f}", "pu", f"band {low:.2f} to {high:.2f}",
            "" if kept else "bad",
        ),
        _tile(
            "Fullest branch", _percent(grid.get("loading_max"), 1), "%", grid.get("loading_max_branch", ""),
            "bad" if full else "",
        ),
        *_unbalance(grid, settings),
        _tile("Limits violated", number(bad, 0), "times", note, "bad" if bad else "good"),
        _tile("Matches that met a limit", met, "", said),
        _tile("Wires asked", number(sum(summary["stages"].values()), 0), "times", stage_words(summary["stages"])),
        _tile("Losses", number(grid["losses_kwh"], 1), "kWh", "in lines and transformer"),
    ]  # fmt: skip


def _run(summary: dict[str, Any]) -> list[Tile]:
    if not summary["seconds"]:
        return []
    return [
        _tile(
            "Run time",
            number(summary["seconds"], 1),
            "s",
            f"{number(summary['orders_per_second'], 0)} orders per second",
        )
    ]


def _percent(share: float | None, digits: int = 0) -> str:
    return number(None if share is None else 100 * share, digits)
