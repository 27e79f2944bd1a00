"""The homes of the learning benchmark: apart from each other, under its tariffs, between nothing and the bound."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import battery as study
from benchmarks import homes
from benchmarks.learning_curve import picture


def test_every_seed_is_a_home_of_its_own_and_no_household_is_on_both_sides() -> None:
    found = homes.made([1, 2, 4, 1], homes.HELD_OUT, 2, "time-of-use")
    assert found.net_wh.shape == (4, 192)
    assert np.array_equal(found.net_wh[0], found.net_wh[3])
    assert len({row.tobytes() for row in found.net_wh}) == 3
    assert not set(homes.TO_TRAIN) & set(homes.HELD_OUT)
    assert (found.battery.stored_uwh == 0).all()
    assert len(set(found.battery.capacity_uwh.tolist())) == 3


def test_tariffs_follow_the_time_of_day() -> None:
    two, three = (homes.recorded(2, name) for name in ("day-night", "time-of-use"))
    assert np.array_equal(two.buy[0], study.prices(192, 0.0)[0])
    assert (two.sell == 0).all()
    assert np.array_equal(three.buy[:, :96], three.buy[:, 96:])
    at = {hour: round(float(three.buy[0, hour * 4]) * 1e5, 6) for hour in (0, 5, 6, 15, 16, 20, 21, 23)}
    assert at == {0: 20, 5: 20, 6: 34, 15: 34, 16: 50, 20: 50, 21: 34, 23: 34}


def test_rule_and_plans_cost_no_less_than_the_bound_and_the_study_is_repeated() -> None:
    sites = homes.recorded(8, "day-night")
    found = homes.opponents(sites)
    assert list(found)[-1] == "bound"
    for bills in found.values():
        assert (bills >= found["bound"] - 1e-6).all()
        assert bills.sum() < homes.bills(sites).sum()
    net, (buy, sell) = study.nets(8 * 96), study.prices(8 * 96, 0.0)
    flows = study.realised(net, study.batteries(), study.greedy(net))
    assert found["greedy rule"].tolist() == study.bill(flows, buy, sell).tolist()
    assert (sites.battery.stored_uwh == 0).all(), "every method has batteries of its own"


def test_the_picture_names_every_line(tmp_path: Path) -> None:
    curves = [[(0, 0.40), (500, 0.44), (1000, 0.46)], [(0, 0.40), (500, 0.43), (1000, 0.45)]]
    lines = {"greedy rule": 0.40, "plan": 0.452, "bound": 0.54}
    path = tmp_path / "curve.svg"
    picture(curves, lines, path)
    drawn = ElementTree.parse(path).getroot()
    texts = [text.text for text in drawn.iter() if text.tag.endswith("text")]
    assert {*lines, "training 1", "training 2", "40%", "0", "1"} <= set(texts)
    (first, _) = [line.attrib["points"].split() for line in drawn.iter() if line.tag.endswith("polyline")]
    heights = [float(point.split(",")[1]) for point in first]
    assert heights == sorted(heights, reverse=True), "more saved is higher up"
    places = {text.text: float(text.attrib["y"]) for text in drawn.iter() if text.tag.endswith("text")}
    assert places["bound"] < places["plan"] < places["greedy rule"]


def test_names_do_not_cover_each_other(tmp_path: Path) -> None:
    path = tmp_path / "curve.svg"
    picture([[(0, 0.1), (10, 0.2)]], {"one": 0.150, "two": 0.151, "three": 0.152}, path)
    texts = [text for text in ElementTree.parse(path).getroot().iter() if text.text in ("one", "two", "three")]
    heights = sorted(float(text.attrib["y"]) for text in texts)
    assert np.diff(heights) == pytest.approx([15, 15], abs=0.2)
