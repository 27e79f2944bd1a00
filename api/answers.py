"""Answers over HTTP that the stream does not have. Units as in `api.messages`."""

from __future__ import annotations

from typing import Any

from api.messages import Depth, OwnOrder, Told
from api.schemas import Result
from market.access import Role


class Refusal(Told, frozen=True):
    """Why something was not done; the code is one of the stream or of the exchange."""

    code: str
    reason: str
    field: str = ""


class Health(Told, frozen=True):
    """Whether the market runs, its time, and the number of the last entry of its journal."""

    status: str
    time: str
    seq: int


class BookState(Depth, frozen=True):
    """Bids and asks of an open slot as [price, Wh], best first."""


class Results(Told, frozen=True):
    """A result for each command, in order. They are on the disk."""

    results: list[Result]


class OwnOrders(Told, frozen=True):
    """Resting orders, oldest first."""

    orders: list[OwnOrder]


class PastTrade(Told, frozen=True):
    """A trade without names."""

    trade: str
    slot: int
    price: int
    quantity: int
    source: str


class Trades(Told, frozen=True):
    """Some trades; `next` is the `from_seq` of the next page."""

    items: list[PastTrade]
    next: int


class PastLimit(Told, frozen=True):
    """A match that the wires trimmed or refused, without names."""

    seq: int
    constraint: str
    wanted: int
    admitted: int


class PastLimits(Told, frozen=True):
    items: list[PastLimit]
    next: int


class History(Told, frozen=True):
    """What happened to own orders, as in the channel `orders`, each with the `seq` of its entry."""

    items: list[dict[str, Any]]
    next: int


class StatementLine(Told, frozen=True):
    """One settled slot: energy [Wh], injection positive, and the money received for the imbalance.

    `run` is 1 for the settlement; lines of later runs, which are corrections, hold what they change.
    """

    seq: int
    slot: int
    run: int
    participant: str
    metered: int
    contracted: int
    imbalance: int
    money: int


class Statements(Told, frozen=True):
    items: list[StatementLine]
    next: int


class JournalLine(Told, frozen=True):
    """An entry: `body` is its canonical text, whose SHA-256 with a zero byte before it is the leaf of the log."""

    seq: int
    body: str


class JournalPage(Told, frozen=True):
    items: list[JournalLine]
    next: int


class CheckpointLine(Told, frozen=True):
    """A signed note over the first `size` entries."""

    size: int
    note: str


class Log(Told, frozen=True):
    """Public keys of the log, oldest first, and its checkpoints from a size on."""

    keys: list[str]
    checkpoints: list[CheckpointLine]


class Branch(Told, frozen=True, rename={"from_": "from"}):
    id: str
    from_: str
    to: str


class FeederDrawing(Told, frozen=True):
    """Where buses are drawn, branches between them, and the voltage band [pu]."""

    name: str
    buses: list[str]
    x: list[float]
    y: list[float]
    band: list[float]
    branches: list[Branch]


class EnvelopeLine(Told, frozen=True):
    """What a connection may inject in a slot whatever the others do in theirs [Wh], baseline included."""

    slot: int
    low: int
    high: int


class Envelopes(Told, frozen=True):
    """Own operating envelopes of the open slots. `known` is false where none is made for this kind of feeder."""

    known: bool
    slots: list[EnvelopeLine]


class Participant(Told, frozen=True):
    """A participant and its connection of the feeder."""

    participant: str
    connection: str


class Participants(Told, frozen=True):
    items: list[Participant]


class Readings(Told, frozen=True):
    """Metered energy of one slot per participant, injection positive [Wh]."""

    slot: int
    readings: dict[str, int]


class Correction(Told, frozen=True):
    """A settled slot whose later readings are to be taken into account."""

    slot: int


class NewNotice(Told, frozen=True):
    """What everybody who listens to the channel `system` is to know."""

    text: str


class NewToken(Told, frozen=True):
    """For whom a token is to be made."""

    name: str
    role: Role = "participant"


class IssuedToken(Told, frozen=True):
    """A token, shown once."""

    token: str


class TokenLine(Told, frozen=True):
    """What is known of a token but the token itself. Times in ns since 1970; `revoked` is null while it is good."""

    mark: str
    name: str
    role: Role
    created: int
    revoked: int | None


class TokenList(Told, frozen=True):
    items: list[TokenLine]


class Revoked(Told, frozen=True):
    """How many tokens were taken back."""

    revoked: int
