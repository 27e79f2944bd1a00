"""Before every request: headers that browsers heed, who may open a websocket from where, and how much at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.limits import Bucket
from api.schemas import Limits

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer that says nothing else. Only `/docs` has a style of its own."""
TLS = {"Strict-Transport-Security": "max-age=31536000"}
ADDRESSES = 10_000
"""Addresses whose requests are counted at a time."""

_encode = msgspec.json.Encoder().encode


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, limits: Limits, origins: Collection[str] = ()) -> None:
        """`origins` are those, such as ``https://example.org``, whose pages may connect beside the server's own."""
        self._app, self._limits, self._origins = app, limits, {origin.rstrip("/").lower() for origin in origins}
        self._connections: Counter[str] = Counter()
        self._buckets: dict[str, Bucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = HEADERS | (TLS if scope.get("scheme") == "https" else {})

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                for name, value in headers.items():
                    found.setdefault(name, value)
            await send(message)

        wait = self._bucket(_address(scope)).take()
        if wait > 0:
            body = _encode({"code": "RATE_LIMITED", "reason": f"too many requests; wait {wait:.2f} s", "field": ""})
            await _answer(told, "http.response", 429, body)
            return
        await self._app(scope, receive, told)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = _address(scope)
        if not self._welcome(Headers(scope=scope)):
            await self._refuse(send, 403, "FORBIDDEN", "pages of this origin may not connect; see --allow-origin")
            return
        if self._connections[address] >= self._limits.connections_per_address:
            await self._refuse(send, 429, "RATE_LIMITED", "too many connections from this address; close some")
            return
        self._connections[address] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._connections[address] -= 1
            if not self._connections[address]:
                del self._connections[address]

    async def _refuse(self, send: Send, status: int, code: str, reason: str) -> None:
        body = _encode({"code": code, "reason": reason, "field": "origin" if code == "FORBIDDEN" else ""})
        await _answer(send, "websocket.http.response", status, body)

    def _welcome(self, headers: Headers) -> bool:
        """Programs send no Origin; browsers send that of the page."""
        origin = headers.get("origin")
        if origin is None:
            return True
        return origin.lower() in self._origins or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()

    def _bucket(self, address: str) -> Bucket:
        found = self._buckets.get(address)
        if found is None:
            if len(self._buckets) >= ADDRESSES:
                self._buckets.pop(next(iter(self._buckets)))
            found = Bucket(self._limits.requests_per_second, self._limits.requests_burst)
            self._buckets[address] = found
        return found


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _answer(send: Send, kind: str, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
