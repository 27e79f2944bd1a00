"""Feeders from pandapower nets, from their JSON files and from SimBench codes (extra `import`).

A net is read as pandapower's own `runpp` reads it: elements out of service are left out, closed bus-bus switches make
two buses one, an open switch at one end of a line or transformer lets that end hang, tap changers count only if
`tap_changer_type` says so, and a transformer's T circuit becomes the π circuit that is equal to it. Loads, generators
and storages become connections; their powers are not part of a feeder.

A net with asymmetric elements and zero-sequence data becomes a three-phase feeder. Zero-sequence impedance of a
transformer beyond its positive one becomes that of its grounding; its magnetising branch is taken as in the positive
sequence, as power-grid-model does, whatever `mag0_percent` says.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from grid.feeder import Feeder, FeederError

CONNECTIONS = ("load", "asymmetric_load")
"""Tables of a net whose elements become connections unless the caller says otherwise."""

SIMBENCH = {
    "license": "ODbL-1.0",
    "attribution": (
        "SimBench (https://simbench.de), University of Kassel, TU Dortmund, RWTH Aachen University and Fraunhofer IEE;"
        " made available under the Open Database License (https://opendatacommons.org/licenses/odbl/1-0/)"
    ),
}
"""Whose the nets of SimBench are; every feeder made from one says so."""

_INSTALL = "run: pip install 'wattbook[import]'"
_REFUSED = {
    "gen": "it holds the voltage of its bus; make it an sgen",
    "trafo3w": "use two-winding transformers",
    "impedance": "use a line",
    "shunt": "a feeder has no shunts; remove it",
    "ward": "use a load",
    "xward": "use a load",
    "dcline": "remove it",
    "svc": "remove it",
    "tcsc": "remove it",
    "ssc": "remove it",
    "vsc": "remove it",
}
_VECTOR_GROUP = re.compile(r"(D|YN?|ZN?)(d|yn?|zn?)\d*")
_WINDINGS = {"d": "delta", "y": "wye", "yn": "wye_n", "z": "zigzag", "zn": "zigzag_n"}
_PHASES = (("p_a_mw", "q_a_mvar"), ("p_b_mw", "q_b_mvar"), ("p_c_mw", "q_c_mvar"))
_KINDS = {"buses": "bus", "lines": "line", "transformers": "transformer", "connections": "connection"}

Row = dict[str, Any]


def from_simbench(code: str, connections: Sequence[str] = CONNECTIONS) -> Feeder:
    """The feeder of a SimBench code such as "1-LV-rural2--0-sw"; its geographic coordinates become metres.

    Raises FeederError if simbench is not installed, the code is unknown, or the net is no radial feeder.
    """
    return from_pandapower(simbench_net(code), code, connections, phases=False, **SIMBENCH)


def simbench_net(code: str) -> Any:
    """The net of a SimBench code, its tap changers active and its coordinates in metres. Raises FeederError."""
    try:
        import simbench
    except ImportError as error:
        raise FeederError([f"feeder: SimBench code {code!r} needs the package simbench; {_INSTALL}"]) from error
    if code not in simbench.collect_all_simbench_codes():
        raise FeederError([f"feeder: there is no SimBench code {code!r}; write it like '1-LV-rural2--0-sw'"])
    net = simbench.get_simbench_net(code)
    # Since release 3, pandapower ignores a tap changer without a type, and SimBench gives none.
    typeless = net.trafo["tap_side"].notna() & net.trafo["tap_changer_type"].isna()
    net.trafo["tap_changer_type"] = net.trafo["tap_changer_type"].astype(object).mask(typeless, "Ratio")
    places = {index: _place(text) for index, text in net.bus["geo"].items()}
    known = [place for place in places.values() if place is not None]
    if known:
        east, north = (sum(place[axis] for place in known) / len(known) for axis in (0, 1))
        metre = math.pi / 180 * 6_371_000
        for index, place in places.items():
            if place is not None:
                x, y = (place[0] - east) * metre * math.cos(math.radians(north)), (place[1] - north) * metre
                net.bus.at[index, "geo"] = json.dumps({"type": "Point", "coordinates": [round(x, 1), round(y, 1)]})
    return net


def from_pandapower_json(path: Path, connections: Sequence[str] = CONNECTIONS) -> Feeder:
    """The feeder of a net that was written by `pandapower.to_json`. Raises FeederError.

    Read only files that you trust: pandapower creates the objects that the file names.
    """
    try:
        import pandapower
    except ImportError as error:
        raise FeederError([f"feeder: {path} needs the package pandapower; {_INSTALL}"]) from error
    try:
        net = pandapower.from_json(str(path))
        return from_pandapower(net, name=path.stem, connections=connections)
    except FeederError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserWarning) as error:
        fix = "write it by pandapower.to_json, with the same release of pandapower"
        raise FeederError([f"feeder: {path} is no pandapower net ({type(error).__name__}: {error}); {fix}"]) from error


def from_pandapower(
    net: Any,
    name: str = "",
    connections: Sequence[str] = CONNECTIONS,
    *,
    trafo_model: str = "t",
    phases: bool | None = None,
    **about: str,
) -> Feeder:
    """The feeder of a pandapower net.

    `connections` names the tables whose elements become connections; one more, "slack", sits at the source for the
    utility. `trafo_model` is that of `runpp` ("t" or "pi"). `phases` asks for the zero sequence; by default a net
    with asymmetric elements has it where it is complete. `about` may give license, attribution and origin.
    Raises FeederError if the net cannot be a radial feeder with one source.
    """
    data: Row = {"name": name or str(net.get("name") or "")} | about
    data = {key: value for key, value in data.items() if value} | _Import(net, connections, trafo_model, phases).data()
    try:
        return Feeder.from_data(data)
    except FeederError as error:
        raise FeederError([_named(line, data) for line in error.errors]) from error


def _named(line: str, data: Row) -> str:
    """An error whose path names the net's element instead of a position in the converted lists."""

    def element(match: re.Match[str]) -> str:
        return f"{_KINDS[match[1]]} {data[match[1]][int(match[2])]['id']!r}"

    named = re.sub(rf"\b({'|'.join(_KINDS)})\[(\d+)\]", element, line, count=1)
    return re.sub(r"^(feeder: (?:line|transformer) ('.*?')) \2", r"\1", named)


class _Import:
    """One conversion: reads the tables once and collects what cannot be converted."""

    def __init__(self, net: Any, connections: Sequence[str], trafo_model: str, phases: bool | None) -> None:
        self.net = net
        self.tables = connections
        self.phases = self.has_phases() if phases is None else phases
        self.trafo_model = trafo_model
        self.errors: list[str] = []
        self.buses = dict(self.rows("bus"))
        self.bus_ids = _ids(self.buses, "bus {}")
        self.parent = {bus: bus for bus in self.buses}
        self.opened = {(row["et"], row["element"], row["bus"]) for _, row in self.rows("switch") if not row["closed"]}
        self.hanging: list[Row] = []

    def data(self) -> Row:
        for table, fix in _REFUSED.items():
            self.errors += [f"feeder: {table} {index} is not supported; {fix}" for index, _ in self.rows(table)]
        self.fuse()
        sources = {self.bus(row["bus"]): row for _, row in self.rows("ext_grid") if row["bus"] in self.buses}
        if len(sources) != 1:
            names = ", ".join(repr(bus) for bus in sources) or "none"
            self.errors.append(f"feeder: must have one source (ext_grid in service), got {len(sources)} ({names})")
        if self.errors:
            raise FeederError(self.errors)
        ((source, row),) = sources.items()
        lines, transformers = list(self.lines()), list(self.transformers())
        supplied = _reached(source, [*lines, *transformers])
        users = list(self.connections(supplied))
        if self.errors:
            raise FeederError(self.errors)
        return {
            "buses": [bus for bus in [*self.joined(), *self.hanging] if bus["id"] in supplied],
            "lines": [line for line in lines if line["from"] in supplied],
            "transformers": [trafo for trafo in transformers if trafo["from"] in supplied],
            "source": {"bus": source, "u_pu": float(row["vm_pu"])},
            "connections": [{"id": "slack", "bus": source}, *users],
        }

    def rows(self, table: str) -> Iterator[tuple[Any, Row]]:
        """Index and row of each element in service."""
        if table in self.net:
            for index, row in self.net[table].to_dict("index").items():
                if row.get("in_service", True):
                    yield index, row

    def has_phases(self) -> bool:
        """Whether the net has asymmetric elements, and the zero sequence of every branch."""
        keys = [("line", "r0_ohm_per_km"), ("line", "x0_ohm_per_km"), ("trafo", "vector_group")]
        known = all(_is_given(row.get(key)) for table, key in keys for _, row in self.rows(table))
        return known and any(True for table in self.tables if "asymmetric" in table for _ in self.rows(table))

    def root(self, bus: Any) -> Any:
        while self.parent[bus] != bus:
            bus = self.parent[bus]
        return bus

    def bus(self, bus: Any) -> str:
        return self.bus_ids[self.root(bus)]

    def fuse(self) -> None:
        """Make the two buses of each closed bus-bus switch one; the lower index gives its name."""
        for index, row in self.rows("switch"):
            if row["et"] != "b" or not row["closed"] or not {row["bus"], row["element"]} <= self.buses.keys():
                continue
            if row.get("z_ohm", 0) > 0:
                self.errors.append(f"feeder: switch {index} has an impedance ({row['z_ohm']} ohm); use a line")
            low, high = sorted((self.root(row["bus"]), self.root(row["element"])))
            self.parent[high] = low

    def joined(self) -> Iterator[Row]:
        for index, row in self.buses.items():
            if self.root(index) == index:
                bus = {"id": self.bus_ids[index], "u_rated_v": float(row["vn_kv"]) * 1e3}
                place = _place(row.get("geo"))
                yield bus if place is None else bus | {"x": place[0], "y": place[1]}

    def end(self, kind: str, index: Any, bus: Any) -> str | None:
        return None if bus not in self.buses or (kind, index, bus) in self.opened else self.bus(bus)

    def ends(self, kind: str, index: Any, row: Row, sides: tuple[str, str], name: str, hang: bool) -> Row | None:
        """Buses of a branch; an open end gets a bus of its own if the branch then still matters (`hang`)."""
        ends = [self.end(kind, index, row[side]) for side in sides]
        if None in ends:
            if not hang or ends == [None, None]:
                return None
            side = sides[ends.index(None)]
            volts = float(self.net["bus"].at[row[side], "vn_kv"]) * 1e3
            self.hanging.append({"id": f"{name} (open end)", "u_rated_v": volts})
            ends[ends.index(None)] = f"{name} (open end)"
        return {"id": name, "from": ends[0], "to": ends[1]}

    def lines(self) -> Iterator[Row]:
        rows = dict(self.rows("line"))
        for index, name in _ids(rows, "line {}").items():
            row = rows[index]
            length, parallel = float(row["length_km"]), float(row["parallel"])
            if row.get("g_us_per_km", 0) > 0:
                self.errors.append(f"feeder: line {name!r}: g_us_per_km must be 0, got {row['g_us_per_km']}")
            # The format counts capacitance at 50 Hz.
            c_f = row["c_nf_per_km"] * 1e-9 * length * parallel * float(self.net["f_hz"]) / 50
            values: Row = {
                "r_ohm": row["r_ohm_per_km"] * length / parallel,
                "x_ohm": row["x_ohm_per_km"] * length / parallel,
                "c_f": c_f,
                "i_max_a": row["max_i_ka"] * 1e3 * row["df"] * parallel,
            }
            if self.phases:
                values |= {f"{key}0_ohm": _number(row.get(f"{key}0_ohm_per_km")) * length / parallel for key in "rx"}
                per_km = _number(row.get("c0_nf_per_km"))
                values["c0_f"] = per_km * 1e-9 * length * parallel * float(self.net["f_hz"]) / 50
            ends = self.ends("l", index, row, ("from_bus", "to_bus"), name, hang=c_f > 0)
            if ends is not None:
                yield ends | values

    def transformers(self) -> Iterator[Row]:
        rows = dict(self.rows("trafo"))
        for index, name in _ids(rows, "transformer {}").items():
            row = rows[index]
            if _is(row.get("tap_dependency_table")):
                self.errors.append(f"feeder: transformer {name!r}: tap_dependency_table is not supported; set it False")
            for key in ("leakage_resistance_ratio_hv", "leakage_reactance_ratio_hv"):
                if row.get(key, 0.5) != 0.5 and self.trafo_model == "t":
                    self.errors.append(f"feeder: transformer {name!r}: {key} must be 0.5, got {row[key]}")
            values = _circuit(row, self.trafo_model) | _taps(row)
            if self.phases:
                try:
                    values |= _zero(row)
                except ValueError as error:
                    self.errors.append(f"feeder: transformer {name!r}: {error}")
            ends = self.ends("t", index, row, ("hv_bus", "lv_bus"), name, hang=values["i0"] > 0)
            if ends is not None:
                yield ends | values

    def connections(self, supplied: set[str]) -> Iterator[Row]:
        rows = {(table, index): row for table in self.tables for index, row in self.rows(table)}
        names = _ids(rows, "{0[0]} {0[1]}")
        for (table, index), row in rows.items():
            name = names[table, index]
            if row["bus"] not in self.buses or self.bus(row["bus"]) not in supplied:
                fix = "close a switch or set in_service False"
                self.errors.append(f"feeder: {table} {name!r}: its bus {row['bus']} is not supplied; {fix}")
                continue
            found: Row = {"id": name, "bus": self.bus(row["bus"])}
            powers = {phase: [row.get(key, 0) for key in keys] for phase, keys in zip("abc", _PHASES, strict=True)}
            live = [phase for phase, power in powers.items() if any(power)]
            if isinstance(row.get("profile"), str):
                found["profile"] = row["profile"]
            if self.phases and "asymmetric" in table and row.get("type", "wye") != "wye":
                fault = f"type must be 'wye', got {row['type']!r}; connect it between phases and neutral"
                self.errors.append(f"feeder: {table} {name!r}: {fault}")
            if len(live) == 1:
                yield found | {"phase": live[0]}
            elif self.phases and live and not powers["a"] == powers["b"] == powers["c"]:
                yield from (found | {"id": f"{name} {phase}", "phase": phase} for phase in live)
            else:
                yield found


def _ids(rows: dict[Any, Row], label: str) -> dict[Any, str]:
    """The elements' names where they are texts that occur once, else `label` with the index."""
    names = {index: " ".join(row["name"].split()) for index, row in rows.items() if isinstance(row.get("name"), str)}
    uses = Counter(names.values())
    usable = {index: name for index, name in names.items() if name and name.isprintable() and uses[name] == 1}
    return {index: usable.get(index, label.format(index)) for index in rows}


def _reached(source: str, branches: Sequence[Row]) -> set[str]:
    near: dict[str, list[str]] = {}
    for branch in branches:
        near.setdefault(branch["from"], []).append(branch["to"])
        near.setdefault(branch["to"], []).append(branch["from"])
    found, rest = {source}, [source]
    while rest:
        new = [bus for bus in near.get(rest.pop(), []) if bus not in found]
        found.update(new)
        rest.extend(new)
    return found


def _circuit(row: Row, model: str) -> Row:
    """Rating, voltages, impedance and no-load branch of a transformer.

    pandapower's T circuit (z/2, y across, z/2) is the π circuit with z' = z + z²y/4 and y' = y / (1 + zy/4), in per
    unit of its rating. Derating (`df`) moves the rating alone: the same ohms are other fractions of it.
    """
    power = row["sn_mva"] * 1e6 * row["parallel"] * row["df"]
    short, real = row["vk_percent"] / 100, row["vkr_percent"] / 100
    iron = row["pfe_kw"] * 1e-3 / row["sn_mva"]
    z = complex(real, math.sqrt(max(short**2 - real**2, 0.0)))
    y = complex(iron, -math.sqrt(max((row["i0_percent"] / 100) ** 2 - iron**2, 0.0)))
    if model == "t":
        z, y = z + z * z * y / 4, y / (1 + z * y / 4)
    z, y = z * row["df"], y / row["df"]
    shift = row.get("shift_degree", 0.0)
    return {
        "s_va": power,
        "uk": abs(z),
        "pk_w": z.real * power,
        "i0": abs(y),
        "p0_w": y.real * power,
        "clock": round(shift / 30) % 12,  # other angles turn a radial feeder as a whole, magnitudes stay
    }


def _zero(row: Row) -> Row:
    """Windings and grounding of a transformer. Raises ValueError if the format cannot say what the net does."""
    group = str(row.get("vector_group"))
    found = _VECTOR_GROUP.fullmatch(group)
    if found is None:
        raise ValueError(f"vector_group must be like 'Dyn' or 'YNyn', got {group!r}")
    windings = {end: _WINDINGS[found[at].lower()] for at, end in ((1, "from"), (2, "to"))}
    short, real = (row[f"{key}_percent"] / 100 for key in ("vk", "vkr"))
    short0, real0 = (
        _number(row.get(f"{key}0_percent"), 100 * value) / 100 for key, value in (("vk", short), ("vkr", real))
    )
    excess = complex(real0 - real, math.sqrt(max(short0**2 - real0**2, 0.0)) - math.sqrt(short**2 - real**2))
    base = (row["vn_lv_kv"] * 1e3) ** 2 / (row["sn_mva"] * 1e6 * row["parallel"])
    grounding = excess * base / 3 + complex(_number(row.get("rn_ohm")), _number(row.get("xn_ohm")))
    if min(grounding.real, grounding.imag) < 0:
        raise ValueError("vk0_percent and vkr0_percent must give no less resistance and reactance than vk and vkr")
    return {
        "winding_from": windings["from"],
        "winding_to": windings["to"],
        "r_grounding_to_ohm": grounding.real,
        "x_grounding_to_ohm": grounding.imag,
    }


def _taps(row: Row) -> Row:
    """Rated voltages and tap changer of a transformer; a tap changer that moves in no whole volts is built in."""
    volts = {"hv": row["vn_hv_kv"] * 1e3, "lv": row["vn_lv_kv"] * 1e3}
    taps: Row = {}
    for tap in ("tap", "tap2"):
        side, kind = row.get(f"{tap}_side"), row.get(f"{tap}_changer_type", "Ratio")
        values = [_number(row.get(f"{tap}_{key}")) for key in ("pos", "neutral", "step_percent", "step_degree")]
        position, neutral, step, angle = values
        if side not in volts or kind not in ("Ratio", "Symmetrical") or _is(row.get(f"{tap}_phase_shifter")):
            continue
        if position.is_integer() and neutral.is_integer() and step > 0 and angle == 0 and tap == "tap":
            ends = [_number(row.get(f"tap_{key}"), neutral) for key in ("min", "max")]
            taps = {"tap_side": "from" if side == "hv" else "to", "tap_pos": int(position), "tap_nom": int(neutral)}
            taps |= {"tap_min": int(min(*ends, position)), "tap_max": int(max(*ends, position))}
            taps |= {"tap_size_v": volts[side] * step / 100}
        else:
            turn = complex(math.cos(math.radians(angle)), math.sin(math.radians(angle)))
            volts[side] *= abs(1 + (position - neutral) * step / 100 * turn)
    return {"u1_v": volts["hv"], "u2_v": volts["lv"]} | taps


def _number(value: Any, default: float = 0.0) -> float:
    """`value` as a float, or `default` where the table has None, NaN or pandas.NA."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return default
    return default if math.isnan(number) else number


def _is_given(value: Any) -> bool:
    return isinstance(value, str) if not isinstance(value, int | float) else not math.isnan(value)


def _is(value: Any) -> bool:
    return isinstance(value, bool | int) and bool(value)


def _place(text: object) -> tuple[float, float] | None:
    """Coordinates of a GeoJSON point, or None."""
    try:
        x, y = json.loads(str(text))["coordinates"][:2]
        return float(x), float(y)
    except (ValueError, KeyError, TypeError):
        return None
