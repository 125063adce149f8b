"""Fused records as bytes: by kernels from memory, and the general way in Python for what those refuse."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from ctypes import addressof, c_uint8
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from schemas.events import Origin, Value
from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.engine import lessons
from services.aggregator.engine.emit import claims, quote_of
from services.aggregator.fusion import Ask, Fuser, quality
from services.aggregator.fusion.quality import Quality
from services.aggregator.fusion.rows import rounded
from services.aggregator.kernels.digits import rounded_share
from services.aggregator.kernels.layout import WORD
from services.aggregator.kernels.record import (
    S_BEGIN,
    S_END,
    S_KEY_BEGIN,
    S_KEY_END,
    S_ORIGIN,
    S_PRICE,
    S_REFUSED,
    SPAN,
)

if TYPE_CHECKING:
    from services.aggregator.engine.names import Names
    from services.aggregator.engine.rules import Rules
    from services.aggregator.engine.store import Store
    from services.aggregator.engine.view import Entity

_ORIGIN_OF: tuple[Origin, ...] = ("live", "replay", "sandbox")

AT_ONCE = 128
"""Records that are written in one call."""
_NOUGHT = 0.0
"""What is left out of a record: defaults are told by identity."""

_encode = msgspec.json.Encoder().encode
_new = tuple.__new__


class _Source(Struct, omit_defaults=True, gc=False):
    """schemas.events.Source, made by position: a record has a dozen of these."""

    provider: str
    value: Value
    age_ms: int
    weight: float = _NOUGHT
    why: str | None = None


class _Metric(Struct, omit_defaults=True, gc=False):
    """schemas.events.FusedMetric, made by position."""

    value: Value | None
    confidence: float
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    sources: int = 0
    voices: float = _NOUGHT
    method: str = ""
    as_of_ms: int = 0
    by: list[Any] = []
    quality: Quality | None = None


class _Fused(Struct, omit_defaults=True, gc=False):
    """schemas.events.Fused, made by position."""

    entity: str
    category: str
    version: int
    as_of_ms: int
    origin: Origin
    metrics: dict[str, Any]
    quote: str | None = None
    quality: Quality | None = None


Rendered = tuple[bytes, bytes, "float | None", Origin]
"""Key and fused record as bytes; its price, where others' money is valued by it; and its origin."""


class Paper:
    """Where kernels write the records of one partition."""

    def __init__(self, store: Store, rows: Callable[..., int] | None = None, out_bytes: int = 1 << 20) -> None:
        """`rows`: `render_rows`, if not the one of KERNELS."""
        self.store = store
        self._rows = rows
        self._out = bytearray(out_bytes)
        self._out_at = addressof(c_uint8.from_buffer(self._out))
        self._spans = array("q", bytes(WORD * SPAN * AT_ONCE))
        self._prices = memoryview(self._spans).cast("B").cast("d")

    def write(self, addresses: Sequence[int], fuser: Fuser) -> list[Rendered | None]:
        """The records of these entities; None where the general way must."""
        fuser.begin()
        self.store.refresh()
        entities = array("q", addresses)
        entities_at, spans_at = entities.buffer_info()[0], self._spans.buffer_info()[0]
        found: list[Rendered | None] = []
        while len(found) < len(entities):
            done = (self._rows or KERNELS.render_rows)(
                self.store.desk_at, min(len(entities) - len(found), AT_ONCE), entities_at + len(found) * WORD, self._out_at,
                len(self._out), spans_at,
            )  # fmt: skip
            found += self._told(done)
        return found

    def _told(self, count: int) -> list[Rendered | None]:
        spans, prices = self._spans[: count * SPAN].tolist(), self._prices
        # Once as bytes, so that what is cut from it is bytes as well.
        text = bytes(memoryview(self._out)[: max(spans[S_KEY_END::SPAN], default=0)])
        return [
            None
            if spans[at + S_REFUSED]
            else (
                text[spans[at + S_KEY_BEGIN] : spans[at + S_KEY_END]],
                text[spans[at + S_BEGIN] : spans[at + S_END]],
                # Only a number is itself.
                price if (price := prices[at + S_PRICE]) == price else None,
                _ORIGIN_OF[spans[at + S_ORIGIN]],
            )
            for at in range(0, count * SPAN, SPAN)
        ]


def render(addresses: Sequence[int], names: Names, rules: Rules, fuser: Fuser, paper: Paper) -> list[Rendered]:
    """The fused records of these entities, in their order."""
    found = paper.write(addresses, fuser)
    left = [address for address, told in zip(addresses, found, strict=True) if told is None]
    others = iter(render_generally(left, paper.store, names, rules, fuser) if left else ())
    return [next(others) if told is None else told for told in found]


def render_generally(
    addresses: Sequence[int], store: Store, names: Names, rules: Rules, fuser: Fuser
) -> list[Rendered]:
    """The same for entities that kernels refuse."""
    entities = [store.view(address) for address in addresses]
    for entity in entities:
        lessons.borrow(store, fuser, entity)
    found = _render(entities, names, rules, fuser)
    for entity in entities:
        lessons.give_back(store, fuser, entity)
    return found


def _render(entities: Sequence[Entity], names: Names, rules: Rules, fuser: Fuser) -> list[Rendered]:
    """The general way: objects of Python, encoded by msgspec."""
    specs, money, category = rules.specs, rules.money, rules.category
    asks: list[Ask] = []
    made = []
    for entity in entities:
        found, aside, real = claims(entity, names, rules)
        for name in aside:
            found.setdefault(name, [])
        key, as_of_ms = entity.name, entity.as_of_ms
        asks += [_new(Ask, (specs[name], key, seen, as_of_ms)) for name, seen in found.items()]
        made.append((entity, found, aside, real))
    answers = iter(fuser.answer_all(asks))
    out: list[Rendered] = []
    for entity, found, aside, real in made:
        as_of_ms = entity.as_of_ms
        several = len(found) > 1
        metrics: dict[str, _Metric] = {}
        has_money = False
        own: Quality | None = None
        qualities: list[Quality] = []
        for (name, seen), answer in zip(found.items(), answers, strict=False):
            newest_ms = 0
            by: list[Any] = []
            for (provider, _, said, ts_ms, _), weight, why in zip(seen, answer.weights, answer.why, strict=True):
                if ts_ms > newest_ms:
                    newest_ms = ts_ms
                share = rounded_share(weight) or _NOUGHT
                by.append(_Source(provider, said, as_of_ms - ts_ms if ts_ms < as_of_ms else 0, share, why))
            if name in aside:
                spoken = {one.provider for one in by}
                by += [one for one in aside[name] if one.provider not in spoken]
            if name in money:
                has_money = True
            own = answer.quality
            assert own is not None
            metrics[name] = _Metric(
                answer.value, rounded_share(answer.confidence), _digits(answer.low), _digits(answer.high),
                _digits(answer.spread), answer.n_sources, rounded_share(answer.n_voices) or _NOUGHT, answer.method, newest_ms,
                by, _shares(own) if several else None,
            )  # fmt: skip
            if several:
                qualities.append(own)
        origin = _ORIGIN_OF[real]
        key = entity.name
        quote = quote_of(key, category, has_money) if has_money else None
        whole = quality.of_record(qualities, len(found)) if several or own is None else own
        price = metrics.get("price")
        value = price.value if price is not None and entity.rank > 0 else None
        data = _encode(_Fused(key, category, entity.version, as_of_ms, origin, metrics, quote, _shares(whole)))
        out.append((entity.key, data, value if isinstance(value, float) else None, origin))
    return out


def _digits(value: float | None) -> float | None:
    return None if value is None else rounded(value)


def _shares(own: Quality) -> Quality:
    return Quality(*map(rounded_share, (getattr(own, name) for name in Quality.__struct_fields__)))
