"""Settings as documented rows: a frozen struct per service, read from PARALLAX_* variables, all faults at once."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from services.common.errors import SettingsError

PREFIX = "PARALLAX_"
SECRET = {"secret": True}
"""`Meta(extra=SECRET)` marks a field whose value is never printed and is redacted from every log line."""

T = TypeVar("T", bound="ServiceSettings")


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every service's settings; a field is `name: Annotated[type, Meta(description="...")] = default`."""


class CommonSettings(ServiceSettings, frozen=True, kw_only=True):
    """Settings that every service takes."""

    kafka: Annotated[str, Meta(description="Kafka bootstrap servers, host:port, comma separated.")] = "127.0.0.1:9092"
    redis: Annotated[
        str | None,
        Meta(description="URL of a Redis or Valkey server; without it, limits and caches live in the process."),
    ] = None
    topic_prefix: Annotated[
        str, Meta(description="Put before every topic name, so that deployments can share a cluster.")
    ] = ""
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Meta(description="Least severe level that is logged.")
    ] = "INFO"
    log_format: Annotated[Literal["json", "text"], Meta(description="One JSON object a line, or text for people.")] = (
        "json"
    )
    ops_port: Annotated[
        int, Meta(ge=0, le=65535, description="Port of /metrics, /livez and /readyz; 0 picks a free one and logs it.")
    ] = 0
    ops_host: Annotated[str, Meta(description="Address that the operations port listens on.")] = "127.0.0.1"
    instance: Annotated[str, Meta(description="Name of this process in logs and topics; default host-pid.")] = ""

    def instance_name(self) -> str:
        """The configured name, or host-pid."""
        return self.instance or f"{socket.gethostname()}-{os.getpid()}"


class Row(msgspec.Struct, frozen=True):
    """One setting as the reference page and `parallax doctor` show it."""

    variable: str
    field: str
    type: str
    default: str
    sentence: str
    secret: bool


def variable(field: str) -> str:
    """Name of the environment variable of a field."""
    return PREFIX + field.upper()


def read(cls: type[T], environ: Mapping[str, str] | None = None) -> T:
    """Settings of `cls` from the environment (os.environ when none is given); SettingsError lists every fault."""
    environ = os.environ if environ is None else environ
    hints = get_type_hints(cls, include_extras=True)
    values: dict[str, Any] = {}
    faults: list[SettingsError] = []
    for field in msgspec.structs.fields(cls):
        text = environ.get(variable(field.name))
        if text is None or (text == "" and _base(hints[field.name]) is not str):
            if field.required:
                faults.append(SettingsError(variable(field.name), expected="a value", got="none", do="set it"))
            continue
        try:
            values[field.name] = _convert(text, hints[field.name])
        except msgspec.ValidationError as fault:
            shown = "a secret" if is_secret(hints[field.name]) else repr(text)
            faults.append(
                SettingsError(
                    variable(field.name), expected=_type_name(hints[field.name]), got=shown, do=f"mend it ({fault})"
                )
            )
    if faults:
        raise SettingsError.of(faults)
    return cls(**values)


def rows(cls: type[ServiceSettings]) -> list[Row]:
    """The settings of `cls` in field order, secrets' defaults hidden."""
    hints = get_type_hints(cls, include_extras=True)
    found = []
    for field in msgspec.structs.fields(cls):
        hint = hints[field.name]
        secret = is_secret(hint)
        default = "required" if field.required else "hidden" if secret and field.default else _show(field)
        found.append(Row(variable(field.name), field.name, _type_name(hint), default, _description(hint), secret))
    return found


def environment(settings: ServiceSettings) -> dict[str, str]:
    """The variables that `read` turns back into `settings`; None and unchanged defaults are left out."""
    out = {}
    for field in msgspec.structs.fields(type(settings)):
        value = getattr(settings, field.name)
        if value is None or value == field.default:
            continue
        out[variable(field.name)] = _text(value)
    return out


def is_secret(hint: Any) -> bool:
    """Whether the field's Meta carries the secret mark."""
    return any(bool(meta.extra and meta.extra.get("secret")) for meta in _metas(hint))


def _convert(text: str, hint: Any) -> Any:
    if get_origin(_base(hint)) in (list, tuple):
        return msgspec.convert([part.strip() for part in text.split(",") if part.strip()], hint, strict=False)
    return msgspec.convert(text, hint, strict=False)


def _base(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _metas(hint: Any) -> list[Meta]:
    return [meta for meta in get_args(hint)[1:] if isinstance(meta, Meta)] if get_origin(hint) is Annotated else []


def _description(hint: Any) -> str:
    return next((meta.description for meta in _metas(hint) if meta.description), "")


def _type_name(hint: Any) -> str:
    base = _base(hint)
    if get_origin(base) is Literal:
        return " or ".join(map(str, get_args(base)))
    name = base.__name__ if isinstance(base, type) and not get_args(base) else str(base).replace("typing.", "")
    bounds = [f">= {meta.ge}" for meta in _metas(hint) if meta.ge is not None]
    bounds += [f"<= {meta.le}" for meta in _metas(hint) if meta.le is not None]
    return " ".join((name, *bounds))


def _show(field: msgspec.structs.FieldInfo) -> str:
    return _text(field.default_factory() if field.default is msgspec.NODEFAULT else field.default)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
