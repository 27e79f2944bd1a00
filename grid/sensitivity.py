"""How every voltage and current moves with the power at each connection: the exact tangent at an operating point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grid import tree
from grid.network import BASE_VA, Network
from grid.powerflow import PowerFlowError

Complexes = NDArray[np.complex128]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Point:
    """An AC operating point of N buses and B branches (lines, then transformers).

    Angles are those of a feeder without vector groups: what lies beyond a transformer is not turned by its clock.
    """

    voltage: Complexes
    """(N,) [pu]."""
    current_from: Complexes
    """(B,) into the branch at its from-end [A]."""
    current_to: Complexes
    """(B,) into the branch at its to-end [A]."""
    state: Complexes
    """(N,) voltages in tree order [pu]."""
    load: Complexes
    """(N,) conjugate injections in tree order [pu]."""


@dataclass(frozen=True, eq=False)
class Tangent:
    """Derivatives by the active power injected at each of C connections, at unity power factor."""

    voltage: Complexes
    """(C, N) [pu/W]."""
    current_from: Complexes
    """(C, B) [A/W]."""
    current_to: Complexes
    """(C, B) [A/W]."""


def operating_point(network: Network, injection_w: ArrayLike, injection_var: ArrayLike) -> Point:
    """AC state for injections of shape (C,) [W, var] by the fixed point of `grid.tree`.

    Raises ValueError for a wrong shape or a value that is not finite, PowerFlowError if there is no solution.
    """
    p, q = np.asarray(injection_w, dtype=np.float64), np.asarray(injection_var, dtype=np.float64)
    for name, values in (("injection_w", p), ("injection_var", q)):
        if values.shape != network.connection.shape or not np.isfinite(values).all():
            raise ValueError(f"{name} must be {len(network.connection)} finite numbers, one per connection")
    load = np.zeros(len(network.bus), dtype=np.complex128)
    np.add.at(load, network.connection, (p - 1j * q) / BASE_VA)
    state = network.flat()
    if tree.solve(network.tree, network.net, load, state, np.zeros_like(state)) < 0:
        raise PowerFlowError(network.feeder.name, -1, "the fixed point diverges; the load is beyond what it can carry")
    current_from, current_to = _currents(network, state[np.newaxis])[:, 0]
    return Point(state[network.position], current_from, current_to, state, load)


def tangent(network: Network, point: Point) -> Tangent:
    """Exact derivatives at `point`; docs/gate.md derives them."""
    dv = tree.tangent(network.tree, network.net, point.state, point.load, network.connection) / BASE_VA
    current_from, current_to = _currents(network, dv)
    return Tangent(dv[:, network.position], current_from, current_to)


def write_rows(
    network: Network,
    point: tuple[Complexes, Complexes],
    codes: NDArray[np.int64],
    units: Floats,
    per_wh: float,
    rows: tuple[Floats, Floats],
) -> float:
    """Write the rows `codes` (R,) of `grid.limits` at a `point` (state and load in tree order) into `rows`.

    `rows` are the state (2, R) and its change per Wh (C, 2, R), rounded to whole `units` (R,) per pu; `per_wh` is the
    power of one Wh [pu]. Returns by how much one Wh moves the voltage that it moves most [pu].
    """
    state, load = point
    dv = tree.tangent(network.tree, network.net, state, load, network.connection)
    tree.fill_rows(network.tree, network.net, state, dv, codes, units, per_wh, *rows)
    return float(np.abs(dv).max(initial=0.0)) * per_wh


def _currents(network: Network, voltages: Complexes) -> Complexes:
    """Currents [A] of voltages (K, N) in tree order: (2, K, B), at the from-end and at the to-end."""
    result = np.zeros((2, len(voltages), len(network.bus) - 1), dtype=np.complex128)
    near, far = np.zeros((2, len(network.bus)), dtype=np.complex128)
    base_near, base_far = network.base_a[network.parent], network.base_a
    turned = network.reversed[1:]
    for k, v in enumerate(voltages):
        tree.flows(network.tree, network.net, v, near, far)
        ends = (near * base_near)[1:], (far * base_far)[1:]
        result[0, k, network.branch[1:]] = np.where(turned, ends[1], ends[0])
        result[1, k, network.branch[1:]] = np.where(turned, ends[0], ends[1])
    return result
