"""A strategy of the simulation at a market over the wire: the client's view as columns, quotes as requests.

It does for one participant what `agents.desk` does for all of a simulation. What it has to trade is the forecast of
its account less what it has traded; what others say is read off the public book and tape. Two things are seen less
sharply than from within: quotes that came and went between two messages of the book, and network fees that depend on
the distance, of which only the market's `grid_fee` is known.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import NamedTuple

import numpy as np

from agents.strategies import NO_PRICE, Market, Orders, Shouts, Strategy, Traders
from api.client import AsyncClient
from api.projection import OpenOrder
from api.schemas import NewOrder, Result
from api.view import Event, Levels
from market.orders import MarketSettings
from market.settlement import tariff
from market.slots import NS

KINDS = ("firm_buy", "flexible_buy", "firm_sell", "flexible_sell")
"""A want's key is its place here, as in a simulation."""
LATE = {"GATE_CLOSED", "ORDER_CLOSED"}
"""Refusals that only say that the market was faster."""


class Want(NamedTuple):
    """What is left to trade in one slot, of one kind."""

    slot: int
    kind: int
    limit: int
    """Net of the fee [milli-currency/MWh]."""
    left: int
    resting: OpenOrder | None

    @property
    def sell(self) -> bool:
        return self.kind >= 2

    @property
    def flexible(self) -> bool:
        return self.kind % 2 == 1


class WireDesk:
    """Quotes for the participant of one client."""

    def __init__(
        self, client: AsyncClient, strategy: Strategy, rng: np.random.Generator, every: float,
        value: int | None = None, cost: int | None = None,
    ) -> None:  # fmt: skip
        """`every` are the seconds between two rounds, `value` and `cost` replace what the account says.

        Listens from now on. Raises ValueError if neither says what energy is worth, or the token trades for nobody.
        """
        self.client, self.strategy = client, strategy
        self.sent = 0
        """Orders, changes and cancels so far."""
        self._rng, self._every = rng, every
        account = client.view.account
        bought, sold = (account.buy_value if value is None else value), (account.sell_cost if cost is None else cost)
        if bought is None or sold is None or client.view.settings is None:
            raise ValueError(
                "the market knows no forecast for this participant; give --value and --cost, or another token"
            )
        self._value, self._cost = bought, sold
        self._settings: MarketSettings = client.view.settings
        self._fee = self._settings.grid_fee
        self._begun = False
        self._base = dict(account.contracted)
        self._traded: dict[tuple[int, bool], int] = defaultdict(int)
        """(slot, sold) -> Wh since the beginning; `_flexible` that of flexible orders alone."""
        self._flexible: dict[tuple[int, bool], int] = defaultdict(int)
        self._kind = {number: order.flexible for number, order in client.view.orders.items()}
        self._last: dict[int, int] = {}
        self._rounds: dict[int, int] = defaultdict(int)
        self._known: dict[int, Levels] = {}
        self._shouts: list[tuple[int, bool, int, bool]] = []
        self._events = client.events("orders", "trades", "book")

    async def listen(self) -> None:
        """Take in what happens until the client is closed. Raises what ended it."""
        async for event in self._events:
            self._hear(event)

    async def round(self) -> list[Result]:
        """Ask the strategy, send what has changed; gives refusals that were not to be expected.

        The first round takes out what rests from before.
        """
        for event in self._events.ready():
            self._hear(event)
        if not self._begun:
            self._begun = True
            await self.client.mass_cancel()
        wants = self._wants()
        market = self._market()
        self._shouts.clear()
        for slot in market.number.tolist():
            self._rounds[slot] += 1
        if not wants:
            return []
        traders = _traders(wants, market, self._fee)
        orders = self.strategy.quote(traders, market, self._rng)
        results = await self._send(wants, orders)
        return [result for result in results if result.code and result.code not in LATE]

    # -- wants -----------------------------------------------------------------------------------------------------

    def _wants(self) -> list[Want]:
        now, view = self.client.now, self.client.view
        found = []
        for slot, line in sorted(view.account.forecast.items()):
            if slot not in view.slots or view.slots[slot].gate <= now:
                continue
            for kind, left in enumerate(self._left(slot, line)):
                if left > 0:
                    found.append(Want(slot, kind, self._limit(slot, kind), left, self._resting(slot, kind)))
        return found

    def _left(self, slot: int, line: dict[str, int]) -> list[int]:
        """Wh of each kind: the forecast in whole lots, less trades; those of unknown orders count as firm first."""
        lot, left = self._settings.lot, []
        contracted, base = self.client.view.account.contracted.get(slot, 0), self._base.get(slot, 0)
        for sell in (False, True):
            sign = 1 if sell else -1
            done = max(0, contracted * sign, base * sign + self._traded[slot, sell])
            side = "sell" if sell else "buy"
            firm, flexible = (line[f"{kind}_{side}"] // lot * lot for kind in ("firm", "flexible"))
            known = self._flexible[slot, sell]
            beyond = max(0, done - known - firm)
            left += [max(0, firm - max(0, done - known)), max(0, flexible - known - beyond)]
        return left

    def _limit(self, slot: int, kind: int) -> int:
        """What trading must beat: the own value or cost, for firm energy the utility where that is better."""
        rules, fee = self._settings, self._fee
        feed_in, retail = tariff(rules, slot)
        if kind >= 2:
            return self._cost if kind == 3 else max(self._cost, feed_in)
        if kind == 1:
            return self._value - fee
        limit = min(self._value, retail) - fee
        return min(limit, retail - rules.tick - fee) if fee else limit

    def _resting(self, slot: int, kind: int) -> OpenOrder | None:
        side, flexible = ("sell" if kind >= 2 else "buy"), kind % 2 == 1
        orders = self.client.view.orders.values()
        return next((o for o in orders if (o.slot, o.side, o.flexible) == (slot, side, flexible)), None)

    # -- the public view -------------------------------------------------------------------------------------------

    def _market(self) -> Market:
        rules, view, now = self._settings, self.client.view, self.client.now
        slots = sorted(slot for slot, times in view.slots.items() if times.gate > now)
        books = [view.levels(slot) for slot in slots]
        speed = 1.0 if self.client.welcome is None else self.client.welcome.speed
        seconds = np.array([(view.slots[slot].gate - now) / NS for slot in slots], dtype=np.float64)
        columns = (
            np.array(slots, dtype=np.int64),
            np.array([self._net_bid(book.bid, slot) for book, slot in zip(books, slots, strict=True)], dtype=np.int64),
            np.array([self._net_ask(book.ask, slot) for book, slot in zip(books, slots, strict=True)], dtype=np.int64),
            np.array([self._last.get(slot, NO_PRICE) for slot in slots], dtype=np.int64),
            seconds,
            np.array([self._rounds[slot] for slot in slots], dtype=np.int64),
            np.ceil(seconds / (self._every * speed)).astype(np.int64),
        )
        place = {slot: column for column, slot in enumerate(slots)}
        heard = [(place[slot], *rest) for slot, *rest in self._shouts if slot in place]
        shouts = Shouts(
            np.array([shout[0] for shout in heard], dtype=np.int64),
            np.array([shout[1] for shout in heard], dtype=np.bool_),
            np.array([shout[2] for shout in heard], dtype=np.int64),
            np.array([shout[3] for shout in heard], dtype=np.bool_),
        )
        prices = np.array([tariff(rules, slot) for slot in slots], dtype=np.int64).reshape(-1, 2).T
        utility = prices[1].copy(), prices[0].copy()
        for column in (*columns, *utility, shouts.slot, shouts.sell, shouts.price, shouts.accepted):
            column.flags.writeable = False
        return Market(*columns, shouts, rules.price_floor, rules.price_cap, rules.tick, *utility, self._fee)

    def _net_bid(self, price: int | None, slot: int) -> int:
        """A bid as its seller sees it: the utility's bears no fee."""
        feed_in, _ = tariff(self._settings, slot)
        if price is None:
            return NO_PRICE
        return max(price - self._fee, feed_in) if price > feed_in else price

    def _net_ask(self, price: int | None, slot: int) -> int:
        """An ask as its buyer sees it, the utility's without the fee that it does not bear."""
        _, retail = tariff(self._settings, slot)
        return NO_PRICE if price is None else min(price, retail - self._fee)

    def _hear(self, event: Event) -> None:
        match event["ch"], event["type"]:
            case "trades", "trade":
                price = event["price"] - self._fee if event["source"] == "grid" else event["price"]
                self._last[event["slot"]] = price
                if event["side"]:
                    self._shouts.append((event["slot"], event["side"] == "sell", price, True))
            case "book", "levels":
                self._quotes(event)
            case "book", "snapshot":
                self._known = {}
                for line in event["slots"]:
                    self._known.setdefault(line["slot"], Levels()).set(line["bids"], line["asks"])
            case "orders", "accepted":
                self._kind[event["order"]] = event["flexible"]
            case "orders", "trade":
                key = event["slot"], event["side"] == "sell"
                self._traded[key] += event["quantity"]
                if self._kind.get(event["order"]):
                    self._flexible[key] += event["quantity"]

    def _quotes(self, event: Event) -> None:
        """Levels that have grown: somebody bids or asks there."""
        slot = event["slot"]
        if event.get("closed"):
            self._known.pop(slot, None)
            return
        known = self._known.setdefault(slot, Levels())
        for sell, before, levels in ((False, known.bids, event["bids"]), (True, known.asks, event["asks"])):
            for price, energy in levels:
                if energy > before.get(price, 0):
                    net = self._net_ask(price, slot) if sell else self._net_bid(price, slot)
                    self._shouts.append((slot, sell, net, False))
        known.set(event["bids"], event["asks"])

    # -- requests --------------------------------------------------------------------------------------------------

    async def _send(self, wants: list[Want], orders: Orders) -> list[Result]:
        """Quotes that differ from what rests, as requests. Raises LostError, RefusedError like the client."""
        fresh, changes, gone = [], [], []
        for index, price, quantity in zip(
            orders.index.tolist(), np.asarray(orders.price).tolist(), np.asarray(orders.quantity).tolist(), strict=True
        ):
            want = wants[index]
            gross = price if want.sell else min(price + self._fee, self._settings.price_cap)
            rests = want.resting
            if rests is None:
                if quantity > 0:
                    fresh.append(self._new(want, gross, quantity, orders.immediate))
            elif quantity == 0:
                gone.append(rests.order)
            elif (gross, quantity) != (rests.price, rests.quantity - rests.filled):
                changes.append((rests.order, gross, quantity + rests.filled))
        self.sent += len(fresh) + len(changes) + len(gone)
        tasks = [self.client.amend(*change) for change in changes]
        results = [*await asyncio.gather(*tasks)]
        if gone:
            results += await self.client.cancel(*gone)
        if fresh:
            results += await self.client.submit(*fresh)
        return results

    def _new(self, want: Want, price: int, quantity: int, immediate: bool) -> NewOrder:
        return NewOrder(
            want.slot, "sell" if want.sell else "buy", price, quantity, "ioc" if immediate else "gtc", want.flexible,
            self.client.view.account.source if want.sell else "",
        )  # fmt: skip


def _traders(wants: list[Want], market: Market, fee: int) -> Traders:
    place = {slot: column for column, slot in enumerate(market.number.tolist())}
    live = [NO_PRICE if w.resting is None else w.resting.price - (0 if w.sell else fee) for w in wants]
    columns = (
        np.array([want.kind for want in wants], dtype=np.int64),
        np.array([place[want.slot] for want in wants], dtype=np.int64),
        np.array([want.sell for want in wants], dtype=np.bool_),
        np.array([want.limit for want in wants], dtype=np.int64),
        np.array([want.left for want in wants], dtype=np.int64),
        np.array(live, dtype=np.int64),
    )
    for column in columns:
        column.flags.writeable = False
    return Traders(len(KINDS), *columns)
