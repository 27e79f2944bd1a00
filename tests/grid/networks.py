"""Feeders for tests: one line, and random radial networks with every kind of branch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.feeder import Feeder
from market.orders import GateMode, MarketSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def settings(
    gate: GateMode = "ac", *, voltage: float = 0.1, loading: float = 1.0, seconds: int = 900
) -> MarketSettings:
    """Market rules of which the gate reads the mode, the voltage band 1 +- `voltage`, the loading and the slot."""
    return MarketSettings(
        name="test",
        currency="EUR",
        slot_seconds=seconds,
        opens_before_seconds=7200,
        gate_before_seconds=300,
        tick=100,
        price_floor=0,
        price_cap=1_000_000,
        lot=1,
        max_orders=1000,
        gate=gate,
        voltage_min_ppm=round((1 - voltage) * 1e6),
        voltage_max_ppm=round((1 + voltage) * 1e6),
        loading_max_ppm=round(loading * 1e6),
        utility="utility",
        retail=300_000,
        feed_in=80_000,
        grid_fee=0,
    )


def one_line(r_ohm: float = 0.5, x_ohm: float = 0.0, i_max_a: float = 1e6, u_pu: float = 1.0) -> Feeder:
    """A 230 V bus `far` with two connections behind one line; connection 0 is at the source."""
    return Feeder.from_data(
        {
            "buses": [{"id": "source", "u_rated_v": 230}, {"id": "far", "u_rated_v": 230}],
            "lines": [
                {"id": "line", "from": "source", "to": "far", "r_ohm": r_ohm, "x_ohm": x_ohm, "i_max_a": i_max_a}
            ],
            "source": {"bus": "source", "u_pu": u_pu},
            "connections": [
                {"id": "utility", "bus": "source"},
                {"id": "pv", "bus": "far"},
                {"id": "load", "bus": "far"},
            ],
        }
    )


def radial(
    rng: np.random.Generator, buses: int, *, transformers: int = 1, reach_km: float = 0.6, spread: int = 6
) -> Feeder:
    """A random 20 kV / 400 V feeder: `buses` low-voltage buses shared out to the stations on a 20 kV cable.

    Ends are exchanged, taps moved and vector groups drawn at random; some buses have no connection, some have two.
    """
    data: dict[str, Any] = {
        "name": "random",
        "buses": [{"id": "mv0", "u_rated_v": 20e3}],
        "lines": [],
        "transformers": [],
        "source": {"bus": "mv0", "u_pu": round(float(rng.uniform(0.99, 1.03)), 3)},
        "connections": [{"id": "utility", "bus": "mv0"}],
    }
    for t in range(transformers):
        data["buses"] += [{"id": f"mv{t + 1}", "u_rated_v": 20e3}, {"id": f"t{t}n0", "u_rated_v": 400.0}]
        data["lines"].append(_line(rng, f"cable{t}", f"mv{t}", f"mv{t + 1}", 1.5, 0.2, 250.0))
        data["transformers"].append(_transformer(rng, f"trafo{t}", f"mv{t + 1}", f"t{t}n0"))
        share = buses // transformers
        for i in range(1, share):
            parent = f"t{t}n{int(rng.integers(max(0, i - spread), i))}"
            data["buses"].append({"id": f"t{t}n{i}", "u_rated_v": 400.0})
            length = 4 * reach_km / max(share, 6) * float(rng.uniform(0.2, 1.2))
            data["lines"].append(_line(rng, f"l{t}-{i}", parent, f"t{t}n{i}", length, 0.3, 270.0))
            for k in range(int(rng.choice([0, 1, 1, 1, 2]))):
                data["connections"].append({"id": f"c{t}-{i}-{k}", "bus": f"t{t}n{i}"})
    data["connections"].append({"id": "last", "bus": data["buses"][-1]["id"]})
    return Feeder.from_data(data)


def _line(
    rng: np.random.Generator, name: str, a: str, b: str, km: float, ohm_per_km: float, i_max_a: float
) -> dict[str, Any]:
    if rng.random() < 0.5:
        a, b = b, a
    shunt = 260e-9 * km * int(rng.integers(0, 2))
    impedance = {"r_ohm": ohm_per_km * km, "x_ohm": 0.08 * km}
    return {"id": name, "from": a, "to": b, "c_f": shunt, "i_max_a": i_max_a} | impedance


def _transformer(rng: np.random.Generator, name: str, high: str, low: str) -> dict[str, Any]:
    ends = {"from": high, "to": low, "u1_v": 20e3, "u2_v": 400.0}
    turned = rng.random() < 0.3
    if turned:
        ends = {"from": low, "to": high, "u1_v": 400.0, "u2_v": 20e3}
    side = str(rng.choice(["from", "to"]))
    low_side = (side == "from") == turned
    span = (2, -2) if rng.random() < 0.3 else (-2, 2)
    return {
        "id": name,
        "s_va": float(rng.choice([160e3, 250e3, 400e3])),
        "uk": 0.06,
        "pk_w": 2350.0,
        "i0": 0.012,
        "p0_w": 540.0,
        "clock": int(rng.integers(0, 12)),
        "tap_side": side,
        "tap_pos": int(rng.integers(-1, 2)),
        "tap_min": span[0],
        "tap_max": span[1],
        "tap_size_v": 5.0 if low_side else 250.0,
    } | ends


def injections(rng: np.random.Generator, feeder: Feeder, total_w: float, slots: int = 1) -> tuple[Floats, Floats]:
    """Random active and reactive power (S, C) [W, var] of about `total_w` in all connections together."""
    size = (slots, len(feeder.connection_ids))
    scale = total_w / np.sqrt(size[1])
    return rng.normal(0, scale, size), rng.normal(0, 0.3 * scale, size)
