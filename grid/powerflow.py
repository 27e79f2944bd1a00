"""AC power flow of whole batches of slots by power-grid-model: injections in, voltages and currents out."""

from __future__ import annotations

from dataclasses import dataclass
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


def solve(feeder: Feeder, injection_w: ArrayLike, injection_var: ArrayLike) -> Flow:
    """State of the feeder for injections [W, var] of shape (S, C), injection into the grid positive.

    Raises ValueError if a shape is wrong or a value is not finite, PowerFlowError if a slot has no solution.
    """
    p, q = _injections(feeder, injection_w, "injection_w"), _injections(feeder, injection_var, "injection_var")
    if p.shape != q.shape:
        raise ValueError(f"injection_var must have the shape of injection_w {p.shape}, got {q.shape}")
    parts = [_solve(feeder, p[at : at + _BATCH], q[at : at + _BATCH], at) for at in range(0, len(p), _BATCH)]
    if not parts:
        n, b = len(feeder.bus_ids), len(feeder.line_ids) + len(feeder.transformer_ids)
        return Flow(np.empty((0, n)), np.empty((0, b)), np.empty((0, b)), np.empty(0), np.empty(0))
    u, current, loading, loss, slack = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Flow(u, current, loading, loss, slack)


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
    ends = ["i_from", "i_to", "p_from", "p_to", "loading"]
    try:
        result = _model(feeder).calculate_power_flow(
            error_tolerance=_TOLERANCE_PU,
            max_iterations=50,
            update_data={ComponentType.sym_gen: generators},
            output_component_types={
                ComponentType.node: ["u_pu"],
                ComponentType.line: ends,
                ComponentType.transformer: ends,
            },
        )
    except PowerGridBatchError as error:
        slot = int(error.failed_scenarios[0])
        raise PowerFlowError(feeder.name, start + slot, str(error.error_messages[0]).strip()) from error
    except PowerGridError as error:
        raise PowerFlowError(feeder.name, -1, str(error).strip()) from error
    # The result leaves out a kind of component that the feeder does not have.
    kinds = [kind for kind in (ComponentType.line, ComponentType.transformer) if kind in result]
    none = np.empty((len(p), 0))
    branches = {key: np.concatenate([none, *(result[kind][key] for kind in kinds)], axis=1) for key in ends}
    first = np.concatenate([feeder.line_from, feeder.transformer_from]) == feeder.source_bus
    second = np.concatenate([feeder.line_to, feeder.transformer_to]) == feeder.source_bus
    leaving = branches["p_from"][:, first].sum(axis=1) + branches["p_to"][:, second].sum(axis=1)
    return (
        result[ComponentType.node]["u_pu"],
        np.maximum(branches["i_from"], branches["i_to"]),
        branches["loading"],
        (branches["p_from"] + branches["p_to"]).sum(axis=1),
        leaving - p[:, feeder.connection_bus == feeder.source_bus].sum(axis=1),
    )


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
        ComponentType.sym_gen: _table(
            ComponentType.sym_gen,
            _first_generator(feeder),
            node=feeder.connection_bus,
            status=np.ones(len(feeder.connection_bus)),
            type=np.full(len(feeder.connection_bus), LoadGenType.const_power),
            p_specified=np.zeros(len(feeder.connection_bus)),
            q_specified=np.zeros(len(feeder.connection_bus)),
        ),
    }
    return PowerGridModel(data, system_frequency=50.0)


def _transformers(feeder: Feeder, start: int) -> NDArray[Any]:
    t = len(feeder.transformer_ids)
    # An odd vector group needs a delta winding; a symmetric flow knows no other difference.
    winding = np.where(feeder.clock % 2 == 1, WindingType.delta, WindingType.wye_n)
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
        winding_from=winding,
        winding_to=np.full(t, WindingType.wye_n),
        clock=feeder.clock,
        tap_side=np.where(feeder.tap_side == 1, BranchSide.to_side, BranchSide.from_side),
        tap_pos=feeder.tap_pos,
        tap_min=feeder.tap_min,
        tap_max=feeder.tap_max,
        tap_nom=feeder.tap_nom,
        tap_size=feeder.tap_size_v,
    )


def _table(kind: ComponentType, start: int, **columns: NDArray[Any]) -> NDArray[Any]:
    """Input of one kind of component, with ids from `start` on."""
    table = initialize_array(DatasetType.input, kind, len(next(iter(columns.values()))))
    table["id"] = np.arange(start, start + len(table))
    for name, values in columns.items():
        table[name] = values
    return table
