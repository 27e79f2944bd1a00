"""What an order, a name and a time must look like, said once more without the product's code."""

from __future__ import annotations

import math
import re
from collections.abc import Set
from datetime import datetime
from fractions import Fraction

from market.events import Rejected
from market.orders import Leg, MarketSettings, RecordLosses, Submit

LARGEST_NUMBER = 2**53 - 1
SECOND = 10**9

No = Rejected | None


def no(code: str, field: str = "") -> Rejected:
    """A refusal without its reason."""
    return Rejected(code, "", field)


def whole(value: object) -> bool:
    return type(value) is int and abs(value) <= LARGEST_NUMBER


def is_name(name: str) -> bool:
    return bool(re.fullmatch("[!-~]{1,64}", name)) and name != "wires"


def is_source(name: str) -> bool:
    return bool(re.fullmatch("[a-z_][a-z0-9_]*", name)) and any(letter.isalpha() for letter in name)


def nanoseconds(text: object) -> int | None:
    """A time of ISO 8601 in UTC, None for anything else."""
    found = re.fullmatch(r"(\S{10}T\d\d:\d\d)(:\d\d)?(\.\d{1,9})?Z", text, re.ASCII) if isinstance(text, str) else None
    if found is None or (found[3] and not found[2]):
        return None
    try:
        moment = datetime.strptime(f"{found[1]}{found[2] or ':00'}+0000", "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return None
    seconds = (moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")).total_seconds()
    return int(seconds) * SECOND + int((found[3] or ".0")[1:].ljust(9, "0"))


def largest(s: MarketSettings) -> int:
    """Most Wh whose money is an exact number in any language, and of which a thousand orders can be settled exactly."""
    dearest = max(abs(s.price_floor), abs(s.price_cap), s.price_cap - s.price_floor)
    if s.settlement is not None:
        dearest = max(dearest + s.settlement.surcharge, s.settlement.curtailment)
    return LARGEST_NUMBER // max(dearest, 1024)


def price_problem(price: object, s: MarketSettings) -> No:
    if type(price) is not int or not s.price_floor <= price <= s.price_cap:
        return no("PRICE_OUT_OF_RANGE", "price")
    return no("PRICE_OFF_TICK", "price") if (price - s.price_floor) % s.tick else None


def quantity_problem(quantity: object, s: MarketSettings) -> No:
    if type(quantity) is not int or not 0 < quantity <= largest(s):
        return no("BAD_QUANTITY", "quantity")
    return no("QUANTITY_OFF_LOT", "quantity") if quantity % s.lot else None


def order_problem(order: Submit | Leg, s: MarketSettings) -> No:
    buys = order.side == "buy"
    if not buys and order.side != "sell":
        return no("BAD_SIDE", "side")
    if order.source and (buys or not is_source(order.source)):
        return no("BAD_SOURCE", "source")
    if order.sources and not (buys and all(map(is_source, order.sources))):
        return no("BAD_SOURCE", "sources")
    return price_problem(order.price, s) or quantity_problem(order.quantity, s)


def force_problem(order: Submit, now: int, s: MarketSettings) -> No:
    """What is wrong with how long an order is to live."""
    force = order.time_in_force
    at_once = force in ("ioc", "fok")
    if s.design != "cda" and (at_once or order.post_only):
        return no("NOT_IN_AUCTION", "time_in_force")
    if force not in ("gtc", "gtd", "ioc", "fok") or (order.post_only and at_once):
        return no("BAD_TIME_IN_FORCE", "time_in_force")
    if (order.good_till != "") != (force == "gtd"):
        return no("BAD_TIME_IN_FORCE", "good_till")
    if force == "gtd":
        end = nanoseconds(order.good_till)
        if end is None or end <= now:
            return no("BAD_TIME", "good_till")
    return None


def losses_problem(command: RecordLosses, metered: Set[str], s: MarketSettings) -> No:
    """What is wrong with a statement of losses; `metered` are those who have a meter."""
    weights, most = command.weights, LARGEST_NUMBER // max(s.losses_price, 1) // 100
    if s.losses == "none" or not whole(command.energy) or not 0 <= command.energy <= most:
        return no("BAD_LOSSES", "energy")
    strange = any(name not in metered or not whole(weight) for name, weight in weights.items())
    if (weights and s.losses != "marginal") or strange:
        return no("BAD_LOSSES", "weights")
    far = any(0 < 100 * sum(weights.values()) < abs(weight) for weight in weights.values())
    return no("BAD_LOSSES", "weights") if far else None


def shared(energy: int, weights: dict[str, int]) -> list[tuple[str, int]]:
    """Wh by largest remainders, one after the other to whoever lacks most of a whole one."""
    total = sum(weights.values())
    if total <= 0:
        return [("wires", energy)] if energy else []
    exact = {name: Fraction(energy * weight, total) for name, weight in weights.items()}
    given = {name: math.floor(part) for name, part in exact.items()}
    while sum(given.values()) < energy:
        given[min(exact, key=lambda name: (given[name] - exact[name], name))] += 1
    return sorted((name, part) for name, part in given.items() if part)
