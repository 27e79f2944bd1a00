"""All profiles of a scenario under one roof: the shipped ones and the user's, relative to a rating each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agents.profiles import Profile, ProfileSet
from market.slots import NS, format_time

YEAR_HOURS = 8760


class Shapes:
    """Profiles of several sets by name; where a name occurs twice, the later set counts.

    Values are relative: a shipped profile's to the rated power of the plant or load that was recorded, a user's kW to
    their own highest value.
    """

    def __init__(self, sets: Sequence[ProfileSet]) -> None:
        self._home = {name: found for found in sets for name in found.names}

    @property
    def names(self) -> list[str]:
        return list(self._home)

    def values(self, name: str, first_slot: int, slots: int, slot_seconds: int) -> NDArray[np.float64]:
        """(slots,) mean of each slot. Raises ProfileError if the name is unknown or a slot is not covered."""
        length = slot_seconds * NS
        window = self._home[name].window(name, first_slot * length, slots, length)
        about = self._about(name)
        return window * about.peak if about.unit == "peak" else window / max(about.peak, 1e-12)

    def full_load_hours(self, name: str) -> float:
        """Energy of an average year of 365 days at scale 1 [h]."""
        about, home = self._about(name), self._home[name]
        hours = (home.end_ns - home.start_ns) / NS / 3600
        energy = (
            about.kwh_per_unit * about.peak if about.unit == "peak" else about.kwh_per_unit / max(about.peak, 1e-12)
        )
        return energy * YEAR_HOURS / hours

    def peak(self, name: str) -> float:
        """Largest of the values."""
        about = self._about(name)
        return about.peak if about.unit == "peak" else 1.0

    def recorded_kw(self, name: str) -> float | None:
        """Highest power [kW] of a user's profile; None for a shipped one, which has no size of its own."""
        about = self._about(name)
        return None if about.unit == "peak" else about.peak

    def gap(self, name: str, start_ns: int, end_ns: int) -> str | None:
        """What is wrong if the profile does not cover a run, or None."""
        home = self._home[name]
        if home.start_ns <= start_ns and end_ns <= home.end_ns:
            return None
        covered = f"{format_time(home.start_ns)} to {format_time(home.end_ns)}"
        return f"covers {covered}, the run is {format_time(start_ns)} to {format_time(end_ns)}"

    def _about(self, name: str) -> Profile:
        return self._home[name].profile(name)
