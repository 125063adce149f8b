"""The two documents that describe the API: OpenAPI from the routes, AsyncAPI from the WebSocket tables and structs."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.gateway.api.documents import REF, schemas
from services.gateway.codes import CODES
from services.gateway.limits import LIMITS
from services.gateway.ws import protocol
from services.gateway.ws.services import PATHS, SERVICES

API_VERSION = "1"
ABOUT = (
    "Confidence-scored answers fused from many providers. Every record says where it came from (`origin`), how old it is"
    " (`as_of`, `stale`), how sure it is (`confidence`) and who disagreed (`/sources`). `/api/...` is the same as `/api/v1/...`."
)


DATA = {
    "type": "object",
    "required": ["service", "type", "seq", "timestamp", "data"],
    "properties": {
        "service": {"enum": [service.name for service in SERVICES]},
        "type": {"enum": ["snapshot", "update"]},
        "seq": {"type": "integer", "description": "Offset in the fused topic's partition."},
        "timestamp": {"type": "string", "format": "date-time"},
        "cursor": {"type": "string", "description": "Event services: resume after this message."},
        "part": {"type": "integer"},
        "parts": {"type": "integer"},
        "data": {
            "type": "array",
            "items": {"type": "object", "description": "As the REST list of the same records."},
        },
    },
}
ANSWER = {
    "type": "object",
    "required": ["service", "type", "data", "timestamp"],
    "properties": {
        "service": {"const": "system"},
        "type": {"enum": ["welcome", "status_update", "subscription_confirmed", "unsubscription_confirmed", "resumed",
                          "status", "services", "pong", "error"]},
        "id": {"description": "Of the command that is answered."},
        "data": {},
        "timestamp": {"type": "string", "format": "date-time"},
    },
}  # fmt: skip
NOTICE = {
    "type": "object",
    "required": ["type", "timestamp"],
    "properties": {
        "type": {"enum": ["connection_established", "ping", "slow_consumer", "server_shutdown"]},
        "timestamp": {"type": "string", "format": "date-time"},
    },
}
"""Shapes of the messages that are no struct: what is pushed, what answers a command, what comes unasked."""


def openapi(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1 of the routes, with the shapes that the encoder uses."""
    document = get_openapi(title="Parallax", version=API_VERSION, summary="What is true, how sure, and who disagreed.",
                           description=ABOUT, routes=app.routes)  # fmt: skip
    components = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        components.pop(unused, None)
    components.update(schemas())
    return document


def asyncapi() -> dict[str, Any]:
    """AsyncAPI 3 of the WebSocket protocol."""
    _, components = msgspec.json.schema_components((protocol.Command,), ref_template=REF)
    names = {"Command": "Command", "Data": "Data", "Answer": "Answer", "Notice": "Notice"}
    components |= {"Data": DATA, "Answer": ANSWER, "Notice": NOTICE}
    messages = {name: {"payload": {"$ref": REF.format(name=shape)}} for name, shape in names.items()}
    channels = {
        path.strip("/").replace("/", "-"): {
            "address": path,
            "description": f"Comes with {', '.join(preset)}." if preset else "Nothing until a subscribe command.",
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        }
        for path, preset in PATHS.items()
    }
    operations: dict[str, Any] = {}
    for channel in channels:
        reference = {"$ref": f"#/channels/{channel}"}
        operations[f"{channel}-say"] = {
            "action": "receive", "channel": reference,
            "messages": [{"$ref": f"#/channels/{channel}/messages/Command"}],
        }  # fmt: skip
        operations[f"{channel}-hear"] = {
            "action": "send", "channel": reference,
            "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names if name != "Command"],
        }  # fmt: skip
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Parallax", "version": API_VERSION,
            "description": "WebSocket protocol hub.v1. Clients ignore message types and fields that they do not know.",
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": components},
        "x-services": msgspec.to_builtins(SERVICES),
        "x-close-codes": msgspec.to_builtins(CODES),
        "x-limits": msgspec.to_builtins(LIMITS),
    }  # fmt: skip
