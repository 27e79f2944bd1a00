"""Replay: the commands of a journal through a fresh exchange must give the events of the journal again.

No power flow is needed for it. What the wires answered is in the journal, and `RecordedGate` answers it once more;
with a real gate in its place the answers are computed again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from market.capacity import CapacityRows, Gate, Losing, Verdict
from market.closing import Grant
from market.events import Accepted, Auctioned, Entry, GateClosed, Granted, Limited, Traded
from market.exchange import Exchange
from market.ledger import market_settings
from market.loss_check import LossCheck
from market.orders import CreateMarket, MarketSettings, Submit
from market.store import Ledger
from market.tariff import connection_names

GateFactory = Callable[[MarketSettings, str], Gate]
"""Makes a gate of a market's settings and its feeder (native JSON text)."""


class Mismatch(NamedTuple):
    """The first entry that the replay does not reproduce."""

    seq: int
    detail: str


class Step(NamedTuple):
    """How far a replay has come, of `total` entries; `mismatch` is None unless it ended there."""

    entries: int
    events: int
    mismatch: Mismatch | None
    total: int = 0


class _Answer(NamedTuple):
    """What a question was answered: `admitted` of `wanted` Wh."""

    wanted: int
    admitted: int
    constraint: str


class RecordedGate:
    """A gate that repeats the verdicts of a journal, question by question.

    Every change of the schedule was put to the gate, and each verdict left a trace: a Limited event, or else a trade
    with a flexible side, carried in full. `expect` collects the traces per slot; `check` gives them out in order. A
    question that the journal does not hold is answered with all that was wanted: the events then differ from the
    journal, and the comparison names the entry.
    """

    def __init__(self, settings: MarketSettings, feeder: str) -> None:
        """Settings and feeder of the journal's market; of the feeder only the connections' names are read.

        Raises ValueError if `feeder` is not JSON with a list of connections.
        """
        self._names = connection_names(feeder)
        self._limits = settings.gate != "off"
        self._answers: dict[int, deque[_Answer]] = {}
        self._slots: dict[int, int] = {}
        self._orders: dict[int, list[int]] = {}
        self._grants: dict[int, deque[Grant | None]] = {}

    def granted(self, slot: int) -> Grant | None:
        """What the slot's next auction in the journal was granted; None if the wires carried all of it."""
        grants = self._grants.get(slot)
        return grants.popleft() if grants else None

    def expect(self, entries: Sequence[Entry]) -> None:
        """Learn the verdicts of the entries that are replayed next."""
        if not self._limits:
            return
        for entry in entries:
            admitted = 0
            for event in entry.events:
                if isinstance(event, Accepted):
                    if isinstance(entry.command, Submit):
                        self._slots[event.order] = entry.command.slot
                        self._orders.setdefault(entry.command.slot, []).append(event.order)
                elif isinstance(event, Auctioned):
                    self._grants.setdefault(event.slot, deque()).append(None)
                elif isinstance(event, Granted) and self._grants.get(event.slot):
                    self._grants[event.slot][-1] = Grant(dict(event.orders), list(event.binding))
                elif isinstance(event, Limited):
                    answer = _Answer(event.wanted, event.admitted, event.constraint)
                    self._expect(self._slots.get(event.resting, -1), answer)
                    admitted = event.admitted
                elif isinstance(event, Traded):
                    # The trade that follows a trimmed match is what its Limited event left.
                    if (event.buy_flexible or event.sell_flexible) and not admitted:
                        self._expect(event.slot, _Answer(event.quantity, event.quantity, ""))
                    admitted = 0
                elif isinstance(event, GateClosed):
                    for order in self._orders.pop(event.slot, ()):
                        self._slots.pop(order, None)

    def _expect(self, slot: int, answer: _Answer) -> None:
        self._answers.setdefault(slot, deque()).append(answer)

    def connections(self) -> list[str]:
        return self._names

    def open(self, slot: int, baseline: NDArray[np.int64], reactive: NDArray[np.int64]) -> CapacityRows | None:
        if not self._limits:
            return None
        size = len(self._names)
        none = np.zeros(0)
        return CapacityRows(
            schedule=np.zeros(size, np.int64),
            state=np.zeros((2, 0)),
            sensitivity=np.zeros((size, 2, 0)),
            lower=none,
            upper=none,
            names=[],
            decides=False,
            refresh_after=0,
        )

    def check(self, slot: int, inject: int, withdraw: int, wanted: int, lot: int) -> Verdict:
        answers = self._answers.get(slot)
        if not answers:
            return Verdict(wanted, "")
        answer = answers.popleft()
        if answer.wanted != wanted or not 0 <= answer.admitted <= wanted or answer.admitted % lot:
            return Verdict(wanted, "")
        return Verdict(answer.admitted, answer.constraint)

    def refresh(self, slot: int) -> None:
        pass

    def close(self, slot: int) -> None:
        self._answers.pop(slot, None)
        self._grants.pop(slot, None)


class _NoGate(RecordedGate):
    """The gate of an exchange that has no market yet: no connections, no limits."""

    def __init__(self) -> None:
        self._names = []
        self._limits = False


class Replayer:
    """Feeds the entries of one journal, in order, to a fresh exchange and compares what it says."""

    def __init__(self, gate_factory: GateFactory | None = None) -> None:
        """`gate_factory` makes the gate that answers; None: the journal's own verdicts are taken."""
        self._factory = gate_factory or RecordedGate
        self._renames = False
        """Whether a verdict that is computed anew may name another of several limits that bind: which stage of the gate
        decides depends on what it was asked before, and that begins anew when a live market is restarted."""
        self._gate: Gate = _NoGate()
        self._exchange = Exchange(self._gate)
        self._created = False
        self._losses: LossCheck | None = None

    @property
    def exchange(self) -> Exchange:
        """The exchange as the entries so far have made it."""
        return self._exchange

    def run(self, entries: Sequence[Entry]) -> Mismatch | None:
        """Replay the next entries; returns the first that comes out differently, after which it must not go on.

        Raises ValueError if no gate can be made of the journal's feeder.
        """
        if not self._created:
            for place, entry in enumerate(entries):
                settings = market_settings(entry)
                if settings is not None and isinstance(entry.command, CreateMarket):
                    early = self._compare(entries[:place])
                    self._created = True
                    self._gate = self._factory(settings, entry.command.feeder)
                    self._renames = self._factory is not RecordedGate and settings.gate == "certified"
                    self._exchange = Exchange(self._gate)
                    self._exchange.seq = entry.seq - 1
                    if isinstance(self._gate, Losing) and settings.losses != "none":
                        self._losses = LossCheck(self._gate, self._exchange)
                    return early or self._compare(entries[place:])
        return self._compare(entries)

    def _compare(self, entries: Sequence[Entry]) -> Mismatch | None:
        if isinstance(self._gate, RecordedGate):
            self._gate.expect(entries)
        results = self._exchange.apply_many([entry.command for entry in entries])
        if self._losses is None and results == entries:
            return None
        for entry, result in zip(entries, results, strict=True):
            if entry != result and not (self._renames and _unnamed(entry) == _unnamed(result)):
                return Mismatch(entry.seq, _difference(entry, result))
            wrong = self._losses.follow(entry) if self._losses is not None else ""
            if wrong:
                return Mismatch(entry.seq, wrong)
        return None


def replay(target: str | Path, gate_factory: GateFactory | None = None) -> Iterator[Step]:
    """Replay a ledger, a page at a time. The last step has the mismatch, if there is one.

    `gate_factory(settings, feeder_json)` makes a real gate that computes every verdict anew.
    Raises LedgerError or JournalError if the ledger cannot be read, ValueError if its feeder cannot.
    """
    entries = events = 0
    replayer = Replayer(gate_factory)
    with Ledger.open(target) as ledger:
        for page in ledger.entry_pages():
            mismatch = replayer.run(page)
            entries = page[-1].seq if mismatch is None else mismatch.seq - 1
            events += sum(len(entry.events) for entry in page if entry.seq <= entries)
            yield Step(entries, events, mismatch, len(ledger))
            if mismatch is not None:
                return


def _unnamed(entry: Entry) -> Entry:
    """The entry without the names of the limits that bind."""
    told = (msgspec.structs.replace(e, constraint="") if isinstance(e, Limited) else e for e in entry.events)
    return Entry(entry.seq, entry.command, tuple(told))


def _difference(entry: Entry, result: Entry) -> str:
    """The first event in which the journal and the replay differ, in words."""
    if entry.seq != result.seq:
        return f"the exchange numbers it {result.seq}"
    for place in range(max(len(entry.events), len(result.events))):
        recorded = entry.events[place] if place < len(entry.events) else "nothing"
        replayed = result.events[place] if place < len(result.events) else "nothing"
        if recorded != replayed:
            return f"event {place + 1}: the journal has {recorded}, the replay gives {replayed}"
    return "the commands differ"
