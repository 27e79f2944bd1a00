"""What the report shows, as plain data: made from the files of a run, ready for JSON.

Series have one value per *step*, which is one slot, or a block of several in a long run, so that the page stays small.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agents.results import Results
from api import report_envelopes, report_metrics
from api.digest import Seal
from api.report_figures import alert, headline, lede, limit_words, stage_words
from api.report_html import number
from api.report_map import feeder_map
from grid.feeder import Feeder
from market.orders import MarketSettings
from market.settlement import tariff
from market.units import ct_per_kwh

Floats = NDArray[np.float64]
MOST_STEPS = 672
"""Steps of a chart at most: a week of quarters of an hour."""
MOST_STATES = 400_000
"""Voltages and loadings of the map at most, so that the page stays below eight megabytes on a large feeder too."""
UNLIMITED_WH = 10**7
"""Offers of the utility larger than this stand for all that anybody wants, and would dwarf the rest of a book."""
MONTHS = [
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
]  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A finished run as its folder holds it."""

    results: Results
    settings: MarketSettings
    feeder: Feeder
    seal: Seal
    ledger: str
    """Name of the ledger's file, which lies beside the report, or of the database."""
    version: str
    trading: dict[str, Any] | None = None
    """How trades came about while slots traded, see `api.report_trading`."""


def report_data(run: Run) -> dict[str, Any]:
    """Everything on the page. Energy in kWh, prices in ct/kWh, money in currency, voltage in 0.1 mpu, loading in ‰."""
    table, summary = run.results.slots, run.results.summary
    block = _block(run)
    starts = np.arange(0, len(table), block)
    times, zone = _times(table["delivery"].iloc[starts].tolist())
    title = summary["title"] or f"The market {summary['scenario']}"
    books = _depth(run, starts)
    return {
        "title": f"{title} – Wattbook",
        "heading": title,
        "lede": lede(summary, run.feeder.name, run.settings),
        "facts": [
            zone.removesuffix(", UTC"),
            "all times in UTC",
            f"scenario {summary['scenario']}, seed {summary['seed']}",
            f"gate {summary['gate']}",
        ],
        "alert": alert(summary),
        "version": run.version,
        "times": times,
        "zone": zone,
        "per": "slot" if block == 1 else f"{block} slots",
        "currency": summary["currency"],
        "limits": {
            "voltage": [run.settings.voltage_min_ppm / 1e6, run.settings.voltage_max_ppm / 1e6],
            "loading": run.settings.loading_max_ppm / 1e4,
            "unbalance": run.settings.unbalance_max_ppm / 1e4,
        },
        "headline": headline(summary, run.settings),
        "headline_note": _block_note(block),
        "map": feeder_map(run.results, run.feeder, run.settings, starts),
        "price": _price(table, starts, run.settings),
        "trading": _trading(run, starts),
        "volume": {name: _sums(table[f"{name}_kwh"], starts) for name in ("local", "utility")},
        "depth": books,
        "depth_start": _fullest(books),
        "balance": _balance(table, starts),
        "bills": _bills(run.results.participants),
        "metrics": report_metrics.collect(run.results),
        "refused": _refused(run, starts, block),
        "envelopes": report_envelopes.collect(run.results.envelopes, starts),
        "compare": _compare(table, summary, starts),
        "compare_note": _compare_note(summary),
        "strategies": _strategies(run.results),
        "provenance": _provenance(run),
        "check": f"wattbook audit {run.ledger}\nwattbook audit {run.ledger} --recheck",
    }


def _times(deliveries: list[str]) -> tuple[list[str], str]:
    """Labels of the steps and what they are: times of one day, or dates with times."""
    days = sorted({text[:10] for text in deliveries})
    first = datetime.fromisoformat(days[0])
    said = f"{first.day} {MONTHS[first.month - 1]} {first.year}"
    if len(days) == 1:
        return [text[11:16] for text in deliveries], f"{said}, UTC"
    last = datetime.fromisoformat(days[-1])
    said = f"{said} to {last.day} {MONTHS[last.month - 1]} {last.year}"
    return [f"{text[8:10]} {MONTHS[int(text[5:7]) - 1][:3]} {text[11:16]}" for text in deliveries], f"{said}, UTC"


def _block(run: Run) -> int:
    """Slots per step."""
    states: int = sum(array.shape[1] for name, array in run.results.grid.items() if name.endswith(("u_pu", "loading")))
    steps = max(1, min(MOST_STEPS, MOST_STATES // max(states, 1)))
    return -(-len(run.results.slots) // steps)


def _block_note(block: int) -> str:
    if block == 1:
        return ""
    return f"Every point of the charts stands for {block} slots; map and books show the first of them."


def _price(table: pd.DataFrame, starts: NDArray[np.int64], settings: MarketSettings) -> dict[str, Any]:
    energy = table["local_kwh"].to_numpy()
    money = np.add.reduceat(np.nan_to_num(table["price_ct"].to_numpy(dtype=float)) * energy, starts)
    traded = np.add.reduceat(energy, starts)
    mean = np.divide(money, traded, out=np.full(len(starts), np.nan), where=traded > 0)
    utility = [tariff(settings, slot) for slot in table["slot"].to_numpy()[starts].tolist()]
    return {
        "unit": "ct/kWh",
        "mean": _listed(mean),
        "low": _listed(np.fmin.reduceat(table["price_low_ct"].to_numpy(dtype=float), starts)),
        "high": _listed(np.fmax.reduceat(table["price_high_ct"].to_numpy(dtype=float), starts)),
        "retail": [ct_per_kwh(retail) for _, retail in utility],
        "feed_in": [ct_per_kwh(feed_in) for feed_in, _ in utility],
    }


def _trading(run: Run, starts: NDArray[np.int64]) -> dict[str, Any] | None:
    """The trading time; prices of auctions with the step whose first slot they are of."""
    if run.trading is None:
        return None
    first = int(run.results.slots["slot"].iloc[0])
    steps = {first + int(start): step for step, start in enumerate(starts)}
    prices = [[steps[slot], price] for slot, price in run.trading["prices"] if slot in steps]
    return run.trading | {"prices": prices}


def _depth(run: Run, starts: NDArray[np.int64]) -> dict[str, Any]:
    """Per step the levels [ct/kWh, Wh] of its slot's book as it was seen last, best first, without the utility's."""
    levels = run.results.depth
    levels = levels[levels["wh"] < UNLIMITED_WH]
    levels = levels[levels["time"] == levels.groupby("slot")["time"].transform("max")]
    first = int(run.results.slots["slot"].iloc[0])
    books: dict[int, dict[str, list[tuple[float, int]]]] = {}
    for slot, side, *level in zip(
        *(levels[name].tolist() for name in ("slot", "side", "ct_per_kwh", "wh")), strict=True
    ):
        book = books.setdefault(slot, {"bids": [], "asks": []})
        book["bids" if side == "buy" else "asks"].append((level[0], level[1]))
    for book in books.values():
        book["bids"].sort(reverse=True)
        book["asks"].sort()
    return {str(step): books[first + start] for step, start in enumerate(starts.tolist()) if first + start in books}


def _fullest(books: dict[str, Any]) -> int:
    """The step whose book has most to show: much energy on both sides, else on one."""

    def sides(step: str) -> tuple[int, int]:
        bids, asks = (sum(wh for _, wh in books[step][side]) for side in ("bids", "asks"))
        return min(bids, asks), bids + asks

    return int(max(books, key=sides, default="0"))


_GENERATION = {
    "solar": "solar",
    "wind": "wind",
    "hydro": "hydro",
    "biomass": "biomass",
    "storage": "from cars",
    "fuel": "backup",
}
_LOADS = {
    "household": "homes", "commercial": "commerce", "agricultural": "farms", "industrial": "industry",
    "ev": "electric cars", "heat_pump": "heat pumps",
}  # fmt: skip


def _balance(table: pd.DataFrame, starts: NDArray[np.int64]) -> dict[str, Any]:
    """What flowed into the feeder and out of it. Both sides sum to the same in every step."""
    columns = [str(name) for name in table if str(name).startswith("load_") and name != "load_kwh"]
    loads = {name.removeprefix("load_").removesuffix("_kwh"): table[name].to_numpy() for name in columns}
    unserved = sum(loads.values()) - table["load_kwh"].to_numpy()
    for name in sorted(loads, key=lambda name: name != "ev"):  # loads count what is wanted; cars go without first
        found = np.maximum(loads[name] - unserved, 0.0)
        unserved, loads[name] = unserved - (loads[name] - found), found
    battery, slack = table["battery_kwh"].to_numpy(), table["slack_kwh"].to_numpy()
    flows_in = [
        (name, label, table[f"{name}_kwh"].to_numpy()) for name, label in _GENERATION.items() if f"{name}_kwh" in table
    ]
    flows_in += [
        ("storage", "from batteries", np.maximum(battery, 0)),
        ("grid", "from the utility", np.maximum(slack, 0)),
    ]
    flows_out = [
        (name, _LOADS.get(name, name), kwh) for name, kwh in sorted(loads.items(), key=lambda item: -item[1].sum())
    ]
    flows_out += [
        ("battery", "into batteries", np.maximum(-battery, 0)),
        ("export", "to the utility", np.maximum(-slack, 0)),
        ("losses", "losses", table["loss_kwh"].to_numpy()),
    ]
    return {"in": _flows(flows_in, starts), "out": _flows(flows_out, starts)}


def _flows(flows: list[tuple[str, str, Floats]], starts: NDArray[np.int64]) -> list[dict[str, Any]]:
    return [{"name": name, "label": label, "kwh": _sums(kwh, starts)} for name, label, kwh in flows if np.any(kwh > 0)]


def _bills(people: pd.DataFrame) -> dict[str, Any] | None:
    if "bill_without" not in people:
        return None
    rows = [
        {"name": name, "group": group, "before": before, "after": after, "benefit": benefit}
        for name, group, before, after, benefit in people[
            ["participant", "group", "bill_without", "bill", "benefit"]
        ].itertuples(index=False, name=None)
    ]
    sums = people.groupby("group", sort=False)[["bill_without", "bill", "saving", "benefit"]].sum()
    counts = people.groupby("group", sort=False).size()
    saved = [
        {
            "group": group,
            "count": int(counts[group]),
            "before": before,
            "after": after,
            "saved": saving,
            "benefit": benefit,
        }
        for group, before, after, saving, benefit in sums.itertuples(name=None)
    ]
    return {"groups": [row["group"] for row in saved], "rows": rows, "saved": saved}


def _refused(run: Run, starts: NDArray[np.int64], block: int) -> dict[str, Any]:
    limited = run.results.limited
    sums = limited.groupby("element")[["wanted_kwh", "admitted_kwh"]].sum()
    counts = limited.groupby("element").size()
    constraints = [
        {
            "constraint": element,
            "said": limit_words(element),
            "count": int(counts[element]),
            "wanted": wanted,
            "admitted": carried,
            "refused": wanted - carried,
        }
        for element, wanted, carried in sums.itertuples(name=None)
    ]
    step = (limited["slot"].to_numpy(dtype=np.int64) - int(run.results.slots["slot"].iloc[0])) // block
    wanted = np.bincount(step, limited["wanted_kwh"].to_numpy(dtype=float), len(starts))
    carried = np.bincount(step, limited["admitted_kwh"].to_numpy(dtype=float), len(starts))
    if run.settings.gate == "off":
        note = "The gate was off: no match was checked against the wires, and none refused."
    elif not constraints:
        note = "Every match fitted: none met a limit of the grid."
    else:
        note = (
            "A match that does not fit is trimmed to what fits, or skipped. Both orders stay in the book and may meet "
            "the limit again, and each time counts here: the sums say where the wires bind, not how much energy they "
            "withheld."
        )
    return {
        "note": note,
        "constraints": sorted(constraints, key=lambda row: (-row["refused"], row["constraint"])),
        "slots": [_listed(pair) for pair in np.stack([wanted, carried], axis=1)],
    }


def _compare(table: pd.DataFrame, summary: dict[str, Any], starts: NDArray[np.int64]) -> list[dict[str, Any]]:
    runs = [(f"gate {'on' if summary['gate'] != 'off' else 'off'}", "", summary["grid"])]
    if "gate_off" in summary:
        runs.append(("gate off", "_off", summary["gate_off"]))
    return [
        {
            "name": name,
            "slots": figures["violated_slots"],
            "violations": figures["violations"],
            "elements": len(figures["violated_elements"]),
            "loading": _listed(100 * np.maximum.reduceat(table[f"loading_max{ending}"].to_numpy(), starts), 2),
            "u_min": _listed(np.minimum.reduceat(table[f"u_min{ending}_pu"].to_numpy(), starts), 5),
            "u_max": _listed(np.maximum.reduceat(table[f"u_max{ending}_pu"].to_numpy(), starts), 5),
        }
        | (
            {"unbalance": _listed(100 * np.maximum.reduceat(table[f"unbalance_max{ending}"].to_numpy(), starts), 4)}
            if "unbalance_max" in table
            else {}
        )
        for name, ending, figures in runs
    ]


def _compare_note(summary: dict[str, Any]) -> str:
    judge = "Every slot's schedule, judged by power-grid-model, which had no part in admitting trades."
    if "gate_off" in summary:
        return f"{judge} The same day was run once more with the gate off."
    return judge


def _strategies(results: Results) -> list[dict[str, Any]]:
    people, trades = results.participants, results.trades[results.trades["local"].astype(bool)]
    by_name = people.set_index("participant")["strategy"]
    prices = {
        side: (trades["kwh"] * trades["ct_per_kwh"]).groupby(trades[side].map(by_name)).sum()
        / trades["kwh"].groupby(trades[side].map(by_name)).sum()
        for side in ("buyer", "seller")
    }
    rows = []
    for name, members in people.groupby("strategy"):
        rows.append(
            {
                "strategy": str(name),
                "participants": len(members),
                "bought": float(members["bought_local_kwh"].sum()),
                "sold": float(members["sold_local_kwh"].sum()),
                "buy_price": _number(prices["buyer"].get(name)),
                "sell_price": _number(prices["seller"].get(name)),
                "benefit": float(members["benefit"].sum()) if "benefit" in members else None,
            }
        )
    return rows


def _provenance(run: Run) -> list[list[str]]:
    summary = run.results.summary
    return [
        ["Scenario", f"{summary['scenario']}, in scenario.yaml beside this page"],
        ["Seed", str(summary["seed"])],
        ["Delivery", f"{summary['from']} to {summary['to']}, {summary['slots']} slots"],
        ["Gate", f"{summary['gate']}, {summary['netting']}"],
        ["Questions of capacity, decided", stage_words(summary["stages"])],
        ["Feeder", f"{run.feeder.name}, SHA-256 {run.feeder.digest}"],
        [
            "Licence of the feeder",
            "; ".join(part for part in (run.feeder.license, run.feeder.attribution) if part) or "–",
        ],
        ["Program", f"wattbook {run.version}"],
        ["Ledger", f"{run.ledger}, {number(run.seal.last, 0)} entries"],
        ["Root of the journal", run.seal.root],
    ]


def _sums(values: Any, starts: NDArray[np.int64]) -> list[float | None]:
    return _listed(np.add.reduceat(np.asarray(values, dtype=float), starts), 4)


def _listed(values: Any, digits: int = 4) -> list[float | None]:
    """Rounded numbers for JSON, None for NaN."""
    return [None if value != value else round(value, digits) for value in np.asarray(values, dtype=float).tolist()]


def _number(value: Any) -> float | None:
    return None if value is None or value != value else float(value)
