"""Between strategies and exchange: wants as columns, quotes into commands, events back into wants.

A *want* is what one participant has to sell or to buy in one slot, of one kind: firm energy, which flows anyway, or
flexible energy, which flows only if it is traded. Limits are what trading locally must beat: for firm energy the
utility's price, at which it settles otherwise, if the participant's own value or cost is not narrower.

Strategies see *net* prices: what a neighbour pays and gets, the typical fee of the wires taken off. A bid goes to the
exchange with that fee added, and prices come back without it; the utility, whose trades bear no fee, is as much cheaper
for buyers. With one fee for all pairs this is exact. Where fees differ it is the median: the exchange passes distant
pairs over until a bid is high enough. With the least fee, bids and asks would seem to meet and not trade, and traders
who learn from shouts would stop there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agents.optimum import Wants
from agents.population import SOURCES, Population
from agents.strategies import NO_PRICE, Orders, Shouts, Traders
from agents.strategies.columns import Market
from agents.wants import KINDS, NEVER, NONE, STORAGE, UTILITY, Actions, Deal, Group, Limit, columns_of
from market.events import Amended, Entry, Limited, Rejected, Traded
from market.exchange import Exchange
from market.orders import Amend, Cancel, Command, Submit, TimeInForce
from market.settlement import tariffs
from market.slots import NS

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Desk:
    """All wants of a run as columns of W rows, in the order of slots; the open slots are one slice of them.

    Asks all strategies for quotes, puts these in random order, and keeps the wants up to date with the answers.
    """

    def __init__(
        self,
        population: Population,
        exchange: Exchange,
        groups: Sequence[Group],
        arrival: np.random.Generator,
        stores: Group | None = None,
    ) -> None:
        """`stores` quotes for batteries that trade; its members are numbers of batteries."""
        self._exchange = exchange
        self._settings = settings = exchange.settings
        self._fee = fee = exchange.fees.typical
        self.groups = list(groups)
        self._arrival = arrival
        self._names, self._accepts = population.ids, population.accepts
        self._sources = [SOURCES[index] for index in population.source.tolist()]
        bought, sold = tariffs(settings, population.first_slot, population.slots)
        self.feed_in, self.retail = np.array(bought, dtype=np.int64), np.array(sold, dtype=np.int64)
        """(T,) the utility's prices in each slot."""
        self._first, self._islanded = population.first_slot, population.islanded
        self._stored = np.sort(np.concatenate([NONE, *(site.rows for site in population.trading)]))
        """Batteries that trade."""
        slot, member, kind, quantity, battery = columns_of(population, settings.lot, self._stored)
        self._starts: list[int] = np.searchsorted(slot, np.arange(population.slots + 1)).tolist()
        self.slot: Ints = slot + self._first
        """(W,) delivery slot."""
        self.member: Ints = member
        """(W,) row of the population."""
        self.kind: Ints = kind
        self.sell: Bools = kind >= 2
        self.flexible: Bools = kind % 2 == 1
        self.offered: Ints = quantity
        """(W,) [Wh]."""
        self.battery: Ints = battery
        """(W,) number of the battery whose offer it is, -1 for what its owner has left over or lacks."""
        self.value: Ints = self._values(population, slot)
        """(W,) value of a bid, fees included, or cost of an ask [milli-currency/MWh]."""
        self.limit: Ints = np.where(self.sell, self.value, self.value - fee)
        """(W,) net, at most a tick below what the utility charges for energy that flows anyway: it comes for that price
        without any order, and with one it could no longer be bought from a neighbour."""
        if fee:
            most = np.where(self.sell | self.flexible, self.limit, self.retail[slot] - settings.tick - fee)
            self.limit = np.minimum(self.limit, most)
        self.limit += np.where(self.sell, 0, population.premium[member])
        self.connection: Ints = population.connection_index[member]
        self.left: Ints = self.offered.copy()
        """(W,) not traded yet [Wh]."""
        self.live: Ints = np.full(len(slot), NO_PRICE)
        self.resting, self.filled, self.order = np.zeros((3, len(slot)), dtype=np.int64)
        self._stores = stores
        self._place, self._group = np.zeros((2, len(population)), dtype=np.int64)
        for number, group in enumerate(groups):
            self._place[group.members] = np.arange(len(group.members))
            self._group[group.members] = number
        self._wants: dict[int, int] = {}
        """Number of a live order -> its want."""
        self._open = range(0)
        self._last = np.full(population.slots, NO_PRICE)
        self._rounds = np.zeros(population.slots, dtype=np.int64)
        self._shouts = _silence()
        """Since the last round; `slot` has delivery slots here."""
        self.trades: list[Deal] = []
        self.limits: list[Limit] = []
        self.refused: list[tuple[int, Rejected]] = []
        self.silent: set[int] = set()
        """Rows of the population for whom somebody else quotes."""

    def _values(self, population: Population, column: Ints) -> Ints:
        """Value of each bid, fees included, and cost of each ask; firm energy has the utility as its way out."""
        own = np.where(self.sell, population.sell_cost[self.member], population.buy_value[self.member])
        # Firm load of an island, which nobody else would serve, pays whatever it takes.
        bought = self.retail[column] if self._islanded else np.minimum(own, self.retail[column])
        outside = np.where(self.sell, np.maximum(own, self.feed_in[column]), bought)
        values: Ints = np.where(self.flexible, own, outside).astype(np.int64)
        return values

    def rows(self, slot: int) -> slice:
        """The wants of a delivery slot."""
        return slice(self._starts[slot - self._first], self._starts[slot - self._first + 1])

    def wants(self, slot: int) -> Wants:
        """What was on offer in a slot from its opening on."""
        rows = self.rows(slot)
        moves = self.flexible | self._islanded
        columns = (self.connection, self.sell, self.value, self.offered, moves)
        return Wants(*(column[rows] for column in columns))  # type: ignore[arg-type]

    def trade_in(self, slots: range) -> None:
        """Trade in these slots from now on, and in no other; slots before them have closed."""
        for slot in range(self._open.start, min(slots.start, self._open.stop)):
            for order in self.order[self.rows(slot)].tolist():
                self._wants.pop(order, None)
        self._open = slots

    def silence(self, member: int) -> None:
        """Quote no more for a row of the population; what it has in the books is for others to cancel."""
        self.silent.add(member)
        mine = self.member == member
        self.left[mine] = 0
        self.live[mine] = NO_PRICE
        self.resting[mine] = 0
        for order in self.order[mine].tolist():
            self._wants.pop(order, None)

    def hand_over(self, group: Group) -> None:
        """Let another group quote for its members from now on; the keys of all others stay as they are."""
        self._place[group.members] = np.arange(len(group.members))
        self._group[group.members] = len(self.groups)
        self.groups.append(group)

    def go_on(self, exchange: Exchange, arrival: np.random.Generator) -> None:
        """Trade in this exchange from now on, with the randomness of arrivals from here."""
        self._exchange, self._arrival = exchange, arrival

    # -- from a journal ------------------------------------------------------------------------------------------

    def recall(self, number: int, command: Submit, member: int) -> None:
        """Know an order of a row of the population by its number; no other than that of a want."""
        if not self._first <= command.slot < self._first + len(self._last):
            return
        rows, kind = self.rows(command.slot), 2 * (command.side == "sell") + command.flexible
        mine = (self.member[rows] == member) & (self.kind[rows] == kind) & (self.offered[rows] > 0)
        found = rows.start + np.flatnonzero(mine)
        for want in found.tolist():
            self._wants[number] = want
            self.order[want], self.filled[want] = number, 0
            self.live[want], self.resting[want] = command.price, command.quantity

    def recall_change(self, event: Amended) -> None:
        """Know another price and total quantity of an order."""
        want = self._wants.get(event.order, UTILITY)
        if want != UTILITY:
            self.live[want], self.resting[want] = event.price, event.quantity - self.filled[want]

    def recall_end(self, order: int) -> None:
        """Know that an order is gone."""
        want = self._wants.get(order, UTILITY)
        if want != UTILITY:
            self._drop(want)

    # -- quotes out ----------------------------------------------------------------------------------------------

    def quote(self, spacing: int) -> tuple[Actions, list[Command]]:
        """New quotes of all strategies in random order; `spacing` [ns] is the time between two rounds.

        Raises ValueError where a strategy offers what it does not have.
        """
        market = self.view(spacing)
        self._shouts = _silence()
        parts = [self._ask(number, group, market) for number, group in enumerate(self.groups)]
        if self._stores is not None:
            parts.append(self._ask(len(self.groups), self._stores, market))
        self._rounds[self._open.start - self._first : self._open.stop - self._first] += 1
        order = self._arrival.permutation(sum(len(part.row) for part in parts))
        row, price, quantity, submit, immediate = (
            np.concatenate(columns)[order] for columns in zip(*parts, strict=True)
        )
        actions = Actions(row, price, quantity, submit, immediate)
        return actions, self._commands(actions)

    def call(self, rows: Ints, price: Ints) -> tuple[Actions, list[Command]]:
        """All that is left of some wants at a net price, whatever their strategies say; in the order of `rows`."""
        actions = self._changes("call", rows, Orders(np.arange(len(rows)), price, self.left[rows]))
        return actions, self._commands(actions)

    @property
    def fee(self) -> int:
        """Typical fee of the wires, which strategies do not see."""
        return self._fee

    @property
    def open(self) -> range:
        """Slots in which is traded now."""
        return self._open

    def _ask(self, number: int, group: Group, market: Market) -> Actions:
        begin, end = self._slice()
        place, mine = self._place[self.member[begin:end]], self._group[self.member[begin:end]] == number
        if self._stores is not None:
            stored = self.battery[begin:end] >= 0
            mine = stored if group is self._stores else mine & ~stored
            place = np.where(stored, np.searchsorted(self._stored, self.battery[begin:end]), place)
        rows = begin + np.flatnonzero(mine & (self.left[begin:end] > 0))
        if not len(rows):
            return Actions(NONE, NONE, NONE, NEVER, NEVER)
        key = place[rows - begin] * KINDS + self.kind[rows]
        columns = (
            key,
            self.slot[rows] - self._open.start,
            self.sell[rows],
            self.limit[rows],
            self.left[rows],
            self.live[rows],
        )
        for column in columns:
            column.flags.writeable = False
        orders = group.strategy.quote(Traders(KINDS * len(group.members), *columns), market, group.rng)
        return self._changes(group.name, rows, orders)

    def _slice(self) -> tuple[int, int]:
        """The first want of the open slots, and the one after their last."""
        return self._starts[self._open.start - self._first], self._starts[self._open.stop - self._first]

    def view(self, spacing: int) -> Market:
        """The public view: what anybody may know; `spacing` [ns] is the time between two rounds."""
        settings, exchange, slots = self._settings, self._exchange, self._open
        tops = [exchange.top(slot) for slot in slots]
        here = slice(slots.start - self._first, slots.stop - self._first)
        now = exchange.now or 0
        time_left = [exchange.clock.gate(slot) - now for slot in slots]
        heard = self._shouts
        known = np.flatnonzero((heard.slot >= slots.start) & (heard.slot < slots.stop))
        columns = (
            np.arange(slots.start, slots.stop),
            np.array([self._net_bid(top.bid, slot) for top, slot in zip(tops, slots, strict=True)], dtype=np.int64),
            np.array([self._net_ask(top.ask, slot) for top, slot in zip(tops, slots, strict=True)], dtype=np.int64),
            self._last[here].copy(),
            np.array(time_left, dtype=np.float64) / NS,
            self._rounds[here].copy(),
            np.array([-(-left // spacing) for left in time_left], dtype=np.int64),
        )
        shouts = (heard.slot[known] - slots.start, heard.sell[known], heard.price[known], heard.accepted[known])
        utility = self.retail[here].copy(), self.feed_in[here].copy()
        for column in (*columns, *shouts, *utility):
            column.flags.writeable = False
        return Market(
            *columns, Shouts(*shouts), settings.price_floor, settings.price_cap, settings.tick, *utility, self._fee,
        )  # fmt: skip

    def _net_bid(self, price: int | None, slot: int) -> int:
        """The best bid for a seller: the utility's bears no fee."""
        feed_in = int(self.feed_in[slot - self._first])
        if price is None:
            return NO_PRICE
        return max(price - self._fee, feed_in) if price > feed_in else price

    def _net_ask(self, price: int | None, slot: int) -> int:
        """The best ask for a buyer, to whom the utility's comes without the fee."""
        return NO_PRICE if price is None else min(price, int(self.retail[slot - self._first]) - self._fee)

    def _net_price(self, event: Traded) -> int:
        return event.price - self._fee if event.seller == self._settings.utility else event.price

    def _changes(self, name: str, rows: Ints, orders: Orders) -> Actions:
        """The orders that differ from what rests."""
        row = rows[orders.index]
        price, quantity = np.asarray(orders.price, dtype=np.int64), np.asarray(orders.quantity, dtype=np.int64)
        if len(row) and np.bincount(row - rows[0]).max() > 1:
            raise ValueError(f"strategy {name}: two orders for one want")
        if ((quantity < 0) | (quantity > self.left[row])).any():
            raise ValueError(f"strategy {name}: an order offers more than what is left, or less than nothing")
        rules = self._settings
        off = (price < rules.price_floor) | (price > rules.price_cap) | ((price - rules.price_floor) % rules.tick != 0)
        if off.any():
            raise ValueError(f"strategy {name}: price {price[off][0]} is off the tick or outside the market's range")
        live = self.live[row] != NO_PRICE
        moved = (price != self.live[row]) | (quantity != self.resting[row])
        changed = np.flatnonzero(np.where(live, moved, quantity > 0))
        submit = ~live[changed]
        return Actions(row[changed], price[changed], quantity[changed], submit, submit & orders.immediate)

    def _commands(self, actions: Actions) -> list[Command]:
        """The actions as commands, the wants already as they are if nothing trades."""
        row, price, quantity, submit, immediate = actions
        number = self._exchange.seq + 1 + np.arange(len(row))
        rests = np.flatnonzero(~immediate)
        fresh = np.flatnonzero(submit & ~immediate)
        self.order[row[fresh]] = number[fresh]
        self.filled[row[fresh]] = 0
        self._wants.update(zip(number[fresh].tolist(), row[fresh].tolist(), strict=True))
        self.live[row[rests]] = np.where(quantity[rests] > 0, price[rests], NO_PRICE)
        self.resting[row[rests]] = quantity[rests]
        columns = (
            self.member[row], self.slot[row], self.sell[row], self.flexible[row], self.order[row],
            price, quantity, quantity + self.filled[row], submit, immediate, self.battery[row],
        )  # fmt: skip
        return [self._command(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]

    def _command(
        self, member: int, slot: int, sell: bool, flexible: bool, order: int,
        price: int, quantity: int, total: int, submit: bool, immediate: bool, battery: int,
    ) -> Command:  # fmt: skip
        name = self._names[member]
        if not sell:
            price = min(price + self._fee, self._settings.price_cap)
        lasting: TimeInForce = "ioc" if immediate else "gtc"
        if submit and sell:
            source = self._sources[member] if battery < 0 else STORAGE
            return Submit(name, slot, "sell", price, quantity, lasting, flexible, source)
        if submit:
            return Submit(name, slot, "buy", price, quantity, lasting, flexible, sources=self._accepts[member])
        return Amend(name, order, price, total) if quantity else Cancel(name, order)

    # -- answers in ----------------------------------------------------------------------------------------------

    def hear(self, actions: Actions, entries: Sequence[Entry]) -> None:
        """Take in the exchange's answers to the commands of the last `quote`."""
        heard = actions.quantity > 0
        deals: list[tuple[int, int]] = []
        rows = actions.row.tolist()
        for place, entry in enumerate(entries):
            if len(entry.events) == 1 and type(entry.events[0]) is not Rejected:
                continue
            number = entry.command.order if isinstance(entry.command, Amend | Cancel) else entry.seq
            known = {number: rows[place]}
            for event in entry.events:
                if type(event) is Traded:
                    self._deal(entry.seq, event, known)
                    deals.append((place, self._net_price(event)))
                    if number in (event.buy_order, event.sell_order):
                        heard[place] = False
                elif type(event) is Limited:
                    self._limit(entry.seq, event, known)
                elif type(event) is Rejected:
                    heard[place] = False
                    self._refuse(rows[place], entry, event)
        self._note(actions, np.flatnonzero(heard), deals)

    def overhear(self, entry: Entry) -> None:
        """Take in what resting orders did when the clock or the grid moved on."""
        for event in entry.events:
            if type(event) is Traded:
                self._deal(entry.seq, event, {})
            elif type(event) is Limited:
                self._limit(entry.seq, event, {})

    def _deal(self, seq: int, event: Traded, known: Mapping[int, int]) -> None:
        """Book a trade; `known` has the wants of orders that are too new for the index.

        Trades of visitors in slots before or after those of the run are none of its business.
        """
        if not 0 <= event.slot - self._first < len(self._last):
            return
        buy, sell = (
            known[order] if order in known else self._wants.get(order, UTILITY)
            for order in (event.buy_order, event.sell_order)
        )
        self.trades.append(Deal(seq, buy, sell, event))
        self._fill(buy, event.quantity)
        self._fill(sell, event.quantity)
        self._last[event.slot - self._first] = self._net_price(event)

    def _limit(self, seq: int, event: Limited, known: Mapping[int, int]) -> None:
        order, resting = (
            known[order] if order in known else self._wants.get(order, UTILITY)
            for order in (event.order, event.resting)
        )
        self.limits.append(Limit(seq, order, resting, event))

    def _refuse(self, want: int, entry: Entry, event: Rejected) -> None:
        """An order that an earlier one of the same round filled is gone when its change arrives; that is no fault.

        Raises RuntimeError where the exchange refuses another change, since what rests would then be unknown.
        """
        if event.code == "ORDER_CLOSED":
            return
        if type(entry.command) is not Submit:
            raise RuntimeError(f"command {entry.seq} was refused: {event.reason}")
        self.refused.append((entry.seq, event))
        self._drop(want)

    def _note(self, actions: Actions, silent: NDArray[np.intp], deals: list[tuple[int, int]]) -> None:
        """Keep what was said in public for the next round: trades, and quotes that did not trade, as they came."""
        place = np.concatenate([silent, np.array([place for place, _ in deals], dtype=np.int64)])
        price = np.concatenate([actions.price[silent], np.array([price for _, price in deals], dtype=np.int64)])
        order = np.argsort(place, kind="stable")
        row = actions.row[place[order]]
        self._shouts = Shouts(self.slot[row], self.sell[row], price[order], order >= len(silent))

    def _fill(self, want: int, quantity: int) -> None:
        if want == UTILITY:
            return
        self.left[want] -= quantity
        if self.live[want] != NO_PRICE:
            self.filled[want] += quantity
            self.resting[want] -= quantity
            if self.resting[want] == 0:
                self._drop(want)

    def _drop(self, want: int) -> None:
        """The want has no live order any more."""
        self.live[want] = NO_PRICE
        self.resting[want] = 0
        self._wants.pop(int(self.order[want]), None)


def _silence() -> Shouts:
    return Shouts(NONE, NEVER, NONE, NEVER)
