"""Rate limits: buckets that refill evenly."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bucket:
    """At most `burst` at once, refilled at `rate` a second."""

    def __init__(self, rate: float, burst: float, ticks: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._ticks = rate, burst, ticks
        self._left, self._at = burst, ticks()

    def take(self, count: float = 1.0) -> float:
        """Take `count` if they are there, and return 0; else take none and return the seconds until they are."""
        now = self._ticks()
        left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        self._left = left - count if count <= left else left
        return 0.0 if count <= left else (count - left) / self._rate
