"""Rebuild the shipped data: python scenarios/build_data.py [DIR].

Needs the packages simbench and pandapower (extra `import`). The same releases of the packages give the same bytes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agents.profiles import write_npz
from grid.pandapower_import import SIMBENCH, from_pandapower, simbench_net
from market.slots import MINUTE, parse_time

DATA = Path(__file__).resolve().parent / "data"
VILLAGE = "1-LV-rural2--0-sw"
IEEE = {
    "license": "BSD-3-Clause",
    "attribution": (
        "European Low Voltage Test Feeder, IEEE PES Test Feeder Working Group; converted from pandapower,"
        " Copyright (c) 2016-2026 by University of Kassel and Fraunhofer IEE and individual contributors"
    ),
}
KINDS = {
    "household": r"H0-[A-Z]",
    "commercial": r"G[0-9]-[A-Z]",
    "agricultural": r"L[0-9]-[A-Z]",
    "industrial": r"(BL|WB)-H",
    "heat_pump": r"(Air|Soil)_.*",
    "ev": r"(HLS|APLS)_.*",
    "pv": r"PV[0-9]+",
    "wind": r"WP[0-9]+",
    "biomass": r"BM[0-9]+",
    "hydro": r"Hydro[0-9]+",
}
"""What each profile of SimBench is, by its name; others are sums over whole networks or of high voltage."""


def profiles(path: Path) -> None:
    """Write SimBench's profiles of all kinds for 2016.

    The tables give German local time: the hour after 01:45 is 03:00 on 27 March, and 02:00 to 02:45 stands twice on
    30 October; generation and consumption move with the clock there. So the rows are 35 136 steps without a gap in
    UTC, and the first, 00:00 of 1 January, is 23:00 of the day before. A value counts from its time on.
    """
    import pandas as pd
    import simbench

    tables = simbench.get_all_simbench_profiles(0)
    start = parse_time("2015-12-31T23:00:00Z")
    names: list[str] = []
    kinds: list[str] = []
    columns: list[NDArray[np.float64]] = []
    for source in ("load", "renewables"):
        table = tables[source]
        clock = pd.date_range(pd.Timestamp(start, tz="UTC"), periods=len(table), freq="15min")
        if list(clock.tz_convert("Europe/Berlin").strftime("%d.%m.%Y %H:%M")) != list(table["time"]):
            raise ValueError(f"SimBench's profiles of {source} do not have the times of 2016 in Germany")
        for kind, pattern in KINDS.items():
            for column in sorted(table.columns, key=_natural):
                name = column.removesuffix("_pload")
                if re.fullmatch(pattern, name) and not name.endswith("_qload"):
                    names.append(name)
                    kinds.append(kind)
                    # A few rounding errors of the source lie below zero.
                    columns.append(np.maximum(table[column].to_numpy(dtype=np.float64), 0.0))
    write_npz(path, names, kinds, start, 15 * MINUTE, np.array(columns), notice=SIMBENCH["attribution"])


def village(path: Path) -> None:
    """Write SimBench's rural low-voltage network 2: its loads are the connections, each with its profile's name."""
    net = simbench_net(VILLAGE)
    origin = f"SimBench code {VILLAGE}; x and y in metres from the mean of the buses' coordinates"
    feeder = from_pandapower(net, "SimBench LV rural 2", phases=False, origin=origin, **SIMBENCH)
    path.write_text(feeder.to_json(), encoding="utf-8")


def street(path: Path) -> None:
    """Write the IEEE European low-voltage test feeder: 55 customers, each with its phase; coordinates in metres."""
    from pandapower.networks import ieee_european_lv_asymmetric

    origin = "pandapower.networks.ieee_european_lv_asymmetric, positive sequence"
    net = ieee_european_lv_asymmetric()
    feeder = from_pandapower(net, "IEEE European LV", phases=False, origin=origin, **IEEE)
    path.write_text(feeder.to_json(), encoding="utf-8")


def three_phases(path: Path) -> None:
    """Write the IEEE European low-voltage test feeder with its zero sequence."""
    from pandapower.networks import ieee_european_lv_asymmetric

    origin = "pandapower.networks.ieee_european_lv_asymmetric"
    net = ieee_european_lv_asymmetric()
    feeder = from_pandapower(net, "European LV", phases=True, origin=origin, **IEEE)
    path.write_text(feeder.to_json(), encoding="utf-8")


def build(folder: Path) -> list[Path]:
    """Write all files into `folder` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        folder / "simbench_lv_rural2.feeder.json": village,
        folder / "ieee_european_lv.feeder.json": street,
        folder / "european_lv.feeder.json": three_phases,
        folder / "simbench_2016.npz": profiles,
    }
    for path, write in files.items():
        write(path)
    return list(files)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorting key that puts WP2 before WP10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


if __name__ == "__main__":
    for written in build(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA):
        sys.stdout.write(f"{written}: {written.stat().st_size} bytes\n")
