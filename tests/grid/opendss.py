"""A three-phase feeder in OpenDSS: the oracle that shares neither code nor formulation with the others."""

from __future__ import annotations

import cmath
from typing import Any

import numpy as np
from dss import DSS
from numpy.typing import NDArray

from grid.feeder import Feeder

Floats = NDArray[np.float64]


def voltages(feeder: Feeder, injection_w: Floats, injection_var: Floats) -> Floats:
    """(N, 3) voltages between phase and neutral [pu]; transformers must be Dyn1, connections at one phase."""
    say = _commands(feeder, injection_w, injection_var)
    DSS.AllowForms = False
    for line in say:
        DSS.Text.Command = line
    circuit: Any = DSS.ActiveCircuit
    assert circuit.Solution.Converged
    found = np.empty((len(feeder.bus_ids), 3))
    for i in range(len(feeder.bus_ids)):
        circuit.SetActiveBus(f"b{i}")
        parts = np.asarray(circuit.ActiveBus.Voltages)
        nodes = list(circuit.ActiveBus.Nodes)
        for phase in range(3):
            at = nodes.index(phase + 1)
            found[i, phase] = abs(complex(parts[2 * at], parts[2 * at + 1]))
    per_unit: Floats = found / (feeder.u_rated_v[:, np.newaxis] / np.sqrt(3))
    return per_unit


def _commands(feeder: Feeder, p: Floats, q: Floats) -> list[str]:
    source = float(feeder.u_rated_v[feeder.source_bus]) / 1e3
    say = ["clear", "set DefaultBaseFrequency=50"]
    stiff = "r1=1e-9 x1=1e-9 r0=1e-9 x0=1e-9"
    say.append(f"new circuit.f basekv={source!r} pu={feeder.source_u_pu!r} phases=3 bus1=b{feeder.source_bus} {stiff}")
    for i in range(len(feeder.line_ids)):
        ends = f"bus1=b{feeder.line_from[i]} bus2=b{feeder.line_to[i]} phases=3 length=1 units=none"
        ohms = (
            f"r1={feeder.r_ohm[i]:.17g} x1={feeder.x_ohm[i]:.17g} r0={feeder.r0_ohm[i]:.17g} x0={feeder.x0_ohm[i]:.17g}"
        )
        say.append(f"new line.l{i} {ends} {ohms} c1={feeder.c_f[i] * 1e9:.17g} c0={feeder.c0_f[i] * 1e9:.17g}")
    for i in range(len(feeder.transformer_ids)):
        assert (feeder.winding_from[i], feeder.winding_to[i], int(feeder.clock[i])) == ("delta", "wye_n", 1)
        real = feeder.pk_w[i] / feeder.s_va[i]
        reactance = 100 * abs(cmath.sqrt(feeder.uk[i] ** 2 - real**2))
        ends = f"buses=(b{feeder.transformer_from[i]} b{feeder.transformer_to[i]}) conns=(delta wye)"
        rated = f"kvs=({feeder.u1_v[i] / 1e3:.17g} {feeder.u2_v[i] / 1e3:.17g})"
        power = f"kvas=({feeder.s_va[i] / 1e3:.17g} {feeder.s_va[i] / 1e3:.17g})"
        resistance = f"%rs=({50 * real:.17g} {50 * real:.17g}) xhl={reactance:.17g} ppm_antifloat=0"
        say.append(f"new transformer.t{i} phases=3 windings=2 {ends} {rated} {power} {resistance} leadlag=lag")
    for i, phase in enumerate(feeder.connection_phase):
        bus = feeder.connection_bus[i]
        if bus == feeder.source_bus:
            continue
        assert phase in ("a", "b", "c")
        volts = feeder.u_rated_v[bus] / 1e3 / np.sqrt(3)
        power = f"kw={-p[i] / 1e3:.17g} kvar={-q[i] / 1e3:.17g} model=1 vminpu=0.1 vmaxpu=3"
        say.append(f"new load.c{i} phases=1 bus1=b{bus}.{'abc'.index(phase) + 1} kv={volts:.17g} {power}")
    return [*say, "set tolerance=1e-10 maxiterations=1000", "solve"]
