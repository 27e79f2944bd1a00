"""A small, complete set of report data: three buses, four slots, two participants."""

from __future__ import annotations

import copy
from typing import Any

_EXAMPLE: dict[str, Any] = {
        "title": "Street, seed 1",
        "heading": "A street trades",
        "lede": "Two participants traded.",
        "facts": ["21 June 2016", "all times in UTC", "gate ac"],
        "alert": "",
        "version": "1.2.3",
        "times": ["12:00", "12:15", "12:30", "12:45"],
        "zone": "21 June 2016, UTC",
        "per": "slot",
        "currency": "EUR",
        "limits": {"voltage": [0.9, 1.1], "loading": 100, "unbalance": 2},
        "headline_note": "Scenario street, seed 1.",
        "headline": [
            {"label": "Traded", "value": "1.2", "unit": "kWh", "note": "40 % of the load"},
            {"label": "Violations", "value": "0", "unit": "", "note": "", "tone": "good"},
        ],
        "map": {
            "name": "street",
            "phases": True,
            "placed": ["north up", "north to the left"],
            "reach": 0.05,
            "start": 1,
            "source": 0,
            "band": [0.9, 1.1],
            "buses": ["source", "a", "b"],
            "x": [0.0, 0.5, 1.0],
            "y": [0.0, 0.1, 0.0],
            "rated": [400.0, 400.0, 400.0],
            "who": ["", "home-001", "farm-001"],
            "branches": {
                "id": ["l1", "l2"],
                "kind": ["line", "line"],
                "rating": ["100 A", "100 A"],
                "from": [0, 1],
                "to": [1, 2],
            },
            "runs": [
                {
                    "name": name,
                    "u": [[10000, 10010, 10020], [10000, 9950, 9900], [10000, 10100, 10200], [10000, 10000, 10000]],
                    "loading": [[120, 110], [500, 480], [900, last], [0, 0]],
                }
                for name, last in (("gate on", 990), ("gate off", 1010))
            ],
        },
        "price": {
            "unit": "ct/kWh",
            "mean": [21.0, None, 19.5, 20.0],
            "low": [20.0, None, 19.0, 20.0],
            "high": [22.0, None, 20.0, 20.0],
            "retail": [32.0, 32.0, 30.0, 30.0],
            "feed_in": [8.0] * 4,
        },
        "trading": {
            "unit": "ct/kWh",
            "minutes": 45.0,
            "clock": [[15.0, 24.0], [36.0, 0.0], [45.0, 0.0]],
            "auctions": [15.0, 45.0],
            "held": 3,
            "prices": [[0, 21.0], [2, 19.5]],
            "trades": 3,
            "drawn": 3,
            "points": {"continuous": [[30.0, 9.0], [40.0, 2.0]], "auction": [[15.0, 12.0]]},
            "table": [[4.5 * part, None if part < 3 else 5.0, int(part in (3, 6, 8)), 0.2, 4.0] for part in range(10)],
        },
        "volume": {"local": [0.5, 0.0, 0.4, 0.3], "utility": [0.1, 0.0, 0.2, 0.0]},
        "depth": {
            "0": {"bids": [[22.0, 300], [21.0, 200]], "asks": [[23.0, 100]]},
            "2": {"bids": [], "asks": [[25.0, 400]]},
        },
        "depth_start": 2,
        "envelopes": {
            "names": ["home-001", "farm-001"],
            "import": [[3.5, 3.25, 3.0, 3.5], [3.5, 3.25, 3.0, 3.5]],
            "export": [[4.5, 4.25, 4.0, 4.5], [-1.5, 4.25, 4.0, 4.5]],
            "unproven": 1,
        },
        "balance": {
            "in": [
                {"name": "solar", "label": "solar", "kwh": [1.0, 1.0, 1.2, 0.9]},
                {"name": "grid", "label": "from the utility", "kwh": [0.2, 0.1, 0.0, 0.0]},
            ],
            "out": [{"name": "household", "label": "household", "kwh": [1.2, 1.1, 1.2, 0.9]}],
        },
        "bills": {
            "groups": ["homes", "farms"],
            "rows": [
                {"name": "home-001", "group": "homes", "before": 2.0, "after": 1.5, "benefit": 0.6},
                {"name": "farm-001", "group": "farms", "before": -1.0, "after": -1.5, "benefit": 0.4},
            ],
            "saved": [
                {"group": "homes", "count": 1, "before": 2.0, "after": 1.5, "saved": 0.5, "benefit": 0.5},
                {"group": "farms", "count": 1, "before": -1.0, "after": -1.5, "saved": 0.5, "benefit": 0.5},
            ],
        },
        "metrics": {
            "compared": True,
            "groups": [
                {
                    "name": name, "participants": 1, "self_sufficiency": share, "self_consumption": None,
                    "share_of_sales": share, "jain": 1.0, "gini": 0.0, "losers_pct": 0.0, "profit_dispersion": 0.0,
                    "co2_kg": 1.5, "g_per_kwh": 150.0, "g_per_kwh_without": 300.0, "benefit": 0.5,
                    "saved_at_tariff": 0.5,
                }
                for name, share in (("homes", 0.25), ("farms", None))
            ],
            "sources": [
                {
                    "name": "solar", "generation_kwh": 4.1, "sold_local_kwh": 1.2, "share_of_sales": 1.0,
                    "price_ct": 20.0, "sellers": 1, "hhi_sellers": 1.0, "lerner": 0.6, "co2_kg": 0.2,
                }
            ],
            "gains": [
                {"group": "homes", "names": ["home-001"], "gains": [0.6]},
                {"group": "farms", "names": ["farm-001"], "gains": [0.4]},
            ],
            "market": [["Price spread", "3.00 ct/kWh", "highest less lowest"]],
            "people": [["home-001", 0.25, None, 1.2, 0.0, 24.0, None, 0.6, 1.5]],
        },
        "refused": {
            "note": "What does not fit is trimmed or skipped.",
            "constraints": [
                {
                    "constraint": "branch:l2", "said": ["l2", "loading"], "count": 3,
                    "wanted": 0.9, "admitted": 0.5, "refused": 0.4,
                }
            ],
            "slots": [[0.0, 0.0], [0.0, 0.0], [0.9, 0.5], [0.0, 0.0]],
        },
        "compare_note": "The same day with the gate and without.",
        "compare": [
            {
                "name": name, "slots": bad, "violations": bad, "elements": bad, "loading": [12.0, 50.0, high, 0.0],
                "u_min": [1.0, 0.99, 1.0, 1.0], "u_max": [1.002, 1.0, 1.02, 1.0],
                "unbalance": [0.1, 0.2, 1.9, 0.3],
            }
            for name, bad, high in (("gate on", 0, 99.0), ("gate off", 1, 120.0))
        ],
        "strategies": [
            {
                "strategy": "zip", "participants": 2, "bought": 1.2, "sold": 1.2, "buy_price": 20.0, "sell_price": 20.0,
                "benefit": 1.0,
            }
        ],
        "provenance": [["Scenario", "street"], ["Seed", "1"]],
        "check": "wattbook audit runs/street-seed1/ledger.db",
    }  # fmt: skip


def example() -> dict[str, Any]:
    """A copy that a test may change."""
    return copy.deepcopy(_EXAMPLE)
