"""The native feeder format: what is read, what is written, and what every fault is called."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.feeder import Feeder, FeederError


def village() -> dict[str, Any]:
    """A transformer and a short street, as decoded JSON."""
    return {
        "name": "lane",
        "license": "CC0-1.0",
        "buses": [
            {"id": "mv", "u_rated_v": 20000},
            {"id": "lv", "u_rated_v": 400, "x": 1.5, "y": -2},
            {"id": "end", "u_rated_v": 400.0},
        ],
        "lines": [{"id": "l1", "from": "lv", "to": "end", "r_ohm": 0.1, "x_ohm": 0.03, "i_max_a": 270}],
        "transformers": [
            {"id": "t1", "from": "mv", "to": "lv", "s_va": 400e3, "u1_v": 20000, "u2_v": 400, "uk": 0.06}
            | {"pk_w": 4600, "i0": 0.003, "p0_w": 610, "clock": 5, "tap_pos": -1, "tap_min": -2, "tap_max": 2}
            | {"tap_size_v": 500}
        ],
        "source": {"bus": "mv", "u_pu": 1.02},
        "connections": [{"id": "slack", "bus": "mv"}, {"id": "h1", "bus": "end", "phase": "b", "profile": "H0-A"}],
    }


ZERO = {"r0_ohm": 0.3, "x0_ohm": 0.1, "c0_f": 1e-8}
WINDINGS = {"winding_from": "delta", "winding_to": "wye_n"}


def phases() -> dict[str, Any]:
    """The same with its zero sequence: a three-phase feeder."""
    data = village()
    data["lines"][0].update(ZERO)
    data["transformers"][0].update(WINDINGS, x_grounding_to_ohm=0.01)
    return data


def faults(data: object) -> list[str]:
    with pytest.raises(FeederError) as caught:
        Feeder.from_data(data)
    return caught.value.errors


def test_a_good_feeder_becomes_arrays() -> None:
    feeder = Feeder.from_data(village())
    assert feeder.bus_ids == ["mv", "lv", "end"]
    assert feeder.u_rated_v.tolist() == [20000.0, 400.0, 400.0]
    assert np.isnan(feeder.x[0])
    assert (feeder.x[1], feeder.y[1]) == (1.5, -2.0)
    assert (feeder.line_from.tolist(), feeder.line_to.tolist(), feeder.c_f.tolist()) == ([1], [2], [0.0])
    assert (feeder.tap_pos.tolist(), feeder.tap_nom.tolist(), feeder.tap_side.tolist()) == ([-1], [0], [0])
    assert (feeder.source_bus, feeder.source_u_pu) == (0, 1.02)
    assert feeder.connection_bus.tolist() == [0, 2]
    assert (feeder.connection_phase, feeder.connection_profile) == (["abc", "b"], ["", "H0-A"])


def test_arrays_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Feeder.from_data(village()).r_ohm[0] = 1.0


def test_writing_and_reading_give_the_same_feeder_and_the_same_digest() -> None:
    feeder = Feeder.from_data(village())
    again = Feeder.from_json(feeder.to_json().encode())
    assert again == feeder
    assert (again.to_json(), again.digest) == (feeder.to_json(), feeder.digest)
    changed = village()
    changed["lines"][0]["r_ohm"] = np.nextafter(0.1, 1).item()
    assert Feeder.from_data(changed).digest != feeder.digest


def _set(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]

    def change(data: Any) -> None:
        for key in parents:
            data = data[key]
        data[last] = value

    return change


def _drop(path: str) -> Callable[[dict[str, Any]], None]:
    *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]

    def change(data: Any) -> None:
        for key in parents:
            data = data[key]
        del data[last]

    return change


LINE = {"r_ohm": 0.1, "x_ohm": 0.1, "i_max_a": 100}
CASES: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (_set("lines.0.r_ohm", float("nan")), "feeder: lines[0].r_ohm: must be a finite number >= 0, got nan"),
    (_set("lines.0.x_ohm", float("inf")), "feeder: lines[0].x_ohm: must be a finite number >= 0, got inf"),
    (_set("lines.0.r_ohm", -0.1), "feeder: lines[0].r_ohm: must be a finite number >= 0, got -0.1"),
    (_set("lines.0.r_ohm", "0.1"), "feeder: lines[0].r_ohm: must be a finite number >= 0, got '0.1'"),
    (_set("lines.0.r_ohm", True), "feeder: lines[0].r_ohm: must be a finite number >= 0, got True"),
    (_set("lines.0.r_ohm", 1e9), "feeder: lines[0].r_ohm: must be at most 1e+06, got 1000000000.0; check the unit"),
    (_set("lines.0.i_max_a", 0), "feeder: lines[0].i_max_a: must be a finite number > 0, got 0"),
    (_drop("lines.0.i_max_a"), "feeder: lines[0].i_max_a: is missing; give i_max_a"),
    (_set("lines.0.rohm", 1), "feeder: lines[0].rohm: unknown field; did you mean 'r_ohm'?"),
    (_set("lines.0.to", "ende"), "feeder: lines[0].to: there is no bus 'ende'; did you mean 'end'?"),
    (_set("connections.1.bus", 3), "feeder: connections[1].bus: there is no bus 3; give the id of a bus"),
    (_set("connections.1.phase", "d"), "feeder: connections[1].phase: must be one of abc, a, b, c, got 'd'"),
    (_set("connections.1.profile", ""), "feeder: connections[1].profile: must be a non-empty text"),
    (_set("connections.1.id", "slack"), "feeder: connections[1].id: 'slack' is also the id of connections[0]"),
    (
        lambda data: data["buses"].append({"id": "mv", "u_rated_v": 20e3}),
        "feeder: buses[3].id: 'mv' is also the id of buses[0]; ids of a table must differ",
    ),
    (_set("lines.0.id", "l1\n"), "feeder: lines[0].id: must be a non-empty text of one line"),
    (_drop("buses.1.y"), "feeder: buses[1].y: is missing; give both x and y or neither"),
    (_set("buses.2.u_rated_v", 230), "feeder: lines[0] 'l1': must join two buses of the same voltage"),
    (_set("connections", []), "feeder: connections: is empty; add at least one"),
    (_drop("connections"), "feeder: connections: is missing; add at least one"),
    (_drop("source"), "feeder: source: is missing"),
    (_set("source", "mv"), "feeder: source: must be an object with the fields bus, u_pu, got 'mv'"),
    (_set("source.u_pu", 20), "feeder: source.u_pu: must be at most 1.5, got 20; check the unit"),
    (_set("lines", {}), "feeder: lines: must be a list of objects, got {}"),
    (_set("lines.0", None), "feeder: lines[0]: must be an object with the fields id, from"),
    (_set("lines", []), "feeder: buses[2]: 'end': not connected to the source"),
    (_set("transformers", []), "feeder: buses[1]: 'lv' and 1 more: not connected to the source"),
    (_set("transformers.0.u1_v", 9e3), "feeder: transformers[0] 't1'.u1_v: 9000 V is far from the 20000 V"),
    (_set("transformers.0.uk", 6), "feeder: transformers[0].uk: must be at most 1, got 6; check the unit"),
    (_set("transformers.0.pk_w", 4e5), "feeder: transformers[0].pk_w: must be at most uk * s_va = 24000 W"),
    (_set("transformers.0.i0", 0), "feeder: transformers[0].i0: must be at least p0_w / s_va = 0.001525, got 0"),
    (_set("transformers.0.tap_pos", 3), "feeder: transformers[0].tap_pos: must lie within tap_min and tap_max"),
    (_set("transformers.0.tap_pos", 1.0), "feeder: transformers[0].tap_pos: must be a whole number >= -127, got 1.0"),
    (_set("transformers.0.tap_side", "hv"), "feeder: transformers[0].tap_side: must be 'from' or 'to', got 'hv'"),
    (_set("transformers.0.tap_size_v", 9e3), "feeder: transformers[0].tap_size_v: taps would move the voltage"),
    (
        lambda data: data["lines"].append({"id": "l2", "from": "end", "to": "lv", **LINE}),
        "feeder: lines[1] 'l2': closes a loop between 'end' and 'lv'",
    ),
    (
        lambda data: data["lines"].append({"id": "l2", "from": "end", "to": "end", **LINE}),
        "feeder: lines[1] 'l2': begins and ends at bus 'end'; remove it",
    ),
    (lambda data: data["lines"][0].update(r_ohm=0, x_ohm=0), "feeder: lines[0]: r_ohm and x_ohm are both 0"),
]


@pytest.mark.parametrize(("change", "message"), CASES, ids=[message[8:60] for _, message in CASES])
def test_one_fault_gives_one_error_with_path_and_value(change: Callable[[dict[str, Any]], None], message: str) -> None:
    data = village()
    change(data)
    (error,) = faults(data)
    assert error.startswith(message)


def test_zero_sequence_of_every_branch_makes_a_three_phase_feeder() -> None:
    feeder = Feeder.from_data(phases())
    assert feeder.three_phase
    assert (feeder.r0_ohm.tolist(), feeder.c0_f.tolist(), feeder.winding_to) == ([0.3], [1e-8], ["wye_n"])
    assert Feeder.from_json(feeder.to_json()) == feeder
    assert "x_grounding_to_ohm" in feeder.to_json()
    feeder.need_phases()


def test_a_feeder_without_zero_sequence_is_a_balanced_equivalent_and_says_what_its_phases_would_need() -> None:
    feeder = Feeder.from_data(village())
    assert not feeder.three_phase
    assert "r0_ohm" not in feeder.to_json()
    assert Feeder.from_data(phases()).balanced() == feeder
    with pytest.raises(FeederError) as caught:
        feeder.need_phases()
    assert caught.value.errors == [
        "feeder: connections[1].phase: 'b' needs a three-phase feeder, but lines[0] 'l1' has no r0_ohm and x0_ohm"
    ]
    data = village()
    del data["connections"][1]["phase"]
    with pytest.raises(FeederError, match="feeder: is not three-phase: lines"):
        Feeder.from_data(data).need_phases()


PHASE_CASES: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (_set("lines.0.r0_ohm", -1), "feeder: lines[0].r0_ohm: must be a finite number >= 0, got -1"),
    (_set("lines.0.c0_f", float("nan")), "feeder: lines[0].c0_f: must be a finite number >= 0, got nan"),
    (_drop("lines.0.x0_ohm"), "feeder: lines[0].x0_ohm: is missing; lines[0] has r0_ohm, so the feeder is three-phase"),
    (_drop("transformers.0.winding_to"), "feeder: transformers[0].winding_to: is missing; lines[0] has r0_ohm"),
    (lambda data: data["lines"][0].update(r0_ohm=0, x0_ohm=0), "feeder: lines[0]: r0_ohm and x0_ohm are both 0"),
    (_set("transformers.0.winding_to", "star"), "feeder: transformers[0].winding_to: must be one of wye, wye_n, delta"),
    (_set("transformers.0.clock", 6), "feeder: transformers[0] 't1'.clock: must be odd between delta and wye_n, got 6"),
    (
        lambda data: data["transformers"][0].update(winding_to="wye"),
        "feeder: transformers[0] 't1'.winding_to: 'wye' opposite 'delta' gives the buses beyond it no neutral",
    ),
    (_set("connections.1.phase", "n"), "feeder: connections[1].phase: must be one of abc, a, b, c, got 'n'"),
    (_set("transformers.0.s_va", 0), "feeder: transformers[0].s_va: must be a finite number > 0, got 0"),
    (
        _set("source", [{"bus": "mv"}, {"bus": "lv"}]),
        "feeder: source: must be one object, got a list of 2; a feeder is fed from one bus",
    ),
]


@pytest.mark.parametrize(("change", "message"), PHASE_CASES, ids=[message[8:60] for _, message in PHASE_CASES])
def test_a_fault_of_a_three_phase_feeder_is_named(change: Callable[[dict[str, Any]], None], message: str) -> None:
    data = phases()
    change(data)
    (error,) = faults(data)
    assert error.startswith(message)


def test_all_branches_without_zero_sequence_are_named_at_once() -> None:
    data = phases()
    del data["lines"][0]["r0_ohm"], data["transformers"][0]["winding_from"], data["transformers"][0]["winding_to"]
    data["lines"].append({"id": "l2", "from": "end", "to": "lv", **LINE})
    assert [error.split(":")[1].strip() for error in faults(data)] == [
        "lines[0].r0_ohm",
        "lines[1].r0_ohm",
        "lines[1].x0_ohm",
        "transformers[0].winding_from",
        "transformers[0].winding_to",
        "lines[1] 'l2'",
    ]


def test_all_faults_come_at_once() -> None:
    data = village()
    for change in (_set("lines.0.r_ohm", -1), _set("transformers.0.uk", 6), _drop("source"), _set("connections", 1)):
        change(data)
    assert [error.split(":")[1].strip() for error in faults(data)] == [
        "lines[0].r_ohm",
        "transformers[0].uk",
        "source",
        "connections",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: the text ends too early: the file is empty or cut short"),
        ("[1,", "the text ends too early"),
        ("buses: []", "line 1, column 1: is not JSON"),
        ("[" * 100_000, "cannot be read as JSON (RecursionError)"),
        ("9" * 5_000, "cannot be read as JSON (ValueError)"),
        (b"\xff\xfe{}", "is not UTF-8 text (byte 0)"),
        ('{"name": "a", "name": "b"}', "the field 'name' stands twice in one object"),
        ("null", "must be an object with the fields name,"),
    ],
    ids=["empty", "cut list", "YAML", "deep", "huge", "UTF-16", "twice", "null"],
)
def test_text_that_is_no_feeder_is_named_so(text: str | bytes, message: str) -> None:
    with pytest.raises(FeederError, match=message.replace("(", r"\(").replace(")", r"\)").replace("[", r"\[")):
        Feeder.from_json(text)


@given(st.integers(0, len(json.dumps(village())) - 1))
def test_a_cut_file_is_an_error_wherever_it_is_cut(length: int) -> None:
    with pytest.raises(FeederError, match="cut short"):
        Feeder.from_json(json.dumps(village())[:length])


_text = st.text(max_size=5) | st.sampled_from(["mv", "lv", "end"])
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _paths(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in items for found in _paths(item, (*path, key)))]


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(_paths(phases())[1:]), _json), min_size=1, max_size=4))
def test_garbage_anywhere_is_read_the_same_again_or_refused_with_its_path(
    changes: list[tuple[tuple[Any, ...], Any]],
) -> None:
    data: Any = phases()
    for path, value in changes:
        parent = data
        try:
            for key in path[:-1]:
                parent = parent[key]
            parent[path[-1]] = copy.deepcopy(value)
        except (TypeError, IndexError, KeyError):
            continue  # an earlier change removed the place
    errors = []
    try:
        feeder = Feeder.from_json(json.dumps(data))
        assert Feeder.from_json(feeder.to_json()) == feeder
    except FeederError as error:
        errors = error.errors or ["no reason given"]
    assert [line for line in errors if not line.startswith("feeder: ") or "\n" in line] == []


@given(st.text() | st.binary())
def test_any_text_is_refused_without_another_exception(text: str | bytes) -> None:
    with pytest.raises(FeederError):
        Feeder.from_json(text)
