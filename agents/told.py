"""What a journal alone says of a market: its figures from any ledger or export, without the operator's knowledge.

What a participant would have paid for energy, and what it costs to make, no journal knows: to everyone a Wh is worth
here what the utility charges for it, and costs what the utility pays. Energy behind a connection is known as far as
generation has a meter of its own; what a battery keeps counts as consumption.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.indicators import dispersion, fairness, market_power, peak, residual_supply, spread
from agents.metrics import UTILITY, Accounts, Trades, energies, share
from agents.parts import Books, at_tariff, emissions
from market.events import Corrected, Entry, Event, Expired, Lost, Rejected, Settled, Traded
from market.ledger import MOVING, LedgerError, fold, market_settings, postings
from market.orders import Command, MarketSettings, RecordMeter, Register, Submit
from market.settlement import WIRES, tariff
from market.slots import NS, format_time
from market.units import NANO

Ints = NDArray[np.int64]
_NUMBER = re.compile(r"-[0-9]+$")


class Told(NamedTuple):
    """The settled slots of a market with P participants."""

    settings: MarketSettings
    books: Books
    slots: list[int]
    offers: Ints
    """(P, T) what each offered until the gate closed: sold, and left when it closed [Wh]."""
    wants: Ints
    """(P, T) the same of what each wanted to buy."""
    lost: int
    """What the wires lost [Wh], as far as the market shares it."""
    wires: int
    """What their operator has received less paid [nano-currency]."""
    generated: Mapping[str, int]
    """By origin [Wh]."""


def group_of(name: str) -> str:
    """The group of a participant: its name without the number behind it, as scenarios name their members."""
    return _NUMBER.sub("", name)


def read(entries: Iterable[Entry], factors: Mapping[str, float]) -> Told:
    """The settled slots of a journal. Raises LedgerError if it holds no market."""
    reader = _Reader()
    for entry in entries:
        reader.observe(entry)
    return reader.told(factors)


class _Reader:
    """Follows a journal."""

    def __init__(self) -> None:
        self._settings: MarketSettings | None = None
        self._sources: dict[str, str] = {}
        """Of the participants, in the order in which they joined."""
        self._trades: list[tuple[int, Traded]] = []
        self._metered: dict[int, dict[str, int]] = defaultdict(dict)
        self._generated: dict[int, dict[str, int]] = defaultdict(dict)
        self._orders: dict[int, tuple[int, str, bool]] = {}
        """Slot, participant and whether it sells, by number."""
        self._left: list[tuple[tuple[int, str, bool], int]] = []
        self._lost: dict[int, dict[str, int]] = {}
        """By slot, then by who pays for it."""
        self._balances: dict[int, dict[tuple[str, str], int]] = defaultdict(dict)
        """By slot, then by account and asset."""

    def observe(self, entry: Entry) -> None:
        if self._settings is None:
            self._settings = market_settings(entry)
        if any(isinstance(event, Rejected) for event in entry.events):
            return
        self._command(entry.seq, entry.command)
        for event in entry.events:
            if type(event) in MOVING:
                alone = Entry(entry.seq, entry.command, (event,))
                fold(postings(alone, self._settings), self._balances[event.slot])  # type: ignore[union-attr]
            self._event(entry.seq, event)

    def _command(self, seq: int, command: Command) -> None:
        if isinstance(command, Submit):
            self._orders[seq] = command.slot, command.participant, command.side == "sell"
        elif isinstance(command, Register):
            self._sources[command.participant] = command.source
        elif isinstance(command, RecordMeter):
            self._generated[command.slot].update(command.generated)

    def _event(self, seq: int, event: Event) -> None:
        if isinstance(event, Traded):
            self._trades.append((seq, event))
        elif isinstance(event, Expired):
            if event.order in self._orders:
                self._left.append((self._orders[event.order], event.quantity))
        elif isinstance(event, Settled):
            self._metered[event.slot].update({name: metered for name, metered, _, _ in event.lines})
        elif isinstance(event, Corrected):
            self._metered[event.slot].update({name: now for name, _, now, _ in event.lines})
        elif isinstance(event, Lost):
            self._lost[event.slot] = dict(event.lines)

    def told(self, factors: Mapping[str, float]) -> Told:
        settings = self._settings
        if settings is None:
            raise LedgerError("the journal holds no market yet; its first command must create one")
        slots = sorted(self._metered)
        column = {slot: place for place, slot in enumerate(slots)}
        names = [name for name in self._sources if name != settings.utility]
        row = {name: place for place, name in enumerate(names)} | {settings.utility: UTILITY}
        kept = [(seq, trade) for seq, trade in self._trades if trade.slot in column]
        prices = np.array([tariff(settings, slot) for slot in slots], dtype=np.int64).reshape(-1, 2).T
        traded = _trades(kept, row, column, prices)
        metered, generated = np.zeros((2, len(names), len(slots)), dtype=np.int64)
        for slot, place in column.items():
            for name, energy in self._metered[slot].items():
                metered[row[name], place] = energy
            np.maximum(metered[:, place], 0, out=generated[:, place])
            for name, energy in self._generated[slot].items():
                generated[row[name], place] = energy
        generated[[not self._sources[name] for name in names]] = 0
        offers, wants = np.zeros((2, len(names) + 1, len(slots)), dtype=np.int64)  # the last row is the utility's
        np.add.at(offers, (traded.seller, traded.column), traded.quantity)
        np.add.at(wants, (traded.buyer, traded.column), traded.quantity)
        for (slot, name, sells), energy in self._left:
            if slot in column:
                (offers if sells else wants)[row[name], column[slot]] += energy
        sources = [self._sources[name] for name in names]
        money, lost = self._sums(slots, settings)
        own = generated.sum(axis=1)
        origin: dict[str, int] = defaultdict(int)
        for source, energy in zip(sources, own.tolist(), strict=True):
            origin[source] += energy if source else 0
        books = Books(
            names, [group_of(name) for name in names], sources, traded, [trade.source for _, trade in kept],
            _account(names, traded, metered, money, lost, settings), own - metered.sum(axis=1), own, metered,
            np.array([lost.get(name, 0) for name in names], dtype=np.int64), settings.slot_seconds / 3600,
            prices[1], prices[0], factors,
        )  # fmt: skip
        origin.pop("", None)
        return Told(
            settings,
            books,
            slots,
            offers[:-1],
            wants[:-1],
            sum(lost.values()),
            money.get(WIRES, 0),
            dict(sorted(origin.items())),
        )

    def _sums(self, slots: list[int], settings: MarketSettings) -> tuple[dict[str, int], dict[str, int]]:
        """Money and paid losses by account."""
        money: dict[str, int] = defaultdict(int)
        lost: dict[str, int] = defaultdict(int)
        for slot in slots:
            for name, energy in self._lost.get(slot, {}).items():
                lost[name] += energy
            for (name, asset), amount in self._balances[slot].items():
                if asset == settings.currency:
                    money[name] += amount
        return money, lost


def _account(
    names: list[str], traded: Trades, metered: Ints, money: Mapping[str, int], lost: Mapping[str, int],
    settings: MarketSettings,
) -> Accounts:  # fmt: skip
    """Energy and money; money is what was posted, corrections and compensations included."""
    energy = energies(traded, metered)
    fees = np.zeros(len(names) + 1, dtype=np.int64)  # the last is the utility's
    np.add.at(fees, traded.buyer, traded.fee * traded.quantity)
    return Accounts(
        energy.sold_local, energy.bought_local, energy.sold_utility, energy.bought_utility,
        np.array([money.get(name, 0) for name in names], dtype=np.int64), fees[:-1],
        np.array([lost.get(name, 0) * settings.losses_price for name in names], dtype=np.int64),
        money.get(settings.utility, 0), money.get(WIRES, 0),
    )  # fmt: skip


def _trades(kept: list[tuple[int, Traded]], row: Mapping[str, int], column: Mapping[int, int], prices: Ints) -> Trades:
    """Their columns; `prices` (2, T) is what the utility pays and charges in each slot."""
    rows = [
        (seq, column[one.slot], row[one.buyer], row[one.seller], one.price, one.quantity, one.fee) for seq, one in kept
    ]
    seq, slot, buyer, seller, price, quantity, fee = np.array(rows, dtype=np.int64).reshape(-1, 7).T
    cost, value = prices
    return Trades(
        seq,
        slot,
        buyer,
        seller,
        price,
        quantity,
        value[slot],
        cost[slot],
        (buyer != UTILITY) & (seller != UTILITY),
        fee,
    )


def market(told: Told) -> dict[str, Any]:
    """Figures of the whole market: energy [kWh], money [currency], prices [ct/kWh], fairness, market power, peak [kW],
    emissions [kg]. The keys are those of `summary.json` where both mean the same.
    """
    books = told.books
    account, traded = books.account, books.traded
    local, length = int(account.sold_local.sum()), told.settings.slot_seconds * NS
    load, generation = int(books.load.sum()), int(books.generation.sum())
    saved = account.money - at_tariff(books)
    worth = int((traded.price * traded.quantity)[traded.local].sum())
    residual = [
        residual_supply(told.offers[:, place], int(told.wants[:, place].sum())) for place in range(len(told.slots))
    ]
    fair = fairness(saved, saved)
    co2 = float(emissions(books).sum())
    return {
        "market": told.settings.name,
        "currency": told.settings.currency,
        "from": format_time(told.slots[0] * length) if told.slots else None,
        "to": format_time((told.slots[-1] + 1) * length) if told.slots else None,
        "slots": len(told.slots),
        "participants": len(books.names),
        "trades": int(np.count_nonzero(traded.local)),
        "local_kwh": local / 1000,
        "load_kwh": load / 1000,
        "generation_kwh": generation / 1000,
        "self_sufficiency": share(load - int(account.bought_utility.sum()), load),
        "self_consumption": share(generation - int(account.sold_utility.sum()), generation),
        "mean_ct": None if not local else worth / local / 10_000,
        **spread(traded),
        "bills": -int(account.money.sum()) / NANO,
        "saved_at_tariff": int(saved.sum()) / NANO,
        "fees": int(account.fees.sum()) / NANO,
        "lost_kwh": told.lost / 1000,
        **fair,
        "profit_dispersion": dispersion(saved),
        **market_power(traded, account.sold_local, account.bought_local, residual),
        **{f"peak_{key}": value for key, value in peak(-books.metered.sum(axis=0) / books.slot_hours / 1000).items()},
        "co2_kg": co2,
        "g_per_kwh": share(1e6 * co2, load),
    }
