"""From what a client says to commands of the exchange, and from its entries to answers. The same for every door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from api.auth import Principal
from api.limits import Bucket
from api.projection import Projection
from api.schemas import Amend, Basket, Cancel, Halt, Limits, MassCancel, Release, Result, Submit
from market import orders
from market.events import Accepted, Amended, Cancelled, Entry, Rejected, Traded
from market.journal import JournalError, require_canonical

FORMS = {
    "side": "say buy or sell",
    "time_in_force": f"say one of {', '.join(get_args(orders.TimeInForce))}",
    "scope": f"say one of {', '.join(get_args(orders.Scope))}",
    "slot": "give the whole number of a slot; the channel market and GET /v1/market have those that trade",
    "price": "give whole milli-currency/MWh: 150000 is 15 ct/kWh",
    "quantity": "give whole Wh: 500 is 0.5 kWh",
}
"""What fields may hold that are often given otherwise."""

Request = Submit | Amend | Cancel | MassCancel | Basket | Halt | Release


CANCELS, SWITCHES = frozenset({Cancel, MassCancel}), frozenset({Halt, Release})


class RefusedError(Exception):
    """What a client wants is not done; it is told a code of `api.schemas.ERRORS`, a reason, and the field."""

    def __init__(self, code: str, reason: str, field: str = "") -> None:
        super().__init__(reason)
        self.code, self.reason, self.field = code, reason, field


class Allowance:
    """How fast one client may ask. Cancels have a bucket of their own."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._orders = Bucket(limits.orders_per_second, limits.orders_burst)
        self._cancels = Bucket(limits.cancels_per_second, limits.cancels_burst)
        self._frames = Bucket(limits.frames_per_second, limits.frames_burst)

    def frame(self, size: int) -> None:
        """Count a frame of so many bytes. Raises RefusedError if it is too large, or one too many."""
        most = self._limits.frame_bytes
        if size > most:
            raise RefusedError("FRAME_TOO_LARGE", f"a frame has at most {most} bytes, got {size}")
        _spend(self._frames, 1, "frames")

    def request(self, request: Request, count: int) -> None:
        """Count the commands of a request. Raises RefusedError if they are too many."""
        most = self._limits.orders_per_frame
        if count > most:
            raise RefusedError("FRAME_TOO_LARGE", f"a frame has at most {most} orders, got {count}")
        kind = type(request)
        if kind in CANCELS:
            _spend(self._cancels, count, "cancels")
        elif kind not in SWITCHES:
            _spend(self._orders, count, "orders")


def _spend(bucket: Bucket, count: int, what: str) -> None:
    wait = bucket.take(count)
    if wait > 0:
        raise RefusedError("RATE_LIMITED", f"too many {what}; wait {wait:.2f} s")


def permit(principal: Principal, request: Request) -> None:
    """Raises RefusedError unless the role may ask for this."""
    if isinstance(request, (Halt, Release)):
        own = request.scope == "participant" and request.participant == principal.participant
        if principal.role != "operator" and not (principal.role == "participant" and own):
            raise RefusedError("FORBIDDEN", "only an operator halts others than itself", "scope")
    elif principal.role != "participant":
        raise RefusedError("FORBIDDEN", f"the role {principal.role} does not trade", "op")


def storable(command: orders.Command) -> None:
    """Raises RefusedError for a command with numbers that the journal cannot carry: it must not reach the exchange."""
    try:
        require_canonical(command)
    except JournalError as error:
        _, _, place = error.reason.rpartition(" - at `$.command.")
        raise RefusedError("BAD_FRAME", error.reason, place.rstrip("`")) from error


def commands(request: Request, participant: str) -> list[orders.Command]:
    """The commands of a request, in the name of a participant (empty for an operator)."""
    if isinstance(request, Submit):
        return [
            orders.Submit(
                participant, new.slot, new.side, new.price, new.quantity, new.time_in_force, new.flexible,
                new.source, new.client_order_id, new.sources, new.good_till, new.post_only,
            )
            for new in request.orders
        ]  # fmt: skip
    match request:
        case Amend():
            return [
                orders.Amend(participant, change.order, change.price, change.quantity) for change in request.changes
            ]
        case Cancel():
            return [orders.Cancel(participant, order) for order in request.orders]
        case MassCancel():
            return [orders.MassCancel(participant, request.slot)]
        case Basket():
            return [orders.Basket(participant, request.legs, request.client_order_id)]
        case Halt():
            return [orders.Halt(request.scope, request.participant, request.cancel_orders, request.reason)]
        case Release():
            return [orders.Resume(request.scope, request.participant)]


def results(entries: Sequence[Entry], projection: Projection) -> list[Result]:
    """What each client is told of its commands; other participants are not named."""
    return [_result(entry, projection) for entry in entries]


def _result(entry: Entry, projection: Projection) -> Result:
    command, seq, order, left, trades = entry.command, entry.seq, 0, 0, []
    if type(command) is orders.Submit:
        left = command.quantity
    elif isinstance(command, (orders.Amend, orders.Cancel)):
        order = command.order
    for place, event in enumerate(entry.events):
        if type(event) is Accepted:
            order = event.order or order
            if order != seq and isinstance(command, orders.Submit):  # sent again: what is left of the first
                first = projection.orders.get(command.participant, {}).get(order)
                left = 0 if first is None else first.quantity - first.filled
        elif type(event) is Cancelled:
            left = left if event.order != order else 0
        elif type(event) is Traded:
            if order in (event.buy_order, event.sell_order):
                trades.append({"trade": f"{seq}.{place}", "price": event.price, "quantity": event.quantity})
                left -= event.quantity
        elif type(event) is Rejected:
            return Result(seq, order, event.code, event.reason, event.field)
        elif type(event) is Amended:
            left = event.quantity
    return Result(seq, order, "", "", "", trades, max(0, left))


def malformed(error: Exception) -> RefusedError:
    """The refusal of what could not be decoded: with the field, where msgspec names one, and what it may hold."""
    reason = str(error)
    _, named, path = reason.rpartition(" - at `$.")
    field = path.rstrip("`") if named else ""
    may_hold = FORMS.get(field.rpartition(".")[2])
    return RefusedError("BAD_FRAME", f"{reason}; {may_hold}" if may_hold else reason, field)
