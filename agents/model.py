"""The model: a Mesa model whose step is one delivery slot, over the same exchange that serves a live market.

Step i ends with the gate closure of slot i. It covers the time between the gate of slot i − 1 and that of slot i, in
which all slots that are open trade in `market.rounds` rounds at equal distances; the first step begins when slot 0
opens. In every round each strategy quotes for all open slots, and what changes arrives in random order. At the gate
the whole slot is verified by power-grid-model, then slots that have been delivered are metered and settled, and all
that was said and done goes to the ledger in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any, Protocol

import mesa
import numpy as np

from agents import grid_operator, losses, tables
from agents.collector import Collector
from agents.desk import Desk
from agents.figures import Figures
from agents.meters import Meters
from agents.participant import Participant
from agents.population import Population, StrategyUse, build
from agents.record import Ladder, Record
from agents.results import Results
from agents.resumption import check, closed_slots, remember
from agents.scenario import UTILITY, Scenario, ScenarioError, load_scenario
from agents.scenario_files import UTILITY_CONNECTION
from agents.seeds import child, generator
from agents.storage import Storage
from agents.strategies import Market, create
from agents.verification import verify
from agents.wants import Actions, Group
from grid import gate as grid_gate
from grid.losses import LossModel
from market.events import Entry, Lost, Opened, Rejected, Settled
from market.exchange import Exchange
from market.orders import (
    RULES,
    AdvanceClock,
    Command,
    CreateMarket,
    MassCancel,
    Register,
    Settle,
)
from market.settlement import imbalance_money, tariff
from market.slots import NS, format_time

SHIPPED = Path(__file__).resolve().parent.parent / "scenarios"
Counts = Mapping[str, int]
Progress = Callable[[int, int, Counts], None]
"""Called after each step with the number of slots done, their total, and totals so far: orders, trades, wh, limited."""


class Journal(Protocol):
    """Where entries go, such as `market.store.Ledger`; a list-like object with `append` will do."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep all of the entries or, raising an error, none."""


class MarketModel(Figures, mesa.Model):
    """A local market for the slots of one scenario.

    `scenario` is a Scenario, the path of a YAML file, or the name of a shipped one. ``seed=3`` overrides the
    scenario's; `rng` does the same under the name that Mesa's `batch_run` uses from Mesa 3.5 on.
    Further keywords change fields of the scenario: ``MarketModel("village", **{"grid.gate": "off"})``, or with two
    underscores for the dot. `strategy` has everybody use one strategy, `population` reuses that of another model of
    the same scenario and seed. After an error or an interrupt the ledger ends with the last complete step; the model
    itself cannot go on.

    Raises ScenarioError, FeederError or ProfileError with all that is wrong, StrategyError for a bad strategy.
    """

    def __init__(
        self,
        scenario: Scenario | str | Path = "village",
        *,
        rng: int | None = None,
        ledger: Journal | None = None,
        strategy: str | None = None,
        population: Population | None = None,
        **changes: Any,
    ) -> None:
        # A parameter called `seed` would be overwritten, with None, by the batch_run of Mesa 3.5.
        given = changes.pop("seed", None)
        self._chosen = _scenario(scenario, changes)
        seed = next((index(value) for value in (given, rng) if value is not None), self.scenario.seed)
        super().__init__(rng=seed)
        self.running: bool = True
        root = np.random.SeedSequence(seed)
        self.ledger = ledger
        self.population = people = (population or build(self.scenario, child(root, "population"))).fresh()
        settings = self.scenario.market_settings(people.feeder)
        self.gate = grid_gate.build(people.feeder, settings)
        self.exchange = Exchange(self.gate)
        self._entries: list[Entry] = []
        self._say(CreateMarket(settings, people.feeder.to_json(), RULES))
        uses = people.strategies if strategy is None else [StrategyUse(strategy, {}, np.arange(len(people)))]
        groups = [
            Group(use.name, create(use.name, use.params), use.members, generator(root, "strategy", str(number)))
            for number, use in enumerate(uses)
        ]
        self.desk = Desk(people, self.exchange, groups, generator(root, "arrival"), _stores(people, strategy, root))
        self.storage = Storage(people, settings, self.exchange.fees.typical)
        self.record = Record.empty(self.scenario, seed, settings, people, self.desk)
        self.first_slot, self.slots = people.first_slot, people.slots
        self._alone = people.islanded and strategy == "utility_only"
        """Everybody for themselves: there is no utility to trade with."""
        self._loss_model = None if settings.losses == "none" else LossModel(people.feeder, settings.slot_seconds)
        self._spacing = _spacing(self.scenario)
        self._settled = self.first_slot
        self._booked = 0
        self.money, self.sold, self.bought = np.zeros((3, len(people)), dtype=np.int64)
        """(P,) received less paid [nano-currency], sold and bought locally [Wh], so far."""
        self._local = np.zeros((self.slots, 3), dtype=np.int64)
        """(T, 3) local trades of each slot so far: number, Wh, nano-currency."""
        self._rows = {name: row for row, name in enumerate(people.ids)}
        strategies = {int(row): use.name for use in uses for row in use.members}
        self.participants = [Participant(self, row, strategies[row]) for row in range(len(people))]
        self._register()
        self.datacollector = Collector()

    @property
    def scenario(self) -> Scenario:
        """What is simulated."""
        return self._chosen

    @scenario.setter
    def scenario(self, value: object) -> None:
        """Mesa from 3.5 on gives every model a scenario of its own kind when it starts; ours stands in its place."""

    # -- running -------------------------------------------------------------------------------------------------

    def run(self, progress: Progress | None = None) -> Results:
        """All steps that are left, then the results."""
        while self.running:
            self.step()
            if progress is not None:
                progress(self.steps, self.slots, self.counts)
        return self.results()

    def run_model(self) -> None:
        """All steps that are left, as Mesa calls it."""
        while self.running:
            self.step()

    def step(self) -> None:
        """Trade until the next gate closure. Raises GridViolation if the wires do not carry what was traded."""
        if not self.running:
            raise RuntimeError("the run has ended; make a new model")
        for _ in self._moments():
            pass
        entries = self.drain()
        if self.ledger is not None:
            self.ledger.append(entries)

    def play(self) -> Iterator[int]:
        """All that is left of the run by moments: the time [ns] of what happens next, told before it happens.

        A live market waits for that time. Until it asks for the next moment it may `visit`, `withdraw` and `drain`.
        Raises like `step`.
        """
        while self.running:
            self.steps += 1
            yield from self._moments()

    def go_on(self, exchange: Exchange, entries: Callable[[], Iterable[Entry]]) -> None:
        """Go on from the end of a journal: `entries()` reads it from its start, `exchange` is as it left it.

        For a model that has not run. Neighbours keep their orders; strategies start to learn anew. Raises
        ScenarioError if the journal is that of another market.
        """
        self.require_same_market(next(iter(entries())))
        ours = self.exchange.participants
        others = [name for name, place in ours.items() if exchange.participants.get(name) != place]
        if others:
            raise ScenarioError([f"the ledger does not have {others[0]!r} where the scenario has it; choose its seed"])
        self._entries.clear()
        self.exchange, self.gate = exchange, exchange.gate
        root = np.random.SeedSequence([self.record.seed, exchange.seq])
        self.desk.go_on(exchange, generator(root, "arrival"))
        for number, group in enumerate(self.desk.groups):
            self.desk.groups[number] = group._replace(rng=generator(root, "strategy", str(number)))
        remember(self.desk, self.storage, self.population, entries())
        self._follow(exchange.now or 0)
        self.steps = closed_slots(self.record, exchange)
        self.running = self.steps < self.slots
        while self._settled < self.first_slot + self.slots and exchange.is_settled(self._settled):
            self._settled += 1
        self._book_trades()

    def require_same_market(self, first: Entry) -> None:
        """Raises ScenarioError unless a journal that begins with this entry is of a market with the same rules."""
        check(first, self.exchange.settings, self.population.feeder.to_json())

    def visit(self, now: int, commands: Sequence[Command]) -> list[Entry]:
        """Commands of others at `now` [ns], before the next moment: answers, in order. `drain` has them too."""
        self._advance(now)
        entries = self.exchange.apply_many(commands)
        self._entries += entries
        for entry in entries:
            self.desk.overhear(entry)
        return entries

    def withdraw(self, name: str, now: int) -> None:
        """From `now` on somebody else quotes for this participant: its strategy falls silent, its orders are taken out.

        Raises KeyError if the scenario has no such participant.
        """
        row = self._rows[name]
        if row in self.desk.silent:
            return
        self._advance(now)
        self.desk.silence(row)
        self._say(MassCancel(name))

    def quotes_for(self, name: str) -> bool:
        """Whether the scenario's strategy quotes for this participant: it is of the scenario, and not withdrawn."""
        row = self._rows.get(name)
        return row is not None and row not in self.desk.silent

    def look(self) -> Market:
        """What anybody may know of the open slots now; the strategies see it in a round."""
        return self.desk.view(self._spacing)

    def drain(self) -> list[Entry]:
        """Entries since the last call, in order, for the ledger."""
        entries, self._entries = self._entries, []
        self.record.entries += len(entries)
        return entries

    def results(self) -> Results:
        """Tables and summary of a finished run, with the runs for comparison that the scenario asks for.

        Raises RuntimeError before the last step.
        """
        if self.steps < self.slots or self.running:
            raise RuntimeError(f"the run is at slot {self.steps} of {self.slots}; call run() first")
        others: dict[str, Record] = {name: self._compared(name) for name in self.scenario.output.compare}
        return tables.collect(self.record, others)

    def _compared(self, name: str) -> Record:
        """The same day with one thing changed."""
        strategy = "utility_only" if name == "no_local_trading" else None
        # The utility serves whoever asks, at once: no auction and no spread stands between.
        direct: dict[str, Any] = {"market.design": "cda", "market.auctions": {}, "market.spread_clock": {}}
        if self.scenario.islanded:
            direct = {}
        changes = direct if name == "no_local_trading" else {"grid.gate": "off"}
        other = MarketModel(
            self.scenario, seed=self.record.seed, strategy=strategy, population=self.population, **changes
        )
        other.run_model()
        return other.record

    # -- one step ------------------------------------------------------------------------------------------------

    def _say(self, *commands: Command) -> list[Entry]:
        """Administrative commands, which the exchange never refuses. Raises RuntimeError if it does."""
        entries = self.exchange.apply_many(commands)
        for entry in entries:
            for event in entry.events:
                if isinstance(event, Rejected):
                    raise RuntimeError(f"{type(entry.command).__name__} was refused: {event.reason}")
        self._entries += entries
        return entries

    def _register(self) -> None:
        self._meters = Meters(self.population)
        self._say(Register(UTILITY, UTILITY_CONNECTION), *self._meters.registrations())

    def _moments(self) -> Iterator[int]:
        """One step, by moments."""
        self.running = False
        slot = self.first_slot + self.steps - 1
        yield from self._trade_until(self.exchange.clock.gate(slot))
        verify(self.gate, self.record, slot, self.exchange.schedule(slot))
        if self.population.islanded:
            self.record.shed[:, self.steps - 1] = grid_operator.shed(self.desk, slot, len(self.population))
        last = self.steps == self.slots
        if last:
            yield self.exchange.clock.end(slot)
            self._advance(self.exchange.clock.end(slot))
        self._settle()
        self.record.stages = self.exchange.stages()
        self.datacollector.collect(self)
        self.running = not last

    def _trade_until(self, gate: int) -> Iterator[int]:
        """All rounds up to the gate closure at `gate` [ns], and the closure, by moments."""
        clock, rounds = self.exchange.clock, self.scenario.market.rounds
        start = gate - clock.length
        if self.steps == 1:
            start -= -(-(start - clock.opens(self.first_slot)) // clock.length) * clock.length
        sent = 0
        for begin in range(start, gate, clock.length):
            for number in range(rounds):
                moment = begin + number * clock.length // rounds
                if moment < (self.exchange.now or moment):
                    continue  # the journal that this goes on from is past it
                yield moment
                self._advance(moment)
                if self._alone:
                    continue
                sent += self._quote(*self.desk.quote(self._spacing))
                last = begin + clock.length >= gate and number == rounds - 1
                if last and self.population.islanded:
                    slot = self.first_slot + self.steps - 1
                    called = grid_operator.last_call(self.population, self.desk, self.exchange.settings, slot)
                    sent += self._quote(*called)
            self._sketch()
        self.record.orders.append(sent)
        yield gate
        self._advance(gate)

    def _quote(self, actions: Actions, commands: Sequence[Command]) -> int:
        """Put quotes to the exchange; returns how many."""
        if commands:
            entries = self.exchange.apply_many(commands)
            self.desk.hear(actions, entries)
            self._entries += entries
        return len(commands)

    def _advance(self, now: int) -> None:
        if self.exchange.now is not None and now <= self.exchange.now:
            return
        (entry,) = self._say(AdvanceClock(format_time(now)))
        self.record.times.append((entry.seq, now))
        self.desk.overhear(entry)
        self.storage.follow(self.desk, entry.events)
        for event in entry.events:
            if isinstance(event, Opened) and 0 <= event.slot - self.first_slot < self.slots:
                self._say(*grid_operator.opening(self.population, self.record, self.exchange.settings, event.slot))
        self._follow(now)

    def _follow(self, now: int) -> None:
        """Let the desk trade in the slots of the run that are open at `now`."""
        ours = self.exchange.clock.open_slots(now)
        end = self.first_slot + self.slots
        start = min(max(ours.start, self.first_slot), end)
        self.desk.trade_in(range(start, max(min(ours.stop, end), start)))

    def _sketch(self) -> None:
        """Keep the aggregated books of all open slots."""
        now = self.exchange.now or 0
        for slot in self.desk.open:
            for side, levels in zip(("buy", "sell"), self.exchange.depth(slot), strict=True):
                price, quantity = np.array(levels, dtype=np.int64).reshape(-1, 2).T
                self.record.depth.append(Ladder(slot, now, side, price, quantity))

    def _settle(self) -> None:
        """Meter and settle every slot that has been delivered; book the money of new trades."""
        now = self.exchange.now or 0
        while self._settled < self.first_slot + self.slots and self.exchange.clock.end(self._settled) <= now:
            meter = self._meters.read(self.record, self._settled)
            lost = [losses.statement(self._loss_model, self.record, self._settled)] if self._loss_model else []
            for entry in self._say(meter, *lost, Settle(self._settled)):
                for event in entry.events:
                    if isinstance(event, Settled):
                        self._book_settlement(event)
                    elif isinstance(event, Lost):
                        self.money -= losses.book(self.record, self._rows, event)
            self._settled += 1
        self._book_trades()

    def _book_trades(self) -> None:
        rows = self._rows
        new = [deal.event for deal in self.desk.trades[self._booked :]]
        self._booked += len(new)
        # Others than the scenario's may trade in a live market; their money is the ledger's business alone.
        columns = [
            (rows.get(trade.buyer, -1), rows.get(trade.seller, -1), trade.slot - self.first_slot, trade.price,
             trade.fee, trade.quantity, trade.buyer != UTILITY != trade.seller)
            for trade in new
        ]  # fmt: skip
        buyer, seller, slot, price, fee, energy, local = np.array(columns, dtype=np.int64).reshape(-1, 7).T
        money = price * energy
        paid = money + np.where(local, fee, 0) * energy
        for row, asset, amount in (
            (seller, self.money, money), (buyer, self.money, -paid),
            (seller, self.sold, local * energy), (buyer, self.bought, local * energy),
        ):  # fmt: skip
            np.add.at(asset, row[row >= 0], amount[row >= 0])
        np.add.at(self._local, slot, local[:, np.newaxis] * np.stack([np.ones_like(money), energy, money], axis=1))

    def _book_settlement(self, settled: Settled) -> None:
        prices = settled.prices or tariff(self.exchange.settings, settled.slot)
        self.record.imbalance_prices[:, settled.slot - self.first_slot] = prices
        for name, _, _, imbalance in settled.lines:
            if name in self._rows:
                self.money[self._rows[name]] += imbalance_money(imbalance, prices)

    def local_trades(self, slot: int) -> tuple[int, int, int]:
        """Trades between participants for a slot so far: number, Wh, nano-currency."""
        number, energy, money = self._local[slot - self.first_slot].tolist()
        return number, energy, money


def _stores(people: Population, strategy: str | None, root: np.random.SeedSequence) -> Group | None:
    """Who quotes for batteries that trade, up to the price at which their plan does not care, or as all others do."""
    members = [site.rows for site in people.trading]
    if not members:
        return None
    name = strategy or "shaver"
    return Group(name, create(name, {}), np.sort(np.concatenate(members)), generator(root, "strategy", "storage"))


def _spacing(scenario: Scenario) -> int:
    """Time between two rounds [ns]. Raises ScenarioError if a slot could open and close between them."""
    market = scenario.market
    spacing, window = market.slot * NS // market.rounds, (market.opens_before - market.gate_closure) * NS
    if window < spacing:
        least = -(-market.slot * NS // window)
        problem = f"a slot trades for {window / NS:g} s, but rounds are {spacing / NS:g} s apart"
        raise ScenarioError(
            [f"market.opens_before: {problem}; open it earlier or set market.rounds to at least {least}"]
        )
    return spacing


def _scenario(source: Scenario | str | Path, changes: Mapping[str, Any]) -> Scenario:
    """A scenario as given, from a file, or shipped, with its changes."""
    if isinstance(source, Scenario):
        scenario = source
    elif isinstance(source, str) and not any(mark in source for mark in "./\\\n"):
        path = SHIPPED / f"{source}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
            raise ScenarioError([f"there is no scenario {source!r}, only {known}; a path must end in .yaml"])
        scenario = load_scenario(path)
    else:
        scenario = load_scenario(source)
    if not changes:
        return scenario
    named = {name.replace("__", "."): value for name, value in changes.items()}
    for given, other in (("time.slots", "time.days"), ("time.days", "time.slots")):
        if given in named:  # one replaces the other
            named.setdefault(other, None)
    return scenario.changed(**named)
