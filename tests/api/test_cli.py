"""The command line: help for everything, one line for a mistake, an exit code that means something."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from api.cli_reference import commands
from api.errors import CommandError, Exit, explain
from grid.feeder import Feeder, FeederError
from market.ledger import LedgerError
from market.store import Ledger

HEAVY = ("numpy", "pandas", "numba", "mesa", "sqlalchemy", "plotly", "pydantic", "power_grid_model")


def minimal() -> dict[str, Any]:
    """A source, a line and one house."""
    return {
        "buses": [{"id": "s", "u_rated_v": 400.0}, {"id": "a", "u_rated_v": 400.0}],
        "lines": [{"id": "l", "from": "s", "to": "a", "r_ohm": 0.1, "x_ohm": 0.05, "i_max_a": 100.0}],
        "transformers": [],
        "source": {"bus": "s", "u_pu": 1.0},
        "connections": [{"id": "house", "bus": "a"}],
    }


def wattbook(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="wattbook")


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_has_help_with_an_example(name: str) -> None:
    result = wattbook(*name.split()[1:], "--help")
    assert result.exit_code == 0
    assert "Example: wattbook" in result.stdout


def test_help_does_not_import_the_engine() -> None:
    code = f"import sys; import api.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.replace("'", '"')))
    assert not loaded - {"pydantic"}


def test_version_is_printed() -> None:
    result = wattbook("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("wattbook ")


@pytest.mark.parametrize("arguments", [["nonsense"], ["run"], ["run", "village", "--seed", "many"], ["db", "sideways"]])
def test_wrong_command_lines_exit_with_2(arguments: list[str]) -> None:
    assert wattbook(*arguments).exit_code == Exit.INPUT


@pytest.mark.parametrize("command", ["audit", "replay"])
def test_a_missing_ledger_is_one_line_and_code_2(command: str, tmp_path: Path) -> None:
    result = wattbook(command, tmp_path / "none.db")
    assert result.exit_code == Exit.INPUT
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert "none.db" in result.stderr


def test_a_file_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    path = tmp_path / "letter.db"
    path.write_text("Dear auditor, trust me. " * 20)
    result = wattbook("audit", path)
    assert result.exit_code == Exit.INPUT
    assert "letter.db" in result.stderr
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = wattbook("--debug", "audit", tmp_path / "none.db")
    assert isinstance(result.exception, LedgerError)


def test_an_empty_ledger_is_sound(tmp_path: Path) -> None:
    Ledger.create(tmp_path / "ledger.db").close()
    result = wattbook("audit", tmp_path / "ledger.db")
    assert result.exit_code == 0, result.output
    assert "sound" in result.stdout


def test_db_tells_and_changes_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger.create(path).close()
    newest = wattbook("db", "current", path).stdout.split()[0]
    assert wattbook("db", "downgrade", path, "0001").exit_code == 0
    assert wattbook("db", "current", path).stdout.startswith("0001 ")
    assert wattbook("db", "upgrade", path).exit_code == 0
    assert wattbook("db", "current", path).stdout.startswith(f"{newest} ")


def test_feeder_prints_its_figures(tmp_path: Path) -> None:
    path = tmp_path / "feeder.json"
    path.write_text(json.dumps(minimal()))
    result = wattbook("feeder", path)
    assert result.exit_code == 0, result.output
    assert "no errors" in result.stdout
    assert "branches from the source" in result.stdout
    assert "one for all" in result.stdout


def test_feeder_says_whether_phases_count(tmp_path: Path) -> None:
    data = minimal()
    data["connections"][-1]["phase"] = "b"
    path = tmp_path / "feeder.json"
    path.write_text(json.dumps(data))
    said = " ".join(wattbook("feeder", path).stdout.split())
    assert "one for all; 1 connections name theirs, but lines[0]" in said
    for line in data["lines"]:
        line.update(r0_ohm=1.0, x0_ohm=1.0)
    for transformer in data.get("transformers", []):
        transformer.update(winding_from="delta", winding_to="wye_n", clock=5)
    path.write_text(json.dumps(data))
    said = " ".join(wattbook("feeder", path).stdout.split())
    assert "three; 1 connections at one of them" in said


def test_feeder_tells_every_error_with_its_file(tmp_path: Path) -> None:
    data = minimal()
    data["lines"][0]["r_ohm"] = -1
    data["connections"][0]["bus"] = "nowhere"
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(data))
    result = wattbook("feeder", path)
    assert result.exit_code == Exit.INPUT
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 2
    assert all("bad.json" in line for line in lines)
    assert "nowhere" in result.stderr


def _with(**parts: Any) -> dict[str, Any]:
    """The minimal feeder with other parts, or with other fields in the first row of a part."""
    data = minimal()
    for part, value in parts.items():
        data[part] = [data[part][0] | value] if isinstance(value, dict) and isinstance(data[part], list) else value
    return data


_LINE = minimal()["lines"][0]
_BUSES = minimal()["buses"]
_BAD_FEEDERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "an island": (
        _with(buses=[*_BUSES, {"id": "b", "u_rated_v": 400.0}, {"id": "c", "u_rated_v": 400.0}],
              lines=[_LINE, _LINE | {"id": "m", "from": "b", "to": "c"}]),
        ["buses[2]: 'b' and 1 more: not connected to the source; add the branch that is missing or remove it"],
    ),
    "negative resistance": (
        _with(lines={"r_ohm": -0.1}),
        ["lines[0].r_ohm: must be a finite number >= 0, got -0.1"],
    ),
    "negative reactance": (
        _with(lines={"x_ohm": -1}),
        ["lines[0].x_ohm: must be a finite number >= 0, got -1"],
    ),
    "no impedance": (
        _with(lines={"r_ohm": 0, "x_ohm": 0}),
        ["lines[0]: r_ohm and x_ohm are both 0; make the two buses one, or give the line its impedance"],
    ),
    "zero rating": (
        _with(lines={"i_max_a": 0}),
        ["lines[0].i_max_a: must be a finite number > 0, got 0"],
    ),
    "unknown phase": (
        _with(connections={"phase": "d"}),
        ["connections[0].phase: must be one of abc, a, b, c, got 'd'"],
    ),
    "a ring": (
        _with(buses=[*_BUSES, {"id": "b", "u_rated_v": 400.0}],
              lines=[_LINE, _LINE | {"id": "m", "to": "b"}, _LINE | {"id": "n", "from": "a", "to": "b"}]),
        ["lines[2] 'n': closes a loop between 'a' and 'b'; only radial feeders are supported, open the loop"],
    ),
    "parallel lines": (
        _with(lines=[_LINE, _LINE | {"id": "m"}]),
        ["lines[1] 'm': closes a loop between 's' and 'a'; only radial feeders are supported, open the loop"],
    ),
    "two sources": (
        _with(source=[{"bus": "s"}, {"bus": "a"}]),
        ["source: must be one object, got a list of 2; a feeder is fed from one bus, remove the others"],
    ),
    "no source": (
        {key: value for key, value in minimal().items() if key != "source"},
        ['source: is missing; add {"bus": …, "u_pu": 1.0} for the bus that the feeder is fed from'],
    ),
    "no connection": (
        _with(connections=[]),
        ["connections: is empty; add at least one, such as {'id': 'house 1', 'bus': …}"],
    ),
    "several at once": (
        _with(lines={"r_ohm": -1, "i_max_a": 0}, connections={"phase": 7}, source={"bus": "t"}),
        [
            "lines[0].r_ohm: must be a finite number >= 0, got -1",
            "lines[0].i_max_a: must be a finite number > 0, got 0",
            "source.bus: ",
            "connections[0].phase: must be one of abc, a, b, c, got 7",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", _BAD_FEEDERS)
def test_a_bad_feeder_is_refused_with_the_path_of_each_fault(fault: str, tmp_path: Path) -> None:
    data, expected = _BAD_FEEDERS[fault]
    with pytest.raises(FeederError) as caught:
        Feeder.from_data(data)
    assert len(caught.value.errors) == len(expected)
    for error, start in zip(caught.value.errors, expected, strict=True):
        assert error.startswith(f"feeder: {start}")
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    result = wattbook("feeder", path)
    assert result.exit_code == Exit.INPUT
    assert not result.stdout
    said = "".join(result.stderr.split())
    for error in caught.value.errors:
        assert "".join(f"{path}: {error}".split()) in said


def test_scenario_schema_is_json() -> None:
    result = wattbook("scenarios", "--schema")
    assert json.loads(result.stdout)["title"] == "Scenario"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), Exit.ENVIRONMENT),
        (PermissionError(errno.EACCES, "Permission denied", "x"), Exit.ENVIRONMENT),
        (OSError(errno.EROFS, "Read-only file system", "x"), Exit.ENVIRONMENT),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), Exit.INPUT),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "x"), Exit.INPUT),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (CommandError(Exit.FINDING, "found"), Exit.FINDING),
    ],
)
def test_foreseen_errors_have_their_code(error: BaseException, code: Exit) -> None:
    told = explain(error)
    assert told is not None
    assert told.code == code
    assert all(told.messages)


@pytest.mark.parametrize(
    "error", [RuntimeError("a fault of ours"), ValueError("unforeseen"), BrokenPipeError(errno.EPIPE, "")]
)
def test_what_nobody_foresaw_keeps_its_traceback(error: BaseException) -> None:
    assert explain(error) is None


def test_python_dash_m_api_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "api", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("wattbook ")


@pytest.mark.parametrize("colour", ["1", ""])
def test_without_a_terminal_there_are_no_escape_codes(colour: str, tmp_path: Path) -> None:
    result = CliRunner(env={"NO_COLOR": colour}).invoke(app, ["audit", str(tmp_path / "none.db")])
    assert "\x1b" not in result.output
