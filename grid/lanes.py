"""One slot of the gate: its schedules, the wires under each of them, and the capacity rows that the market tests.

Under `netted` a slot has one *lane*, the schedule as it will be if everybody delivers. Under `one_sided` it has two
more: all sellers deliver and no buyer takes, and the reverse. A match moves what its sides have to do with a lane, and
is admitted if every lane carries it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from grid import certificate
from grid.wires import Bools, Floats, Ints, Point, Rows, Wires
from market.capacity import CapacityRows, Proof, Verdict
from market.orders import MarketSettings

REFRESH_PU = 0.002
"""In mode `linear` the tangent is renewed once energy has moved that could move a voltage by this much."""
RADII_PU = (0.00125, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08)
"""In mode `certified` a tangent serves until energy has moved that could move a voltage by about one of these: a large
one serves long, a small one errs little."""
FIRST_RADIUS = 6
PATIENCE = (16, 1024)
"""Questions that go to the power flow before a tangent is made to spare more of them, at least about as many as it
costs; twice as many each time when the last one was not worth it."""
WORTH = 48
"""A tangent is, if it spares this many questions."""
IDLE = 16
"""Rows that have decided nothing between so many power flows are silent until the next tangent."""
UNSURE = 1e-10
"""Part of every limit that covers the rounding of rows to whole units and the last step of the power flow."""


class Lane(NamedTuple):
    """Which sides of trades a schedule counts."""

    sells: bool
    buys: bool


LANES = {"netted": (Lane(True, True),), "one_sided": (Lane(True, True), Lane(True, False), Lane(False, True))}


class Match(NamedTuple):
    """What is about to be added to the schedule."""

    inject: int
    withdraw: int
    quantity: int


NO_MATCH = Match(-1, -1, 0)


class Counts(NamedTuple):
    """What the gate has done so far."""

    checks: int = 0
    """Questions that power flows answered."""
    tangents: int = 0
    """Tangents made, all lanes of a slot together."""


class Slot:
    """A slot that trades. Energy in Wh per connection (C,), injection positive."""

    def __init__(
        self, wires: Wires, settings: MarketSettings, baseline: Ints, reactive: Ints, old: Slot | None
    ) -> None:
        """`old`: the slot before it was given this baseline; its schedule goes on."""
        self.baseline, self.reactive = baseline, reactive
        self.lanes = LANES[settings.netting]
        self.points: tuple[Point, ...] = tuple(wires.point(baseline, reactive) for _ in self.lanes)
        c = len(baseline)
        self.schedule: Ints = np.zeros(c, dtype=np.int64) if old is None else old.schedule
        self.gross: Ints = np.zeros((4, c), dtype=np.int64) if old is None else old.gross
        self.opened = baseline + self.schedule
        """At the moment when the slot was last opened."""
        self.rows = no_rows(self.schedule, self.gross)
        self.checks = self.tangents = 0
        self._wires, self._per_wh = wires, 3600 / settings.slot_seconds / 1e6
        self._kept: list[Rows] = []
        """What the rows of each lane are."""
        self._asked = self._far = self._spared = self._decided = self._idle = 0
        self._patience, self._radius = PATIENCE[0], FIRST_RADIUS
        self._built: list[Ints] = []
        """Schedule of each lane when its tangent was made."""
        if settings.gate == "linear":
            self._make_linear()
        elif settings.gate == "certified":
            self.rows.proof = Proof(np.empty(0), np.empty(0), np.empty(0))
            self.gross[2:] = self._envelope()

    def scheduled(self, lane: Lane, match: Match = NO_MATCH) -> Ints:
        """(C,) the schedule that a lane is about, and with a match added a copy of it."""
        schedule: Ints = self.schedule
        if not (lane.sells and lane.buys):
            schedule = self.gross[0] if lane.sells else -self.gross[1]
        if match.quantity:
            schedule = schedule.copy()
            if lane.sells and match.inject >= 0:
                schedule[match.inject] += match.quantity
            if lane.buys and match.withdraw >= 0:
                schedule[match.withdraw] -= match.quantity
        return schedule

    def check(self, inject: int, withdraw: int, wanted: int, lot: int) -> Verdict:
        """The largest quantity that fits in every lane, by power flow."""
        lots, constraint = wanted // lot, ""
        for lane, point in zip(self.lanes, self.points, strict=True):
            sides = (inject if lane.sells else -1), (withdraw if lane.buys else -1)
            fitting, limit = point.fit(self.scheduled(lane), *sides, lots, lot)
            if fitting < lots:
                lots, constraint = fitting, limit
        self.checks += 1
        if self.rows.proof is not None:
            self._learn(self.rows.proof, wanted, Match(inject, withdraw, lots * lot))
        return Verdict(lots * lot, constraint)

    def refresh(self) -> None:
        """Make the rows' state exact at the present schedule; in mode `linear` the sensitivities, too."""
        if self.rows.decides:
            self._fill_linear()
        elif self.rows.proof is not None and self._kept:
            self._anchor(self.rows.proof, NO_MATCH)

    # -- rows whose answer is final ------------------------------------------------------------------------------

    def _make_linear(self) -> None:
        """Screened rows if all limits hold at the start, which the screening presumes; else every row."""
        for lane, point in zip(self.lanes, self.points, strict=True):
            held = point.solve(self.scheduled(lane)) and point.inside()
            self._kept.append(self._wires.rows(every=not held))
        low, bound, names = self._joined()
        self._allocate([*names, "diverged"])
        self.rows.decides = True
        self.rows.lower = np.append(np.where(low, bound, -1.0), -1.0)
        self.rows.upper = np.append(np.where(low, np.inf, bound), 0.0)
        self._fill_linear()

    def _fill_linear(self) -> None:
        """The last row is idle, or refuses every change if there is no state."""
        rows, steepest = self.rows, 0.0
        rising, falling = rows.sensitivity, rows.sensitivity if rows.withdrawal is None else rows.withdrawal
        rows.state[:, -1] = 0.0
        rising[:, :, -1] = falling[:, :, -1] = 0.0
        self.tangents += 1
        for (lane, point, kept), part in zip(self._each(), self._parts(), strict=True):
            if not point.solve(self.scheduled(lane)):
                rising[:, 0, -1] = falling[:, 0, -1] = self._wires.places()
                return
            steepest = max(steepest, self._fill(lane, point, kept, part))
        rows.refresh_after = max(1, int(REFRESH_PU / steepest)) if steepest > 0 else 0

    # -- rows with a certificate ---------------------------------------------------------------------------------

    def _envelope(self) -> Ints:
        """(2, C) Wh that each connection may sell and buy, the same for all of them; -1 if even nothing is too much."""
        point, none = self.points[0], np.zeros_like(self.schedule)
        nothing = np.full((2, len(none)), -1, dtype=np.int64)
        response = self._wires.response()
        if response is None or not point.solve(none) or not point.inside():
            return nothing
        loading = point.loading()
        if loading is None:
            return nothing
        kept = self._wires.rows(every=False)
        state = np.zeros((2, len(kept.names)))
        point.trace(kept, state)
        margin = np.abs(kept.bound - np.hypot(*state)) - UNSURE * kept.bound - 2
        if margin.min(initial=np.inf) <= 0:
            return nothing
        count = np.bincount(response.node[response.node >= 0], minlength=len(loading.load))
        box: Floats = count.astype(np.float64) * self._per_wh
        first = certificate.reach(response, loading, box)
        if first is None:
            return nothing
        energy = float((margin / np.maximum(first, np.finfo(np.float64).tiny)).min(initial=1e9))
        for _ in range(8):
            found = certificate.reach(response, loading, box * energy)
            if found is not None and (found <= margin).all():
                return np.full_like(nothing, int(energy))
            share = 0.7 if found is None else min(float((margin / np.maximum(found, 1e-300)).min()), 1.0) * 0.99
            energy *= share
        return nothing

    def _learn(self, proof: Proof, wanted: int, match: Match) -> None:
        """After an answer by power flow: a new tangent if that should pay, else the state of the one there is.

        Both at the schedule that the answer will lead to. Questions beyond the reach of a tangent ask for one that
        reaches farther, close calls for one that errs less.
        """
        response = self._wires.response()
        if response is None:
            return
        self._asked += 1
        self._idle = 0 if proof.decided > self._decided else self._idle + 1
        self._decided = proof.decided
        if self._asked >= self._patience:
            spared, self._spared = proof.decided - self._spared, proof.decided
            least, most = PATIENCE
            self._patience = min(2 * self._patience, most) if spared < WORTH else least
            if self._kept:
                step = 1 if self._far > 0 else -1
                self._radius = min(max(self._radius + step, 0), len(RADII_PU) - 1)
            self._asked = self._far = self._idle = 0
            self._prove(proof, response, match)
        elif self._kept and self._idle < IDLE:
            moved = self._displacement(match)
            self._far += 1 if moved + 2 * wanted > self.rows.refresh_after else -1
            if moved <= self.rows.refresh_after:
                self._anchor(proof, match)
                return
            proof.moved = moved
        else:
            proof.moved = self.rows.refresh_after + 1

    def _prove(self, proof: Proof, response: certificate.Response, match: Match) -> None:
        """Tangents at the present schedule, and how far they reach; no rows if one lane has no such thing."""
        self._kept, self._built = [], []
        self.tangents += 1
        proof.tangents += 1
        bounds = []
        for lane, point in zip(self.lanes, self.points, strict=True):
            if not point.solve(self.scheduled(lane, match)) or not point.inside():
                break
            loading = point.loading()
            found = None if loading is None else _slopes(response, loading, RADII_PU[self._radius])
            if found is None:
                break
            bounds.append(found)
        if len(bounds) < len(self.lanes):
            self._allocate([])
            self.rows.lower = self.rows.upper = proof.outer_lower = proof.outer_upper = proof.slope = np.zeros(0)
            return
        self._kept = [self._wires.rows(every=False)] * len(self.lanes)
        low, bound, names = self._joined()
        limit = np.concatenate([kept.limit for kept in self._kept])
        self._allocate(names)
        none, all_ = -np.inf, np.inf
        self.rows.lower = np.where(low, bound * (1 + UNSURE) + 2, none)
        self.rows.upper = np.where(low, all_, bound * (1 - UNSURE) - 2)
        proof.outer_lower = np.where(low, limit * (1 - UNSURE) - 2, none)
        proof.outer_upper = np.where(low, all_, limit * (1 + UNSURE) + 2)
        # A sensitivity is rounded by half a unit in both of its parts.
        proof.slope = np.concatenate([slopes.row for slopes, _ in bounds]) * self._per_wh + 1.0
        self.rows.refresh_after = int(min(budget for _, budget in bounds) / self._per_wh)
        for (lane, point, kept), part in zip(self._each(), self._parts(), strict=True):
            self._fill(lane, point, kept, part)
            self._built.append(self.scheduled(lane, match).copy())
        self._expect(proof, match)

    def _anchor(self, proof: Proof, match: Match) -> None:
        """The state of every row as it will be with the match; what was moved since the tangent is counted anew."""
        for (lane, point, kept), part in zip(self._each(), self._parts(), strict=True):
            if not point.solve(self.scheduled(lane, match)):
                proof.moved = 2**62  # An admitted schedule has a state; without one the rows may not speak.
                return
            point.trace(kept, self.rows.state[:, part])
        self._expect(proof, match)

    def _expect(self, proof: Proof, match: Match) -> None:
        """Take from the rows what the kernel will add for the match, so that they are exact once it is made."""
        rows, quantity = self.rows, match.quantity
        falling = rows.sensitivity if rows.withdrawal is None else rows.withdrawal
        if quantity and match.inject >= 0:
            rows.state -= quantity * rows.sensitivity[match.inject]
        if quantity and match.withdraw >= 0:
            rows.state += quantity * falling[match.withdraw]
        sides = (match.inject >= 0) + (match.withdraw >= 0)
        proof.drift = -sides * quantity
        proof.moved = self._displacement(match) - sides * quantity

    def _displacement(self, match: Match) -> int:
        """Wh that will have moved since the tangent, by both sides, in the lane that has moved most."""
        if not self._kept:
            return 0
        lanes = zip(self.lanes, self._built, strict=True)
        return max(int(np.abs(self.scheduled(lane, match) - then).sum()) for lane, then in lanes)

    # -- both ----------------------------------------------------------------------------------------------------

    def _each(self) -> list[tuple[Lane, Point, Rows]]:
        return list(zip(self.lanes, self.points, self._kept, strict=True))

    def _parts(self) -> list[slice]:
        """Which rows are those of each lane."""
        ends = np.cumsum([0, *(len(kept.names) for kept in self._kept)]).tolist()
        return [slice(start, stop) for start, stop in pairwise(ends)]

    def _joined(self) -> tuple[Bools, Floats, list[str]]:
        low = np.concatenate([kept.low for kept in self._kept])
        bound = np.concatenate([kept.bound for kept in self._kept])
        return low, bound, [name for kept in self._kept for name in kept.names]

    def _allocate(self, names: list[str]) -> None:
        r, c, rows = len(names), len(self.schedule), self.rows
        rows.names, rows.state, rows.sensitivity = names, np.zeros((2, r)), np.zeros((c, 2, r))
        rows.withdrawal = None if len(self.lanes) == 1 else np.zeros((c, 2, r))

    def _fill(self, lane: Lane, point: Point, kept: Rows, part: slice) -> float:
        """State and sensitivities of one lane, at the state that its point has found."""
        rows = self.rows
        target = rows.sensitivity if lane.sells or rows.withdrawal is None else rows.withdrawal
        steepest = point.fill(kept, rows.state[:, part], target[:, :, part])
        if lane.sells and lane.buys and rows.withdrawal is not None:
            rows.withdrawal[:, :, part] = rows.sensitivity[:, :, part]
        return steepest


def _slopes(
    response: certificate.Response, loading: certificate.Loading, radius: float
) -> tuple[certificate.Slopes, float] | None:
    """What a tangent may err by, and the energy that may move for it, as power [pu]; None if nothing can be said."""
    budget = radius / max(float(response.voltage.max(initial=0.0)), np.finfo(np.float64).tiny)
    for _ in range(4):
        found = certificate.slopes(response, loading, budget)
        if found is not None:
            return found, budget
        budget /= 2
    return None


def no_rows(schedule: Ints, gross: Ints) -> CapacityRows:
    """No linear rows: every change is put to the gate."""
    return CapacityRows(
        schedule=schedule,
        state=np.zeros((2, 0)),
        sensitivity=np.zeros((len(schedule), 2, 0)),
        lower=np.zeros(0),
        upper=np.zeros(0),
        names=[],
        decides=False,
        refresh_after=0,
        gross=gross,
    )
