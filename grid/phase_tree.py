"""Compiled power flow in three phases on a tree: the fixed point, the limited values and the tangent.

Arrays are those of `grid.phase_network.PhaseNetwork` (`tree`, `blocks`), in tree order and per unit. `load` (N, 3) is
conj(s) of every position and phase, s being its injection. All compiled code is in this module, because numba's cache
does not notice an edited helper in another one. docs/three_phase.md derives the formulas.
"""

from __future__ import annotations

import numpy as np
from numba import njit

TOLERANCE = 1e-12  # last step of the fixed point [pu]; what is left after it is smaller by the rate of contraction
MAX_STEPS = 64  # a state that takes more is far outside of any voltage band
TIE = 1e-9  # of the way to the next state: limits met within it are met at once

PIVOT, DOWN, UP, SERIES, P, C, SHUNT_P, SHUNT_C, KIRCHHOFF, NEAR_P, NEAR_C = range(11)
# Rows of the limited values of a position: voltages of a, b, c; currents (or powers of a transformer) of a, b, c and
# neutral at the parent's end and at its own; unbalance V2 / |V1|.
NEAR, FAR, UNBALANCE, VALUE_ROWS = 3, 7, 11, 12
TURN = complex(-0.5, 0.75**0.5)


@njit(cache=True)
def _square(z):  # type: ignore[no-untyped-def]  # numba's calling convention
    return z.real * z.real + z.imag * z.imag


@njit(cache=True)
def _inject(load, v, current):  # type: ignore[no-untyped-def]
    """The currents conj(s / v) that constant powers inject."""
    for j in range(1, v.shape[0]):
        for f in range(3):
            power = load[j, f]
            current[j, f] = power * v[j, f] * (1.0 / _square(v[j, f])) if power != 0 else 0.0j


@njit(cache=True)
def solve(tree, blocks, load, v, current):  # type: ignore[no-untyped-def]
    """Iterate v <- w + Z conj(s / v) from the given v, in place; returns the steps taken, or -1 if it diverges."""
    n = v.shape[0]
    for step in range(1, MAX_STEPS + 1):
        _inject(load, v, current)
        for j in range(n - 1, 0, -1):
            parent, up = tree[0, j], blocks[UP, j]
            if tree[2, j] == 1:
                if parent > 0:
                    for f in range(3):
                        current[parent, f] += current[j, f]
            elif parent > 0:
                x, y, z = current[j, 0], current[j, 1], current[j, 2]
                for f in range(3):
                    current[parent, f] += up[f, 0] * x + up[f, 1] * y + up[f, 2] * z
        worst = 0.0
        for j in range(1, n):
            parent, pivot, down = tree[0, j], blocks[PIVOT, j], blocks[DOWN, j]
            x, y, z = current[j, 0], current[j, 1], current[j, 2]
            a, b, c = v[parent, 0], v[parent, 1], v[parent, 2]
            for f in range(3):
                new = pivot[f, 0] * x + pivot[f, 1] * y + pivot[f, 2] * z
                if tree[2, j] == 1:
                    new += v[parent, f]
                else:
                    new += down[f, 0] * a + down[f, 1] * b + down[f, 2] * c
                square = _square(new - v[j, f])
                if not square <= worst:  # also when it is NaN
                    worst = square
                v[j, f] = new
        if not worst < 1e4:
            return -1
        if worst < TOLERANCE * TOLERANCE:
            return step
    return -1


@njit(cache=True)
def _currents(tree, blocks, plain, v, current, near):  # type: ignore[no-untyped-def]
    """From injected currents to those into the branches at the children's ends, in place, and at the parents' ends.

    By Kirchhoff's law from the leaves inwards: never as a difference of voltages over a short cable.
    """
    for j in range(v.shape[0] - 1, 0, -1):
        parent = tree[0, j]
        for f in range(3):
            total = -current[j, f]
            if not plain[j]:
                total = 0.0j
                for g in range(3):
                    total += blocks[NEAR_P, j, f, g] * v[parent, g] + blocks[NEAR_C, j, f, g] * v[j, g]
                    total -= blocks[KIRCHHOFF, j, f, g] * current[j, g]
            near[j, f] = total
            if parent > 0:
                current[parent, f] -= total


@njit(cache=True)
def _negative(a, b, c):  # type: ignore[no-untyped-def]
    """The negative sequence of three phasors; the positive one if b and c are exchanged."""
    return (a + TURN.conjugate() * b + TURN * c) / 3


@njit(cache=True)
def values(tree, blocks, plain, load, v, current, near, out):  # type: ignore[no-untyped-def]
    """All limited values of a state into `out` (VALUE_ROWS, N); `current` and `near` (N, 3) are overwritten."""
    n = v.shape[0]
    _inject(load, v, current)
    _currents(tree, blocks, plain, v, current, near)
    for j in range(1, n):
        a, b, c = v[j, 0], v[j, 1], v[j, 2]
        out[0, j], out[1, j], out[2, j] = a, b, c
        out[UNBALANCE, j] = _negative(a, b, c) / abs(_negative(a, c, b))
        if tree[1, j] == 1:
            parent = tree[0, j]
            for f in range(3):
                out[NEAR + f, j] = v[parent, f] * near[j, f].conjugate()
                out[FAR + f, j] = v[j, f] * current[j, f].conjugate()
        else:
            for f in range(3):
                out[NEAR + f, j] = near[j, f]
                out[FAR + f, j] = current[j, f]
            out[NEAR + 3, j] = near[j, 0] + near[j, 1] + near[j, 2]
            out[FAR + 3, j] = current[j, 0] + current[j, 1] + current[j, 2]


@njit(cache=True)
def state_at(tree, blocks, plain, connection, parts, energy, per_wh, load, v, current, near, out):  # type: ignore[no-untyped-def]
    """State and limited values at whole-numbered `energy` (C,) [Wh], from the given v; False if it diverges.

    `load` holds the reactive part, to which the active one is added; `parts` (C, 3) thrice the share of each phase.
    """
    total = np.zeros((v.shape[0], 3))
    for c in range(connection.shape[0]):
        for f in range(3):
            total[connection[c], f] += energy[c] * parts[c, f]
    for j in range(1, v.shape[0]):
        for f in range(3):
            load[j, f] += total[j, f] * per_wh
    if solve(tree, blocks, load, v, current) < 0:
        return False
    values(tree, blocks, plain, load, v, current, near, out)
    return True


@njit(cache=True)
def inside(values, low, high):  # type: ignore[no-untyped-def]
    """Whether all values are within their squared bounds: voltages above low (3, N), all below high (VALUE_ROWS, N)."""
    for j in range(1, values.shape[1]):
        for row in range(VALUE_ROWS):
            square = _square(values[row, j])
            if square > high[row, j] or (row < 3 and square < low[row, j]):
                return False
    return True


@njit(cache=True)
def chord(inner, outer, low, high):  # type: ignore[no-untyped-def]
    """Share of the way from a state inside to one outside at which the first bound is met, and that bound's code.

    All values are taken as straight lines x + t d between the two: |x + t d|^2 = U^2 is the quadratic ratio test. Of
    bounds met at once, such as those of two lines in series, the first from the source is named. A code is
    kind * N + position; kinds 0 to 2 are the low bounds of the voltages, the others 3 and the row of the value.
    """
    n = inner.shape[1]
    first, code = np.inf, 0
    for j in range(1, n):
        for row in range(VALUE_ROWS):
            x, d = inner[row, j], outer[row, j] - inner[row, j]
            a, b, square = _square(d), x.real * d.real + x.imag * d.imag, _square(x)
            if a == 0.0:
                continue
            if row < 3 and b < 0.0:
                root = b * b - a * max(square - low[row, j], 0.0)
                share = (-b - np.sqrt(root)) / a if root > 0.0 else np.inf
                if share < first - TIE:
                    first, code = share, row * n + j
            if high[row, j] < np.inf:
                share = (np.sqrt(b * b + a * max(high[row, j] - square, 0.0)) - b) / a
                if share < first - TIE:
                    first, code = share, (3 + row) * n + j
    return min(first, 1.0), code


@njit(cache=True)
def _real(matrix):  # type: ignore[no-untyped-def]
    """A complex 3x3 matrix as a real 6x6 one on real parts, then imaginary parts."""
    out = np.empty((6, 6))
    for f in range(3):
        for g in range(3):
            out[f, g] = out[f + 3, g + 3] = matrix[f, g].real
            out[f + 3, g] = matrix[f, g].imag
            out[f, g + 3] = -matrix[f, g].imag
    return out


@njit(cache=True)
def _times(a, b):  # type: ignore[no-untyped-def]
    out = np.zeros((6, 6))
    for f in range(6):
        for h in range(6):
            x = a[f, h]
            for g in range(6):
                out[f, g] += x * b[h, g]
    return out


@njit(cache=True)
def _inverse(a):  # type: ignore[no-untyped-def]
    """Of a real 6x6 matrix, by Gauss and Jordan with row pivots."""
    left, out = a.copy(), np.eye(6)
    for k in range(6):
        best = k
        for f in range(k + 1, 6):
            if abs(left[f, k]) > abs(left[best, k]):
                best = f
        for g in range(6):
            left[k, g], left[best, g] = left[best, g], left[k, g]
            out[k, g], out[best, g] = out[best, g], out[k, g]
        scale = 1.0 / left[k, k]
        for g in range(6):
            left[k, g] *= scale
            out[k, g] *= scale
        for f in range(6):
            factor = left[f, k]
            if f != k and factor != 0.0:
                for g in range(6):
                    left[f, g] -= factor * left[k, g]
                    out[f, g] -= factor * out[k, g]
    return out


@njit(cache=True)
def _factors(tree, blocks, v, load):  # type: ignore[no-untyped-def]
    """(3, N, 6, 6): inverse pivots, and the maps of a drive inwards and of a voltage outwards, at the state v.

    The pivots are real-linear maps of complex triples, because a constant power turns conj(dv) into a current.
    """
    n = v.shape[0]
    out = np.zeros((3, n, 6, 6))
    beyond = np.zeros((n, 6, 6))
    for j in range(n - 1, 0, -1):
        for f in range(3):
            if load[j, f] != 0:
                e = load[j, f] / (v[j, f].conjugate() * v[j, f].conjugate())
                beyond[j, f, f] += e.real
                beyond[j, f, f + 3] += e.imag
                beyond[j, f + 3, f] += e.imag
                beyond[j, f + 3, f + 3] -= e.real
        y, p, c = _real(blocks[SERIES, j]), _real(blocks[P, j]), _real(blocks[C, j])
        c_inverse = _inverse(c)
        aside = _real(blocks[SHUNT_C, j]) + _times(_times(c_inverse.T, beyond[j]), c_inverse)
        inner = _inverse(y + aside)
        back = _times(c_inverse, inner)
        y_p = _times(y, p)
        out[0, j] = _times(back, c_inverse.T)
        out[1, j] = _times(_times(_times(p.T, y), inner), c_inverse.T)
        out[2, j] = _times(back, y_p)
        seen = _real(blocks[SHUNT_P, j]) + _times(_times(y, inner), aside)
        beyond[tree[0, j]] += _times(_times(p.T, seen), p)
    return out


@njit(cache=True)
def tangent(tree, blocks, v, load, connection, shares):  # type: ignore[no-untyped-def]
    """Change of every voltage per unit of active power injected at each connection: (C, N, 3), exact at the state v."""
    n = v.shape[0]
    factors = _factors(tree, blocks, v, load)
    result = np.zeros((connection.shape[0], n, 3), np.complex128)
    drive = np.zeros((n, 6))
    total = np.zeros(6)
    for c in range(connection.shape[0]):
        j = connection[c]
        if j == 0:
            continue
        drive[:] = 0.0
        for f in range(3):
            if shares[c, f] > 0.0:
                push = 3.0 * shares[c, f] / v[j, f].conjugate()
                drive[j, f], drive[j, f + 3] = push.real, push.imag
        first = j
        while tree[0, j] > 0:
            parent = tree[0, j]
            for f in range(6):
                drive[parent, f] = 0.0
                for g in range(6):
                    drive[parent, f] += factors[1, j, f, g] * drive[j, g]
            j = parent
        for j in range(1, n):
            parent = tree[0, j]
            for f in range(6):
                total[f] = 0.0
                for g in range(3):
                    total[f] += factors[2, j, f, g] * result[c, parent, g].real
                    total[f] += factors[2, j, f, g + 3] * result[c, parent, g].imag
            if j <= first:
                for f in range(6):
                    for g in range(6):
                        total[f] += factors[0, j, f, g] * drive[j, g]
            for f in range(3):
                result[c, j, f] = complex(total[f], total[f + 3])
    return result


@njit(cache=True)
def _changes(tree, blocks, plain, load, v, near, far, dv, at, shares, work, out):  # type: ignore[no-untyped-def]
    """Change of all limited values into `out` (VALUE_ROWS, N), for the change dv (N, 3) of the voltages.

    It is that of one more unit of power at position `at`; `near` and `far` (N, 3) are the currents of the state.
    """
    n = v.shape[0]
    current, near_change = work[0], work[1]
    for j in range(1, n):
        for f in range(3):
            current[j, f] = 0.0j
            if load[j, f] != 0:
                square = v[j, f].conjugate() * v[j, f].conjugate()
                current[j, f] = -load[j, f] / square * dv[j, f].conjugate()
    for f in range(3):
        if at > 0 and shares[f] > 0.0:
            current[at, f] += 3.0 * shares[f] / v[at, f].conjugate()
    _currents(tree, blocks, plain, dv, current, near_change)
    for j in range(1, n):
        a, b, c = dv[j, 0], dv[j, 1], dv[j, 2]
        out[0, j], out[1, j], out[2, j] = a, b, c
        positive, negative = _negative(v[j, 0], v[j, 2], v[j, 1]), _negative(v[j, 0], v[j, 1], v[j, 2])
        size = abs(positive)
        growth = (positive.conjugate() * _negative(a, c, b)).real / size
        out[UNBALANCE, j] = (_negative(a, b, c) - negative * (growth / size)) / size
        parent = tree[0, j]
        for f in range(3):
            if tree[1, j] == 1:
                out[NEAR + f, j] = dv[parent, f] * near[j, f].conjugate() + v[parent, f] * near_change[j, f].conjugate()
                out[FAR + f, j] = dv[j, f] * far[j, f].conjugate() + v[j, f] * current[j, f].conjugate()
            else:
                out[NEAR + f, j] = near_change[j, f]
                out[FAR + f, j] = current[j, f]
        out[NEAR + 3, j] = 0.0j
        out[FAR + 3, j] = 0.0j
        if tree[1, j] == 0:
            out[NEAR + 3, j] = near_change[j, 0] + near_change[j, 1] + near_change[j, 2]
            out[FAR + 3, j] = current[j, 0] + current[j, 1] + current[j, 2]


@njit(cache=True)
def fill_rows(tree, blocks, plain, load, v, dv, connection, shares, which, position, scale, sensitivity):  # type: ignore[no-untyped-def]
    """Whole-numbered sensitivity (C, 2, R) of the values `which` at `position` (R,), from the tangent `dv` [per pu].

    `scale` (R,) is the row's unit times the power of one Wh [pu].
    """
    n = v.shape[0]
    far, near = np.zeros((n, 3), np.complex128), np.zeros((n, 3), np.complex128)
    out = np.zeros((VALUE_ROWS, n), np.complex128)
    values(tree, blocks, plain, load, v, far, near, out)
    work = np.zeros((2, n, 3), np.complex128)
    for c in range(connection.shape[0]):
        _changes(tree, blocks, plain, load, v, near, far, dv[c], connection[c], shares[c], work, out)
        for r in range(which.shape[0]):
            change = out[which[r], position[r]]
            sensitivity[c, 0, r] = np.rint(change.real * scale[r])
            sensitivity[c, 1, r] = np.rint(change.imag * scale[r])
