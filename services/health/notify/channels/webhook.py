"""Post an alert as JSON, signed as Standard Webhooks 1.0 says: HMAC-SHA256 over id, timestamp and body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Literal

import httpx
import msgspec

from services.common.errors import SettingsError
from services.health.notify.outbox import Message

Outcome = Literal["sent", "retry", "refused"]
PREFIX = "whsec_"
TEMPORARY = frozenset({408, 425, 429})
"""Client errors that pass; the others will be the same next time."""
TIMEOUT = httpx.Timeout(connect=3.0, read=10.0, write=5.0, pool=5.0)


def key_of(secret: str) -> bytes:
    """The signing key; SettingsError when the secret is not whsec_ and base64 of 24 to 64 bytes."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True) if secret.startswith(PREFIX) else b""
    except binascii.Error:
        key = b""
    if not 24 <= len(key) <= 64:
        raise SettingsError(
            "PARALLAX_WEBHOOK_SECRET", f"{PREFIX} and base64 of 24 to 64 bytes", "something else", "make a new one"
        )
    return key


def signature(key: bytes, message_id: str, at_s: int, body: bytes) -> str:
    """The value of the header webhook-signature."""
    signed = hmac.new(key, b".".join((message_id.encode(), str(at_s).encode(), body)), hashlib.sha256)
    return "v1," + base64.b64encode(signed.digest()).decode()


def body_of(message: Message) -> bytes:
    """The JSON text: type alert.firing or alert.resolved, and the alert."""
    return msgspec.json.encode({"type": f"alert.{message.kind}", "data": message.alert})


async def send(client: httpx.AsyncClient, url: str, key: bytes, message: Message, at_s: int) -> tuple[Outcome, str]:
    """One try: what became of it, and why."""
    body = body_of(message)
    headers = {
        "content-type": "application/json",
        "webhook-id": message.id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": signature(key, message.id, at_s, body),
    }
    try:
        reply = await client.post(url, content=body, headers=headers, timeout=TIMEOUT)
    except httpx.HTTPError as fault:
        return "retry", type(fault).__name__
    if reply.is_success:
        return "sent", str(reply.status_code)
    refused = 300 <= reply.status_code < 500 and reply.status_code not in TEMPORARY
    return ("refused" if refused else "retry"), str(reply.status_code)
