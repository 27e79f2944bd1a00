"""The one writer of a live market: commands in groups, each on the disk before anybody hears of it.

The engine plays the scenario's neighbours by the clock of the market and takes in what clients send between two of
their moments. Gateways never decide: they hand over commands and wait for the answers.

The exchange may be ahead of the ledger: while a thread stores what was carried out, the next commands are carried out.
All that has gathered by then shares the next commit. Published and answered is only what is durable.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import msgspec

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
"""Commands that are carried out in one go, at most; while the ledger is busy, so many are waited for."""
AHEAD = 4 * GROUP
"""Commands that may be carried out and not yet durable, before the next ones have to wait."""
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


Tell = Callable[[Sequence[Entry] | StoppedError], None]
"""Is told the entries of commands, durable; or that the market stopped before that."""


class _Request(msgspec.Struct, frozen=True, gc=False):
    commands: Sequence[Command]
    tell: Tell
    quotes_for: str = ""
    """A participant for whom a client quotes from now on, so that the scenario's strategy falls silent."""


class _Step(msgspec.Struct, frozen=True):
    """What the exchange has done and nobody has heard of."""

    entries: Sequence[Entry]
    """For the journal."""
    answers: Sequence[tuple[_Request, Sequence[Entry]]] = ()
    """What clients are told of their part."""
    grid: Item | None = None


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
        self._waiting = 0
        """Commands in requests."""
        self._steps: list[_Step] = []
        self._ahead = 0
        """Commands of clients that are carried out and not durable."""
        self._storing = False
        self._ends = False
        """Set when no more steps come."""
        self._wake = asyncio.Event()
        """Set when there may be something to carry out."""
        self._done = asyncio.Event()
        """Set when there is something to store."""
        self._failure: BaseException | None = None
        self._flows = 0
        self.hub = Hub(self.forecast, self.grid)
        self.hub.remember(past)

    async def run(self) -> None:
        """Serve until the scenario ends or somebody stops it; what was acknowledged is in the ledger then, and signed.

        Raises what stops the market: a full disk, a violation of the grid.
        """
        with ThreadPoolExecutor(1, "ledger") as disk:
            beat, store = asyncio.create_task(self._beat(disk)), asyncio.create_task(self._store(disk))
            for part in (beat, store):
                part.add_done_callback(self._broken)
            try:
                await self._play()
            finally:
                self.ended = self._ends = True
                self._done.set()
                beat.cancel()
                await asyncio.gather(beat, store, return_exceptions=True)
                self._refuse(StoppedError("the market has stopped"))
                if self._failure is None:
                    await asyncio.get_running_loop().run_in_executor(disk, self._ledger.sign)
                self.done.set()
        if self._failure is not None:
            raise self._failure

    def _broken(self, part: asyncio.Task[None]) -> None:
        """A part has ended; if it broke, the market cannot go on without it."""
        if not part.cancelled() and part.exception() is not None:
            self._failure = self._failure or part.exception()
            self.stop()

    def stop(self) -> None:
        """End the market as soon as what is being carried out is on the disk; what waits is refused."""
        self._stopping = True
        self._wake.set()

    def carry_out(self, commands: Sequence[Command], tell: Tell, quotes_for: str = "") -> None:
        """Carry out commands in order, after all that came before; `tell` their entries once they are durable.

        `quotes_for` names a neighbour of the scenario for whom a client quotes from now on: its strategy falls silent.
        Raises StoppedError, at once, or tells it later, if the market ends before that: nothing of the commands is then
        in the ledger.
        """
        if self.ended or self._stopping:
            raise StoppedError("the market has ended or is going down; what was answered is kept")
        self._requests.append(_Request(commands, tell, quotes_for))
        self._waiting += len(commands)
        if self._due():
            self._wake.set()

    async def submit(self, commands: Sequence[Command], quotes_for: str = "") -> Sequence[Entry]:
        """The same for who waits: the entries, durable. Raises StoppedError."""
        found: asyncio.Future[Sequence[Entry]] = asyncio.get_running_loop().create_future()

        def tell(outcome: Sequence[Entry] | StoppedError) -> None:
            if found.done():
                return  # who waited is gone
            if isinstance(outcome, StoppedError):
                found.set_exception(outcome)
            else:
                found.set_result(outcome)

        self.carry_out(commands, tell, quotes_for)
        return await found

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

    async def _play(self) -> None:
        """The neighbours' moments, and clients between them."""
        pace: Pace | None = None
        for moment in self.model.play():
            self._pass_on()
            pace = pace or Pace(self.speed, self.model.exchange.now or moment)
            await self._serve(moment, pace)
            if self._stopping:
                break
        self._pass_on()

    async def _serve(self, moment: int, pace: Pace) -> None:
        """Serve clients until the market's time is `moment`; whoever waits is served at least once."""
        while not self._stopping:
            left = pace.until(moment)
            self.metrics.lag = max(-left, 0.0)
            if left <= 0 and not self._requests:
                return
            if left > 0 and not await self._next(left):
                return
            now = max(min(pace.now(), moment - 1), self.model.exchange.now or 0)
            self._carry_out(now)
            await asyncio.sleep(0)  # for those who read and write
            if left <= 0:
                return

    def _due(self) -> bool:
        """Whether requests wait that should not wait longer: the ledger is idle, or they fill a group."""
        if not self._requests or self._ahead >= AHEAD:
            return False
        return not self._storing or self._waiting >= GROUP

    async def _next(self, seconds: float) -> bool:
        """Wait for requests that are due; False if none are in time, or the market is to stop."""
        if not self._due():
            end = asyncio.get_running_loop().time() + seconds
            try:
                async with asyncio.timeout_at(end):
                    while not self._due() and not self._stopping:
                        self._wake.clear()
                        await self._wake.wait()
            except TimeoutError:
                return False
        return not self._stopping

    def _carry_out(self, now: int) -> None:
        """Have the exchange carry out a group of requests."""
        group: list[_Request] = []
        size = 0
        while size < GROUP and self._requests:
            group.append(self._requests.popleft())
            size += len(group[-1].commands)
        self._waiting -= size
        try:
            for request in group:
                if request.quotes_for:
                    self.model.withdraw(request.quotes_for, now)
            entries = self.model.visit(now, [command for request in group for command in request.commands])
        except BaseException as error:
            for request in group:
                request.tell(StoppedError(f"the market has stopped: {error}"))
            raise
        answers, place = [], 0
        for request in group:
            answers.append((request, entries[place : place + len(request.commands)]))
            place += len(request.commands)
        self._ahead += size
        self._pass_on(answers)

    def _pass_on(self, answers: Sequence[tuple[_Request, Sequence[Entry]]] = ()) -> None:
        """Have what the model has done stored, then told."""
        grid = None
        if len(self.model.record.flows) > self._flows:
            self._flows = len(self.model.record.flows)
            grid = self.grid()
        self._steps.append(_Step(self.model.drain(), answers, grid))
        self._done.set()

    async def _store(self, disk: ThreadPoolExecutor) -> None:
        """Store step after step, all that wait in one commit, and tell what is durable."""
        loop = asyncio.get_running_loop()
        while True:
            await self._done.wait()
            self._done.clear()
            steps, self._steps = self._steps, []
            if not steps:
                if self._ends:
                    return
                continue
            self._done.set()
            entries = [entry for step in steps for entry in step.entries]
            self._storing = True
            try:
                if entries:
                    begun = time.perf_counter()
                    await loop.run_in_executor(disk, self._ledger.append, entries)
                    self.metrics.committed(time.perf_counter() - begun)
            except BaseException as error:
                self._failure = error
                self._steps = steps + self._steps
                self.stop()
                raise
            self._storing = False
            self._tell(steps, entries)
            self._wake.set()

    def _tell(self, steps: Sequence[_Step], entries: Sequence[Entry]) -> None:
        """Publish what is durable, and answer it."""
        self.hub.publish(entries)
        if self.hub.projection.open:
            self.ready.set()
        for step in steps:
            if step.grid is not None:
                self.hub.announce("grid", step.grid)
            for request, answer in step.answers:
                self._ahead -= len(answer)
                self.metrics.commands += len(answer)
                for entry in answer:
                    first = entry.events[0]
                    if type(first) is Rejected:
                        self.metrics.refusals[first.code] += 1
                request.tell(answer)

    def _refuse(self, error: StoppedError) -> None:
        """Tell everybody who waits that nothing of it happened."""
        for step in self._steps:
            for request, _ in step.answers:
                request.tell(error)
        while self._requests:
            self._requests.popleft().tell(error)

    async def _beat(self, disk: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        beat = due = loop.time()
        signed = self.hub.projection.seq
        while True:
            beat = max(beat + BEAT, loop.time())
            await asyncio.sleep(beat - loop.time())
            self.hub.beat()
            if self.hub.projection.seq > signed and loop.time() >= due:
                try:
                    await loop.run_in_executor(disk, self._ledger.sign)
                except LedgerError as error:
                    self._failure = error
                    self.stop()
                    return
                signed, due = self.hub.projection.seq, loop.time() + SIGN
