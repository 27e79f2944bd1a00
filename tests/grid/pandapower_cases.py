"""Writes tests/cases/pandapower: networks of pandapower and SimBench with the voltages that pandapower finds.

python -m tests.grid.pandapower_cases        # needs the extra `import`
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

from grid.pandapower_import import from_pandapower, simbench_net

FOLDER = Path(__file__).parents[1] / "cases" / "pandapower"
KINDS = {"load": -1, "sgen": 1, "storage": -1}
SHARES = (1.0, 0.4, -0.5)
"""Of the injections of the net as published; the last one turns every flow around."""
NETS = {
    "baran_wu": "case33bw",
    "cigre_lv": "create_cigre_network_lv",
    "cigre_mv": "create_cigre_network_mv",
    "dickert": "create_dickert_lv_network",
    "four_loads": "panda_four_load_branch",
    "kerber_cable": "create_kerber_landnetz_kabel_2",
    "kerber_overhead": "create_kerber_landnetz_freileitung_1",
    "kerber_suburb": "create_kerber_vorstadtnetz_kabel_1",
    "kerber_village": "create_kerber_dorfnetz",
    "synthetic_rural": "create_synthetic_voltage_control_lv_network",
}
CODES = {
    "simbench_mv_rural": "1-MV-rural--0-sw",
    "simbench_rural1": "1-LV-rural1--0-sw",
    "simbench_semiurb4": "1-LV-semiurb4--0-sw",
}


def case(net: Any, name: str, terms: str) -> dict[str, Any]:
    """The net as a feeder, injections (S, C) [W, var], and what `runpp` finds: voltages (S, N) [pu] by bus."""
    import pandapower

    feeder = from_pandapower(net, name, tuple(KINDS), license=terms, phases=False)
    rows = [(0.0, 0.0)]
    for table, sign in KINDS.items():
        used = net[table][net[table].in_service]
        factor = sign * used.scaling * 1e6
        rows += list(zip((used.p_mw * factor).tolist(), (used.q_mvar * factor).tolist(), strict=True))
    published = {table: net[table].scaling.copy() for table in KINDS}
    names = net.bus.name.astype(object).where(~net.bus.name.duplicated(keep=False))
    ids = [" ".join(text.split()) if isinstance(text, str) and text else f"bus {i}" for i, text in names.items()]
    voltages = []
    for share in SHARES:
        for table, scaling in published.items():
            net[table]["scaling"] = share * scaling
        pandapower.runpp(net, numba=False, tolerance_mva=1e-11, voltage_depend_loads=False)
        known = dict(zip(ids, net.res_bus.vm_pu.tolist(), strict=True))
        voltages.append([known.get(bus) for bus in feeder.bus_ids])
    return {
        "program": f"pandapower {pandapower.__version__}",
        "feeder": json.loads(feeder.to_json()),
        "injection_w": [[share * p for p, _ in rows] for share in SHARES],
        "injection_var": [[share * q for _, q in rows] for share in SHARES],
        "u_pu": voltages,
    }


def main() -> int:
    import pandapower.networks

    warnings.simplefilter("ignore")
    cases = {name: case(getattr(pandapower.networks, made)(), name, "BSD-3-Clause") for name, made in NETS.items()}
    for name, code in CODES.items():
        net = simbench_net(code)
        net.trafo.loc[net.trafo.index[1:], "in_service"] = False  # two in parallel are a loop
        cases[name] = case(net, name, "ODbL-1.0")
    for name, found in cases.items():
        FOLDER.joinpath(f"{name}.json").write_text(json.dumps(found, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
