"""One participant's month: what it traded, what was metered, what it owes and for what, day by day.

The statement of a month is made of its trades and the first run over each of its slots. Later runs are differences, and
have a statement of their own, over the entries that one asks for. So neither ever changes: what the journal holds of a
slot's first run is never touched, and a range of entries is the same for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from market.events import Corrected, Curtailed, Lost, Settled, Traded
from market.frames import refused
from market.journal import holding, naming
from market.ledger import LedgerError
from market.orders import MarketSettings, RecordMeter
from market.settlement import correct, imbalance_money, tariff
from market.slots import NS, format_time
from market.store import Ledger
from market.units import cost

ITEMS = {
    "sold locally": "energy sold to other participants",
    "bought locally": "energy bought from other participants, without the fee",
    "sold to the utility": "energy sold in trades with the utility",
    "bought from the utility": "energy bought in trades with the utility",
    "fees": "what the wires take of trades",
    "losses": "share of what the wires lost",
    "curtailment": "compensation for what was withheld",
    "surplus": "metered beyond the contracts, sold to the utility",
    "shortage": "contracted beyond the meter, bought from the utility",
    "correction": "difference that new readings make to surplus and shortage",
    "origin received": "units of origin that came with trades",
    "origin given": "units of origin that went with trades",
    "origin issued": "units for metered generation",
    "origin cancelled": "units used up by consumption",
    "origin returned": "shortfall of units: taken back as seller, given back (below zero) as buyer",
}
"""Every item of a statement, in its order."""


class StatementError(LedgerError):
    """There is no such statement; the message names what, and what there is."""


class Line(NamedTuple):
    """One item of one day (UTC). Energy or units in Wh; money [nano-currency], positive if received."""

    day: str
    item: str
    source: str
    run: int
    wh: int
    money: int


class Statement(NamedTuple):
    """The lines in the order of days and items, and where they come from."""

    market: str
    currency: str
    participant: str
    month: str
    corrections: bool
    lines: list[Line]
    first: int
    """Number of the first entry that has a part in it, 0 without any."""
    last: int
    slots: int
    """Settled slots, or corrections of slots."""
    estimated: int
    """Slots that were settled as contracted, since no reading was known."""
    open: int
    """Slots of the month with trades of the participant that are not settled yet."""
    meters: int
    """Largest version of a slot's meters."""

    def totals(self) -> list[Line]:
        """One line per item and source, with an empty day."""
        sums: dict[tuple[str, str, int], tuple[int, int]] = {}
        for line in self.lines:
            key = line.item, line.source, 0
            wh, money = sums.get(key, (0, 0))
            sums[key] = wh + line.wh, money + line.money
        return _ordered(Line("", *key, *amounts) for key, amounts in sums.items())

    @property
    def money(self) -> int:
        """What the participant receives for all of it [nano-currency], below zero what it owes."""
        return sum(line.money for line in self.lines)


def state(ledger: Ledger, participant: str, month: str, corrections: tuple[int, int] | None = None) -> Statement:
    """The statement of a month such as ``2016-06``; with `corrections`, of later runs in entries `first` to `last`.

    Raises StatementError for a month or a participant that the ledger does not know.
    """
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", month, re.ASCII):
        raise StatementError(f"month: must be a year and a month such as 2016-06, got {month!r:.40}")
    settings = ledger.meta().market
    if settings is None:
        raise StatementError(f"{ledger.name}: holds no market yet; its first command must create one")
    maker = _Maker(participant, month, settings)
    runs, others = holding("settled", "corrected"), holding("traded", "curtailed", "lost", "record_meter")
    named = naming(participant)
    for entry in ledger.entries(where=lambda body: runs(body) or (named(body) and others(body))):
        if isinstance(entry.command, RecordMeter) and not refused(entry):
            maker.read.setdefault(entry.command.slot, set()).update(entry.command.readings)
        for event in entry.events:
            if isinstance(event, Corrected):
                if corrections is not None and corrections[0] <= entry.seq <= corrections[1]:
                    maker.corrected(event, entry.seq)
            elif isinstance(event, Traded | Curtailed | Lost | Settled):
                maker.take(event, entry.seq, tell=corrections is None)
    if participant not in maker.people:
        known = ", ".join(sorted(maker.people)[:5])
        raise StatementError(f"participant: {participant!r:.80} was never settled in this ledger; it knows {known} …")
    if month not in maker.months:
        raise StatementError(f"month: no slot of {month} is settled; there are {', '.join(sorted(maker.months))}")
    return maker.statement(corrections is not None)


class _Maker:
    """Adds up what concerns one participant and one month."""

    def __init__(self, participant: str, month: str, settings: MarketSettings) -> None:
        self.people: set[str] = {settings.utility}
        self.months: set[str] = set()
        self.read: dict[int, set[str]] = {}
        self._who, self._month, self._settings = participant, month, settings
        self._sums: dict[tuple[str, str, str, int], tuple[int, int]] = {}
        self._seqs: list[int] = []
        self._open: set[int] = set()
        self._slots = self._estimated = self._meters = 0

    def _day(self, slot: int) -> str:
        return format_time(slot * self._settings.slot_seconds * NS)[:10]

    def _add(self, slot: int, item: str, wh: int, money: int, source: str = "", run: int = 1) -> None:
        if wh or money:
            key = self._day(slot), item, source, run
            before = self._sums.get(key, (0, 0))
            self._sums[key] = before[0] + wh, before[1] + money

    def take(self, event: Traded | Curtailed | Lost | Settled, seq: int, *, tell: bool) -> None:
        """An event of a slot up to its first run; `tell`: it is part of this statement."""
        inside = self._day(event.slot).startswith(self._month)
        if isinstance(event, Settled):
            self.months.add(self._day(event.slot)[:7])
            self.people.update(line[0] for line in event.lines)
        if not inside or not tell:
            return
        if isinstance(event, Traded):
            if self._who in (event.buyer, event.seller):
                self._seqs.append(seq)
                self._open.add(event.slot)
                self._trade(event)
        elif isinstance(event, Settled):
            self._open.discard(event.slot)
            self._settle(event, seq)
        else:
            lost = isinstance(event, Lost)
            rules = self._settings.settlement
            price = -self._settings.losses_price if lost else rules.curtailment if rules else 0
            for name, wh in event.lines:
                if name == self._who:
                    self._seqs.append(seq)
                    self._add(event.slot, "losses" if lost else "curtailment", wh, cost(price, wh))

    def _trade(self, trade: Traded) -> None:
        sells = trade.seller == self._who
        other = trade.buyer if sells else trade.seller
        utility = self._settings.utility
        local = utility not in (self._who, other)
        where = "locally" if local or self._who == utility else "to the utility" if sells else "from the utility"
        money = cost(trade.price, trade.quantity)
        self._add(trade.slot, f"{'sold' if sells else 'bought'} {where}", trade.quantity, money if sells else -money)
        if not sells:
            self._add(trade.slot, "fees", trade.quantity if trade.fee else 0, -cost(trade.fee, trade.quantity))
        if trade.source:
            self._add(trade.slot, "origin given" if sells else "origin received", trade.quantity, 0, trade.source)

    def _settle(self, settled: Settled, seq: int) -> None:
        prices = settled.prices or tariff(self._settings, settled.slot)
        sign = -1 if self._who == self._settings.utility else 1
        for name, _, _, imbalance in settled.lines:
            if name == self._who or sign < 0:
                self._seqs.append(seq)
                money = sign * imbalance_money(imbalance, prices)
                self._add(settled.slot, "surplus" if imbalance * sign > 0 else "shortage", abs(imbalance), money)
        known = self.read.pop(settled.slot, set())
        self._slots += 1
        self._estimated += self._who not in known and sign > 0
        self._meters = max(self._meters, settled.meters)
        self._origins(settled, 1)

    def corrected(self, event: Corrected, seq: int) -> None:
        """A later run over a slot."""
        if not self._day(event.slot).startswith(self._month):
            return
        found = False
        for line in correct(event.lines, event.prices or tariff(self._settings, event.slot), self._settings.utility):
            if line.participant == self._who:
                found = True
                self._add(event.slot, "correction", line.imbalance, line.money, "", event.run)
        if self._origins(event, event.run) or found:
            self._seqs.append(seq)
            self._slots += 1
            self._meters = max(self._meters, event.meters)

    def _origins(self, event: Settled | Corrected, run: int) -> bool:
        found = False
        for name, source, issued, cancelled, returned in event.origins:
            if name == self._who:
                found = True
                for item, wh in (("issued", issued), ("cancelled", cancelled), ("returned", returned)):
                    self._add(event.slot, f"origin {item}", wh, 0, source, run)
        return found

    def statement(self, corrections: bool) -> Statement:
        lines = _ordered(Line(*key, *amounts) for key, amounts in self._sums.items() if any(amounts))
        return Statement(
            self._settings.name, self._settings.currency, self._who, self._month, corrections, lines,
            min(self._seqs, default=0), max(self._seqs, default=0), self._slots, self._estimated, len(self._open),
            self._meters,
        )  # fmt: skip


def _ordered(lines: Iterable[Line]) -> list[Line]:
    order = {item: place for place, item in enumerate(ITEMS)}
    return sorted(lines, key=lambda line: (line.day, order[line.item], line.source, line.run))
