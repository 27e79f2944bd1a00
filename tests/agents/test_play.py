"""A market that is played moment by moment: the same as one that steps, with room for others in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.model import MarketModel
from agents.scenario import ScenarioError
from agents.strategies import NO_PRICE
from grid.feeder import Feeder
from grid.gate import build
from market.audit import audit
from market.events import Accepted, Entry, Settled, Traded
from market.journal import encode
from market.orders import Cancel, MassCancel, Submit
from market.recovery import recover
from market.store import Ledger
from tests.agents.small import ALONE, scenario


def stepped() -> list[bytes]:
    kept: list[Entry] = []

    class Book(list[Entry]):
        def append(self, entries: object) -> None:
            kept.extend(entries)  # type: ignore[arg-type]

    MarketModel(scenario(), ledger=Book()).run_model()
    return [encode(entry) for entry in kept]


def test_a_run_played_by_moments_is_the_run_of_its_steps_byte_for_byte() -> None:
    model = MarketModel(scenario())
    journal: list[bytes] = []
    times = []
    for moment in model.play():
        times.append(moment)
        journal += [encode(entry) for entry in model.drain()]
        assert model.exchange.now is None or model.exchange.now <= moment
    journal += [encode(entry) for entry in model.drain()]
    assert journal == stepped()
    assert times == sorted(times)
    assert not model.running


def test_visitors_trade_with_the_neighbours_and_the_model_hears_of_it() -> None:
    model = MarketModel(scenario())
    visitor = model.population.ids[0]
    traded = 0
    gone = False
    for moment in model.play():
        now = model.exchange.now
        if now is None:
            continue
        if not gone:
            model.withdraw(visitor, now)
            gone = True
        slots = list(model.desk.open)
        if slots and moment > now:
            dearest = model.exchange.settings.price_cap
            (entry,) = model.visit(now + 1, [Submit(visitor, slots[0], "buy", dearest, 1000, "ioc", flexible=True)])
            before = len(model.desk.trades)
            trades = [event for event in entry.events if isinstance(event, Traded)]
            assert isinstance(entry.events[0], Accepted)
            assert [deal.event for deal in model.desk.trades[before - len(trades) :]] == trades
            traded += sum(event.quantity for event in trades)
    assert traded > 0


def test_a_participant_who_is_withdrawn_quotes_no_more_and_has_no_order_left() -> None:
    model = MarketModel(scenario())
    name = next(people for people in model.population.ids)
    entries: list[Entry] = []
    for number, _ in enumerate(model.play()):
        entries += model.drain()
        if number == 3:
            assert model.exchange.now is not None
            model.withdraw(name, model.exchange.now + 1)
            (mass,) = [entry for entry in model.drain() if isinstance(entry.command, MassCancel)]
            assert mass.command == MassCancel(name)
            entries.clear()
    said = [entry.command for entry in entries if isinstance(entry.command, Submit | Cancel)]
    assert said
    assert name not in {command.participant for command in said}


def test_a_model_goes_on_where_its_ledger_ends(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    first = MarketModel(scenario().changed(**ALONE))
    quiet = first.population.ids[0]
    with Ledger.create(path) as ledger:
        for number, _ in enumerate(first.play()):
            if number == 4:
                first.withdraw(quiet, first.exchange.now or 0)
            ledger.append(first.drain())
            if number == 14:
                break
    with Ledger.open(path, readonly=False) as ledger:
        exchange = recover(ledger, lambda settings, feeder: build(Feeder.from_json(feeder), settings))
        assert exchange is not None
        model = MarketModel(scenario().changed(**ALONE))
        model.go_on(exchange, ledger.entries)
        rows = slice(first.desk.rows(first.desk.open.start).start, first.desk.rows(first.desk.open.stop - 1).stop)
        for column in ("left", "live", "resting", "filled"):
            wanted, found = getattr(first.desk, column)[rows], getattr(model.desk, column)[rows]
            known = first.desk.live[rows] != NO_PRICE if column == "filled" else slice(None)
            assert np.array_equal(wanted[known], found[known]), column
        assert model.money.tolist() == first.money.tolist()
        before = len(ledger)
        for _ in model.play():
            ledger.append(model.drain())
        ledger.append(model.drain())
        assert len(ledger) > before + 100
    report = audit(path)
    assert report.ok, report
    with Ledger.open(path) as ledger:
        late = [entry.command for entry in ledger.entries(before + 1) if isinstance(entry.command, Submit)]
        assert late
        assert quiet not in {command.participant for command in late}
        settled = [event.slot for entry in ledger.entries() for event in entry.events if isinstance(event, Settled)]
        assert settled == list(range(model.first_slot, model.first_slot + model.slots))


def test_a_ledger_of_another_market_is_refused(tmp_path: Path) -> None:
    model = MarketModel(scenario().changed(**ALONE))
    kept = model.drain()
    other = MarketModel(scenario().changed(**ALONE, **{"tariffs.retail": "33 ct/kWh"}))
    with pytest.raises(ScenarioError, match="retail"):
        other.go_on(model.exchange, lambda: kept)
