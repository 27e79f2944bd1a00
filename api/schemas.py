"""What clients may say over the websocket, and the answers: one set of models for server, client and documentation.

Everything is JSON text. Prices are whole milli-currency/MWh, energy whole Wh, times nanoseconds since 1970 unless said
otherwise. A frame from the server is one object or a list of them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from market.orders import Leg, Scope, Side, TimeInForce
from market.units import MAX_EXACT

PROTOCOL = 1
"""Version of the protocol; a change that old clients would not survive makes it another one."""

Whole = Annotated[int, msgspec.Meta(ge=-MAX_EXACT, le=MAX_EXACT)]
"""A number that the journal can carry, checked while the frame is read."""

Role = Literal["observer", "participant", "operator", "auditor"]


class Frame(msgspec.Struct, frozen=True, tag_field="op", forbid_unknown_fields=True, gc=False):
    """Base of what clients say. `id` is repeated in the answer."""


class Auth(Frame, frozen=True, tag="auth"):
    """The first frame. Without a token the client sees public channels only."""

    token: str = ""
    cancel_on_disconnect: bool = True
    """Take out the orders of the participant, once none of its connections is left for the grace period."""
    id: str = ""


class Subscribe(Frame, frozen=True, tag="subscribe"):
    """Listen to channels; each starts with a snapshot."""

    channels: list[str]
    id: str = ""


class Unsubscribe(Frame, frozen=True, tag="unsubscribe"):
    channels: list[str]
    id: str = ""


class Resume(Frame, frozen=True, tag="resume"):
    """Listen to a channel from where the client left it: what came after `from_seq`, or else a snapshot."""

    ch: str
    from_seq: int
    id: str = ""


class NewOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """An order; fields as in the command `submit`, its participant being the client's own."""

    slot: Whole
    side: Side
    price: Whole
    quantity: Whole
    time_in_force: TimeInForce = "gtc"
    flexible: bool = False
    source: str = ""
    client_order_id: str = ""
    sources: tuple[str, ...] = ()
    good_till: str = ""
    post_only: bool = False


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another price or total quantity for a resting order."""

    order: Whole
    price: Whole | None = None
    quantity: Whole | None = None


class Submit(Frame, frozen=True, tag="submit"):
    """One or several orders; one answer holds a result for each, in order."""

    orders: list[NewOrder]
    id: str = ""


class Amend(Frame, frozen=True, tag="amend"):
    changes: list[Change]
    id: str = ""


class Cancel(Frame, frozen=True, tag="cancel"):
    orders: list[Whole]
    id: str = ""


class MassCancel(Frame, frozen=True, tag="mass_cancel"):
    """Take out all own orders, of one slot or of all."""

    slot: Whole | None = None
    id: str = ""


class Basket(Frame, frozen=True, tag="basket"):
    """Linked orders: all are filled in full at once, or none is."""

    legs: tuple[Leg, ...]
    client_order_id: str = ""
    id: str = ""


class Halt(Frame, frozen=True, tag="halt"):
    """The kill switch: of an operator for any scope, of a participant for itself."""

    scope: Scope
    participant: str = ""
    cancel_orders: bool = False
    reason: str = ""
    id: str = ""


class Release(Frame, frozen=True, tag="release"):
    """Lift a halt of the same scope."""

    scope: Scope
    participant: str = ""
    id: str = ""


class Ping(Frame, frozen=True, tag="ping"):
    id: str = ""


ClientFrame = (
    Auth | Subscribe | Unsubscribe | Resume | Submit | Amend | Cancel | MassCancel | Basket | Halt | Release | Ping
)


class Limits(msgspec.Struct, frozen=True):
    """What one connection may do; announced in the welcome."""

    frame_bytes: int = 65_536
    orders_per_frame: int = 200
    orders_per_second: float = 500.0
    """Orders, amendments and baskets; refilled evenly."""
    orders_burst: int = 2_000
    cancels_per_second: float = 1_000.0
    cancels_burst: int = 4_000
    """Cancels have a bucket of their own, so that they work when orders are refused."""
    frames_per_second: float = 200.0
    frames_burst: int = 1_000
    requests_per_second: float = 200.0
    """Over HTTP, from one address."""
    requests_burst: int = 1_000
    connections_per_token: int = 100
    connections_per_address: int = 2_000


class Welcome(msgspec.Struct, frozen=True, tag_field="op", tag="welcome"):
    """The answer to `auth`."""

    role: Role
    participant: str
    market: str
    session: str
    heartbeat_seconds: float
    grace_seconds: float
    """Time without a connection after which orders are cancelled on disconnect."""
    limits: Limits
    channels: list[str]
    speed: float = 1.0
    """Seconds of the market in one second."""
    protocol: int = PROTOCOL
    id: str = ""


class Result(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What became of one command. `code` is empty if it was accepted; else `reason` and `field` say why not."""

    seq: int
    order: int = 0
    """Number of the order; that of the first one where a client_order_id was sent again."""
    code: str = ""
    reason: str = ""
    field: str = ""
    trades: list[dict[str, Any]] = []
    """Trades of this order at once: trade, price, quantity."""
    left: int = 0
    """Energy of the order that rests [Wh]."""

    @property
    def traded(self) -> int:
        """Energy that the order traded at once [Wh]."""
        return sum(int(trade["quantity"]) for trade in self.trades)


class Answer(msgspec.Struct, frozen=True, tag_field="op", tag="answer", gc=False):
    """Results of a request, in the order of its commands. They are on the disk."""

    id: str
    results: list[Result]


class Done(msgspec.Struct, frozen=True, tag_field="op", tag="done"):
    """A request without results was carried out."""

    id: str


class Error(msgspec.Struct, frozen=True, tag_field="op", tag="error"):
    """Nothing was done: the frame was malformed, not allowed, or too much."""

    code: str
    reason: str
    field: str = ""
    id: str = ""


class Heartbeat(msgspec.Struct, frozen=True, tag_field="op", tag="heartbeat"):
    """Said every `heartbeat_seconds`, whatever else is said; `last` has the number of the last message of every channel
    that is subscribed to.
    """

    time: str
    last: dict[str, int]


ERRORS = {
    "BAD_FRAME": "Not JSON text, not an object, an unknown `op`, or a field of the wrong type.",
    "FRAME_TOO_LARGE": "A frame has more bytes, or more orders, than the limits in the welcome.",
    "NOT_AUTHENTICATED": "The first frame must be `auth`, within ten seconds.",
    "BAD_TOKEN": "The token is unknown or was revoked.",
    "FORBIDDEN": "The role of the token does not allow this.",
    "UNKNOWN_CHANNEL": "There is no channel of this name, or the role may not listen to it.",
    "RATE_LIMITED": "More than the limits in the welcome; wait as long as the reason says.",
    "SLOW_CONSUMER": "The client did not read its private messages; it may connect again and resume.",
    "NOT_ALLOWED": "There is something at this address, but it does not take this method.",
    "NO_SUCH_THING": "There is nothing at this address or of this number.",
    "NOT_SIGNED_YET": "The entry is not covered by a signed checkpoint yet; ask again a little later.",
    "STOPPED": "The market has stopped or ended; what was not answered did not happen.",
}
"""Codes of the gateways, for websocket and REST alike. Those of `market.rules.CODES` come from the exchange."""
