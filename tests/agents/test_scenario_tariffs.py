"""Tariffs by time of day: what bands mean, what is wrong with them, and that a whole run is settled at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import MarketModel
from agents.scenario import Scenario, ScenarioError, load_scenario
from market.audit import audit
from market.events import Settled
from market.orders import Submit
from market.replay import replay
from market.settlement import tariff
from market.store import Ledger
from tests.agents.small import TEXT

BANDS = [
    {"since": "00:00", "price": "26 ct/kWh"},
    {"since": "12:00", "price": "36 ct/kWh", "days": "workdays"},
    {"since": "13:00", "price": "30 ct/kWh", "days": "workdays"},
]


def changed(**fields: Any) -> Scenario:
    return load_scenario(TEXT).changed(**{f"tariffs.{name}": value for name, value in fields.items()})


def prices_at(scenario: Scenario, *times: str) -> list[float]:
    starts = (np.datetime64(time, "s").astype(int) // 900 for time in times)
    return [scenario.tariffs.prices(int(start), 1, 900).retail[0] / 10_000 for start in starts]


def test_a_band_holds_until_the_next_of_the_same_day() -> None:
    wednesday = changed(retail=BANDS)
    times = [f"2016-06-08T{hour}" for hour in ("00:00", "11:45", "12:00", "12:45", "13:00", "23:45")]
    assert prices_at(wednesday, *times) == [26, 26, 36, 36, 30, 30]
    assert prices_at(wednesday, "2016-06-11T12:30", "2016-06-12T12:30", "2016-06-13T12:30") == [26, 26, 36]


def test_bands_follow_the_clock_of_their_zone_in_summer_and_in_winter() -> None:
    berlin = changed(retail=BANDS, time_zone="Europe/Berlin")
    assert prices_at(berlin, "2016-06-08T09:45", "2016-06-08T10:00") == [26, 36]
    assert prices_at(berlin, "2016-12-07T10:45", "2016-12-07T11:00") == [26, 36]
    # Sunday 22:30 UTC is Monday already.
    assert prices_at(berlin, "2016-06-12T22:30") == [26]


def test_one_price_is_written_as_one_price_and_bands_as_bands() -> None:
    for retail in ("31 ct/kWh", BANDS):
        scenario = changed(retail=retail)
        assert load_scenario(scenario.to_yaml()) == scenario
        assert scenario.changed(seed=2).tariffs == scenario.tariffs
    assert "retail: 31 ct/kWh" in changed(retail="31 ct/kWh").to_yaml()


def test_times_need_no_quotes() -> None:
    text = TEXT.replace("retail: 32 ct/kWh", "retail: [{price: 32 ct/kWh}, {since: 22:00, price: 30 ct/kWh}]")
    assert [band.since for band in load_scenario(text).tariffs.retail] == [0, 22 * 60]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"retail": []}, "tariffs.retail: must begin at 00:00 on workdays and weekend"),
        ({"retail": [{"since": "06:00", "price": "30 ct/kWh"}]}, "tariffs.retail: must begin at 00:00"),
        (
            {"retail": [{"price": "30 ct/kWh", "days": "weekend"}]},
            "tariffs.retail: must begin at 00:00 on workdays; add",
        ),
        (
            {"retail": [*BANDS, {"since": "13:00", "price": "31 ct/kWh"}]},
            r"retail\[3\].since: 13:00 has a price in \[2",
        ),
        (
            {"retail": [*BANDS, {"since": "25:00", "price": "1 ct/kWh"}]},
            r'retail\[3\].since: needs a time.*"06:30".*25',
        ),
        ({"retail": [*BANDS, {"since": 6, "price": "1 ct/kWh"}]}, r"retail\[3\].since: needs a time of day.* got 6"),
        ({"retail": [*BANDS, {"since": "14:00"}]}, r"retail\[3\].price: is missing"),
        ({"retail": [*BANDS, {"since": "14:00", "price": "30.001 ct/kWh"}]}, r"retail\[3\].price: must be a multiple"),
        (
            {"retail": BANDS, "feed_in": "27 ct/kWh"},
            "feed_in: must be at most retail .*27 ct/kWh and 26 ct/kWh at 00:00",
        ),
        ({"time_zone": "Europe/Atlantis"}, "tariffs.time_zone: is no time zone .* got 'Europe/Atlantis'"),
    ],
)
def test_bad_bands_are_told_with_path_value_and_fix(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ScenarioError, match=fault):
        changed(**fields)


def test_every_slot_is_traded_and_settled_at_its_own_prices(tmp_path: Path) -> None:
    scenario = changed(retail=BANDS, feed_in=[{"price": "8 ct/kWh"}, {"since": "11:00", "price": "4 ct/kWh"}])
    scenario = scenario.changed(**{"time.start": "2016-06-08T10:30Z"})
    path = tmp_path / "ledger.db"
    with Ledger.create(path) as ledger:
        run = MarketModel(scenario, seed=1, ledger=ledger)
        results = run.run()
    settings, seen = run.exchange.settings, {}
    assert [change[1:] for change in settings.price_changes] == [
        (260_000, 40_000), (360_000, 40_000),
    ]  # fmt: skip
    with Ledger.open(path) as ledger:
        for page in ledger.entry_pages():
            for entry in page:
                if isinstance(entry.command, Submit) and entry.command.participant == settings.utility:
                    feed_in, retail = tariff(settings, entry.command.slot)
                    assert entry.command.price == (feed_in if entry.command.side == "buy" else retail)
                seen.update({event.slot: event.prices for event in entry.events if isinstance(event, Settled)})
    assert seen == {slot: tariff(settings, slot) for slot in range(run.first_slot, run.first_slot + run.slots)}
    assert set(seen.values()) == {(80_000, 260_000), (40_000, 260_000), (40_000, 360_000)}
    assert audit(path).ok
    assert not [step for step in replay(path) if step.mismatch]
    people = results.participants
    # By the definition of the two: whoever trades gains against the utility's prices of just that slot.
    assert (people.loc[people["strategy"] == "truthful", "benefit"] >= 0).all()
    assert 0.5 < results.summary["welfare"]["share"] <= 1.000001


GREEN = """
name: leaf
time: {start: 2016-06-08T10:00Z, slots: 4}
tariffs: {grid_fee: 4 ct/kWh}
grid: {network: simbench_lv_rural2, gate: linear}
participants:
  - {group: sun, kind: pv_park, count: 1, pv: {kwp: 5}, cost: 31 ct/kWh, strategy: truthful}
  - group: green
    kind: household
    count: 8
    load: {annual_kwh: 4000}
    accepts: [solar]
    green_premium: 4 ct/kWh
    strategy: truthful
"""


def test_a_green_premium_buys_what_grey_money_does_not() -> None:
    """The park asks 31 ct; with the fee that is 35, 3 above retail."""
    results = MarketModel(load_scenario(GREEN), seed=1).run()
    assert results.summary["energy"]["local_kwh"] > 0.5
    assert set(results.trades.loc[results.trades["local"], "source"]) == {"solar"}
    without = MarketModel(load_scenario(GREEN.replace("    green_premium: 4 ct/kWh\n", "")), seed=1).run()
    assert without.summary["energy"]["local_kwh"] == 0
    with pytest.raises(
        ScenarioError, match=r"green_premium: needs accepts, without grid, got 4 ct/kWh with accepts \[\]"
    ):
        load_scenario(GREEN.replace("    accepts: [solar]\n", ""))
