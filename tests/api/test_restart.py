"""A live market that stops, or is killed, and goes on: nothing that was answered is lost, and nothing happens twice."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from agents.scenario import ScenarioError
from api.errors import CommandError
from api.live import opened
from market.audit import audit
from market.events import Accepted
from market.orders import Submit
from market.store import Ledger
from tests.agents.small import ALONE, model
from tests.api.live_kit import SECONDS, connected, running, served


def order(slot: int, name: str, price: int = 1000) -> dict[str, object]:
    return {"slot": slot, "side": "buy", "price": price, "quantity": 500, "client_order_id": name}


def test_a_market_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with running(tmp_path, speed=60.0) as live:
        token = live.tokens.issue("participant", "home-001")
        with live.connect() as client:
            slot = client.open_slot()
            client.say({"op": "submit", "orders": [order(slot, "mine")], "id": "1"})
            (first,) = client.until("answer")["results"]
            client.say({"op": "subscribe", "channels": ["orders", "book"]})
            before = client.until("orders")["seq"]
    with running(tmp_path, speed=60.0) as live, httpx.Client(base_url=live.url) as web:
        web.headers["Authorization"] = f"Bearer {token}"
        (resting,) = web.get("/v1/orders").json()["orders"]
        assert resting["order"] == first["order"]
        again = web.post("/v1/orders", json={"orders": [order(slot, "mine")]}).json()["results"][0]
        assert again["order"] == first["order"]
        assert again["seq"] > first["seq"]
        with live.connect() as client:
            client.say({"op": "resume", "ch": "orders", "from_seq": before, "id": "2"})
            client.say({"op": "ping", "id": "3"})
            assert client.until("done")["id"] == "2"
            assert client.until("done")["id"] == "3"
            client.say({"op": "submit", "orders": [order(slot, "other")], "id": "4"})
            accepted = client.until("orders")
            assert accepted["prev"] == before
            assert accepted["items"][0]["type"] == "accepted"
    assert audit(tmp_path / "ledger.db").ok


def test_a_stop_is_told_and_signed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with running(tmp_path) as live:
            client = stack.enter_context(live.connect("observer"))
        with pytest.raises(ConnectionClosed) as gone:
            client.until("nothing")
    assert gone.value.rcvd is not None
    assert gone.value.rcvd.code == 1001
    assert "STOPPED" in gone.value.rcvd.reason
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        assert ledger.checkpoints()[-1][0] == len(ledger)


def test_no_number_of_a_channel_comes_twice(tmp_path: Path) -> None:
    seen: dict[str, list[int]] = {}
    for _ in range(3):
        with running(tmp_path, heartbeat=0.2) as live, live.connect() as client:
            client.say({"op": "subscribe", "channels": ["book", "trades", "account", "orders", "grid"]})
            for _ in range(60):
                message = client.hear()
                if "prev" in message:
                    seen.setdefault(message["ch"], []).append(message["seq"])
    assert seen["book"]
    for numbers in seen.values():
        assert numbers == sorted(set(numbers))


def test_a_ledger_of_another_market_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    fresh, _ = model(**ALONE)
    with opened(fresh, path) as ledger:
        ledger.append(fresh.drain())
    other: dict[str, Any] = ALONE | {"tariffs.retail": "33 ct/kWh"}
    with pytest.raises(ScenarioError, match="retail is"), opened(model(**other)[0], path):
        pass
    with pytest.raises(ScenarioError, match="choose its seed"), opened(model(seed=2, **ALONE)[0], path):
        pass
    (tmp_path / "ledger.db.key").unlink()
    with pytest.raises(CommandError, match="is missing"), opened(model(**ALONE)[0], path):
        pass


# -- processes -------------------------------------------------------------------------------------------------------


def kill_under_load(folder: Path, round_: int, answered: dict[tuple[int, str], int]) -> None:
    """Send orders until the server is killed; what was answered, by slot and name, goes to `answered`."""
    with served(folder) as (process, port, token), connected(port, token) as client:
        slot = client.open_slot()
        for key in list(answered)[-3:]:
            client.say({"op": "submit", "orders": [order(*key)], "id": "again"})
            (result,) = client.until("answer")["results"]
            assert result["order"] == answered[key], f"{key} is another order now"
        killer = threading.Timer(0.3 + 0.05 * round_, process.kill)
        killer.start()
        try:
            for number in range(100_000):
                keys = [(slot, f"r{round_}-{number}-{place}") for place in range(5)]
                client.say({"op": "submit", "orders": [order(*key) for key in keys], "id": "x"})
                for key, result in zip(keys, client.until("answer")["results"], strict=True):
                    if not result.get("code"):
                        answered[key] = result["order"]
        except (ConnectionClosed, OSError):
            pass
        killer.join()


def check_killed(folder: Path, rounds: int) -> None:
    answered: dict[tuple[int, str], int] = {}
    for round_ in range(rounds):
        kill_under_load(folder, round_, answered)
        assert answered
        with Ledger.open(folder / "live.db") as ledger:
            stored = {
                (entry.command.slot, entry.command.client_order_id): entry.seq
                for entry in ledger.entries()
                if isinstance(entry.command, Submit) and isinstance(entry.events[0], Accepted)
            }
        assert answered.keys() <= stored.keys()
        assert len(set(answered.values())) == len(answered)
    report = audit(folder / "live.db")
    assert report.ok, report.findings[:3]


def test_nothing_that_was_answered_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    check_killed(tmp_path, 2)


@pytest.mark.slow  # twenty starts of a process
def test_nothing_that_was_answered_is_lost_when_the_server_is_killed_twenty_times(tmp_path: Path) -> None:
    check_killed(tmp_path, 20)


def test_a_signal_stops_the_market_in_order(tmp_path: Path) -> None:
    with served(tmp_path) as (process, _, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    with Ledger.open(tmp_path / "live.db") as ledger:
        assert ledger.checkpoints()[-1][0] == len(ledger)
