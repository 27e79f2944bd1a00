"""How far a tangent can be from the truth: bounds that hold for every AC state, by Brouwer's fixed point theorem.

Voltages at the n nodes that have a load solve v = w + Z conj(s / v), whatever the network: a tree or meshed, balanced
or phase by phase. Only moduli enter here: |Z|, |v| and |s| at an operating point, and the moduli by which a row answers
to a current injected at each node. docs/gate.md derives the formulas. All is in per unit but for the rows, whose
gains are in their own unit.

Whatever is bounded has one form, for a matrix G of moduli and a budget b of injected power that nodes may share,

    out_i = sum_j G_ij a_j + b max_j G_ij c_j + max_j G_ij d_j,

and a bound of the voltages themselves has to come out no larger than it went in: then the map takes a ball into itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STEPS = 40
"""Most steps towards a ball that is mapped into itself."""
AIR = 1.001
"""Radii are taken this much wider than where the steps settle, so that the test of the ball can succeed."""


class Response(NamedTuple):
    """Moduli by which a network answers to 1 pu of current at each of n nodes; the same for every state."""

    node: Ints
    """(C,) node of each connection, -1 where injection has no effect."""
    voltage: Floats
    """(n, n) of the nodes' voltages, |Z| [pu]."""
    row: Floats
    """(R, n) of the rows; where a row is a power, of its current times the unit of the power."""
    power: Ints
    """(P,) rows that are products of a voltage and a current; all others are linear in the voltages."""
    end: Floats
    """(P, n) of the voltage in that product [pu]."""


class Loading(NamedTuple):
    """Moduli at an operating point."""

    voltage: Floats
    """(n,) at the nodes [pu]."""
    load: Floats
    """(n,) apparent power of the nodes [pu]."""
    end: Floats
    """(P,) voltages in the rows that are powers [pu]."""
    current: Floats
    """(P,) their currents times the unit of the power."""


class Slopes(NamedTuple):
    """Bounds while at most a budget of power has moved since the operating point."""

    radius: Floats
    """(n,) of the change of each node's voltage [pu]."""
    row: Floats
    """(R,) by how much a row's tangent errs per pu moved: from any state within the budget to any other."""


def slopes(response: Response, loading: Loading, budget: float) -> Slopes | None:
    """Bounds for changes of injection whose moduli sum up to at most `budget` [pu]; None if no ball holds them.

    From an exact state within the budget, a move of m (the sum of its moduli) to another within the budget leads to a
    state that the tangent of the operating point predicts to within m times `row`. That state exists and is the only
    one within `radius`.
    """
    v, s = loading.voltage, loading.load
    radius = _ball(response.voltage, v, s, np.zeros_like(v), budget)
    if radius is None:
        return None
    near = 1.0 / (v - radius)
    moved = _supersolution(response.voltage, s * near**2, budget, near**2, near)
    if moved is None:
        return None
    secant = radius / v * near
    curved = s * (near**2 - 1.0 / v**2)
    fixed = _bound(response.voltage, curved * moved, near**2 * moved, secant, budget)
    error = _linear(response.voltage, s / v**2, fixed)
    if error is None:
        return None
    row = _bound(response.row, s / v**2 * error + curved * moved, near**2 * moved, secant, budget)
    if len(response.power):
        of_voltage = _bound(response.end, s / v**2 * error + curved * moved, near**2 * moved, secant, budget)
        reach_voltage = _bound(response.end, s * near * radius / v, near, np.zeros_like(v), budget)
        gain = response.row[response.power]
        reach_current = _bound(gain, s * near * radius / v, near, np.zeros_like(v), budget)
        step_voltage = _bound(response.end, s * near**2 * moved, near**2 * moved, near, budget)
        step_current = _bound(gain, s * near**2 * moved, near**2 * moved, near, budget)
        row[response.power] = (
            loading.current * of_voltage
            + loading.end * row[response.power]
            + step_voltage * reach_current
            + reach_voltage * step_current
        )
    return Slopes(radius, row)


def reach(response: Response, loading: Loading, box: Floats) -> Floats | None:
    """By how much each row (R,) can change while every node's injection stays within `box` (n,) [pu] of the point.

    None if no ball holds such changes.
    """
    v, s = loading.voltage, loading.load
    radius = _ball(response.voltage, v, s, box, 0.0)
    if radius is None:
        return None
    near = 1.0 / (v - radius)
    # The map must also contract, so that the state within the ball is the one that grows out of the operating point.
    if not (response.voltage @ ((s + box) * near**2 * radius) < radius).all():
        return None
    drive = (s * radius / v + box) * near
    change: Floats = response.row @ drive
    if len(response.power):
        voltage, current = response.end @ drive, change[response.power]
        change[response.power] = loading.end * current + voltage * loading.current + voltage * current
    return change


def _ball(gain: Floats, v: Floats, s: Floats, box: Floats, budget: float) -> Floats | None:
    """Radii (n,) that the change of the voltages maps into themselves; None if there are none within half of v."""
    found = np.empty_like(v)
    return found if _settle_ball(gain, v, s, box, budget, found) else None


def _supersolution(gain: Floats, a: Floats, budget: float, c: Floats, d: Floats) -> Floats | None:
    found = np.empty_like(a)
    return found if _settle_linear(gain, a, budget * c, gain_max(gain, d), found) else None


def _linear(gain: Floats, a: Floats, fixed: Floats) -> Floats | None:
    found = np.empty_like(a)
    return found if _settle_linear(gain, a, np.zeros_like(a), fixed, found) else None


def _bound(gain: Floats, a: Floats, c: Floats, d: Floats, budget: float) -> Floats:
    out = np.empty(len(gain))
    _form(gain, a, budget * c, d, out)
    return out


def gain_max(gain: Floats, d: Floats) -> Floats:
    out = np.empty(len(gain))
    _form(gain, np.zeros_like(d), np.zeros_like(d), d, out)
    return out


@njit(cache=True)
def _form(gain, a, c, d, out):  # type: ignore[no-untyped-def]  # numba's calling convention
    """sum_j G_ij a_j + max_j G_ij c_j + max_j G_ij d_j for all i."""
    for i in range(gain.shape[0]):
        total, first, second = 0.0, 0.0, 0.0
        for j in range(gain.shape[1]):
            g = gain[i, j]
            total += g * a[j]
            first = max(first, g * c[j])
            second = max(second, g * d[j])
        out[i] = total + first + second


@njit(cache=True)
def _settle_ball(gain, v, s, box, budget, r):  # type: ignore[no-untyped-def]
    n = v.shape[0]
    a, c, none, out = np.empty(n), np.empty(n), np.zeros(n), np.empty(n)
    r[:] = 0.0
    for _ in range(STEPS):
        for j in range(n):
            near = 1.0 / (v[j] - r[j])
            a[j] = (s[j] * r[j] / v[j] + box[j]) * near
            c[j] = budget * near
        _form(gain, a, c, none, out)
        held = True
        for j in range(n):
            held &= out[j] <= r[j]
        if held:
            return True
        for j in range(n):
            if not out[j] * AIR < 0.5 * v[j]:
                return False
            r[j] = out[j] * AIR
    return False


@njit(cache=True)
def _settle_linear(gain, a, c, fixed, x):  # type: ignore[no-untyped-def]
    n = a.shape[0]
    ax, cx, none, out = np.empty(n), np.empty(n), np.zeros(n), np.empty(n)
    x[:] = fixed
    for _ in range(STEPS):
        for j in range(n):
            ax[j] = a[j] * x[j]
            cx[j] = c[j] * x[j]
        _form(gain, ax, cx, none, out)
        held, most = True, 0.0
        for j in range(n):
            out[j] += fixed[j]
            held &= out[j] <= x[j]
            most = max(most, out[j])
        if held:
            return True
        if not most < 1e12:
            return False
        for j in range(n):
            x[j] = out[j] * AIR
    return False
