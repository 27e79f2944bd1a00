"""Whatever is said to the live market is answered: no status from 500 on, no silence, no end of the market."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok

from api.openapi import REQUESTS
from api.schemas import Limits
from tests.api.live_kit import Client, Live, connected, running

PLENTY = Limits(
    requests_per_second=1e9, requests_burst=10**9, frames_per_second=1e9, frames_burst=10**9, orders_per_second=1e9,
    orders_burst=10**9, cancels_per_second=1e9, cancels_burst=10**9,
)  # fmt: skip
QUIET = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
"""Connections draw the bytes of their pings from it, whenever it is time for one."""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("fuzz"), speed=1.0, limits=PLENTY) as found:
        yield found


numbers = st.integers() | st.integers(-5, 5) | st.sampled_from([2**53, -(2**63), 10**40, 1_865_000])
texts = st.text(max_size=20) | st.sampled_from(["", "book", "orders", "home-001", "market", "buy", "gtd"])
values = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
FIELDS = sorted({field for kind in REQUESTS for field in kind.__struct_fields__})
ORDER = ("slot", "side", "price", "quantity", "order", "flexible", "time_in_force", "good_till", "sources")
orders = st.lists(st.dictionaries(st.sampled_from(ORDER), values, max_size=6), max_size=3)
frames = st.builds(
    lambda op, fields: {"op": op} | fields,
    st.sampled_from([str(kind.__struct_config__.tag) for kind in REQUESTS]) | texts,
    st.dictionaries(st.sampled_from(FIELDS), values | orders | texts, max_size=5),
)


def survive(client: Client, frame: Any) -> None:
    """Say something, then something good; both are answered."""
    client.say(frame if isinstance(frame, str) else json.dumps(frame))
    client.say({"op": "ping", "id": "still there"})
    for _ in range(10_000):
        if client.hear() == {"op": "done", "id": "still there"}:
            return
    raise AssertionError("no answer")


def fuzz_stream(live: Live, examples: int) -> None:
    token = live.tokens.issue("participant", "home-001")
    with connected(live.port, token) as client:

        @settings(QUIET, max_examples=examples)
        @given(frames | texts | values)
        def try_it(frame: Any) -> None:
            survive(client, frame)

        try_it()
    assert httpx.get(f"{live.url}/health").json()["status"] == "running"


def fuzz_routes(live: Live, examples: int, role: Any) -> None:
    token = live.tokens.issue(role, "home-002" if role == "participant" else "")
    headers = {"Authorization": f"Bearer {token}"}
    document = httpx.get(f"{live.url}/openapi.json").json()
    config = SchemathesisConfig.from_dict({})
    routes = schemathesis.openapi.from_dict(document, config=config)
    for found in routes.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        @settings(QUIET, max_examples=examples)
        @given(case=operation.as_strategy())
        def try_it(case: Any) -> None:
            answer = case.call(base_url=live.url, headers=headers)
            assert answer.status_code < 500, (case.method, case.path, answer.text)
            if answer.status_code >= 400 and answer.headers.get("content-type", [""])[0] == "application/json":
                assert {"code", "reason", "field"} <= json.loads(answer.text).keys()

        try_it()
    assert httpx.get(f"{live.url}/health").json()["status"] == "running"


def test_every_frame_is_answered(live: Live) -> None:
    fuzz_stream(live, 200)


@pytest.mark.parametrize("role", ["participant", "operator"])
def test_no_request_breaks_a_route(live: Live, role: str) -> None:
    fuzz_routes(live, 5, role)


@pytest.mark.slow  # thousands of frames
def test_every_one_of_many_frames_is_answered(live: Live) -> None:
    fuzz_stream(live, 20_000)


@pytest.mark.slow  # hundreds of requests for each route
@pytest.mark.parametrize("role", ["participant", "operator", "auditor"])
def test_no_one_of_many_requests_breaks_a_route(live: Live, role: str) -> None:
    fuzz_routes(live, 200, role)
