"""AC power flow of whole batches of slots by power-grid-model: injections in, voltages and currents out.

A three-phase feeder is solved in its three phases, any other as one phase that stands for all.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from power_grid_model import (
    BranchSide,
    ComponentType,
    DatasetType,
    LoadGenType,
    PowerGridModel,
    WindingType,
    initialize_array,
)
from power_grid_model.errors import PowerGridBatchError, PowerGridError  # type: ignore[attr-defined]  # no __all__

from grid.feeder import Feeder

Floats = NDArray[np.float64]

_STIFF_VA = 1e20  # short-circuit power of the source; at the library's default its voltage would sag
_TOLERANCE_PU = 1e-9  # Newton-Raphson's last step; the error after it is of the order of its square
_BATCH = 4096

TURN = np.exp(2j * np.pi / 3)
"""A third of a turn."""


class PowerFlowError(RuntimeError):
    """No AC state was found; `slot` is the first failing row of the batch, -1 if the failure has none."""

    def __init__(self, feeder: str, slot: int, reason: str) -> None:
        where = f", slot {slot}" if slot >= 0 else ""
        super().__init__(f"feeder {feeder!r}{where}: no power flow found: {reason}")
        self.feeder, self.slot, self.reason = feeder, slot, reason


@dataclass(frozen=True, eq=False)
class Flow:
    """The state of a feeder in S slots; branches are the lines, then the transformers."""

    u_pu: Floats
    """(S, N) voltage at every bus."""
    current_a: Floats
    """(S, B) current of every branch at the end where it is larger [A]."""
    loading: Floats
    """(S, B) line current over its limit, transformer apparent power (larger end) over its rating."""
    loss_w: Floats
    """(S,) active power lost in all branches."""
    slack_w: Floats
    """(S,) active power that the source feeds into the feeder."""

    @property
    def u_low_pu(self) -> Floats:
        """(S, N) voltage of the lowest phase of every bus."""
        return self.u_pu

    @property
    def u_high_pu(self) -> Floats:
        """(S, N) voltage of the highest phase of every bus."""
        return self.u_pu


@dataclass(frozen=True, eq=False)
class PhaseFlow(Flow):
    """The state of a three-phase feeder: what `Flow` says is the worst of the phases, and each of them.

    There `u_pu` is the voltage between phase and neutral that is farthest from 1, and `loading` the highest of the
    phases and of the neutral, whose limit is that of the line's phases. A phase of a transformer may carry a third of
    the rating.
    """

    u_phase_pu: Floats
    """(S, N, 3) between phase and neutral."""
    current_phase_a: Floats
    """(S, B, 4) of a, b, c and neutral at the end where it is larger [A]."""
    loading_phase: Floats
    """(S, B, 4); 0 for the neutral of a transformer."""
    unbalance: Floats
    """(S, N) voltage unbalance factor |V2| / |V1|; EN 50160 has 0.02 kept for 95 % of the time."""

    @property
    def u_low_pu(self) -> Floats:
        low: Floats = self.u_phase_pu.min(axis=2)
        return low

    @property
    def u_high_pu(self) -> Floats:
        high: Floats = self.u_phase_pu.max(axis=2)
        return high


def solve(feeder: Feeder, injection_w: ArrayLike, injection_var: ArrayLike) -> Flow:
    """State of the feeder for injections [W, var] of shape (S, C), injection into the grid positive.

    Raises ValueError if a shape is wrong or a value is not finite, PowerFlowError if a slot has no solution.
    """
    p, q = _injections(feeder, injection_w, "injection_w"), _injections(feeder, injection_var, "injection_var")
    if p.shape != q.shape:
        raise ValueError(f"injection_var must have the shape of injection_w {p.shape}, got {q.shape}")
    if len(p) == 1:
        return _one(feeder, p.tobytes(), q.tobytes())
    return _many(feeder, p, q)


@lru_cache(maxsize=4)
def _one(feeder: Feeder, p: bytes, q: bytes) -> Flow:
    """The state of one slot, read-only: who records a slot and who verifies it ask for the same."""
    flow = _many(feeder, *(np.frombuffer(values).reshape(1, -1) for values in (p, q)))
    for column in fields(flow):
        getattr(flow, column.name).setflags(write=False)
    return flow


def _many(feeder: Feeder, p: Floats, q: Floats) -> Flow:
    kind, solver, batch = (PhaseFlow, _solve_phases, _BATCH // 8) if feeder.three_phase else (Flow, _solve, _BATCH)
    # An empty batch is solved like any other, for its shapes.
    parts = [solver(feeder, p[at : at + batch], q[at : at + batch], at) for at in range(0, max(len(p), 1), batch)]
    return kind(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def nearest(
    feeder: Feeder, injection_w: ArrayLike, change_w: ArrayLike, injection_var: ArrayLike
) -> tuple[Flow, float]:
    """State of one slot at injections plus their change, all (C,) [W, var], and the share of the change that it has.

    The share is 1 where the whole change has a state; else it is the largest one that has, to 1/1024. Raises
    PowerFlowError if there is none even without the change.
    """
    start, change = np.asarray(injection_w, dtype=np.float64), np.asarray(change_w, dtype=np.float64)
    var = np.asarray(injection_var, dtype=np.float64)[np.newaxis]
    try:
        return solve(feeder, (start + change)[np.newaxis], var), 1.0
    except PowerFlowError:
        flow, share = solve(feeder, start[np.newaxis], var), 0.0
    for step in range(1, 11):
        more = share + 0.5**step
        try:
            flow, share = solve(feeder, (start + more * change)[np.newaxis], var), more
        except PowerFlowError:
            continue
    return flow, share


def _injections(feeder: Feeder, values: ArrayLike, name: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != len(feeder.connection_ids):
        raise ValueError(f"{name} must have the shape (slots, {len(feeder.connection_ids)}), got {array.shape}")
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        # In an update, power-grid-model would silently keep the old value in place of NaN.
        slot, connection = wrong[0].tolist()
        place = f"{name}[{slot}, {connection}] ({feeder.connection_ids[connection]!r})"
        raise ValueError(f"{place} must be a finite number, got {array[slot, connection]}")
    return array


def _solve(feeder: Feeder, p: Floats, q: Floats, start: int) -> tuple[Floats, ...]:
    generators = initialize_array(DatasetType.update, ComponentType.sym_gen, p.shape)
    generators["id"] = np.arange(p.shape[1]) + _first_generator(feeder)
    generators["p_specified"], generators["q_specified"] = p, q
    keys = ["i_from", "i_to", "p_from", "p_to", "loading"]
    nodes, branches = _run(feeder, {ComponentType.sym_gen: generators}, (["u_pu"], keys), start)
    return (
        nodes["u_pu"],
        np.maximum(branches["i_from"], branches["i_to"]),
        branches["loading"],
        (branches["p_from"] + branches["p_to"]).sum(axis=1),
        _slack(feeder, p, branches),
    )


def _solve_phases(feeder: Feeder, p: Floats, q: Floats, start: int) -> tuple[Floats, ...]:
    shares = phase_shares(feeder)
    generators = initialize_array(DatasetType.update, ComponentType.asym_gen, p.shape)
    generators["id"] = np.arange(p.shape[1]) + _first_generator(feeder)
    generators["p_specified"], generators["q_specified"] = p[..., np.newaxis] * shares, q[..., np.newaxis] * shares
    keys = ["p_from", "q_from", "i_from", "s_from", "p_to", "q_to", "i_to", "s_to"]
    nodes, branches = _run(feeder, {ComponentType.asym_gen: generators}, (["u_pu", "u", "u_angle"], keys), start)
    voltage = nodes["u"] * np.exp(1j * nodes["u_angle"])
    current = np.maximum(*(_with_neutral(feeder, voltage, branches, end) for end in ("from", "to")))
    lines = len(feeder.line_ids)
    loading = np.zeros_like(current)
    loading[:, :lines] = current[:, :lines] / feeder.i_max_a[:, np.newaxis]
    power = np.maximum(branches["s_from"], branches["s_to"])[:, lines:]
    loading[:, lines:, :3] = power / (feeder.s_va[:, np.newaxis] / 3)
    u = nodes["u_pu"]
    worst = np.argmax(np.abs(u - 1), axis=2)[..., np.newaxis]
    positive, negative = ((voltage @ turn) / 3 for turn in ((1, TURN, TURN**2), (1, TURN**2, TURN)))
    totals = {key: branches[key].sum(axis=2) for key in ("p_from", "p_to")}
    return (
        np.take_along_axis(u, worst, axis=2)[..., 0],
        current.max(axis=2),
        loading.max(axis=2),
        (totals["p_from"] + totals["p_to"]).sum(axis=1),
        _slack(feeder, p, totals),
        u,
        current,
        loading,
        np.abs(negative) / np.abs(positive),
    )


def phase_shares(feeder: Feeder) -> Floats:
    """(C, 3) how the power of each connection is shared out to the phases."""
    return np.array(
        [[1 / 3] * 3 if name == "abc" else [name == phase for phase in "abc"] for name in feeder.connection_phase]
    )


def _with_neutral(feeder: Feeder, voltage: NDArray[np.complex128], branches: dict[str, Floats], end: str) -> Floats:
    """(S, B, 4) currents at one end: those of the phases, and of the neutral, which carries back their sum."""
    sides = (getattr(feeder, f"line_{end}"), getattr(feeder, f"transformer_{end}"))
    power = branches[f"p_{end}"] + 1j * branches[f"q_{end}"]
    neutral = np.abs((power / voltage[:, np.concatenate(sides)]).sum(axis=2))
    return np.concatenate([branches[f"i_{end}"], neutral[..., np.newaxis]], axis=2)


def _slack(feeder: Feeder, p: Floats, branches: dict[str, Floats]) -> Floats:
    """(S,) power that the source feeds in: what leaves its bus less what its connections inject."""
    first = np.concatenate([feeder.line_from, feeder.transformer_from]) == feeder.source_bus
    second = np.concatenate([feeder.line_to, feeder.transformer_to]) == feeder.source_bus
    leaving = branches["p_from"][:, first].sum(axis=1) + branches["p_to"][:, second].sum(axis=1)
    slack: Floats = leaving - p[:, feeder.connection_bus == feeder.source_bus].sum(axis=1)
    return slack


def _run(
    feeder: Feeder, update: dict[ComponentType, Any], wanted: tuple[list[str], list[str]], start: int
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Wanted results of nodes and of branches, lines first. Raises PowerFlowError."""
    of_nodes, of_branches = wanted
    kinds = (ComponentType.line, ComponentType.transformer)
    columns: dict[ComponentType, Any] = {ComponentType.node: of_nodes} | dict.fromkeys(kinds, of_branches)
    try:
        result = _model(feeder).calculate_power_flow(
            symmetric=not feeder.three_phase,
            error_tolerance=_TOLERANCE_PU,
            max_iterations=50,
            update_data=update,
            output_component_types=columns,
        )
    except PowerGridBatchError as error:
        slot = int(error.failed_scenarios[0])
        raise PowerFlowError(feeder.name, start + slot, str(error.error_messages[0]).strip()) from error
    except PowerGridError as error:
        raise PowerFlowError(feeder.name, -1, str(error).strip()) from error
    nodes = result[ComponentType.node]
    # The result leaves out a kind of component that the feeder does not have.
    slots = len(nodes[of_nodes[0]])
    shape = (slots, 0, 3) if feeder.three_phase else (slots, 0)
    found = [result[kind] for kind in kinds if kind in result]
    branches = {key: np.concatenate([np.empty(shape), *(part[key] for part in found)], axis=1) for key in of_branches}
    return {key: nodes[key] for key in of_nodes}, branches


def _first_generator(feeder: Feeder) -> int:
    return len(feeder.bus_ids) + len(feeder.line_ids) + len(feeder.transformer_ids) + 1


@lru_cache(maxsize=8)
def _model(feeder: Feeder) -> PowerGridModel:
    """The feeder as power-grid-model sees it: buses, lines, transformers, source, generators numbered in one row."""
    n, b = len(feeder.bus_ids), len(feeder.line_ids)
    data: dict[ComponentType, Any] = {
        ComponentType.node: _table(ComponentType.node, 0, u_rated=feeder.u_rated_v),
        ComponentType.line: _table(
            ComponentType.line,
            n,
            from_node=feeder.line_from,
            to_node=feeder.line_to,
            from_status=np.ones(b),
            to_status=np.ones(b),
            r1=feeder.r_ohm,
            x1=feeder.x_ohm,
            c1=feeder.c_f,
            tan1=np.zeros(b),
            i_n=feeder.i_max_a,
            **(_zero_sequence(feeder) if feeder.three_phase else {}),
        ),
        ComponentType.transformer: _transformers(feeder, n + b),
        ComponentType.source: _table(
            ComponentType.source,
            _first_generator(feeder) - 1,
            node=np.array([feeder.source_bus]),
            status=np.ones(1),
            u_ref=np.array([feeder.source_u_pu]),
            sk=np.array([_STIFF_VA]),
        ),
    }
    kind = ComponentType.asym_gen if feeder.three_phase else ComponentType.sym_gen
    idle = np.zeros((len(feeder.connection_bus), 3) if feeder.three_phase else len(feeder.connection_bus))
    data[kind] = _table(
        kind,
        _first_generator(feeder),
        node=feeder.connection_bus,
        status=np.ones(len(feeder.connection_bus)),
        type=np.full(len(feeder.connection_bus), LoadGenType.const_power),
        p_specified=idle,
        q_specified=idle,
    )
    return PowerGridModel(data, system_frequency=50.0)


def _transformers(feeder: Feeder, start: int) -> NDArray[Any]:
    t = len(feeder.transformer_ids)
    if feeder.three_phase:
        first, second = ([WindingType[name] for name in names] for names in (feeder.winding_from, feeder.winding_to))
    else:
        # An odd vector group needs a delta winding; a symmetric flow knows no other difference.
        first = np.where(feeder.clock % 2 == 1, WindingType.delta, WindingType.wye_n).tolist()
        second = [WindingType.wye_n] * t
    return _table(
        ComponentType.transformer,
        start,
        from_node=feeder.transformer_from,
        to_node=feeder.transformer_to,
        from_status=np.ones(t),
        to_status=np.ones(t),
        u1=feeder.u1_v,
        u2=feeder.u2_v,
        sn=feeder.s_va,
        uk=feeder.uk,
        pk=feeder.pk_w,
        i0=feeder.i0,
        p0=feeder.p0_w,
        winding_from=np.array(first, dtype=np.int8),
        winding_to=np.array(second, dtype=np.int8),
        clock=feeder.clock,
        tap_side=np.where(feeder.tap_side == 1, BranchSide.to_side, BranchSide.from_side),
        tap_pos=feeder.tap_pos,
        tap_min=feeder.tap_min,
        tap_max=feeder.tap_max,
        tap_nom=feeder.tap_nom,
        tap_size=feeder.tap_size_v,
        r_grounding_from=feeder.r_grounding_from_ohm,
        x_grounding_from=feeder.x_grounding_from_ohm,
        r_grounding_to=feeder.r_grounding_to_ohm,
        x_grounding_to=feeder.x_grounding_to_ohm,
    )


def _zero_sequence(feeder: Feeder) -> dict[str, Floats]:
    return {"r0": feeder.r0_ohm, "x0": feeder.x0_ohm, "c0": feeder.c0_f, "tan0": np.zeros(len(feeder.line_ids))}


def _table(kind: ComponentType, start: int, **columns: NDArray[Any]) -> NDArray[Any]:
    """Input of one kind of component, with ids from `start` on."""
    table = initialize_array(DatasetType.input, kind, len(next(iter(columns.values()))))
    table["id"] = np.arange(start, start + len(table))
    for name, values in columns.items():
        table[name] = values
    return table
