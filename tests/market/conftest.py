"""Where the tests keep ledgers: in files, and in databases of a server that runs while the tests do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.market.server import MISSING, Server, binaries, running

Place = Callable[[], str]
"""Gives a target for a new ledger each time that it is called."""


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server. Without its programs the tests that need it are skipped, and say what to install."""
    if binaries() is None:
        pytest.skip(MISSING)
    with running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        numbers = count(1)
        return lambda: str(tmp_path / f"ledger{next(numbers)}.db")
    server: Server = request.getfixturevalue("server")
    return server.database
