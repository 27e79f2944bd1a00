"""The bots of docs/bots.md, as they stand there, at a live market."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.client import Client
from tests.api.live_kit import SECONDS, Live, running

ROOT = Path(__file__).resolve().parents[2]
BATTERY, BATTERY_JS, PLAIN = re.findall(
    r"```(?:python|javascript)\n(.*?)```", (ROOT / "docs" / "bots.md").read_text(encoding="utf-8"), re.DOTALL
)
NODE = shutil.which("node")
FLAG = ["--experimental-websocket"]
"""Of Node 20; later ones do without it."""


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with running(tmp_path, speed=1.0, heartbeat=0.2) as found:
        yield found


@contextmanager
def bot(program: list[str], live: Live, participant: str) -> Iterator[subprocess.Popen[str]]:
    token = live.tokens.issue("participant", participant)
    paths = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([*program, live.stream, token], stdout=subprocess.PIPE, text=True, env=paths) as process:
        try:
            yield process
        finally:
            process.kill()


def contracted(live: Live, participant: str) -> int:
    """What a participant has sold less what it has bought, in all slots [Wh]."""
    return sum(slot.get(participant, 0) for slot in [*live.server.engine.hub.projection.contracted.values()])


def check_battery(program: list[str], live: Live) -> None:
    """It buys what is cheap until its store is full, and sells what it holds when that is dear."""
    before = contracted(live, "home-010")
    gas, car = (live.tokens.issue("participant", name) for name in ("gas-001", "car-001"))
    with Client(live.stream, gas) as cheap, Client(live.stream, car) as dear, bot(program, live, "home-010"):
        slot = max(cheap.view.slots)

        def more(side: str) -> None:
            if side == "sell":
                assert cheap.sell(slot, 90_000, 500, flexible=True, source="biomass").code == ""
            else:
                assert dear.buy(slot, 310_000, 500, flexible=True).code == ""
            time.sleep(0.12)

        for side, goal in (("sell", before - 5_000), ("buy", before)):
            end = time.monotonic() + SECONDS
            while contracted(live, "home-010") != goal and time.monotonic() < end:
                more(side)  # neighbours may be faster
            for _ in range(4):
                more(side)
            assert contracted(live, "home-010") == goal
            cheap.mass_cancel()


@pytest.mark.parametrize("program", [BATTERY, BATTERY_JS, PLAIN], ids=["battery.py", "battery.js", "plain.py"])
def test_a_bot_is_about_ten_lines(program: str) -> None:
    assert len([line for line in program.splitlines() if line.strip()]) <= 14


def test_the_battery_owner_keeps_within_its_store(live: Live, tmp_path: Path) -> None:
    path = tmp_path / "battery.py"
    path.write_text(BATTERY, encoding="utf-8")
    check_battery([sys.executable, str(path)], live)


@pytest.mark.skipif(NODE is None, reason="node is not installed; install Node.js to try the battery in JavaScript")
def test_the_battery_owner_in_javascript_does_the_same(live: Live, tmp_path: Path) -> None:
    assert NODE is not None
    found = subprocess.run([NODE, *FLAG, "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"], check=False)
    if found.returncode:
        pytest.skip("this node has no WebSocket; from 20 on it has one")
    path = tmp_path / "battery.js"
    path.write_text(BATTERY_JS, encoding="utf-8")
    check_battery([NODE, *FLAG, str(path)], live)


def test_a_bot_with_nothing_but_websockets_offers_what_it_has(live: Live, tmp_path: Path) -> None:
    path = tmp_path / "plain.py"
    path.write_text(PLAIN, encoding="utf-8")
    with bot([sys.executable, str(path)], live, "sun-001") as process:
        told = process.communicate(timeout=SECONDS)[0]
    assert "'order':" in told
    assert "code" not in told
