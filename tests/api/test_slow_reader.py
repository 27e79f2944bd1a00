"""Who does not read stalls nobody and fills no memory."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner
from websockets.sync.client import connect

from api.cli import app
from api.schemas import Limits
from api.stream import WAITING
from tests.api.live_kit import connected, running

PLENTY = Limits(orders_per_second=1e6, orders_burst=10**6, frames_per_second=1e6, frames_burst=10**6)


def test_one_who_never_reads_holds_up_no_other_and_has_a_bounded_outbox(tmp_path: Path) -> None:
    with running(tmp_path, speed=60.0, limits=PLENTY) as live, ExitStack() as stack:
        token = live.tokens.issue("participant", "home-001")
        deaf = stack.enter_context(
            connect(f"ws://127.0.0.1:{live.port}/v1/stream", max_queue=1, compression=None, ping_interval=None)
        )
        deaf.send(json.dumps({"op": "auth"}))
        deaf.send(json.dumps({"op": "subscribe", "channels": ["book", "trades", "limits", "market"]}))
        others = [stack.enter_context(connected(live.port)) for _ in range(10)]
        for other in others:
            other.say({"op": "subscribe", "channels": ["book"]})
            other.until("book")
        client = stack.enter_context(connected(live.port, token))
        slot = client.open_slot()
        prices = [1000 + 100 * number for number in range(150)]
        orders = [{"slot": slot, "side": "buy", "price": price, "quantity": 100} for price in prices]
        most = 0
        for _ in range(20):
            client.say({"op": "submit", "orders": orders, "id": "in"})
            client.until("answer")
            client.say({"op": "mass_cancel", "id": "out"})
            client.until("answer")
            most = max(most, *(session.waiting for session in live.server.sessions))
        assert most <= 2 * WAITING
        for other in others:
            assert other.until("book")["seq"] > 0


def test_an_auditor_checks_a_market_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path) as live:
        with live.connect() as client:
            client.open_slot()
        time.sleep(1.5)  # until something is signed
        refused = CliRunner().invoke(app, ["audit", live.url], prog_name="wattbook")
        assert refused.exit_code == 2
        monkeypatch.setenv("WATTBOOK_TOKEN", live.tokens.issue("auditor"))
        result = CliRunner().invoke(app, ["audit", live.url], prog_name="wattbook")
        assert result.exit_code == 0, result.output
        assert "proved" in result.output
