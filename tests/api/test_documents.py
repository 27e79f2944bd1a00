"""The OpenAPI and AsyncAPI documents are true: every route, frame, channel and code, and what is really said fits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import msgspec
import pytest
from fastapi.routing import APIRoute

from api import history, messages, office, rest, schemas
from api.http import Desk
from api.openapi import REPLIES, REQUESTS, answer_models, asyncapi
from market.rules import CODES
from tests.api.live_kit import Live, running


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("documents"), heartbeat=0.2) as found:
        yield found


@pytest.fixture(scope="module")
def document(live: Live) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{live.url}/openapi.json").json()
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def resolve(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/")]
    return found


def schema(document: dict[str, Any], name: str) -> Any:
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


def test_every_route_is_documented_and_every_reference_leads_somewhere(live: Live, document: dict[str, Any]) -> None:
    desk = Desk(live.server)
    routers = (rest.router(live.server), history.router(desk), office.router(desk))
    found = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    routes = {(route.path, method.lower()) for route in found for method in route.methods or ()} | {("/health", "get")}
    told = {(path, method) for path, operations in document["paths"].items() for method in operations}
    assert told == routes
    assert len(told) > 25
    for text in (document, asyncapi()):
        assert all(resolve(text, reference) for reference in references(text))
    assert document["openapi"].startswith("3.1")
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["description"]
            assert operation["responses"]["default"]
            assert "422" not in operation["responses"]


def test_every_frame_channel_and_code_is_in_the_description_of_the_stream() -> None:
    found = asyncapi()
    assert found["asyncapi"] == "3.0.0"
    names = {kind.__name__ for kind in (*REQUESTS, *REPLIES)}
    assert names <= found["components"]["messages"].keys()
    assert {kind.__struct_config__.tag for kind in REQUESTS} == {
        found["components"]["schemas"][kind.__name__]["properties"]["op"]["enum"][0] for kind in REQUESTS
    }
    assert messages.CHANNELS.keys() <= found["operations"].keys()
    assert found["components"]["schemas"]["Error"]["properties"]["code"]["enum"] == sorted(schemas.ERRORS)


def test_every_code_that_the_program_uses_is_in_the_table() -> None:
    root = Path(__file__).resolve().parents[2] / "api"
    used = {
        code for path in root.rglob("*.py") for code in re.findall(r'RefusedError\(\s*"([A-Z_]+)"', path.read_text())
    }
    assert len(used) > 6
    assert used <= schemas.ERRORS.keys()
    assert not schemas.ERRORS.keys() & CODES.keys()


def test_what_is_heard_on_every_channel_fits_its_description(live: Live) -> None:
    found = asyncapi()
    told: list[type[msgspec.Struct]] = [kind for pair in messages.CHANNELS.values() for kind in pair]
    kinds = {kind.__name__: jsonschema_rs.validator_for(schema(found, kind.__name__)) for kind in told}
    with live.connect() as client:
        slot = client.open_slot()
        client.say({"op": "subscribe", "channels": list(messages.CHANNELS), "id": "s"})
        order = {"slot": slot, "side": "buy", "price": 400_000, "quantity": 100}
        client.say({"op": "submit", "orders": [order, order | {"price": 1000}, order | {"slot": 1}], "id": "1"})
        missing = {snapshot.__name__ for snapshot, _ in messages.CHANNELS.values()}
        missing |= {"MarketUpdate", "BookUpdate", "TradesUpdate", "OrdersUpdate", "AccountUpdate", "GridUpdate"}
        for _ in range(1000):
            message = client.hear()
            if "ch" in message:
                snapshot, update = messages.CHANNELS[message["ch"]]
                kind = snapshot if message.get("type") == "snapshot" else update
                msgspec.convert(message, kind)
                kinds[kind.__name__].validate(message)
                missing.discard(kind.__name__)
            if not missing:
                break
    assert not missing


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("/v1/market", None), ("/v1/grid", None), ("/v1/feeder", None), ("/v1/trades", None), ("/v1/limits", None),
        ("/v1/log", None), ("/health", None), ("/v1/orders", "participant"), ("/v1/account", "participant"),
        ("/v1/orders/history", "participant"), ("/v1/statements", "participant"), ("/v1/envelopes", "participant"),
        ("/v1/participants", "operator"), ("/v1/tokens", "operator"), ("/v1/journal", "auditor"),
    ],
)  # fmt: skip
def test_answers_fit_their_description(live: Live, document: dict[str, Any], path: str, role: Any) -> None:
    name = "home-001" if role == "participant" else ""
    headers = {"Authorization": f"Bearer {live.tokens.issue(role, name)}"} if role else {}
    answer = httpx.get(live.url + path, headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    told = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    kind = told.rpartition("/")[2]
    jsonschema_rs.validator_for(schema(document, kind)).validate(answer.json())
    (model,) = [model for model in answer_models() if model.__name__ == kind]
    msgspec.convert(answer.json(), model)


def test_frames_fit_their_description() -> None:
    found = asyncapi()
    for frame in (
        {"op": "auth"},
        {"op": "submit", "orders": [{"slot": 1, "side": "buy", "price": 1, "quantity": 1}]},
        {"op": "resume", "ch": "book", "from_seq": 3},
        {"op": "halt", "scope": "market"},
    ):
        kind = next(kind for kind in REQUESTS if kind.__struct_config__.tag == frame["op"])
        jsonschema_rs.validator_for(schema(found, kind.__name__)).validate(frame)
        assert not jsonschema_rs.validator_for(schema(found, kind.__name__)).is_valid(frame | {"surprise": 1})


def test_the_page_of_the_documents_needs_no_other_host(live: Live) -> None:
    answer = httpx.get(f"{live.url}/docs")
    assert answer.status_code == 200
    assert "/v1/orders" in answer.text
    assert "<script" not in answer.text
    assert not re.search(r'(?:src|href)=["\'](?:https?:)?//', answer.text)
