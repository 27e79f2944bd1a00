"""A three-phase feeder in per unit as a tree of 3x3 blocks: what the compiled three-phase power flow sweeps over.

Positions are as in `grid.network`: a bus and its branch towards the source share one, parents before children. With p
the parent and c the child every branch has the form

    i_p = P* ((Y + S_p) P v_p - Y C v_c),      i_c = C* ((Y + S_c) C v_c - Y P v_p)

in phases (3x3 matrices, * the conjugate transpose). They come from sequence data by M = A diag(m0, m1, m2) / A with
the Fortescue matrix A. A line has P = C = 1. A transformer turns the positive sequence by its clock number and the
negative one back, so here vector groups matter. Per unit is on 1 MVA and rated voltages for three phases, which makes
it the same numbers for one phase: a third of the power on the voltage to neutral.

Long cables are drawn as many buses that pass current on. Without capacitance their impedances add up exactly, and the
buses between need not be solved: `build` merges them where asked to, and says how far inside of its limits the voltage
at the ends must stay so that it is within them in between (docs/three_phase.md).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.feeder import Feeder
from grid.network import BASE_VA, FREQUENCY_HZ, branches, order
from grid.powerflow import TURN, phase_shares

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Complexes = NDArray[np.complex128]

FORTESCUE: Complexes = np.array([[1, 1, 1], [1, TURN**2, TURN], [1, TURN, TURN**2]])
"""Phases a, b, c of the zero, positive and negative sequence."""
SAG_PU = 2e-4
"""Cables are merged as long as the voltage in between can pass those of the ends by at most this much."""

# Rows of `blocks`: inverse pivot, map of the parent's voltage, map of the current inwards; then of the branch Y, P, C,
# S_p, S_c; K of the current at the parent's end, i_p = N_p v_p + N_c v_c - K i_c, with N_p and N_c.
PIVOT, DOWN, UP, SERIES, P, C, SHUNT_P, SHUNT_C, KIRCHHOFF, NEAR_P, NEAR_C, BLOCK_ROWS = range(12)


@dataclass(frozen=True, eq=False)
class PhaseNetwork:
    """The kept buses of a three-phase feeder, N of them, in tree order; arrays read-only."""

    feeder: Feeder
    bus: Ints
    """(N,) the feeder's bus at each position."""
    tree: Ints
    """(3, N) parent position (-1 at the source); 1 where the branch is limited in power, 0 where in current; 1 where
    all current passes as it is, a plain line with nothing but plain lines and constant powers beyond."""
    blocks: Complexes
    """(BLOCK_ROWS, N, 3, 3) of the branch at each position."""
    plain: NDArray[np.bool_]
    """(N,) True for lines without capacitance: one current from end to end."""
    branch: Ints
    """(N,) the branch that feeds each position, of merged ones that with the lowest rating; -1 at the source."""
    rating: Floats
    """(N,) current of a line or power of a transformer at full load [pu], inf at the source."""
    sag: Floats
    """(2, N) by how much voltages below and above 1 must stay inside of their limits for the merged buses [pu]."""
    connection: Ints
    """(C,) position of each connection."""
    shares: Floats
    """(C, 3) how its power is shared out to the phases."""
    base_a: Floats
    """(N,) current of 1 pu [A]."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def flat(self) -> Complexes:
        """(N, 3) the source's voltage turned by the clocks on the way: where a search for a state may start."""
        v = np.zeros((len(self.bus), 3), dtype=np.complex128)
        v[0] = self.feeder.source_u_pu * FORTESCUE[:, 1]
        for j in range(1, len(v)):
            v[j] = self.blocks[DOWN, j] @ v[self.tree[0, j]]
        return v


def build(feeder: Feeder, band: tuple[float, float] | None = None, loading: float = 1.0) -> PhaseNetwork:
    """The network of a three-phase feeder; cables are merged if a voltage `band` [pu] is given.

    `loading` is the highest loading of a branch, relative to its rating. Raises FeederError if the feeder has no zero
    sequence.
    """
    feeder.need_phases()
    first = np.concatenate([feeder.line_from, feeder.transformer_from])
    second = np.concatenate([feeder.line_to, feeder.transformer_to])
    bus, parent, branch = order(len(feeder.bus_ids), feeder.source_bus, first, second)
    position = np.empty(len(bus), dtype=np.int64)
    position[bus] = np.arange(len(bus))
    child_is_from = first[branch] == bus
    series, ends, shunts, rating = _sequences(feeder)
    turned = child_is_from.astype(np.int64)
    pick = np.arange(len(bus))
    y = _phases(series[branch])
    p, c = (_phases(ends[branch, at]) for at in (turned, 1 - turned))
    shunt_p, shunt_c = (_phases(shunts[branch, at]) for at in (turned, 1 - turned))
    is_line = branch < len(feeder.line_ids)
    plain = is_line & ~shunts[branch].any(axis=(1, 2))
    limit = np.where(pick > 0, rating[branch], np.inf)
    connection = position[feeder.connection_bus]
    kept, merged = _merge(parent, plain & (pick > 0), connection, band, (y, limit * loading, feeder.source_u_pu))
    place = np.cumsum(kept) - 1
    sag = np.zeros((2, len(bus)))
    for chain, room in merged:
        inner, outer = chain[-1], chain[0]
        y[outer] = np.linalg.inv(np.linalg.inv(y[chain]).sum(axis=0))
        tight = chain[::-1][int(np.argmin(limit[chain[::-1]]))]
        branch[outer], limit[outer] = branch[tight], limit[tight]
        parent[outer] = parent[inner]
        sag[:, [outer, parent[inner]]] = np.maximum(sag[:, [outer, parent[inner]]], np.array(room)[:, np.newaxis])
    parents = np.where(parent[kept] >= 0, place[parent[kept]], -1)
    blocks = np.zeros((BLOCK_ROWS, int(kept.sum()), 3, 3), dtype=np.complex128)
    for row, values in ((SERIES, y), (P, p), (C, c), (SHUNT_P, shunt_p), (SHUNT_C, shunt_c)):
        blocks[row] = values[kept]
    passed = _eliminate(parents, blocks, plain[kept])
    return PhaseNetwork(
        feeder=feeder,
        bus=bus[kept],
        tree=np.stack([parents, ~is_line[kept], passed], dtype=np.int64, casting="unsafe"),
        blocks=blocks,
        plain=plain[kept],
        branch=np.where(pick > 0, branch, -1)[kept],
        rating=limit[kept],
        sag=sag[:, kept],
        connection=place[connection],
        shares=phase_shares(feeder),
        base_a=BASE_VA / np.sqrt(3) / feeder.u_rated_v[bus[kept]],
    )


def _phases(sequences: Complexes) -> Complexes:
    """(…, 3) zero, positive and negative sequence as matrices (…, 3, 3) of the phases."""
    matrices: Complexes = (FORTESCUE * sequences[..., np.newaxis, :]) @ np.linalg.inv(FORTESCUE)
    return matrices


def _sequences(feeder: Feeder) -> tuple[Complexes, Complexes, Complexes, Floats]:
    """Series admittance (B, 3), taps (B, 2, 3) and shunts (B, 2, 3) at both ends by sequence, and rating (B,) [pu].

    The zero sequence of transformers is that of power-grid-model ("Components", transformer): through between two
    grounded stars, to earth at a grounded star opposite a delta and at a grounded zigzag, nothing elsewhere.
    """
    y1, shunt1, tap_from, tap_to, rating = branches(feeder)
    lines, b = len(feeder.line_ids), len(y1)
    series = np.repeat(y1[:, np.newaxis], 3, axis=1)
    taps = np.repeat(np.stack([tap_from, tap_to], axis=1).astype(np.complex128)[..., np.newaxis], 3, axis=2)
    shunts = np.repeat(np.repeat(shunt1[:, np.newaxis, np.newaxis], 2, axis=1), 3, axis=2)
    z_base = feeder.u_rated_v[feeder.line_from] ** 2 / BASE_VA
    series[:lines, 0] = z_base / (feeder.r0_ohm + 1j * feeder.x0_ohm)
    shunts[:lines, :, 0] = (0.5j * 2 * np.pi * FREQUENCY_HZ * feeder.c0_f * z_base)[:, np.newaxis]
    turn = np.exp(-1j * np.pi / 6 * feeder.clock)
    taps[lines:, 0, 1] *= turn
    taps[lines:, 0, 2] *= turn.conj()
    taps[lines:, 0, 0] *= np.where(np.isin(feeder.clock, (2, 6, 10)), -1, 1)
    for i, at in enumerate(range(lines, b)):
        windings = feeder.winding_from[i], feeder.winding_to[i]
        z = 1 / y1[at]
        z_from = complex(feeder.r_grounding_from_ohm[i], feeder.x_grounding_from_ohm[i])
        z_to = complex(feeder.r_grounding_to_ohm[i], feeder.x_grounding_to_ohm[i])
        grounding = (
            z_from * BASE_VA / feeder.u_rated_v[feeder.transformer_from[i]] ** 2 * tap_from[at] ** 2,
            z_to * BASE_VA / feeder.u_rated_v[feeder.transformer_to[i]] ** 2,
        )
        if windings == ("wye_n", "wye_n"):
            series[at, 0] = 1 / (z + 3 * sum(grounding))
            continue
        series[at, 0] = 0
        shunts[at, :, 0] = 0
        for end in (0, 1):
            if windings[end] == "zigzag_n":
                shunts[at, end, 0] = 1 / (0.1 * z + 3 * grounding[end])
            elif windings[end] == "wye_n" and windings[1 - end] == "delta":
                shunts[at, end, 0] = 1 / (1 / (1 / z + 2 * shunt1[at]) + 3 * grounding[end])
    return series, taps, shunts, rating


def _merge(
    parent: Ints,
    plain: NDArray[np.bool_],
    connection: Ints,
    band: tuple[float, float] | None,
    values: tuple[Complexes, Floats, float],
) -> tuple[NDArray[np.bool_], list[tuple[list[int], tuple[float, float]]]]:
    """Which positions stay, and chains of positions, outermost first, that become one branch, with their sags.

    `values` are series admittances, limits and the source's voltage. A dead end without capacitance is left out: no
    current flows there, so its voltage is that of the bus where it begins.
    """
    n = len(parent)
    kept = np.ones(n, dtype=np.bool_)
    if band is None:
        return kept, []
    y, limit, source = values
    used = np.zeros(n, dtype=np.bool_)
    used[connection] = True
    used[0] = True
    live, thick = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_)
    for j in range(n - 1, 0, -1):
        if used[j] or live[j] or not plain[j]:
            live[parent[j]] += 1
            thick[parent[j]] |= not plain[j]
        else:
            kept[j] = False
    passing = kept & ~used & (live == 1) & plain & ~thick
    chains = []
    for j in np.flatnonzero(kept & ~passing & plain)[::-1]:
        chain = [int(j)]
        while True:
            outer = parent[chain[-1]]
            room = _sag(np.linalg.inv(y[[*chain, outer]]), limit[[*chain, outer]], band[0]) if passing[outer] else None
            fits = room is not None and max(room) <= SAG_PU
            if fits and parent[outer] == 0:
                fits = band[0] + SAG_PU <= source <= band[1] - SAG_PU
            if fits:
                chain.append(int(outer))
                kept[outer] = False
                continue
            if len(chain) > 1:
                chains.append((chain, _sag(np.linalg.inv(y[chain]), limit[chain], band[0])))
            if not passing[outer]:
                break
            passing[outer] = False
            chain = [int(outer)]
    return kept, chains


def _sag(z: NDArray[Any], limit: Floats, low: float) -> tuple[float, float]:
    """How far the ends must stay inside of the limits below and above for the buses between cables z (K, 3, 3).

    Between ends A and B, v = A - Z' i with B = A - Z i. With Z' = t Z + R, t real, v is R i off the chord of A and B;
    a point of the chord is never further out than both, and not below u if both are at least sqrt(u^2 + |B - A|^2 / 4).
    No phase carries more than the lowest limit.
    """
    total = z.sum(axis=0)
    inner = np.cumsum(z, axis=0)[:-1]
    share = (inner * total.conj()).sum(axis=(1, 2)).real / (np.abs(total) ** 2).sum()
    rest = inner - share[:, np.newaxis, np.newaxis] * total
    most = float(limit.min())
    aside = float(np.abs(rest).sum(axis=2).max(initial=0.0)) * most
    span = float(np.abs(total).sum(axis=1).max()) * most
    return float(np.hypot(low + aside, span / 2)) - low, aside


def _eliminate(parent: Ints, blocks: Complexes, plain: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pivots and maps of Y = L D U from the leaves inwards, as in `grid.network`, in 3x3 blocks.

    Returns where the maps are the identity, which they then are to the last digit.
    """
    n = len(parent)
    passed = np.zeros(n, dtype=np.bool_)
    beyond = np.zeros((n, 3, 3), dtype=np.complex128)
    for j in range(n - 1, 0, -1):
        y, p, c, shunt_p, shunt_c = blocks[[SERIES, P, C, SHUNT_P, SHUNT_C], j]
        if plain[j] and not beyond[j].any():
            passed[j] = True
            blocks[PIVOT, j] = np.linalg.inv(y)
            blocks[[DOWN, UP, KIRCHHOFF], j] = np.eye(3)
            continue
        c_inverse = np.linalg.inv(c)
        aside = shunt_c + c_inverse.conj().T @ beyond[j] @ c_inverse
        inner = np.linalg.inv(y + aside)
        back = c_inverse @ inner
        blocks[PIVOT, j] = back @ c_inverse.conj().T
        blocks[DOWN, j] = back @ y @ p
        blocks[UP, j] = p.conj().T @ y @ inner @ c_inverse.conj().T
        beyond[parent[j]] += p.conj().T @ (shunt_p + y @ inner @ aside) @ p
        # Where no zero sequence passes, none of the current at one end is that at the other.
        through = _phases(_passes(y))
        blocks[KIRCHHOFF, j] = p.conj().T @ through @ c_inverse.conj().T
        blocks[NEAR_P, j] = p.conj().T @ shunt_p @ p
        blocks[NEAR_C, j] = p.conj().T @ through @ shunt_c @ c
    return passed


def _passes(series: Complexes) -> Complexes:
    """(3,) 1 for each sequence that passes a branch of series admittance (3, 3), else 0."""
    through = np.linalg.inv(FORTESCUE) @ series @ FORTESCUE
    passing: Complexes = (np.abs(np.diag(through)) > 1e-9 * np.abs(through).max()).astype(np.complex128)
    return passing
