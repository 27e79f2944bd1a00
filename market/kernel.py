"""The matching kernel: price-time priority under capacity, compiled by numba.

All compiled code of the market is in this one module, because numba's cache does not notice an edited helper in
another one. One structured record holds the whole book of a slot, so that every access is one pointer plus a
constant. Both sides are kept on ladders whose best price has the lowest index: an ask at its price level, a bid at
the mirrored level. The kernel stops where it cannot go on alone (a question to the gate, a full buffer) and goes on
from the cursor when called again.

All integers are exact. Capacity rows are integer-valued float64, so their sums do not depend on the order of trades.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import from_dtype, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

BUY, SELL = 0, 1
SUBMIT, AMEND, CANCEL, EXPIRE, UNCROSS = 0, 1, 2, 3, 4
GTC, IOC = 0, 1
TRADE, LIMITED, CANCELLED, AMENDED, UNKNOWN, BOOK_FULL, WOULD_TRADE = 0, 1, 2, 3, 4, 5, 6
DONE, ASK, REFRESH, FULL = 0, 1, 2, 3
OPEN, DECIDE, QUESTION, CERTIFY = 0, 1, 2, 3

WHY_PARTICIPANT, WHY_IOC, WHY_AMENDED, WHY_SELF_TRADE, WHY_EXPIRED = 0, 1, 2, 3, 4
IDLE, INCOMING, RETRYING = 0, 1, 2
SOLD, BOUGHT, ROOM_TO_SELL, ROOM_TO_BUY = 0, 1, 2, 3  # rows of what has moved and may move by side [Wh]
BUY_FLEXIBLE, SELL_FLEXIBLE = 1, 2

RECENT = 4
"""Rows that refused last, which are asked before all others: few rows bind at a time."""

MAX_SKIPPED = 256
"""Most resting orders that one order passes over for want of capacity; what lies behind them it does not reach."""

MAX_RETRIES = 4
"""Most questions of capacity that resting orders may raise once an order has traded."""
MAX_PASS = 64
"""Most questions of capacity that resting orders may raise in an UNCROSS message."""

MESSAGE = np.dtype(
    [
        ("kind", "i1"),
        ("side", "i1"),
        ("time_in_force", "i1"),
        ("flexible", "i1"),
        ("post_only", "i1"),
        ("node", "i4"),  # connection, -1 where injection changes nothing
        ("owner", "i4"),
        ("level", "i4"),
        ("handle", "i4"),  # number of the order within its book
        ("quantity", "i8"),
        ("origins", "i8"),  # bits of the sources that a bid accepts, or of an ask's own
    ],
    align=True,
)
QUANTITY = 9
"""Place of the quantity among the fields of a message."""

EVENT = np.dtype(
    [
        ("kind", "i1"),
        ("flags", "i1"),
        ("message", "i4"),
        ("handle", "i4"),
        ("resting", "i4"),
        ("level", "i4"),
        ("row", "i4"),
        ("quantity", "i8"),
        ("wanted", "i8"),
    ],
    align=True,
)
CURSOR = np.dtype(
    [
        ("message", "i8"),
        ("count", "i8"),  # events written
        ("remaining", "i8"),
        ("firm", "i8"),
        ("total", "i8"),
        ("wanted", "i8"),
        ("answer", "i8"),  # the gate's verdict, -1 while there is none
        ("row", "i8"),
        ("recent", "i8", (RECENT,)),  # the rows that refused last, whatever the pair
        ("stamp", "i8"),  # counts the changes of the schedule
        ("moved", "i8"),  # Wh by both sides since the tangent
        ("drift", "i8"),  # Wh by both sides since a state that was exact
        ("by_envelope", "i8"),  # matches that each stage decided
        ("by_rows", "i8"),
        ("by_gate", "i8"),
        ("origins", "i8"),
        ("pairs", "i8"),  # pairs of connections that were ever refused
        ("turn", "i8"),  # counts the orders that have come to rest
        ("begun", "i8"),  # the stamp when this message began
        ("inject", "i4"),
        ("withdraw", "i4"),
        ("candidate", "i4"),
        ("skipped", "i4"),
        ("level", "i4"),
        ("node", "i4"),
        ("handle", "i4"),
        ("owner", "i4"),
        ("bid", "i4"),  # the resting bid that is tried again
        ("asked", "i4"),
        ("budget", "i4"),  # of questions, in this pass
        ("side", "i1"),
        ("time_in_force", "i1"),
        ("flexible", "i1"),
        ("post_only", "i1"),
        ("met_itself", "i1"),
        ("matching", "i1"),
        ("beyond", "i1"),  # some connection has left its envelope
    ],
    align=True,
)
PAIR = np.dtype(
    [
        ("inject", "i4"),  # connections, FREE where the place is empty
        ("withdraw", "i4"),
        ("stamp", "i8"),  # when the pair was refused last
        ("row", "i8"),  # which row refused it last, -1 if none is known
    ],
    align=True,
)
FREE = -2
"""Stands for the connection of a pair where there is none; -1 is a side without effect."""
_ORDER = np.dtype(
    [
        ("quantity", "i8"),
        ("firm", "i8"),
        ("total", "i8"),
        ("origins", "i8"),
        ("turn", "i8"),
        ("handle", "i4"),
        ("level", "i4"),
        ("previous", "i4"),
        ("next", "i4"),
        ("node", "i4"),
        ("owner", "i4"),
        ("side", "i1"),
        ("flexible", "i1"),
        ("post_only", "i1"),
    ],
    align=True,
)


def book_dtype(levels: int, pool: int) -> np.dtype[Any]:
    """Record of one book with `levels` price levels (a multiple of 64) and room for `pool` resting orders."""
    words = levels // 64
    return np.dtype(
        [
            ("best", "i4", (2,)),
            ("free", "i4"),  # the last one released, -1 without
            ("used", "i4"),  # places of the pool that ever held an order
            ("room", "i4"),
            ("live", "i4"),
            ("head", "i4", (2, levels)),
            ("tail", "i4", (2, levels)),
            ("bits", "u8", (2, words)),
            ("summary", "u8", (2, -(-words // 64))),
            ("orders", _ORDER, (pool,)),
        ],
        align=True,
    )


def empty_book(levels: int, pool: int, room: int) -> NDArray[Any]:
    """A new book as an array of one record, with room for `room` <= `pool` orders; it takes memory as it fills."""
    books = np.zeros(1, dtype=book_dtype(levels, pool))
    book = books[0]
    book["best"] = levels
    book["head"] = -1
    book["tail"] = -1
    book["free"] = -1
    book["room"] = room
    return books


def no_pairs(room: int) -> NDArray[Any]:
    """A table for pairs of connections that the wires refuse; `room` is a power of two, of which half can be used."""
    pairs = np.zeros(room, dtype=PAIR)
    pairs["inject"] = FREE
    pairs["row"] = -1
    return pairs


def new_cursor() -> NDArray[Any]:
    """A cursor as an array of one record, at the start of a batch."""
    cursor = np.zeros(1, dtype=CURSOR)
    cursor["answer"] = -1
    cursor["recent"] = -1
    cursor["stamp"] = 1
    return cursor


# Each view of an array costs two atomic operations for its reference count, unless numba is told that nothing here is
# allocated (`_nrt`). Together with inlining that makes the kernel about seven times as fast.
_compiled: Any = partial(njit, cache=True, _nrt=False, error_model="numpy")
_step: Any = _compiled(forceinline=True)


def _count_trailing_zeros(typing_context: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


_trailing_zeros: Any = intrinsic(_count_trailing_zeros)


@_step
def _first_level(book, side, start):  # type: ignore[no-untyped-def]
    """Lowest occupied ladder index at or after `start`, or the number of levels."""
    levels = book.head.shape[1]
    if start >= levels:
        return levels
    word = start >> 6
    found = book.bits[side, word] & (np.uint64(0xFFFFFFFFFFFFFFFF) << np.uint64(start & 63))
    if found != np.uint64(0):
        return (word << 6) + np.int64(_trailing_zeros(found))
    word += 1
    block = word >> 6
    if block >= book.summary.shape[1]:
        return levels
    occupied = book.summary[side, block] & (np.uint64(0xFFFFFFFFFFFFFFFF) << np.uint64(word & 63))
    while occupied == np.uint64(0):
        block += 1
        if block >= book.summary.shape[1]:
            return levels
        occupied = book.summary[side, block]
    word = (block << 6) + np.int64(_trailing_zeros(occupied))
    return (word << 6) + np.int64(_trailing_zeros(book.bits[side, word]))


@_step
def _rung(book, side, level):  # type: ignore[no-untyped-def]
    """Ladder index of a price level: the lower, the better for the other side."""
    return level if side == SELL else book.head.shape[1] - 1 - level


@_step
def _link(book, index):  # type: ignore[no-untyped-def]
    order = book.orders[index]
    side = order.side
    rung = _rung(book, side, order.level)
    last = book.tail[side, rung]
    order.previous = last
    order.next = -1
    book.tail[side, rung] = index
    if last >= 0:
        book.orders[last].next = index
        return
    book.head[side, rung] = index
    word = rung >> 6
    book.bits[side, word] |= np.uint64(1) << np.uint64(rung & 63)
    book.summary[side, word >> 6] |= np.uint64(1) << np.uint64(word & 63)
    if rung < book.best[side]:
        book.best[side] = rung


@_step
def _unlink(book, index):  # type: ignore[no-untyped-def]
    order = book.orders[index]
    side = order.side
    rung = _rung(book, side, order.level)
    before = order.previous
    after = order.next
    if before >= 0:
        book.orders[before].next = after
    else:
        book.head[side, rung] = after
    if after >= 0:
        book.orders[after].previous = before
    else:
        book.tail[side, rung] = before
    if book.head[side, rung] >= 0:
        return
    word = rung >> 6
    book.bits[side, word] &= ~(np.uint64(1) << np.uint64(rung & 63))
    if book.bits[side, word] == np.uint64(0):
        book.summary[side, word >> 6] &= ~(np.uint64(1) << np.uint64(word & 63))
    if rung == book.best[side]:
        book.best[side] = _first_level(book, side, rung)


@_step
def _release(book, where, index):  # type: ignore[no-untyped-def]
    """Take an order out of the book for good."""
    _unlink(book, index)
    where[book.orders[index].handle] = -1
    book.orders[index].next = book.free
    book.free = index
    book.live -= 1


@_step
def _emit(events, cursor, kind, flags, handle, resting, level, row, quantity, wanted):  # type: ignore[no-untyped-def]
    event = events[cursor.count]
    event.kind = kind
    event.flags = flags
    event.message = cursor.message
    event.handle = handle
    event.resting = resting
    event.level = level
    event.row = row
    event.quantity = quantity
    event.wanted = wanted
    cursor.count += 1


@_step
def _holds(state, rise, fall, least, most, quantity):  # type: ignore[no-untyped-def]
    """True if all rows stay within their squared bounds when `quantity` Wh move.

    One pass without a branch over one-dimensional slices, which the compiler turns into vector instructions.
    """
    moved = np.float64(quantity)
    state_re, state_im = state[0], state[1]
    rise_re, rise_im = rise[0], rise[1]
    fall_re, fall_im = fall[0], fall[1]
    broken = False
    for row in range(least.shape[0]):
        re = state_re[row] + moved * (rise_re[row] - fall_re[row])
        im = state_im[row] + moved * (rise_im[row] - fall_im[row])
        square = re * re + im * im
        broken = broken | (square > most[row]) | (square < least[row])
    return not broken


@_step
def _breaks(state, rise, fall, least, most, quantity, row):  # type: ignore[no-untyped-def]
    """The test of `_holds` for one row."""
    re = state[0, row] + quantity * (rise[0, row] - fall[0, row])
    im = state[1, row] + quantity * (rise[1, row] - fall[1, row])
    square = re * re + im * im
    return square > most[row] or square < least[row]


@_step
def _ratio(state, rise, fall, least, most, row):  # type: ignore[no-untyped-def]
    """Largest q >= 0 up to which a row x + q s, inside its bounds at q = 0, stays inside: |x + q s|^2 is quadratic."""
    re, im = state[0, row], state[1, row]
    slope_re, slope_im = rise[0, row] - fall[0, row], rise[1, row] - fall[1, row]
    a = slope_re * slope_re + slope_im * slope_im
    b = re * slope_re + im * slope_im
    present = re * re + im * im
    ratio = (np.sqrt(max(b * b + a * (most[row] - present), 0.0)) - b) / a
    inner = b * b - a * (present - least[row])
    if b < 0.0 and inner > 0.0:
        ratio = min(ratio, (-b - np.sqrt(inner)) / a)
    return max(ratio, 0.0)


@_step
def _remember(recent, row):  # type: ignore[no-untyped-def]
    """Put a row before the others that refused of late."""
    for place in range(RECENT):
        if recent[place] == row:
            return
    for place in range(RECENT - 1, 0, -1):
        recent[place] = recent[place - 1]
    recent[0] = row


@_step
def _fit(state, rise, fall, least, most, wanted, lot, witness, recent):  # type: ignore[no-untyped-def]
    """Largest multiple of `lot` up to `wanted` that all rows carry, and a row that binds (-1: none does).

    The witness, the row that refused this pair last, is asked first, then those that refused any pair of late: most
    refusals end there. Only blocks of rows in which one breaks are searched for the row that binds.
    """
    if witness >= 0 and _breaks(state, rise, fall, least, most, lot, witness):
        return np.int64(0), witness
    for place in range(RECENT):
        row = recent[place]
        if row >= 0 and _breaks(state, rise, fall, least, most, lot, row):
            return np.int64(0), np.int64(row)
    if _holds(state, rise, fall, least, most, wanted):
        return wanted, np.int64(-1)
    ratio = np.inf
    binding = np.int64(-1)
    rows = least.shape[0]
    for start in range(0, rows, 32):
        part = slice(start, min(start + 32, rows))
        if _holds(state[:, part], rise[:, part], fall[:, part], least[part], most[part], wanted):
            continue
        for row in range(part.start, part.stop):
            if _breaks(state, rise, fall, least, most, wanted, row):
                limit = _ratio(state, rise, fall, least, most, row)
                if limit < ratio:
                    ratio = limit
                    binding = np.int64(row)
    admitted = np.int64(0) if ratio < lot else np.int64(min(ratio, wanted)) // lot * lot
    # The root is rounded: step down until the very test that admits a trade holds.
    while admitted > 0 and not _holds(state, rise, fall, least, most, admitted):
        admitted -= lot
    return admitted, binding


@_step
def _certain(state, rise, fall, bounds, quantity, drift):  # type: ignore[no-untyped-def]
    """True if all rows stay within their inner bounds when `quantity` Wh move, however much they err at `drift`."""
    moved, distance = np.float64(quantity), np.float64(drift)
    state_re, state_im = state[0], state[1]
    rise_re, rise_im = rise[0], rise[1]
    fall_re, fall_im = fall[0], fall[1]
    low, high, slope = bounds[0], bounds[1], bounds[4]
    broken = False
    for row in range(low.shape[0]):
        re = state_re[row] + moved * (rise_re[row] - fall_re[row])
        im = state_im[row] + moved * (rise_im[row] - fall_im[row])
        square = re * re + im * im
        error = slope[row] * distance
        least, most = max(low[row] + error, 0.0), high[row] - error
        broken = broken | (most < 0.0) | (square > most * most) | (square < least * least)
    return not broken


@_step
def _beyond(state, rise, fall, bounds, quantity, drift, row):  # type: ignore[no-untyped-def]
    """True if a row is outside of its outer bounds when `quantity` Wh move, however much it errs at `drift`."""
    re = state[0, row] + quantity * (rise[0, row] - fall[0, row])
    im = state[1, row] + quantity * (rise[1, row] - fall[1, row])
    square = re * re + im * im
    error = bounds[4, row] * drift
    least, most = max(bounds[2, row] - error, 0.0), bounds[3, row] + error
    return square > most * most or square < least * least


@_step
def _certify(cursor, state, rise, fall, bounds, wanted, lot, witness, budget):  # type: ignore[no-untyped-def]
    """(DONE, Wh, row) if the rows prove that all is carried or not even one lot; else ASK."""
    sides = (1 if cursor.inject >= 0 else 0) + (1 if cursor.withdraw >= 0 else 0)
    rows = bounds.shape[1]
    if rows == 0 or cursor.moved + sides * lot > budget:
        return ASK, np.int64(0), np.int64(-1)
    near = cursor.drift + sides * lot
    if witness >= 0 and _beyond(state, rise, fall, bounds, lot, near, witness):
        return DONE, np.int64(0), np.int64(witness)
    for place in range(RECENT):
        row = cursor.recent[place]
        if row >= 0 and _beyond(state, rise, fall, bounds, lot, near, row):
            return DONE, np.int64(0), np.int64(row)
    far = cursor.drift + sides * wanted
    if cursor.moved + sides * wanted <= budget and _certain(state, rise, fall, bounds, wanted, far):
        return DONE, wanted, np.int64(-1)
    for row in range(rows):
        if _beyond(state, rise, fall, bounds, lot, near, row):
            return DONE, np.int64(0), np.int64(row)
    return ASK, np.int64(0), np.int64(-1)


@_step
def _within(cursor, gross, quantity):  # type: ignore[no-untyped-def]
    """True if both sides stay within their envelopes, as all others have."""
    if cursor.beyond != 0:
        return False
    if cursor.inject >= 0 and gross[SOLD, cursor.inject] + quantity > gross[ROOM_TO_SELL, cursor.inject]:
        return False
    return cursor.withdraw < 0 or gross[BOUGHT, cursor.withdraw] + quantity <= gross[ROOM_TO_BUY, cursor.withdraw]


@_step
def _record(cursor, schedule, gross, quantity):  # type: ignore[no-untyped-def]
    """Write a match into the schedule, net and by side; -1 is a side whose injection does not change."""
    inject, withdraw = cursor.inject, cursor.withdraw
    if inject >= 0:
        schedule[inject] += quantity
        gross[SOLD, inject] += quantity
        cursor.moved += quantity
        cursor.drift += quantity
        if gross[SOLD, inject] > gross[ROOM_TO_SELL, inject]:
            cursor.beyond = 1
    if withdraw >= 0:
        schedule[withdraw] -= quantity
        gross[BOUGHT, withdraw] += quantity
        cursor.moved += quantity
        cursor.drift += quantity
        if gross[BOUGHT, withdraw] > gross[ROOM_TO_BUY, withdraw]:
            cursor.beyond = 1
    cursor.stamp += 1


@_step
def _shift(state, rise, fall, quantity):  # type: ignore[no-untyped-def]
    """Move the rows' state with `quantity` Wh."""
    moved = np.float64(quantity)
    for part in range(2):
        values, up, down = state[part], rise[part], fall[part]
        for row in range(values.shape[0]):
            values[row] += moved * (up[row] - down[row])


@_step
def _reserve(allowance, side, node, flexible, quantity, lot):  # type: ignore[no-untyped-def]
    """Firm part of an order: what is left of the connection's baseline in this direction, in whole lots."""
    if flexible or node < 0:
        return np.int64(0)
    # A baseline that shrank may leave less than nothing: firm orders hold more of it than there is now.
    firm = max(min(quantity, allowance[side, node]), 0) // lot * lot
    allowance[side, node] -= firm
    return firm


@_step
def _give_back(allowance, side, node, firm):  # type: ignore[no-untyped-def]
    if firm > 0:
        allowance[side, node] += firm


@_step
def _trade(book, cursor, index, quantity, fee, capacity, events):  # type: ignore[no-untyped-def]
    """Fill the incoming order with `quantity` of a resting one; both parts are homogeneous (firm or flexible)."""
    schedule, gross, state, rises, falls, idle, _, _ = capacity
    order = book.orders[index]
    cursor.remaining -= quantity
    if cursor.firm > 0:
        cursor.firm -= quantity
    order.quantity -= quantity
    if order.firm > 0:
        order.firm -= quantity
    flags = 0
    if cursor.withdraw >= 0:
        flags |= BUY_FLEXIBLE
    if cursor.inject >= 0:
        flags |= SELL_FLEXIBLE
    if flags != 0:
        rise = rises[cursor.inject] if cursor.inject >= 0 else idle
        fall = falls[cursor.withdraw] if cursor.withdraw >= 0 else idle
        _shift(state, rise, fall, quantity)
        _record(cursor, schedule, gross, quantity)
    # The price is that of the older order, the fee taken off where that is a bid.
    if cursor.matching == RETRYING and book.orders[cursor.bid].turn < order.turn:
        _emit(events, cursor, TRADE, flags, order.handle, cursor.handle, cursor.level - fee, -1, quantity, 0)
    else:
        level = order.level - fee if order.side == BUY else order.level
        _emit(events, cursor, TRADE, flags, cursor.handle, order.handle, level, -1, quantity, 0)


@_step
def _who_moves(cursor, order):  # type: ignore[no-untyped-def]
    """Connections whose schedule this match changes: firm energy flows anyway, and node -1 has no wire to load."""
    incoming = cursor.node if cursor.firm == 0 else np.int32(-1)
    resting = order.node if order.firm == 0 else np.int32(-1)
    cursor.inject = incoming if cursor.side == SELL else resting
    cursor.withdraw = resting if cursor.side == SELL else incoming


@_step
def _place(pairs, inject, withdraw):  # type: ignore[no-untyped-def]
    """Where a pair of connections is in the table, or where it would be."""
    last = pairs.shape[0] - 1
    place = (np.int64(inject) * 0x9E3779B1 + np.int64(withdraw) * 0x85EBCA77) >> 7 & last
    while pairs[place].inject != FREE and (pairs[place].inject != inject or pairs[place].withdraw != withdraw):
        place = (place + 1) & last
    return place


@_step
def _full(cursor, pairs, events):  # type: ignore[no-untyped-def]
    """True if what the next match may leave behind has no room."""
    return cursor.count + 2 > events.shape[0] or 2 * cursor.pairs >= pairs.shape[0]


@_step
def _admit(cursor, order, quantity, pairs, mode, capacity, lot, events):  # type: ignore[no-untyped-def]
    """How much of the candidate match the wires carry: (DONE, Wh), or why the kernel has to stop for it."""
    _, gross, state, rises, falls, idle, bounds, refresh_after = capacity
    inject, withdraw = cursor.inject, cursor.withdraw
    pair = pairs[_place(pairs, inject, withdraw)]
    # A pair refused once is passed over until a trade has changed the schedule.
    if pair.stamp == cursor.stamp:
        return DONE, np.int64(0)
    if cursor.answer >= 0:
        admitted, row = cursor.answer, cursor.row
        cursor.answer = -1
        cursor.by_gate += 1
    elif mode == CERTIFY and _within(cursor, gross, quantity):
        admitted, row = quantity, np.int64(-1)
        cursor.by_envelope += 1
    elif mode == CERTIFY:
        rise = rises[inject] if inject >= 0 else idle
        fall = falls[withdraw] if withdraw >= 0 else idle
        status, admitted, row = _certify(cursor, state, rise, fall, bounds, quantity, lot, pair.row, refresh_after)
        if status != DONE:
            cursor.wanted = quantity
            return ASK, np.int64(0)
        cursor.by_rows += 1
        if row >= 0:
            pair.row = row
            _remember(cursor.recent, row)
    elif mode == QUESTION or (refresh_after > 0 and quantity > refresh_after):
        cursor.wanted = quantity
        return ASK, np.int64(0)
    elif refresh_after > 0 and cursor.moved >= refresh_after:
        return REFRESH, np.int64(0)
    else:
        rise = rises[inject] if inject >= 0 else idle
        fall = falls[withdraw] if withdraw >= 0 else idle
        admitted, row = _fit(state, rise, fall, bounds[0], bounds[1], quantity, lot, pair.row, cursor.recent)
        cursor.by_rows += 1
        if row >= 0:
            pair.row = row
            _remember(cursor.recent, row)
    cursor.asked += 1
    if admitted < quantity:
        _emit(events, cursor, LIMITED, 0, cursor.handle, order.handle, order.level, row, admitted, quantity)
        if pair.inject == FREE:
            pair.inject, pair.withdraw = inject, withdraw
            cursor.pairs += 1
        pair.stamp = cursor.stamp + (1 if admitted > 0 else 0)
    return DONE, admitted


@_step
def _limit(book, side, level, spread):  # type: ignore[no-untyped-def]
    """Last rung of the other side that an order of this side and price may trade with, at a spread of levels."""
    return (level if side == BUY else book.head.shape[1] - 1 - level) - spread


@_step
def _fee(fees, node, other):  # type: ignore[no-untyped-def]
    """Levels by which a bid must exceed an ask between two connections."""
    place, levels = fees
    return levels[place[node], place[other]] if levels.shape[0] > 0 else np.int32(0)


@_step
def _following(book, other, order, limit):  # type: ignore[no-untyped-def]
    """The resting order behind this one within the limit, -1 if there is none."""
    if order.next >= 0:
        return order.next
    step = _first_level(book, other, _rung(book, other, order.level) + 1)
    return book.head[other, step] if step <= limit else np.int32(-1)


@_step
def _match(book, cursor, where, pairs, mode, capacity, spread, fees, lot, events):  # type: ignore[no-untyped-def]
    """Fill the incoming order from the other side, best first; returns DONE or why it had to stop."""
    other = 1 - cursor.side
    limit = _limit(book, cursor.side, cursor.level, spread)
    while cursor.remaining > 0 and cursor.candidate >= 0:
        index = cursor.candidate
        order = book.orders[index]
        room = limit - _rung(book, other, order.level)
        if room < 0 or cursor.skipped >= MAX_SKIPPED:
            break
        if cursor.matching == RETRYING and cursor.asked >= cursor.budget:
            break
        if _full(cursor, pairs, events):
            return FULL
        fee = _fee(fees, cursor.node, order.node)
        if order.owner == cursor.owner and cursor.matching == INCOMING and room >= fee:
            cursor.met_itself = 1
            break
        quantity = min(cursor.remaining, order.quantity)
        if cursor.firm > 0:
            quantity = min(quantity, cursor.firm)
        if order.firm > 0:
            quantity = min(quantity, order.firm)
        _who_moves(cursor, order)
        admitted = quantity
        if order.origins & cursor.origins == 0 or order.owner == cursor.owner or room < fee:
            admitted = np.int64(0)
        elif mode != OPEN and (cursor.inject >= 0 or cursor.withdraw >= 0):
            status, admitted = _admit(cursor, order, quantity, pairs, mode, capacity, lot, events)
            if status != DONE:
                return status
        following = np.int32(-1)
        if admitted < quantity or admitted == order.quantity:
            following = _following(book, other, order, limit)
        if admitted > 0:
            _trade(book, cursor, index, admitted, fee, capacity, events)
            if order.quantity == 0:
                _release(book, where, index)
                cursor.candidate = following
        if admitted < quantity:
            cursor.skipped += 1
            cursor.candidate = following
    return DONE


@_step
def _retry(book, cursor, where, pairs, mode, capacity, spread, fees, lot, events):  # type: ignore[no-untyped-def]
    """One pass over the resting bids, best first, against the resting asks: what could not trade may do so now."""
    while cursor.bid >= 0:
        bid = book.orders[cursor.bid]
        if cursor.handle < 0:
            limit = _limit(book, BUY, bid.level, spread)
            best = book.best[SELL]
            if best > limit or cursor.asked >= cursor.budget:
                break
            _load(cursor, bid)
            cursor.candidate = book.head[SELL, best]
            cursor.skipped = 0
        status = _match(book, cursor, where, pairs, mode, capacity, spread, fees, lot, events)
        if status != DONE:
            return status
        bid.quantity = cursor.remaining
        bid.firm = cursor.firm
        following = _following(book, BUY, bid, book.head.shape[1] - 1)
        if bid.quantity == 0:
            _release(book, where, cursor.bid)
        cursor.bid = following
        cursor.handle = -1
    cursor.matching = IDLE
    return DONE


@_step
def _begin_retry(book, cursor, budget):  # type: ignore[no-untyped-def]
    best = book.best[BUY]
    cursor.bid = book.head[BUY, best] if best < book.head.shape[1] else -1
    cursor.handle = -1
    cursor.asked = 0
    cursor.budget = budget
    cursor.matching = RETRYING


@_step
def _load(cursor, order):  # type: ignore[no-untyped-def]
    """Make a resting order the incoming one."""
    cursor.handle = order.handle
    cursor.owner = order.owner
    cursor.origins = order.origins
    cursor.side = order.side
    cursor.node = order.node
    cursor.level = order.level
    cursor.flexible = order.flexible
    cursor.post_only = order.post_only
    cursor.time_in_force = GTC
    cursor.remaining = order.quantity
    cursor.total = order.total
    cursor.firm = order.firm


@_step
def _begin(cursor, message, allowance, lot):  # type: ignore[no-untyped-def]
    """Make the message the incoming order, its firm part reserved."""
    cursor.handle = message.handle
    cursor.owner = message.owner
    cursor.origins = message.origins
    cursor.post_only = message.post_only
    cursor.side = message.side
    cursor.node = message.node
    cursor.level = message.level
    cursor.flexible = message.flexible
    cursor.time_in_force = message.time_in_force
    cursor.remaining = message.quantity
    cursor.total = message.quantity
    cursor.firm = _reserve(allowance, message.side, message.node, message.flexible, message.quantity, lot)


@_step
def _begin_match(book, cursor, spread):  # type: ignore[no-untyped-def]
    other = 1 - cursor.side
    best = book.best[other]
    cursor.candidate = book.head[other, best] if best <= _limit(book, cursor.side, cursor.level, spread) else -1
    cursor.skipped = 0
    cursor.met_itself = 0
    cursor.matching = INCOMING


@_step
def _finish(book, cursor, where, allowance, events):  # type: ignore[no-untyped-def]
    """What is left of the incoming order rests, or is cancelled if it may not."""
    cursor.matching = IDLE
    if cursor.remaining == 0:
        return
    if cursor.met_itself == 1 or cursor.time_in_force == IOC:
        why = WHY_SELF_TRADE if cursor.met_itself == 1 else WHY_IOC
        _give_back(allowance, cursor.side, cursor.node, cursor.firm)
        _emit(events, cursor, CANCELLED, why, cursor.handle, -1, cursor.level, -1, cursor.remaining, 0)
        return
    index = book.free
    if index >= 0:
        book.free = book.orders[index].next
    else:
        index = book.used
        book.used += 1
    order = book.orders[index]
    book.live += 1
    order.quantity = cursor.remaining
    order.firm = cursor.firm
    order.total = cursor.total
    order.handle = cursor.handle
    order.owner = cursor.owner
    order.origins = cursor.origins
    order.level = cursor.level
    order.node = cursor.node
    order.side = cursor.side
    order.flexible = cursor.flexible
    order.post_only = cursor.post_only
    cursor.turn += 1
    order.turn = cursor.turn
    where[cursor.handle] = index
    _link(book, index)


@_step
def _withdraw(book, cursor, where, allowance, events, index, why):  # type: ignore[no-untyped-def]
    order = book.orders[index]
    _give_back(allowance, order.side, order.node, order.firm)
    _emit(events, cursor, CANCELLED, why, order.handle, -1, order.level, -1, order.quantity, 0)
    _release(book, where, index)


@_step
def _would_trade(book, side, node, level, spread, fees):  # type: ignore[no-untyped-def]
    """True if a resting order is within the limit, the fee between the two included."""
    limit = _limit(book, side, level, spread)
    best = book.best[1 - side]
    index = book.head[1 - side, best] if best <= limit else np.int32(-1)
    while index >= 0:
        order = book.orders[index]
        if limit - _rung(book, 1 - side, order.level) >= _fee(fees, node, order.node):
            return True
        index = _following(book, 1 - side, order, limit)
    return False


@_step
def _amend(book, cursor, where, allowance, message, spread, fees, lot, events):  # type: ignore[no-untyped-def]
    """Change a resting order; returns True if it must be matched anew, having lost its priority."""
    index = where[message.handle]
    order = book.orders[index]
    level = order.level if message.level < 0 else message.level
    total = order.total if message.quantity < 0 else message.quantity
    remaining = total - (order.total - order.quantity)
    if remaining <= 0:
        _withdraw(book, cursor, where, allowance, events, index, WHY_AMENDED)
        return False
    kept = level == order.level and total <= order.total
    if order.post_only == 1 and not kept and _would_trade(book, order.side, order.node, level, spread, fees):
        _emit(events, cursor, WOULD_TRADE, 0, order.handle, -1, level, -1, remaining, 0)
        return False
    _give_back(allowance, order.side, order.node, order.firm)
    order.firm = _reserve(allowance, order.side, order.node, order.flexible, remaining, lot)
    order.total = total
    order.quantity = remaining
    _emit(events, cursor, AMENDED, 1 if kept else 0, order.handle, -1, level, -1, total, 0)
    if kept:
        return False
    _load(cursor, order)
    cursor.level = level
    _release(book, where, index)
    return True


@_step
def _take(book, cursor, where, allowance, message, spread, fees, lot, events):  # type: ignore[no-untyped-def]
    """Carry out a message up to where an order is to be matched."""
    cursor.begun = cursor.stamp
    if message.kind == UNCROSS:
        _begin_retry(book, cursor, MAX_PASS)
    elif message.kind == SUBMIT:
        if book.live >= book.room and message.time_in_force != IOC:
            _emit(events, cursor, BOOK_FULL, 0, message.handle, -1, message.level, -1, message.quantity, 0)
        elif message.post_only == 1 and _would_trade(book, message.side, message.node, message.level, spread, fees):
            _emit(events, cursor, WOULD_TRADE, 0, message.handle, -1, message.level, -1, message.quantity, 0)
        else:
            _begin(cursor, message, allowance, lot)
            _begin_match(book, cursor, spread)
    elif where[message.handle] < 0:
        _emit(events, cursor, UNKNOWN, 0, message.handle, -1, message.level, -1, message.quantity, 0)
    elif message.kind == CANCEL:
        _withdraw(book, cursor, where, allowance, events, where[message.handle], WHY_PARTICIPANT)
    elif message.kind == EXPIRE:
        _withdraw(book, cursor, where, allowance, events, where[message.handle], WHY_EXPIRED)
    elif _amend(book, cursor, where, allowance, message, spread, fees, lot, events):
        _begin_match(book, cursor, spread)


@_compiled()
def run(books, where, allowance, pairs, mode, capacity, spread, fees, lot, messages, events, cursors):  # type: ignore[no-untyped-def]
    """Process messages from the cursor on; returns DONE, or ASK, REFRESH, FULL to be called again.

    FULL: `events` has to be emptied, or `pairs` put into a larger table by `move`.

    books: one record (`empty_book`); where: pool index of each handle, -1 if not resting; allowance (2, C): baseline
    left to firm orders by side and connection; pairs: of connections that were refused (`no_pairs`); mode: OPEN,
    DECIDE, QUESTION, CERTIFY; capacity: schedule (C,), gross (4, C), state (2, R), its change by selling and by buying
    (C, 2, R) each, zeros (2, R), bounds (5, R), refresh_after; spread: levels by which a bid must exceed an ask, beside
    the fee; fees: the place of each connection (C + 1,) and the levels that the wires take between two places, (P, P)
    or (0, 0) if they take nothing.

    Bounds in mode DECIDE: least and most, squared; in mode CERTIFY: inner least and most, outer least and most, and
    what a row may err by per Wh moved since its state was exact. There `refresh_after` is the most that may have moved
    since the tangent for the rows to prove anything.
    """
    book = books[0]
    cursor = cursors[0]
    while cursor.message < messages.shape[0]:
        if _full(cursor, pairs, events):
            return FULL
        if cursor.matching == IDLE:
            _take(book, cursor, where, allowance, messages[cursor.message], spread, fees, lot, events)
        if cursor.matching == INCOMING:
            status = _match(book, cursor, where, pairs, mode, capacity, spread, fees, lot, events)
            if status != DONE:
                return status
            if _full(cursor, pairs, events):
                return FULL
            _finish(book, cursor, where, allowance, events)
            if mode != OPEN and cursor.stamp != cursor.begun:
                # The schedule has changed: what was passed over for want of capacity may fit now.
                _begin_retry(book, cursor, MAX_RETRIES)
        if cursor.matching == RETRYING:
            status = _retry(book, cursor, where, pairs, mode, capacity, spread, fees, lot, events)
            if status != DONE:
                return status
        cursor.message += 1
    return DONE


@cache
def entry(levels: int, pool: int) -> Callable[..., int]:
    """`run` for books of `book_dtype(levels, pool)`, without numba's search for its arguments' types at every call.

    Nothing checks the arguments: all arrays must be writable and C-contiguous, of the shapes that `run` names, and
    float64 (rows), int64, or for `where` and `fees` int32.
    """
    cells, matrix = types.int64[::1], types.int64[:, ::1]
    flat, cube = types.float64[:, ::1], types.float64[:, :, ::1]
    capacity = types.Tuple((cells, matrix, flat, cube, cube, flat, flat, types.int64))  # type: ignore[no-untyped-call]
    book, pair, message, event, cursor = (
        from_dtype(kind)[::1] for kind in (book_dtype(levels, pool), PAIR, MESSAGE, EVENT, CURSOR)
    )
    fees = types.Tuple((types.int32[::1], types.int32[:, ::1]))  # type: ignore[no-untyped-call]
    small = types.int32[::1], matrix
    compiled: Callable[..., int] = run.compile(
        (book, *small, pair, types.int64, capacity, types.int64, fees, types.int64, message, event, cursor)
    )
    return compiled


@njit(cache=True)
def top_of_book(books):  # type: ignore[no-untyped-def]
    """(bid level, bid quantity, ask level, ask quantity); level -1 where a side is empty."""
    book = books[0]
    levels = book.head.shape[1]
    level = np.full(2, -1, np.int64)
    quantity = np.zeros(2, np.int64)
    for side in (BUY, SELL):
        rung = book.best[side]
        if rung == levels:
            continue
        level[side] = rung if side == SELL else levels - 1 - rung
        index = book.head[side, rung]
        while index >= 0:
            quantity[side] += book.orders[index].quantity
            index = book.orders[index].next
    return level[BUY], quantity[BUY], level[SELL], quantity[SELL]


@_compiled()
def move(pairs, larger):  # type: ignore[no-untyped-def]
    """Put all pairs into a larger table, which is empty."""
    for old in range(pairs.shape[0]):
        if pairs[old].inject != FREE:
            place = _place(larger, pairs[old].inject, pairs[old].withdraw)
            larger[place].inject = pairs[old].inject
            larger[place].withdraw = pairs[old].withdraw
            larger[place].stamp = pairs[old].stamp
            larger[place].row = pairs[old].row


@_compiled()
def fill(books, where, fills):  # type: ignore[no-untyped-def]
    """Take out of resting orders what an auction has filled; fills (N, 3): handle, Wh, 1 if it is flexible energy."""
    book = books[0]
    for place in range(fills.shape[0]):
        index = where[fills[place, 0]]
        order = book.orders[index]
        order.quantity -= fills[place, 1]
        if fills[place, 2] == 0 and order.node >= 0:
            order.firm -= fills[place, 1]
        if order.quantity == 0:
            _release(book, where, index)
