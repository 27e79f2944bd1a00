"""One seeded stream of order messages, the same for every engine.

The stream is what one busy slot of a continuous market would see: a reference price swings like the price of a day,
orders cluster near the touch and at round prices, sizes are log-normal, and cancels hit orders that still rest.
A plain-Python book runs along while the stream is drawn, so that a cancel always names a resting order and a
crossing order really crosses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.plain_book import BUY, SELL, PlainBook

LIMIT, CANCEL, TAKE = 0, 1, 2
LEVELS = 8192
"""Price levels of the ladder; 1 ct/kWh is about 100 of them at the default tick."""
RESTING = 2000
"""Orders about which the depth of the book settles."""

SHARE_LIMIT, SHARE_CANCEL = 0.70, 0.25
SHARE_CROSSING = 0.35

MESSAGE = np.dtype([("kind", "i1"), ("side", "i1"), ("level", "i4"), ("quantity", "i8"), ("handle", "i4")])
"""`handle`: number of the order, from 0 in order of submission; for a cancel the order that it takes out.
A TAKE order fills at any price and never rests."""


@dataclass(frozen=True)
class Workload:
    """Messages with what the plain book made of them."""

    messages: NDArray[np.void]
    orders: int
    trades: NDArray[np.int64]
    """(T, 4): maker, taker, level, quantity, in order of execution."""
    most_resting: int

    def shares(self) -> dict[str, float]:
        """Measured composition of the stream: fractions of messages, and of limit orders that trade at once."""
        kind = self.messages["kind"]
        limits = set(self.messages["handle"][kind == LIMIT].tolist())
        crossing = limits & set(self.trades[:, 1].tolist())
        return {
            "limit": float(np.mean(kind == LIMIT)),
            "cancel": float(np.mean(kind == CANCEL)),
            "take": float(np.mean(kind == TAKE)),
            "crossing limit orders": len(crossing) / max(len(limits), 1),
        }


class _Resting:
    """Handles of resting orders, with uniform choice and removal in constant time."""

    def __init__(self) -> None:
        self.handles: list[int] = []
        self._place: dict[int, int] = {}

    def add(self, handle: int) -> None:
        self._place[handle] = len(self.handles)
        self.handles.append(handle)

    def remove(self, handle: int) -> None:
        place = self._place.pop(handle)
        last = self.handles.pop()
        if last != handle:
            self.handles[place] = last
            self._place[last] = place


def _levels(rng: np.random.Generator, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Reference level of each message, distance of its order from the touch, and whether it is at a round price."""
    swing = 600.0 * np.sin(np.linspace(0.0, 4.0 * np.pi, count))
    noise = np.cumsum(rng.normal(0.0, 0.4, count))
    # Pulled back to the middle where the walk strays beyond what the ladder has room for.
    noise = 400.0 * np.sin(noise / 400.0)
    reference = np.rint(LEVELS / 2 + swing + noise).astype(np.int64)
    return reference, rng.geometric(0.05, count), rng.random(count) < 0.3


def draw(count: int, seed: int) -> Workload:
    """`count` messages: 70 % limit orders, 35 % of which cross, 25 % cancels, 5 % take orders.

    While nothing rests on the side it needs, a cancel or a crossing order is replaced by a limit order that rests.
    """
    rng = np.random.default_rng(seed)
    reference, distance, is_round = (values.tolist() for values in _levels(rng, count))
    choice, cross, pick = (rng.random(count).tolist() for _ in range(3))
    sides = rng.integers(0, 2, count).tolist()
    slip = rng.geometric(0.3, count).tolist()
    sizes = np.maximum(np.rint(rng.lognormal(6.0, 0.8, count)), 10).tolist()
    messages = np.zeros(count, dtype=MESSAGE)
    book, resting = PlainBook(LEVELS), _Resting()
    trades: list[tuple[int, int, int, int]] = []
    rows: list[tuple[int, int, int, int, int]] = []
    handle = most = 0
    for i in range(count):
        if SHARE_LIMIT <= choice[i] < SHARE_LIMIT + SHARE_CANCEL and resting.handles:
            target = resting.handles[int(pick[i] * len(resting.handles))]
            book.cancel(target)
            resting.remove(target)
            rows.append((CANCEL, 0, 0, 0, target))
            continue
        side = sides[i]
        touch = book.best(1 - side)
        takes = choice[i] >= SHARE_LIMIT + SHARE_CANCEL and touch is not None
        crosses = not takes and touch is not None and cross[i] < SHARE_CROSSING
        size = int(sizes[i])
        if takes or crosses:
            # A deep book draws larger orders against it; this holds its depth near RESTING.
            size = max(int(size * min(max(len(resting.handles) / RESTING, 0.2), 2.0)), 1)
        level = _level(side, touch, crosses, slip[i] - 1, reference[i], distance[i], is_round[i])
        new = book.submit(handle, side, None if takes else level, size)
        trades.extend(new)
        for maker, *_ in new:
            if not book.rests(maker):
                resting.remove(maker)
        if book.rests(handle):
            resting.add(handle)
            most = max(most, len(resting.handles))
        rows.append((TAKE if takes else LIMIT, side, level, size, handle))
        handle += 1
    messages[:] = rows
    return Workload(messages, handle, np.array(trades, dtype=np.int64).reshape(-1, 4), most)


def _level(
    side: int, touch: int | None, crosses: bool, slip: int, reference: int, distance: int, is_round: bool
) -> int:
    """Price level of an order: through the other side's best price, or resting at a distance from the reference."""
    sign = 1 if side == BUY else -1
    if crosses and touch is not None:
        level = touch + sign * slip
    else:
        level = reference - sign * distance
        if is_round:
            level = level // 10 * 10
        if touch is not None:
            level = min(level, touch - 1) if side == BUY else max(level, touch + 1)
    return min(max(level, 0), LEVELS - 1)


__all__ = ["BUY", "CANCEL", "LEVELS", "LIMIT", "MESSAGE", "SELL", "TAKE", "Workload", "draw"]
