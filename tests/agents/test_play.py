"""A market that is played moment by moment: the same as one that steps, with room for others in between."""

from __future__ import annotations

from agents.model import MarketModel
from market.events import Accepted, Entry, Traded
from market.journal import encode
from market.orders import Cancel, MassCancel, Submit
from tests.agents.small import scenario


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
