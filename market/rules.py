"""Pre-trade checks: every refusal has a code and a reason that names the value and the way out."""

from __future__ import annotations

import msgspec

from market import tariff
from market.auction import settings_problem
from market.book import MAX_LEVELS, MAX_ORDERS
from market.events import Rejected
from market.orders import Amend, Leg, MarketSettings, SettlementRules, Submit
from market.slots import parse_time
from market.units import MAX_EXACT

CODES = {
    "NO_MARKET": "The first command must be create_market.",
    "MARKET_EXISTS": "The ledger already holds a market.",
    "BAD_SETTINGS": "The market's settings contradict each other.",
    "BAD_NAME": "A name is empty, too long, reserved, or has characters outside printable ASCII.",
    "NAME_TAKEN": "A participant of this name is registered.",
    "UNKNOWN_CONNECTION": "The feeder has no connection of this name.",
    "CONNECTION_TAKEN": "Another participant is registered at this connection.",
    "BAD_TIME": "Not a UTC time in ISO 8601, earlier than the market's clock, or too far ahead of it.",
    "UNKNOWN_PARTICIPANT": "No participant of this name is registered.",
    "SLOT_NOT_OPEN": "The slot does not trade yet.",
    "GATE_CLOSED": "The slot's gate has closed.",
    "BAD_SIDE": "Neither buy nor sell.",
    "BAD_TIME_IN_FORCE": "None of gtc, gtd, ioc and fok, or one that contradicts post_only or good_till.",
    "NOT_IN_AUCTION": "Orders of this slot only rest, for an auction to come: no ioc, fok, post_only or baskets.",
    "BAD_ID": "A client_order_id is too long or has characters outside printable ASCII.",
    "ID_REUSED": "The client_order_id was used for another order.",
    "HALTED": "Trading is halted for the market, the feeder or the participant; cancels still work.",
    "NOT_HALTED": "No halt of this scope is in force.",
    "BAD_SCOPE": "A halt is for the market, the feeder, or a participant whom it names.",
    "BAD_BASKET": "A basket has from 2 to 64 legs, each in a slot of its own.",
    "WOULD_TRADE": "A post-only order would have traded at once.",
    "PRICE_OUT_OF_RANGE": "The price is below the floor or above the cap.",
    "PRICE_OFF_TICK": "The price is not a whole number of ticks above the floor.",
    "BAD_QUANTITY": "The quantity is not a positive number of Wh, or too large to be paid for exactly.",
    "QUANTITY_OFF_LOT": "The quantity is not a whole number of lots.",
    "BAD_SOURCE": "An ask has one source, a bid a list of those it accepts, each in lower-case letters.",
    "UNKNOWN_ORDER": "No order of this number was ever accepted.",
    "NOT_YOUR_ORDER": "The order belongs to another participant.",
    "ORDER_CLOSED": "The order is filled, cancelled or expired.",
    "NOTHING_TO_AMEND": "An amendment needs a price or a quantity.",
    "BOOK_FULL": "The slot holds as many resting orders as its market allows.",
    "BAD_BASELINE": "The baseline does not give one whole number per connection.",
    "NOT_DELIVERED": "The slot has not been delivered yet.",
    "BAD_READING": "A meter reading is no whole number of Wh, too large to be paid for exactly, or of nobody.",
    "BAD_LOSSES": "The market shares no losses, those of the slot are known, or energy or weights make no sense.",
    "BAD_CURTAILMENT": "The market pays for none, or it gives no positive whole number of Wh of a participant.",
    "GATE_OPEN": "The slot still trades; nothing of it can have been withheld.",
    "NOT_METERED": "The slot has no meter readings yet.",
    "ALREADY_SETTLED": "The slot is settled, and no reading is new, or its time for corrections is over.",
}

MAX_SLOTS = 10_000
"""Most slots that may be open at once, or that the clock may jump over."""

MAX_CORRECTIONS = 400 * 86_400
"""Longest time for corrections [s]."""

MAX_SPREAD_PPM = 100_000_000
"""Slowest spread clock, for markets whose closing auction takes what the clock still held back."""

MAX_SPREAD_POWER = 8
"""Steepest fall of a spread clock."""

MAX_AUCTIONS = 10_000
"""Most auctions of one slot."""
MAX_LEGS = 64
"""Most legs of a basket."""
MAX_SOURCES = 62
"""Most origins of energy that a market tells apart, that of no stated origin among them."""
REPLACING = ("BOOK_FULL", "WOULD_TRADE")
"""Refusals that come from the book, in place of the acceptance that was on its way."""

_RESERVED = ("wires",)
_NUMBERS = tuple(field.name for field in msgspec.structs.fields(MarketSettings) if field.type is int)


def reject(code: str, reason: str, field: str = "") -> Rejected:
    """A refusal with a code of the table. Raises KeyError for one that is not in it."""
    CODES[code]
    return Rejected(code, reason, field)


def settings_problems(settings: MarketSettings, connections: int) -> list[str]:
    """Everything that is wrong with the settings for a feeder with so many connections: field, value, way out."""
    s = settings
    if found := [f"{name}: must be a whole number, got {getattr(s, name)!r:.40}" for name in _odd_numbers(s)]:
        return found
    positive = (
        "slot_seconds", "tick", "lot", "max_orders", "voltage_max_ppm", "loading_max_ppm", "unbalance_max_ppm",
    )  # fmt: skip
    found = [f"{field}: must be > 0, got {getattr(s, field)}" for field in positive if getattr(s, field) <= 0]
    if s.gate_before_seconds < 0:
        found.append(f"gate_before_seconds: must be >= 0, got {s.gate_before_seconds}")
    if s.opens_before_seconds <= s.gate_before_seconds:
        found.append(f"opens_before_seconds: must be more than gate_before_seconds, got {s.opens_before_seconds}")
    elif s.slot_seconds > 0 and s.opens_before_seconds // s.slot_seconds > MAX_SLOTS:
        most = MAX_SLOTS * s.slot_seconds
        found.append(f"opens_before_seconds: must be at most {most}, {MAX_SLOTS} slots, got {s.opens_before_seconds}")
    if not 0 <= s.voltage_min_ppm < s.voltage_max_ppm:
        found.append(f"voltage_min_ppm: must be from 0 to below voltage_max_ppm, got {s.voltage_min_ppm}")
    most_ppm = MAX_SPREAD_PPM if s.auction_closing else 1_000_000
    if not 0 < s.spread_zero_ppm <= most_ppm:
        found.append(f"spread_zero_ppm: must be from 1 to {most_ppm}, got {s.spread_zero_ppm}")
    if not 1 <= s.spread_power <= MAX_SPREAD_POWER:
        found.append(f"spread_power: must be from 1 to {MAX_SPREAD_POWER}, got {s.spread_power}")
    if s.max_orders > MAX_ORDERS:
        found.append(f"max_orders: must be at most {MAX_ORDERS}, got {s.max_orders}")
    if s.network_tariff is not None and len(s.network_tariff.place) != connections:
        told = f"one node for each of {connections} connections, got {len(s.network_tariff.place)}"
        found.append(f"network_tariff.place: must be {told}")
    return found + auction_problems(s) + _price_problems(s) + _settlement_problems(s.settlement)


def auction_problems(s: MarketSettings) -> list[str]:
    """What is wrong with the auctions of a market, each with its field, value and the way out."""
    found = []
    trading = s.opens_before_seconds - s.gate_before_seconds
    for field in ("auction_opening", "auction_every"):
        value = getattr(s, field)
        if not 0 <= value < max(trading, 1):
            found.append(f"{field}: must be from 0 to less than the trading time of {trading} s, got {value}")
        elif value and (field == "auction_opening") != (s.design == "cda"):
            way = "choose call, pay_as_bid, mmr or sdr" if s.design == "cda" else "it has auctions only; leave it out"
            found.append(f"{field}: does not go with design {s.design}, got {value}; {way}")
    if s.auction_every and trading > MAX_AUCTIONS * s.auction_every > 0:
        least = -(-trading // MAX_AUCTIONS)
        found.append(f"auction_every: must be at least {least}, {MAX_AUCTIONS} auctions a slot, got {s.auction_every}")
    if s.auction_closing and s.design != "cda":
        found.append(f"auction_closing: does not go with design {s.design}, which always closes with one; leave it out")
    return found


def _settlement_problems(rules: SettlementRules | None) -> list[str]:
    found = []
    most = {"surcharge": tariff.MOST, "curtailment": tariff.MOST, "corrections_seconds": MAX_CORRECTIONS}
    for field, largest in most.items() if rules is not None else ():
        value = getattr(rules, field)
        if not is_whole(value) or not 0 <= value <= largest:
            found.append(f"settlement.{field}: must be a whole number from 0 to {largest}, got {value!r:.40}")
    if rules is not None and rules.surcharge and rules.imbalance != "market":
        found.append(f"settlement.surcharge: goes with imbalance market, got {rules.surcharge}; leave it out")
    return found


def _odd_numbers(s: MarketSettings) -> list[str]:
    """Fields whose number the journal cannot carry."""
    return [name for name in _NUMBERS if not is_whole(getattr(s, name))]


def _price_problems(s: MarketSettings) -> list[str]:
    found = []
    if s.price_floor >= s.price_cap:
        found.append(f"price_floor: must be below price_cap {s.price_cap}, got {s.price_floor}")
    elif s.tick > 0:
        found += tariff.problems(s)
        if not 0 <= s.losses_price <= tariff.MOST:
            found.append(f"losses_price: must be from 0 to {tariff.MOST}, got {s.losses_price}")
        if (s.price_cap - s.price_floor) % s.tick:
            found.append(f"price_cap: must be a whole number of ticks above price_floor, got {s.price_cap}")
        if (s.price_cap - s.price_floor) // s.tick >= MAX_LEVELS:
            found.append(f"tick: must be larger, at most {MAX_LEVELS} prices from floor to cap, got {s.tick}")
        if not 0 <= s.spread_start <= s.price_cap - s.price_floor:
            found.append(f"spread_start: must be from 0 to the price range, got {s.spread_start}")
        if s.spread_start and s.design != "cda":
            found.append(f"spread_start: goes with continuous trading only, got {s.spread_start} in design {s.design}")
        if s.design != "cda" and (wrong := settings_problem(s.design, s)):
            found.append(wrong)
        for field in ("retail", "feed_in"):
            found += _off_range(field, getattr(s, field), s)
        if not found:
            found += _change_problems(s)
    return found


def _off_range(field: str, value: int, s: MarketSettings) -> list[str]:
    if s.price_floor <= value <= s.price_cap and (value - s.price_floor) % s.tick == 0:
        return []
    return [f"{field}: must be on a tick from price_floor to price_cap, got {value}"]


def _change_problems(s: MarketSettings) -> list[str]:
    """What is wrong with the utility's prices by time."""
    found, before = [], None
    for number, change in enumerate(s.price_changes):
        path = f"price_changes[{number}]"
        if not all(map(is_whole, change)):
            return [f"{path}: must be whole numbers [slot, retail, feed_in], got {list(change)!r:.80}"]
        slot, retail, feed_in = change
        if before is not None and slot <= before:
            found.append(f"{path}: must be of a later slot than {before}, got {slot}; sort them")
        found += _off_range(f"{path}.retail", retail, s) + _off_range(f"{path}.feed_in", feed_in, s)
        rules, before = msgspec.structs.replace(s, retail=retail, feed_in=feed_in, price_changes=()), slot
        if s.design != "cda" and (wrong := settings_problem(s.design, rules)):
            found.append(f"{path}.{wrong}")
    return found


def name_problem(name: str, field: str) -> Rejected | None:
    """Names are 1 to 64 printable ASCII characters without spaces."""
    if not 0 < len(name) <= 64 or not name.isascii():
        return reject("BAD_NAME", f"a name has 1 to 64 ASCII characters, got {name!r:.80}", field)
    if not name.isprintable() or " " in name:
        return reject("BAD_NAME", f"a name has no spaces or control characters, got {name!r}", field)
    if name in _RESERVED:
        return reject("BAD_NAME", f"{name!r} is an account of the ledger; choose another", field)
    return None


def is_whole(value: object) -> bool:
    """True for an int that the journal can carry; booleans are no numbers here."""
    return type(value) is int and -MAX_EXACT <= value <= MAX_EXACT


def submit_problem(order: Submit | Leg, settings: MarketSettings, largest: int) -> Rejected | None:
    """What is wrong with an order's own values; None if nothing. `largest` is the market's largest quantity [Wh]."""
    if order.side != "buy" and order.side != "sell":
        return reject("BAD_SIDE", f"side must be buy or sell, got {order.side!r}", "side")
    if order.source and (order.side == "buy" or not is_source(order.source)):
        return reject("BAD_SOURCE", f"only an ask has a source, in lower-case letters, got {order.source!r}", "source")
    if order.sources and (order.side == "sell" or not all(map(is_source, order.sources))):
        told = f"only a bid accepts sources, in lower-case letters, got {list(order.sources)!r:.80}"
        return reject("BAD_SOURCE", told, "sources")
    return price_problem(order.price, settings) or quantity_problem(order.quantity, settings, largest)


def time_problem(order: Submit, now: int, collects: bool) -> Rejected | None:
    """What is wrong with how long an order is to live, at the market's time [ns]; None if nothing.

    `collects`: orders only rest now, for an auction to come.
    """
    force = order.time_in_force
    if force == "gtc" and not order.post_only and not order.good_till:
        return None
    if collects and (force in ("ioc", "fok") or order.post_only):
        told = f"orders of slot {order.slot} rest for an auction now; use gtc or gtd without post_only"
        return reject("NOT_IN_AUCTION", told, "time_in_force")
    if force not in ("gtc", "gtd", "ioc", "fok"):
        return reject("BAD_TIME_IN_FORCE", f"must be gtc, gtd, ioc or fok, got {force!r}", "time_in_force")
    if order.post_only and force in ("ioc", "fok"):
        return reject("BAD_TIME_IN_FORCE", f"a post-only order rests, so it cannot be {force}", "time_in_force")
    if bool(order.good_till) != (force == "gtd"):
        return reject("BAD_TIME_IN_FORCE", "good_till goes with gtd, and gtd with good_till", "good_till")
    if force == "gtd":
        try:
            end = parse_time(order.good_till)
        except ValueError as error:
            return reject("BAD_TIME", str(error), "good_till")
        if end <= now:
            return reject("BAD_TIME", f"good_till must lie ahead, got {order.good_till}", "good_till")
    return None


def is_source(name: str) -> bool:
    return name.isascii() and name.isidentifier() and name.islower()


def amend_problem(amend: Amend, settings: MarketSettings, largest: int) -> Rejected | None:
    """What is wrong with an amendment's own values; None if nothing."""
    if amend.price is None and amend.quantity is None:
        return reject("NOTHING_TO_AMEND", "give a new price, a new total quantity, or both")
    wrong = None if amend.price is None else price_problem(amend.price, settings)
    if wrong is None and amend.quantity is not None:
        wrong = quantity_problem(amend.quantity, settings, largest)
    return wrong


def price_problem(price: int, settings: MarketSettings) -> Rejected | None:
    if type(price) is not int or not settings.price_floor <= price <= settings.price_cap:
        span = f"{settings.price_floor} to {settings.price_cap}"
        return reject("PRICE_OUT_OF_RANGE", f"price must be a whole number from {span}, got {price!r}", "price")
    if (price - settings.price_floor) % settings.tick:
        step = f"a multiple of {settings.tick} above the floor"
        return reject("PRICE_OFF_TICK", f"price must be {step}, got {price}", "price")
    return None


def quantity_problem(quantity: int, settings: MarketSettings, largest: int) -> Rejected | None:
    if type(quantity) is not int or not 0 < quantity <= largest:
        return reject("BAD_QUANTITY", f"quantity must be from 1 to {largest} Wh, got {quantity!r}", "quantity")
    if quantity % settings.lot:
        step = f"a multiple of {settings.lot} Wh"
        return reject("QUANTITY_OFF_LOT", f"quantity must be {step}, got {quantity}", "quantity")
    return None
