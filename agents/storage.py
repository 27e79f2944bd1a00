"""Batteries that trade: what they take and offer is decided slot by slot, while the market runs.

When a slot opens, the plan of a battery is made anew. It knows what was measured of its owner up to that slot, a
forecast of what comes, the utility's prices, which are published, and the mean price of local trades in each slot up to
then; nothing else, and nothing of later. Of the first step of the plan

1. what the owner has left over or lacks is stored or given at once, behind the connection;
2. the rest is offered: a bid or an ask, flexible, at worst at the price at which the plan does not care.

That price is the worth λ of a stored Wh, the dual of its balance in the linear program: a bid is at most λ·η, an ask
at least λ/η. When the gate closes, what was traded is what the battery does, and the next plan starts from there.

Several slots are open at once, and nobody knows which offers will trade. Hence a battery offers in a slot only what it
can do whatever becomes of its other offers: it keeps the least and the most that may be stored by then.

Prices to come are expected where local prices were: ρ tells how far above feed-in a slot's mean local price was, as a
share of the way to retail less the fee; the same time yesterday counts, or the last slots where yesterday is not known.
Where nobody traded yet, the utility's prices are expected.

Source of bids at the dual of storage: A. J. Conejo, M. Carrión, J. M. Morales, Decision Making Under Uncertainty in
Electricity Markets, 2010, chapter 5; of the receding horizon see `agents.devices.mpc`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.devices.battery import MICRO, Battery
from agents.devices.fleet import RuleSite
from agents.devices.mpc import Controller
from agents.population import Population
from agents.wants import UTILITY
from market.events import Event, GateClosed, Opened
from market.orders import MarketSettings

if TYPE_CHECKING:
    from agents.desk import Desk

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

RECENT = 8
"""Slots with local trades whose mean price is expected to go on, where yesterday is not known."""


class Decision(NamedTuple):
    """What n batteries do in one slot [Wh], each (n,)."""

    own: Ints
    """Behind the connection, discharge positive."""
    sell: Ints
    buy: Ints
    """Offered, >= 0; never both."""
    ask: Ints
    bid: Ints
    """At which price, fees included [milli-currency/MWh]."""


class PriceMemory:
    """Mean local prices of slots as shares of the way from feed-in to retail less the fee; NaN where nobody traded."""

    def __init__(self, site: RuleSite, fee: int) -> None:
        self._retail, self._feed_in = site.retail.astype(np.float64), site.feed_in.astype(np.float64)
        self._fee, self._day = float(fee), site.slots_per_day
        self._money, self._energy = np.zeros((2, len(self._retail)))

    def note(self, column: int, price: int, quantity: int) -> None:
        """A local trade; `price` is what the seller received."""
        self._money[column] += price * quantity
        self._energy[column] += quantity

    def expected(self, now: int, slots: int) -> tuple[Floats, Floats]:
        """Prices to buy and to sell at in `slots` slots from column `now` on, the fee included; sell <= buy."""
        first, last = max(0, now - self._day), now + 1
        energy = self._energy[first:last]
        traded = np.flatnonzero(energy > 0)
        ahead = slice(now, now + slots)
        retail, feed_in = self._retail[ahead], self._feed_in[ahead]
        if not len(traded):
            return retail, np.minimum(feed_in, retail)
        span = np.maximum(self._retail - self._fee - self._feed_in, 1.0)[first:last][traded]
        share = (self._money[first:last][traded] / energy[traded] - self._feed_in[first:last][traded]) / span
        level = np.full(slots, np.clip(share[-RECENT:], 0, 1).mean())
        before = np.full(slots, np.nan)
        place = first + traded + self._day - now
        known = (place >= 0) & (place < slots)
        before[place[known]] = np.clip(share[known], 0, 1)
        level = np.where(np.isnan(before), level, before)
        sell = feed_in + level * np.maximum(retail - self._fee - feed_in, 0)
        return np.minimum(sell + self._fee, retail), np.minimum(sell, retail)


class Trading:
    """The batteries of one rule and forecast: `site.rows` of the population's, with their states."""

    def __init__(self, people: Population, site: RuleSite, settings: MarketSettings, fee: int) -> None:
        self._people, self._settings, self._fee = people, settings, fee
        self.rows, self.owner = site.rows, people.battery_owner[site.rows]
        self._controller = Controller(len(site.rows), site.forecaster, site.slot_hours, guarded=False, past=site.past)
        self.prices = PriceMemory(site, fee)
        self._now = people.battery.some(site.rows)
        """As they are after the last slot whose gate has closed."""
        self.open: dict[int, Decision] = {}
        """By column, in their order."""
        self.sold: dict[int, Ints] = {}
        """(n,) traded so far of the offers of an open column, sold positive."""

    def __len__(self) -> int:
        return len(self.rows)

    def decide(self, column: int) -> Decision:
        """Plan when a slot opens. Books what is stored and given behind the connections."""
        people, owner = self._people, self.owner
        surplus = people.firm_sell_wh[owner, column] + people.flexible_sell_wh[owner, column]
        deficit, wanting = people.firm_buy_wh[owner, column], people.flexible_buy_wh[owner, column]
        least, most, likely = self._reach()
        buy, sell = self.prices.expected(column, self._controller.slots)
        request = self._controller.decide(likely, (deficit - surplus).astype(np.float64), buy, sell)
        own = _agreed(least, most, np.clip(request, -surplus, deficit))
        beyond = request - own
        # An owner has one flexible order on a side at most: a journal could not tell whose it was.
        spare = (beyond > 0) & (own == deficit) & (wanting == 0)
        room = (beyond < 0) & (own == -surplus) & (wanting == 0)
        given, taken = _some(least, own + np.where(spare, beyond, 0)), _some(most, own + np.where(room, beyond, 0))
        lot = self._settings.lot
        worth, one_way = self._controller.worth, likely.one_way_ppm / MICRO
        made = self.open[column] = Decision(
            own,
            np.where(spare, np.maximum(given - own, 0), 0) // lot * lot,
            np.where(room, np.maximum(own - taken, 0), 0) // lot * lot,
            self._whole(worth / one_way, up=True),
            self._whole(worth * one_way, up=False),
        )
        self.sold[column] = np.zeros(len(self), dtype=np.int64)
        people.move(owner, column, own)
        return made

    def offer(self, desk: Desk, column: int, made: Decision) -> None:
        """Put what owners have left over or lack, and what their batteries offer, on the desk; nothing trades yet."""
        people, lot = self._people, self._settings.lot
        span = desk.rows(people.first_slot + column)
        stored = np.isin(desk.battery[span], self.rows)
        theirs = np.isin(desk.member[span], self.owner) & (desk.battery[span] < 0)
        rows = span.start + np.flatnonzero(theirs)
        firm_sell, flexible_sell, firm_buy, flexible_buy = people.position(people.first_slot + column)
        left = np.stack([firm_buy, flexible_buy, firm_sell, flexible_sell])[desk.kind[rows], desk.member[rows]]
        _put(desk, rows, left // lot * lot)
        rows = span.start + np.flatnonzero(stored)
        place, sell = np.searchsorted(self.rows, desk.battery[rows]), desk.sell[rows]
        desk.value[rows] = np.where(sell, made.ask[place], made.bid[place])
        desk.limit[rows] = np.where(sell, made.ask[place], made.bid[place] - self._fee)
        _put(desk, rows, np.where(sell, made.sell[place], made.buy[place]))

    def close(self, column: int) -> None:
        """The gate has closed: what was traded is done. Asserts that the batteries can do it."""
        decision, sold = self.open.pop(column), self.sold.pop(column)
        done = self._now.step(decision.own + sold)
        assert (done == decision.own + sold).all(), "a battery has traded what it cannot do"
        self._people.deliver(self.rows, self.owner, column, sold, self._now)

    def _reach(self) -> tuple[Battery, Battery, Battery]:
        """The batteries when all open slots are over: with the least stored, the most, and if all offers trade."""
        every = np.arange(len(self))
        least, most, likely = (self._now.some(every) for _ in range(3))
        for made in self.open.values():
            least.step(made.own + made.sell)
            most.step(made.own - made.buy)
            likely.step(made.own + made.sell - made.buy)
        return least, most, likely

    def _whole(self, price: Floats, *, up: bool) -> Ints:
        rules = self._settings
        whole = np.ceil(price) if up else np.floor(price)
        return np.clip(whole, rules.price_floor, rules.price_cap).astype(np.int64)


class Storage:
    """All batteries of a run that trade; follows the market's events and offers at the desk."""

    def __init__(self, people: Population, settings: MarketSettings, fee: int) -> None:
        self._first, self._slots, self._utility = people.first_slot, people.slots, settings.utility
        self.fleets = [Trading(people, site, settings, fee) for site in people.trading]
        self._heard = 0

    def follow(self, desk: Desk, events: Iterable[Event]) -> None:
        """Take in what the clock did: first what closed, then what opened."""
        if not self.fleets:
            return
        self._listen(desk)
        told = list(events)
        for kind in (GateClosed, Opened):
            for event in told:
                if type(event) is kind and 0 <= event.slot - self._first < self._slots:
                    self._turn(desk, event.slot, opens=kind is Opened)

    def _turn(self, desk: Desk, slot: int, *, opens: bool) -> None:
        column = slot - self._first
        for fleet in self.fleets:
            if not opens:
                fleet.close(column)
                continue
            fleet.offer(desk, column, fleet.decide(column))

    def _listen(self, desk: Desk) -> None:
        """New trades: local prices, and what the batteries traded."""
        for _, buy, sell, trade in desk.trades[self._heard :]:
            column = trade.slot - self._first
            for fleet in self.fleets:
                if self._utility not in (trade.buyer, trade.seller):
                    fleet.prices.note(column, trade.price, trade.quantity)
                for want, sign in ((buy, -1), (sell, 1)):
                    battery = -1 if want == UTILITY else desk.battery[want]
                    if battery >= 0:
                        fleet.sold[column][fleet.rows == battery] += sign * trade.quantity
        self._heard = len(desk.trades)


def _put(desk: Desk, rows: Ints, quantity: Ints) -> None:
    desk.offered[rows] = quantity
    desk.left[rows] = np.where(np.isin(desk.member[rows], [*desk.silent]), 0, quantity)


def _some(battery: Battery, request: Ints) -> Ints:
    """What of a request a battery could do; it stays as it is."""
    return battery.some(np.arange(len(battery))).step(request)


def _agreed(least: Battery, most: Battery, request: Ints) -> Ints:
    """What of a request the battery can do with whatever is stored between the two states."""
    low, high = _some(least, request), _some(most, request)
    agreed: Ints = np.where(request > 0, np.minimum(low, high), np.maximum(low, high))
    return agreed
