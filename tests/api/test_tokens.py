"""Tokens of a live market: kept beside the ledger, good until they are taken back, by whatever process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner
from websockets.exceptions import ConnectionClosed

from api.cli import app
from tests.api.live_kit import Live, connected, running


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with running(tmp_path, heartbeat=0.2, grace=0.5) as found:
        yield found


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["tokens", *arguments], prog_name="wattbook")
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_token_from_another_process_opens_the_door_until_that_revokes_it(live: Live) -> None:
    token = run("new", "home-002", "--db", str(live.ledger)).split()[0]
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{live.url}/v1/orders", headers=headers).status_code == 200
    with ExitStack() as stack:
        client = stack.enter_context(connected(live.port, token))
        assert "home-002" in run("list", "--db", str(live.ledger))
        run("revoke", "home-002", "--db", str(live.ledger))
        answer = httpx.get(f"{live.url}/v1/orders", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "BAD_TOKEN")
        with pytest.raises(ConnectionClosed) as gone:
            client.until("nothing")
    assert gone.value.rcvd is not None
    assert "BAD_TOKEN" in gone.value.rcvd.reason


def test_tokens_outlive_a_restart_and_are_stored_as_hashes_only(tmp_path: Path) -> None:
    with running(tmp_path) as live:
        token = live.tokens.issue("participant", "home-003")
    with running(tmp_path) as live, connected(live.port, token):
        pass
    for file in tmp_path.iterdir():
        assert token.encode() not in file.read_bytes()


def test_who_comes_back_within_the_grace_period_keeps_its_orders(live: Live) -> None:
    with live.connect() as client:
        slot = client.open_slot()
        order = {"slot": slot, "side": "buy", "price": 1000, "quantity": 500}
        client.say({"op": "submit", "orders": [order], "id": "1"})
        number = client.until("answer")["results"][0]["order"]
    with live.connect() as client:
        for _ in range(5):
            client.until("heartbeat")
        assert number in live.server.engine.hub.projection.orders["home-001"]


def test_who_asked_to_keep_its_orders_keeps_them(live: Live) -> None:
    token = live.tokens.issue("participant", "home-001")
    with live.connect(None) as client:
        client.say({"op": "auth", "token": token, "cancel_on_disconnect": False})
        slot = client.open_slot()
        order = {"slot": slot, "side": "buy", "price": 1000, "quantity": 500}
        client.say({"op": "submit", "orders": [order], "id": "1"})
        number = client.until("answer")["results"][0]["order"]
    with live.connect("observer") as client:
        for _ in range(5):
            client.until("heartbeat")
    assert number in live.server.engine.hub.projection.orders["home-001"]


def test_the_kill_switch_stops_orders_but_not_cancels(live: Live) -> None:
    with live.connect() as client, live.connect("operator") as operator:
        slot = client.open_slot()
        order = {"slot": slot, "side": "buy", "price": 1000, "quantity": 500}
        client.say({"op": "submit", "orders": [order], "id": "1"})
        number = client.until("answer")["results"][0]["order"]
        for scope in ({"scope": "participant", "participant": "home-001"}, {"scope": "market"}, {"scope": "feeder"}):
            operator.say({"op": "halt", **scope, "id": "h"})
            assert "code" not in operator.until("answer")["results"][0]
            client.say({"op": "submit", "orders": [order], "id": "2"})
            assert client.until("answer")["results"][0]["code"] == "HALTED"
            operator.say({"op": "release", **scope, "id": "r"})
            assert "code" not in operator.until("answer")["results"][0]
        operator.say({"op": "halt", "scope": "market", "id": "h"})
        operator.until("answer")
        client.say({"op": "cancel", "orders": [number], "id": "3"})
        assert "code" not in client.until("answer")["results"][0]
