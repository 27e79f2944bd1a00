"""From what a client says to commands of the exchange, and from its entries to answers. The same for every door."""

from __future__ import annotations

from collections.abc import Sequence

from api.schemas import Amend, Basket, Cancel, Halt, MassCancel, Release, Result, Submit
from market import orders
from market.events import Accepted, Amended, Cancelled, Entry, Rejected, Traded

Request = Submit | Amend | Cancel | MassCancel | Basket | Halt | Release


def commands(request: Request, participant: str) -> list[orders.Command]:
    """The commands of a request, in the name of a participant (empty for an operator)."""
    match request:
        case Submit():
            return [
                orders.Submit(
                    participant, new.slot, new.side, new.price, new.quantity, new.time_in_force, new.flexible,
                    new.source, new.client_order_id, new.sources, new.good_till, new.post_only,
                )
                for new in request.orders
            ]  # fmt: skip
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


def results(entries: Sequence[Entry]) -> list[Result]:
    """What each client is told of its commands; other participants are not named."""
    return [_result(entry) for entry in entries]


def _result(entry: Entry) -> Result:
    command, order, left = entry.command, 0, 0
    if isinstance(command, orders.Amend | orders.Cancel):
        order = command.order
    elif isinstance(command, orders.Submit):
        left = command.quantity
    trades = []
    for place, event in enumerate(entry.events):
        match event:
            case Rejected(code, reason, field):
                return Result(entry.seq, order, code, reason, field)
            case Accepted(number):
                order = number or order
            case Amended(_, _, quantity):
                left = quantity
            case Traded(price=price, quantity=quantity) if order in (event.buy_order, event.sell_order):
                trades.append({"trade": f"{entry.seq}.{place}", "price": price, "quantity": quantity})
                left -= quantity
            case Cancelled(number, quantity) if number == order:
                left = 0
            case _:
                pass
    return Result(entry.seq, order, trades=trades, left=max(left, 0))
