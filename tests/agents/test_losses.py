"""Days with tariffs and losses: books that balance, statements that a recheck confirms, an optimum net of all fees."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy.optimize import linprog

from agents.model import MarketModel
from agents.optimum import Wants, optimum
from grid import gate
from grid.feeder import Feeder
from market.audit import audit
from market.capacity import Gate, OpenGate
from market.exchange import Exchange
from market.orders import CreateMarket, LossModel, MarketSettings, NetworkTariff, RecordLosses
from market.replay import RecordedGate
from market.store import Ledger
from market.tariff import Fees
from tests.agents.test_optimum import FEED_IN, RETAIL, rules

LEVEL = {"model": "level", "feeder": "1 ct/kWh", "substation": "3 ct/kWh", "beyond": "6 ct/kWh"}


def factory(settings: MarketSettings, feeder: str) -> Gate:
    return gate.build(Feeder.from_json(feeder), settings)


def day(path: Path, losses: LossModel) -> MarketModel:
    """Six slots of the village with a tariff by level; its ledger at `path`."""
    changes: dict[str, Any] = {
        "time.days": None,
        "time.slots": 6,
        "time.start": "2016-06-08T10:00Z",
        "output.compare": [],
    }
    tariffs: dict[str, Any] = {"tariffs.network": LEVEL, "tariffs.losses": losses, "tariffs.losses_price": "12 ct/kWh"}
    with Ledger.create(path) as ledger:
        model = MarketModel("village", seed=2, ledger=ledger, **changes, **tariffs)
        model.run_model()
    return model


@pytest.mark.parametrize("losses", ["operator", "average", "marginal"])
def test_the_books_of_a_day_balance_with_fees_and_losses(tmp_path: Path, losses: LossModel) -> None:
    model = day(tmp_path / "ledger.db", losses)
    results = model.results()
    money = results.summary["money"]
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        balances = ledger.balances()
    assert balances["wires", "EUR"] / 1e9 == pytest.approx(money["wires"])
    assert money["bills"] == pytest.approx(money["utility"] + money["wires"])
    assert money["grid_fees"] == pytest.approx(float(results.participants["fees"].sum()))
    lost = balances["wires", "WH"]
    assert lost == int(model.record.losses.sum() + model.record.wires_losses.sum())
    assert lost == pytest.approx(1000 * float(results.slots["loss_kwh"].sum()), abs=6)
    # What the source fed in is what everybody drew and what was lost.
    assert -balances["utility", "WH"] == -int(model.record.metered.sum()) + lost
    assert -balances["utility", "WH"] == pytest.approx(1000 * float(results.slots["slack_kwh"].sum()), abs=10)
    borne = 120_000 * lost / 1e9
    assert money["losses_operator" if losses == "operator" else "losses"] == pytest.approx(borne)
    assert float(results.participants["losses_kwh"].sum()) * 1000 == pytest.approx(0 if losses == "operator" else lost)
    report = audit(tmp_path / "ledger.db", factory)
    assert report.findings == []


def test_every_posting_of_a_day_sums_to_zero_and_the_wires_have_their_fees_and_the_losses(tmp_path: Path) -> None:
    """By the database alone, without a line of the ledger's own code."""
    model = day(tmp_path / "ledger.db", "marginal")
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:

        def ask(query: str) -> list[tuple[Any, ...]]:
            return database.execute(query).fetchall()

        per_entry = ask("SELECT seq, asset, SUM(amount) FROM posting GROUP BY seq, asset")
        per_asset = ask("SELECT asset, SUM(amount) FROM posting GROUP BY asset")
        wires = dict(ask("SELECT asset, SUM(amount) FROM posting WHERE account = 'wires' GROUP BY asset"))
        paid = dict(ask("SELECT asset, SUM(amount) FROM posting WHERE account != 'wires' GROUP BY asset"))
        events = [
            event for (body,) in ask("SELECT body FROM journal ORDER BY seq") for event in json.loads(body)["events"]
        ]
    assert len(per_entry) > 1_000
    assert [row for row in per_entry if row[2] != 0] == []
    assert {"EUR", "WH"} <= {asset for asset, _ in per_asset}
    assert [row for row in per_asset if row[1] != 0] == []
    # Three levels of fees were charged, each trade its own; participants bear the losses, so the wires keep all of it.
    fees = [(event.get("fee", 0), event["quantity"]) for event in events if event["type"] == "traded"]
    assert {fee for fee, _ in fees} >= {50_000, 70_000}
    lost = sum(energy for event in events if event["type"] == "lost" for _, energy in event["lines"])
    assert wires["EUR"] == sum(fee * quantity for fee, quantity in fees) == -paid["EUR"] > 0
    assert wires["WH"] == lost == -paid["WH"] > 0
    assert model.results().summary["money"]["wires"] == pytest.approx(wires["EUR"] / 1e9)
    report = audit(tmp_path / "ledger.db", factory)
    assert report.ok
    assert report.findings == []


def test_a_recheck_finds_an_invented_loss_and_an_invented_weight(tmp_path: Path) -> None:
    day(tmp_path / "ledger.db", "marginal")
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        entries = list(ledger.entries())
        rules = ledger.meta().market
    created = entries[0].command
    assert rules is not None
    assert isinstance(created, CreateMarket)
    (seq, command) = next((one.seq, one.command) for one in entries if isinstance(one.command, RecordLosses))
    assert isinstance(command, RecordLosses)
    heavy = max(command.weights, key=lambda name: command.weights[name])
    for number, forged in enumerate(
        [
            msgspec.structs.replace(command, energy=command.energy + 40),
            msgspec.structs.replace(command, weights=command.weights | {heavy: command.weights[heavy] // 2}),
        ]
    ):
        recorded = RecordedGate(rules, created.feeder)
        recorded.expect(entries)
        exchange = Exchange(recorded)
        said = exchange.apply_many([forged if one.seq == seq else one.command for one in entries])
        with Ledger.create(tmp_path / f"forged{number}.db") as ledger:
            ledger.append(said)
        assert audit(tmp_path / f"forged{number}.db").ok
        report = audit(tmp_path / f"forged{number}.db", factory)
        assert report.first_bad == seq
        assert {finding.check for finding in report.findings} == {"replay"}


@pytest.mark.parametrize("seed", range(6))
def test_the_optimum_knows_the_fee_of_every_pair(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tariff = NetworkTariff(
        model="distance", parent=(-1, 0, 0, 1), length=(0, 7, 5, 3), place=(0, 1, 2, 3), rate=10**9, limits=(6,),
        fees=(0, 30_000),
    )  # fmt: skip
    settings = msgspec.structs.replace(rules(5_000), network_tariff=tariff)
    fees = Fees(settings, 4)
    count = 12
    sell = rng.random(count) < 0.5
    sell[:2] = [True, False]
    limit, quantity = rng.integers(500, 3_500, count) * 100, rng.integers(1, 30, count)
    connection = rng.integers(0, 4, count)
    wants = Wants(connection, sell, limit, quantity, np.ones(count, np.bool_))
    best = optimum(0, wants, OpenGate(list("abcd")), None, settings, fees)
    asks, bids = np.flatnonzero(sell), np.flatnonzero(~sell)
    gains = [limit[b] - limit[a] - fees.of(int(connection[a]), int(connection[b])) for a in asks for b in bids]
    gains += [FEED_IN - limit[a] for a in asks] + [limit[b] - RETAIL for b in bids]
    rows = np.zeros((count, len(gains)))
    for place, (a, b) in enumerate((a, b) for a in asks for b in bids):
        rows[[a, b], place] = 1
    rows[asks, len(asks) * len(bids) + np.arange(len(asks))] = 1
    rows[bids, len(asks) * len(bids) + len(asks) + np.arange(len(bids))] = 1
    whole = linprog(-np.array(gains, dtype=float), A_ub=rows, b_ub=quantity)
    assert whole.fun is not None
    assert best.welfare == pytest.approx(-whole.fun)
