"""The code tests its own house: who may import whom, what a room may not contain, how long things may get."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distributions, packages_distributions, version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("market", "grid", "agents", "scenarios", "api")
PACKAGES = (*ROOMS, "migrations")

MAY_NOT_IMPORT = {
    "market": {"grid", "agents", "scenarios", "api"},
    "grid": {"agents", "scenarios", "api"},
    "agents": {"scenarios", "api"},
    "scenarios": {"api"},
}
# Scenarios are files of the agents' format, so loading one needs the agents; the agents never look for files by name.
CLOCKS = {"time", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"}
GENERATORS = {"Generator", "SeedSequence", "BitGenerator", "PCG64", "Philox", "default_rng"}

LONGEST_FILE = 450
LONGEST_FUNCTION = 75
LONGER_FILES = {
    # All compiled code of a room stays in one module: numba's cache does not see edits in another one.
    "market/kernel.py": 1000,
    "grid/tree.py": 500,
}
FLOATS_ALLOWED = {
    # Capacity rows are integer-valued float64: what they are, their squared bounds, the tests of them.
    "market/capacity.py",
    "market/book.py",
    "market/kernel.py",
    # Linear programs over capacity rows; what they find becomes whole Wh before it trades.
    "market/wire_program.py",
    "market/auction_program.py",
    # Prices for people, in ct/kWh.
    "market/units.py",
}
SQL_ALLOWED = {"market/schema.py", "market/sqlite.py", "market/postgres.py"}
# Run by the console script, by `python -m`, by make or by hand.
ENTRY_POINTS = {
    "api.cli",
    "api.__main__",
    "api.cli_reference",
    "api.message_reference",
    "api.stream_reference",
    "scenarios.build_data",
    # For programs that learn.
    "agents.environment",
    "agents.dispatch_environment",
}
KITS = ("conformance",)
"""Modules for those who write their own strategies and devices; the tests use them too."""

SQL = re.compile(
    r"\s*(SELECT\b.+\bFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|PRAGMA\s+\w|(CREATE|DROP|ALTER)\s+(TABLE|INDEX|TRIGGER|VIEW))\b",
    re.DOTALL,
)


def source_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[str]:
    """Full names of all that a file imports, wherever it does so; `from a import b` gives a and a.b."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def dotted(node: ast.expr) -> str:
    """`a.b.c` as text, empty for anything else."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""


def aliases(path: Path) -> dict[str, str]:
    """What each imported name of a file stands for."""
    known: dict[str, str] = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            known.update((alias.asname or alias.name.partition(".")[0], alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            known.update((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
    return known


def used_names(path: Path) -> Iterator[tuple[int, str]]:
    """(line, full name) of every dotted name in a file, with imports resolved."""
    known = aliases(path)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute | ast.Name):
            first, dot, rest = dotted(node).partition(".")
            if first in known:
                yield node.lineno, known[first] + dot + rest


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every string that is not documentation; of an f-string its constant beginning."""
    documentation = {
        id(statement.value)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        for statement in node.body
        if isinstance(statement, ast.Expr)
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


@pytest.mark.parametrize("room", MAY_NOT_IMPORT)
def test_imports_go_only_downward(room: str) -> None:
    upward = [
        f"{name(path)} imports {imported}"
        for path in source_files(room)
        for imported in imports(path)
        if imported.partition(".")[0] in MAY_NOT_IMPORT[room]
    ]
    assert not upward


def test_product_code_imports_neither_tests_nor_benchmarks() -> None:
    assert not [
        f"{name(path)} imports {imported}"
        for path in source_files(*PACKAGES)
        for imported in imports(path)
        if imported.partition(".")[0] in {"tests", "benchmarks"}
    ]


def test_in_the_grid_only_the_gates_know_the_question_of_capacity() -> None:
    asking = {
        name(path) for path in source_files("grid") for imported in imports(path) if imported == "market.capacity"
    }
    assert asking == {"grid/gate.py", "grid/lanes.py", "grid/zones.py"}


def test_the_grid_knows_of_the_market_its_settings_and_units_only() -> None:
    known = {
        ".".join(imported.split(".")[:2])
        for path in source_files("grid")
        for imported in imports(path)
        if imported.startswith("market.")
    }
    assert known <= {"market.capacity", "market.orders", "market.units"}


def test_no_import_is_relative() -> None:
    assert not [
        f"{name(path)}:{node.lineno}"
        for path in source_files(*PACKAGES, "tests", "benchmarks")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]


@pytest.mark.parametrize("room", ["market", "grid", "agents"])
def test_nobody_below_the_api_reads_a_clock(room: str) -> None:
    assert not [
        f"{name(path)}:{line} {used}"
        for path in source_files(room)
        for line, used in used_names(path)
        if used in CLOCKS
        or used.startswith("time.")
        or (used.startswith("datetime.") and used.endswith((".now", ".today")))
    ]


def test_the_market_knows_no_randomness() -> None:
    assert not [
        f"{name(path)} imports {imported}"
        for path in source_files("market")
        for imported in imports(path)
        if imported.split(".")[0] in {"random", "secrets", "uuid"} or imported.startswith("numpy.random")
    ]
    assert not [
        f"{name(path)}:{line} {used}"
        for path in source_files("market")
        for line, used in used_names(path)
        if used.startswith("numpy.random")
    ]


def test_randomness_comes_from_a_generator_that_is_passed_in() -> None:
    everywhere = source_files(*PACKAGES, "tests", "benchmarks")
    assert not [
        f"{name(path)}:{line} {used}"
        for path in everywhere
        for line, used in used_names(path)
        if used.startswith("numpy.random.") and used.split(".")[2] not in GENERATORS
    ]
    assert not [name(path) for path in everywhere if "random" in set(imports(path))]


def test_generators_are_always_seeded() -> None:
    assert not [
        f"{name(path)}:{node.lineno}"
        for path in source_files(*PACKAGES, "benchmarks")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and dotted(node.func).endswith(("default_rng", "SeedSequence"))
        and not (node.args or node.keywords)
    ]


def test_money_is_never_a_float() -> None:
    assert not [
        f"{name(path)}:{node.lineno} {node.value}"
        for path in source_files("market")
        if name(path) not in FLOATS_ALLOWED
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex)
    ]
    assert not [
        f"{name(path)}:{node.lineno} divides"
        for path in source_files("market")
        if name(path) not in FLOATS_ALLOWED
        for node in ast.walk(tree(path))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and not _joins_paths(node)
    ]


def _joins_paths(node: ast.BinOp) -> bool:
    return any(
        (isinstance(part, ast.Constant) and isinstance(part.value, str))
        or (isinstance(part, ast.Attribute) and part.attr == "parent")
        for part in (node.left, node.right)
    )


def test_sql_is_written_in_the_store_and_in_migrations_only() -> None:
    assert not [
        f"{name(path)}:{line} {text[:60]!r}"
        for path in source_files(*ROOMS)
        if name(path) not in SQL_ALLOWED
        for line, text in strings(path)
        if SQL.match(text)
    ]


def test_the_search_for_sql_finds_some_where_it_is_allowed() -> None:
    assert any(SQL.match(text) for path in SQL_ALLOWED for _, text in strings(ROOT / path))


def test_files_stay_short() -> None:
    assert not {
        name(path): count
        for path in source_files(*PACKAGES, "tests", "benchmarks")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > LONGER_FILES.get(name(path), LONGEST_FILE)
    }


def test_functions_stay_short() -> None:
    assert not {
        f"{name(path)}:{node.lineno} {node.name}": length
        for path in source_files(*PACKAGES, "tests", "benchmarks")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_FUNCTION
    }


def test_no_module_is_called_utils_or_common() -> None:
    assert not [
        name(path)
        for path in source_files(*PACKAGES, "tests", "benchmarks")
        if {"utils", "util", "common", "helpers", "misc"} & set(path.relative_to(ROOT).with_suffix("").parts)
    ]


def test_nothing_is_left_for_later() -> None:
    mark = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)))
    assert not [
        f"{name(path)}:{number}"
        for path in source_files(*PACKAGES, "tests", "benchmarks")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if mark.search(line)
    ]


def test_every_module_is_imported_from_somewhere() -> None:
    imported = {wanted for path in source_files(*PACKAGES) for wanted in imports(path)}
    # Data folders and strategies may be named in text; their registries import them all the same.
    modules = {module(path) for path in source_files(*ROOMS) if path.stem not in {"__init__", *KITS}}
    assert modules - imported - ENTRY_POINTS == set()


def test_every_folder_of_code_is_a_package() -> None:
    folders = {path.parent for path in source_files(*ROOMS)}
    assert not [name(folder) for folder in folders if not (folder / "__init__.py").exists()]


def test_no_other_distribution_provides_our_packages() -> None:
    providers = packages_distributions()
    assert {provider for package in PACKAGES for provider in providers.get(package, [])} <= {"wattbook"}


def test_wattbook_is_installed_once() -> None:
    assert len([found for found in distributions() if found.metadata["Name"] == "wattbook"]) == 1


def test_the_version_is_that_of_the_newest_changelog_entry() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert newest is not None
    assert newest[1] == project["version"] == version("wattbook")


def test_every_dependency_is_used() -> None:
    """What the code imports and what pyproject.toml asks for are the same; `websockets` is what uvicorn speaks."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {re.split(r"[\[<>=~! ]", line)[0].lower().replace("_", "-") for line in project["dependencies"]}
    known = {"pyyaml": "yaml"}
    used = {imported.partition(".")[0] for path in source_files(*PACKAGES) for imported in imports(path)}
    # A package may be used for its data alone, by name.
    used |= {text for path in source_files(*PACKAGES) for _, text in strings(path)}
    # pyarrow is pandas' engine for Parquet and is named in no import.
    unused = {wanted for wanted in asked if known.get(wanted, wanted.replace("-", "_")) not in used}
    assert unused <= {"websockets", "pyarrow"}
