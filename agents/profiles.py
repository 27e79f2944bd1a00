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

from agents.profile_files import ProfileError, read_table
from market.slots import MINUTE, NS, format_time

__all__ = ["SHIPPED", "Profile", "ProfileError", "ProfileSet", "Recording", "write_npz"]

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
    original_peak: float
    """Highest value as the data's author gave it: a fraction of the rated power if shipped, kW if a user's."""
    energy_kwh: float
    """Energy of the whole recording: for a shipped profile, of the year 2016 for each kW of peak."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Profiles on one grid of time: T steps of `step_ns` from `start_ns` (UTC) on; values is (profiles, T)."""

    profiles: tuple[Profile, ...]
    start_ns: int
    step_ns: int
    values: NDArray[np.float64]
    source: str
    """The file, for messages."""

    @property
    def end_ns(self) -> int:
        return self.start_ns + self.step_ns * int(self.values.shape[1])

    def window(self, row: int, start_ns: int, slots: int, slot_ns: int) -> NDArray[np.float64]:
        """Mean value of one profile in each slot, shape (slots,). Raises ProfileError if the time is not covered."""
        if slots < 1 or slot_ns < 1:
            raise ProfileError([f"{self.source}: a window needs slots of some length, got {slots} of {slot_ns} ns"])
        end_ns = start_ns + slots * slot_ns
        if start_ns < self.start_ns or end_ns > self.end_ns:
            asked = f"{format_time(start_ns)} to {format_time(end_ns)}"
            covered = f"{format_time(self.start_ns)} to {format_time(self.end_ns)}"
            fault = f"profile {self.profiles[row].name!r} covers {covered}, asked for {asked}; choose a time within it"
            raise ProfileError([f"{self.source}: {fault}"])
        first, offset = divmod(start_ns - self.start_ns, self.step_ns)
        last = -(-(end_ns - self.start_ns) // self.step_ns)
        return _resample(self.values[row, first:last], self.step_ns, offset, slots, slot_ns)


class ProfileSet:
    """Profiles by name. Of two recordings with a profile of the same name the later one counts."""

    def __init__(self, *recordings: Recording) -> None:
        self.recordings = recordings
        self._found = {
            profile.name: (recording, row) for recording in recordings for row, profile in enumerate(recording.profiles)
        }

    @classmethod
    def shipped(cls) -> ProfileSet:
        """The SimBench profiles that come with the package. Raises ProfileError if the file is damaged."""
        return cls.read(SHIPPED)

    @classmethod
    def read(cls, *paths: Path, signed: bool = False) -> ProfileSet:
        """Profiles of files: .npz as written by `write_npz`, else .csv or .parquet in kW.

        A table has the columns `timestamp` (ISO 8601 with Z or an offset) and one or more columns of kW. Values below
        zero are refused unless `signed`. Raises ProfileError with every error found, each with its place in the file.
        """
        recordings, errors = [], []
        for path in paths:
            try:
                recordings.append(_read_npz(path) if path.suffix == ".npz" else _read_table(path, signed))
            except ProfileError as error:
                errors += error.errors
        if errors:
            raise ProfileError(errors)
        return cls(*recordings)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._found)

    def profile(self, name: str) -> Profile:
        """What is known about a profile. Raises ProfileError if there is none of this name."""
        recording, row = self._find(name)
        return recording.profiles[row]

    def full_load_hours(self, name: str) -> float:
        """Energy of the recording [kWh] at scale 1: annual kWh per kW of peak if shipped. Raises ProfileError."""
        return self.profile(name).energy_kwh

    def peak(self, name: str) -> float:
        """Highest value of the recording: 1 if shipped, kW if a user's. Raises ProfileError."""
        profile = self.profile(name)
        return 1.0 if profile.unit == "peak" else profile.original_peak

    def window(self, name: str, start_ns: int, slots: int, slot_ns: int) -> NDArray[np.float64]:
        """Mean value in each slot, shape (slots,): a fraction of the peak (shipped) or kW (a user's file).

        Slot k lasts from start_ns + k * slot_ns. Where slots and steps differ, a step's power is constant within it,
        so that energy is conserved. Raises ProfileError if the name is unknown or the time is not covered.
        """
        recording, row = self._find(name)
        return recording.window(row, start_ns, slots, slot_ns)

    def values(self, name: str, first_slot: int, slots: int, slot_seconds: int) -> NDArray[np.float64]:
        """As `window`, for slots of the market: slot k begins k * slot_seconds after 1970."""
        return self.window(name, first_slot * slot_seconds * NS, slots, slot_seconds * NS)

    def _find(self, name: str) -> tuple[Recording, int]:
        if name not in self._found:
            known = ", ".join(self.names)
            raise ProfileError([f"there is no profile {name!r}; known are {known}"])
        return self._found[name]


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


def _read_table(path: Path, signed: bool) -> Recording:
    series = read_table(path, signed=signed)
    energy = series.values.sum(axis=1) * (series.step_ns / _HOUR)
    profiles = tuple(
        Profile(name, "user", "kW", float(row.max()), float(kwh))
        for name, row, kwh in zip(series.names, series.values, energy, strict=True)
    )
    return Recording(profiles, series.start_ns, series.step_ns, series.values, str(path))


def write_npz(
    path: Path,
    names: Sequence[str],
    kinds: Sequence[str],
    start_ns: int,
    step_ns: int,
    values: NDArray[np.float64],
    notice: str = "",
) -> None:
    """Write profiles of shape (profiles, T), values >= 0, as 16-bit fractions of their peaks.

    `notice` tells a reader of the file whose the data are. Rounding changes a value by at most 1/65534 of the peak.
    The same values give the same bytes.
    """
    peak = values.max(axis=1)
    quantised = np.rint(values / peak[:, None] * _TOP).astype(np.int16)
    energy = quantised.sum(axis=1, dtype=np.int64) * (step_ns / _HOUR / _TOP)
    np.savez_compressed(
        path,
        notice=np.array(notice),
        names=np.array(names),
        kinds=np.array(kinds),
        start_ns=np.int64(start_ns),
        step_ns=np.int64(step_ns),
        peak=peak,
        kwh_per_kw=energy,
        values=quantised,
    )


def _read_npz(path: Path) -> Recording:
    fix = "copy it again; `python scenarios/build_data.py` rebuilds a shipped file"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            keys = ("names", "kinds", "start_ns", "step_ns", "peak", "kwh_per_kw", "values")
            names, kinds, start, step, peak, energy, values = (data[key] for key in keys)
    except FileNotFoundError as error:
        raise ProfileError([f"{path}: there is no such file; {fix}"]) from error
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
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
    profiles = tuple(
        Profile(str(name), str(kind), "peak", float(top), float(kwh))
        for name, kind, top, kwh in zip(names, kinds, peak, energy, strict=True)
    )
    return Recording(profiles, int(start), int(step), values / _TOP, str(path))
