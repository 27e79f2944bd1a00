"""The answer to the question of a match, how much of this fits?, from the AC state of a radial feeder.

In mode `ac` every change is put to an AC power flow; in mode `linear` the market tests whole-numbered rows of the exact
tangent, which is renewed as energy moves; in mode `certified` it tests an envelope, then rows whose error is bounded,
and puts to the power flow what they cannot tell. Either way power-grid-model, an independent engine, verifies what came
out. docs/gate.md holds the mathematics. What a feeder's physics must offer for all this is `grid.wires`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from grid.balanced import BalancedWires
from grid.envelope import Envelope, EnvelopeModel
from grid.feeder import Feeder
from grid.lanes import LANES, Counts, Slot
from grid.losses import LossModel
from grid.phases import PhaseWires
from grid.powerflow import PowerFlowError
from grid.wires import Wires
from market.capacity import CapacityRows, Gate, OpenGate, Verdict
from market.orders import MarketSettings
from market.units import MAX_EXACT

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

VERIFY_TOLERANCE = 1e-7
"""Of voltage [pu] and loading: what power-grid-model may find beyond a limit before it counts as a violation."""


class Violation(NamedTuple):
    """A limit that a whole slot does not keep: voltages in pu, branches as loading (1 is full)."""

    slot: int
    element: str
    """``bus:ID:high``, ``bus:ID:low`` or ``branch:ID``; with phases as `grid.phases` names them."""
    value: float
    limit: float
    before: float = float("nan")
    """The value when the slot was last opened; NaN if that is not known, or if there was no state then."""

    @property
    def by_trade(self) -> bool:
        """True if trading made it: the value was within its limit before, or not as far out as it is now."""
        further = self.before - self.value if self.element.endswith(":low") else self.value - self.before
        return not further <= VERIFY_TOLERANCE


class GridViolation(RuntimeError):  # noqa: N818 - the name that callers catch says what was found
    """A schedule that the gate admitted breaks a limit: the gate is wrong, and the run must stop."""

    def __init__(self, violation: Violation) -> None:
        unit = "pu" if violation.element.startswith("bus:") else "of full load"
        if violation.element.endswith(":vuf"):
            unit = "of the positive sequence"
        bound = "least" if violation.element.endswith(":low") else "most"
        found = f"{violation.value:.7f} {unit}, but may be at {bound} {violation.limit:g}"
        super().__init__(f"slot {violation.slot}: {violation.element} is at {found}")
        self.violation = violation


@dataclass(eq=False)
class _Closed:
    """What is kept of a slot that no longer trades, until it is verified."""

    baseline: Ints
    reactive: Ints
    schedules: list[Ints]
    """(C,) of each lane."""
    opened: Ints


def build(feeder: Feeder, settings: MarketSettings) -> Gate:
    """The gate that the settings ask for. Raises ValueError if they make no sense."""
    if settings.gate == "off":
        return OpenGate(list(feeder.connection_ids))
    return FeederGate(feeder, settings)


class FeederGate:
    """A market.capacity.Gate over one feeder, in mode `linear` or `ac`.

    A verdict is a function of baseline, schedule and question alone, whatever was asked before. Where a limit is
    exceeded already, by the baseline or by trades that a new baseline overtook, a change is admitted if it leaves
    every value outside its limit at most as far out as it was, and every other value inside.
    """

    def __init__(self, feeder: Feeder, settings: MarketSettings, wires: Wires | None = None) -> None:
        """`wires` are the feeder's physics under these settings; None: those of its one or three phases.

        Raises ValueError with every setting that makes no sense.
        """
        if settings.gate == "off":
            raise ValueError("settings.gate is 'off'; use grid.gate.build, which then gives an OpenGate")
        self.feeder, self.settings = feeder, settings
        self.wires: Wires = _physics(feeder, settings) if wires is None else wires
        self._watt = 3600 / settings.slot_seconds
        self._slots: dict[int, Slot | _Closed] = {}
        self.counts = Counts()
        """What was done for slots that have closed."""

    def connections(self) -> list[str]:
        return list(self.feeder.connection_ids)

    def open(self, slot: int, baseline: NDArray[np.int64], reactive: NDArray[np.int64]) -> CapacityRows:
        """Start a slot, or restart it at a new baseline keeping its schedule; both (C,), whole Wh and varh.

        `reactive` may be empty, which is zero everywhere. In mode `ac` the rows have R = 0. Raises ValueError if a
        length or a value is wrong, or if the slot was closed.
        """
        energy = self._whole(baseline, "baseline", "Wh")
        varh = self._whole(reactive, "reactive", "varh") if len(reactive) else np.zeros_like(energy)
        old = self._opened(slot) if slot in self._slots else None
        new = self._slots[slot] = Slot(self.wires, self.settings, energy, varh, old)
        return new.rows

    def check(self, slot: int, inject: int, withdraw: int, wanted: int, lot: int) -> Verdict:
        """By AC in either mode; -1, or a connection at the source, is a side without effect. Raises ValueError."""
        if wanted < 0 or lot < 1:
            raise ValueError(f"wanted must be at least 0 and lot at least 1, got {wanted} and {lot}")
        at = self._opened(slot)
        for side in (inject, withdraw):
            if not -1 <= side < len(at.schedule):
                raise ValueError(f"connection {side} is none of the {len(at.schedule)} of the feeder")
        return at.check(inject, withdraw, wanted, lot)

    def refresh(self, slot: int) -> None:
        """Renew the rows at baseline and schedule. If no state is found there, they refuse every change."""
        self._opened(slot).refresh()

    def planner(self, slot: int) -> tuple[FeederGate, CapacityRows]:
        """A gate in mode `linear` that has this slot as it is now, and its rows: to plan a whole schedule with.

        What happens there changes nothing here. It serves until the next call.
        """
        at, twin = self._opened(slot), self._twin
        twin._slots.clear()
        rows = twin.open(slot, at.baseline, at.reactive)
        rows.schedule[:] = at.schedule
        twin.refresh(slot)
        return twin, rows

    def envelope(self, slot: int) -> Envelope:
        """What each connection may inject and draw in a slot, whatever the others do in theirs; see `grid.envelope`.

        Around the baseline of the slot, until `verify` has seen it. Raises ValueError on a feeder of single phases.
        """
        at = self._known(slot)
        return self._envelope_model.envelope(at.baseline, at.reactive)

    def losses(self, injection: Ints, reactive: Ints) -> tuple[int, Ints]:
        """Energy lost in a slot [Wh] with injections (C,) [Wh, varh], and marginal weights; see `grid.losses`."""
        try:
            return self._loss_model.of(injection, reactive)
        except PowerFlowError as error:
            raise ValueError(str(error)) from error

    def close(self, slot: int) -> None:
        """Free what trading needed; the schedule is kept until `verify` has seen it."""
        at = self._opened(slot)
        schedules = [at.scheduled(lane).copy() for lane in at.lanes]
        self._slots[slot] = _Closed(at.baseline, at.reactive, schedules, at.opened)
        self.counts = Counts(self.counts.checks + at.checks, self.counts.tangents + at.tangents)

    def schedule(self, slot: int) -> NDArray[np.int64]:
        """(C,) accepted change of injection [Wh] of a slot that is open, or closed and not yet verified."""
        return self._schedules(slot)[0].copy()

    def injections(self, slots: Sequence[int], lane: int = 0) -> tuple[Floats, Floats]:
        """Power at baseline and schedule of each slot: (S, C) in W and in var. `lane`: which of the schedules."""
        known = [self._known(slot) for slot in slots]
        shape = (len(known), len(self.feeder.connection_ids))
        planned = [at.baseline + self._schedules(slot)[lane] for at, slot in zip(known, slots, strict=True)]
        energy = np.array(planned, dtype=np.float64).reshape(shape)
        varh = np.array([at.reactive for at in known], dtype=np.float64).reshape(shape)
        return energy * self._watt, varh * self._watt

    def verify(self, slots: Sequence[int], keep: bool = False) -> list[Violation]:
        """What power-grid-model finds beyond the limits in whole slots; closed slots are forgotten unless `keep`.

        With netting `one_sided` every lane is looked at. Raises PowerFlowError if a slot has no solution.
        """
        found = [item for lane in range(len(LANES[self.settings.netting])) for item in self._found(slots, lane)]
        before = {slot: self._before(slot) for slot in {item.slot for item in found}}
        found = sorted(item._replace(before=before[item.slot].get(item.element, np.nan)) for item in found)
        if not keep:
            for slot in slots:
                if isinstance(self._slots[slot], _Closed):
                    del self._slots[slot]
        return found

    def _found(self, slots: Sequence[int], lane: int) -> list[Violation]:
        active, reactive = self.injections(slots, lane)
        try:
            return [item._replace(slot=slots[item.slot]) for item in _broken(self.wires, active, reactive)]
        except PowerFlowError as error:
            slot = slots[error.slot] if error.slot >= 0 else -1
            raise PowerFlowError(error.feeder, slot, error.reason) from error

    def _before(self, slot: int) -> dict[str, float]:
        """Value of every element when the slot was last opened; empty if there was no state then."""
        at = self._known(slot)
        opened, varh = (np.array([values * self._watt], dtype=np.float64) for values in (at.opened, at.reactive))
        try:
            values = self.wires.measure(opened, varh)[0]
        except PowerFlowError:
            return {}
        return dict(zip(self.wires.quantities().names, values.tolist(), strict=True))

    @cached_property
    def _envelope_model(self) -> EnvelopeModel:
        return EnvelopeModel(self.feeder, self.settings)

    @cached_property
    def _loss_model(self) -> LossModel:
        return LossModel(self.feeder, self.settings.slot_seconds)

    @cached_property
    def _twin(self) -> FeederGate:
        plain = msgspec.structs.replace(self.settings, gate="linear", netting="netted")
        return FeederGate(self.feeder, plain, self.wires)

    def _schedules(self, slot: int) -> list[Ints]:
        at = self._known(slot)
        return at.schedules if isinstance(at, _Closed) else [at.scheduled(lane) for lane in at.lanes]

    def _known(self, slot: int) -> Slot | _Closed:
        if slot not in self._slots:
            raise ValueError(f"slot {slot} is not open, or was closed and verified")
        return self._slots[slot]

    def _opened(self, slot: int) -> Slot:
        at = self._known(slot)
        if isinstance(at, _Closed):
            raise ValueError(f"slot {slot} is closed; its schedule is final")
        return at

    def _whole(self, values: ArrayLike, name: str, unit: str) -> Ints:
        array = np.asarray(values)
        count = len(self.feeder.connection_ids)
        if array.shape != (count,):
            raise ValueError(f"{name} must have {count} values, one per connection, got shape {array.shape}")
        if array.dtype.kind not in "iuf":
            raise ValueError(f"{name} must be numbers [{unit}], got {array.dtype}")
        wrong = ~np.isfinite(array) | (np.abs(array) > MAX_EXACT) | (array != np.rint(array))
        if wrong.any():
            first = int(np.argmax(wrong))
            place = f"{name}[{first}] ({self.feeder.connection_ids[first]!r})"
            raise ValueError(f"{place} must be a whole number of {unit}, got {array[first]}")
        return array.astype(np.int64)


def violations(
    feeder: Feeder, settings: MarketSettings, injection_w: ArrayLike, injection_var: ArrayLike
) -> list[Violation]:
    """Limits that power-grid-model finds broken by injections [W, var] of shape (S, C); `slot` is the row.

    Raises ValueError and PowerFlowError like `grid.powerflow.solve`.
    """
    wires = _physics(feeder, settings)
    return _broken(wires, np.asarray(injection_w, dtype=np.float64), np.asarray(injection_var, dtype=np.float64))


def _physics(feeder: Feeder, settings: MarketSettings) -> Wires:
    return PhaseWires(feeder, settings) if feeder.three_phase else BalancedWires(feeder, settings)


def _broken(wires: Wires, active: Floats, reactive: Floats) -> list[Violation]:
    names, low, limit = wires.quantities()
    values = wires.measure(active, reactive)
    further = np.where(low, limit - values, values - limit)
    return sorted(
        Violation(int(s), names[q], float(values[s, q]), float(limit[q]))
        for s, q in np.argwhere(further > VERIFY_TOLERANCE)
    )
