"""Folders -> Registry: every `provider.yaml` under the given roots as a strict definition with its hash."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from services.collector.registry.model import Provider
from services.collector.registry.source import Fault, parse_yaml, shape_faults
from services.common.errors import DefinitionError

BUILT_IN = Path(__file__).parent.parent / "providers"
"""Definitions that come with the product."""
ENVIRONMENT = "PARALLAX_PROVIDERS_PATH"
"""More folders of definitions, separated like PATH; a later one with the same id wins."""


class Loaded(Struct, frozen=True):
    """One definition and where it came from."""

    provider: Provider
    folder: Path
    hash: str
    """Short hash of provider.yaml's bytes; stamped on every event."""


class Registry(Struct, frozen=True):
    """All definitions of this process."""

    providers: dict[str, Provider]
    loaded: dict[str, Loaded]
    hash: str

    def category(self, home: str) -> list[Provider]:
        """Definitions whose home is this category, those that can be polled (not retired)."""
        return [one for one in self.providers.values() if one.home == home and one.status != "retired"]


def roots(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The built-in folder, then those of PARALLAX_PROVIDERS_PATH."""
    more = [Path(part) for part in environ.get(ENVIRONMENT, "").split(os.pathsep) if part]
    return [BUILT_IN, *more]


def definition_files(paths: Iterable[Path]) -> list[Path]:
    """Every provider.yaml under the roots, in a stable order, root by root."""
    files: list[Path] = []
    for root in paths:
        if not root.exists():
            raise DefinitionError(
                where=str(root), expected="a folder of provider definitions", got="nothing", do=f"correct {ENVIRONMENT}"
            )
        own = root / "provider.yaml"
        files += [own] if own.exists() else sorted(root.rglob("provider.yaml"))
    return files


def load(paths: Sequence[Path] | None = None) -> Registry:
    """Read all definitions; DefinitionError lists every fault of every file. Parsed files are kept in a cache by content."""
    files = definition_files(roots() if paths is None else paths)
    cache = _Cache()
    loaded: dict[str, Loaded] = {}
    faults: list[Fault] = []
    for file in files:
        data = file.read_bytes()
        digest = hashlib.blake2b(data, digest_size=6).hexdigest()
        provider = cache.get(data)
        if provider is None:
            found = read(file, data)
            if isinstance(found, list):
                faults += found
                continue
            provider = cache.put(data, found)
        loaded[provider.id] = Loaded(provider, file.parent, digest)
    if faults:
        raise DefinitionError(
            where=f"{len(faults)} faults in provider definitions:\n" + "\n".join(str(fault) for fault in faults),
            do="see: parallax providers lint",
        )
    everything = hashlib.blake2b("".join(f"{k}:{v.hash}" for k, v in sorted(loaded.items())).encode(), digest_size=6)
    return Registry({key: one.provider for key, one in loaded.items()}, loaded, everything.hexdigest())


def read(file: Path, data: bytes) -> Provider | list[Fault]:
    """The definition in `data`, or all its faults."""
    document = parse_yaml(file, data)
    if isinstance(document, Fault):
        return [document]
    faults = shape_faults(document, Provider)
    if faults:
        return faults
    try:
        return msgspec.convert(document.value, Provider)
    except msgspec.ValidationError as error:
        return [Fault(str(file), 1, "", str(error))]


class _Cache:
    """Definitions as MessagePack by hash of their text, so that a start does not parse 150 YAML files again.

    Derived data: losing it, or a folder that cannot be written, costs time only.
    """

    def __init__(self) -> None:
        shape = hashlib.blake2b(repr(msgspec.json.schema(Provider)).encode(), digest_size=8).hexdigest()
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(tempfile.gettempdir(), f"parallax-{os.getuid()}")
        self._folder = Path(base) / "parallax-definitions" / shape
        self._decode = msgspec.msgpack.Decoder(Provider)
        self._encode = msgspec.msgpack.Encoder()

    def _file(self, data: bytes) -> Path:
        return self._folder / hashlib.blake2b(data, digest_size=16).hexdigest()

    def get(self, data: bytes) -> Provider | None:
        try:
            return self._decode.decode(self._file(data).read_bytes())
        except (OSError, msgspec.DecodeError):
            return None

    def put(self, data: bytes, provider: Provider) -> Provider:
        target = self._file(data)
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = target.with_suffix(f".{os.getpid()}")
            part.write_bytes(self._encode.encode(provider))
            part.replace(target)
        except OSError:
            return provider
        return provider
