"""An island: nothing comes from above, what is short is shed by class, and all of it is in the journal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from agents import MarketModel
from agents.scenario import ScenarioError, load_scenario
from market.audit import audit
from market.events import Entry, Settled, Traded
from market.ledger import fold, postings
from market.orders import RecordMeter
from market.replay import replay
from market.store import Ledger

TEXT = """
name: rock
time: {start: 2016-06-08T15:00Z, slots: 24}
market: {rounds: 2, design: call, price_cap: 100 ct/kWh}
tariffs: {utility: none, lost_load: 400 ct/kWh}
grid: {network: simbench_lv_rural2}
participants:
  - {group: diesel, kind: backup, count: 1, backup: {kw: 9, cost: 34 ct/kWh}, strategy: truthful}
  - {group: mill, kind: hydro, count: 1, hydro: {kw: 6}, strategy: zi_c}
  - {group: clinic, kind: commercial, count: 1, lost_load: 3000 ct/kWh, load: {annual_kwh: 20000}, strategy: zi_u}
  - {group: works, kind: industrial, count: 1, lost_load: 100 ct/kWh, load: {annual_kwh: 30000}, strategy: truthful}
  - {group: home, kind: household, count: 25, load: {annual_kwh: [2500, 5000]}, strategy: zip}
  - group: sun
    kind: household
    count: 4
    load: {annual_kwh: [2500, 5000]}
    pv: {kwp: 5}
    battery: {kwh: 6, kw: 3, rule: mpc, trade: true}
    strategy: zip
  - group: car
    kind: ev
    count: 2
    ev: {kw: 11, annual_kwh: 5000, flexible: true}
    value: 20 ct/kWh
    strategy: truthful
output: {compare: [no_local_trading]}
"""


class Kept:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def append(self, entries: Sequence[Entry]) -> None:
        self.entries += entries


@cache
def finished() -> tuple[MarketModel, list[Entry]]:
    kept = Kept()
    run = MarketModel(load_scenario(TEXT), seed=1, ledger=kept)
    run.run_model()
    return run, kept.entries


def test_nothing_comes_from_above_but_what_the_losses_were_misjudged_by() -> None:
    run, entries = finished()
    assert not any(
        event.seller == run.exchange.settings.utility
        for entry in entries
        for event in entry.events
        if isinstance(event, Traded)
    )
    slack = np.array([flow.slack_w[0] for flow in run.record.flows])
    losses = np.array([flow.loss_w[0] for flow in run.record.flows])
    assert np.abs(slack[4:]).max() < 0.25 * losses.max()
    assert np.abs(slack[4:]).sum() < 0.1 * losses.sum()


def test_load_is_shed_where_it_hurts_least_and_while_nothing_is_on_offer() -> None:
    run, _ = finished()
    people, desk, shed = run.population, run.desk, run.record.shed
    assert shed.sum() > 1000
    assert not run.desk.limits, "here the wires are wide enough"
    whole = 0
    for column in np.flatnonzero(shed.any(axis=0)).tolist():
        rows = desk.rows(run.first_slot + column)
        unsold = desk.sell[rows] & (desk.left[rows] > 0) & (desk.limit[rows] < run.exchange.settings.price_cap)
        assert not unsold.any()
        got = people.firm_buy_wh[:, column] - shed[:, column]
        worst = people.lost_load[shed[:, column] > 0].max()
        lower = people.lost_load < worst
        assert not got[lower].any()
        whole += int(lower.any() and people.firm_buy_wh[lower, column].any())
    assert whole > 0, "some slot has shed a whole class and part of the next"
    assert not shed[[name.startswith("clinic") for name in people.ids]].any()


def test_what_flows_was_traded_and_what_was_shed_stands_in_the_journal() -> None:
    run, entries = finished()
    people = run.population
    told = np.zeros_like(run.record.shed)
    for entry in entries:
        if isinstance(entry.command, RecordMeter):
            for name, energy in entry.command.unserved.items():
                told[people.ids.index(name), entry.command.slot - run.first_slot] = energy
        for event in entry.events:
            if isinstance(event, Settled):
                assert all(imbalance == 0 for *_, imbalance in event.lines)
    assert np.array_equal(told, run.record.shed)
    balances: dict[tuple[str, str], int] = {}
    for entry in entries:
        fold(postings(entry, run.exchange.settings), balances)
    table = run.results().participants.set_index("participant")
    for name in people.ids:
        assert -balances.get((name, "EUR"), 0) / 1e9 == pytest.approx(table.loc[name, "bill"], abs=1e-9)
    assert table["lost_load"].sum() == pytest.approx(
        float((run.record.shed.sum(axis=1) * people.lost_load).sum()) / 1e9
    )


def test_alone_everybody_has_what_is_their_own() -> None:
    run, _ = finished()
    results = run.results()
    alone = results.summary["without_local_trading"]
    assert alone["bills"] == 0
    assert results.participants["load_without_kwh"].sum() < results.participants["load_kwh"].sum()
    assert results.summary["island"]["shed_kwh"] == pytest.approx(run.record.shed.sum() / 1000)
    # The optimum knows no losses; where supply is short, every Wh of them is one that was worth the price cap.
    assert 0.85 < results.summary["welfare"]["share"] <= 1.000001


def test_the_ledger_of_an_island_audits_and_replays(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.create(path) as ledger:
        MarketModel(load_scenario(TEXT), seed=2, ledger=ledger).run_model()
    assert audit(path).ok
    assert not [step for step in replay(path) if step.mismatch]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("design: call", "design: cda", "market.design: must be call or pay_as_bid where tariffs.utility is none"),
        ("lost_load: 400 ct/kWh", "losses: operator", "tariffs.losses: must be none where tariffs.utility is none"),
        ("utility: none", "utility: some", "tariffs.utility: must be 'grid' or 'none', got 'some'"),
        (
            "lost_load: 100 ct/kWh",
            "lost_load: -1 ct/kWh",
            r"participants\[3\].lost_load: must be >= 0, got '-1 ct/kWh'",
        ),
    ],
)
def test_what_an_island_cannot_have_is_told(old: str, new: str, fault: str) -> None:
    with pytest.raises(ScenarioError, match=fault):
        load_scenario(TEXT.replace(old, new))
