"""OpenAPI and AsyncAPI documents, made from the routes and from the models that server and client use."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, get_args

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import answers, messages, schemas
from api.version import version
from market.rules import CODES

TEMPLATE = "#/components/schemas/{name}"
BODIES = (schemas.Submit, schemas.Amend, schemas.Basket, schemas.Halt, schemas.Release)
"""Frames that are bodies of HTTP requests too, without `op` and `id`."""
REQUESTS: tuple[type[msgspec.Struct], ...] = get_args(schemas.ClientFrame)
REPLIES: tuple[type[msgspec.Struct], ...] = (
    schemas.Welcome,
    schemas.Answer,
    schemas.Done,
    schemas.Error,
    schemas.Heartbeat,
)


def answer_models() -> list[type[msgspec.Struct]]:
    """Every model of an answer or a body over HTTP."""
    found = [value for value in vars(answers).values() if isinstance(value, type) and issubclass(value, messages.Told)]
    return [kind for kind in found if kind is not messages.Told] + [
        schemas.Result,
        messages.GridState,
        messages.MarketState,
        messages.Account,
        messages.Notice,
    ]


def openapi(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1 of an application's routes. Refusals are the same everywhere and have one response, `default`."""
    document = get_openapi(
        title="Wattbook", version=version(), routes=app.routes, summary="An exchange for local energy",
        description="Prices are whole milli-currency/MWh, energy whole Wh, money whole nano-currency. "
        "The stream, which tells what happens, is in /asyncapi.json.",
    )  # fmt: skip
    refusal = {
        "description": "Nothing was done: `{code, reason, field}`.",
        "content": {"application/json": {"schema": {"$ref": TEMPLATE.format(name="Refusal")}}},
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = refusal
    models = _components([*answer_models(), *BODIES])
    for kind in BODIES:
        models[kind.__name__] = _body(models[kind.__name__])
    models["Refusal"]["properties"]["code"]["enum"] = sorted({*schemas.ERRORS, *CODES})
    document["components"] = {
        "schemas": models,
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    return document


@cache
def asyncapi() -> dict[str, Any]:
    """AsyncAPI 3.0 of the stream: one socket, what a client may say on it, and what it hears per channel."""
    told: list[type[msgspec.Struct]] = [kind for pair in messages.CHANNELS.values() for kind in pair]
    models = _components([*REQUESTS, *REPLIES, *told])
    for name, pair in messages.CHANNELS.items():
        for kind in pair:
            models[kind.__name__]["properties"]["ch"] = {"const": name}
    models["Error"]["properties"]["code"]["enum"] = sorted(schemas.ERRORS)
    every: list[type[msgspec.Struct]] = [*REQUESTS, *REPLIES, *told]
    kinds = {kind.__name__: _message(kind) for kind in every}
    socket = {"$ref": "#/channels/stream"}

    def said(said: Iterable[type[msgspec.Struct]]) -> list[dict[str, str]]:
        return [{"$ref": f"#/channels/stream/messages/{kind.__name__}"} for kind in said]

    operations: dict[str, Any] = {
        "request": {
            "action": "receive", "channel": socket, "messages": said(REQUESTS),
            "summary": "What a client says; the first frame is Auth.",
            "reply": {"channel": socket, "messages": said(REPLIES[:4])},
        },
        "heartbeat": {"action": "send", "channel": socket, "messages": said([schemas.Heartbeat])},
    }  # fmt: skip
    for name, pair in messages.CHANNELS.items():
        operations[name] = {
            "action": "send", "channel": socket, "messages": said(pair),
            "summary": f"What subscribers of the channel `{name}` hear.",
        }  # fmt: skip
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Wattbook stream", "version": version(),
            "description": "JSON text frames; one from the server is a message or a list of messages.",
        },
        "channels": {
            "stream": {
                "address": "/v1/stream",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in kinds},
            }
        },
        "operations": operations,
        "components": {"messages": kinds, "schemas": models},
    }  # fmt: skip


def _message(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"name": kind.__name__, "payload": {"$ref": TEMPLATE.format(name=kind.__name__)}}


def _components(kinds: list[Any]) -> dict[str, Any]:
    _, found = msgspec.json.schema_components(kinds, ref_template=TEMPLATE)
    return dict(found)


def _body(frame: dict[str, Any]) -> dict[str, Any]:
    """The schema of a frame as the body of an HTTP request."""
    fields = {name: kind for name, kind in frame["properties"].items() if name not in ("op", "id")}
    needed = [name for name in frame.get("required", []) if name not in ("op", "id")]
    return frame | {"properties": fields, "required": needed}
