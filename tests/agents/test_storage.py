"""Batteries that trade: they do what they sold, know no future, and go on from a journal as if nothing had happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from agents import MarketModel
from agents.devices.battery import Battery
from agents.devices.fleet import RuleSite
from agents.forecast import Persistence
from agents.population import Population, build
from agents.scenario import Scenario, ScenarioError, load_scenario
from agents.seeds import child
from agents.storage import PriceMemory
from market.events import Entry
from market.journal import encode
from market.replay import Replayer

TEXT = """
name: shelf
time: {start: 2016-06-08T04:00Z, slots: 40}
market: {rounds: 2}
tariffs:
  grid_fee: 2 ct/kWh
  retail: [{price: 24 ct/kWh}, {since: "06:00", price: 36 ct/kWh}, {since: "22:00", price: 24 ct/kWh}]
grid: {network: simbench_lv_rural2, gate: linear}
participants:
  - group: store
    kind: household
    count: 6
    load: {annual_kwh: [2500, 5000]}
    pv: {kwp: [4, 8]}
    battery: {kwh: [5, 10], kw: [3, 5], rule: mpc, trade: true}
    strategy: zip
  - group: keep
    kind: household
    count: 3
    load: {annual_kwh: [2500, 5000]}
    pv: {kwp: [4, 8]}
    battery: {kwh: [5, 10], kw: [3, 5]}
    strategy: zip
  - group: home
    kind: household
    count: 12
    load: {annual_kwh: [2500, 5000]}
    strategy: truthful
  - group: car
    kind: ev
    count: 2
    ev: {kw: 11, annual_kwh: 6000, flexible: true}
    battery: {kwh: 6, kw: 3, rule: mpc, trade: true, forecast: persistence}
    value: 40 ct/kWh
output: {compare: [no_local_trading]}
"""


class Kept:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def append(self, entries: Sequence[Entry]) -> None:
        self.entries += entries


@cache
def scenario() -> Scenario:
    return load_scenario(TEXT)


@cache
def people() -> Population:
    return build(scenario(), child(np.random.SeedSequence(1), "population"))


@cache
def finished() -> tuple[MarketModel, list[Entry]]:
    kept = Kept()
    run = MarketModel(scenario(), seed=1, ledger=kept, population=people())
    run.run_model()
    return run, kept.entries


def test_a_battery_does_what_it_stored_gave_and_traded_and_nothing_else() -> None:
    run, _ = finished()
    ran, given = run.population, people()
    again = given.battery.some(np.arange(len(given.battery)))
    trading = np.sort(np.concatenate([site.rows for site in given.trading]))
    rows = given.battery_owner[trading]
    assert (ran.battery_traded_wh[rows] > 0).any()
    assert (ran.battery_traded_wh[rows] < 0).any()
    assert not ran.battery_traded_wh[np.setdiff1d(np.arange(len(ran)), rows)].any()
    some = again.some(trading)
    for t in range(ran.slots):
        assert np.array_equal(some.step(ran.battery_wh[rows, t]), ran.battery_wh[rows, t])
    assert np.array_equal(some.stored_uwh, ran.battery.stored_uwh[trading])
    assert not given.battery_wh[rows].any(), "the population before the market runs is changed"


def test_figures_of_the_run_conserve_energy_and_money_also_against_the_day_without_a_market() -> None:
    run, _ = finished()
    results = run.results()  # asserts both
    assert results.summary["welfare"]["share"] <= 1.000001
    # Battery energy that was offered and not sold was never generated, nor was any that was not bought consumed.
    assert results.summary["energy"]["curtailed_kwh"] == 0


def test_one_seed_gives_one_journal() -> None:
    _, entries = finished()
    kept = Kept()
    MarketModel(scenario(), seed=1, ledger=kept, population=people()).run_model()
    assert [encode(entry) for entry in kept.entries] == [encode(entry) for entry in entries]


def test_what_comes_later_changes_no_decision() -> None:
    run, entries = finished()
    known = 20
    rng = np.random.default_rng(5)
    given = people()
    columns = {}
    for name in ("firm_buy_wh", "firm_sell_wh", "flexible_buy_wh"):
        changed = getattr(given, name).copy()
        changed[:, known:] = rng.permuted(changed[:, known:], axis=1) * 2
        columns[name] = changed
    kept = Kept()
    other = MarketModel(scenario(), seed=1, ledger=kept, population=replace(given, **columns))
    opens = scenario().market.opens_before // scenario().market.slot
    for _ in range(known - opens + 1):
        other.step()
    same = [encode(entry) for entry in kept.entries]
    assert same == [encode(entry) for entry in entries[: len(same)]]
    assert np.array_equal(
        other.population.battery_wh[:, : known - opens], run.population.battery_wh[:, : known - opens]
    )
    other.run_model()
    assert not np.array_equal(other.population.battery_wh, run.population.battery_wh)


def test_a_restarted_market_decides_as_the_one_that_went_on() -> None:
    kept = Kept()
    before = MarketModel(scenario(), seed=1, ledger=kept, population=people())
    for _ in range(12):
        before.step()
    replayer = Replayer()
    assert replayer.run(kept.entries) is None
    after = MarketModel(scenario(), seed=1, population=people())
    after.go_on(replayer.exchange, lambda: kept.entries)
    for old, new in zip(before.storage.fleets, after.storage.fleets, strict=True):
        assert old.open.keys() == new.open.keys()
        for column, made in old.open.items():
            assert all(np.array_equal(*pair) for pair in zip(made, new.open[column], strict=True))
            assert np.array_equal(old.sold[column], new.sold[column])
    assert np.array_equal(before.desk.left, after.desk.left)
    after.run_model()
    assert not after.record.violations


def site(retail: float = 300_000, feed_in: float = 80_000, slots: int = 200) -> RuleSite:
    flat = np.full(slots, 1, dtype=np.int64)
    none = np.zeros((1, 0))
    return RuleSite(np.array([0]), 900, flat * int(retail), flat * int(feed_in), Persistence(96), none)


def test_without_local_trades_the_utilitys_prices_are_expected() -> None:
    buy, sell = PriceMemory(site(), 20_000).expected(0, 8)
    assert set(buy) == {300_000.0}
    assert set(sell) == {80_000.0}


def test_local_prices_are_expected_to_go_on_and_to_come_again_tomorrow() -> None:
    memory = PriceMemory(site(), 20_000)
    memory.note(3, 180_000, 1000)
    buy, sell = memory.expected(4, 100)
    assert sell[0] == pytest.approx(180_000)  # half of the way from 8 to 30 − 2 ct
    assert buy[0] == pytest.approx(200_000)
    memory.note(4, 280_000, 500)
    memory.note(4, 80_000, 500)
    _, sell = memory.expected(4, 100)
    assert sell[96] == pytest.approx(180_000)  # slot 4, a day later
    memory.note(5, 280_000, 500)
    _, sell = memory.expected(5, 100)
    assert sell[95] == pytest.approx(180_000)
    assert sell[96] == pytest.approx(280_000)
    assert (sell <= memory.expected(5, 100)[0]).all()


def test_only_a_plan_can_trade() -> None:
    with pytest.raises(ScenarioError, match=r"participants\[0\].battery.trade: goes with rule mpc, got rule self"):
        load_scenario(TEXT.replace("rule: mpc, trade: true}", "trade: true}", 1))


def test_with_night_and_day_prices_trading_pays_more_than_storing() -> None:
    """Two days; what is stored in the end counts at the night's price."""
    bills = {}
    whole = TEXT.replace("T04:00Z, slots: 40", ", days: 2")
    for name, text in (("trade", whole), ("store", whole.replace("rule: mpc, trade: true", "rule: self_consumption"))):
        run = MarketModel(load_scenario(text), seed=1, output__compare=[])
        table = run.run().participants
        stored = run.population.battery.stored_wh[run.population.battery_owner < 6].sum()
        bills[name] = table.loc[table["group"] == "store", "bill"].sum() - stored * 0.24e-3
    assert bills["trade"] < bills["store"] - 2.0


def test_it_offers_only_what_it_can_do_whatever_becomes_of_its_other_offers() -> None:
    """All offers of the open slots trade, or none, or every other: each is possible for the battery."""
    run, _ = finished()
    fleet = MarketModel(scenario(), seed=1, population=people()).storage.fleets[0]
    for column in range(3):
        fleet.decide(column)
    for choice in ((1, 1, 1), (0, 0, 0), (1, 0, 1), (0, 1, 0)):
        battery: Battery = people().battery.some(fleet.rows)
        for column, chosen in enumerate(choice):
            made = fleet.open[column]
            wish = made.own + chosen * (made.sell - made.buy)
            assert np.array_equal(battery.step(wish), wish)
    assert run.population.slots == 40
