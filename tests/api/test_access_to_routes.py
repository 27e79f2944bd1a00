"""Nobody sees or touches what is another's, on whatever route or channel; browsers and floods are kept at bay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from api.projection import PUBLIC
from api.schemas import Limits
from tests.api.live_kit import Live, connected, running

OPERATION = {
    "/v1/participants", "/v1/meters", "/v1/corrections", "/v1/tokens", "/v1/tokens/{name}", "/v1/journal", "/v1/export",
    "/v1/notices",
}  # fmt: skip
BODIES: dict[str, Any] = {
    "/v1/orders": {"orders": [{"slot": 1, "side": "buy", "price": 1, "quantity": 1}]},
    "/v1/baskets": {"legs": [{"slot": 1, "side": "buy", "price": 1, "quantity": 1}]},
    "/v1/halts": {"scope": "participant", "participant": "home-002"},
    "/v1/releases": {"scope": "participant", "participant": "home-002"},
    "/v1/participants": {"participant": "new", "connection": "x"},
    "/v1/meters": {"slot": 1, "readings": {}},
    "/v1/corrections": {"slot": 1},
    "/v1/tokens": {"name": "home-002"},
    "/v1/notices": {"text": "hello"},
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("access"), speed=60.0, heartbeat=0.2) as found:
        yield found


def routes(live: Live) -> list[tuple[str, str, bool]]:
    """Method, path, whether it wants a token."""
    paths = httpx.get(f"{live.url}/openapi.json").json()["paths"]
    return [(method, path, "security" in told) for path, found in paths.items() for method, told in found.items()]


def call(live: Live, method: str, path: str, token: str, **names: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = BODIES.get(path) if method in ("post", "patch") else None
    return httpx.request(method, live.url + path.format(**names), headers=headers, json=body, timeout=20)


def test_a_private_route_wants_a_good_token(live: Live) -> None:
    names = {"order": "1", "slot": "1", "trade": "1.0", "name": "x"}
    for method, path, private in routes(live):
        if private:
            assert call(live, method, path, "", **names).json()["code"] == "NOT_AUTHENTICATED", path
            assert call(live, method, path, "wb_" + "x" * 43, **names).json()["code"] == "BAD_TOKEN", path


def test_a_participant_gets_nothing_of_another_on_any_route(live: Live) -> None:
    mine, other = (live.tokens.issue("participant", name) for name in ("home-001", "home-002"))
    with connected(live.port, other) as client:
        slot = client.open_slot()
        wanted = {"slot": slot, "side": "buy", "price": 1000, "quantity": 700, "client_order_id": "hidden-name"}
        bought = {"slot": slot, "side": "buy", "price": 400_000, "quantity": 100}
        client.say({"op": "submit", "orders": [wanted, bought], "id": "1"})
        resting, trading = client.until("answer")["results"]
        names = {"order": str(resting["order"]), "slot": str(slot), "trade": trading["trades"][0]["trade"]}
        for method, path, _ in routes(live):
            answer = call(live, method, path, mine, name="home-002", **names)
            assert "hidden-name" not in answer.text, path
            assert "home-002" not in answer.text or answer.status_code >= 400, path
            if path in OPERATION:
                assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN"), path
            if path in ("/v1/halts", "/v1/releases", "/v1/trades/{trade}/receipt"):
                assert answer.json()["code"] == "FORBIDDEN", path
            assert answer.status_code < 500, (path, answer.text)
        answer = call(live, "delete", "/v1/orders/{order}", mine, **names)
        assert answer.json()["results"][0]["code"] == "NOT_YOUR_ORDER"
        assert call(live, "get", "/v1/orders", other).json()["orders"][0]["order"] == resting["order"]
        assert httpx.get(f"{live.url}/v1/tokens", headers={"Authorization": f"Bearer {other}"}).status_code == 403


def test_the_private_channels_are_those_of_the_token(live: Live) -> None:
    with connected(live.port, live.tokens.issue("operator")) as client:
        for channel in ("orders", "account", "orders:home-001"):
            client.say({"op": "subscribe", "channels": [channel]})
            assert client.until("error")["code"] == "UNKNOWN_CHANNEL"
        client.say({"op": "submit", "orders": [{"slot": 1, "side": "buy", "price": 1, "quantity": 1}]})
        assert client.until("error")["code"] == "FORBIDDEN"
    with connected(live.port) as client:
        client.say({"op": "subscribe", "channels": [*PUBLIC], "id": "all"})
        told = [json.dumps(client.hear()) for _ in range(40)]
        assert not [text for text in told if "home-00" in text or "sun-00" in text]


def test_an_operator_hands_out_tokens_meters_and_places(live: Live) -> None:
    boss = live.tokens.issue("operator")
    places = call(live, "get", "/v1/participants", boss).json()["items"]
    assert {"participant": "home-001"}.items() <= next(p for p in places if p["participant"] == "home-001").items()
    issued = httpx.post(f"{live.url}/v1/tokens", headers={"Authorization": f"Bearer {boss}"}, json={"name": "home-003"})
    token = issued.json()["token"]
    assert call(live, "get", "/v1/account", token).status_code == 200
    assert call(live, "delete", "/v1/tokens/{name}", boss, name="home-003").json() == {"revoked": 1}
    assert call(live, "get", "/v1/account", token).status_code == 401
    refused = call(live, "post", "/v1/participants", boss).json()["results"][0]
    assert refused["code"] == "UNKNOWN_CONNECTION"


def test_everybody_hears_what_the_operator_lets_them_know(live: Live) -> None:
    headers = {"Authorization": f"Bearer {live.tokens.issue('operator')}"}
    with connected(live.port) as client:
        client.say({"op": "subscribe", "channels": ["system"]})
        client.until("system")
        said = httpx.post(f"{live.url}/v1/notices", headers=headers, json={"text": "Meters are read at noon."}).json()
        (heard,) = client.until("system")["items"]
        assert heard == said
        client.say({"op": "subscribe", "channels": ["system"]})
        assert client.until("system")["items"][-1]["text"] == "Meters are read at noon."
    for text in ("", " ", "x" * 501):
        answer = httpx.post(f"{live.url}/v1/notices", headers=headers, json={"text": text})
        assert (answer.status_code, answer.json()["field"]) == (400, "text")


def test_pages_of_other_origins_may_not_connect(live: Live) -> None:
    address = f"ws://127.0.0.1:{live.port}/v1/stream"
    with pytest.raises(InvalidStatus) as refused, connect(address, origin=Origin("https://evil.example")):
        pass
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body)["code"] == "FORBIDDEN"
    with connect(address, origin=Origin(f"http://127.0.0.1:{live.port}")):
        pass


def test_every_answer_has_the_headers_that_browsers_heed(live: Live) -> None:
    for path in ("/", "/docs", "/v1/market", "/v1/nothing", "/metrics", "/v1/orders"):
        headers = httpx.get(live.url + path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_figures_for_prometheus_name_no_participant(live: Live) -> None:
    text = httpx.get(f"{live.url}/metrics").text
    for name in ("commands_total", "commit_seconds_bucket", "sessions", "outbox_messages", "refusals_total", "lag"):
        assert f"wattbook_{name}" in text or f"{name}_seconds" in text
    assert "home-" not in text


def test_a_body_that_is_too_large_is_refused_before_it_is_read(live: Live) -> None:
    token = live.tokens.issue("participant", "home-001")
    headers = {"Authorization": f"Bearer {token}"}
    parts = (b"x" * 10_000 for _ in range(100))
    answer = httpx.post(f"{live.url}/v1/orders", headers=headers, content=parts)
    assert (answer.status_code, answer.json()["code"]) == (413, "FRAME_TOO_LARGE")


def crowd(port: int) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connect(f"ws://127.0.0.1:{port}/v1/stream"))


def test_a_flood_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    limits = Limits(
        requests_per_second=0.01, requests_burst=5, connections_per_address=2, connections_per_token=1, orders_burst=2,
        orders_per_second=0.01, cancels_burst=10,
    )  # fmt: skip
    with running(tmp_path_factory.mktemp("flood"), limits=limits) as live:
        codes = [httpx.get(f"{live.url}/health").status_code for _ in range(10)]
        assert codes[:3] == [200, 200, 200]
        assert codes[-1] == 429
        token = live.tokens.issue("participant", "home-001")
        with connected(live.port, token) as client:
            with live.connect(None) as second:
                second.say({"op": "auth", "token": token})
                assert second.until("error")["code"] == "RATE_LIMITED"
            with pytest.raises(InvalidStatus) as refused:
                crowd(live.port)
            assert refused.value.response.status_code == 429
            slot = client.open_slot()
            order = {"slot": slot, "side": "buy", "price": 1000, "quantity": 500}
            client.say({"op": "submit", "orders": [order, order], "id": "1"})
            number = client.until("answer")["results"][0]["order"]
            client.say({"op": "submit", "orders": [order], "id": "2"})
            assert client.until("error")["code"] == "RATE_LIMITED"
            client.say({"op": "cancel", "orders": [number], "id": "3"})
            assert "code" not in client.until("answer")["results"][0]


def test_the_same_order_a_hundred_times_is_one_order_across_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, slot = tmp_path_factory.mktemp("same"), 0
    numbers: set[int] = set()
    for _ in range(2):
        with running(folder, speed=60.0) as live:
            token = live.tokens.issue("participant", "home-001")
            with connected(live.port, token) as client, httpx.Client(base_url=live.url) as web:
                web.headers["Authorization"] = f"Bearer {token}"
                slot = slot or client.open_slot()
                order = {"slot": slot, "side": "buy", "price": 1000, "quantity": 500, "client_order_id": "one"}
                for _ in range(25):
                    client.say({"op": "submit", "orders": [order], "id": "1"})
                    numbers.add(client.until("answer")["results"][0]["order"])
                    numbers.add(web.post("/v1/orders", json={"orders": [order]}).json()["results"][0]["order"])
                assert len(web.get("/v1/orders").json()["orders"]) == 1
    assert len(numbers) == 1
