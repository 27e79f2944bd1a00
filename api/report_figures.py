"""The figures at the head of the report and the sentence above them; the terminal's summary shows the same."""

from __future__ import annotations

from typing import Any

from api.report_html import number
from market.orders import MarketSettings
from market.units import ct_per_kwh

Tile = dict[str, str]


def lede(summary: dict[str, Any], feeder: str, settings: MarketSettings) -> str:
    """What happened, in two sentences."""
    length = f"{settings.slot_seconds / 60:g} minutes"
    checked = (
        "The gate was off: no match was checked against the wires."
        if summary["gate"] == "off"
        else "Every match was checked against the wires before it was made."
    )
    return (
        f"{summary['participants']} participants on {feeder or 'one feeder'} traded "
        f"{number(summary['energy']['local_kwh'], 0)} kWh with each other in {summary['slots']} slots of {length}. "
        f"{checked}"
    )


def headline(summary: dict[str, Any], settings: MarketSettings) -> list[Tile]:
    """Label, value, unit, note and tone of each figure."""
    return [*_trade(summary, settings), *_money(summary), *_wires(summary, settings), *_run(summary)]


def _tile(label: str, value: str, unit: str = "", note: str = "", tone: str = "") -> Tile:
    return {"label": label, "value": value, "unit": unit, "note": note, "tone": tone}


def _trade(summary: dict[str, Any], settings: MarketSettings) -> list[Tile]:
    energy, price = summary["energy"], summary["price"]
    part = energy["local_kwh"] / energy["load_kwh"] if energy["load_kwh"] else None
    between = f"utility: sells at {ct_per_kwh(settings.retail):g}, buys at {ct_per_kwh(settings.feed_in):g}"
    fee = f"; grid fee {ct_per_kwh(settings.grid_fee):g}" if settings.grid_fee else ""
    without = summary.get("without_local_trading")
    before = f"{_percent(without['self_sufficiency'])} % without local trading" if without else ""
    return [
        _tile(
            "Traded between neighbours", number(energy["local_kwh"], 1), "kWh", f"{_percent(part)} % of the consumption"
        ),
        _tile("Trades", number(energy["trades"], 0), "", f"from {number(summary['orders'], 0)} orders and changes"),
        _tile("Mean price", number(price["mean_ct"]), "ct/kWh", between + fee),
        _tile("Self-sufficiency", _percent(energy["self_sufficiency"]), "%", before),
    ]


def _money(summary: dict[str, Any]) -> list[Tile]:
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
    note = "of the optimum that the wires allow"
    if welfare["congested_slots"]:
        note += f"; congestion costs {number(welfare['congestion_cost'])} {currency}"
    tiles.append(_tile("Welfare reached", _percent(welfare["share"], 1), "%", note))
    return tiles


def _wires(summary: dict[str, Any], settings: MarketSettings) -> list[Tile]:
    grid, limited = summary["grid"], summary["limited"]
    bad = grid["violations"]
    off = summary.get("gate_off")
    note = "found by an independent power flow"
    if off:
        note += f"; {number(off['violations'], 0)} with the gate off"
    band = f"band {settings.voltage_min_ppm / 1e6:.2f} to {settings.voltage_max_ppm / 1e6:.2f}"
    return [
        _tile("Voltage", f"{grid['u_min_pu']:.3f}–{grid['u_max_pu']:.3f}", "pu", band),
        _tile("Fullest branch", _percent(grid.get("loading_max"), 1), "%", grid.get("loading_max_branch", "")),
        _tile("Limits violated", number(bad, 0), "times", note, "bad" if bad else "good"),
        _tile(
            "Matches that met a limit", number(limited["refused"] + limited["trimmed"], 0), "",
            f"{number(limited['refused'], 0)} skipped, {number(limited['trimmed'], 0)} trimmed",
        ),
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
