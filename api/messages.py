"""What the server tells: the messages of every channel. Documentation and tests are made of them.

Prices are whole milli-currency/MWh, energy whole Wh, money whole nano-currency, times nanoseconds since 1970 unless
they are text (ISO 8601 UTC). Levels of a book are [price, Wh].
"""

from __future__ import annotations

from typing import Literal

import msgspec

from market.orders import MarketSettings, Scope, Side

Level = tuple[int, int]


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Base of what is told: nothing is in it that its model does not name."""


class Item(Told, frozen=True, tag_field="type", tag=str.lower):
    """Base of what one message tells of several things."""


# -- parts -------------------------------------------------------------------------------------------------------------


class OpenSlot(Told, frozen=True):
    """A slot that trades."""

    slot: int
    gate: int
    """When its gate closes."""
    start: int
    """When its delivery begins."""


class SlotForecast(Told, frozen=True):
    """What flows anyway in a slot [Wh]."""

    slot: int
    supply: int
    demand: int


class HaltInForce(Told, frozen=True):
    """A halt that is in force."""

    scope: Scope


class Depth(Told, frozen=True):
    """The book of a slot, best price first."""

    slot: int
    bids: list[Level]
    asks: list[Level]


class DepthChange(Told, frozen=True):
    """Levels of a slot that are other than told before, energy 0 where one is gone; or that the slot has closed."""

    slot: int
    bids: list[Level] = []
    asks: list[Level] = []
    closed: bool = False


class OwnOrder(Told, frozen=True):
    """A resting order of the client's participant; `quantity` is that in all, `filled` what was traded."""

    order: int
    slot: int
    side: Side
    price: int
    quantity: int
    filled: int
    flexible: bool
    client_order_id: str


class OwnForecast(Told, frozen=True):
    """What a simulated neighbour has to trade in a slot [Wh]."""

    slot: int
    firm_sell: int
    flexible_sell: int
    firm_buy: int
    flexible_buy: int


class GridState(Told, frozen=True):
    """State of the grid in the last slot whose gate has closed; before the first, `slot` is null."""

    slot: int | None
    u_pu: dict[str, float] = {}
    """Voltage of every bus."""
    loading: dict[str, float] = {}
    """Loading of every branch, 1 is full."""
    loss_w: int = 0
    source_w: int = 0
    price_ct: float | None = None
    """Mean price of the slot's local trades [ct/kWh]."""
    violations: list[str] = []


class MarketState(Told, frozen=True):
    """The rules, the open slots and every halt."""

    settings: MarketSettings
    """The [rules](messages.md#settings-of-a-market)."""
    time: str
    slots: list[OpenSlot]
    forecast: list[SlotForecast]
    halts: list[HaltInForce]


class Account(Told, frozen=True):
    """Balances by asset, contracts by slot, and what is left to trade."""

    balances: dict[str, int]
    """Asset -> received less given: money [nano-currency], WH, and origins of energy."""
    contracted: dict[str, int]
    """Slot -> sold less bought [Wh], of slots that are not settled."""
    halted: bool
    forecast: list[OwnForecast]
    source: str = ""
    """Where most of its own generation comes from."""
    buy_value: int | None = None
    """What energy is worth to it, fees included."""
    sell_cost: int | None = None
    """The least price that it accepts."""


# -- items of channels -------------------------------------------------------------------------------------------------


class Opened(OpenSlot, frozen=True, tag_field="type", tag="opened"):
    """A slot trades from now on."""


class GateClosed(Item, frozen=True, tag="gate_closed"):
    """A slot trades no more."""

    slot: int


class SlotSettled(Item, frozen=True, tag="settled"):
    """A slot was metered and settled."""

    slot: int


class AuctionLimited(Item, frozen=True, tag="auction_limited"):
    """The wires did not carry all that an auction wanted; these limits bound."""

    slot: int
    binding: list[str]


class Forecast(SlotForecast, frozen=True, tag_field="type", tag="forecast"):
    """The operator's forecast of what flows anyway in a slot [Wh]."""


class Halted(Item, frozen=True):
    """Orders are refused from now on."""

    scope: Scope


class Resumed(Item, frozen=True):
    """A halt was lifted."""

    scope: Scope


class Trade(Item, frozen=True, omit_defaults=True):
    """A trade as everybody sees it; `trade` is its name."""

    trade: str
    slot: int
    price: int
    quantity: int
    side: Literal["buy", "sell", ""]
    """Of the order that arrived later; empty in an auction."""
    source: str
    flexible: bool
    time: str
    seq: int = 0
    """In a snapshot: number of the message that told it."""


class Limited(Item, frozen=True, omit_defaults=True):
    """The wires carried only `admitted` of `wanted` Wh; see the event `limited`."""

    constraint: str
    wanted: int
    admitted: int
    seq: int = 0
    """In a snapshot: number of the message that told it."""


class Notice(Item, frozen=True):
    """What the operator lets everybody know."""

    text: str
    time: str
    seq: int = 0
    """In a snapshot: number of the message that told it."""


class OwnAccepted(OwnOrder, frozen=True, tag_field="type", tag="accepted"):
    """An order was taken, with the fields of a resting order."""


class OwnRejected(Item, frozen=True, tag="rejected"):
    """A command was refused."""

    code: str
    reason: str
    field: str


class OwnAmended(Item, frozen=True, tag="amended"):
    """An order has another price or total quantity."""

    order: int
    price: int
    quantity: int
    priority: Literal["kept", "lost"]


class OwnCancelled(Item, frozen=True, tag="cancelled"):
    """An order left the book, `quantity` Wh of it untraded."""

    order: int
    quantity: int
    why: str


class OwnExpired(Item, frozen=True, tag="expired"):
    """An order's time was over, `quantity` Wh of it untraded."""

    order: int
    quantity: int


class OwnTrade(Item, frozen=True, tag="trade"):
    """An order traded."""

    trade: str
    slot: int
    price: int
    quantity: int
    side: Side
    order: int


class OwnLimited(Item, frozen=True, tag="limited"):
    """The wires limited a match of an order."""

    order: int
    constraint: str
    wanted: int
    admitted: int


class OwnSettled(Item, frozen=True, tag="settled"):
    """A slot was settled: metered and contracted energy [Wh], injection positive."""

    slot: int
    metered: int
    contracted: int
    imbalance: int


class OwnCorrected(OwnSettled, frozen=True, tag="corrected"):
    """A settled slot was settled again with later readings."""

    run: int


# -- messages of channels ----------------------------------------------------------------------------------------------


class Snapshot(Told, frozen=True, kw_only=True, tag_field="type", tag="snapshot"):
    """Base: the state of a channel. `seq` is the `prev` of the message that follows."""

    ch: str
    seq: int


class Update(Told, frozen=True, kw_only=True):
    """Base: what has changed. `poss_dup` marks what the client may have seen before."""

    ch: str
    seq: int
    prev: int
    poss_dup: bool = False


class MarketSnapshot(MarketState, frozen=True, kw_only=True, tag_field="type", tag="snapshot"):
    ch: str
    seq: int


class MarketUpdate(Update, frozen=True):
    items: list[Opened | GateClosed | SlotSettled | AuctionLimited | Forecast | Halted | Resumed]


class BookSnapshot(Snapshot, frozen=True):
    slots: list[Depth]


class BookUpdate(Update, frozen=True):
    slots: list[DepthChange]


class TradesSnapshot(Snapshot, frozen=True):
    items: list[Trade]


class TradesUpdate(Update, frozen=True):
    items: list[Trade]


class LimitsSnapshot(Snapshot, frozen=True):
    items: list[Limited]


class LimitsUpdate(Update, frozen=True):
    items: list[Limited]


class GridSnapshot(GridState, frozen=True, kw_only=True, tag_field="type", tag="snapshot"):
    ch: str
    seq: int


class GridUpdate(Update, frozen=True):
    items: list[GridState]


class SystemSnapshot(Snapshot, frozen=True):
    halts: list[HaltInForce]
    time: str
    items: list[Notice]
    """The latest notices."""


class SystemUpdate(Update, frozen=True):
    items: list[Notice]


class OrdersSnapshot(Snapshot, frozen=True):
    orders: list[OwnOrder]


class OrdersUpdate(Update, frozen=True):
    items: list[
        OwnAccepted
        | OwnRejected
        | OwnAmended
        | OwnCancelled
        | OwnExpired
        | OwnTrade
        | OwnLimited
        | OwnSettled
        | OwnCorrected
        | Halted
        | Resumed
    ]


class AccountSnapshot(Account, frozen=True, kw_only=True, tag_field="type", tag="snapshot"):
    ch: str
    seq: int


class AccountUpdate(Account, frozen=True, kw_only=True):
    """The whole account as it is now."""

    ch: str
    seq: int
    prev: int
    poss_dup: bool = False


CHANNELS: dict[str, tuple[type[Told], type[Told]]] = {
    "market": (MarketSnapshot, MarketUpdate),
    "book": (BookSnapshot, BookUpdate),
    "trades": (TradesSnapshot, TradesUpdate),
    "limits": (LimitsSnapshot, LimitsUpdate),
    "grid": (GridSnapshot, GridUpdate),
    "system": (SystemSnapshot, SystemUpdate),
    "orders": (OrdersSnapshot, OrdersUpdate),
    "account": (AccountSnapshot, AccountUpdate),
}
"""Channel -> its snapshot and its updates."""
