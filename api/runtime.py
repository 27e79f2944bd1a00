"""The one writer of a live market: commands in groups, each on the disk before anybody hears of it.

The engine plays the scenario's neighbours by the clock of the market and takes in what clients send between two of
their moments. Gateways never decide: they hand over commands and wait for the answers.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from agents.model import MarketModel
from agents.population import SOURCES
from api.hub import Hub
from api.metrics import Metrics
from api.projection import Item
from market.events import Entry, Rejected
from market.ledger import LedgerError
from market.orders import Command
from market.slots import NS
from market.units import PRICE_PER_CT_KWH

GROUP = 256
"""Most commands that share one commit."""
SIGN = 1.0
"""Time between two checkpoints of the log, where there is something new [s]."""
BEAT = 0.1
"""Time between two messages of the book [s]."""


class Journal(Protocol):
    """Where entries go, such as `market.store.Ledger`."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep all of the entries durably or, raising an error, none."""

    def sign(self) -> object:
        """Sign what the log holds now."""


class StoppedError(Exception):
    """The market has stopped; a command that was not answered did not happen."""


class Pace:
    """The clock of the market: so many seconds of it in one second, from a moment on."""

    def __init__(self, speed: float, start: int, ticks: Callable[[], float] = time.monotonic) -> None:
        """`start` is the market's time now [ns]; `speed` > 0."""
        self.speed = speed
        self._start, self._ticks, self._begun = start, ticks, ticks()

    def now(self) -> int:
        """The market's time [ns]."""
        return self._start + int((self._ticks() - self._begun) * self.speed * NS)

    def until(self, moment: int) -> float:
        """Seconds to wait until the market's time is `moment` [ns]; not positive if it is past."""
        return (moment - self.now()) / NS / self.speed


class _Request(NamedTuple):
    commands: Sequence[Command]
    answers: asyncio.Future[list[Entry]]
    quotes_for: str = ""
    """A participant for whom a client quotes from now on, so that the scenario's strategy falls silent."""


class Engine:
    """Plays a model by the clock, journals what happens, and tells the hub."""

    def __init__(self, model: MarketModel, ledger: Journal, speed: float, past: Iterable[Entry] = ()) -> None:
        """Starts when `run` is awaited. `past` are the entries of a ledger that the model goes on from."""
        self.model = model
        self.speed = speed
        self.ended = False
        """True once the scenario's last slot is settled, somebody stopped the market, or something broke it."""
        self._stopping = False
        self.ready = asyncio.Event()
        """Set once slots trade."""
        self.metrics = Metrics()
        self.done = asyncio.Event()
        """Set once `run` has returned."""
        self._ledger = ledger
        self._requests: deque[_Request] = deque()
        self._wake = asyncio.Event()
        self._busy = asyncio.Lock()
        """Held while the exchange is ahead of the ledger."""
        self._failure: LedgerError | None = None
        self._flows = 0
        self.hub = Hub(model.exchange.depth, self.forecast, self.grid)
        self.hub.remember(past)

    async def run(self) -> None:
        """Serve until the scenario ends or somebody stops it; what was acknowledged is in the ledger then, and signed.

        Raises what stops the market: a full disk, a violation of the grid.
        """
        beat = asyncio.create_task(self._beat())
        try:
            pace: Pace | None = None
            for moment in self.model.play():
                await self._keep()
                pace = pace or Pace(self.speed, self.model.exchange.now or moment)
                await self._serve(moment, pace)
                if self._stopping:
                    break
            await self._keep()
        finally:
            self.ended = True
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
            while self._requests:
                self._requests.popleft().answers.set_exception(StoppedError("the market has stopped"))
            if self._failure is None:
                await asyncio.to_thread(self._ledger.sign)
            self.done.set()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End the market as soon as what is being carried out is on the disk; what waits is refused."""
        self._stopping = True
        self._wake.set()

    def submit(self, commands: Sequence[Command], quotes_for: str = "") -> asyncio.Future[list[Entry]]:
        """Carry out commands in order, after all that were submitted before; gives their entries once they are durable.

        `quotes_for` names a neighbour of the scenario for whom a client quotes from now on: its strategy falls silent.
        Raises StoppedError, at once or later, if the market ends before that: nothing of the commands is then in the
        ledger.
        """
        if self.ended or self._stopping:
            raise StoppedError("the market has ended or is going down; what was answered is kept")
        answers: asyncio.Future[list[Entry]] = asyncio.get_running_loop().create_future()
        self._requests.append(_Request(commands, answers, quotes_for))
        self._wake.set()
        return answers

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return len(self._requests)

    # -- views -----------------------------------------------------------------------------------------------------

    def forecast(self, participant: str) -> Item:
        """What a participant has to trade in the open slots: its own forecast [Wh], its worth and its source."""
        people = self.model.population
        if participant not in people.ids:
            return {"forecast": []}
        row = people.ids.index(participant)
        lines = []
        for slot in self.model.desk.open:
            wants = people.position(slot)
            names = ("firm_sell", "flexible_sell", "firm_buy", "flexible_buy")
            lines.append({"slot": slot} | {name: int(column[row]) for name, column in zip(names, wants, strict=True)})
        terms = {"buy_value": int(people.buy_value[row]), "sell_cost": int(people.sell_cost[row])}
        return {"forecast": lines, "source": SOURCES[people.source[row]], **terms}

    def grid(self) -> Item:
        """State of the grid in the last slot whose gate has closed, by an engine that admitted nothing."""
        record, feeder = self.model.record, self.model.population.feeder
        if not record.flows:
            return {"slot": None}
        flow, slot = record.flows[-1], record.verified
        branches = feeder.line_ids + feeder.transformer_ids
        return {
            "slot": slot,
            "u_pu": dict(zip(feeder.bus_ids, flow.u_pu[0].round(5).tolist(), strict=True)),
            "loading": dict(zip(branches, flow.loading[0].round(4).tolist(), strict=True)),
            "loss_w": round(float(flow.loss_w[0])),
            "source_w": round(float(flow.slack_w[0])),
            "price_ct": self._price(slot),
            "violations": [item.element for item in record.violations if item.slot == slot],
        }

    def _price(self, slot: int) -> float | None:
        """Mean price of the local trades of a slot [ct/kWh]; None without any."""
        _, energy, money = self.model.local_trades(slot)
        return round(money / energy / PRICE_PER_CT_KWH, 3) if energy else None

    # -- the one writer --------------------------------------------------------------------------------------------

    async def _serve(self, moment: int, pace: Pace) -> None:
        """Serve clients until the market's time is `moment`; whoever waits is served at least once."""
        while not self._stopping:
            left = pace.until(moment)
            self.metrics.lag = max(-left, 0.0)
            if left <= 0 and not self._requests:
                return
            first = await self._next(left)
            if first is None:
                return
            group = [first]
            size = len(first.commands)
            while size < GROUP and self._requests:
                group.append(self._requests.popleft())
                size += len(group[-1].commands)
            now = max(min(pace.now(), moment - 1), self.model.exchange.now or 0)
            await self._carry_out(group, now)
            if left <= 0:
                return

    async def _next(self, seconds: float) -> _Request | None:
        """The next request; None if none comes in time, or the market is to stop."""
        if not self._requests:
            self._wake.clear()
            try:
                async with asyncio.timeout(max(seconds, 0.0)):
                    await self._wake.wait()
            except TimeoutError:
                return None
        return self._requests.popleft() if self._requests else None

    async def _carry_out(self, group: Sequence[_Request], now: int) -> None:
        """One commit for a group of requests, then their answers."""
        try:
            async with self._busy:
                for request in group:
                    if request.quotes_for:
                        self.model.withdraw(request.quotes_for, now)
                entries = self.model.visit(now, [command for request in group for command in request.commands])
                await self._store()
        except BaseException as error:
            for request in group:
                if not request.answers.done():
                    request.answers.set_exception(StoppedError(f"the market has stopped: {error}"))
            raise
        self.metrics.commands += len(entries)
        self.metrics.refusals.update(
            event.code for entry in entries for event in entry.events if type(event) is Rejected
        )
        place = 0
        for request in group:
            answers = entries[place : place + len(request.commands)]
            place += len(request.commands)
            if not request.answers.done():  # its client may be gone
                request.answers.set_result(answers)

    async def _keep(self) -> None:
        """Make durable what the model has done, then tell it."""
        async with self._busy:
            await self._store()

    async def _store(self) -> None:
        entries = self.model.drain()
        if entries:
            begun = time.perf_counter()
            await asyncio.to_thread(self._ledger.append, entries)
            self.metrics.committed(time.perf_counter() - begun)
            self.hub.publish(entries)
            if self.hub.projection.open:
                self.ready.set()
        if len(self.model.record.flows) > self._flows:
            self._flows = len(self.model.record.flows)
            self.hub.announce("grid", self.grid())

    async def _beat(self) -> None:
        signed, due = self.hub.projection.seq, time.monotonic()
        while True:
            await asyncio.sleep(BEAT)
            async with self._busy:
                self.hub.beat()
                if self.hub.projection.seq > signed and time.monotonic() >= due:
                    try:
                        await asyncio.to_thread(self._ledger.sign)
                    except LedgerError as error:
                        self._failure = error
                        self.stop()
                        return
                    signed, due = self.hub.projection.seq, time.monotonic() + SIGN
