"""What all routes share: who asks, what a body holds, and how answers and refusals look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Query, Request
from fastapi.responses import Response

from api import gateway
from api.auth import Principal
from api.gateway import RefusedError
from api.schemas import Role
from api.server import Server
from market.events import Entry
from market.orders import Command
from market.units import MAX_EXACT

PAGE = 1_000
"""Most items of one answer."""
STATUS = {
    "NOT_AUTHENTICATED": 401, "BAD_TOKEN": 401, "FORBIDDEN": 403, "NO_SUCH_THING": 404, "NOT_ALLOWED": 405,
    "NOT_SIGNED_YET": 409, "FRAME_TOO_LARGE": 413, "RATE_LIMITED": 429, "STOPPED": 503,
}  # fmt: skip
"""HTTP status of a code; 400 of all others."""

FromSeq = Annotated[int, Query(ge=1, le=MAX_EXACT, description="The first line of the journal that is wanted.")]
Limit = Annotated[int, Query(ge=1, le=PAGE, description="Most items.")]

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode


def answered(value: object, status: int = 200) -> Response:
    """Anything that msgspec can encode, as JSON."""
    return Response(_encode(value), status, media_type="application/json")


def refused(error: RefusedError) -> Response:
    """An error as JSON under its status."""
    body = {"code": error.code, "reason": error.reason, "field": error.field}
    headers = {"WWW-Authenticate": "Bearer"} if STATUS.get(error.code) == 401 else None
    return Response(_encode(body), STATUS.get(error.code, 400), headers, "application/json")


def says(answer: type, body: type | None = None, *, private: bool = True) -> dict[str, Any]:
    """The part of a route's documentation that its models give; see `api.openapi`."""
    told: dict[str, Any] = {"responses": {"200": {"content": {"application/json": {"schema": _reference(answer)}}}}}
    if body is not None:
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": _reference(body)}}}
    return told | ({"security": [{"token": []}]} if private else {})


def _reference(kind: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


class Desk:
    """Where requests are received: whose they are, and what they may."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def principal(self, request: Request, *roles: Role) -> Principal:
        """Who asks; one of the roles, if some are named. Raises RefusedError."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise RefusedError("NOT_AUTHENTICATED", "send the header Authorization: Bearer TOKEN", "authorization")
        principal = self.server.principal(token.strip())
        if principal is None:
            raise RefusedError("BAD_TOKEN", "the token is unknown or was revoked", "authorization")
        self.server.allowance(principal).frame(0)
        if roles and principal.role not in roles:
            told = f"this is for the role {' or '.join(roles)}, not for {principal.role}"
            raise RefusedError("FORBIDDEN", told, "authorization")
        return principal

    def participant(self, request: Request) -> str:
        """Name of the participant that asks. Raises RefusedError."""
        return self.principal(request, "participant").participant

    async def body(self, request: Request, kind: type[T]) -> T:
        """The body as a frame of the stream; raises RefusedError for what is none, or too large."""
        most = self.server.limits.frame_bytes
        text = bytearray()
        async for chunk in request.stream():
            text += chunk
            if len(text) > most:
                raise RefusedError("FRAME_TOO_LARGE", f"a body has at most {most} bytes")
        try:
            return msgspec.convert({**msgspec.json.decode(bytes(text))}, kind)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError, ValueError) as error:
            raise gateway.malformed(error) from error

    def addressed(self, kind: type[T], **fields: Any) -> T:
        """What an address says, as a frame of the stream; raises RefusedError for numbers that no frame may hold."""
        try:
            return msgspec.convert(fields, kind)
        except msgspec.ValidationError as error:
            raise gateway.malformed(error) from error

    async def carry_out(self, principal: Principal, wanted: gateway.Request) -> Response:
        """Have the engine do what a frame says, and answer its results."""
        return self._results(await self.server.submit(principal, wanted, self.server.allowance(principal)))

    async def administer(self, command: Command) -> Response:
        """Have the engine carry out an operator's command, and answer its result."""
        gateway.storable(command)
        return self._results(await self.server.engine.submit([command]))

    def _results(self, entries: Sequence[Entry]) -> Response:
        return answered({"results": gateway.results(entries, self.server.engine.hub.projection)})
