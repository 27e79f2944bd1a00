"""The shipped scenarios of modelled devices: each trades within the limits, and shows what it is there for."""

from __future__ import annotations

import pytest

from agents import MarketModel
from agents.results import Results
from scenarios import load

HOURS = {"town": "09", "farm_coop": "11", "industrial_park": "10", "island": "17"}


def short(name: str, slots: int = 3) -> Results:
    scenario = load(name)
    day = scenario.to_yaml().split("start: '")[1][:10]
    return MarketModel(
        scenario, seed=1, time__start=f"{day}T{HOURS[name]}:00Z", time__days=None, time__slots=slots, output__compare=[]
    ).run()


@pytest.mark.parametrize("name", HOURS)
def test_a_short_run_trades_and_breaks_no_limit(name: str) -> None:
    results = short(name)
    assert results.summary["energy"]["local_kwh"] > 1
    assert results.summary["grid"]["violations"] == 0


def test_the_town_has_every_kind_of_source_and_load() -> None:
    people = MarketModel(load("town"), seed=1, output__compare=[]).population
    assert set(people.generation_by_source()) == {"solar", "wind", "hydro", "biomass", "storage", "fuel"}
    kinds = {"household", "commercial", "agricultural", "industrial", "ev", "heat_pump"}
    assert set(people.load_by_kind()) == kinds
    assert len(people.battery) == 10


def test_choosy_bids_never_meet_another_origin() -> None:
    results = short("town", 6)
    bought = results.trades[results.trades["buyer"].str.startswith("green")]
    assert len(bought)
    assert set(bought["source"]) <= {"solar", "wind", "hydro"}


def test_the_islands_diesel_runs_only_for_what_it_sold() -> None:
    results = short("island", 6)
    sold = results.trades[results.trades["seller"].str.startswith("diesel")]["kwh"].sum()
    assert results.slots["fuel_kwh"].sum() == pytest.approx(sold)
