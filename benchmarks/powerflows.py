"""One AC power flow by other programs, to measure the gate by: power-grid-model, lightsim2grid, pandapower."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from grid import network
from grid.feeder import Feeder
from grid.powerflow import solve

Floats = NDArray[np.float64]
REPEAT = 50


class Flow(NamedTuple):
    """What a program took, and how far its voltages are from ours."""

    name: str
    seconds: float
    """CPU time of one flow, the median; the network is not built anew."""
    off_pu: float


def median(what: Callable[[], object], repeat: int = REPEAT) -> float:
    """CPU seconds of a call."""
    what()
    taken = []
    for _ in range(repeat):
        started = time.process_time()
        what()
        taken.append(time.process_time() - started)
    return float(np.median(taken))


def power_grid_model(feeder: Feeder, injection_w: Floats, own: Floats) -> list[Flow]:
    """One flow of its own, and one of a batch of 256. `injection_w` is (C,), `own` the gate's voltages (N,) [pu]."""
    one = injection_w[np.newaxis]
    many = np.repeat(one, 256, axis=0)
    off = float(np.abs(solve(feeder, one, 0 * one).u_pu[0] - own).max())
    label = f"power-grid-model {version('power-grid-model')}"
    single = median(lambda: solve(feeder, one, 0 * one))
    batch = median(lambda: solve(feeder, many, 0 * many), 5) / len(many)
    return [Flow(f"{label}, one", single, off), Flow(f"{label}, of a batch", batch, off)]


def lightsim2grid(feeder: Feeder, injection_w: Floats, own: Floats) -> Flow | None:
    """Its Newton-Raphson with KLU on our admittances, from the voltages without load; None if it is not installed."""
    if find_spec("lightsim2grid") is None:
        return None
    from lightsim2grid.algorithm import NR_KLU  # type: ignore[import-untyped,import-not-found,unused-ignore]

    net = network.build(feeder)
    n = len(net.bus)
    y: NDArray[np.complex128] = np.zeros((n, n), dtype=np.complex128)
    for j in range(1, n):
        p, near, far, series, shunt = (
            net.parent[j],
            net.net[4, j].real,
            net.net[4, j].imag,
            net.net[2, j],
            net.net[3, j],
        )
        y[p, p] += near**2 * (series + shunt)
        y[j, j] += far**2 * (series + shunt)
        y[p, j] -= near * far * series
        y[j, p] -= near * far * series
    admittance, power = csc_matrix(y), np.zeros(n, dtype=np.complex128)
    np.add.at(power, net.connection, injection_w / network.BASE_VA)
    slack, others = np.zeros(1, dtype=np.int32), np.arange(1, n, dtype=np.int32)
    weights, none = np.eye(1, n).ravel(), np.zeros(0, dtype=np.int32)
    solver = NR_KLU()
    found = np.zeros(n, dtype=np.complex128)

    def once() -> None:
        v = net.flat()
        solver.reset()
        if not solver.solve(admittance, v, power, slack, weights, none, others, 20, 1e-9):
            raise RuntimeError("lightsim2grid found no state")
        found[:] = solver.get_V()

    seconds = median(once)
    off = float(np.abs(np.abs(found)[net.position] - own).max())
    return Flow(f"lightsim2grid {version('lightsim2grid')}", seconds, off)


def pandapower(python: str, feeder: Feeder, injection_w: Floats, own: Floats) -> Flow | None:
    """Its `runpp` from the last state, in a process of the interpreter `python`; None if that has no pandapower."""
    script = Path(__file__).with_name("pandapower_flow.py")
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "feeder.json"), Path(folder, "loads.json")
        files[0].write_text(feeder.to_json(), encoding="utf-8")
        shares = np.linspace(0.9, 1.0, 20)
        files[1].write_text(json.dumps([(share * injection_w).tolist() for share in shares]), encoding="utf-8")
        done = subprocess.run([python, script, *files], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        return None
    told = json.loads(done.stdout)
    off = max(abs(told["u_pu"][name] - u) for name, u in zip(feeder.bus_ids, own.tolist(), strict=True))
    return Flow(f"pandapower {told['version']}", told["seconds"], off)
