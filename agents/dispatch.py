"""Batteries behind meters, told what to do slot by slot: what the one who tells knows, and what it saves.

On columns, and without any library of learning: `agents.dispatch_environment` gives one battery to a learner, programs
that train on many at once use `Dispatch` itself. The batteries are those of all other control
(`agents.devices.battery`), and what they save is the bill without a battery less the bill with it.

Known in a slot, as to a plan (`agents.devices.mpc`): the time, the store, load less generation up to this slot, a
forecast from nothing else, and the prices, which tariffs announce for a day. Nothing else of the future.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agents.devices.battery import MICRO, Battery
from agents.forecast import Forecaster, Smoothing
from agents.population import Population

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Seen = NDArray[np.float32]

Control = Literal["reserve", "power"]

BLOCKS = 8
"""Parts of a day, by which yesterday, the forecast and the prices are observed."""
PAST_DAYS = 7
"""Days before an episode that are known at its beginning, as far as there are so many."""
CLOCK = ("day_sine", "day_cosine", "year_sine", "year_cosine")
FEATURES = (
    *CLOCK, "stored", "net", "buy", "sell",
    *(f"{name}_{block}" for name in ("past", "forecast", "buy", "sell") for block in range(BLOCKS)),
)  # fmt: skip
"""What is observed. Times on circles; `stored` as a share of the capacity; `net`, load less generation of the slot, as
e / (|e| + most that the battery moves in a slot), of a block as e / (|e| + capacity); prices as shares of the dearest
of the next 24 hours. Block 0 of `past` is the oldest of the last 24 hours, block 0 of the others the next to come."""
_YEAR_SECONDS = 365.2425 * 86_400


@dataclass(frozen=True, eq=False)
class Sites:
    """B sites with a battery each, over T slots."""

    net_wh: Floats
    """(B, T) load less generation, without the battery."""
    battery: Battery
    """(B,) as they are before the first slot; never changed."""
    buy: Floats
    """(B, T) price of what is taken from the grid, per Wh in any currency."""
    sell: Floats
    """(B, T) price of what is fed in, nowhere above `buy`."""
    first_slot: Ints
    """(B,) number of each one's first slot since 1970."""
    slot_seconds: int

    def __post_init__(self) -> None:
        """Raises ValueError with all that does not fit."""
        found = []
        shape = self.net_wh.shape
        if len(shape) != 2 or 0 in shape or not np.isfinite(self.net_wh).all():
            found.append(f"net_wh: need finite values of shape (sites, slots), got shape {shape}")
        elif len(self.battery) != shape[0]:
            found.append(f"battery: need one for each of the {shape[0]} sites, got {len(self.battery)}")
        if self.first_slot.shape != shape[:1]:
            found.append(f"first_slot: need one for each site, got shape {self.first_slot.shape}")
        for name, prices in (("buy", self.buy), ("sell", self.sell)):
            if prices.shape != shape or not np.isfinite(prices).all():
                found.append(f"{name}: need finite prices of shape {shape}, got shape {prices.shape}")
        if not found and (self.sell > self.buy).any():
            found.append("sell: is above buy in some slots; going round would pay")
        if self.slot_seconds < 1 or 86_400 % (BLOCKS * self.slot_seconds):
            found.append(f"slot_seconds: {BLOCKS} parts of a day must be whole slots, got {self.slot_seconds}")
        if found:
            raise ValueError("\n".join(found))

    @classmethod
    def of(cls, population: Population, buy: ArrayLike, sell: ArrayLike, slot_seconds: int = 900) -> Sites:
        """Those participants of a run that have a battery, empty at first.

        `buy` and `sell` are broadcast to (B, T). Flexible load is left out: it is there only if it is traded.
        """
        rows = population.battery_owner
        load, made = population.load_wh[rows], population.must_run_wh[rows] + population.dispatchable_wh[rows]
        net = (load - made).astype(np.float64)
        battery = population.battery.some(np.arange(len(rows)))
        battery.stored_uwh[:] = battery.lost_uwh[:] = 0
        bought, sold = (np.broadcast_to(np.asarray(price, dtype=np.float64), net.shape) for price in (buy, sell))
        return cls(net, battery, bought, sold, np.full(len(rows), population.first_slot), slot_seconds)

    @classmethod
    def stack(cls, sites: Sequence[Sites]) -> Sites:
        """All of them as one; slots must be of one length, and as many."""
        one = sites[0]
        battery = one.battery.some(np.arange(len(one)))
        for name in vars(battery):
            setattr(battery, name, np.concatenate([getattr(each.battery, name) for each in sites]))
        net, buy, sell = (np.concatenate([getattr(each, name) for each in sites]) for name in ("net_wh", "buy", "sell"))
        first = np.concatenate([each.first_slot for each in sites])
        return cls(net, battery, buy, sell, first, one.slot_seconds)

    def cut(self, first: Ints, slots: int) -> Sites:
        """A stretch of `slots` slots of each site, from its slot `first` (B,) on; batteries as they are."""
        window = first[:, None] + np.arange(slots)
        net, buy, sell = (np.take_along_axis(each, window, axis=1) for each in (self.net_wh, self.buy, self.sell))
        return Sites(net, self.battery, buy, sell, self.first_slot + first, self.slot_seconds)

    def __len__(self) -> int:
        return len(self.net_wh)

    @property
    def slots(self) -> int:
        return int(self.net_wh.shape[1])

    @property
    def day(self) -> int:
        """Slots of a day."""
        return 86_400 // self.slot_seconds


class Dispatch:
    """Some of the sites, each from a slot of its own on, all going ahead together.

    `control` says what an action means. "reserve", from 0 to 1: the share of the capacity that is to be kept. Below
    it the battery charges, from the grid if need be; above it, it stores what is left over and gives what is lacking.
    Always 0 is the simple rule. "power", from −1 to 1: the share of its power that the battery gives, or takes.
    """

    def __init__(
        self, sites: Sites, *, control: Control = "reserve", forecaster: Callable[[int], Forecaster] = Smoothing
    ) -> None:
        """`forecaster` is made anew with the slots of a day whenever `begin` is called."""
        if control not in get_args(Control):
            raise ValueError(f"control: must be one of {', '.join(get_args(Control))}, got {control!r}")
        self.sites = sites
        self._control, self._make = control, forecaster
        self._per_block = sites.day // BLOCKS
        self.begin(np.arange(len(sites)), np.zeros(len(sites), dtype=np.int64))

    def begin(self, rows: Ints, first: Ints, stored: ArrayLike | None = None) -> None:
        """Go to the slots `first` (n,) of the sites `rows` (n,); `stored` (n,) as a share, or as the sites have it."""
        sites = self.sites
        self.battery = sites.battery.some(rows)
        if stored is not None:
            share = np.broadcast_to(np.asarray(stored, dtype=np.float64), len(rows))
            self.battery.stored_uwh = np.floor(self.battery.capacity_uwh * share).astype(np.int64)
        self._rows, self._first, self._passed = rows, first, 0
        self._known = min(PAST_DAYS * sites.day, int(first.min()))
        length = sites.slots - int(first.max())
        window = (first - self._known)[:, None] + np.arange(self._known + length)
        self._net = sites.net_wh[rows[:, None], window]
        self._forecaster = self._make(sites.day)
        self._capacity = (self.battery.capacity_uwh / MICRO)[:, None]
        self._limit = self.battery.limit_wh.astype(np.float64)

    @property
    def net_wh(self) -> Floats:
        """(n,) load less generation of the present slot."""
        return np.asarray(self._net[:, self._known + self._passed])

    def observe(self) -> Seen:
        """(n, F) the `FEATURES` of the present slot."""
        sites, n = self.sites, len(self._rows)
        past = self._net[:, : self._known + self._passed + 1]
        ahead = self._forecaster.ahead(past, sites.day)
        yesterday = past[:, -sites.day :]
        if yesterday.shape[1] < sites.day:
            yesterday = np.pad(yesterday, ((0, 0), (sites.day - yesterday.shape[1], 0)))
        blocks = np.stack([yesterday, ahead]).reshape(2, n, BLOCKS, -1).sum(axis=3)
        blocks /= np.abs(blocks) + self._capacity + 1e-9
        now = self._first + self._passed
        when = (now[:, None] + np.arange(sites.day)) % sites.slots
        buy, sell = sites.buy[self._rows[:, None], when], sites.sell[self._rows[:, None], when]
        dearest = np.maximum(buy.max(axis=1, keepdims=True), 1e-12)
        prices = np.stack([buy, sell]) / dearest
        mean = prices.reshape(2, n, BLOCKS, -1).mean(axis=3)
        seconds = (sites.first_slot[self._rows] + now) * float(sites.slot_seconds)
        day, year = 2 * np.pi * (seconds % 86_400) / 86_400, 2 * np.pi * seconds / _YEAR_SECONDS
        net = past[:, -1]
        columns = [
            np.sin(day), np.cos(day), np.sin(year), np.cos(year),
            self.battery.stored_wh / np.maximum(self._capacity[:, 0], 1e-9), net / (np.abs(net) + self._limit + 1e-9),
            prices[0, :, 0], prices[1, :, 0],
        ]  # fmt: skip
        return np.concatenate([np.stack(columns, axis=1), *blocks, *mean], axis=1).clip(-1, 1).astype(np.float32)

    def step(self, action: Floats) -> Floats:
        """(n,) money that the batteries save in this slot by actions (n,), which are cut off at what there is."""
        net = self.net_wh
        now = self._first + self._passed
        realised = self.battery.step(self._request(np.asarray(action, dtype=np.float64), net))
        flow = net - realised
        buy, sell = self.sites.buy[self._rows, now], self.sites.sell[self._rows, now]
        self._passed += 1
        return np.asarray(_cost(net, buy, sell) - _cost(flow, buy, sell))

    def _request(self, action: Floats, net: Floats) -> Ints:
        if self._control == "power":
            return np.rint(np.clip(action, -1, 1) * self._limit).astype(np.int64)
        one_way = self.battery.one_way_ppm / MICRO
        above = self.battery.stored_wh - np.clip(action, 0, 1) * self._capacity[:, 0]
        most = np.where(above < 0, above / one_way, above * one_way)
        return np.rint(np.minimum(net, most)).astype(np.int64)


def _cost(flow: Floats, buy: Floats, sell: Floats) -> Floats:
    return np.asarray(np.where(flow > 0, buy, sell) * flow)
