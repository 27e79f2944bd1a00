"""The tables of a run, made from its record and from those of the days it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agents import envelopes, metrics, parts
from agents.metrics import Accounts, Physics, Trades
from agents.optimum import Optimum
from agents.population import Population
from agents.record import Record
from agents.results import Results
from agents.scenario import UTILITY
from agents.summary import WITHOUT, Day, generation_by_source, stack, summary
from market.slots import format_time
from market.units import NANO, PRICE_PER_CT_KWH

Ints = NDArray[np.int64]


def collect(record: Record, others: Mapping[str, Record]) -> Results:
    """Tables and summary of a finished run, set against the runs in `others`, by their names in a scenario."""
    traded = metrics.trades(record)
    account, physical = metrics.accounts(record, traded), metrics.physics(record)
    gains, best = metrics.welfare(record, traded), metrics.optima(record)
    limited = _limited(record)
    slots = _slots(record, traded, physical, gains, best, limited)
    off = others.get("gate_off")
    if off is not None:
        slots["violations_off"] = _violations(off)
        slots["u_max_off_pu"] = stack(off, "u_high_pu").max(axis=1)
        slots["u_min_off_pu"] = stack(off, "u_low_pu").min(axis=1)
        slots["loading_max_off"] = stack(off, "loading").max(axis=1, initial=0.0)
        if off.population.feeder.three_phase:
            slots["unbalance_max_off"] = stack(off, "unbalance").max(axis=1)
    people = _participants(record, traded, account, physical, others.get(WITHOUT))
    return Results(
        trades=_trades(record, traded), slots=slots, participants=people, limited=limited, depth=_depth(record),
        envelopes=envelopes.table(record),
        grid=_grid(record, off),
        summary=summary(Day(record, traded, account, physical, gains, best), people, limited, others),
        formats=record.scenario.output.trades,
    )  # fmt: skip


def _times(times: Ints) -> list[str]:
    known: dict[int, str] = {time: format_time(time) for time in np.unique(times).tolist()}
    return [known[time] for time in times.tolist()]


def _deliveries(record: Record, columns: Ints) -> list[str]:
    length = record.settings.slot_seconds * NANO
    return _times((columns + record.population.first_slot) * length)


def _trades(record: Record, traded: Trades) -> pd.DataFrame:
    names = [*record.population.ids, UTILITY]
    events = [deal.event for deal in record.desk.trades]
    return pd.DataFrame(
        {
            "seq": traded.seq,
            "time": _times(record.time_of(traded.seq)),
            "slot": traded.column + record.population.first_slot,
            "delivery": _deliveries(record, traded.column),
            "buyer": [names[row] for row in traded.buyer.tolist()],
            "seller": [names[row] for row in traded.seller.tolist()],
            "kwh": traded.quantity / 1000,
            "ct_per_kwh": traded.price / PRICE_PER_CT_KWH,
            "source": [event.source for event in events],
            "local": traded.local,
            "resting": [event.resting for event in events],
            "buy_order": np.array([event.buy_order for event in events], dtype=np.int64),
            "sell_order": np.array([event.sell_order for event in events], dtype=np.int64),
            "buy_flexible": np.array([event.buy_flexible for event in events], dtype=np.bool_),
            "sell_flexible": np.array([event.sell_flexible for event in events], dtype=np.bool_),
            "wh": traded.quantity,
            "price": traded.price,
            "fee": traded.fee,
        }
    )


def _limited(record: Record) -> pd.DataFrame:
    desk, names = record.desk, [*record.population.ids, UTILITY]
    member, sell = [*desk.member.tolist(), -1], [*desk.sell.tolist(), False]
    slot = desk.slot.tolist()
    seq = np.array([limit.seq for limit in desk.limits], dtype=np.int64)
    wanted = np.array([limit.event.wanted for limit in desk.limits], dtype=np.int64)
    admitted = np.array([limit.event.admitted for limit in desk.limits], dtype=np.int64)
    columns = np.array([slot[limit.arriving] for limit in desk.limits], dtype=np.int64) - record.population.first_slot
    return pd.DataFrame(
        {
            "seq": seq,
            "time": _times(record.time_of(seq)),
            "slot": columns + record.population.first_slot,
            "delivery": _deliveries(record, columns),
            "participant": [names[member[limit.arriving]] for limit in desk.limits],
            "side": ["sell" if sell[limit.arriving] else "buy" for limit in desk.limits],
            "counterparty": [names[member[limit.resting]] for limit in desk.limits],
            "wanted_kwh": wanted / 1000,
            "admitted_kwh": admitted / 1000,
            "element": [limit.event.constraint for limit in desk.limits],
            "order": np.array([limit.event.order for limit in desk.limits], dtype=np.int64),
            "resting": np.array([limit.event.resting for limit in desk.limits], dtype=np.int64),
            "wanted_wh": wanted,
            "admitted_wh": admitted,
        }
    )


def _slots(
    record: Record, traded: Trades, physical: Physics, gains: Ints, best: list[Optimum], limited: pd.DataFrame
) -> pd.DataFrame:
    slots, first = record.population.slots, record.population.first_slot
    column = np.arange(slots)
    local, outside = traded.local, ~traded.local
    energy = np.bincount(traded.column[local], traded.quantity[local], slots)
    money = np.bincount(traded.column[local], (traded.quantity * traded.price)[local] / PRICE_PER_CT_KWH, slots)
    prices = pd.Series(traded.price[local] / PRICE_PER_CT_KWH).groupby(traded.column[local])
    low, high, loading = stack(record, "u_low_pu"), stack(record, "u_high_pu"), stack(record, "loading")
    net = record.metered.sum(axis=0)
    table = {
        "slot": column + first,
        "delivery": _deliveries(record, column),
        "trades": np.bincount(traded.column[local], minlength=slots),
        "local_kwh": energy / 1000,
        "utility_kwh": np.bincount(traded.column[outside], traded.quantity[outside], slots) / 1000,
        "price_ct": np.divide(money, energy, out=np.full(slots, np.nan), where=energy > 0),
        "price_low_ct": prices.min().reindex(column).to_numpy(),
        "price_high_ct": prices.max().reindex(column).to_numpy(),
        "orders": record.orders,
        "limited": np.bincount(limited["slot"].to_numpy() - first, minlength=slots),
        "load_kwh": physical.load.sum(axis=0) / 1000,
        "generation_kwh": physical.generation.sum(axis=0) / 1000,
        "battery_kwh": physical.battery.sum(axis=0) / 1000,
        "curtailed_kwh": physical.curtailed.sum(axis=0) / 1000,
        "unserved_kwh": physical.unserved.sum(axis=0) / 1000,
        "net_kwh": net / 1000,
        **{f"{name}_kwh": wh / 1000 for name, wh in generation_by_source(record, physical).items()},
        **{f"load_{name}_kwh": wh.sum(axis=0) / 1000 for name, wh in record.population.load_by_kind().items()},
        "welfare": gains / NANO,
        "optimum": np.array([item.welfare for item in best]) / NANO,
        "unconstrained": np.array([item.unconstrained for item in best]) / NANO,
        "binding": [" ".join(item.binding) for item in best],
        "u_min_pu": low.min(axis=1),
        "u_max_pu": high.max(axis=1),
        "loading_max": loading.max(axis=1, initial=0.0),
        "loss_kwh": stack(record, "loss_w") * record.scenario.slot_hours / 1000,
        "slack_kwh": stack(record, "slack_w") * record.scenario.slot_hours / 1000,
        "violations": _violations(record),
    }
    if record.population.feeder.three_phase:
        table["unbalance_max"] = stack(record, "unbalance").max(axis=1)
    return pd.DataFrame(table)


def _participants(
    record: Record, traded: Trades, account: Accounts, physical: Physics, without: Record | None
) -> pd.DataFrame:
    people = record.population
    table = parts.participants(parts.of_run(record, traded, account, physical))
    for place, (name, column) in enumerate(
        {"kind": people.kinds, "connection": people.connections, "strategy": _strategies(record)}.items(), 2
    ):
        table.insert(place, name, column)
    if people.islanded:
        table["shed_kwh"] = record.shed.sum(axis=1) / 1000
        table["lost_load"] = record.shed.sum(axis=1) * people.lost_load / NANO
    if without is not None:
        alone = metrics.trades(without)
        before, flows = metrics.accounts(without, alone), metrics.physics(without)
        table["bill_without"] = -before.money / NANO
        table["saving"] = (account.money - before.money) / NANO
        table["benefit"] = (metrics.benefit(record, account) - metrics.benefit(without, before)) / NANO
        table["load_without_kwh"] = flows.load.sum(axis=1) / 1000
        table["bought_utility_without_kwh"] = before.bought_utility / 1000
        table["co2_without_kg"] = parts.emissions(parts.of_run(without, alone, before, flows))
    return table


def _strategies(record: Record) -> list[str]:
    names = [""] * len(record.population)
    for group in record.desk.groups:
        for row in group.members.tolist():
            names[row] = group.name
    return names


def _depth(record: Record) -> pd.DataFrame:
    ladders = record.depth
    lengths = [len(ladder.price) for ladder in ladders]
    slot = np.repeat(np.array([ladder.slot for ladder in ladders], dtype=np.int64), lengths)
    time = np.repeat(np.array([ladder.time for ladder in ladders], dtype=np.int64), lengths)
    side = np.repeat(np.array([ladder.side for ladder in ladders], dtype=np.str_), lengths)
    price, quantity = (np.concatenate([getattr(ladder, name) for ladder in ladders]) for name in ("price", "quantity"))
    return pd.DataFrame(
        {
            "slot": slot, "time": _times(time), "side": side, "ct_per_kwh": price / PRICE_PER_CT_KWH,
            "kwh": quantity / 1000, "price": price, "wh": quantity,
        }
    )  # fmt: skip


def _grid(record: Record, off: Record | None) -> dict[str, NDArray[Any]]:
    people = record.population
    feeder = people.feeder
    arrays: dict[str, NDArray[Any]] = {
        "slots": people.first_slot + np.arange(people.slots),
        "u_pu": stack(record, "u_pu"),
        "loading": stack(record, "loading"),
        "loss_w": stack(record, "loss_w"),
        "slack_w": stack(record, "slack_w"),
        "injection_wh": record.schedule + _baseline(people).T[:, _owner(record)] * _owned(record),
        "bus_ids": np.array(feeder.bus_ids),
        "branch_ids": np.array(feeder.line_ids + feeder.transformer_ids),
        "connection_ids": np.array(feeder.connection_ids),
    }
    if off is not None:
        arrays["off_u_pu"], arrays["off_loading"] = stack(off, "u_pu"), stack(off, "loading")
    if feeder.three_phase:
        voltage, full = stack(record, "u_phase_pu"), stack(record, "loading_phase")
        for at, phase in enumerate("abc"):
            arrays[f"{phase}_u_pu"], arrays[f"{phase}_loading"] = voltage[..., at], full[..., at]
        arrays["n_loading"], arrays["unbalance"] = full[..., 3], stack(record, "unbalance")
    return arrays


def _baseline(people: Population) -> Ints:
    """(P, T) what flowed anyway."""
    return np.zeros_like(people.firm_sell_wh) if people.islanded else people.firm_sell_wh - people.firm_buy_wh


def _owner(record: Record) -> Ints:
    """(C,) participant at each connection, 0 where there is none."""
    owner = np.zeros(len(record.population.feeder.connection_ids), dtype=np.int64)
    owner[record.population.connection_index] = np.arange(len(record.population))
    return owner


def _owned(record: Record) -> Ints:
    owned = np.zeros(len(record.population.feeder.connection_ids), dtype=np.int64)
    owned[record.population.connection_index] = 1
    return owned


def _violations(record: Record) -> Ints:
    columns = np.array([item.slot - record.population.first_slot for item in record.violations], dtype=np.int64)
    return np.bincount(columns, minlength=record.population.slots)
