"""A price-time order book in plain Python: the oracle for trades, and the yardstick for speed."""

from __future__ import annotations

from collections import deque

BUY, SELL = 0, 1


class PlainBook:
    """Orders queue per side and price level; an incoming one meets the best level first, the oldest order first."""

    def __init__(self, levels: int) -> None:
        self._levels = levels
        self._queues: tuple[list[deque[int]], list[deque[int]]] = (
            [deque() for _ in range(levels)],
            [deque() for _ in range(levels)],
        )
        self._open: dict[int, int] = {}
        # Levels beyond these are empty; what they point at may have emptied since.
        self._touch = [-1, levels]

    def submit(self, handle: int, side: int, level: int | None, quantity: int) -> list[tuple[int, int, int, int]]:
        """Match an order up to its price level, or at any price without resting if `level` is None.

        Returns the trades as (maker, taker, level, quantity).
        """
        trades: list[tuple[int, int, int, int]] = []
        remaining = quantity
        while remaining > 0:
            best = self.best(1 - side)
            if best is None or (level is not None and (best > level if side == BUY else best < level)):
                break
            queue = self._queues[1 - side][best]
            maker = queue[0]
            filled = min(remaining, self._open[maker])
            remaining -= filled
            self._open[maker] -= filled
            if self._open[maker] == 0:
                del self._open[maker]
                queue.popleft()
            trades.append((maker, handle, best, filled))
        if remaining > 0 and level is not None:
            self._open[handle] = remaining
            self._queues[side][level].append(handle)
            self._touch[side] = max(self._touch[side], level) if side == BUY else min(self._touch[side], level)
        return trades

    def cancel(self, handle: int) -> None:
        """Take a resting order out; its place in the queue is dropped when it comes to the front."""
        del self._open[handle]

    def rests(self, handle: int) -> bool:
        return handle in self._open

    def best(self, side: int) -> int | None:
        """Best price level of a side, None if nothing rests there."""
        level = self._touch[side]
        step = -1 if side == BUY else 1
        queues = self._queues[side]
        while 0 <= level < self._levels:
            queue = queues[level]
            while queue and queue[0] not in self._open:
                queue.popleft()
            if queue:
                break
            level += step
        self._touch[side] = level
        return level if 0 <= level < self._levels else None
