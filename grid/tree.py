"""Compiled power flow on a tree: the fixed point, the limits, the largest fitting quantity and the tangent.

All compiled code of the grid is in this one module, because numba's cache does not notice an edited helper in another
one. Arrays are those of `grid.network.Network` (`tree`, `net`), in tree order and per unit. `load` is conj(s) of every
position, s being its injection. docs/gate.md derives the formulas.
"""

from __future__ import annotations

import numpy as np
from numba import njit

TOLERANCE = 1e-12  # last step of the fixed point [pu]; what is left after it is smaller by the rate of contraction
MAX_STEPS = 64  # a state that takes more is far outside of any voltage band
PARTS = 12  # halvings of a lot in search of the limit before a collapse
TIE = 1e-9  # of the way to the next state: limits met within it are met at once
SLACK = 1e-9  # of every limit: so much is kept free, and so much a value already outside may move [pu]

# Rows of `tree`: the skeleton's positions and their parents; at the source, SKELETON_PARENT holds the skeleton's size.
SKELETON, SKELETON_PARENT = 2, 3
# Rows of `tree`: where the arm of a position begins and ends, among positions, in the skeleton, in `members`.
ARM, ARM_END, KEPT, KEPT_END, MEMBERS, MEMBERS_END = 4, 5, 6, 7, 8, 9
# Kinds of limits: rows of `bounds` and of the codes `kind * N + position`.
LOW, HIGH, NEAR, FAR, KINDS = 0, 1, 2, 3, 4
NONE, DIVERGED = -1, -2

# Rows of `work` (complex, per slot): state at the baseline, state at `seen`, the search's bracket, scratch.
BASE, NOW, INNER, OUTER, TRIAL, LOAD, CURRENT, WORK_ROWS = 0, 1, 2, 3, 4, 5, 6, 7
# Rows of `levels` (float, per slot): baseline energy [Wh], baseline reactive power [pu], limits loosened to `seen`.
ENERGY, REACTIVE, LOOSE, LEVEL_ROWS = 0, 1, 2, 2 + KINDS
# What is known of an arm's state at `seen`, the schedule that `work[NOW]` belongs to: at the arm's place behind it.
UNKNOWN, INSIDE, OUTSIDE, NO_STATE = 0, 1, 2, 3


@njit(cache=True)
def _square(z):  # type: ignore[no-untyped-def]
    return z.real * z.real + z.imag * z.imag


@njit(cache=True)
def solve(tree, net, load, v, current):  # type: ignore[no-untyped-def]  # numba's calling convention
    """Iterate v <- w + Z conj(s / v) from the given v, in place; returns the most steps that an arm has taken, or -1
    if one diverges.
    """
    most = 1
    arm = 1
    while arm < v.shape[0]:
        steps = _solve_arm(tree, net, load, v, current, arm)
        if steps < 0:
            return -1
        most = max(most, steps)
        arm = tree[ARM_END, arm]
    return most


@njit(cache=True)
def _solve_arm(tree, net, load, v, current, arm):  # type: ignore[no-untyped-def]
    """`solve` for the arm that begins at a position.

    Each step is one sweep inwards (currents) and one outwards (voltages) through Y = L D L^T, over the skeleton; the
    buses between follow at the end.
    """
    begin, end = tree[KEPT, arm], tree[KEPT_END, arm]
    for step in range(1, MAX_STEPS + 1):
        for k in range(begin, end):
            j = tree[SKELETON, k]
            current[j] = _injected(load[j], v[j])
        for k in range(end - 1, begin - 1, -1):
            j, parent = tree[SKELETON, k], tree[SKELETON_PARENT, k]
            if parent > 0:
                current[parent] += net[5, j] * current[j]
        worst = 0.0
        for k in range(begin, end):
            j = tree[SKELETON, k]
            new = net[6, j] * current[j] + net[5, j] * v[tree[SKELETON_PARENT, k]]
            square = _square(new - v[j])
            if not square <= worst:  # also when it is NaN
                worst = square
            v[j] = new
        if not worst < 1e4:
            return -1
        if worst < TOLERANCE * TOLERANCE:
            if end - begin < tree[ARM_END, arm] - arm:
                _expand(tree, net, load, v, current, arm)
            return step
    return -1


@njit(cache=True)
def _injected(load, v):  # type: ignore[no-untyped-def]
    """The current conj(s / v) that a constant power injects."""
    return load * v * (1.0 / _square(v)) if load != 0 else 0.0j


@njit(cache=True)
def _expand(tree, net, load, v, current, arm):  # type: ignore[no-untyped-def]
    """Every voltage of an arm from those of the skeleton: one sweep over all of it."""
    end = tree[ARM_END, arm]
    for j in range(arm, end):
        current[j] = _injected(load[j], v[j])
    for j in range(end - 1, arm - 1, -1):
        if tree[0, j] > 0:
            current[tree[0, j]] += net[0, j] * current[j]
    for j in range(arm, end):
        v[j] = net[1, j] * current[j] + net[0, j] * v[tree[0, j]]


@njit(cache=True)
def _flows(net, v, j, parent):  # type: ignore[no-untyped-def]
    """Currents into the branch of position j: at the parent's end, at its own end."""
    tap_near, tap_far = net[4, j].real, net[4, j].imag
    near, far = tap_near * v[parent], tap_far * v[j]
    series = net[2, j] * (near - far)
    return tap_near * (series + net[3, j] * near), tap_far * (net[3, j] * far - series)


@njit(cache=True)
def _values(tree, net, v, j):  # type: ignore[no-untyped-def]
    """The complex values that are limited at position j: voltage, and current or power at both ends."""
    parent = tree[0, j]
    near, far = _flows(net, v, j, parent)
    if tree[1, j] == 1:
        near, far = v[parent] * near.conjugate(), v[j] * far.conjugate()
    return v[j], near, far


@njit(cache=True)
def inside(tree, net, v, bounds):  # type: ignore[no-untyped-def]
    """Whether every value is within its bounds, which are squared moduli of shape (KINDS, N)."""
    return _inside(tree, net, v, bounds, 1, v.shape[0])


@njit(cache=True)
def _within(tree, net, v, bounds, arms):  # type: ignore[no-untyped-def]
    """The same of one or two arms."""
    one, two = arms
    if one > 0 and not _inside(tree, net, v, bounds, one, tree[ARM_END, one]):
        return False
    return two == 0 or _inside(tree, net, v, bounds, two, tree[ARM_END, two])


@njit(cache=True)
def _inside(tree, net, v, bounds, begin, end):  # type: ignore[no-untyped-def]
    for j in range(begin, end):
        voltage, near, far = _values(tree, net, v, j)
        square = _square(voltage)
        if square < bounds[LOW, j] or square > bounds[HIGH, j]:
            return False
        if _square(near) > bounds[NEAR, j] or _square(far) > bounds[FAR, j]:
            return False
    return True


@njit(cache=True)
def _loosen(tree, net, v, bounds, loose, arm):  # type: ignore[no-untyped-def]
    """Bounds that a value of an arm already outside may keep, but not pass; returns whether any value is outside."""
    outside = False
    for j in range(arm, tree[ARM_END, arm]):
        voltage, near, far = _values(tree, net, v, j)
        square = _square(voltage)
        loose[LOW, j] = min(bounds[LOW, j], square * (1.0 - 2.0 * SLACK))
        loose[HIGH, j] = max(bounds[HIGH, j], square * (1.0 + 2.0 * SLACK))
        loose[NEAR, j] = max(bounds[NEAR, j], _square(near) * (1.0 + 2.0 * SLACK))
        loose[FAR, j] = max(bounds[FAR, j], _square(far) * (1.0 + 2.0 * SLACK))
        outside |= square < bounds[LOW, j] or square > bounds[HIGH, j]
        outside |= _square(near) > bounds[NEAR, j] or _square(far) > bounds[FAR, j]
    return outside


@njit(cache=True)
def _chord(tree, net, inner, outer, bounds, arms):  # type: ignore[no-untyped-def]
    """Share of the way from a state inside to one outside at which the first bound is met, and that bound's code.

    All values are taken as straight lines x + t d between the two AC states: |x + t d|^2 = U^2 is the quadratic ratio
    test. Of bounds met at once, such as those of two lines in series, the first from the source is named.
    """
    n = inner.shape[0]
    first, code = np.inf, NONE
    for arm in arms:
        for j in range(arm, tree[ARM_END, arm] if arm > 0 else 0):
            from_voltage, from_near, from_far = _values(tree, net, inner, j)
            to_voltage, to_near, to_far = _values(tree, net, outer, j)
            for kind in range(KINDS):
                bound = bounds[kind, j]
                if kind == LOW:
                    share = _enter(from_voltage, to_voltage - from_voltage, bound)
                elif kind == HIGH:
                    share = _leave(from_voltage, to_voltage - from_voltage, bound)
                elif kind == NEAR:
                    share = _leave(from_near, to_near - from_near, bound)
                else:
                    share = _leave(from_far, to_far - from_far, bound)
                if share < first - TIE:
                    first, code = share, kind * n + j
    return min(first, 1.0), code


@njit(cache=True)
def _leave(x, d, bound):  # type: ignore[no-untyped-def]
    """Largest t with |x + t d|^2 <= bound, for x inside."""
    a = _square(d)
    if a == 0.0 or bound == np.inf:
        return np.inf
    b = x.real * d.real + x.imag * d.imag
    return (np.sqrt(b * b + a * max(bound - _square(x), 0.0)) - b) / a


@njit(cache=True)
def _enter(x, d, bound):  # type: ignore[no-untyped-def]
    """Smallest t > 0 with |x + t d|^2 = bound, for x outside of that circle; inf if it is never met."""
    a = _square(d)
    b = x.real * d.real + x.imag * d.imag
    root = b * b - a * max(_square(x) - bound, 0.0)
    if b >= 0.0 or root <= 0.0:
        return np.inf
    return (-b - np.sqrt(root)) / a


@njit(cache=True)
def _touched(tree, inject, withdraw):  # type: ignore[no-untyped-def]
    """First positions of the arms that two positions are in, 0 for the source and for the same arm once more."""
    one = tree[ARM, inject] if inject > 0 else 0
    two = tree[ARM, withdraw] if withdraw > 0 else 0
    return one, (two if two != one else 0)


@njit(cache=True)
def _loads(tree, connection, members, levels, schedule, scale, load, arm):  # type: ignore[no-untyped-def]
    """Net energy of an arm's positions [Wh] into the real part of `load`; whole numbers, so exact in any order."""
    end = tree[ARM_END, arm]
    for j in range(arm, end):
        load[j] = complex(levels[ENERGY, j], -levels[REACTIVE, j])
    for k in range(tree[MEMBERS, arm], tree[MEMBERS_END, arm]):
        load[connection[members[k]]] += schedule[members[k]]
    for j in range(arm, end):
        load[j] = complex(load[j].real * scale, load[j].imag)


@njit(cache=True)
def _try(tree, net, work, inject, withdraw, moved, scale, target, arms):  # type: ignore[no-untyped-def]
    """State of arms with `moved` Wh more at one position and less at the other, into work[target]; False if none.

    It always starts from the baseline's state, so the outcome is a function of baseline, schedule and question alone.
    """
    load = work[LOAD]
    before, after = load[inject], load[withdraw]
    load[inject] = complex(load[inject].real + moved * scale, load[inject].imag)
    load[withdraw] = complex(load[withdraw].real - moved * scale, load[withdraw].imag)
    found = True
    work[target, 0] = work[BASE, 0]
    for arm in arms:
        if arm > 0 and found:
            work[target, arm : tree[ARM_END, arm]] = work[BASE, arm : tree[ARM_END, arm]]
            found = _solve_arm(tree, net, load, work[target], work[CURRENT], arm) > 0
    load[inject], load[withdraw] = before, after
    return found


@njit(cache=True)
def state_at(tree, net, connection, members, levels, work, schedule, scale):  # type: ignore[no-untyped-def]
    """State at baseline and schedule into work[TRIAL], its loads into work[LOAD]; False if it diverges."""
    found = True
    arm = 1
    while arm < work.shape[1]:
        _loads(tree, connection, members, levels, schedule, scale, work[LOAD], arm)
        found = found and _try(tree, net, work, 0, 0, 0, scale, TRIAL, (arm, 0))
        arm = tree[ARM_END, arm]
    return found


@njit(cache=True)
def _look(tree, net, bounds, members, levels, work, schedule, seen, scale, arms):  # type: ignore[no-untyped-def]
    """What is known of arms under the present schedule, the worst of them; found once and kept until it changes."""
    c = schedule.shape[0]
    worst = INSIDE
    for arm in arms:
        if arm == 0:
            continue
        known = seen[c + arm]
        for k in range(tree[MEMBERS, arm], tree[MEMBERS_END, arm]):
            i = members[k]
            if seen[i] != schedule[i]:
                known = UNKNOWN
                seen[i] = schedule[i]
        if known == UNKNOWN:
            if not _try(tree, net, work, 0, 0, 0, scale, NOW, (arm, 0)):
                known = NO_STATE
            elif _loosen(tree, net, work[NOW], bounds, levels[LOOSE:], arm):
                known = OUTSIDE
            else:
                known = INSIDE
            seen[c + arm] = known
        worst = max(worst, known)
    return worst


@njit(cache=True)
def _keep(tree, work, source, target, arms):  # type: ignore[no-untyped-def]
    work[target, 0] = work[source, 0]
    for arm in arms:
        if arm > 0:
            work[target, arm : tree[ARM_END, arm]] = work[source, arm : tree[ARM_END, arm]]


@njit(cache=True)
def fit(tree, net, bounds, connection, members, levels, work, schedule, seen, scale, inject, withdraw, lots, lot):  # type: ignore[no-untyped-def]
    """Most lots, up to `lots`, that may move from position `withdraw` to `inject`, and the code of what limits them.

    `bounds` are squared moduli (KINDS, N); position 0, the source, takes any energy without effect. Only
    the arms of the two positions are looked at: nothing changes in another.
    """
    arms = _touched(tree, inject, withdraw)
    for arm in arms:
        if arm > 0:
            _loads(tree, connection, members, levels, schedule, scale, work[LOAD], arm)
    found = _try(tree, net, work, inject, withdraw, lots * lot, scale, OUTER, arms)
    if found and _within(tree, net, work[OUTER], bounds, arms):
        return lots, NONE
    known = _look(tree, net, bounds, members, levels, work, schedule, seen, scale, arms)
    if known == NO_STATE:
        return 0, DIVERGED
    if known == OUTSIDE:
        bounds = levels[LOOSE:]
        if found and _within(tree, net, work[OUTER], bounds, arms):
            return lots, NONE
    _keep(tree, work, NOW, INNER, arms)
    low, high, guesses = 0, lots, 0
    while high - low > 1:
        if found and guesses < 5:
            share, _ = _chord(tree, net, work[INNER], work[OUTER], bounds, arms)
            middle = min(max(low + int(share * (high - low)), low + 1), high - 1)
        else:
            middle = (low + high) // 2
        guesses += 1
        solved = _try(tree, net, work, inject, withdraw, middle * lot, scale, TRIAL, arms)
        if solved and _within(tree, net, work[TRIAL], bounds, arms):
            low = middle
            _keep(tree, work, TRIAL, INNER, arms)
        else:
            high = middle
            found = solved
            _keep(tree, work, TRIAL, OUTER, arms)
    below, beyond = float(low * lot), float(high * lot)
    for _ in range(PARTS):
        if found:
            break
        # One more lot has no state. Parts of a lot are tried only to name the limit that is met on the way there.
        part = 0.5 * (below + beyond)
        solved = _try(tree, net, work, inject, withdraw, part, scale, TRIAL, arms)
        if not solved:
            beyond = part
        elif _within(tree, net, work[TRIAL], bounds, arms):
            below = part
            _keep(tree, work, TRIAL, INNER, arms)
        else:
            found = True
            _keep(tree, work, TRIAL, OUTER, arms)
    if not found:
        return low, DIVERGED
    return low, _chord(tree, net, work[INNER], work[OUTER], bounds, arms)[1]


@njit(cache=True)
def tangent(tree, net, v, load, connection):  # type: ignore[no-untyped-def]
    """Change of every voltage per unit of active power injected at each connection: (C, N), exact at the state v.

    Solves Y dv + E conj(dv) = conj(ds / v) with E = conj(s) / conj(v)^2. The pivots are real-linear maps
    z -> a z + b conj(z), eliminated along the tree like those of Y; `beyond` avoids cancellation (see network).
    """
    n = v.shape[0]
    a = np.zeros(n, np.complex128)
    b = np.zeros(n, np.complex128)
    beyond = np.zeros(n, np.complex128)
    inverse = np.zeros((2, n), np.complex128)
    link = np.zeros(n, np.complex128)
    for j in range(n - 1, 0, -1):
        tap_near, tap_far, y, shunt = net[4, j].real, net[4, j].imag, net[2, j], net[3, j]
        b[j] += load[j] / (v[j].conjugate() * v[j].conjugate())
        aside = tap_far * tap_far * shunt + beyond[j]
        a[j] = tap_far * tap_far * y + aside
        determinant = _square(a[j]) - _square(b[j])
        inverse[0, j] = a[j].conjugate() / determinant
        inverse[1, j] = -b[j] / determinant
        link[j] = tap_near * tap_far * y
        parent = tree[0, j]
        part = (a[j].conjugate() * aside - _square(b[j])) / determinant
        beyond[parent] += tap_near * tap_near * (shunt + y * part)
        b[parent] += _square(link[j]) * b[j] / determinant
    result = np.zeros((connection.shape[0], n), np.complex128)
    drive = np.zeros(n, np.complex128)
    for c in range(connection.shape[0]):
        j = connection[c]
        if j == 0:
            continue
        drive[:] = 0.0
        drive[j] = 1.0 / v[j].conjugate()
        while tree[0, j] > 0:
            drive[tree[0, j]] = link[j] * (inverse[0, j] * drive[j] + inverse[1, j] * drive[j].conjugate())
            j = tree[0, j]
        for j in range(1, n):
            push = drive[j] + link[j] * result[c, tree[0, j]]
            result[c, j] = inverse[0, j] * push + inverse[1, j] * push.conjugate()
    return result


@njit(cache=True)
def impedance(tree, net, positions):  # type: ignore[no-untyped-def]
    """Change of every voltage per unit of current injected at each position, the source held: columns of Z, (K, N)."""
    n = tree.shape[1]
    result = np.zeros((positions.shape[0], n), np.complex128)
    current = np.zeros(n, np.complex128)
    for k in range(positions.shape[0]):
        j = positions[k]
        current[:] = 0.0
        current[j] = 1.0
        while tree[0, j] > 0:
            current[tree[0, j]] = net[0, j] * current[j]
            j = tree[0, j]
        for j in range(1, n):
            result[k, j] = net[1, j] * current[j] + net[0, j] * result[k, tree[0, j]]
    return result


@njit(cache=True)
def flows(tree, net, v, near, far):  # type: ignore[no-untyped-def]
    """Currents into the branch of every position at the parent's end and at its own, into `near` and `far` (N,)."""
    for j in range(1, v.shape[0]):
        near[j], far[j] = _flows(net, v, j, tree[0, j])


@njit(cache=True)
def fill_rows(tree, net, v, dv, codes, units, per_wh, state, sensitivity):  # type: ignore[no-untyped-def]
    """Whole-numbered state (2, R) and sensitivity (C, 2, R) of the rows `codes`, from the tangent `dv` [per pu].

    `units` (R,): what one pu is in the row's unit; `per_wh`: the power of one Wh in the slot [pu].
    """
    n = v.shape[0]
    current = np.zeros(codes.shape[0], np.complex128)
    for r in range(codes.shape[0]):
        kind, j = codes[r] // n, codes[r] % n
        voltage, near, far = _values(tree, net, v, j)
        value = voltage if kind <= HIGH else (near if kind == NEAR else far)
        state[0, r] = np.rint(value.real * units[r])
        state[1, r] = np.rint(value.imag * units[r])
        near, far = _flows(net, v, j, tree[0, j])
        current[r] = far if kind == FAR else near
    for c in range(dv.shape[0]):
        for r in range(codes.shape[0]):
            kind, j = codes[r] // n, codes[r] % n
            change = dv[c, j]
            if kind > HIGH:
                near, far = _flows(net, dv[c], j, tree[0, j])
                change = far if kind == FAR else near
                if tree[1, j] == 1:
                    end = j if kind == FAR else tree[0, j]
                    change = dv[c, end] * current[r].conjugate() + v[end] * change.conjugate()
            scale = per_wh * units[r]
            sensitivity[c, 0, r] = np.rint(change.real * scale)
            sensitivity[c, 1, r] = np.rint(change.imag * scale)
