"""The steps on which models reckon, whatever the length of a slot: five minutes each, averaged into slots."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

STEP = 300
"""Length of a step [s]."""
HOURS = STEP / 3600
PER_DAY = 86_400 // STEP
DAY = 86_400


@dataclass(frozen=True)
class Steps:
    """The whole days (UTC) around the slots of a run, cut into steps: the same for slots of any length."""

    first_slot: int
    slots: int
    """Number T of slots."""
    slot_seconds: int

    @property
    def first_day(self) -> int:
        """Days since 1970."""
        return self.first_slot * self.slot_seconds // DAY

    @property
    def days(self) -> int:
        """Number D of days."""
        return -(-(self.first_slot + self.slots) * self.slot_seconds // DAY) - self.first_day

    @property
    def count(self) -> int:
        """Number S of steps."""
        return self.days * PER_DAY

    @cached_property
    def seconds(self) -> Ints:
        """(S,) middle of each step, since 1970."""
        return self.first_day * DAY + np.arange(self.count) * STEP + STEP // 2

    @cached_property
    def hour(self) -> Floats:
        """(S,) hour of the day of each step's middle, UTC."""
        return np.asarray(self.seconds % DAY / 3600, dtype=np.float64)

    @cached_property
    def day(self) -> Ints:
        """(S,) which of the D days."""
        return np.repeat(np.arange(self.days), PER_DAY)

    @cached_property
    def weekday(self) -> Ints:
        """(D,) 0 is Monday."""
        return np.asarray((self.first_day + np.arange(self.days) + 3) % 7, dtype=np.int64)

    @cached_property
    def month(self) -> Ints:
        """(D,) 1 to 12."""
        dates = (self.first_day + np.arange(self.days)).astype("datetime64[D]")
        return np.asarray(dates.astype("datetime64[M]").astype(np.int64) % 12 + 1, dtype=np.int64)

    @cached_property
    def day_of_year(self) -> Ints:
        """(D,) from 1."""
        dates = (self.first_day + np.arange(self.days)).astype("datetime64[D]")
        return np.asarray((dates - dates.astype("datetime64[Y]")).astype(np.int64) + 1, dtype=np.int64)

    def to_slots(self, power: Floats) -> Floats:
        """(n, T) mean of each slot of what is (n, S) on the steps."""
        total = np.concatenate([np.zeros((len(power), 1)), np.cumsum(power, axis=1)], axis=1)
        edges = (self.first_slot + np.arange(self.slots + 1)) * self.slot_seconds - self.first_day * DAY
        whole, part = np.divmod(edges, STEP)
        after = np.minimum(whole + 1, self.count)
        at = total[:, whole] + (total[:, after] - total[:, whole]) * (part / STEP)
        return np.asarray(np.diff(at, axis=1) * STEP / self.slot_seconds, dtype=np.float64)
