"""A feeder in per unit as a tree: what the compiled power flow sweeps over.

Every bus but the source has exactly one branch towards it, so a bus and its branch share one *position*: positions
count the buses from the source outwards (position 0), a parent before its children. What hangs on one branch of the
source is an *arm*: positions without a gap, on which nothing depends that happens in another arm, since the source
holds its voltage. All branches have one form, the
pi model of power-grid-model: a series admittance y, half a shunt sh at each end, and a real tap at each end (a line's
taps are 1; a transformer's from-side has 1/k). With p the parent and c the child,

    i_p = a_p ((y + sh) a_p v_p - y a_c v_c),      i_c = a_c ((y + sh) a_c v_c - y a_p v_p).

The phase shift of a transformer's vector group is left out: in a tree it turns all voltages and currents beyond the
transformer by the same angle and changes no modulus and no power.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from grid.feeder import Feeder

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Complexes = NDArray[np.complex128]

BASE_VA = 1e6
FREQUENCY_HZ = 50.0


@dataclass(frozen=True, eq=False)
class Network:
    """A feeder of N buses and B = N - 1 branches (lines first, then transformers) in tree order; arrays read-only."""

    feeder: Feeder
    bus: Ints
    """(N,) the feeder's bus at each position."""
    position: Ints
    """(N,) the position of each of the feeder's buses."""
    branch: Ints
    """(N,) the branch that feeds each position, -1 at the source."""
    tree: Ints
    """(10, N) parent position (-1 at the source); 1 where the branch is limited in power, 0 where in current; the
    skeleton's positions and their parents in the skeleton, its size first (see `_skeleton`); begin and end of the arm
    that a position is in, in the tree, in the skeleton and in `members` (see `_arms`)."""
    net: Complexes
    """(7, N) multiplier and inverse pivot of the elimination, y, sh, the taps as a_p + j a_c, and multiplier and
    inverse pivot of the skeleton."""
    reversed: NDArray[np.bool_]
    """(N,) True where the branch's from-side is the child."""
    rating: Floats
    """(N,) current of a line or power of a transformer at full load [pu], inf at the source."""
    base_a: Floats
    """(N,) current of 1 pu at each position [A]."""
    connection: Ints
    """(C,) position of each connection."""
    members: Ints
    """(C,) connections by position."""

    @property
    def parent(self) -> Ints:
        parents: Ints = self.tree[0]
        return parents

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def flat(self) -> Complexes:
        """(N,) the source's voltage at every position, where every search for a state may start."""
        return np.full(len(self.bus), complex(self.feeder.source_u_pu))


def build(feeder: Feeder) -> Network:
    """The feeder's network on a base of 1 MVA and the rated voltages."""
    n = len(feeder.bus_ids)
    first = np.concatenate([feeder.line_from, feeder.transformer_from])
    second = np.concatenate([feeder.line_to, feeder.transformer_to])
    bus, parent, branch = order(n, feeder.source_bus, first, second)
    position = np.empty(n, dtype=np.int64)
    position[bus] = np.arange(n)
    y, shunt, tap_from, tap_to, rating = branches(feeder)
    child_is_from = np.zeros(n, dtype=np.bool_)
    child_is_from[1:] = first[branch[1:]] == bus[1:]
    is_power = (branch >= len(feeder.line_ids)).astype(np.int64)
    net = np.zeros((7, n), dtype=np.complex128)
    limit = np.full(n, np.inf)
    if n > 1:
        net[2, 1:] = y[branch[1:]]
        net[3, 1:] = shunt[branch[1:]]
        tap_parent = np.where(child_is_from, tap_to[branch], tap_from[branch])
        tap_child = np.where(child_is_from, tap_from[branch], tap_to[branch])
        net[4, 1:] = (tap_parent + 1j * tap_child)[1:]
        limit[1:] = rating[branch[1:]]
        _eliminate(parent, net)
    connection = position[feeder.connection_bus]
    members = np.argsort(connection, kind="stable")
    skeleton = _skeleton(parent, net, connection)
    return Network(
        feeder=feeder,
        bus=bus,
        position=position,
        branch=branch,
        tree=np.stack(
            [parent, is_power, *skeleton, *_arms(parent, skeleton[0][: skeleton[1][0]], connection[members])]
        ),
        net=net,
        reversed=child_is_from,
        rating=limit,
        base_a=BASE_VA / np.sqrt(3) / feeder.u_rated_v[bus],
        connection=connection,
        members=members,
    )


def order(n: int, source: int, first: Ints, second: Ints) -> tuple[Ints, Ints, Ints]:
    """Buses arm by arm, each breadth first from the source, with the parent position and the branch of each."""
    ends: list[list[tuple[int, int]]] = [[] for _ in range(n)]
    for branch, (a, b) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        ends[a].append((b, branch))
        ends[b].append((a, branch))
    order, parent, via = [source], [-1], [-1]
    for place in range(n):
        for other, branch in ends[order[place]]:
            if branch != via[place]:
                order.append(other)
                parent.append(place)
                via.append(branch)
    arm = list(range(n))
    for place in range(1, n):
        if parent[place] > 0:
            arm[place] = arm[parent[place]]
    sorted_ = np.argsort(arm, kind="stable")
    rank = np.empty(n, dtype=np.int64)
    rank[sorted_] = np.arange(n)
    above = np.array(parent, dtype=np.int64)[sorted_]
    above[1:] = rank[above[1:]]
    return np.array(order, dtype=np.int64)[sorted_], above, np.array(via, dtype=np.int64)[sorted_]


def _arms(parent: Ints, skeleton: Ints, connections: Ints) -> Ints:
    """(6, N) begin and end of every position's arm among the positions, those of the skeleton and of connections."""
    first = np.arange(len(parent))
    for j in range(1, len(parent)):
        if parent[j] > 0:
            first[j] = first[parent[j]]
    end = np.searchsorted(first, first, side="right")
    first[0] = end[0] = 1  # the source is in none
    places = [(np.searchsorted(among, first), np.searchsorted(among, end)) for among in (skeleton, connections)]
    return np.stack([first, end, *(edge for edges in places for edge in edges)])


def branches(feeder: Feeder) -> tuple[Complexes, Complexes, Floats, Floats, Floats]:
    """Series admittance, half shunt, taps at both ends and rating of every branch [pu], shape (B,) each.

    The formulas are those of power-grid-model's documentation ("Components"): impedances of a transformer refer to
    its to-side at the present tap, R = pk u2^2 / s^2, |Z| = uk u2^2 / s, G = p0 / u2^2, |Y| = i0 s / u2^2, and the
    ratio k is (u1 / u2) at the tap over the ratio of the rated bus voltages.
    """
    u = feeder.u_rated_v[feeder.line_from]
    z_base = u**2 / BASE_VA
    line_y = z_base / (feeder.r_ohm + 1j * feeder.x_ohm)
    line_shunt = 0.5j * 2 * np.pi * FREQUENCY_HZ * feeder.c_f * z_base
    line_rating = feeder.i_max_a * np.sqrt(3) * u / BASE_VA

    u_from = feeder.u_rated_v[feeder.transformer_from]
    u_to = feeder.u_rated_v[feeder.transformer_to]
    direction = np.where(feeder.tap_max > feeder.tap_min, 1, -1)
    shift = direction * (feeder.tap_pos - feeder.tap_nom) * feeder.tap_size_v
    u1 = feeder.u1_v + np.where(feeder.tap_side == 0, shift, 0.0)
    u2 = feeder.u2_v + np.where(feeder.tap_side == 1, shift, 0.0)
    z_base = u_to**2 / BASE_VA
    r = feeder.pk_w * u2**2 / feeder.s_va**2
    x = np.sqrt(np.maximum((feeder.uk * u2**2 / feeder.s_va) ** 2 - r**2, 0.0))
    g = feeder.p0_w / u2**2
    b = np.sqrt(np.maximum((feeder.i0 * feeder.s_va / u2**2) ** 2 - g**2, 0.0))
    tap_from = (u_from / u_to) / (u1 / u2)
    return (
        np.concatenate([line_y, z_base / (r + 1j * x)]),
        np.concatenate([line_shunt, 0.5 * (g - 1j * b) * z_base]),
        np.concatenate([np.ones(len(u)), tap_from]),
        np.ones(len(u) + len(u_to)),
        np.concatenate([line_rating, feeder.s_va / BASE_VA]),
    )


def _eliminate(parent: Ints, net: Complexes) -> None:
    """Multipliers and inverse pivots of Y = L D L^T from the leaves inwards; a tree has no fill-in.

    `beyond` is what a bus sees downstream. It is built up from shunts alone, never as a difference of large
    admittances, so that very short branches cost no digits.
    """
    beyond = np.zeros(len(parent), dtype=np.complex128)
    for j in range(len(parent) - 1, 0, -1):
        y, shunt, tap_parent, tap_child = net[2, j], net[3, j], net[4, j].real, net[4, j].imag
        aside = tap_child**2 * shunt + beyond[j]
        pivot = tap_child**2 * y + aside
        net[0, j] = tap_parent * tap_child * y / pivot
        net[1, j] = 1 / pivot
        beyond[parent[j]] += tap_parent**2 * (shunt + y * aside / pivot)


def _skeleton(parent: Ints, net: Complexes, connection: Ints) -> tuple[Ints, Ints]:
    """Positions that a fixed point must visit, and the next such position inwards; fills rows 5 and 6 of `net`.

    A bus without a connection only passes current on. Where it has one live branch beyond it, its elimination is
    folded into that branch's: v_c = d cur_c + m v_p and v_p = D cur_p + M v_t with cur_p = m cur_c give
    v_c = (d + m^2 D) cur_c + m M v_t. Long cables drawn as many buses so cost one step, and nothing is approximated.
    """
    n = len(parent)
    used = np.zeros(n, dtype=np.bool_)
    used[connection] = True
    used[0] = True
    beyond = np.zeros(n, dtype=np.int64)
    for j in range(n - 1, 0, -1):
        beyond[parent[j]] += used[j] or beyond[j] > 0
    kept = used | (beyond > 1)
    top = np.zeros(n, dtype=np.int64)
    for j in range(1, n):
        m, d = net[0, j], net[1, j]
        p = parent[j]
        if kept[p]:
            top[j], net[5, j], net[6, j] = p, m, d
        else:
            top[j], net[5, j], net[6, j] = top[p], m * net[5, p], d + m * m * net[6, p]
    places = np.flatnonzero(kept)
    positions, parents = np.zeros((2, n), dtype=np.int64)
    positions[: len(places)] = places
    parents[: len(places)] = top[places]
    parents[0] = len(places)
    return positions, parents
