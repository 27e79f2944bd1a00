"""Profiles: power over time, from the shipped recordings or from a user's CSV, Parquet or npz file.

A profile is a row of mean powers on a grid of equal steps, in UTC. The shipped ones are fractions of their highest
value of the year (to be multiplied by a peak power); a user's are kW.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agents.profile_files import ProfileError, Series, read_table
from market.slots import MINUTE, format_time

__all__ = ["SHIPPED", "Profile", "ProfileError", "ProfileSet", "write_npz"]

SHIPPED = Path(__file__).resolve().parent.parent / "scenarios" / "data" / "simbench_2016.npz"
"""SimBench's profiles of the year 2016; scenarios/data/README.md says what they are."""

_HOUR = 60 * MINUTE
_TOP = 32_767
"""A quantised profile of 16 bits has this value at its peak."""


@dataclass(frozen=True)
class Profile:
    """What is known about one profile."""

    name: str
    kind: str
    """household, commercial, agricultural, industrial, ev, heat_pump, pv, wind, biomass, hydro, or user."""
    unit: str
    """"peak": values are fractions of the highest one; "kW": values are kilowatts."""
    peak: float
    """Highest value as the data's author gave it: a fraction of the rated power if shipped, kW if a user's."""
    kwh_per_unit: float
    """Energy of the whole series [kWh] for a value 1: for a shipped profile, annual kWh per kW of peak."""


class ProfileSet:
    """Profiles by name on one grid of time: T steps of `step_ns` from `start_ns` (UTC) on."""

    def __init__(
        self, profiles: Sequence[Profile], start_ns: int, step_ns: int, values: NDArray[np.float64], source: str
    ) -> None:
        """`values` has the shape (profiles, T); `source` names the file in errors."""
        self.start_ns = start_ns
        self.step_ns = step_ns
        self.end_ns = start_ns + step_ns * values.shape[1]
        self._values = values
        self._rows = {profile.name: row for row, profile in enumerate(profiles)}
        self._profiles = tuple(profiles)
        self._source = source

    @classmethod
    def shipped(cls) -> ProfileSet:
        """The SimBench profiles that come with the package. Raises ProfileError if the file is damaged."""
        return cls.read(SHIPPED)

    @classmethod
    def read(cls, path: Path, *, signed: bool = False) -> ProfileSet:
        """Profiles of a file: .npz as written by `write_npz`, else .csv or .parquet in kW.

        A table has the columns `timestamp` (ISO 8601 with Z or an offset) and one or more columns of kW. Values below
        zero are refused unless `signed`. Raises ProfileError with every error found, each with its place in the file.
        """
        if path.suffix == ".npz":
            return _read_npz(path)
        series = read_table(path, signed=signed)
        return cls(_user_profiles(series), series.start_ns, series.step_ns, series.values, str(path))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(profile.name for profile in self._profiles)

    def profile(self, name: str) -> Profile:
        """What is known about a profile. Raises ProfileError if there is none of this name."""
        return self._profiles[self._row(name)]

    def window(self, name: str, start_ns: int, slots: int, slot_ns: int) -> NDArray[np.float64]:
        """Mean value in each slot, shape (slots,): a fraction of the peak (shipped) or kW (a user's file).

        Slot k lasts from start_ns + k * slot_ns. Where slots and steps differ, a step's power is constant within it,
        so that energy is conserved. Raises ProfileError if the name is unknown or the time is not covered.
        """
        row = self._values[self._row(name)]
        end_ns = start_ns + slots * slot_ns
        if slots < 1 or slot_ns < 1:
            raise ProfileError([f"{self._source}: a window needs slots of some length, got {slots} of {slot_ns} ns"])
        if start_ns < self.start_ns or end_ns > self.end_ns:
            asked = f"{format_time(start_ns)} to {format_time(end_ns)}"
            covered = f"{format_time(self.start_ns)} to {format_time(self.end_ns)}"
            fault = f"profile {name!r} covers {covered}, asked for {asked}; choose a time within it"
            raise ProfileError([f"{self._source}: {fault}"])
        first, offset = divmod(start_ns - self.start_ns, self.step_ns)
        last = -(-(end_ns - self.start_ns) // self.step_ns)
        return _resample(row[first:last], self.step_ns, offset, slots, slot_ns)

    def _row(self, name: str) -> int:
        if name not in self._rows:
            known = ", ".join(self.names)
            raise ProfileError([f"{self._source}: there is no profile {name!r}; known are {known}"])
        return self._rows[name]


def _resample(steps: NDArray[np.float64], step_ns: int, offset: int, slots: int, slot_ns: int) -> NDArray[np.float64]:
    """Means over slots of powers constant over steps; the first slot begins `offset` ns after the first step."""
    if offset == 0 and slot_ns % step_ns == 0:
        return np.asarray(steps.reshape(slots, slot_ns // step_ns).mean(axis=1))
    if offset == 0 and step_ns % slot_ns == 0:
        return np.repeat(steps, step_ns // slot_ns)[:slots]
    # Times since the first step are whole ns below 2**53 and so exact; energy is linear between the ends of steps.
    energy = np.concatenate([[0.0], np.cumsum(steps)]) * step_ns
    edges = (offset + slot_ns * np.arange(slots + 1)).astype(np.float64)
    bounds = (step_ns * np.arange(len(energy))).astype(np.float64)
    return np.asarray(np.diff(np.interp(edges, bounds, energy)) / slot_ns)


def _user_profiles(series: Series) -> list[Profile]:
    hours = series.step_ns / _HOUR
    return [
        Profile(name, "user", "kW", float(row.max()), float(row.sum()) * hours)
        for name, row in zip(series.names, series.values, strict=True)
    ]


def write_npz(
    path: Path, names: Sequence[str], kinds: Sequence[str], start_ns: int, step_ns: int, values: NDArray[np.float64]
) -> None:
    """Write profiles of shape (profiles, T), values >= 0, as 16-bit fractions of their peaks.

    Rounding changes a value by at most 1/65534 of the peak. The same values give the same bytes.
    """
    peak = values.max(axis=1)
    quantised = np.rint(values / peak[:, None] * _TOP).astype(np.int16)
    energy = quantised.sum(axis=1, dtype=np.int64) * (step_ns / _HOUR / _TOP)
    np.savez_compressed(
        path,
        names=np.array(names),
        kinds=np.array(kinds),
        start_ns=np.int64(start_ns),
        step_ns=np.int64(step_ns),
        peak=peak,
        kwh_per_kw=energy,
        values=quantised,
    )


def _read_npz(path: Path) -> ProfileSet:
    fix = "copy it again; `python scenarios/build_data.py` rebuilds a shipped file"
    try:
        with np.load(path, allow_pickle=False) as data:
            keys = ("names", "kinds", "start_ns", "step_ns", "peak", "kwh_per_kw", "values")
            names, kinds, start, step, peak, energy, values = (data[key] for key in keys)
    except FileNotFoundError as error:
        raise ProfileError([f"{path}: there is no such file; {fix}"]) from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        reason = f"cut short, damaged or no profile file ({type(error).__name__}: {error})"
        raise ProfileError([f"{path}: {reason}; {fix}"]) from error
    count = names.shape
    sound = (
        values.dtype == np.int16
        and values.ndim == 2
        and values.size > 0
        and count == kinds.shape == peak.shape == energy.shape == values.shape[:1]
        and start.dtype == step.dtype == np.int64
        and start.shape == step.shape == ()
        and step > 0
        and values.min() >= 0
        and bool(np.isfinite(peak).all() and np.isfinite(energy).all())
    )
    if not sound:
        raise ProfileError([f"{path}: its arrays do not fit each other; {fix}"])
    profiles = [
        Profile(str(name), str(kind), "peak", float(top), float(kwh))
        for name, kind, top, kwh in zip(names, kinds, peak, energy, strict=True)
    ]
    return ProfileSet(profiles, int(start), int(step), values / _TOP, str(path))
