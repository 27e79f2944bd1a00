"""All profiles of a scenario, shipped and the user's, relative to a rating each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.profiles import Profile, ProfileSet
from market.slots import NS, format_time

YEAR_HOURS = 8760


class Shapes:
    """A set of profiles as devices use it.

    Values are relative: a shipped profile's to the rated power of the plant or load that was recorded, a user's kW to
    their own highest value.
    """

    def __init__(self, profiles: ProfileSet) -> None:
        self._profiles = profiles
        self._home = {about.name: found for found in profiles.recordings for about in found.profiles}

    @property
    def names(self) -> tuple[str, ...]:
        return self._profiles.names

    def values(self, name: str, first_slot: int, slots: int, slot_seconds: int) -> NDArray[np.float64]:
        """(slots,) mean of each slot. Raises ProfileError if the name is unknown or a slot is not covered."""
        return self._profiles.values(name, first_slot, slots, slot_seconds) * self._unit(name)

    def full_load_hours(self, name: str) -> float:
        """Energy of an average year of 365 days at scale 1 [h]."""
        home = self._home[name]
        hours = (home.end_ns - home.start_ns) / NS / 3600
        return self._profiles.full_load_hours(name) * self._unit(name) * YEAR_HOURS / hours

    def peak(self, name: str) -> float:
        """Largest of the values."""
        return self._profiles.peak(name) * self._unit(name)

    def recorded_kw(self, name: str) -> float | None:
        """Highest power [kW] of a user's profile; None for a shipped one, which has no size of its own."""
        about = self._about(name)
        return None if about.unit == "peak" else about.original_peak

    def gap(self, name: str, start_ns: int, end_ns: int) -> str | None:
        """What is wrong if the profile does not cover a run, or None."""
        home = self._home[name]
        if home.start_ns <= start_ns and end_ns <= home.end_ns:
            return None
        covered = f"{format_time(home.start_ns)} to {format_time(home.end_ns)}"
        return f"covers {covered}, the run is {format_time(start_ns)} to {format_time(end_ns)}"

    def _about(self, name: str) -> Profile:
        return self._profiles.profile(name)

    def _unit(self, name: str) -> float:
        """What the set's values are multiplied by to be relative to the rating."""
        about = self._about(name)
        if about.unit == "peak":
            return about.original_peak
        return 1 / about.original_peak if about.original_peak > 0 else 0.0
