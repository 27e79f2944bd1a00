"""The summary of a run: one mapping of plain numbers and texts, fit for JSON. docs/simulate.md explains every key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agents import indicators, metrics, parts
from agents.metrics import Accounts, Physics, Trades, share
from agents.optimum import Optimum, total
from agents.population import SOURCES
from agents.record import Record
from market.slots import SlotClock, format_time
from market.units import NANO, PRICE_PER_CT_KWH

Ints = NDArray[np.int64]
WITHOUT = "no_local_trading"


class Day(NamedTuple):
    """A record and the figures drawn from it."""

    record: Record
    traded: Trades
    account: Accounts
    physical: Physics
    gains: Ints
    """(T,) welfare achieved [nano-currency]."""
    best: list[Optimum]


def summary(day: Day, people: pd.DataFrame, limited: pd.DataFrame, others: Mapping[str, Record]) -> dict[str, Any]:
    """All figures of a run."""
    record, traded, account, physical, gains, best = day
    figures = {
        **_head(record),
        "energy": _energy(record, traded, account, physical),
        "price": _price(traded) | indicators.spread(traded),
        "money": _money(traded, account),
        "groups": _groups(people),
        "welfare": _welfare(gains, best),
        "limited": _refusals(limited),
        "grid": _grid_figures(record),
        "peak": indicators.peak(stack(record, "slack_w") / 1000),
        "sources": _sources(record, traded, account, physical),
        "market_power": market_power(record, traded, account),
        "emissions": emissions(record, traded, account, physical),
    }
    if record.population.islanded:
        figures["island"] = _island(record, people)
    if WITHOUT in others:
        figures["without_local_trading"] = _without(record, account, others[WITHOUT])
        figures["fairness"] = _fairness(record, account, others[WITHOUT])
    if "gate_off" in others:
        figures["gate_off"] = _grid_figures(others["gate_off"])
    return figures


def stack(record: Record, field: str) -> NDArray[np.float64]:
    """A field of all flows, one row a slot."""
    return np.concatenate([getattr(flow, field) for flow in record.flows])


def _head(record: Record) -> dict[str, Any]:
    first, people = record.population.first_slot, record.population
    clock = SlotClock(record.settings.slot_seconds * NANO, 0, 0)
    orders = sum(record.orders)
    return {
        "scenario": record.scenario.name,
        "title": record.scenario.title,
        "seed": record.seed,
        "currency": record.settings.currency,
        "gate": record.settings.gate,
        "netting": record.settings.netting,
        "stages": record.stages,
        "from": format_time(clock.start(first)),
        "to": format_time(clock.start(first + people.slots)),
        "slots": people.slots,
        "participants": len(people),
        "orders": orders,
        "entries": record.entries,
        "seconds": record.seconds,
        "orders_per_second": orders / record.seconds if record.seconds else None,
    }


def _energy(record: Record, traded: Trades, account: Accounts, physical: Physics) -> dict[str, Any]:
    load, generation = int(physical.load.sum()), int(physical.generation.sum())
    local = traded.quantity[traded.local]
    return {
        "trades": len(local),
        "local_kwh": int(local.sum()) / 1000,
        "firm_kwh": _firm(record) / 1000,
        "bought_from_utility_kwh": int(account.bought_utility.sum()) / 1000,
        "sold_to_utility_kwh": int(account.sold_utility.sum()) / 1000,
        "load_kwh": load / 1000,
        "generation_kwh": generation / 1000,
        "curtailed_kwh": int(physical.curtailed.sum()) / 1000,
        "unserved_kwh": int(physical.unserved.sum()) / 1000,
        "self_sufficiency": share(load - int(account.bought_utility.sum()), load),
        "self_consumption": share(generation - int(account.sold_utility.sum()), generation),
    }


def _firm(record: Record) -> int:
    """Local trades that moved no energy on either side."""
    deals = (deal.event for deal in record.desk.trades if -1 not in (deal.buy, deal.sell))
    return sum(event.quantity for event in deals if not event.buy_flexible and not event.sell_flexible)


def _price(traded: Trades) -> dict[str, Any]:
    price, energy = traded.price[traded.local], traded.quantity[traded.local]
    if not len(price):
        return {"mean_ct": None, "low_ct": None, "high_ct": None}
    return {
        "mean_ct": int(price @ energy) / int(energy.sum()) / PRICE_PER_CT_KWH,
        "low_ct": int(price.min()) / PRICE_PER_CT_KWH,
        "high_ct": int(price.max()) / PRICE_PER_CT_KWH,
    }


def _island(record: Record, people: pd.DataFrame) -> dict[str, Any]:
    """Firm load that was shed, what that cost its owners, and what the one unit that keeps the balance had to add."""
    slack = stack(record, "slack_w") * record.scenario.slot_hours / 1000
    return {
        "shed_kwh": float(people["shed_kwh"].sum()),
        "shed_slots": int((record.shed > 0).any(axis=0).sum()),
        "lost_load": float(people["lost_load"].sum()),
        "balancing_kwh": float(np.abs(slack).sum()),
        "balancing_largest_kwh": float(np.abs(slack).max(initial=0.0)),
    }


def _money(traded: Trades, account: Accounts) -> dict[str, Any]:
    return {
        "local": int((traded.price * traded.quantity)[traded.local].sum()) / NANO,
        "bills": -int(account.money.sum()) / NANO,
        "utility": account.utility / NANO,
        "grid_fees": int(account.fees.sum()) / NANO,
        "losses": int(account.losses.sum()) / NANO,
        "losses_operator": int(account.fees.sum() - account.wires) / NANO,
        "wires": account.wires / NANO,
    }


def _groups(people: pd.DataFrame) -> dict[str, Any]:
    saving, benefit = ("saving", "benefit") if "benefit" in people else ("saved_at_tariff", "saved_at_tariff")
    kinds = people.groupby("group", sort=False)["kind"].first()
    groups = {
        name: {"kind": str(kinds[name]), **figures} for name, figures in parts.groups(people, saving, benefit).items()
    }
    if "bought_utility_without_kwh" in people:
        for group in groups.values():
            before = group["load_without_kwh"]
            group["self_sufficiency_without"] = share(before - group["bought_utility_without_kwh"], before)
            group["g_per_kwh_without"] = share(1000 * group["co2_without_kg"], before)
    return groups


def _welfare(gains: Ints, best: list[Optimum]) -> dict[str, Any]:
    constrained, unconstrained = total(best)
    return {
        "achieved": int(gains.sum()) / NANO,
        "optimum": constrained / NANO,
        "unconstrained": unconstrained / NANO,
        "share": share(int(gains.sum()), constrained),
        "congestion_cost": (unconstrained - constrained) / NANO,
        "congested_slots": sum(1 for item in best if item.binding),
        "largest_excess": max((item.excess for item in best), default=0.0),
    }


def generation_by_source(record: Record, physical: Physics) -> dict[str, Ints]:
    """(T,) generation that flowed [Wh] by origin; what was curtailed counts against a participant's main source."""
    people = record.population
    available = {name: wh.sum(axis=0) for name, wh in people.generation_by_source().items()}
    for index, name in enumerate(SOURCES):
        if name in available:
            available[name] = available[name] - physical.curtailed[people.source == index].sum(axis=0)
    return available


def _kwh_by_source(record: Record, physical: Physics) -> dict[str, float]:
    return {name: int(wh.sum()) / 1000 for name, wh in generation_by_source(record, physical).items()}


def _sources(record: Record, traded: Trades, account: Accounts, physical: Physics) -> dict[str, Any]:
    generated = {name: int(wh.sum()) for name, wh in generation_by_source(record, physical).items()}
    table = parts.origins(parts.of_run(record, traded, account, physical), generated)
    return {row.pop("source"): row for row in table.astype(object).where(table.notna(), None).to_dict("records")}


def market_power(record: Record, traded: Trades, account: Accounts) -> dict[str, Any]:
    """Who could have set prices; the residual supply follows from what all had to offer, quoted or not."""
    desk, people = record.desk, record.population
    slots = range(people.first_slot, people.first_slot + people.slots)
    residual = []
    for slot in slots:
        wants, member = desk.wants(slot), desk.member[desk.rows(slot)]
        offered = np.bincount(member[wants.sell], wants.quantity[wants.sell], len(people))
        residual.append(indicators.residual_supply(offered, int(wants.quantity[~wants.sell].sum())))
    return indicators.market_power(traded, account.sold_local, account.bought_local, residual)


def emissions(record: Record, traded: Trades, account: Accounts, physical: Physics) -> dict[str, Any]:
    """What flowed emitted, from every plant and from above the feeder, and what was consumed did by contract."""
    from_above = stack(record, "slack_w") * record.scenario.slot_hours / 1000
    imported, exported = float(np.maximum(from_above, 0).sum()), float(np.maximum(-from_above, 0).sum())
    load, factors = int(physical.load.sum()) / 1000, record.scenario.emissions.model_dump()
    flowed = indicators.emissions(_kwh_by_source(record, physical), imported, exported, load, factors)
    consumed = float(parts.emissions(parts.of_run(record, traded, account, physical)).sum())
    return {**flowed, "consumed_kg": consumed, "consumed_g_per_kwh": share(1000 * consumed, load)}


def _fairness(record: Record, account: Accounts, without: Record) -> dict[str, Any]:
    before = metrics.accounts(without, metrics.trades(without))
    benefit = metrics.benefit(record, account) - metrics.benefit(without, before)
    fair = indicators.fairness(benefit, account.money - before.money)
    return {**fair, "profit_dispersion": indicators.dispersion(benefit)}


def _refusals(limited: pd.DataFrame) -> dict[str, Any]:
    refused = limited["admitted_wh"] == 0
    counts = Counter(limited["element"].tolist())
    return {
        "refused": int(refused.sum()),
        "trimmed": int((~refused).sum()),
        "by_element": dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
    }


def _grid_figures(record: Record) -> dict[str, Any]:
    feeder = record.population.feeder
    low, high, loading = stack(record, "u_low_pu"), stack(record, "u_high_pu"), stack(record, "loading")
    branches = feeder.line_ids + feeder.transformer_ids
    worst = [("u_min", "_pu", low, low.argmin()), ("u_max", "_pu", high, high.argmax())]
    if feeder.three_phase:
        unbalance = stack(record, "unbalance")
        worst.append(("unbalance_max", "", unbalance, unbalance.argmax()))
    figures: dict[str, Any] = {}
    for name, unit, values, at in worst:
        slot, bus = np.unravel_index(at, values.shape)
        figures[f"{name}{unit}"] = float(values[slot, bus])
        figures[f"{name}_bus"] = feeder.bus_ids[int(bus)]
        figures[f"{name}_slot"] = record.population.first_slot + int(slot)
    if branches:
        slot, branch = np.unravel_index(loading.argmax(), loading.shape)
        figures["loading_max"] = float(loading[slot, branch])
        figures["loading_max_branch"] = branches[int(branch)]
        figures["loading_max_slot"] = record.population.first_slot + int(slot)
    hours = record.scenario.slot_hours
    figures["losses_kwh"] = float(stack(record, "loss_w").sum()) * hours / 1000
    figures["violations"] = len(record.violations)
    figures["violations_by_trade"] = sum(1 for item in record.violations if item.by_trade)
    figures["violated_slots"] = len({item.slot for item in record.violations})
    figures["violated_elements"] = sorted({item.element for item in record.violations})
    return figures


def _without(record: Record, account: Accounts, without: Record) -> dict[str, Any]:
    alone, physical = metrics.trades(without), metrics.physics(without)
    before = metrics.accounts(without, alone)
    load, generation = int(physical.load.sum()), int(physical.generation.sum())
    benefit = metrics.benefit(record, account) - metrics.benefit(without, before)
    return {
        "bills": -int(before.money.sum()) / NANO,
        "savings": int((account.money - before.money).sum()) / NANO,
        "benefit": int(benefit.sum()) / NANO,
        "better_off": int((benefit > 0).sum()),
        "worse_off": int((benefit < 0).sum()),
        "self_sufficiency": share(load - int(before.bought_utility.sum()), load),
        "self_consumption": share(generation - int(before.sold_utility.sum()), generation),
        "losses_kwh": float(stack(without, "loss_w").sum()) * without.scenario.slot_hours / 1000,
        "peak": indicators.peak(stack(without, "slack_w") / 1000),
        "emissions": emissions(without, alone, before, physical),
    }
