"""The life of an order as docs/orders.md draws it: each step happens, and none that is not drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from market.events import Accepted, Amended, Cancelled, Entry, Expired, Rejected, Traded
from market.orders import Basket, Submit
from tests.market.test_every_command import run

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "orders.md"
ARROW = re.compile(r"^    (\S+) --> (\S+?)(?:: (.+))?$", re.MULTILINE)
OUTSIDE = "[*]"


@cache
def drawn() -> dict[tuple[str, str], str]:
    """What the diagram writes at each arrow."""
    return {(found[1], found[2]): found[3] or "" for found in ARROW.finditer(PAGE.read_text(encoding="utf-8"))}


@cache
def life() -> tuple[Entry, ...]:
    return tuple(run("linear", 5, 6_000, singly=False).entries)


def steps(entries: tuple[Entry, ...]) -> Iterator[tuple[str, str]]:
    """From which state to which the orders went, told from commands and events."""
    left: dict[int, int] = {}
    filled: dict[int, int] = {}
    for entry in entries:
        command, new = entry.command, entry.seq
        for event in entry.events:
            match event:
                case Rejected() if isinstance(command, Submit):
                    yield OUTSIDE, "rejected"
                case Accepted(number) if number == new and isinstance(command, Submit | Basket):
                    legs = command.legs if isinstance(command, Basket) else (command,)
                    left[new] = sum(leg.quantity for leg in legs)
                case Amended(number, _, quantity):
                    left[number] = quantity - filled.get(number, 0)
                    yield "resting", "resting"
                case Traded():
                    for number in (event.buy_order, event.sell_order):
                        left[number] -= event.quantity
                        filled[number] = filled.get(number, 0) + event.quantity
                        if left[number]:
                            yield from [] if number == new else [("resting", "resting")]
                        else:
                            yield (OUTSIDE if number == new else "resting"), "filled"
                case Cancelled(number) | Expired(number):
                    left[number] = 0
                    yield (OUTSIDE if number == new else "resting"), type(event).__name__.lower()
                case _:
                    pass
        if left.get(new):
            yield OUTSIDE, "resting"


def test_orders_go_the_ways_that_are_drawn_and_no_others() -> None:
    ends = {(state, OUTSIDE) for state in ("filled", "cancelled", "expired", "rejected")}
    assert set(steps(life())) | ends == set(drawn())


def test_every_reason_to_cancel_happens_and_is_drawn() -> None:
    reasons: dict[str, set[str]] = {OUTSIDE: set(), "resting": set()}
    for entry in life():
        for event in entry.events:
            if isinstance(event, Cancelled):
                reasons[OUTSIDE if event.order == entry.seq else "resting"].add(event.why)
    assert reasons[OUTSIDE] == {"ioc", "fok", "basket", "self_trade"}
    assert reasons["resting"] == {"participant", "amended", "self_trade", "halt"}
    for state, found in reasons.items():
        for why in found - {"participant"}:
            assert why in drawn()[state, "cancelled"], f"docs/orders.md does not draw {why} from {state}"


def test_every_time_in_force_is_drawn() -> None:
    text = " ".join(drawn().values())
    assert all(force in text for force in ("gtc", "gtd", "ioc", "fok"))
