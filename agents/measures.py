"""The figures by which runs are compared, drawn from the record of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from agents import metrics, parts, summary
from agents.indicators import dispersion, fairness, peak, spread
from agents.metrics import Accounts, Trades, share
from agents.optimum import Optimum, total
from agents.record import Record
from agents.summary import stack
from market.units import NANO, PRICE_PER_CT_KWH


class Measure(NamedTuple):
    """One figure of a run, or of a group in it."""

    label: str
    unit: str
    digits: int


MEASURES: Mapping[str, Measure] = {
    "traded_kwh": Measure("Traded locally", "kWh", 1),
    "trades": Measure("Trades", "", 0),
    "price_ct": Measure("Mean price", "ct/kWh", 2),
    "spread_ct": Measure("Price spread", "ct/kWh", 2),
    "savings": Measure("Savings", "currency", 2),
    "benefit": Measure("Benefits", "currency", 2),
    "welfare_pct": Measure("Welfare reached", "%", 2),
    "congestion_cost": Measure("Congestion cost", "currency", 2),
    "self_sufficiency_pct": Measure("Self-sufficiency", "%", 2),
    "self_consumption_pct": Measure("Self-consumption", "%", 2),
    "jain": Measure("Jain's index of benefits", "", 3),
    "gini": Measure("Gini of savings", "", 3),
    "losers_pct": Measure("Participants worse off", "%", 1),
    "profit_dispersion": Measure("Dispersion of benefits", "currency", 3),
    "hhi_sellers": Measure("Concentration of sellers", "", 3),
    "lerner": Measure("Lerner's index", "", 3),
    "residual_supply": Measure("Least residual supply", "", 3),
    "co2_kg": Measure("Emissions", "kg CO2", 1),
    "co2_g_per_kwh": Measure("Emissions per consumption", "g/kWh", 1),
    "import_kw": Measure("Peak import", "kW", 1),
    "export_kw": Measure("Peak export", "kW", 1),
    "fees": Measure("Fees to the wires", "currency", 2),
    "losses_kwh": Measure("Lost in the wires", "kWh", 1),
    "refused": Measure("Refused by the wires", "", 0),
    "trimmed": Measure("Trimmed by the wires", "", 0),
    "loading_pct": Measure("Fullest branch", "%", 1),
    "seconds": Measure("Run time", "s", 2),
}
"""Figures by name, in the order of the tables."""

GROUP_MEASURES: Mapping[str, Measure] = {
    "benefit": Measure("Benefit per member", "currency", 3),
    "saving": Measure("Saving per member", "currency", 3),
    "self_sufficiency_pct": Measure("Self-sufficiency", "%", 1),
    "self_consumption_pct": Measure("Self-consumption", "%", 1),
    "share_of_sales_pct": Measure("Share of local sales", "%", 1),
    "co2_g_per_kwh": Measure("Emissions per consumption", "g/kWh", 1),
    "jain": Measure("Jain's index of benefits", "", 3),
    "losers_pct": Measure("Members worse off", "%", 1),
}
"""Figures of a group by name."""


class Drawn(NamedTuple):
    """The figures of one run."""

    whole: dict[str, float | None]
    """All of MEASURES but the run time."""
    groups: dict[str, dict[str, float | None]]
    """By group: `participants`, and all of GROUP_MEASURES."""


def figures(record: Record, none: Record, before: Accounts, best: list[Optimum]) -> Drawn:
    """The figures of a run, against its day without a local market and its optima."""
    traded = metrics.trades(record)
    account, physical = metrics.accounts(record, traded), metrics.physics(record)
    saving = account.money - before.money
    benefit = metrics.benefit(record, account) - metrics.benefit(none, before)
    load, generation = int(physical.load.sum()), int(physical.generation.sum())
    admitted = [limit.event.admitted for limit in record.desk.limits]
    welfare, (optimum, unconstrained) = int(metrics.welfare(record, traded).sum()), total(best)
    power, air = summary.market_power(record, traded, account), summary.emissions(record, traded, account, physical)
    above = peak(stack(record, "slack_w") / 1000)
    whole = {
        **_local(traded),
        "spread_ct": spread(traded)["spread_ct"],
        "savings": int(saving.sum()) / NANO,
        "benefit": int(benefit.sum()) / NANO,
        "welfare_pct": _percent(share(welfare, optimum)),
        "congestion_cost": (unconstrained - optimum) / NANO,
        "self_sufficiency_pct": _percent(share(load - int(account.bought_utility.sum()), load)),
        "self_consumption_pct": _percent(share(generation - int(account.sold_utility.sum()), generation)),
        **fairness(benefit, saving),
        "profit_dispersion": dispersion(benefit),
        "hhi_sellers": power["hhi_sellers"],
        "lerner": power["lerner"],
        "residual_supply": power["residual_supply_min"],
        "co2_kg": air["kg"],
        "co2_g_per_kwh": air["consumed_g_per_kwh"],
        "import_kw": above["import_kw"],
        "export_kw": above["export_kw"],
        "fees": int(account.fees.sum()) / NANO,
        "losses_kwh": float(stack(record, "loss_w").sum()) * record.scenario.slot_hours / 1000,
        "refused": sum(1 for wh in admitted if wh == 0),
        "trimmed": sum(1 for wh in admitted if wh > 0),
        "loading_pct": 100 * float(stack(record, "loading").max(initial=0.0)),
    }
    people = parts.participants(parts.of_run(record, traded, account, physical))
    people["saving"], people["benefit"] = saving / NANO, benefit / NANO
    groups = {name: _group(found) for name, found in parts.groups(people, "saving", "benefit").items()}
    return Drawn(whole, groups)


def _group(found: Mapping[str, Any]) -> dict[str, float | None]:
    members = found["participants"]
    return {
        "participants": members,
        "benefit": found["benefit"] / members,
        "saving": found["saving"] / members,
        "self_sufficiency_pct": _percent(found["self_sufficiency"]),
        "self_consumption_pct": _percent(found["self_consumption"]),
        "share_of_sales_pct": _percent(found["share_of_sales"]),
        "co2_g_per_kwh": found["g_per_kwh"],
        "jain": found["jain"],
        "losers_pct": found["losers_pct"],
    }


def _local(traded: Trades) -> dict[str, float | None]:
    price, energy = traded.price[traded.local], traded.quantity[traded.local]
    mean = share(int(price @ energy), int(energy.sum()))
    return {
        "traded_kwh": int(energy.sum()) / 1000,
        "trades": len(energy),
        "price_ct": None if mean is None else mean / PRICE_PER_CT_KWH,
    }


def _percent(part: float | None) -> float | None:
    return None if part is None else 100 * part
