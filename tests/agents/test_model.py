"""The market model: what one step does, what never changes, and what a Mesa user expects."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mesa.batchrunner import batch_run

from agents import MarketModel
from agents.population import Population
from agents.results import Results
from agents.scenario import ScenarioError
from agents.strategies import NO_PRICE, StrategyError
from grid.gate import GridViolation, Violation
from grid.powerflow import PowerFlowError
from market.audit import audit
from market.events import Entry, Settled, Traded
from market.journal import encode
from market.ledger import fold, postings
from market.orders import AdvanceClock, Amend, Submit
from market.slots import format_time
from market.store import Ledger
from tests.agents.small import ALONE, TIGHT, finished, model, scenario


def bytes_of(entries: Sequence[Entry]) -> bytes:
    return b"\n".join(encode(entry) for entry in entries)


def test_one_seed_gives_one_journal_and_another_seed_another(tmp_path: Path) -> None:
    first, journal = finished()
    again, same = model()
    again.run_model()
    assert bytes_of(journal.entries) == bytes_of(same.entries)
    for number, run in enumerate((first, again)):
        run.results().write(tmp_path / str(number))
    for name in ("trades.csv", "slots.csv", "participants.csv", "limited.csv", "depth.csv", "grid.npz", "summary.json"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes(), name
    other, different = finished(2)
    assert bytes_of(journal.entries) != bytes_of(different.entries)
    other.results().write(tmp_path / "2")
    assert (tmp_path / "0" / "trades.csv").read_bytes() != (tmp_path / "2" / "trades.csv").read_bytes()


def test_every_asset_sums_to_zero_and_accounts_agree_with_the_postings() -> None:
    run, journal = finished()
    settings = run.exchange.settings
    balances: dict[tuple[str, str], int] = {}
    for entry in journal.entries:
        fold(postings(entry, settings), balances)
    sums: Counter[str] = Counter()
    for (_, asset), amount in balances.items():
        sums[asset] += amount
    assert {"EUR", "WH", "GO:solar"} <= set(sums)
    assert set(sums.values()) == {0}
    for row, name in enumerate(run.population.ids):
        assert balances.get((name, "EUR"), 0) == run.money[row]
        assert balances.get((name, "WH"), 0) == -run.record.metered[row].sum()


def test_the_meter_counts_the_baseline_and_what_flexible_energy_was_traded() -> None:
    run, journal = finished()
    people = run.population
    expected = people.firm_sell_wh - people.firm_buy_wh
    row_of = {name: row for row, name in enumerate(people.ids)}
    for entry in journal.entries:
        for event in entry.events:
            if isinstance(event, Traded):
                column = event.slot - people.first_slot
                if event.sell_flexible and event.seller in row_of:
                    expected[row_of[event.seller], column] += event.quantity
                if event.buy_flexible and event.buyer in row_of:
                    expected[row_of[event.buyer], column] -= event.quantity
    assert (run.record.metered == expected).all()
    assert (run.record.metered != people.firm_sell_wh - people.firm_buy_wh).any()


def test_nobody_trades_more_than_there_was_nor_past_the_limit() -> None:
    run, _ = finished()
    desk = run.desk
    assert (desk.left >= 0).all()
    sold = Counter[int]()
    for deal in desk.trades:
        for want, price in ((deal.buy, deal.event.price), (deal.sell, deal.event.price)):
            if want < 0:
                continue
            sold[want] += deal.event.quantity
            if run.participants[desk.member[want]].strategy != "zi_u":
                limit = desk.limit[want]
                assert price >= limit if desk.sell[want] else price <= limit
    assert all(desk.offered[want] - quantity == desk.left[want] for want, quantity in sold.items())


def test_what_the_desk_thinks_rests_is_what_rests() -> None:
    run, _ = model(seed=4)
    for _ in range(5):
        run.step()
    desk, utility = run.desk, {run.exchange.settings.retail, run.exchange.settings.feed_in}
    seen = 0
    for slot in desk.open:
        thought: Counter[tuple[bool, int]] = Counter()
        for row in np.arange(len(desk.slot))[desk.rows(slot)]:
            if desk.live[row] != NO_PRICE:
                thought[bool(desk.sell[row]), int(desk.live[row])] += int(desk.resting[row])
        bids, asks = run.exchange.depth(slot)
        book = {(sell, price): wh for sell, side in ((False, bids), (True, asks)) for price, wh in side}
        kept = {key: wh for key, wh in thought.items() if key[1] not in utility}
        assert kept == {key: wh for key, wh in book.items() if key[1] not in utility}
        seen += len(kept)
    assert seen > 10


def test_an_unchanged_quote_is_not_sent_again() -> None:
    run, journal = model(strategy="truthful")
    run.run_model()
    kinds = Counter(type(entry.command) for entry in journal.entries)
    assert kinds[Amend] == 0
    assert kinds[Submit] == len(run.desk.slot) + 2 * run.slots


def test_the_first_slot_opens_before_the_day_starts_and_only_its_slots_trade() -> None:
    run, journal = finished()
    clock = run.exchange.clock
    times = [entry.command.now for entry in journal.entries if isinstance(entry.command, AdvanceClock)]
    assert times[0] == format_time(clock.opens(run.first_slot))
    assert times[-1] == format_time(clock.end(run.first_slot + run.slots - 1))
    slots = {entry.command.slot for entry in journal.entries if isinstance(entry.command, Submit)}
    assert slots == set(range(run.first_slot, run.first_slot + run.slots))


def test_every_slot_is_settled_once_and_the_ledger_gets_one_batch_a_step() -> None:
    run, journal = finished()
    settled = [event.slot for entry in journal.entries for event in entry.events if isinstance(event, Settled)]
    assert settled == list(range(run.first_slot, run.first_slot + run.slots))
    assert len(journal.sizes) == run.slots
    assert run.record.entries == len(journal.entries)


def test_the_collector_has_a_row_a_slot_and_a_row_a_participant() -> None:
    run, _ = finished()
    slots = run.datacollector.get_model_vars_dataframe()
    assert list(slots.columns) == [
        "slot", "delivery", "orders", "trades", "traded_kwh", "price_ct", "u_min_pu", "u_max_pu", "loading_max",
        "loss_kwh", "bills",
    ]  # fmt: skip
    assert slots["slot"].tolist() == list(range(run.first_slot, run.first_slot + run.slots))
    agents = run.datacollector.get_agent_vars_dataframe()
    assert list(agents.columns) == ["participant", "group", "strategy", "bill", "sold_kwh", "bought_kwh"]
    last = agents.xs(run.slots, level="Step")
    assert last["participant"].tolist() == run.population.ids
    assert last["bill"].sum() == pytest.approx(slots["bills"].iloc[-1])
    assert last["sold_kwh"].sum() == pytest.approx(last["bought_kwh"].sum())
    results = run.results()
    assert results.slots["trades"].tolist() == slots["trades"].tolist()
    assert results.participants["bill"].tolist() == pytest.approx(last["bill"].tolist())


def test_agents_are_views_of_rows() -> None:
    run, _ = finished()
    assert len(run.agents) == len(run.population)
    agent = run.participants[3]
    assert (agent.participant, agent.group, agent.kind) == ("sun-004", "sun", "household")
    assert agent.connection == run.population.connections[3]
    assert set(run.agents.select(lambda a: a.group == "car").get("strategy")) == {"zip"}


def test_batch_run_gives_a_row_for_each_combination() -> None:
    parameters = {"scenario": [scenario()], "seed": [1, 2], "market__rounds": [1, 2], "time__slots": 2}
    rows = pd.DataFrame(batch_run(MarketModel, parameters, display_progress=False))
    assert rows.groupby(["seed", "market__rounds"]).size().tolist() == [31] * 4
    orders = rows.groupby("market__rounds")["orders"].max()
    assert orders[2] > orders[1]
    bills = rows.groupby("seed")["bill"].sum()
    assert bills[1] != bills[2], "the seeds are used"


def test_the_seed_has_mesas_name_too() -> None:
    seeds = [
        MarketModel(scenario(), time__slots=1, **given).record.seed
        for given in ({"seed": 7}, {"rng": 7}, {"rng": None})
    ]
    assert seeds == [7, 7, scenario().seed]
    with pytest.raises(TypeError):
        MarketModel(scenario(), seed="seven")


def test_a_strategy_from_a_file_of_the_users_own_trades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "late_strategies.py").write_text(
        dedent(
            """
            from agents.strategies.columns import quote_all, tick_limits

            class Late:
                def __init__(self, rounds: int) -> None:
                    self.rounds = rounds

                def quote(self, traders, market, rng):
                    limits, exists = tick_limits(traders, market)
                    late = market.rounds_left[traders.slot] <= self.rounds
                    return quote_all(traders, limits, exists & late)
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    groups = [group.model_dump(mode="json", exclude_none=True) for group in scenario().participants]
    for group in groups:
        group["strategy"] = {"name": "late_strategies:Late", "params": {"rounds": 1}}
    run, journal = model(participants=groups)
    run.run_model()
    assert {agent.strategy for agent in run.participants} == {"late_strategies:Late"}
    assert run.counts["trades"] > 0
    gates = {slot: run.exchange.clock.gate(slot) for slot in range(run.first_slot, run.first_slot + run.slots)}
    for entry in journal.entries:
        order = entry.command
        if isinstance(order, Submit) and order.participant != "utility":
            assert gates[order.slot] - run.record.time_of(np.array([entry.seq]))[0] <= run.exchange.clock.length // 3


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("quantity = traders.quantity + 1", "more than what is left"),
        ("price = traders.limit + 1", "off the tick or outside"),
        ("index = np.zeros(len(traders), dtype=np.int64)", "two orders for one want"),
    ],
)
def test_a_strategy_that_breaks_the_rules_stops_the_run(
    body: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"bad_{complaint.split()[0]}"
    lines = [
        "price = traders.limit // 100 * 100",
        "quantity = traders.quantity",
        "index = np.arange(len(traders))",
        body,
    ]
    code = ["import numpy as np", "from agents.strategies import Orders", "class Bad:"]
    code += ["    def quote(self, traders, market, rng):", *(f"        {line}" for line in lines)]
    code += ["        return Orders(index, price, quantity)"]
    (tmp_path / f"{name}.py").write_text("\n".join(code))
    monkeypatch.syspath_prepend(tmp_path)
    run, _ = model(strategy=f"{name}:Bad")
    with pytest.raises(ValueError, match=complaint):
        run.step()


def test_the_day_without_local_trading_knows_only_the_utility() -> None:
    run, journal = model(strategy="utility_only")
    run.run_model()
    trades = [event for entry in journal.entries for event in entry.events if isinstance(event, Traded)]
    assert trades
    assert all("utility" in (trade.buyer, trade.seller) for trade in trades)
    assert run.counts["trades"] == 0


@pytest.mark.parametrize("gate", ["linear", "ac"])
def test_with_the_gate_on_trading_breaks_no_limit_and_without_it_does(gate: str) -> None:
    held, _ = model(**TIGHT, grid__gate=gate)
    held.run_model()
    assert held.counts["limited"] > 0
    assert not [item for item in held.record.violations if item.by_trade]
    free, _ = model(**TIGHT, grid__gate="off")
    free.run_model()
    assert [item for item in free.record.violations if item.by_trade]
    assert free.counts["limited"] == 0


def test_trades_beyond_any_state_of_the_wires_are_violations_without_a_gate_and_refused_with_one() -> None:
    cars = {"group": "car", "kind": "ev", "count": 40, "value": "45 ct/kWh", "strategy": "zip"}
    cars |= {"ev": {"kw": 150, "annual_kwh": 300_000, "flexible": True}}
    beyond: dict[str, Any] = {"participants": [cars], "time__start": "2016-06-08T20:00Z", "time__slots": 2}
    free, _ = model(**beyond, **ALONE, grid__gate="off")
    free.run_model()
    assert "diverged" in {item.element for item in free.record.violations if item.by_trade}
    assert all(np.isfinite(flow.u_pu).all() for flow in free.record.flows)
    held, _ = model(**beyond, output__compare=["gate_off"])
    summary = held.run().summary
    assert summary["grid"]["violations_by_trade"] == 0
    assert "diverged" in summary["gate_off"]["violated_elements"]


def test_a_baseline_beyond_any_state_stops_the_run_with_what_to_change() -> None:
    load = {"group": "mill", "kind": "industrial", "count": 9, "load": {"annual_kwh": 9_000_000}, "strategy": "zip"}
    run, journal = model(participants=[load], seed=4)
    with pytest.raises(PowerFlowError, match=rf"slot {run.first_slot}: .*without any trade.*seed 4.*lower it"):
        run.step()
    assert journal.sizes == []


def test_a_gate_that_was_wrong_stops_the_run_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    run, journal = model(seed=5)
    run.step()
    wrong = Violation(run.first_slot + 1, "branch:line 7", 1.2, 1.0)
    monkeypatch.setattr(run.gate, "verify", lambda slots: [wrong])
    with pytest.raises(GridViolation, match=rf"slot {run.first_slot + 1}: branch:line 7 .*seed 5"):
        run.step()
    assert len(journal.sizes) == 1
    assert not run.running
    with pytest.raises(RuntimeError, match="the run is at slot 2 of 8"):
        run.results()


def test_an_interrupt_leaves_a_ledger_that_audits_up_to_the_last_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.create(tmp_path / "ledger.db") as ledger:
        run = MarketModel(scenario(), seed=1, ledger=ledger)
        for _ in range(3):
            run.step()
        told = run.exchange.seq
        quote, calls = run.desk.quote, iter(range(2))

        def interrupted(spacing: int) -> object:
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return quote(spacing)

        monkeypatch.setattr(run.desk, "quote", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.step()
        assert run.exchange.seq > told
        assert len(ledger) == told
    assert audit(tmp_path / "ledger.db").ok


def test_results_come_after_the_last_step_and_progress_with_every_one() -> None:
    run, _ = model(seed=6, time__slots=3, **ALONE)
    with pytest.raises(RuntimeError, match="slot 0 of 3"):
        run.results()
    told: list[tuple[int, int]] = []
    results = run.run(progress=lambda done, total, counts: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert isinstance(results, Results)
    assert "without_local_trading" not in results.summary


def test_a_population_can_be_shared_between_models() -> None:
    run, _ = finished()
    people: Population = run.population
    again = MarketModel(scenario(), seed=1, population=people, strategy="truthful")
    assert again.population is people


@pytest.mark.parametrize(
    "changes",
    [
        {"market.opens_before": "20 min", "market.gate_closure": "0 min"},
        {"market.opens_before": "50 min", "market.gate_closure": "17 min", "market.rounds": 7},
        {"market.slot": "60 min", "market.opens_before": "1440 min", "market.rounds": 1, "time.slots": 3},
        {"market.lot": "100 Wh", "market.tick": "1 ct/kWh", "market.price_floor": "-5 ct/kWh"},
        {"market.max_orders": 10},
        {"tariffs.feed_in": "0 ct/kWh", "time.slots": 1},
    ],
)
def test_unusual_rules_keep_the_books_in_order(changes: dict[str, Any]) -> None:
    run, _ = model(**ALONE, **{"time.slots": 4, **changes})
    results = run.run()
    assert len(results.trades) > 0
    assert (results.trades["wh"] % run.exchange.settings.lot == 0).all()
    assert (run.desk.left >= 0).all()
    assert results.slots["slot"].tolist() == list(range(run.first_slot, run.first_slot + run.slots))


def test_bad_input_is_named() -> None:
    with pytest.raises(ScenarioError, match=r"market\.opens_before: a slot trades for 60 s.*rounds to at least 15"):
        model(market__opens_before="16 min", market__gate_closure="15 min")
    with pytest.raises(ScenarioError, match=r"market\.rounds"):
        model(market__rounds=0)
    with pytest.raises(StrategyError, match="unknown strategy"):
        model(strategy="clever")
    with pytest.raises(ScenarioError, match=r"no scenario 'no-such', only .*village"):
        MarketModel("no-such")


def test_a_model_that_is_dropped_is_gone() -> None:
    made, _ = model(1, **ALONE)
    assert [agent.unique_id for agent in made.participants] == list(range(1, len(made.participants) + 1))
    seen = weakref.ref(made)
    del made
    gc.collect()
    assert seen() is None
