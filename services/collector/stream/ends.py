"""Why a connection ended: reasons of ours, and foreign exceptions as rows."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Final

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)

ENDS: Final[tuple[tuple[type[BaseException], str, str], ...]] = (
    (TimeoutError, "TIMEOUT", "connect"),
    (InvalidStatus, "NETWORK", "refused"),
    (InvalidURI, "NETWORK", "refused"),
    (InvalidMessage, "NETWORK", "refused"),
    (InvalidHandshake, "NETWORK", "refused"),
    (ConnectionClosed, "NETWORK", "closed"),
    (WebSocketException, "NETWORK", "protocol"),
    (ssl.SSLError, "NETWORK", "tls"),
    (OSError, "NETWORK", "connect"),
)
"""Foreign exception -> class of our taxonomy and why the connection ended, most special first."""
STATUS_CLASS: Final = {
    401: "AUTH",
    403: "AUTH",
    404: "NOT_FOUND",
    418: "RATE_LIMITED",
    429: "RATE_LIMITED",
    451: "FORBIDDEN_REGION",
}


class Ended(Exception):
    """The connection is over for a reason of ours: `silent`, `stale`, `no_ack`, `renewed`, `refused`, `resync`."""

    def __init__(self, reason: str, outcome: str = "OK", detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason
        self.outcome = outcome
        self.detail = detail


def end_of(error: BaseException) -> tuple[str, str, str]:
    """Why a connection ended, its outcome class, and the words of the error."""
    for kind, outcome, reason in ENDS:
        if isinstance(error, kind):
            if isinstance(error, InvalidStatus):
                outcome = STATUS_CLASS.get(error.response.status_code, "UPSTREAM_5XX")
            return reason, outcome, f"{type(error).__name__}: {error}"
    raise error


def why(error: BaseException) -> tuple[str, str, str]:
    """The end that is ours counts before what it caused in the other tasks of the connection."""
    leaves = list(_leaves(error))
    ours = next((one for one in leaves if isinstance(one, Ended)), None)
    return (ours.reason, ours.outcome, ours.detail) if ours is not None else end_of(leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
