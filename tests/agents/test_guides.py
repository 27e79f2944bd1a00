"""The guides' examples run as a reader would type them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
FENCE = re.compile(r"^```(python|yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
DEEP = "stable_baselines3"
"""Examples that name it need the extra `deep`."""
FILE = re.compile(r"# ([\w-]+\.(?:py|yaml))\n")


@pytest.mark.parametrize("guide", ["simulate.md", "extend.md", "learning.md"])
def test_every_example_runs(
    guide: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    examples = 0
    for _, body in FENCE.findall((DOCS / guide).read_text(encoding="utf-8")):
        name = FILE.match(body)
        if name:
            (tmp_path / name[1]).write_text(body, encoding="utf-8")
            monkeypatch.delitem(sys.modules, name[1].removesuffix(".py"), raising=False)
            continue
        if DEEP in body:
            continue
        exec(compile(body, guide, "exec"), {})
        assert capsys.readouterr().out, f"example {examples} of {guide} says nothing"
        examples += 1
    assert examples


def test_the_example_of_deep_learning_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (body,) = (body for _, body in FENCE.findall((DOCS / "learning.md").read_text(encoding="utf-8")) if DEEP in body)
    pytest.importorskip(DEEP, reason="needs pip install 'wattbook[deep]'")
    exec(compile(body, "learning.md", "exec"), {})
    assert re.fullmatch(r"-?\d+\.\d ct saved\n", capsys.readouterr().out)


def test_every_column_of_the_tables_and_key_of_the_summary_is_explained() -> None:
    from tests.agents.small import TIGHT, model

    run, _ = model(time__slots=2, output__compare=["no_local_trading", "gate_off"], **TIGHT)
    results = run.run()
    text = "".join((DOCS / page).read_text(encoding="utf-8") for page in ("simulate.md", "metrics.md"))
    named = set(re.findall(r"`([\w.]+)`", text))
    columns = {
        column
        for table in (results.trades, results.slots, results.participants, results.limited, results.depth)
        for column in map(str, table.columns)
        if not re.fullmatch(r"load_\w+_kwh", column) or column == "load_without_kwh"
    }
    assert columns - named <= {"biomass_kwh", "hydro_kwh", "grid_kwh"}
    keys = {*results.summary, *results.grid}
    for part in (
        "energy",
        "price",
        "money",
        "welfare",
        "limited",
        "without_local_trading",
        "peak",
        "market_power",
        "emissions",
        "fairness",
    ):
        keys |= set(results.summary[part])
    assert keys <= named
