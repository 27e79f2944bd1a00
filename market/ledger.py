"""Double entry: what every trade and every settlement moves, as a pure function of the journal.

A balance is *received less given*, of every asset. Sum over all accounts: zero, after every entry.

| event   | asset         | account                | amount                                |
|---------|---------------|------------------------|---------------------------------------|
| traded  | currency      | buyer, seller          | -price x quantity, +price x quantity  |
| traded  | WH            | seller, buyer          | -quantity, +quantity                  |
| traded  | GO:<source>   | seller, buyer          | -quantity, +quantity, if it has one   |
| traded  | currency      | buyer, wires           | -fee x quantity, +fee x quantity      |
| lost    | WH            | utility, wires         | -energy, +energy                      |
| lost    | currency      | who pays, utility      | -price x energy, +price x energy, at `losses_price` |
| curtailed | currency    | wires, participant     | -price x energy, +price x energy, at `curtailment` |
| settled | WH            | participant, utility   | -imbalance, +imbalance                |
| settled | currency      | participant, utility   | +value, -value; imbalance x price of a surplus or a shortage |
| settled | GO:<source>   | participant, issued and cancelled | +issued - cancelled + returned, -issued, +cancelled |
| corrected | as settled  | as settled             | the difference from the run before    |

Imbalance = metered - contracted, injection positive, and contracted = sold - bought. So the WH balance that one slot
leaves on a participant is -contracted before and exactly -metered after its settlement.
Currency is counted in nano-currency, WH and GO in watt-hours. Amounts of zero are not posted.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from market import origins
from market.events import Corrected, Curtailed, Entry, Lost, Rejected, Settled, Traded
from market.orders import CreateMarket, MarketSettings
from market.settlement import WIRES, Statement, correct, imbalance_money, settle, tariff
from market.units import cost

ENERGY = "WH"
LARGEST = 2**63 - 1
MOVING = frozenset({Traded, Curtailed, Lost, Settled, Corrected})
"""Events that move something."""


class LedgerError(Exception):
    """The ledger cannot be read, written or balanced; the message names what, and what to do."""


class Posting(NamedTuple):
    """One side of a movement: `amount` received, negative where given."""

    account: str
    asset: str
    amount: int


def market_settings(entry: Entry) -> MarketSettings | None:
    """The rules of the market if this entry created it, else None."""
    if isinstance(entry.command, CreateMarket) and not any(isinstance(event, Rejected) for event in entry.events):
        return entry.command.settings
    return None


def postings(entry: Entry, settings: MarketSettings | None) -> list[Posting]:
    """What the entry moves, in the order of its events; `settings` are None before the market is created.

    Raises LedgerError unless it sums to zero in every asset, or if something moves before there is a market.
    """
    moved: list[Posting] = []
    for event in entry.events:
        if type(event) not in MOVING:
            continue
        if settings is None:
            raise LedgerError(f"entry {entry.seq}: trades or settles, but no market was created before it")
        if isinstance(event, Traded):
            _trade(moved, event, settings)
        elif isinstance(event, Curtailed):
            _curtail(moved, event, settings)
        elif isinstance(event, Lost):
            _lose(moved, event, settings)
        elif isinstance(event, Settled):
            _settle(moved, event, settings)
        elif isinstance(event, Corrected):
            changes = correct(event.lines, event.prices or tariff(settings, event.slot), settings.utility)
            _state(moved, changes, settings)
            _originate(moved, event.origins)
    if moved:
        require_zero_sums(entry.seq, moved)
    return moved


def require_zero_sums(seq: int, moved: Iterable[Posting]) -> None:
    """Raises LedgerError if the postings of entry `seq` do not sum to zero in an asset, or one is out of range."""
    sums: dict[str, int] = {}
    for account, asset, amount in moved:
        if not -LARGEST <= amount <= LARGEST:
            raise LedgerError(f"entry {seq}: {amount} {asset} of {account!r} does not fit into 64 bits")
        sums[asset] = sums.get(asset, 0) + amount
    for asset, total in sums.items():
        if total:
            raise LedgerError(f"entry {seq}: its postings in {asset} sum to {total}, not to zero")


def fold(moved: Iterable[Posting], balances: dict[tuple[str, str], int] | None = None) -> dict[tuple[str, str], int]:
    """Balance per (account, asset) after the postings, added in place to `balances` if given."""
    result: dict[tuple[str, str], int] = {} if balances is None else balances
    for account, asset, amount in moved:
        key = (account, asset)
        result[key] = result.get(key, 0) + amount
    return result


def _move(moved: list[Posting], giver: str, receiver: str, asset: str, amount: int) -> None:
    if amount:
        # A named tuple's own constructor takes twice as long, and an audit makes as many as the ledger holds.
        moved.append(tuple.__new__(Posting, (giver, asset, -amount)))
        moved.append(tuple.__new__(Posting, (receiver, asset, amount)))


def _trade(moved: list[Posting], trade: Traded, settings: MarketSettings) -> None:
    buyer, seller, quantity = trade.buyer, trade.seller, trade.quantity
    _move(moved, buyer, seller, settings.currency, cost(trade.price, quantity))
    _move(moved, seller, buyer, ENERGY, quantity)
    if trade.source:
        _move(moved, seller, buyer, f"GO:{trade.source}", quantity)
    _move(moved, buyer, WIRES, settings.currency, cost(trade.fee, quantity))


def _curtail(moved: list[Posting], curtailed: Curtailed, settings: MarketSettings) -> None:
    price = settings.settlement.curtailment if settings.settlement is not None else 0
    for name, energy in curtailed.lines:
        _move(moved, WIRES, name, settings.currency, cost(price, energy))


def _lose(moved: list[Posting], lost: Lost, settings: MarketSettings) -> None:
    """The utility supplies what the wires lose; who pays for it is paid back nothing in energy."""
    for payer, quantity in lost.lines:
        _move(moved, settings.utility, WIRES, ENERGY, quantity)
        _move(moved, payer, settings.utility, settings.currency, cost(settings.losses_price, quantity))


def _settle(moved: list[Posting], settled: Settled, settings: MarketSettings) -> None:
    utility = settings.utility
    prices = settled.prices or tariff(settings, settled.slot)
    if settings.settlement is None:
        for participant, _, _, imbalance in settled.lines:
            _move(moved, participant, utility, ENERGY, imbalance)
            _move(moved, utility, participant, settings.currency, imbalance_money(imbalance, prices))
        return
    _state(moved, settle(settled.lines, prices, utility), settings)
    _originate(moved, settled.origins)


def _state(moved: list[Posting], statements: list[Statement], settings: MarketSettings) -> None:
    """Energy and money of statements, the utility's once for all of them."""
    moved += [Posting(of.participant, ENERGY, -of.imbalance) for of in statements if of.imbalance]
    moved += [Posting(of.participant, settings.currency, of.money) for of in statements if of.money]


def _originate(moved: list[Posting], lines: list[origins.Line]) -> None:
    """Units of origin, those issued and cancelled once for all of a source."""
    for source, group in groupby(lines, itemgetter(1)):
        asset, issued, cancelled = f"GO:{source}", 0, 0
        for name, _, fresh, used, returned in group:
            issued, cancelled = issued + fresh, cancelled + used
            if amount := fresh - used + returned:
                moved.append(Posting(name, asset, amount))
        moved += [
            Posting(account, asset, amount)
            for account, amount in ((origins.ISSUED, -issued), (origins.CANCELLED, cancelled))
            if amount
        ]
