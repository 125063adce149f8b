"""Log lines on stderr, JSON or text, with every registered secret replaced by value."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import msgspec

from services.common.settings import CommonSettings

HIDDEN = "[secret]"
SHORTEST = 4
"""A shorter value would blank ordinary words; such secrets are refused at registration."""

_secrets: set[str] = set()
_standard = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def register_secret(value: str) -> None:
    """From now on `value` is replaced in everything that passes `redact`; ValueError when it is too short to hide."""
    if len(value) < SHORTEST:
        raise ValueError(f"secret: expected at least {SHORTEST} characters, got {len(value)}; use a longer one")
    _secrets.add(value)


def redact(text: str) -> str:
    """`text` with every registered secret value replaced, the longest first."""
    for value in sorted(_secrets, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, service, instance, message, and the record's own fields."""

    def __init__(self, service: str, instance: str) -> None:
        super().__init__()
        self._fixed = {"service": service, "instance": instance}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _iso(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            **self._fixed,
            "message": record.getMessage(),
        }
        line.update((key, value) for key, value in vars(record).items() if key not in _standard)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return redact(msgspec.json.encode(line, enc_hook=str).decode())


class TextFormatter(logging.Formatter):
    """`12:34:56.789 INFO  collector  message key=value`, for people."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{key}={value}" for key, value in vars(record).items() if key not in _standard)
        clock = _iso(record.created)[11:23]
        text = f"{clock} {record.levelname:<7} {self._service:<10} {record.getMessage()} {extra}".rstrip()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return redact(text)


def configure(settings: CommonSettings, service: str = "parallax") -> None:
    """Route the root logger to stderr in the wanted format and level; call once, first thing in a process."""
    handler = logging.StreamHandler(sys.stderr)
    json_lines = settings.log_format == "json"
    handler.setFormatter(JsonFormatter(service, settings.instance_name()) if json_lines else TextFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for noisy in ("aiokafka", "httpx", "httpcore", "websockets", "faust", "mode"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def _iso(at_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_s)) + f".{int(at_s * 1000) % 1000:03d}Z"
