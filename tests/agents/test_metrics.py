"""Figures of a run: counted a second way from the journal, and the identities that tie them together."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agents import metrics
from agents.results import Results
from market.events import Limited, Traded
from market.ledger import fold, postings
from tests.agents.small import ALONE, TIGHT, finished, model


@pytest.fixture(scope="module")
def results() -> Results:
    run, _ = finished()
    return run.results()


@pytest.fixture(scope="module")
def tight() -> Results:
    changes: dict[str, Any] = {"output.compare": ["no_local_trading", "gate_off"]}
    run, _ = model(seed=3, **TIGHT, **changes)
    return run.run()


def test_bills_are_what_the_ledger_says(results: Results) -> None:
    run, journal = finished()
    balances: dict[tuple[str, str], int] = {}
    for entry in journal.entries:
        fold(postings(entry, run.exchange.settings), balances)
    for row in results.participants.itertuples():
        assert row.bill == pytest.approx(-balances.get((str(row.participant), "EUR"), 0) / 1e9, abs=1e-9)
    money = results.summary["money"]
    assert money["utility"] == pytest.approx(balances["utility", "EUR"] / 1e9)
    assert money["grid_fees"] == pytest.approx(balances["wires", "EUR"] / 1e9)
    assert money["bills"] == pytest.approx(money["utility"] + money["grid_fees"])


def test_trades_are_those_of_the_journal(results: Results) -> None:
    _, journal = finished()
    told = [(e.seq, t) for e in journal.entries for t in e.events if isinstance(t, Traded)]
    table = results.trades
    assert table["seq"].tolist() == [seq for seq, _ in told]
    for name in ("buyer", "seller", "price", "source", "resting", "buy_order", "sell_flexible"):
        assert table[name].tolist() == [getattr(trade, name) for _, trade in told]
    assert table["wh"].tolist() == [trade.quantity for _, trade in told]
    assert (table["kwh"] * 1000).round().astype(int).tolist() == table["wh"].tolist()
    assert (pd.to_datetime(table["time"]) < pd.to_datetime(table["delivery"])).all()
    assert table["time"].is_monotonic_increasing


def test_the_sum_of_benefits_is_the_welfare_gained() -> None:
    """Money only changes hands, so what all gain over the day without local trading is what the trades were worth."""
    run, _ = finished()
    other, _ = model(strategy="utility_only", population=run.population)
    other.run_model()
    gained = 0
    for sign, record in ((1, run.record), (-1, other.record)):
        traded = metrics.trades(record)
        benefit = metrics.benefit(record, metrics.accounts(record, traded))
        gained += sign * (int(benefit.sum()) - int(metrics.welfare(record, traded).sum()))
    assert gained == 0


def test_welfare_never_exceeds_the_optimum(results: Results, tight: Results) -> None:
    for table in (results.slots, tight.slots):
        assert (table["welfare"] <= table["optimum"] * (1 + 1e-4) + 1e-9).all()
        assert (table["optimum"] <= table["unconstrained"] + 1e-9).all()
    assert 0.5 < results.summary["welfare"]["share"] <= 1.0
    assert tight.summary["welfare"]["congestion_cost"] > 0
    assert tight.summary["welfare"]["congested_slots"] == (tight.slots["binding"] != "").sum() > 0
    assert tight.summary["welfare"]["largest_excess"] < 1e-4


def test_truthful_traders_come_close_to_the_optimum() -> None:
    run, _ = model(strategy="truthful", **ALONE)
    assert run.run().summary["welfare"]["share"] > 0.9


def test_energy_balances_in_every_slot(results: Results) -> None:
    s = results.slots
    sources = ["solar_kwh", "biomass_kwh"]
    assert s["generation_kwh"].tolist() == pytest.approx(s[sources].sum(axis=1).tolist())
    loads = s[[name for name in map(str, s) if name.startswith("load_") and name != "load_kwh"]].sum(axis=1)
    assert s["load_kwh"].tolist() == pytest.approx((loads - s["unserved_kwh"]).tolist())
    net = s["generation_kwh"] + s["battery_kwh"] - s["load_kwh"]
    assert s["net_kwh"].tolist() == pytest.approx(net.tolist())
    assert s["slack_kwh"].tolist() == pytest.approx((s["loss_kwh"] - s["net_kwh"]).tolist(), abs=1e-3)
    assert results.grid["injection_wh"].sum(axis=1).tolist() == pytest.approx((net * 1000).tolist())


def test_self_sufficiency_counts_what_the_utility_did_not_deliver(results: Results) -> None:
    p, energy = results.participants, results.summary["energy"]
    load = p["load_kwh"].sum()
    assert energy["self_sufficiency"] == pytest.approx(1 - p["bought_utility_kwh"].sum() / load)
    assert energy["self_consumption"] == pytest.approx(1 - p["sold_utility_kwh"].sum() / p["generation_kwh"].sum())
    without = results.summary["without_local_trading"]
    assert 0 <= without["self_sufficiency"] < energy["self_sufficiency"] <= 1
    for group in results.summary["groups"].values():
        assert group["self_sufficiency"] is None or 0 <= group["self_sufficiency"] <= 1
        assert group["self_sufficiency_without"] is None or 0 <= group["self_sufficiency_without"] <= 1


def test_nobody_is_worse_off_who_keeps_to_the_limit_and_has_nothing_to_gain_from_the_utility(results: Results) -> None:
    p = results.participants
    keeps = p["group"].isin(["home", "gas"])
    assert (p.loc[keeps, "benefit"] >= -1e-9).all()
    assert (p.loc[keeps, "benefit"] > 0).any()
    assert p["saving"].tolist() == pytest.approx((p["bill_without"] - p["bill"]).tolist())


def test_groups_sum_to_the_whole(results: Results) -> None:
    groups = results.summary["groups"]
    assert sum(group["participants"] for group in groups.values()) == len(results.participants)
    savings = sum(group["saving"] for group in groups.values())
    assert savings == pytest.approx(results.summary["without_local_trading"]["savings"])


def test_every_limited_match_names_both_sides_and_the_element() -> None:
    run, journal = model(seed=3, **TIGHT, **ALONE)
    results = run.run()
    told = [(e.seq, t) for e in journal.entries for t in e.events if isinstance(t, Limited)]
    table = results.limited
    assert table["seq"].tolist() == [seq for seq, _ in told]
    assert table["element"].tolist() == [limit.constraint for _, limit in told]
    assert (table["participant"] != table["counterparty"]).all()
    counts = Counter(limit.constraint for _, limit in told)
    assert results.summary["limited"]["by_element"] == dict(counts)
    assert results.summary["limited"]["refused"] == sum(limit.admitted == 0 for _, limit in told)
    assert results.slots["limited"].sum() == len(told) > 0
    commands = {entry.seq: entry.command for entry in journal.entries}
    names = [commands[limit.order].participant for _, limit in told]  # type: ignore[union-attr]
    assert table["participant"].tolist() == names


def test_the_comparison_without_gate_breaks_limits(tight: Results) -> None:
    assert tight.summary["grid"]["violations_by_trade"] == 0
    assert tight.summary["gate_off"]["violations_by_trade"] > 0
    assert tight.summary["gate_off"]["u_max_pu"] > tight.summary["grid"]["u_max_pu"]
    assert tight.grid["off_u_pu"].shape == tight.grid["u_pu"].shape
    assert (tight.slots["violations_off"] >= tight.slots["violations"]).all()


def test_depth_is_a_book_that_does_not_cross(results: Results) -> None:
    for _, book in results.depth.groupby(["slot", "time"]):
        buys = book["side"] == "buy"
        assert book.loc[buys, "price"].max() < book.loc[~buys, "price"].min()
    snapshots = results.depth.groupby("slot")["time"].nunique()
    assert snapshots.max() == 3
    assert len(snapshots) == len(results.slots)


def test_written_results_read_back_the_same(results: Results, tmp_path: Path) -> None:
    written = results.write(tmp_path)
    assert [path.name for path in written] == [
        "trades.csv", "slots.csv", "participants.csv", "limited.csv", "depth.csv", "envelopes.csv", "grid.npz",
        "summary.json",
    ]  # fmt: skip
    again = Results.read(tmp_path)
    for name in ("trades", "slots", "participants", "depth"):
        pd.testing.assert_frame_equal(getattr(results, name), getattr(again, name), check_dtype=False)
    assert again.limited.empty
    assert list(again.limited.columns) == list(results.limited.columns)
    assert again.summary == json.loads(json.dumps(results.summary))
    for name, array in results.grid.items():
        assert np.array_equal(array, again.grid[name]), name


def test_trades_are_also_written_as_parquet_where_the_scenario_asks(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"time.slots": 2, "output.trades": ["csv", "parquet"]}
    run, _ = model(**ALONE, **changes)
    results = run.run()
    results.write(tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "trades.parquet"), results.trades, check_dtype=False)


@pytest.mark.parametrize("name", ["trades.csv", "grid.npz", "summary.json"])
def test_damaged_results_are_named(results: Results, tmp_path: Path, name: str) -> None:
    results.write(tmp_path)
    (tmp_path / name).write_bytes(b'{"a": 1' if name == "summary.json" else b'"')
    with pytest.raises(ValueError, match=name):
        Results.read(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(OSError, match=name):
        Results.read(tmp_path)


def test_results_of_another_layout_are_refused_with_the_way_out(results: Results, tmp_path: Path) -> None:
    results.write(tmp_path)
    told = json.loads((tmp_path / "summary.json").read_text())
    del told["layout"]
    (tmp_path / "summary.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match="another version of Wattbook; run the scenario again"):
        Results.read(tmp_path)
