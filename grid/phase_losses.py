"""Losses of a three-phase feeder, and what each connection adds to them: for `grid.losses`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid import phase_network, phase_tree
from grid.feeder import Feeder
from grid.network import BASE_VA
from grid.phase_tree import NEAR, VALUE_ROWS
from grid.powerflow import PowerFlowError

Floats = NDArray[np.float64]

WHOLE = 1e15
"""Parts of a unit to which factors are rounded."""


class PhaseLosses:
    """Losses of one three-phase feeder."""

    def __init__(self, feeder: Feeder) -> None:
        """Raises FeederError if the feeder has no zero sequence."""
        self._network = net = phase_network.build(feeder)
        first = np.flatnonzero(net.tree[0] == 0)
        self._rows, self._children = (part.ravel() for part in np.meshgrid(NEAR + np.arange(3), first))

    def at(self, power: Floats, reactive: Floats) -> tuple[float, Floats]:
        """Losses [W] at injections (C,) [W, var], none at the source, and their derivative by each power (C,).

        Raises PowerFlowError if there is no such state.
        """
        net = self._network
        load = np.zeros((len(net.bus), 3), dtype=np.complex128)
        np.add.at(load, net.connection, ((power - 1j * reactive) * 3 / BASE_VA)[:, np.newaxis] * net.shares)
        v = net.flat()
        current, near = np.zeros((2, *v.shape), dtype=np.complex128)
        if phase_tree.solve(net.tree, net.blocks, load, v, current) < 0:
            reason = "the fixed point diverges; the load is beyond what it can carry"
            raise PowerFlowError(net.feeder.name, -1, reason)
        values = np.zeros((VALUE_ROWS, len(v)), dtype=np.complex128)
        phase_tree.values(net.tree, net.blocks, net.plain, load, v, current, near, values)
        slack = self._drawn(values[self._rows, self._children], v).sum() * BASE_VA / 3
        dv = phase_tree.tangent(net.tree, net.blocks, v, load, net.connection, net.shares)
        change = np.zeros((len(power), 2, len(self._rows)))
        phase_tree.fill_rows(
            net.tree, net.blocks, net.plain, load, v, dv, net.connection, net.shares, self._rows, self._children,
            np.full(len(self._rows), WHOLE), change,
        )  # fmt: skip
        drawn = self._drawn((change[:, 0] + 1j * change[:, 1]) / WHOLE, v).sum(axis=1) / 3
        return float(slack + power.sum()), np.where(net.connection == 0, 0.0, 1.0 + drawn)

    def _drawn(self, values: NDArray[Any], v: NDArray[np.complex128]) -> Floats:
        """Active power from the source of its branches' currents, or of what are powers already [pu of a phase]."""
        is_power = self._network.tree[1, self._children] == 1
        drawn: Floats = np.where(is_power, values, v[0, self._rows - NEAR] * values.conj()).real
        return drawn
