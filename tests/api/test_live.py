"""A live market through its door: who it lets in, what it tells, and that answers are on the disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from market.store import Ledger
from tests.api.live_kit import Live, running


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with running(tmp_path, heartbeat=0.2, grace=0.3) as found:
        yield found


def test_an_answered_order_is_in_the_ledger(live: Live) -> None:
    with live.connect() as client:
        slot = client.open_slot()
        order = {"slot": slot, "side": "buy", "price": 1000, "quantity": 500, "client_order_id": "mine"}
        client.say({"op": "submit", "orders": [order], "id": "1"})
        (result,) = client.until("answer")["results"]
        assert result["left"] == 500
        with Ledger.open(live.ledger) as ledger:
            assert len(ledger) >= result["seq"]
        client.say({"op": "submit", "orders": [order], "id": "2"})
        (again,) = client.until("answer")["results"]
        assert again["order"] == result["order"]


def test_every_order_of_a_frame_has_its_own_answer(live: Live) -> None:
    with live.connect() as client:
        slot = client.open_slot()
        good = {"slot": slot, "side": "buy", "price": 1000, "quantity": 500}
        client.say({"op": "submit", "orders": [good, good | {"slot": 3}, good | {"price": 1001}], "id": "x"})
        codes = [result.get("code", "") for result in client.until("answer")["results"]]
        assert codes == ["", "GATE_CLOSED", "PRICE_OFF_TICK"]


def test_messages_of_a_channel_are_chained(live: Live) -> None:
    with live.connect("observer") as client:
        client.say({"op": "subscribe", "channels": ["book"]})
        last = client.until("book")["seq"]
        for _ in range(5):
            delta = client.until("book")
            assert delta["prev"] == last
            assert delta["seq"] > last
            last = delta["seq"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "BAD_FRAME"),
        ("[]", "BAD_FRAME"),
        ('{"op":"dance"}', "BAD_FRAME"),
        ('{"op":"submit","orders":[{"slot":1}]}', "BAD_FRAME"),
        ('{"op":"submit","orders":[{"slot":1.5,"side":"buy","price":1,"quantity":1}]}', "BAD_FRAME"),
        ('{"op":"subscribe","channels":["secrets"]}', "UNKNOWN_CHANNEL"),
        ('{"op":"halt","scope":"market"}', "FORBIDDEN"),
        ('{"op":"auth"}', "FORBIDDEN"),
        ('{"op":"cancel","orders":[' + ",".join(["1"] * 300) + "]}", "FRAME_TOO_LARGE"),
    ],
)
def test_what_is_wrong_is_answered(live: Live, text: str, code: str) -> None:
    with live.connect() as client:
        client.say(text)
        assert client.until("error")["code"] == code


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"side": "bid"}, "buy or sell"),
        ({"price": 15.2}, "150000 is 15 ct/kWh"),
        ({"quantity": "5"}, "500 is 0.5 kWh"),
        ({"time_in_force": "day"}, "gtc, gtd, ioc, fok"),
    ],
)
def test_a_field_of_the_wrong_form_is_named_with_what_it_may_hold(
    live: Live, wrong: dict[str, object], words: str
) -> None:
    with live.connect() as client:
        order = {"slot": 1, "side": "buy", "price": 1000, "quantity": 500}
        client.say({"op": "submit", "orders": [order | wrong]})
        refusal = client.until("error")
        assert refusal["field"] == f"orders[0].{next(iter(wrong))}"
        assert words in refusal["reason"]


HUGE = 2**53


@pytest.mark.parametrize(
    "request_",
    [
        {"op": "submit", "orders": [{"slot": 1, "side": "buy", "price": 1, "quantity": HUGE}]},
        {"op": "submit", "orders": [{"slot": 1, "side": "buy", "price": -(10**40), "quantity": 1}]},
        {"op": "submit", "orders": [{"slot": HUGE, "side": "buy", "price": 1, "quantity": 1}]},
        {"op": "amend", "changes": [{"order": HUGE, "price": 1}]},
        {"op": "cancel", "orders": [1, HUGE]},
        {"op": "mass_cancel", "slot": -HUGE},
        {"op": "basket", "legs": [{"slot": 1, "side": "buy", "price": 1, "quantity": HUGE}]},
    ],
)
def test_a_number_that_no_journal_carries_is_answered_and_the_market_goes_on(
    live: Live, request_: dict[str, object]
) -> None:
    with live.connect() as client:
        client.say(request_)
        answer = client.until("error")
        assert answer["code"] == "BAD_FRAME"
        assert answer["field"].endswith(("quantity", "price", "slot", "order", "orders[1]"))
        client.say({"op": "cancel", "orders": [1], "id": "next"})
        assert client.until("answer")["id"] == "next"


@pytest.mark.parametrize("address", [f"/v1/orders?slot={HUGE}", f"/v1/orders/{HUGE}", f"/v1/orders/{10**40}"])
def test_nor_does_one_in_an_address_stop_the_market(live: Live, address: str) -> None:
    headers = {"Authorization": f"Bearer {live.tokens.issue('participant', 'home-001')}"}
    answer = httpx.delete(live.url + address, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_FRAME")
    assert httpx.get(f"{live.url}/health").json()["status"] == "running"


def test_who_does_not_say_who_it_is_is_sent_away(live: Live) -> None:
    with live.connect(None) as client:
        client.say({"op": "subscribe", "channels": ["book"]})
        assert client.until("error")["code"] == "NOT_AUTHENTICATED"
        with pytest.raises(ConnectionClosed):
            client.until("nothing")


def test_orders_are_cancelled_when_the_last_connection_is_gone_for_the_grace_period(live: Live) -> None:
    with live.connect() as client:
        slot = client.open_slot()
        order = {"slot": slot, "side": "buy", "price": 1000, "quantity": 500}
        client.say({"op": "submit", "orders": [order], "id": "1"})
        number = client.until("answer")["results"][0]["order"]
    with live.connect("observer") as client:
        for _ in range(10):
            client.until("heartbeat")
    assert number not in live.server.engine.hub.projection.orders["home-001"]


def test_the_same_order_over_rest_and_stream_is_one_order(live: Live) -> None:
    token = live.tokens.issue("participant", "home-001")
    with live.connect() as client:
        slot = client.open_slot()
        order = {"slot": slot, "side": "buy", "price": 1000, "quantity": 500, "client_order_id": "once"}
        client.say({"op": "submit", "orders": [order], "id": "1"})
        first = client.until("answer")["results"][0]["order"]
        with httpx.Client(base_url=live.url, headers={"Authorization": f"Bearer {token}"}) as web:
            for _ in range(5):
                answer = web.post("/v1/orders", json={"orders": [order]})
                assert answer.status_code == 200
                assert answer.json()["results"][0]["order"] == first
            assert [mine["order"] for mine in web.get("/v1/orders").json()["orders"]] == [first]
            assert web.delete(f"/v1/orders/{first}").json()["results"][0].get("left", 0) == 0
            assert web.get("/v1/orders").json()["orders"] == []


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/orders", 401, "NOT_AUTHENTICATED"),
        ("/v1/slots/1/book", 404, "NO_SUCH_THING"),
        ("/v1/slots/first/book", 400, "BAD_FRAME"),
        ("/v1/trades?limit=0", 400, "BAD_FRAME"),
        ("/v1/nothing", 404, "NO_SUCH_THING"),
    ],
)
def test_a_wrong_address_is_answered_like_everything_wrong(live: Live, path: str, status: int, code: str) -> None:
    answer = httpx.get(live.url + path)
    assert answer.status_code == status
    assert answer.json()["code"] == code
    assert answer.json()["reason"]


def test_the_page_and_its_parts_are_served_without_any_other_host(live: Live) -> None:
    page = httpx.get(live.url)
    assert page.headers["content-type"].startswith("text/html")
    parts = re.findall(r'(?:src|href)="(/dashboard/[^"]+)"', page.text)
    assert len(parts) >= 3
    for part in parts:
        answer = httpx.get(live.url + part)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page.text)


def hear_a_part_break(folder: Path, part: str) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the part broke")

    with running(folder) as live, live.connect() as client:
        setattr(live.server.engine.hub, part, broken)
        with pytest.raises(ConnectionClosed, match="STOPPED"):
            client.until("nothing")


@pytest.mark.parametrize("part", ["beat", "publish"])
def test_a_market_of_which_a_part_breaks_stops_and_says_why(tmp_path: Path, part: str) -> None:
    with pytest.raises(AssertionError, match="the part broke"):
        hear_a_part_break(tmp_path, part)


def test_the_grid_is_told_after_each_gate_closure(live: Live) -> None:
    with live.connect("observer") as client:
        client.say({"op": "subscribe", "channels": ["grid"]})
        assert client.until("grid")["type"] == "snapshot"
        (state,) = client.until("grid")["items"]
        assert state["violations"] == []
        assert all(0.9 < u < 1.1 for u in state["u_pu"].values())
        client.say({"op": "subscribe", "channels": ["grid"]})
        assert client.until("grid")["slot"] == state["slot"]
