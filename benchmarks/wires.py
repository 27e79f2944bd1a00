"""Feeders for the gated races, and their limits as the rows that the kernel tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import scenarios
from benchmarks.workload import LEVELS
from grid import network
from grid.feeder import Feeder
from grid.gate import FeederGate
from grid.sensitivity import operating_point, tangent
from market.orders import MarketSettings

LARGE = Path(scenarios.__file__).parent / "data" / "ieee_european_lv.feeder.json"
SLOT_SECONDS = 900
FAR = 1e6
"""How much further away the bounds are on slack wires: each is tested as always, none ever binds."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Wires:
    """R rows over C connections, at a state without any trade."""

    name: str
    buses: int
    state: Floats
    """(2, R), whole numbers like the sensitivities."""
    sensitivity: Floats
    """(C, 2, R) per Wh."""
    lower: Floats
    """(R,) least modulus, 0 without."""
    upper: Floats

    @property
    def connections(self) -> int:
        return len(self.sensitivity)

    @property
    def rows(self) -> int:
        return len(self.upper)

    def capacity(self, tightness: float) -> tuple[Any, ...]:
        """Arguments of the kernel, fresh; see `market.kernel.run`.

        At `tightness` 1 the bounds are the feeder's own; at 0 they are out of reach.
        """
        present = np.hypot(*self.state)
        lower = present - (present - self.lower) / max(tightness, 1 / FAR)
        upper = present + (self.upper - present) / max(tightness, 1 / FAR)
        bounds = np.zeros((5, self.rows))
        bounds[:2] = np.maximum(lower, 0.0) ** 2, upper**2
        schedule, gross = np.zeros(self.connections, dtype=np.int64), np.zeros((4, self.connections), dtype=np.int64)
        slopes = self.sensitivity.copy()
        return schedule, gross, self.state.copy(), slopes, slopes, np.zeros_like(self.state), bounds, 0


def radial(buses: int = 116, branches: int = 4) -> Feeder:
    """A transformer station with cables of equal length to all sides, a connection at every bus behind it."""
    cables = [[0] for _ in range(branches)]
    lines = []
    for number in range(2, buses):
        cable = cables[number % branches]
        far = cable[-1] or 1
        lines.append(
            {"id": f"line{number}", "from": f"bus{far}", "to": f"bus{number}", "r_ohm": 0.006, "x_ohm": 0.0025,
             "c_f": 0.0, "i_max_a": 270.0}
        )  # fmt: skip
        cable.append(number)
    station = {
        "id": "station", "from": "bus0", "to": "bus1", "s_va": 400_000.0, "u1_v": 20_000.0, "u2_v": 400.0,
        "uk": 0.06, "pk_w": 4600.0, "i0": 0.002, "p0_w": 600.0, "clock": 5,
    }  # fmt: skip
    return Feeder.from_data(
        {
            "name": f"radial-{buses}",
            "buses": [{"id": f"bus{n}", "u_rated_v": 400.0 if n else 20_000.0} for n in range(buses)],
            "lines": lines,
            "transformers": [station],
            "source": {"bus": "bus0", "u_pu": 1.0},
            "connections": [{"id": f"c{n}", "bus": f"bus{n}"} for n in range(1, buses)],
        }
    )


def settings() -> MarketSettings:
    """Limits as a utility has them: 0.90 to 1.10 of the rated voltage, branches at most full."""
    return MarketSettings(
        name="benchmark", currency="EUR", slot_seconds=SLOT_SECONDS, opens_before_seconds=3600, gate_before_seconds=0,
        tick=100, price_floor=0, price_cap=(LEVELS - 1) * 100, lot=1, max_orders=4096, gate="linear",
        voltage_min_ppm=900_000, voltage_max_ppm=1_100_000, loading_max_ppm=1_000_000, utility="utility",
        retail=300_000, feed_in=80_000, grid_fee=50_000,
    )  # fmt: skip


def every_row(feeder: Feeder) -> Wires:
    """One row for the voltage of every bus and one for the current of every branch, nothing screened away [nV, nA]."""
    built = network.build(feeder)
    none = np.zeros(len(feeder.connection_ids))
    point = operating_point(built, none, none)
    slopes = tangent(built, point)
    rules = settings()
    rated = np.delete(feeder.u_rated_v, feeder.source_bus) * 1e9
    limit = np.concatenate([feeder.i_max_a, feeder.s_va / (np.sqrt(3) * feeder.u1_v)]) * 1e9
    per_wh = 3600 / SLOT_SECONDS
    voltage, current = np.delete(point.voltage, feeder.source_bus) * rated, point.current_from * 1e9
    by_voltage = np.delete(slopes.voltage, feeder.source_bus, axis=1) * rated * per_wh
    by_current = slopes.current_from * 1e9 * per_wh
    lower = np.concatenate([rated * rules.voltage_min_ppm / 1e6, np.zeros(len(limit))])
    upper = np.concatenate([rated * rules.voltage_max_ppm / 1e6, limit * rules.loading_max_ppm / 1e6])
    return Wires(
        feeder.name,
        len(feeder.bus_ids),
        _parts(np.concatenate([voltage, current])),
        np.stack([_parts(row) for row in np.concatenate([by_voltage, by_current], axis=1)]),
        np.floor(lower),
        np.floor(upper),
    )


def screened(feeder: Feeder) -> Wires:
    """The rows that the gate itself keeps, in mode `linear`, at a baseline of nothing."""
    none = np.zeros(len(feeder.connection_ids), dtype=np.int64)
    rows = FeederGate(feeder, settings()).open(0, none, none)
    lower = np.maximum(rows.lower, 0.0)
    # No upper bound is a bound far away here, so that it can be scaled.
    upper = np.where(np.isfinite(rows.upper), rows.upper, 2 * np.hypot(*rows.state))
    return Wires(feeder.name, len(feeder.bus_ids), rows.state, rows.sensitivity, lower, upper)


def large() -> Feeder:
    """The IEEE European low-voltage test feeder: 906 buses, 55 homes."""
    return Feeder.from_json(LARGE.read_text(encoding="utf-8"))


def _parts(values: NDArray[np.complex128]) -> Floats:
    """Real and imaginary parts (2, R), as whole numbers."""
    return np.rint(np.stack([values.real, values.imag]))
