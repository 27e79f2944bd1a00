"""The participants as columns: P rows, T slots, and what each would sell or buy in a slot.

Netting at one connection, in this order, so that nobody trades with themselves:

1. own load is served by own must-run generation, then by own dispatchable generation;
2. own flexible consumption is served by own dispatchable generation that is left, then by own firm surplus;
3. the battery takes what surplus is left (what would be curtailed first) and gives what load still lacks;
4. what remains is offered or wanted: `firm_sell` or `firm_buy` flows anyway and a trade only re-labels it;
   `flexible_sell` and `flexible_buy` flow only if they are traded.

Hence a participant sells or buys in a slot, never both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents import scenario_files
from agents.devices import registry
from agents.devices.battery import Battery
from agents.devices.fleet import RuleSite, Site
from agents.devices.pv import split_export
from agents.fleets import Members, Owned, fleets
from agents.forecast import choose
from agents.netting import Netted, move, own, store
from agents.scenario import Scenario, ScenarioError, Time
from agents.scenario_connections import allocate
from agents.seeds import child, generator
from agents.steps import PER_DAY, STEP
from grid.feeder import Feeder
from market.slots import NS, format_time

Ints = NDArray[np.int64]

DAY = 86_400
MEMORY_DAYS = 7
"""Days before the run whose meter readings planning batteries know."""
SOURCES = ("", "solar", "wind", "hydro", "biomass", "storage", "grid", "fuel")


class StrategyUse(NamedTuple):
    """Participants that use one strategy with the same parameters."""

    name: str
    params: Mapping[str, Any]
    members: Ints
    """Rows of the population, rising."""


class Position(NamedTuple):
    """What is there to trade in one slot [Wh], each (P,) and >= 0."""

    firm_sell: Ints
    flexible_sell: Ints
    firm_buy: Ints
    flexible_buy: Ints


class Series(NamedTuple):
    """Energy of one fleet, for reports."""

    label: str
    """Kind of the device, such as pv, or of the load, such as household."""
    source: str
    """Origin of generated energy, one of SOURCES; empty for consumption."""
    owners: Ints
    """(n,) rows of the population."""
    energy_wh: Ints
    """(n, T) energy available or consumed, >= 0."""


@dataclass(frozen=True, eq=False)
class Population:
    """P participants, the utility not among them, over T delivery slots. Arrays are read-only."""

    feeder: Feeder
    first_slot: int
    """The exchange's number of column 0."""
    ids: list[str]
    groups: list[str]
    kinds: list[str]
    connections: list[str]
    connection_index: Ints
    """(P,) position of the connection in `feeder.connection_ids`."""
    strategies: list[StrategyUse]
    """Every row is in exactly one."""
    buy_value: Ints
    """(P,) what energy is worth to a buyer, all fees included [milli-currency/MWh]."""
    sell_cost: Ints
    """(P,) lowest price that a seller accepts [milli-currency/MWh]."""
    accepts: list[tuple[str, ...]]
    """Origins that each one's bids accept; none named: all."""
    premium: Ints
    """(P,) what bids pay for them beyond what energy is worth [milli-currency/MWh]."""
    source: Ints
    """(P,) index into SOURCES: where most of the participant's generation comes from; 0 without any."""
    load_wh: Ints
    """(P, T) consumption that happens anyway."""
    flexible_load_wh: Ints
    """(P, T) consumption that happens only if there is energy for it: own surplus, or bought."""
    must_run_wh: Ints
    """(P, T) generation that flows anyway; PV up to own load and the static export limit."""
    dispatchable_wh: Ints
    """(P, T) generation that flows only if it is used or sold; curtailed otherwise."""
    reactive_varh: Ints
    """(P, T) reactive injection [varh], negative for the inductive loads."""
    battery_wh: Ints
    """(P, T) battery at its terminals: discharge positive, charge negative."""
    firm_sell_wh: Ints
    flexible_sell_wh: Ints
    firm_buy_wh: Ints
    flexible_buy_wh: Ints
    """(P, T) each: the columns of `position`."""
    series: list[Series]
    """Every fleet of generators and loads, flexible ones included."""
    battery_traded_wh: Ints
    """(P, T) what of it was traded, sold positive."""
    battery: Battery
    """The batteries at the end of the last slot; of those that trade, of the last slot whose gate has closed."""
    battery_owner: Ints
    """(B,) row of each battery's owner."""
    islanded: bool
    """True: nothing comes from above the feeder, and whatever flows was traded."""
    lost_load: Ints
    """(P,) what it costs that firm load is not served [milli-currency/MWh]."""
    trading: list[RuleSite]
    """The batteries that are decided while the market runs: they are not in the columns until then."""
    given: Population | None = None
    """Where batteries trade: the population before the market runs."""

    def fresh(self) -> Population:
        """The population of a run that begins: where batteries trade, a copy whose columns the run fills."""
        if not self.trading:
            return self
        given = self.given or self
        columns = ("battery_wh", "battery_traded_wh", *(f"{name}_wh" for name in Position._fields))
        copies = {name: getattr(given, name).copy() for name in columns}
        return replace(given, **copies, battery=given.battery.some(np.arange(len(given.battery))), given=given)

    def move(self, owner: Ints, column: int, realised: Ints) -> None:
        """In a `fresh` population: batteries of the rows `owner` gave so much behind their connections [Wh]."""
        names = ("firm_sell_wh", "flexible_sell_wh", "firm_buy_wh", "flexible_buy_wh", "battery_wh")
        move(Netted(*(getattr(self, name) for name in names)), owner, column, realised)

    def deliver(self, rows: Ints, owner: Ints, column: int, sold: Ints, now: Battery) -> None:
        """Batteries traded so much in a slot, sold positive [Wh], and are as `now` says after it."""
        self.battery_wh[owner, column] += sold
        self.battery_traded_wh[owner, column] += sold
        self.battery.stored_uwh[rows], self.battery.lost_uwh[rows] = now.stored_uwh, now.lost_uwh

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def slots(self) -> int:
        """Number T of delivery slots."""
        return int(self.load_wh.shape[1])

    def position(self, slot: int) -> Position:
        """What there is to trade in a delivery slot, numbered as in the exchange. Raises IndexError outside the run."""
        t = self._column(slot)
        return Position(
            self.firm_sell_wh[:, t], self.flexible_sell_wh[:, t], self.firm_buy_wh[:, t], self.flexible_buy_wh[:, t]
        )

    def baseline(self, slot: int) -> tuple[Ints, Ints]:
        """Energy that flows anyway per connection of the feeder, injection positive: [Wh] and [varh], each (C,)."""
        t = self._column(slot)
        active, reactive = np.zeros((2, len(self.feeder.connection_ids)), dtype=np.int64)
        if not self.islanded:
            active[self.connection_index] = self.firm_sell_wh[:, t] - self.firm_buy_wh[:, t]
        reactive[self.connection_index] = self.reactive_varh[:, t]
        return active, reactive

    def beyond(self) -> tuple[Ints, Ints]:
        """(P, T) what flows only if it is sold, and only if it is bought [Wh]; on an island, all of it."""
        if self.islanded:
            return self.flexible_sell_wh + self.firm_sell_wh, self.flexible_buy_wh + self.firm_buy_wh
        return self.flexible_sell_wh, self.flexible_buy_wh

    def generation_by_source(self) -> dict[str, Ints]:
        """Energy that each origin could generate, (P, T) [Wh]."""
        return self._summed({series.source for series in self.series if series.source}, "source")

    def load_by_kind(self) -> dict[str, Ints]:
        """Energy that each kind of load would consume, flexible ones included, (P, T) [Wh]."""
        return self._summed({series.label for series in self.series if not series.source}, "label")

    def _summed(self, names: set[str], field: str) -> dict[str, Ints]:
        sums = {name: np.zeros_like(self.load_wh) for name in sorted(names)}
        for series in self.series:
            name = getattr(series, field)
            if name in sums and bool(series.source) == (field == "source"):
                sums[name][series.owners] += series.energy_wh
        return sums

    def _column(self, slot: int) -> int:
        if not 0 <= slot - self.first_slot < self.slots:
            raise IndexError(f"slot {slot} is not in the run: {self.first_slot} to {self.first_slot + self.slots - 1}")
        return slot - self.first_slot


def build(scenario: Scenario, seed: np.random.SeedSequence) -> Population:
    """The population of a scenario; everything random comes from `seed`, apart for each group by its name.

    Raises ScenarioError if there are too few connections, and what the feeder's and the profiles' files raise.
    """
    feeder = scenario_files.load_feeder(scenario)
    profiles = scenario_files.load_profiles(scenario)
    chosen, errors = allocate(scenario.participants, feeder, seed)
    if errors:
        raise ScenarioError(errors)

    def members(scenario: Scenario) -> list[Members]:
        weather = scenario_files.load_weather(scenario, seed)
        time, everyone, start = (scenario.first_slot, scenario.slots, scenario.market.slot), [], 0
        tariff = scenario.tariffs.prices(weather.steps.first_day * PER_DAY, weather.steps.count, STEP).retail
        for group, places in zip(scenario.participants, chosen, strict=True):
            names = tuple(feeder.connection_profile[i] for i in places)
            site = Site(profiles, *time, names, child(seed, "group", group.group), weather, tariff)
            everyone.append(Members(group, np.arange(start, start + len(places)), site))
            start += len(places)
        return everyone

    everyone = members(scenario)
    index = np.array([i for places in chosen for i in places], dtype=np.int64)
    value, cost = _prices(everyone, scenario)
    return Population(
        feeder=feeder,
        first_slot=scenario.first_slot,
        ids=[f"{m.group.group}-{k + 1:03d}" for m in everyone for k in range(len(m.rows))],
        groups=[m.group.group for m in everyone for _ in m.rows],
        kinds=[m.group.kind for m in everyone for _ in m.rows],
        connections=[feeder.connection_ids[i] for i in index],
        connection_index=_fixed(index),
        strategies=_strategy_uses(everyone),
        buy_value=_fixed(value),
        sell_cost=_fixed(cost),
        accepts=[m.group.accepts for m in everyone for _ in m.rows],
        premium=_fixed(np.array([m.group.green_premium for m in everyone for _ in m.rows], dtype=np.int64)),
        islanded=scenario.islanded,
        lost_load=_fixed(_lost_load(everyone, scenario)),
        **_energies(everyone, len(index), scenario, _past(scenario, members)),
    )


def _past(scenario: Scenario, members: Callable[[Scenario], list[Members]]) -> Ints:
    """(P, t) load less generation of the days before the run [Wh]; t is 0 where no battery plans by it.

    The same devices under the weather of those days: what their meters would have counted.
    """
    people = sum(group.size for group in scenario.participants)
    plans = any(
        group.battery is not None and group.battery.rule != "self_consumption" for group in scenario.participants
    )
    start = scenario.time.start - MEMORY_DAYS * DAY * NS
    if not plans or start < scenario.market.opens_before * NS:
        return np.zeros((people, 0), dtype=np.int64)
    time = Time(start=format_time(start), days=MEMORY_DAYS)  # type: ignore[arg-type]
    try:
        netted = _columns(members(scenario.model_copy(update={"time": time})), people)[0]
    except ValueError:  # recordings may begin with the run: then nothing is known of before
        return np.zeros((people, 0), dtype=np.int64)
    return netted.firm_buy - netted.firm_sell - netted.flexible_sell


def _columns(everyone: list[Members], count: int) -> tuple[Netted, dict[str, Ints], list[Owned]]:
    """All columns of energy without batteries: netted, as devices have them, and the fleets."""
    slots = everyone[0].site.slots
    load, flexible, must_run, dispatchable, reactive = np.zeros((5, count, slots), dtype=np.int64)
    owned = [item for members in everyone for item in fleets(members)]
    for owners, fleet, _ in owned:
        target = (flexible if fleet.flexible else load) if not fleet.source else dispatchable
        if not fleet.source or fleet.flexible:
            target[owners] += fleet.energy_wh
        reactive[owners] += fleet.reactive_varh
    for owners, fleet, limit in owned:  # after the loads, which do not count against a limit of export
        if fleet.source and not fleet.flexible:
            if limit is None:
                must_run[owners] += fleet.energy_wh
                continue
            firm, above = split_export(fleet.energy_wh, load[owners], limit)
            must_run[owners] += firm
            dispatchable[owners] += above
    columns = {
        "load_wh": load,
        "flexible_load_wh": flexible,
        "must_run_wh": must_run,
        "dispatchable_wh": dispatchable,
        "reactive_varh": reactive,
    }
    return own(load, flexible, must_run, dispatchable), columns, owned


def _energies(everyone: list[Members], count: int, scenario: Scenario, past: Ints) -> dict[str, Any]:
    """All columns of energy, the fleets and the batteries."""
    netted, columns, owned = _columns(everyone, count)
    battery, owner, rules, trading = _batteries(everyone, netted, past, scenario)
    store(netted, battery, owner, rules)
    columns |= {f"{name}_wh": column for name, column in netted._asdict().items()}
    return {
        **{name: _fixed(column) for name, column in columns.items()},
        "source": _fixed(_main_source(owned, count)),
        "series": [Series(fleet.label, fleet.source, owners, _fixed(fleet.energy_wh)) for owners, fleet, _ in owned],
        "battery_traded_wh": _fixed(np.zeros_like(netted.battery)),
        "battery": battery,
        "battery_owner": _fixed(owner),
        "trading": trading,
    }


def _batteries(
    everyone: list[Members], netted: Netted, past: Ints, scenario: Scenario
) -> tuple[Battery, Ints, dict[registry.Rule, Ints], list[RuleSite]]:
    """The batteries, their owners, those of each rule, and those that trade."""
    columns: list[list[float]] = []
    owner: list[int] = []
    rules: dict[tuple[str, bool, str | float], list[int]] = {}
    for members in everyone:
        spec = members.group.battery
        if spec is None:
            continue
        owning = members.owning("battery", spec.share)
        capacity, power = owning.sizes("kwh", spec.kwh), owning.sizes("kw", spec.kw)
        mine = rules.setdefault((spec.rule, spec.trade, spec.forecast), [])
        mine.extend(range(len(owner), len(owner) + len(owning.rows)))
        owner.extend(owning.rows.tolist())
        for kwh, kw in zip(capacity, power, strict=True):
            columns.append([kwh * 1000, kw * 1000, spec.efficiency, spec.self_discharge, spec.initial])
    wh, watts, efficiency, loss, initial = np.array(columns, dtype=np.float64).reshape(-1, 5).T
    battery = Battery(wh, watts, scenario.slot_hours, efficiency=efficiency, self_discharge=loss, initial=initial)
    slot = scenario.market.slot
    prices = scenario.tariffs.prices(scenario.first_slot, scenario.slots + 7 * DAY // slot, slot)
    seed, made, trading = everyone[0].site.seed, {}, []
    for (name, trades, forecast), members_of in rules.items():
        rows = np.array(members_of)
        mine = np.array(owner)[rows]
        before, run = past[mine].astype(np.float64), netted.firm_buy - netted.firm_sell - netted.flexible_sell
        truth = np.concatenate([before, run[mine]], axis=1)
        forecaster = choose(forecast, DAY // slot, truth, generator(seed, "forecast", name))
        site = RuleSite(rows, slot, *prices, forecaster, before)
        if trades:
            trading.append(site)
        else:
            made[registry.rule_for(name, site)] = rows
    return battery, np.array(owner, dtype=np.int64), made, trading


def _main_source(owned: list[Owned], count: int) -> Ints:
    """Index into SOURCES of each row's largest generation, 0 without any."""
    total = np.zeros((count, len(SOURCES)), dtype=np.int64)
    for owners, fleet, _ in owned:
        if fleet.source:
            total[owners, SOURCES.index(fleet.source)] += fleet.energy_wh.sum(axis=1)
    return np.asarray(total.argmax(axis=1), dtype=np.int64)


def _prices(everyone: list[Members], scenario: Scenario) -> tuple[Ints, Ints]:
    values, costs = [], []
    retail, feed_in = scenario.prices()
    least, most = int(feed_in.min()), int(retail.max())
    for members in everyone:
        group, n = members.group, len(members.rows)
        plants = (group.biomass, group.backup)
        cost = next((plant.cost for plant in plants if plant is not None and plant.cost), group.cost)
        values.append(members.prices("value", group.value) if group.value else np.full(n, most))
        costs.append(members.prices("cost", cost) if cost else np.full(n, least))
    return np.concatenate(values).astype(np.int64), np.concatenate(costs).astype(np.int64)


def _lost_load(everyone: list[Members], scenario: Scenario) -> Ints:
    given = [(members.group.lost_load, len(members.rows)) for members in everyone]
    costs = [np.full(n, scenario.tariffs.lost_load if cost is None else cost) for cost, n in given]
    return np.concatenate(costs).astype(np.int64)


def _strategy_uses(everyone: list[Members]) -> list[StrategyUse]:
    """Rows by strategy and parameters, in the order in which the scenario first names them."""
    uses: dict[str, tuple[str, Mapping[str, Any], list[int]]] = {}
    for members in everyone:
        n, items = len(members.rows), members.group.strategy
        order = generator(members.site.seed, "strategy").permutation(n)
        ends = np.rint(np.cumsum([item.share for item in items]) * n).astype(int)
        for item, begin, end in zip(items, [0, *ends[:-1]], ends, strict=True):
            key = json.dumps([item.name, item.params], sort_keys=True, default=repr)
            rows = uses.setdefault(key, (item.name, item.params, []))[2]
            rows.extend(members.rows[order[begin:end]].tolist())
    return [StrategyUse(name, params, _fixed(np.array(sorted(rows)))) for name, params, rows in uses.values() if rows]


def _fixed(array: Ints) -> Ints:
    array.setflags(write=False)
    return array
