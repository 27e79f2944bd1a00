"""Batteries: a fleet whose every µWh is accounted for.

Charging e Wh at the terminals stores e·η_c; discharging e Wh takes e/η_d, with η_c = η_d = √(round-trip efficiency).
Between slots the store keeps (1 − s)^(h/24) of its energy, s the self-discharge per day. All of it in integers, with
each rounding against the battery, so that energy can be lost but never made.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]

MICRO = 1_000_000
MAX_CAPACITY_WH = 5_000_000
"""Largest battery; the products below stay within 64 bits."""


class Battery:
    """B batteries. Sign at the terminals as everywhere: discharge (injection) positive, charge negative."""

    def __init__(
        self,
        capacity_wh: ArrayLike,
        power_w: ArrayLike,
        slot_hours: float,
        *,
        efficiency: ArrayLike = 1.0,
        self_discharge: ArrayLike = 0.0,
        initial: ArrayLike = 0.5,
    ) -> None:
        """Usable capacity [Wh], power limit [W], round-trip efficiency, loss per day, initial state of charge: (B,).

        Raises ValueError if a value is out of its range.
        """
        given = (np.atleast_1d(capacity_wh), power_w, efficiency, self_discharge, initial)
        capacity, power, round_trip, loss, share = (
            np.array(column, dtype=np.float64) for column in np.broadcast_arrays(*given)
        )
        for name, column, low, high in (
            ("capacity_wh", capacity, 0.0, MAX_CAPACITY_WH),
            ("power_w", power, 0.0, 1e9),
            ("efficiency", round_trip, 1e-4, 1.0),
            ("self_discharge", loss, 0.0, 1.0),
            ("initial", share, 0.0, 1.0),
        ):
            if not ((column >= low) & (column <= high)).all():
                raise ValueError(f"{name}: must be from {low:g} to {high:g} for every battery")
        self.capacity_uwh: Ints = np.floor(capacity * MICRO).astype(np.int64)
        """(B,) [µWh]."""
        self.limit_wh: Ints = np.floor(power * slot_hours + 1e-9).astype(np.int64)
        """(B,) most energy at the terminals in one slot, either way [Wh]."""
        self.one_way_ppm: Ints = np.floor(np.sqrt(round_trip) * MICRO + 1e-6).astype(np.int64)
        """(B,) efficiency of charging and of discharging."""
        self.loss_ppb: Ints = np.ceil((1 - (1 - loss) ** (slot_hours / 24)) * 1e9 - 1e-3).astype(np.int64)
        """(B,) self-discharge per slot."""
        self.stored_uwh: Ints = np.floor(capacity * share).astype(np.int64) * MICRO
        """(B,) [µWh]."""
        self.lost_uwh: Ints = np.zeros_like(self.stored_uwh)
        """(B,) lost so far by conversion and self-discharge [µWh]; closes the balance exactly."""

    def __len__(self) -> int:
        return len(self.capacity_uwh)

    def some(self, rows: Ints) -> Battery:
        """A copy of the batteries in these rows, as they are now."""
        copy = object.__new__(Battery)
        for name, column in vars(self).items():
            setattr(copy, name, column[rows])
        return copy

    @property
    def stored_wh(self) -> NDArray[np.float64]:
        """(B,) stored energy [Wh]."""
        return self.stored_uwh / MICRO

    def step(self, requested_wh: Ints) -> Ints:
        """Run one slot: self-discharge, then as much of the request (B,) [Wh] as power and store allow.

        Returns what was realised: between 0 and the request, exact at the terminals.
        """
        before = self.stored_uwh.copy()
        self.stored_uwh -= np.minimum(-(-self.stored_uwh // 1000 * self.loss_ppb // MICRO), self.stored_uwh)
        room = (self.capacity_uwh - self.stored_uwh) // self.one_way_ppm
        charge = np.minimum(np.minimum(np.maximum(-requested_wh, 0), self.limit_wh), room)
        available = self.stored_uwh * self.one_way_ppm // MICRO // MICRO
        discharge = np.minimum(np.minimum(np.maximum(requested_wh, 0), self.limit_wh), available)
        self.stored_uwh += charge * self.one_way_ppm
        self.stored_uwh -= -(-discharge * MICRO * MICRO // self.one_way_ppm)
        realised: Ints = discharge - charge
        self.lost_uwh += before - self.stored_uwh - realised * MICRO
        return realised
