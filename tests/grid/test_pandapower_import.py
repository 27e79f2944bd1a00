"""Converted nets must have the voltages that pandapower itself finds; needs the extra `import`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grid.feeder import Feeder, FeederError
from grid.pandapower_import import from_pandapower, from_pandapower_json, from_simbench, simbench_net
from grid.powerflow import PhaseFlow, solve

pandapower = pytest.importorskip("pandapower", reason="pandapower is not installed (extra `import`)")
networks = pytest.importorskip("pandapower.networks", reason="pandapower is not installed (extra `import`)")
pytestmark = pytest.mark.filterwarnings("ignore")

POWERS = ("load", "sgen", "storage", "asymmetric_load", "asymmetric_sgen")
INJECTS = {"sgen": 1, "asymmetric_sgen": 1}


def powers(net: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Injections [W, var] of every connection of the converted net in its order, the slack's first, shape (C, 2)."""
    rows = [(0.0, 0.0)]
    for table in POWERS:
        elements = net[table][net[table].in_service]
        sums = []
        for kind in ("p", "q"):
            unit = "mw" if kind == "p" else "mvar"
            names = [f"{kind}_{phase}_{unit}" for phase in "abc"] if "asymmetric" in table else [f"{kind}_{unit}"]
            sums.append(elements[names].sum(axis=1) * elements.scaling * 1e6 * INJECTS.get(table, -1))
        rows += list(zip(*sums, strict=True))
    return np.array(rows)


def difference(net: Any, feeder: Feeder | None = None, **options: Any) -> float:
    """Largest difference [pu] between the bus voltages of `runpp` and those of the converted feeder."""
    pandapower.runpp(net, numba=False, tolerance_mva=1e-11, voltage_depend_loads=False, **options)
    feeder = feeder or from_pandapower(net, "net", POWERS, trafo_model=options.get("trafo_model", "t"), phases=False)
    injections = powers(net)
    u_pu = solve(feeder, injections[None, :, 0], injections[None, :, 1]).u_pu[0]
    known = dict(zip(feeder.bus_ids, u_pu, strict=True))
    names = net.bus.name.astype(object).where(~net.bus.name.duplicated(keep=False))
    ids = [" ".join(name.split()) if isinstance(name, str) and name else f"bus {i}" for i, name in names.items()]
    pairs = [(known[name], u) for name, u in zip(ids, net.res_bus.vm_pu, strict=True) if name in known]
    assert len(pairs) > 0.5 * len(net.bus)
    return float(max(abs(ours - theirs) for ours, theirs in pairs))


NETS: dict[str, Callable[[], Any]] = {
    "CIGRE LV": networks.create_cigre_network_lv,
    "Kerber rural, overhead": networks.create_kerber_landnetz_freileitung_1,
    "Kerber rural, cable": networks.create_kerber_landnetz_kabel_2,
    "Kerber village": networks.create_kerber_dorfnetz,
    "Kerber suburb": networks.create_kerber_vorstadtnetz_kabel_1,
    "IEEE European LV": networks.ieee_european_lv_asymmetric,
    "Dickert": networks.create_dickert_lv_network,
    "synthetic rural": lambda: networks.create_synthetic_voltage_control_lv_network("rural_1"),
    "four loads": networks.panda_four_load_branch,
    "CIGRE MV": networks.create_cigre_network_mv,
    "Baran and Wu": networks.case33bw,
}


@pytest.mark.parametrize("name", NETS)
def test_a_net_keeps_its_voltages(name: str) -> None:
    assert difference(NETS[name]()) < 1e-8


@pytest.mark.parametrize("code", ["1-LV-rural2--0-sw", "1-LV-urban6--0-sw", "1-MV-rural--0-sw"])
def test_a_simbench_net_keeps_its_voltages(code: str) -> None:
    pytest.importorskip("simbench", reason="simbench is not installed (extra `import`)")
    net = simbench_net(code)
    net.trafo.loc[net.trafo.index[1:], "in_service"] = False  # two in parallel are a loop
    net.trafo.tap_pos += 1  # pandapower would ignore it without a tap_changer_type
    feeder = from_pandapower(net, code, POWERS)
    assert feeder.tap_pos.tolist() == net.trafo.tap_pos.tolist()[:1]
    assert difference(net, feeder) < 1e-8


def test_a_simbench_code_gives_its_loads_with_their_profiles() -> None:
    pytest.importorskip("simbench", reason="simbench is not installed (extra `import`)")
    feeder = from_simbench("1-LV-rural1--0-sw")
    assert (feeder.name, feeder.license) == ("1-LV-rural1--0-sw", "ODbL-1.0")
    assert feeder.connection_ids[:2] == ["slack", "LV1.101 Load 1"]
    assert {profile[:2] for profile in feeder.connection_profile[1:]} == {"H0", "L1", "L2"}
    assert abs(np.nanmean(feeder.x)) < 1
    assert np.ptp(feeder.y) > 100


def small() -> Any:
    """Source, transformer, two lines in a row; bus 3 hangs on the second."""
    net = pandapower.create_empty_network(name="small")
    for voltage in (20.0, 0.4, 0.4, 0.4):
        pandapower.create_bus(net, voltage)
    pandapower.create_ext_grid(net, 0, vm_pu=1.01)
    pandapower.create_transformer(net, 0, 1, "0.4 MVA 20/0.4 kV")
    for start in (1, 2):
        pandapower.create_line(net, start, start + 1, 0.3, "NAYY 4x150 SE")
    pandapower.create_load(net, 3, 0.02, 0.005, name="house")
    pandapower.create_sgen(net, 2, 0.01)
    return net


TAPS = [("Ratio", 2.5, 0.0), ("Ratio", -1.5, 0.0), ("Symmetrical", 2.5, 90.0), ("Ideal", 0.0, 5.0), (None, 2.5, 0.0)]


@pytest.mark.parametrize("model", ["t", "pi"])
@pytest.mark.parametrize("side", ["hv", "lv"])
@pytest.mark.parametrize("position", [-2, 1.5, 2])
@pytest.mark.parametrize(("kind", "step", "degree"), TAPS)
def test_every_transformer_convention_survives(
    model: str, side: str, position: float, kind: str | None, step: float, degree: float
) -> None:
    net = small()
    values = {"tap_side": side, "tap_pos": position, "tap_neutral": 1, "tap_min": -2, "tap_max": 2, "parallel": 2}
    values |= {"tap_step_percent": step, "tap_step_degree": degree, "tap_changer_type": kind, "df": 0.8}
    values |= {"pfe_kw": 9.0, "i0_percent": 4.0, "shift_degree": 330.0, "vn_lv_kv": 0.41}
    for column, value in values.items():
        net.trafo[column] = value
    assert difference(net, trafo_model=model) < 1e-8


def errors(net: Any) -> Sequence[str]:
    with pytest.raises(FeederError) as caught:
        from_pandapower(net, "net", ("load", "sgen"))
    return caught.value.errors


def test_loads_and_generators_become_connections_by_name_or_index_and_the_utility_one_at_the_source() -> None:
    feeder = from_pandapower(small(), connections=("load", "sgen"), license="CC0-1.0")
    assert (feeder.name, feeder.license) == ("small", "CC0-1.0")
    assert feeder.connection_ids == ["slack", "house", "sgen 0"]
    assert [feeder.bus_ids[bus] for bus in feeder.connection_bus] == ["bus 0", "bus 3", "bus 2"]


def test_closed_switches_join_buses_and_parallel_lines_share_the_current() -> None:
    net = small()
    pandapower.create_bus(net, 0.4)
    pandapower.create_switch(net, 3, 4, "b")
    pandapower.create_load(net, 4, 0.01)
    net.line.loc[1, ["parallel", "df"]] = 2, 0.9
    feeder = from_pandapower(net)
    assert feeder.bus_ids == ["bus 0", "bus 1", "bus 2", "bus 3"]
    assert feeder.i_max_a[1] == pytest.approx(2 * 0.9 * feeder.i_max_a[0])
    assert difference(net) < 1e-8


def test_an_open_line_end_keeps_charging_and_what_lies_behind_it_is_left_out() -> None:
    net = small()
    net.line["c_nf_per_km"] = 90_000.0
    pandapower.create_bus(net, 0.4)
    pandapower.create_line(net, 3, 4, 1.0, "NAYY 4x150 SE")
    pandapower.create_switch(net, 2, 1, "l", closed=False)
    net.load.in_service = False
    feeder = from_pandapower(net, connections=("sgen",))
    assert feeder.line_ids == ["line 0"]
    pandapower.create_switch(net, 1, 0, "l", closed=False)
    net.sgen.in_service = False
    assert from_pandapower(net).line_ids == []
    net.switch.closed = [False, True]
    net.switch.bus = [3, 1]
    feeder = from_pandapower(net, connections=("sgen",))
    assert feeder.bus_ids == ["bus 0", "bus 1", "bus 2", "line 1 (open end)"]
    assert difference(net) < 1e-8


def test_a_transformer_open_at_one_end_keeps_its_no_load_losses() -> None:
    net = small()
    pandapower.create_bus(net, 20.0)
    pandapower.create_line(net, 0, 4, 3.0, "NA2XS2Y 1x95 RM/25 12/20 kV")
    pandapower.create_bus(net, 0.4)
    pandapower.create_transformer(net, 4, 5, "0.4 MVA 20/0.4 kV")
    net.trafo.loc[1, ["pfe_kw", "i0_percent"]] = 50.0, 20.0
    pandapower.create_switch(net, 5, 1, "t", closed=False)
    feeder = from_pandapower(net)
    assert feeder.bus_ids[-1] == "transformer 1 (open end)"
    assert "bus 5" not in feeder.bus_ids
    assert difference(net) < 1e-8


def test_a_ring_several_sources_and_unsupplied_loads_are_named() -> None:
    net = small()
    pandapower.create_line(net, 3, 1, 0.3, "NAYY 4x150 SE", name="ring")
    fault = "closes a loop between 'bus 3' and 'bus 1'; only radial feeders are supported, open the loop"
    assert errors(net) == [f"feeder: line 'ring': {fault}"]
    net = small()
    pandapower.create_ext_grid(net, 3)
    pandapower.create_gen(net, 2, 0.1)
    assert errors(net) == [
        "feeder: gen 0 is not supported; it holds the voltage of its bus; make it an sgen",
        "feeder: must have one source (ext_grid in service), got 2 ('bus 0', 'bus 3')",
    ]
    net = small()
    net.line.loc[0, "in_service"] = False
    assert errors(net) == [
        "feeder: load 'house': its bus 3 is not supplied; close a switch or set in_service False",
        "feeder: sgen 'sgen 0': its bus 2 is not supplied; close a switch or set in_service False",
    ]


def test_numbers_that_a_feeder_cannot_carry_are_named_by_element() -> None:
    net = small()
    net.line.loc[1, ["max_i_ka", "r_ohm_per_km"]] = np.nan, -1.0
    assert errors(net) == [
        "feeder: line 'line 1'.r_ohm: must be a finite number >= 0, got -0.3",
        "feeder: line 'line 1'.i_max_a: must be a finite number > 0, got nan",
    ]
    net = small()
    net.line["g_us_per_km"] = 1.0
    net.trafo["tap_dependency_table"] = True
    assert [error.split(";")[0] for error in errors(net)] == [
        "feeder: line 'line 0': g_us_per_km must be 0, got 1.0",
        "feeder: line 'line 1': g_us_per_km must be 0, got 1.0",
        "feeder: transformer 'transformer 0': tap_dependency_table is not supported",
    ]


def test_a_net_saved_as_json_is_read_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    pandapower.to_json(small(), str(path))
    assert from_pandapower_json(path).connection_ids == ["slack", "house"]
    path.write_text(path.read_text(encoding="utf-8")[:500], encoding="utf-8")
    with pytest.raises(FeederError, match=r"small.json is no pandapower net"):
        from_pandapower_json(path)
    with pytest.raises(FeederError, match=r"none.json is no pandapower net"):
        from_pandapower_json(tmp_path / "none.json")


def test_an_unknown_simbench_code_is_refused() -> None:
    pytest.importorskip("simbench", reason="simbench is not installed (extra `import`)")
    with pytest.raises(FeederError, match="there is no SimBench code '1-LV-rural9--0-sw'"):
        from_simbench("1-LV-rural9--0-sw")


def unbalanced() -> Any:
    """The small net with its zero sequence, an asymmetric load at two phases and a generator at one."""
    net = small()
    lines: dict[str, float] = {"r0_ohm_per_km": 0.8, "x0_ohm_per_km": 0.32, "c0_nf_per_km": 0.0}
    for key, value in lines.items():
        net.line[key] = value
    net.trafo["vector_group"] = "Dyn"
    # A feeder has no magnetising branch in the zero sequence of its own.
    zero = {"vk0_percent": 6.0, "vkr0_percent": 1.425, "mag0_percent": 1e9, "mag0_rx": 0.0, "si0_hv_partial": 0.9}
    for key, value in (zero | {"shift_degree": 150.0, "i0_percent": 0.0, "pfe_kw": 0.0}).items():
        net.trafo[key] = value
    net.ext_grid[["s_sc_max_mva", "rx_max", "x0x_max", "r0x0_max"]] = 1e12, 0.1, 1.0, 0.1
    pandapower.create_asymmetric_load(net, 3, p_a_mw=0.01, q_a_mvar=0.002, p_c_mw=0.004, name="flat")
    pandapower.create_asymmetric_sgen(net, 2, p_b_mw=0.006, name="roof")
    return net


def test_an_asymmetric_net_becomes_a_three_phase_feeder_with_the_voltages_of_its_phases() -> None:
    net = unbalanced()
    feeder = from_pandapower(net, "net", ("load", "sgen", "asymmetric_load", "asymmetric_sgen"))
    assert feeder.three_phase
    assert (feeder.winding_from, feeder.winding_to, feeder.clock.tolist()) == (["delta"], ["wye_n"], [5])
    assert feeder.connection_ids == ["slack", "house", "sgen 0", "flat a", "flat c", "roof"]
    assert feeder.connection_phase == ["abc", "abc", "abc", "a", "c", "b"]
    # In three phases pandapower passes over balanced generators, so there is nothing of the sgen here.
    p, q = np.array([[0.0, -20e3, 0.0, -10e3, -4e3, 6e3]]), np.array([[0.0, -5e3, 0.0, -2e3, 0.0, 0.0]])
    flow = solve(feeder, p, q)
    assert isinstance(flow, PhaseFlow)
    pandapower.runpp_3ph(net, numba=False, tolerance_mva=1e-11)
    theirs = net.res_bus_3ph[["vm_a_pu", "vm_b_pu", "vm_c_pu"]].to_numpy()
    assert np.abs(flow.u_phase_pu[0] - theirs).max() < 1e-6
    assert np.ptp(theirs[3]) > 0.005


def test_zero_sequence_comes_only_where_it_is_complete_or_asked_for() -> None:
    net = unbalanced()
    everything = ("load", "sgen", "asymmetric_load", "asymmetric_sgen")
    assert not from_pandapower(net, "net", everything, phases=False).three_phase
    assert not from_pandapower(net, "net", ("load", "sgen")).three_phase
    assert from_pandapower(net, "net", ("load", "sgen"), phases=True).three_phase
    net.line.loc[1, "r0_ohm_per_km"] = np.nan
    assert not from_pandapower(net, "net", everything).three_phase


def test_more_zero_sequence_impedance_of_a_transformer_is_that_of_its_grounding() -> None:
    net = unbalanced()
    net.trafo["vk0_percent"], net.trafo["rn_ohm"] = 8.0, 0.05
    feeder = from_pandapower(net, "net", phases=True)
    base = 0.4**2 / 0.4
    assert feeder.r_grounding_to_ohm[0] == pytest.approx(0.05)
    reactances = [np.sqrt(vk**2 - 0.01425**2) for vk in (0.08, 0.06)]
    assert feeder.x_grounding_to_ohm[0] == pytest.approx((reactances[0] - reactances[1]) * base / 3)


def test_what_a_three_phase_feeder_cannot_say_is_an_error() -> None:
    net = unbalanced()
    net.asymmetric_load["type"] = "delta"
    net.trafo["vector_group"] = "Dx"
    with pytest.raises(FeederError) as caught:
        from_pandapower(net, "net", phases=True)
    assert [error.partition(";")[0] for error in caught.value.errors] == [
        "feeder: transformer 'transformer 0': vector_group must be like 'Dyn' or 'YNyn', got 'Dx'",
        "feeder: asymmetric_load 'flat': type must be 'wye', got 'delta'",
    ]
    net = unbalanced()
    net.trafo["vk0_percent"] = 3.0
    with pytest.raises(FeederError, match="must give no less resistance and reactance than vk and vkr"):
        from_pandapower(net, "net", phases=True)
