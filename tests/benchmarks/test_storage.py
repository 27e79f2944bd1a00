"""The study of batteries inside a market: it changes nothing but them, and its table has a line for each method."""

from __future__ import annotations

import pytest

from benchmarks import storage
from scenarios import load


def test_it_prints_a_line_for_each_method(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    some = dict(list(storage.METHODS.items())[::2])
    monkeypatch.setattr(storage, "METHODS", some)
    storage.main(["--seeds", "1", "--days", "1"])
    told = capsys.readouterr().out
    assert all(name in told for name in some)


def test_a_method_gives_what_the_scenario_itself_gives_with_it() -> None:
    scenario = load("town")
    mine = next(group.battery for group in scenario.participants if group.group == "store")
    assert mine is not None
    assert mine.trade
    same = storage.play(scenario, "store", {"forecast": mine.forecast}, 1, 1)
    method = storage.METHODS["plan and trade, prepared for the last days"]
    assert same == storage.play(scenario, "store", method, 1, 1)
    with pytest.raises(KeyError):
        storage.play(scenario, "nobody", method, 1, 1)
