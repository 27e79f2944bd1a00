"""Power cuts and kills: what was acknowledged is there afterwards, and the harness would notice if it were not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from market.audit import audit
from market.capacity import Gate
from market.exchange import Exchange
from market.ledger import LedgerError
from market.orders import MarketSettings
from market.recovery import recover
from market.schema import HEAD
from market.store import Ledger
from tests.market import day
from tests.market.conftest import Place
from tests.market.power.disk import MISSING, REPOSITORY, Step, after_cut, compiler, recorded, run, shim

ENTRIES = day.entries("ac", 3, 8, 80)
WRITER = """
import os, sys
import numpy as np
from market.store import Ledger
from tests.market import day
from tests.market.test_power import ENTRIES

folder, synchronous, seed = sys.argv[1:]
rng = np.random.default_rng(int(seed))
told = os.open(folder + "/told", os.O_WRONLY | os.O_CREAT)
ledger = Ledger.create(folder + "/ledger.db")
os.write(told, b"0\\n")
while len(ledger) < len(ENTRIES):
    if rng.random() < 0.05:
        ledger.close()
        ledger = Ledger.open(folder + "/ledger.db", readonly=False)
    driver = ledger._writer._connection.connection.driver_connection
    driver.execute("PRAGMA synchronous = " + synchronous)
    driver.execute("PRAGMA wal_autocheckpoint = 20")
    ledger.append(ENTRIES[len(ledger):len(ledger) + int(rng.integers(1, 40))])
    os.write(told, b"%d\\n" % len(ledger))
"""
KILLED = """
import sys
from market.store import Ledger
from tests.market.test_power import ENTRIES

with Ledger.open(sys.argv[1], readonly=False) as ledger:
    print(len(ledger), flush=True)
    while len(ledger) < len(ENTRIES):
        ledger.append(ENTRIES[len(ledger):len(ledger) + 3])
        print(len(ledger), flush=True)
"""
FULL = """
import sys
from pathlib import Path
from market.audit import audit
from market.ledger import LedgerError
from market.store import Ledger, current, upgrade
from tests.market.test_power import ENTRIES

folder, full, known = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
path = folder / "ledger.db"
audit(path)  # everything is imported and compiled before the disk is full
full.touch()
print(audit(path).ok, current(path))
with Ledger.open(path) as ledger:
    print(len(ledger) == known)
for act in (
    lambda: Ledger.open(path, readonly=False).append(ENTRIES[known:known + 100]),
    lambda: Ledger.create(folder / "new.db"),
):
    try:
        act()
    except LedgerError as error:
        print(str(error).startswith(str(folder)), "full" in str(error))
full.unlink()
print(sorted(file.name for file in folder.iterdir()))
with Ledger.open(path, readonly=False) as ledger:
    ledger.append(ENTRIES[known:known + 100])
print(audit(path).ok, len(ledger) == known + 100)
"""


def gate_of(settings: MarketSettings, feeder: str) -> Gate:
    return day.gate_of(settings.gate)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if compiler() is None:
        pytest.skip(MISSING)
    return shim(tmp_path_factory.mktemp("power"))


def promised(steps: list[Step], cut: int) -> int | None:
    """Number of the last entry that was acknowledged before the cut, None before the ledger was made."""
    told = [int(step.data) for step in steps[:cut] if (step.kind, step.name) == ("W", "told")]
    return told[-1] if told else None


def lost(steps: list[Step], cut: int, rng: np.random.Generator, folder: Path) -> int:
    """Acknowledged entries that are gone after a cut; all of them if the ledger does not open or is not sound."""
    wanted = promised(steps, cut)
    assert wanted is not None
    after_cut(steps, cut, rng, [0.0, 0.5, 0.9][int(rng.integers(3))], folder)
    if rng.random() < 0.5:  # the index of the log is in shared memory; whatever its file holds must not matter
        (folder / "ledger.db-shm").write_bytes(rng.bytes(32_768))
    try:
        with Ledger.open(folder / "ledger.db", readonly=False) as ledger:
            stored = len(ledger)
            assert tuple(ledger.entries()) == ENTRIES[:stored]
            if stored < wanted:
                return wanted - stored
            ledger.append(ENTRIES[stored : stored + 5])
    except LedgerError:
        return wanted
    return 0 if audit(folder / "ledger.db").ok else wanted


def losses(library: Path, folder: Path, synchronous: str, seed: int, cuts: int) -> list[int]:
    """Lost entries per cut, at random moments after the ledger was made."""
    steps = recorded(library, folder / "disk", WRITER, synchronous, seed)
    first = next(place for place, step in enumerate(steps) if (step.kind, step.name) == ("W", "told")) + 1
    rng = np.random.default_rng(seed)
    moments = rng.integers(first, len(steps) + 1, cuts)
    return [lost(steps, int(cut), rng, folder / f"cut{number}") for number, cut in enumerate(moments)]


@pytest.mark.parametrize(("seed", "cuts"), [
    (1, 6),
    *(pytest.param(seed, 20, marks=pytest.mark.slow(reason="many cuts")) for seed in (2, 3, 4)),
])  # fmt: skip
def test_a_power_cut_loses_nothing_that_was_acknowledged(library: Path, tmp_path: Path, seed: int, cuts: int) -> None:
    assert losses(library, tmp_path, "FULL", seed, cuts) == [0] * cuts, f"seed={seed}"


@pytest.mark.parametrize(("seed", "cuts"), [
    (1, 6),
    pytest.param(2, 40, marks=pytest.mark.slow(reason="many cuts")),
])  # fmt: skip
def test_the_harness_finds_what_a_weaker_promise_loses(library: Path, tmp_path: Path, seed: int, cuts: int) -> None:
    assert sum(count > 0 for count in losses(library, tmp_path, "NORMAL", seed, cuts)) >= cuts // 3, f"seed={seed}"


@pytest.mark.parametrize(("seed", "kills"), [
    (1, 5),
    pytest.param(2, 60, marks=pytest.mark.slow(reason="starts a process for every kill")),
])  # fmt: skip
def test_a_killed_writer_loses_nothing_that_was_acknowledged(place: Place, seed: int, kills: int) -> None:
    target, rng = place(), np.random.default_rng(seed)
    Ledger.create(target).close()
    for _ in range(kills):
        acknowledged = killed(target, int(rng.integers(1, 8)))
        with Ledger.open(target) as ledger:
            assert len(ledger) >= acknowledged, f"seed={seed}"
            assert tuple(ledger.entries()) == ENTRIES[: len(ledger)]
            assert ledger.log().root() == ledger.log().tree().root()
            exchange = recover(ledger, gate_of)
        if exchange is not None:
            again = Exchange(day.gate_of("ac"))
            again.apply_many([entry.command for entry in ENTRIES[: exchange.seq]])
            assert exchange.digest() == again.digest(), f"seed={seed}"
    assert audit(target).ok


def killed(target: str, after: int) -> int:
    """Have a process write to the ledger and kill it after some acknowledgements; returns the last of them."""
    command = [sys.executable, "-c", KILLED, target]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(after):
            line = writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        acknowledged = [line, *writer.stdout]
    complete = [int(line) for line in acknowledged if line.endswith("\n")]
    return complete[-1] if complete else 0


def test_on_a_full_disk_a_ledger_is_read_and_audited_and_nothing_is_lost(library: Path, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    day.ledger_at(folder / "ledger.db", ENTRIES[:300])
    full = tmp_path / "full"
    said = run(library, folder, FULL, full, 300, POWER_FULL=full).splitlines()
    assert said == [
        f"True {HEAD}", "True", "True True", "True True", "['ledger.db']", "True True"
    ]  # fmt: skip
