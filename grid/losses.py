"""What the wires lose in a slot, and by which weights it is shared: by the losses that a little more of each causes.

With P the injections [W], L(P) the losses of the AC state and L(0) those of the feeder that nobody uses (iron and
charging), the connection c has the weight

    w_c = (L(P) - L(0)) * λ_c P_c / Σ λ P  +  L(0) * |P_c| / Σ |P|,      λ_c = ∂L/∂P_c

λ is exact, from the tangent at P: with the slack power S, L = S + Σ P and λ_c = 1 + ∂S/∂P_c. Losses that grow with
the square of the flows have Σ λ P = 2 L, so marginal weights collect twice what is lost; they are scaled to the total,
as is usual for loss factors. Who feeds in where others consume has a weight below zero. The weights sum to L(P).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grid import network, tree
from grid.feeder import Feeder
from grid.phase_losses import PhaseLosses
from grid.sensitivity import Point, operating_point

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MICRO = 1e6
LEAST_SCALE, LARGEST_SCALE = 0.1, 2.0
"""Between which the factor (L(P) - L(0)) / Σ λ P must lie; it is about a half. Beyond, what is lost is next to nothing
beside what flows, and is shared by energy."""


class Losses(NamedTuple):
    """The losses of one slot."""

    energy: int
    """[Wh], rounded."""
    weights: Ints
    """(C,) of each connection [µWh]; they sum to the energy but for rounding, or are all zero if nothing flows."""


class LossModel:
    """Losses of one feeder."""

    def __init__(self, feeder: Feeder, slot_seconds: int) -> None:
        self._network = network.build(feeder)
        self._phases = PhaseLosses(feeder) if feeder.three_phase else None
        self._hours = slot_seconds / 3600
        none = np.zeros(len(feeder.connection_ids))
        self._idle, _ = self._at(none, none)

    def of(self, injection_wh: ArrayLike, reactive_varh: ArrayLike) -> Losses:
        """Losses and weights at injections (C,) [Wh, varh]. Raises PowerFlowError if there is no such state."""
        given = np.array([injection_wh, reactive_varh], dtype=np.float64)
        power, reactive = given / self._hours
        power[self._network.connection == 0] = 0.0  # what is fed in at the source loads no wire
        lost, factors = self._at(power, reactive)
        size = np.abs(power)
        if not size.any():
            return Losses(round(lost * self._hours), np.zeros(len(power), dtype=np.int64))
        marginal = factors * power
        scale = (lost - self._idle) / marginal.sum() if marginal.sum() > 0 else 0.0
        if LEAST_SCALE <= scale <= LARGEST_SCALE:
            shares = scale * marginal + self._idle * size / size.sum()
        else:
            shares = lost * size / size.sum()
        return Losses(round(lost * self._hours), np.rint(shares * self._hours * MICRO).astype(np.int64))

    def _at(self, power: Floats, reactive: Floats) -> tuple[float, Floats]:
        """Losses [W] and their factors (C,)."""
        if self._phases is not None:
            return self._phases.at(power, reactive)
        point = operating_point(self._network, power, reactive)
        return self.watts(point, power), self.factors(point)

    def watts(self, point: Point, power: Floats) -> float:
        """Losses [W] of a state with these injections (C,) [W], none at the source: what all of them feed in."""
        return float(self._slack(point.state).real * network.BASE_VA + power.sum())

    def factors(self, point: Point) -> Floats:
        """(C,) ∂L/∂P: watts that are lost of one more watt injected at each connection; 0 at the source."""
        net = self._network
        dv = tree.tangent(net.tree, net.net, point.state, point.load, net.connection)
        change = np.array([self._slack(row, point.state).real for row in dv])
        factors: Floats = np.where(net.connection == 0, 0.0, 1.0 + change)
        return factors

    def _slack(self, voltages: NDArray[np.complex128], at: NDArray[np.complex128] | None = None) -> complex:
        """Power that the source feeds into the feeder [pu]: of its voltage `at` and the current that voltages cause."""
        net = self._network
        near, far = np.zeros((2, len(net.bus)), dtype=np.complex128)
        tree.flows(net.tree, net.net, voltages, near, far)
        source = (voltages if at is None else at)[0]
        total: complex = source * near[1:][net.parent[1:] == 0].sum().conjugate()
        return total
