"""One session of a laboratory on the exchange: traders drawn by chance quote their current unit, period after period.

Each period is one product of the exchange, and the clock command moves from one to the next. What cannot change
anything is not said to the exchange: a quote that does not improve the best of its side where quotes must, and a quote
at the price at which it rests already. Quotes that cross nothing wait and are said together with the next one that
does, which gives the same book and the same trades.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agents.laboratory_crowd import Crowd, settings
from agents.laboratory_file import Laboratory
from agents.strategies import NO_PRICE, Market, Orders, Shouts, Strategy, Traders, create
from grid.zones import ZoneGate
from market.capacity import Gate, OpenGate
from market.events import Entry, Rejected, Traded
from market.exchange import Exchange
from market.orders import RULES, AdvanceClock, Amend, Cancel, Command, CreateMarket, Register, Submit
from market.slots import NS, format_time
from market.spread import threshold

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

COLUMNS = ("period", "step", "buyer", "seller", "price", "value", "cost", "maker")
"""Of a trade: period and step from 0, rows of the traders, prices, and whose quote had waited, a place in `MAKERS`."""
MAKERS = ("buy", "sell", "both")
_LEAST_BLOCK, _LARGEST_BLOCK = 16, 2048
_DRAWS = 1024
_SILENCE = Shouts(
    np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
)


@dataclass
class _Group:
    """The traders of one strategy, and what they have not heard yet."""

    name: str
    strategy: Strategy
    members: list[int]
    rng: np.random.Generator = field(init=False)
    heard: int = 0
    """How many shouts of the period have been told."""

    @property
    def blind(self) -> bool:
        return bool(getattr(self.strategy, "blind", False))

    @property
    def remembers(self) -> bool:
        return bool(getattr(self.strategy, "remembers", True))

    @property
    def keeps_limit(self) -> bool:
        return bool(getattr(self.strategy, "keeps_limit", False))


class Session:
    """One repetition: an exchange of its own, strategies that start anew, randomness that is its own.

    With `short_cut` a period of blind traders who keep their limits ends as soon as no two of them can trade any more;
    since each period has randomness of its own, the trades are the same without.
    """

    def __init__(self, lab: Laboratory, number: int, crowd: Crowd | None = None, *, short_cut: bool = True) -> None:
        self.lab = lab
        self._number = number
        self._crowd = crowd = crowd or Crowd.of(lab)
        self._groups = [_Group(name, create(name, params), []) for name, params in crowd.uses]
        for trader, group in enumerate(crowd.group):
            self._groups[group].members.append(trader)
        self._sell = np.array(crowd.sell)
        self._of = np.array(crowd.group)
        self._place = {trader: place for group in self._groups for place, trader in enumerate(group.members)}
        self._blind = all(group.blind for group in self._groups)
        self._stops_early = short_cut and self._blind and all(group.keeps_limit for group in self._groups)
        self._clears = lab.after_trade == "clear_quotes"
        self._quotes = lab.quotes_per_period
        lines = lab.lines
        zones = dict(zip(crowd.names, crowd.zones, strict=True))
        gate: Gate = ZoneGate(zones, lines) if lines else OpenGate(crowd.names)
        self.settings = settings(lab)
        self._exchange = Exchange(gate)
        self._apply([CreateMarket(self.settings, "", RULES), *(Register(name, name) for name in crowd.names)])
        self.trades: list[tuple[int, ...]] = []
        """Rows of `COLUMNS`."""

    def run(self) -> Ints:
        """All periods; the trades as (trades, len(COLUMNS))."""
        for period in range(self.lab.periods):
            self._begin(period)
            if self._blind:
                self._draw_in_blocks()
            else:
                self._ask_one_by_one()
            if self._batch:
                self._flush(self._step)
            if self.lab.closing:
                self._close()
            if period + 1 < self.lab.periods:
                self._tell_the_rest()
        return np.array(self.trades, dtype=np.int64).reshape(-1, len(COLUMNS))

    # -- periods -------------------------------------------------------------------------------------------------

    def _begin(self, period: int) -> None:
        crowd = self._crowd
        self._period, self._slot, self._step, self._idle = period, period + 1, 0, 0
        self._apply([self._time(0)])
        self._need = -1, 0
        self._told = self._threshold()
        self._left = [len(units) for units in crowd.units]
        self._limit = [units[0] for units in crowd.units]
        self._live = [NO_PRICE] * len(crowd.names)
        self._order = [0] * len(crowd.names)
        self._owner: dict[int, int] = {}
        self._batch: list[Command] = []
        self._bid = self._ask = self._last = NO_PRICE
        self._shouts: list[tuple[bool, int, bool]] = []
        self._count_active()
        seed = np.random.SeedSequence(self.lab.seed, spawn_key=(self._number, period))
        own, *others = seed.spawn(1 + len(self._groups))
        self._rng = np.random.default_rng(own)
        for group, child in zip(self._groups, others, strict=True):
            group.rng = np.random.default_rng(child)
            group.heard = 0

    def _time(self, step: int) -> AdvanceClock:
        """The clock when `step` quotes of the period have been said: each takes a second."""
        return AdvanceClock(format_time((self._period * self.settings.slot_seconds + step) * NS))

    def _count_active(self) -> None:
        """Who still trades, and whether anybody still can."""
        sell, limit = self._crowd.sell, self._limit
        self._active = [trader for trader, left in enumerate(self._left) if left]
        asks = [limit[trader] for trader in self._active if sell[trader]]
        bids = [limit[trader] for trader in self._active if not sell[trader]]
        self._open = bool(asks) and bool(bids)
        if self._open and self._stops_early and max(bids) < min(asks):
            self._open = False
        self._kept: dict[int, tuple[Ints, Ints, Bools, Ints, Ints]] = {}
        self._rows = [[trader for trader in group.members if self._left[trader]] for group in self._groups]

    def _room(self) -> int:
        """How many more quotes the period takes if none of them trades."""
        room = _LARGEST_BLOCK if self._quotes is None else self._quotes - self._step
        return room if self.lab.idle_limit is None else min(room, self.lab.idle_limit - self._idle)

    def _draw_in_blocks(self) -> None:
        """Traders who look at nothing: many quotes at once, those after a trade thrown away and drawn anew."""
        size = _LEAST_BLOCK
        while self._open and (room := self._room()) > 0:
            count = min(size, room)
            who = np.array(self._active)[self._rng.integers(0, len(self._active), count)]
            price = self._blind_prices(who)
            begin, traded = self._step, False
            for place, trader, wish in self._heeded(who, price):
                self._step = begin + place
                if self._strike():
                    traded = True
                    break
                if self._offer(trader, wish):
                    self._step += 1
                    traded = True
                    break
            if not traded:
                self._step = begin + count
                self._idle += count
            used = self._step - begin
            size = min(max(2 * used, _LEAST_BLOCK) if traded else 2 * size, _LARGEST_BLOCK)

    def _heeded(self, who: Ints, price: Ints) -> Iterable[tuple[int, int, int]]:
        """Place, trader and price of the quotes that may change anything.

        Where quotes must improve and no clock runs, those that do not improve on the best prices of now never will:
        until a trade ends the block, best prices only get better.
        """
        matters = price != NO_PRICE
        if self._clears and self.lab.spread_clock is None:
            sell = self._sell[who]
            lowest = self._ask if self._ask != NO_PRICE else self.settings.price_cap + 1
            highest = self._bid if self._bid != NO_PRICE else self.settings.price_floor - 1
            matters &= np.where(sell, (price < lowest) | (price <= highest), (price > highest) | (price >= lowest))
        places = np.flatnonzero(matters)
        return zip(places.tolist(), who[places].tolist(), price[places].tolist(), strict=True)

    def _ask_one_by_one(self) -> None:
        """Traders who look at the market: each quotes when it is drawn, knowing all that went before."""
        chance: list[float] = []
        while self._open and self._room() > 0:
            if self._strike():
                continue
            if not chance:
                chance = self._rng.random(_DRAWS).tolist()
            trader = self._active[int(chance.pop() * len(self._active))]
            price, immediate = self._ask_for(trader)
            traded = False
            if price != NO_PRICE:
                wanted = self._crosses(trader, price) and self._excess(trader, price) >= self._threshold()
                traded = self._offer(trader, price, immediate=immediate)
                # What the other side would take but a line refuses says nothing about prices, so nobody learns from it.
                if not wanted:
                    self._shouts.append((self._crowd.sell[trader], price, False))
            self._step += 1
            self._idle = 0 if traded else self._idle + 1

    def _tell_the_rest(self) -> None:
        """Let those who remember hear the end of the period; nobody acts on what they answer."""
        for number, group in enumerate(self._groups):
            if group.remembers and group.heard < len(self._shouts):
                self._quotes_of(number, self._rows[number])

    # -- quotes --------------------------------------------------------------------------------------------------

    def _blind_prices(self, who: Ints) -> Ints:
        """(K,) prices of blind traders `who`, who may be drawn several times; NO_PRICE where one has none."""
        prices = np.full(len(who), NO_PRICE)
        of = self._of[who]
        for number in range(len(self._groups)):
            rows = np.flatnonzero(of == number)
            if len(rows):
                orders = self._quotes_of(number, who[rows].tolist())
                prices[rows[orders.index]] = orders.price
        return prices

    def _ask_for(self, trader: int) -> tuple[int, bool]:
        """Price of a trader, NO_PRICE if it says nothing, and whether its quote may not rest."""
        number = self._crowd.group[trader]
        rows = self._rows[number] if self._groups[number].remembers else [trader]
        orders = self._quotes_of(number, rows)
        at = place = rows.index(trader)
        if len(orders.index) <= place or orders.index[place] != place:  # not everybody has something to say
            places = np.flatnonzero(orders.index == place)
            if not len(places):
                return NO_PRICE, False
            at = int(places[0])
        price, quantity = int(orders.price[at]), int(orders.quantity[at])
        if quantity == 0:
            self._withdraw(trader)
            return NO_PRICE, False
        return price, orders.immediate

    def _quotes_of(self, number: int, rows: Sequence[int]) -> Orders:
        """What a strategy says for these traders, having heard all that was said since it was asked last."""
        group = self._groups[number]
        live = np.array([self._live[row] for row in rows], dtype=np.int64)
        traders = Traders(len(group.members), *self._columns(number, rows), live)
        market = self._view(self._shouts[group.heard :] if group.remembers else [])
        group.heard = len(self._shouts)
        return group.strategy.quote(traders, market, group.rng)

    def _columns(self, number: int, rows: Sequence[int]) -> tuple[Ints, Ints, Bools, Ints, Ints]:
        """Key, slot, side, limit and quantity of traders; those of a whole group are kept until somebody trades."""
        whole = rows is self._rows[number]
        if whole and number in self._kept:
            return self._kept[number]
        crowd, size = self._crowd, len(rows)
        columns = (
            np.array([self._place[row] for row in rows], dtype=np.int64),
            np.zeros(size, dtype=np.int64),
            np.array([crowd.sell[row] for row in rows], dtype=np.bool_),
            np.array([self._limit[row] for row in rows], dtype=np.int64),
            np.ones(size, dtype=np.int64),
        )
        for column in columns:
            column.flags.writeable = False
        if whole:
            self._kept[number] = columns
        return columns

    def _view(self, heard: list[tuple[bool, int, bool]]) -> Market:
        """What anybody may know. There is no utility: the range's ends stand for its prices."""
        price = self.lab.price
        left = self._room() if self._quotes is not None else 0
        shouts = _SILENCE
        if heard:
            sell, said, accepted = zip(*heard, strict=True)
            shouts = Shouts(
                np.zeros(len(heard), dtype=np.int64), np.array(sell, dtype=np.bool_),
                np.array(said, dtype=np.int64), np.array(accepted, dtype=np.bool_),
            )  # fmt: skip
        now = np.array((self._slot, self._bid, self._ask, self._last, self._step, left, price.cap, price.floor))
        return Market(
            now[0:1], now[1:2], now[2:3], now[3:4], np.array([float(left)]), now[4:5], now[5:6], shouts,
            price.floor, price.cap, price.tick, now[6:7], now[7:8], 0,
        )  # fmt: skip

    # -- the exchange --------------------------------------------------------------------------------------------

    def _offer(self, trader: int, price: int, *, immediate: bool = False) -> bool:
        """Put a quote to the market; True if anything traded."""
        crosses = self._crosses(trader, price)
        if not crosses:
            sell = self._crowd.sell[trader]
            best = self._ask if sell else self._bid
            improves = best == NO_PRICE or (price < best if sell else price > best)
            if immediate or (self._clears and not improves):
                return False
        if price == self._live[trader]:
            return False
        crosses = crosses and self._excess(trader, price) >= self._threshold()
        if crosses:
            self._wind()
        self._say(trader, price, immediate)
        return crosses and self._flush(self._step)

    def _crosses(self, trader: int, price: int) -> bool:
        """Whether the price meets the best of the other side."""
        if self._crowd.sell[trader]:
            return self._bid != NO_PRICE and price <= self._bid
        return self._ask != NO_PRICE and price >= self._ask

    def _excess(self, trader: int, price: int) -> int:
        """By how much the bid would exceed the ask in a trade with the best of the other side, if there is one."""
        return self._bid - price if self._crowd.sell[trader] else price - self._ask

    def _say(self, trader: int, price: int, immediate: bool) -> None:
        crowd, order, before = self._crowd, self._order[trader], self._live[trader]
        name, sell = crowd.names[trader], crowd.sell[trader]
        if order:
            self._batch.append(Amend(name, order, price))
        else:
            order = self._order[trader] = self._exchange.seq + 1 + len(self._batch)
            self._owner[order] = trader
            kind = "ioc" if immediate else "gtc"
            self._batch.append(
                Submit(name, self._slot, "sell" if sell else "buy", price, 1, kind, flexible=True)  # type: ignore[arg-type]
            )
        self._live[trader] = price
        best = self._ask if sell else self._bid
        if best != NO_PRICE and before == best:
            self._find_best(sell)
        elif sell:
            self._ask = price if best == NO_PRICE else min(best, price)
        else:
            self._bid = max(best, price)

    def _find_best(self, sell: bool) -> None:
        sides = self._crowd.sell
        prices = [price for trader, price in enumerate(self._live) if price != NO_PRICE and sides[trader] == sell]
        if sell:
            self._ask = min(prices, default=NO_PRICE)
        else:
            self._bid = max(prices, default=NO_PRICE)

    def _withdraw(self, trader: int) -> None:
        if self._order[trader]:
            self._batch.append(Cancel(self._crowd.names[trader], self._order[trader]))
            self._forget(trader)
            self._find_best(self._crowd.sell[trader])

    def _forget(self, trader: int) -> None:
        """The trader has no live quote any more."""
        self._owner.pop(self._order[trader], None)
        self._order[trader] = 0
        self._live[trader] = NO_PRICE

    def _flush(self, step: int) -> bool:
        """Say what has waited; True if anything traded. With `clear_quotes` a trade ends all quotes."""
        batch, self._batch = self._batch, []
        deals = [event for entry in self._apply(batch) for event in entry.events if type(event) is Traded]
        for deal in deals:
            self._book(deal, step)
        if not deals:
            return False
        if self._clears:
            quoting = [trader for trader, order in enumerate(self._order) if order]
            self._apply([Cancel(self._crowd.names[trader], self._order[trader]) for trader in quoting])
            for trader in quoting:
                self._forget(trader)
        self._find_best(False)
        self._find_best(True)
        self._count_active()
        self._idle = 0
        return True

    def _book(self, deal: Traded, step: int) -> None:
        buyer, seller = self._owner[deal.buy_order], self._owner[deal.sell_order]
        self._last = deal.price
        # In an auction both sides have said what was accepted.
        self._shouts += [(side != "buy", deal.price, True) for side in ("sell", "buy") if side != deal.resting]
        maker = MAKERS.index(deal.resting)
        row = (self._period, step, buyer, seller, deal.price, self._limit[buyer], self._limit[seller], maker)
        self.trades.append(row)
        for trader in (buyer, seller):
            self._forget(trader)
            self._left[trader] -= 1
            if self._left[trader]:
                self._limit[trader] = self._crowd.units[trader][-self._left[trader]]

    def _close(self) -> None:
        """The gate of the period closes, and its auction clears what is left."""
        (entry,) = self._apply([self._time(self.settings.slot_seconds)])
        for event in entry.events:
            if type(event) is Traded:
                self._book(event, self._step)
        self._count_active()

    def _apply(self, commands: Sequence[Command]) -> list[Entry]:
        """Raises RuntimeError if the exchange refuses one: a strategy broke the rules of the market."""
        entries = self._exchange.apply_many(commands)
        for entry in entries:
            if entry.events and type(entry.events[-1]) is Rejected:
                raise RuntimeError(f"{entry.command} was refused: {entry.events[-1].reason}")
        return entries

    # -- the spread clock ----------------------------------------------------------------------------------------

    def _threshold(self) -> int:
        """By how much a bid must exceed an ask to trade now, in whole ticks, as the exchange has it."""
        if self.lab.spread_clock is None:
            return 0
        if self._need[0] != self._step:
            now = (self._period * self.settings.slot_seconds + self._step) * NS
            self._need = self._step, threshold(self.settings, self._exchange.clock, self._slot, now)
        return self._need[1]

    def _strike(self) -> bool:
        """Let quotes trade that the clock has brought together; True if any did."""
        if self.lab.spread_clock is None or self._bid == NO_PRICE or self._ask == NO_PRICE:
            return False
        return self._bid - self._ask >= self._threshold() and self._wind() and self._flush(self._step)

    def _wind(self) -> bool:
        """Tell the exchange the time if its threshold is another one by now; True if it is."""
        need = self._threshold()
        if need == self._told:
            return False
        self._told = need
        self._batch.append(self._time(self._step))
        return True
