"""What happened: the exchange's answers, frozen and versioned by the journal's format."""

from __future__ import annotations

from typing import Literal

import msgspec

from market.orders import Command, Message, Scope


class Accepted(Message, frozen=True, tag="accepted"):
    """An order or another command was taken. `order` is its number, 0 for commands that make none."""

    order: int = 0


class Rejected(Message, frozen=True, tag="rejected"):
    """Nothing changed. `code` is one of `market.rules.CODES`; `field` names the value at fault."""

    code: str
    reason: str
    field: str = ""


class Traded(Message, frozen=True, tag="traded"):
    """A match that the wires carry, at the price of the resting order, a bid's less the fee."""

    slot: int
    price: int
    """What the seller receives; the buyer pays `fee` more."""
    quantity: int
    buyer: str
    seller: str
    buy_order: int
    sell_order: int
    resting: Literal["buy", "sell", "both"]
    """Which side's order was in the book first; in an auction both rest."""
    buy_flexible: bool = False
    """The buyer's schedule changed by `quantity` (else baseline energy was re-labelled)."""
    sell_flexible: bool = False
    source: str = ""
    fee: int = 0
    """What the wires take [milli-currency/MWh]."""


class Limited(Message, frozen=True, tag="limited"):
    """The wires carry only `admitted` of the `wanted` Wh between two orders (0: the pair was skipped).

    An order that trades in full or not at all leaves one for each question that it raised in vain, also where all that
    was wanted fits; `constraint` is then empty.
    """

    order: int
    resting: int
    wanted: int
    admitted: int
    constraint: str
    """The binding limit: ``bus:ID:high``, ``bus:ID:low`` or ``branch:ID``; ``diverged`` if no state was found."""


class Auctioned(Message, frozen=True, tag="auctioned"):
    """An auction was held over all that rested in a slot, since bids reached asks; its trades follow."""

    slot: int
    at: str
    """Its exact moment, ISO 8601 UTC; the clock may have come by in a larger step."""
    price: int | None = None
    """Of all its trades that it suits; the others trade at the nearest price that both accept. None: each its own."""


class Granted(Message, frozen=True, tag="granted"):
    """What the wires leave of an auction that they cannot carry whole: [order, Wh], every order that may trade."""

    slot: int
    orders: list[tuple[int, int]]
    binding: tuple[str, ...] = ()
    """The limits that hold the welfare down."""


class Amended(Message, frozen=True, tag="amended"):
    """A resting order has another price or another total quantity; what it meets by that follows."""

    order: int
    price: int
    quantity: int
    """Total quantity, what has been filled included."""
    priority: Literal["kept", "lost"]


class Cancelled(Message, frozen=True, tag="cancelled"):
    """`quantity` Wh left the book untraded. `why`: participant, ioc, fok, basket, amended, self_trade, halt."""

    order: int
    quantity: int
    why: str


class Expired(Message, frozen=True, tag="expired"):
    """The gate's closure, or the end that the order set itself, found `quantity` Wh of it untraded."""

    order: int
    quantity: int


class Opened(Message, frozen=True, tag="opened"):
    """From now on the slot trades."""

    slot: int


class GateClosed(Message, frozen=True, tag="gate_closed"):
    """The slot trades no more; whatever rested in it has expired."""

    slot: int


class Halted(Message, frozen=True, tag="halted"):
    """Trading stopped in a scope: market, feeder, or participant with its name."""

    scope: Scope
    participant: str = ""


class Resumed(Message, frozen=True, tag="resumed"):
    """A halt of this scope was lifted."""

    scope: Scope
    participant: str = ""


class Lost(Message, frozen=True, tag="lost"):
    """The energy that the wires lost in a slot. Per account that pays for a part of it, alphabetically: [name, Wh]."""

    slot: int
    lines: list[tuple[str, int]]


class Settled(Message, frozen=True, tag="settled"):
    """Per participant, alphabetically: [name, metered, contracted, imbalance] in Wh, injection positive.

    It is run 1 of the slot and is never changed.
    """

    slot: int
    lines: list[tuple[str, int, int, int]]
    meters: int = 0
    """Version of the slot's meters; 0 where versions are not counted."""
    prices: tuple[int, int] | None = None
    """What is paid for a surplus and for a shortage [milli-currency/MWh]; None: `feed_in` and `retail` of
    the settings, which hold in every slot."""
    origins: list[tuple[str, str, int, int, int]] = msgspec.field(default_factory=list)
    """Units of origin: [name, source, issued, cancelled, returned] in Wh; see `market.origins`."""


class Corrected(Message, frozen=True, tag="corrected"):
    """A later run over a settled slot, for those whose readings are new; what it posts is the difference.

    Per participant, alphabetically: [name, metered as in the run before, metered now, contracted] in Wh.
    """

    slot: int
    run: int
    """2 for the first correction."""
    meters: int
    lines: list[tuple[str, int, int, int]]
    prices: tuple[int, int] | None = None
    origins: list[tuple[str, str, int, int, int]] = msgspec.field(default_factory=list)
    """Differences from the run before."""


class Curtailed(Message, frozen=True, tag="curtailed"):
    """The wires compensate for energy withheld. Per participant, alphabetically: [name, Wh]."""

    slot: int
    lines: list[tuple[str, int]]


Event = (
    Accepted
    | Rejected
    | Traded
    | Limited
    | Auctioned
    | Granted
    | Amended
    | Cancelled
    | Expired
    | Opened
    | GateClosed
    | Halted
    | Resumed
    | Curtailed
    | Lost
    | Settled
    | Corrected
)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of the journal: a command and all that followed from it."""

    seq: int
    command: Command
    events: tuple[Event, ...]
