"""Seconds that pandapower takes for a power flow of a native feeder file; runs with an interpreter that has pandapower.

    PYTHON benchmarks/pandapower_flow.py FEEDER.json LOADS.json

LOADS holds rows of injections [W] per connection. Prints JSON: CPU seconds per flow, and the last voltages [pu] by bus.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def build(data: dict[str, Any]) -> tuple[Any, dict[str, int]]:
    """The feeder as a pandapower net, and the number of each bus."""
    import pandapower as pp

    net = pp.create_empty_network(sn_mva=1.0)
    bus = {item["id"]: pp.create_bus(net, item["u_rated_v"] / 1e3) for item in data["buses"]}
    source = data["source"]
    pp.create_ext_grid(net, bus[source["bus"]], vm_pu=source.get("u_pu", 1.0))
    for line in data["lines"]:
        pp.create_line_from_parameters(
            net, bus[line["from"]], bus[line["to"]], 1.0, line["r_ohm"], line["x_ohm"],
            line.get("c_f", 0.0) * 1e9, line.get("i_max_a", 1e3) / 1e3,
        )  # fmt: skip
    for item in data.get("transformers", []):
        ends, volts = (item["from"], item["to"]), (item["u1_v"], item["u2_v"])
        if volts[0] < volts[1]:
            ends, volts = ends[::-1], volts[::-1]
        pp.create_transformer_from_parameters(
            net, bus[ends[0]], bus[ends[1]], item["s_va"] / 1e6, volts[0] / 1e3, volts[1] / 1e3,
            100 * item["pk_w"] / item["s_va"], 100 * item["uk"], item.get("p0_w", 0.0) / 1e3,
            100 * item.get("i0", 0.0),
        )  # fmt: skip
    for item in data["connections"]:
        pp.create_sgen(net, bus[item["bus"]], 0.0)
    return net, bus


def main() -> None:
    import pandapower as pp

    feeder, loads = (json.loads(Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:3])
    net, bus = build(feeder)
    pp.runpp(net, calculate_voltage_angles=False, trafo_model="pi")
    seconds = []
    for row in loads:
        net.sgen["p_mw"] = [watt / 1e6 for watt in row]
        started = time.process_time()
        pp.runpp(net, init="results", trafo_model="pi", calculate_voltage_angles=False)
        seconds.append(time.process_time() - started)
    volts = {name: float(net.res_bus.vm_pu[number]) for name, number in bus.items()}
    print(json.dumps({"seconds": sorted(seconds)[len(seconds) // 2], "u_pu": volts, "version": pp.__version__}))


if __name__ == "__main__":
    main()
