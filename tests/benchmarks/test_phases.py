"""What the command on three phases prints and draws."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import phases


def test_the_balanced_model_misses_phases_and_its_gate_their_limits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(phases, "SLOTS", 4)
    it, settings = phases.feeder()
    found = phases.hours(it, slots=3)
    phases.voltages(found)
    phases.gates(it, settings)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["night", "evening", "cars", "noon"]
    missed = {name: float(line.split("%")[0].split()[-1]) for name, line in zip(found, lines[1:5], strict=True)}
    assert missed["cars at home"] > 2
    rows = {line[:14].strip(): line.split() for line in lines[7:]}
    assert rows["three phases"][-4:] == ["0", "0", "0", "0"]
    assert int(rows["balanced"][-4]) > 0
    picture = tmp_path / "street.svg"
    phases.picture(it, found, picture)
    drawn = ElementTree.fromstring(picture.read_text(encoding="utf-8"))
    assert drawn.tag.endswith("svg")
    assert "balanced model" in "".join(drawn.itertext())


def test_distances_are_those_along_the_cables() -> None:
    it, _ = phases.feeder()
    distance = phases._distances(it)
    assert np.isfinite(distance).all()
    assert distance[it.source_bus] == 0
    straight = np.hypot(it.x - it.x[it.transformer_to[0]], it.y - it.y[it.transformer_to[0]])
    away = np.arange(len(distance)) != it.source_bus
    assert (distance[away] >= straight[away] - 1e-6).all()
