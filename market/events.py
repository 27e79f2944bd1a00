"""What happened: the exchange's answers, frozen and versioned by the journal's format."""

from __future__ import annotations

from typing import Literal

import msgspec

from market.orders import Command, Message, Side


class Accepted(Message, frozen=True, tag="accepted"):
    """An order or another command was taken. `order` is its number, 0 for commands that make none."""

    order: int = 0


class Rejected(Message, frozen=True, tag="rejected"):
    """Nothing changed. `code` is one of `market.rules.CODES`; `field` names the value at fault."""

    code: str
    reason: str
    field: str = ""


class Traded(Message, frozen=True, tag="traded"):
    """A match that the wires carry, at the price of the resting order."""

    slot: int
    price: int
    quantity: int
    buyer: str
    seller: str
    buy_order: int
    sell_order: int
    resting: Side
    buy_flexible: bool = False
    """The buyer's schedule changed by `quantity` (else baseline energy was re-labelled)."""
    sell_flexible: bool = False
    source: str = ""


class Limited(Message, frozen=True, tag="limited"):
    """The wires carry only `admitted` of the `wanted` Wh between two orders (0: the pair was skipped)."""

    order: int
    resting: int
    wanted: int
    admitted: int
    constraint: str
    """The binding limit: ``bus:ID:high``, ``bus:ID:low`` or ``branch:ID``; ``diverged`` if no state was found."""


class Amended(Message, frozen=True, tag="amended"):
    order: int
    price: int
    quantity: int
    """Total quantity, what has been filled included."""
    priority: Literal["kept", "lost"]


class Cancelled(Message, frozen=True, tag="cancelled"):
    """`quantity` Wh left the book untraded. `why`: participant, ioc, amended."""

    order: int
    quantity: int
    why: str


class Expired(Message, frozen=True, tag="expired"):
    """Gate closure found `quantity` Wh of the order untraded."""

    order: int
    quantity: int


class Opened(Message, frozen=True, tag="opened"):
    slot: int


class GateClosed(Message, frozen=True, tag="gate_closed"):
    slot: int


class Settled(Message, frozen=True, tag="settled"):
    """Per participant, alphabetically: [name, metered, contracted, imbalance] in Wh, injection positive."""

    slot: int
    lines: list[tuple[str, int, int, int]]


Event = Accepted | Rejected | Traded | Limited | Amended | Cancelled | Expired | Opened | GateClosed | Settled


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of the journal: a command and all that followed from it."""

    seq: int
    command: Command
    events: tuple[Event, ...]
