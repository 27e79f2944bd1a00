"""Zones joined by lines, without volts: the gate of abstract markets.

A line carries the *net* energy of a product from one zone to another, up to its cap in either direction. The zones must
form a tree, or several: then the energy through a line is what the zones behind it sell less what they buy, whatever
the lines are made of. In a ring it would depend on impedances, which an abstract network does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from market.capacity import CapacityRows, Verdict

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NOTHING = 1e-6
"""A flow that is none, to the tolerance of a linear program [Wh]."""


class Line(NamedTuple):
    """A line from zone `start` to zone `end` that carries at most `cap` Wh net, in either direction."""

    start: str
    end: str
    cap: int


class ZoneError(ValueError):
    """Zones and lines that make no network; `errors` lists every fault, each with its path, the value and the fix."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


class Cut(NamedTuple):
    """A set of zones whose net injection is bounded."""

    name: str
    """``line:A-B``, or ``island:A`` for zones that no line joins to the others."""
    zones: frozenset[str]
    cap: int


def problems(lines: Sequence[Line]) -> list[str]:
    """Everything that keeps the lines from being a network, each with the path of its line; empty if nothing."""
    found = []
    root: dict[str, str] = {}

    def find(zone: str) -> str:
        while root.setdefault(zone, zone) != zone:
            zone = root[zone]
        return zone

    for place, line in enumerate(lines):
        where = f"lines[{place}]"
        if line.cap < 0:
            found.append(f"{where}.cap: must be >= 0, got {line.cap}")
        if line.start == line.end:
            found.append(f"{where}.to: must be another zone than from, got {line.end!r} twice")
        elif find(line.start) == find(line.end):
            ring = "flows in a ring would need impedances; leave out one of its lines, or add parallel caps up in one"
            found.append(f"{where}: closes a ring through {line.start!r} and {line.end!r}; {ring}")
        else:
            root[find(line.start)] = find(line.end)
    return found


def cuts(zones: Sequence[str], lines: Sequence[Line]) -> list[Cut]:
    """One cut per line: the zones on the side of its start. If lines do not join all zones, one more per island.

    `zones` may hold zones without lines. Raises ZoneError if `problems` finds any.
    """
    faults = problems(lines)
    if faults:
        raise ZoneError(faults)
    known = list(dict.fromkeys([*zones, *(zone for line in lines for zone in line[:2])]))
    found = []
    for place, line in enumerate(lines):
        others = [other for other in range(len(lines)) if other != place]
        found.append(Cut(f"line:{line.start}-{line.end}", _reach(line.start, [lines[i] for i in others]), line.cap))
    islands = list(dict.fromkeys(_reach(zone, lines) for zone in known))
    if len(islands) > 1:
        found += [Cut(f"island:{min(island)}", island, 0) for island in islands]
    return found


def _reach(start: str, lines: Sequence[Line]) -> frozenset[str]:
    """All zones that lines join to `start`, itself included."""
    seen = {start}
    pending = [start]
    while pending:
        zone = pending.pop()
        for line in lines:
            for here, there in ((line.start, line.end), (line.end, line.start)):
                if here == zone and there not in seen:
                    seen.add(there)
                    pending.append(there)
    return frozenset(seen)


class ZoneGate:
    """A market.capacity.Gate over zones: one capacity row per line, whose state is the net flow through it [Wh].

    `zones` gives the zone of every connection, in the order of all arrays. The rows decide alone: they are exact.
    """

    def __init__(self, zones: Mapping[str, str], lines: Sequence[Line]) -> None:
        """Raises ZoneError if the lines do not form trees."""
        self._zones, self._lines = zones, lines
        self._connections = list(zones)
        self.cuts = cuts(list(zones.values()), lines)
        inside = [[zone in cut.zones for cut in self.cuts] for zone in zones.values()]
        self._inside: Floats = np.array(inside, dtype=np.float64).reshape(len(zones), len(self.cuts))
        self._caps: Floats = np.array([cut.cap for cut in self.cuts], dtype=np.float64)
        self._slots: dict[int, CapacityRows] = {}
        self._before: dict[int, Ints] = {}

    def connections(self) -> list[str]:
        return list(self._connections)

    def open(self, slot: int, baseline: NDArray[np.int64], reactive: NDArray[np.int64]) -> CapacityRows:
        """The rows of a slot. The baseline (C,) [Wh] counts as flow; reactive energy means nothing here."""
        old = self._slots.get(slot)
        schedule = np.zeros(len(self._connections), np.int64) if old is None else old.schedule
        size = len(self.cuts)
        state = np.zeros((2, size))
        state[0] = (baseline + schedule) @ self._inside
        sensitivity = np.zeros((len(self._connections), 2, size))
        sensitivity[:, 0, :] = self._inside
        rows = CapacityRows(
            schedule=schedule,
            state=state,
            sensitivity=sensitivity,
            lower=np.full(size, -1.0),
            upper=self._caps.copy(),
            names=[cut.name for cut in self.cuts],
            decides=True,
            refresh_after=0,
        )
        self._slots[slot] = rows
        self._before[slot] = baseline.copy()
        return rows

    def check(self, slot: int, inject: int, withdraw: int, wanted: int, lot: int) -> Verdict:
        """What the rows answer: each bounds the energy that moves between its inside and its outside."""
        present = (self._before[slot] + self._slots[slot].schedule) @ self._inside
        idle = np.zeros(len(self.cuts))
        rise = self._inside[inject] if inject >= 0 else idle
        fall = self._inside[withdraw] if withdraw >= 0 else idle
        slope = rise - fall
        admitted, constraint = wanted, ""
        for row in np.flatnonzero(slope).tolist():
            # A flow that a baseline put beyond its cap may stay there, but not grow.
            most = max(self._caps[row], abs(present[row]))
            room = int(most - slope[row] * present[row]) // lot * lot
            if room < admitted:
                admitted, constraint = room, self.cuts[row].name
        return Verdict(admitted, constraint)

    def planner(self, slot: int) -> tuple[ZoneGate, CapacityRows]:
        """A gate of its own at the present schedule, for `market.closing` to plan with.

        A cap of nothing is hardly more than nothing there: to a plan, a row that allows no change at all has no state.
        """
        twin = ZoneGate(self._zones, self._lines)
        rows = twin.open(slot, self._before[slot], np.zeros_like(self._before[slot]))
        rows.schedule[:] = self._slots[slot].schedule
        rows.upper[:] = np.maximum(rows.upper, _NOTHING)
        twin.refresh(slot)
        return twin, rows

    def refresh(self, slot: int) -> None:
        """The flows at the present schedule; the sensitivities are what they always are."""
        rows = self._slots[slot]
        rows.state[0] = (self._before[slot] + rows.schedule) @ self._inside

    def close(self, slot: int) -> None:
        del self._slots[slot]
        del self._before[slot]
