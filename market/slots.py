"""Delivery slots: numbers on a grid of time, and phases as a pure function of (slot, now).

Slot k delivers from k * length to (k + 1) * length after 1970-01-01T00:00Z. Time is integer nanoseconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import Enum

import msgspec

NS = 10**9
MINUTE = 60 * NS

_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?Z\Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Phase(Enum):
    """Where a product stands. Settlement is a fact of the ledger, not of the clock."""

    PRE_OPEN = "pre_open"
    OPEN = "open"
    GATE_CLOSED = "gate_closed"
    DELIVERY = "delivery"
    DELIVERED = "delivered"


class SlotClock(msgspec.Struct, frozen=True):
    """Times of every slot: length, how long before delivery it opens, and when its gate closes [ns]."""

    length: int
    opens_before: int
    gate_before: int

    def start(self, slot: int) -> int:
        return slot * self.length

    def end(self, slot: int) -> int:
        return (slot + 1) * self.length

    def opens(self, slot: int) -> int:
        return slot * self.length - self.opens_before

    def gate(self, slot: int) -> int:
        """First instant at which an order is refused."""
        return slot * self.length - self.gate_before

    def slot_at(self, now: int) -> int:
        """The slot that delivers at `now`."""
        return now // self.length

    def phase(self, slot: int, now: int) -> Phase:
        if now < self.opens(slot):
            return Phase.PRE_OPEN
        if now < self.gate(slot):
            return Phase.OPEN
        if now < self.start(slot):
            return Phase.GATE_CLOSED
        if now < self.end(slot):
            return Phase.DELIVERY
        return Phase.DELIVERED

    def open_slots(self, now: int) -> range:
        """Slots whose phase is OPEN at `now`."""
        first = (now + self.gate_before) // self.length + 1
        last = (now + self.opens_before) // self.length
        return range(first, last + 1)


def parse_time(text: str) -> int:
    """Nanoseconds since 1970 of an ISO 8601 UTC time such as ``2016-06-21T12:00:00.5Z``. Raises ValueError."""
    match = _TIME.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a UTC time; write it like '2016-06-21T12:00:00Z'")
    day, minute, second, fraction = match.groups()
    moment = datetime.fromisoformat(f"{day}T{minute}:{second or '00'}+00:00")
    whole = (moment - _EPOCH).days * 86_400 + (moment - _EPOCH).seconds
    return whole * NS + int((fraction or "0").ljust(9, "0"))


def format_time(time: int) -> str:
    """ISO 8601 UTC text of `time` [ns], with a fraction only where there is one."""
    seconds, fraction = divmod(time, NS)
    days, rest = divmod(seconds, 86_400)
    date = datetime.fromordinal(_EPOCH.toordinal() + days).date().isoformat()
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    tail = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{date}T{clock}{tail}Z"
