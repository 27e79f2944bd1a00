"""What every device fleet is given and what it answers; the profile-driven ones in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agents.families import in_family
from agents.forecast import Forecaster
from agents.steps import Steps
from agents.weather import Weather
from market.units import whole_wh

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Profiles(Protocol):
    """Recorded power over time, relative to its own peak or rating; what devices ask of it."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the profiles, in a fixed order."""

    def values(self, name: str, first_slot: int, slots: int, slot_seconds: int) -> Floats:
        """(slots,) mean of each slot. Raises ValueError if a slot is not covered."""

    def full_load_hours(self, name: str) -> float:
        """Energy of a year at scale 1 [h]."""

    def peak(self, name: str) -> float:
        """Largest value."""

    def recorded_kw(self, name: str) -> float | None:
        """Highest power [kW] if the profile has a size of its own."""


@dataclass(frozen=True)
class Site:
    """Where and when a fleet of n devices works, and its randomness."""

    profiles: Profiles
    first_slot: int
    slots: int
    """Number T of slots."""
    slot_seconds: int
    names: tuple[str, ...]
    """(n,) profile that each connection has in the feeder's data, or ""."""
    seed: np.random.SeedSequence
    weather: Weather
    """The same for all sites of a run."""
    tariff: Ints | None = None
    """(S,) what the utility charges in each step [milli-currency/MWh]; None: the same at all times."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def steps(self) -> Steps:
        """What models reckon on."""
        return self.weather.steps

    @property
    def price(self) -> Ints:
        """(S,) what the utility charges in each step."""
        return np.zeros(self.steps.count, dtype=np.int64) if self.tariff is None else self.tariff

    @property
    def slot_hours(self) -> float:
        return self.slot_seconds / 3600

    @property
    def rng(self) -> np.random.Generator:
        """A new generator from the same seed each time."""
        return np.random.default_rng(self.seed)


@dataclass(frozen=True)
class RuleSite:
    """What a battery rule that is a class is made with: whom it serves, and in which market."""

    rows: Ints
    """Its batteries among all those of the run."""
    slot_seconds: int
    retail: Ints
    feed_in: Ints
    """The utility's prices as published, (T + a week,) from the first slot of the run on [milli-currency/MWh]."""
    forecaster: Forecaster
    """What their owners believe of their own load less generation."""
    past: Floats
    """(n, t) load less generation that was measured in the days before the run, if there are any [Wh]."""

    @property
    def slot_hours(self) -> float:
        return self.slot_seconds / 3600

    @property
    def slots_per_day(self) -> int:
        return 86_400 // self.slot_seconds


class Fleet(Protocol):
    """n devices over T slots."""

    label: str
    """What it is called in reports."""
    source: str
    """Origin of what it generates: solar, wind, hydro, biomass; empty if it consumes."""
    flexible: bool
    """True: its energy flows only if it is sold or bought. False: it flows anyway."""
    energy_wh: Ints
    """(n, T) energy generated or consumed, or that could be, >= 0 [Wh]."""
    reactive_varh: Ints
    """(n, T) reactive injection, negative for inductive devices [varh]."""
    power_w: Floats
    """(n,) bound on the power of each device [W]."""


class ProfileFleet:
    """A fleet whose power follows recorded profiles.

    E[i, t] = scale_i · profile_i(t) · h with scale [W], profile relative to its own peak or rating, h hours a slot;
    rounded to whole Wh. Reactive energy is −E · tan φ, cos φ being the power factor (inductive).
    """

    def __init__(
        self,
        label: str,
        source: str,
        site: Site,
        profiles: Sequence[str],
        scale_w: ArrayLike,
        *,
        flexible: bool = False,
        power_factor: float = 1.0,
        limit_w: ArrayLike = np.inf,
    ) -> None:
        """`profiles` (n,) are names in `site.profiles`, `scale_w` (n,) [W]; power is cut at `limit_w` (n,).

        Raises ValueError if a profile is unknown, or lacks a slot of the site.
        """
        shape = {
            name: site.profiles.values(name, site.first_slot, site.slots, site.slot_seconds) for name in {*profiles}
        }
        scale = np.broadcast_to(np.asarray(scale_w, dtype=np.float64), len(profiles))
        relative = np.array([shape[name] for name in profiles]).reshape(len(profiles), site.slots)
        power = np.minimum(
            np.maximum(relative, 0.0) * scale[:, None], np.asarray(limit_w, dtype=np.float64).reshape(-1, 1)
        )
        self.label = label
        self.source = source
        self.flexible = flexible
        self.energy_wh: Ints = whole_wh(power * site.slot_hours)
        tangent = np.sqrt(1 / power_factor**2 - 1)
        self.reactive_varh: Ints = -whole_wh(self.energy_wh * tangent)
        self.power_w: Floats = power.max(axis=1, initial=0.0)


def drawn(site: Site, names: Sequence[str], default: Sequence[str]) -> list[str]:
    """A profile for each device of the site: from `names` (profiles or families) if given, evenly at random.

    Without names a device keeps the profile of its connection where that belongs to the default families, and draws
    from those families elsewhere. Raises ValueError if a family has no profile.
    """
    found = {name: [known for known in site.profiles.names if in_family(known, name)] for name in names or default}
    members = dict.fromkeys(name for family in found.values() for name in family)
    for name, family in found.items():
        if not members or (names and not family):
            raise ValueError(f"there is no profile {name!r}")
    pool = list(members)
    picks = site.rng.integers(len(pool), size=len(site))
    own = not names
    return [name if own and name in members else pool[pick] for name, pick in zip(site.names, picks, strict=True)]


def annual_scale(site: Site, profiles: Sequence[str], annual_kwh: ArrayLike) -> Floats:
    """Scale [W] (n,) at which each profile gives its `annual_kwh` in a year: kWh · 1000 / full-load hours."""
    hours = np.array([site.profiles.full_load_hours(name) for name in profiles])
    if not (hours > 0).all():
        raise ValueError("a profile without energy cannot be scaled to annual_kwh")
    return np.asarray(np.asarray(annual_kwh, dtype=np.float64) * 1000 / hours)


def recorded_scale(site: Site, profiles: Sequence[str]) -> Floats:
    """Scale [W] (n,) at which each profile has the size at which it was recorded."""
    sizes = [site.profiles.recorded_kw(name) for name in profiles]
    if any(size is None for size in sizes):
        raise ValueError("a profile without a size of its own needs annual_kwh")
    return np.array(sizes, dtype=np.float64) * 1000
