"""The shipped data: what they hold, and that the script still makes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.profiles import ProfileSet
from grid.feeder import Feeder
from scenarios.build_data import DATA, build

FEEDERS = {
    "simbench_lv_rural2": (97, 95, 100),
    "ieee_european_lv": (907, 905, 56),
    "european_lv": (907, 905, 56),
}


def feeder(name: str) -> Feeder:
    return Feeder.from_json((DATA / f"{name}.feeder.json").read_bytes())


@pytest.mark.parametrize("name", FEEDERS)
def test_a_shipped_feeder_has_its_size_licence_places_and_a_connection_for_the_utility(name: str) -> None:
    it = feeder(name)
    assert (len(it.bus_ids), len(it.line_ids), len(it.connection_ids)) == FEEDERS[name]
    assert len(it.transformer_ids) == 1
    assert it.connection_ids[0] == "slack"
    assert it.connection_bus[0] == it.source_bus
    assert it.license
    assert it.attribution
    assert np.isfinite([it.x, it.y]).all()
    assert it.to_json() == (DATA / f"{name}.feeder.json").read_text(encoding="utf-8")


def test_every_load_of_the_village_names_a_shipped_profile_and_every_customer_of_the_street_its_phase() -> None:
    assert set(feeder("simbench_lv_rural2").connection_profile[1:]) <= set(ProfileSet.shipped().names)
    assert set(feeder("ieee_european_lv").connection_phase[1:]) == {"a", "b", "c"}


def test_the_three_phase_street_differs_from_its_balanced_equivalent_by_its_zero_sequence_alone() -> None:
    street, equivalent = feeder("european_lv"), feeder("ieee_european_lv")
    assert street.three_phase
    assert not equivalent.three_phase
    assert (street.winding_from, street.winding_to, street.clock.tolist()) == (["delta"], ["wye_n"], [1])
    head = '"buses"'
    assert street.balanced().to_json().partition(head)[2] == equivalent.to_json().partition(head)[2]


@pytest.mark.filterwarnings("ignore")
def test_the_script_makes_what_is_shipped(tmp_path: Path) -> None:
    pytest.importorskip("simbench", reason="simbench is not installed (extra `import`)")
    village, street, three_phases, profiles = build(tmp_path)
    assert Feeder.from_json(village.read_bytes()) == feeder("simbench_lv_rural2")
    assert Feeder.from_json(street.read_bytes()) == feeder("ieee_european_lv")
    assert three_phases.read_bytes() == (DATA / three_phases.name).read_bytes()
    (made,), (shipped,) = ProfileSet.read(profiles).recordings, ProfileSet.shipped().recordings
    assert (made.profiles, made.start_ns, made.step_ns) == (shipped.profiles, shipped.start_ns, shipped.step_ns)
    assert np.array_equal(made.values, shipped.values)
