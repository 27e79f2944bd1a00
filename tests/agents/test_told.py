"""Figures from a journal alone: those of the run that wrote it, and a market of four that is counted by hand."""

from __future__ import annotations

from functools import cache

import msgspec
import numpy as np
import pandas as pd
import pytest

from agents import parts, told
from agents.population import SOURCES
from agents.scenario import Emissions
from agents.told import Told
from market.capacity import OpenGate
from market.events import Entry, Rejected
from market.exchange import Exchange
from market.ledger import LedgerError
from market.orders import AdvanceClock, Command, CreateMarket, RecordMeter, Register, Settle, Submit
from market.slots import format_time
from tests.agents.small import finished
from tests.market.day import CONNECTIONS, FEEDER, FIRST, SETTINGS

FACTORS = {"solar": 40.0, "wind": 10.0, "grid": 400.0}
GEN = {"anna": 1500, "bert": 600}
METERS = {"anna": 1000, "bert": 600, "cleo": -1200, "dora": -800}


def journal(fee: int = 50_000) -> list[Entry]:
    """One slot. Anna has 1500 Wh of sun and uses 500, Bert has 600 Wh of wind, Cleo needs 1200 Wh and Dora 800 Wh.

    Cleo buys Anna's 1000 Wh at 20 ct and 100 Wh of wind at 10 ct, Dora 400 Wh of wind at 15 ct. The rest is the
    utility's, which sells at 30 ct and buys at 8 ct.
    """
    settings = msgspec.structs.replace(SETTINGS, grid_fee=fee)
    exchange = Exchange(OpenGate(CONNECTIONS))
    clock = SETTINGS.slot_seconds * 10**9
    people = [("utility", ""), ("anna", "solar"), ("bert", "wind"), ("cleo", ""), ("dora", "")]
    commands: list[Command] = [CreateMarket(settings, FEEDER)]
    commands += [Register(name, place, of) for (name, of), place in zip(people, CONNECTIONS, strict=True)]
    commands += [
        AdvanceClock(format_time(FIRST * clock - 3600 * 10**9)),
        Submit("anna", FIRST, "sell", 200_000, 1000, flexible=True, source="solar"),
        Submit("cleo", FIRST, "buy", 200_000 + fee, 1000, flexible=True),
        Submit("bert", FIRST, "sell", 100_000, 100, flexible=True, source="wind"),
        Submit("cleo", FIRST, "buy", 100_000 + fee, 200, flexible=True),
        Submit("bert", FIRST, "sell", 150_000, 500, flexible=True, source="wind"),
        Submit("dora", FIRST, "buy", 150_000 + fee, 400, flexible=True),
        AdvanceClock(format_time((FIRST + 1) * clock)),
        RecordMeter(FIRST, METERS, GEN),
        Settle(FIRST),
    ]
    entries = exchange.apply_many(commands)
    assert not [event for entry in entries for event in entry.events if isinstance(event, Rejected)]
    return entries


@cache
def tiny(fee: int = 50_000) -> Told:
    return told.read(journal(fee), FACTORS)


def test_bills_and_savings_of_four_by_hand() -> None:
    table = parts.participants(tiny().books).set_index("participant")
    assert table["bill"].to_dict() == pytest.approx(
        {"anna": -0.2, "bert": -0.01 - 0.06 - 0.1 * 0.08, "cleo": 0.25 + 0.015 + 0.03, "dora": 0.08 + 0.12}, abs=1e-12
    )
    assert table["bill_at_tariff"].to_dict() == pytest.approx(
        {"anna": -0.08, "bert": -0.048, "cleo": 0.36, "dora": 0.24}, abs=1e-12
    )
    assert table["saved_at_tariff"].sum() == pytest.approx(1.5 * (0.30 - 0.08 - 0.05), abs=1e-12)
    assert table["fees"].to_dict() == pytest.approx({"anna": 0, "bert": 0, "cleo": 0.055, "dora": 0.02})
    assert table["received_ct"].to_dict() == pytest.approx(
        {"anna": 20, "bert": 14, "cleo": np.nan, "dora": np.nan}, nan_ok=True
    )
    assert table["paid_ct"].to_dict() == pytest.approx(
        {"anna": np.nan, "bert": np.nan, "cleo": 26.5 / 1.1, "dora": 20}, nan_ok=True
    )


def test_energy_shares_and_peaks_of_four_by_hand() -> None:
    table = parts.participants(tiny().books).set_index("participant")
    assert table["load_kwh"].tolist() == [0.5, 0, 1.2, 0.8]
    assert table["generation_kwh"].tolist() == [1.5, 0.6, 0, 0]
    assert table["self_sufficiency"].to_dict() == pytest.approx(
        {"anna": 1.0, "bert": np.nan, "cleo": 1 - 0.1 / 1.2, "dora": 0.5}, nan_ok=True
    )
    assert table["self_consumption"].iloc[:2].tolist() == pytest.approx([1.0, 1 - 0.1 / 0.6])
    assert table["import_kw"].tolist() == pytest.approx([0, 0, 4.8, 3.2])
    assert table["export_kw"].tolist() == pytest.approx([4.0, 2.4, 0, 0])
    assert table["share_of_sales"].tolist() == pytest.approx([1 / 1.5, 0.5 / 1.5, 0, 0])


def test_emissions_go_with_the_energy() -> None:
    table = parts.participants(tiny().books).set_index("participant")
    grams = {"anna": 0.5 * 40, "bert": 0, "cleo": 40 + 0.1 * 10 + 0.1 * 400, "dora": 0.4 * 10 + 0.4 * 400}
    assert (1000 * table["co2_kg"]).to_dict() == pytest.approx(grams)
    everything = 1.5 * 40 + 0.6 * 10 + 0.5 * 400
    assert sum(grams.values()) + 0.1 * 10 == pytest.approx(everything), "the rest left with what the utility bought"


def test_figures_of_the_whole_by_hand() -> None:
    found = told.market(tiny())
    saved = np.array([0.12, 0.03, 0.065, 0.04])
    assert found["saved_at_tariff"] == pytest.approx(saved.sum())
    assert found["jain"] == pytest.approx(saved.sum() ** 2 / (4 * (saved**2).sum()))
    gaps = np.abs(saved[:, None] - saved[None, :]).sum()
    assert found["gini"] == pytest.approx(gaps / (2 * 4 * saved.sum())), "half the mean difference over the mean"
    assert found["losers_pct"] == 0
    assert found["profit_dispersion"] == pytest.approx(saved.std())
    assert found["hhi_sellers"] == pytest.approx((1 / 1.5) ** 2 + (0.5 / 1.5) ** 2)
    assert found["hhi_buyers"] == pytest.approx((1.1 / 1.5) ** 2 + (0.4 / 1.5) ** 2)
    assert found["lerner"] == pytest.approx((1.0 * 12 + 0.1 * 2 + 0.4 * 7) / (20 + 1 + 6))
    assert found["residual_supply_min"] == pytest.approx(600 / 1600), "Bert's offers, of which 100 Wh found nobody"
    assert found["pivotal_slots"] == 1
    assert (found["spread_ct"], found["mean_ct"]) == (10, pytest.approx(27 / 1.5))
    assert (found["load_kwh"], found["local_kwh"], found["trades"]) == (2.5, 1.5, 3)
    assert found["self_sufficiency"] == pytest.approx(1 - 0.5 / 2.5)
    assert found["self_consumption"] == pytest.approx(1 - 0.1 / 2.1)
    assert (found["peak_import_kw"], found["peak_export_kw"]) == (1.6, 0.0)
    assert found["g_per_kwh"] == pytest.approx(1000 * found["co2_kg"] / 2.5)


def test_origins_by_hand() -> None:
    rows = parts.origins(tiny().books, tiny().generated).set_index("source")
    assert rows["generation_kwh"].to_dict() == {"solar": 1.5, "wind": 0.6}
    assert rows["price_ct"].to_dict() == pytest.approx({"solar": 20, "wind": 14})
    assert rows["share_of_sales"].to_dict() == pytest.approx({"solar": 1 / 1.5, "wind": 0.5 / 1.5})
    assert (rows["hhi_sellers"] == 1).all()
    assert (rows["sellers"] == 1).all()
    assert rows["lerner"].to_dict() == pytest.approx({"solar": 12 / 20, "wind": (0.1 * 2 + 0.4 * 7) / 7})
    assert rows["co2_kg"].to_dict() == pytest.approx({"solar": 0.06, "wind": 0.006})


def test_without_fees_savings_are_the_traded_energy_times_the_difference_of_two_prices() -> None:
    assert told.market(tiny(0))["saved_at_tariff"] == pytest.approx(1.5 * (0.30 - 0.08), abs=1e-12)


def test_the_journal_tells_what_the_run_knew() -> None:
    run, memory = finished()
    results = run.results()
    found = told.read(memory.entries, run.scenario.emissions.model_dump())
    table = parts.participants(found.books)
    pd.testing.assert_frame_equal(table, results.participants[list(table)], check_dtype=False)
    summary, market = results.summary, told.market(found)
    for key in ("hhi_sellers", "hhi_buyers", "residual_supply_min", "pivotal_slots"):
        assert market[key] == pytest.approx(summary["market_power"][key]), key
    for key in ("load_kwh", "generation_kwh", "local_kwh", "trades", "self_sufficiency", "self_consumption"):
        assert market[key] == pytest.approx(summary["energy"][key]), key
    assert (market["mean_ct"], market["spread_ct"]) == pytest.approx(
        (summary["price"]["mean_ct"], summary["price"]["spread_ct"])
    )
    assert market["bills"] == pytest.approx(summary["money"]["bills"])
    groups = parts.groups(table, "saved_at_tariff", "saved_at_tariff")
    assert groups["sun"]["co2_kg"] == pytest.approx(summary["groups"]["sun"]["co2_kg"])
    sources = parts.origins(found.books, found.generated).set_index("source")
    for name, row in summary["sources"].items():
        for key, value in row.items():
            if key != "lerner":  # the run knows the costs
                expected = np.nan if value is None else value
                assert sources.loc[name, key] == pytest.approx(expected, nan_ok=True), (name, key)


def test_savings_at_the_tariff_are_exact_in_a_run() -> None:
    run, memory = finished()
    account = told.read(memory.entries, FACTORS | {"biomass": 1.0}).books.account
    traded = int(account.sold_local.sum())
    table = parts.participants(told.read(memory.entries, FACTORS).books)
    settings = run.exchange.settings
    gap = (settings.retail - settings.feed_in) * traded / 1e9
    assert table["saved_at_tariff"].sum() == pytest.approx(gap - table["fees"].sum(), abs=1e-9)


@pytest.mark.parametrize("source", SOURCES)
def test_every_origin_has_a_factor_or_counts_as_the_grid(source: str) -> None:
    factors = Emissions().model_dump()
    found = parts.emissions(tiny().books._replace(sources=[source] * 4, factors=factors))
    expected = factors.get(source, 0.0 if not source else factors["grid"]) * 0.5
    assert 1000 * found[0] == pytest.approx(expected)


def test_a_journal_without_a_market_has_no_figures() -> None:
    with pytest.raises(LedgerError, match="holds no market"):
        told.read([], FACTORS)


def test_a_market_that_has_settled_nothing_has_empty_figures() -> None:
    found = told.read(journal()[:-1], FACTORS)
    assert told.market(found)["slots"] == 0
    assert told.market(found)["jain"] is None
    assert len(parts.participants(found.books)) == 4
