"""How a story is shown in listings and on sockets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from schemas.events import Fused, Value
from services.gateway.view.feed import Entry
from services.gateway.view.numbers import LAST_MS, instant, is_number
from services.gateway.view.shapes import NewsRecord, NewsTelling


class Stated(Protocol):
    """A fused metric, as far as it is read here."""

    @property
    def value(self) -> Value | None: ...


class Story(Protocol):
    """A fused record of a story, as far as it is read here."""

    @property
    def entity(self) -> str: ...
    @property
    def metrics(self) -> Mapping[str, Stated]: ...


def stands_for(fused: Story) -> str | None:
    """The entity that stands for this story; None when it stands for itself."""
    mark = fused.metrics.get("same_as")
    return mark.value if mark is not None and isinstance(mark.value, str) and mark.value != fused.entity else None


def tellings(fused: Fused) -> list[NewsTelling]:
    """Who carried the story, where and when, first published first."""
    said: dict[str, dict[str, Value]] = {}
    for name in ("title", "url", "published_at", "source"):
        for source in fused.metrics[name].by if name in fused.metrics else ():
            said.setdefault(source.provider, {})[name] = source.value
    found = [
        (
            _moment(words.get("published_at")),
            NewsTelling(
                provider=provider,
                publisher=_text(words.get("source")),
                title=_text(words.get("title")),
                url=_text(words.get("url")),
                published_at=_instant(words.get("published_at")),
            ),
        )
        for provider, words in said.items()
    ]
    return [telling for _, telling in sorted(found, key=lambda pair: (pair[0], pair[1].provider))]


def _text(value: Value | None) -> str | None:
    return value if isinstance(value, str) else None


def _moment(value: Value | None) -> float:
    return float(value) if is_number(value) and 0 <= value <= LAST_MS else float(LAST_MS)  # type: ignore[arg-type,operator]


def _instant(value: Value | None) -> str | None:
    return instant(int(value)) if is_number(value) and 0 <= value <= LAST_MS else None  # type: ignore[arg-type,operator]


def news_record(fused: Fused, entry: Entry, *, stale: bool) -> NewsRecord:
    """A story as listings and sockets carry it."""
    metrics = fused.metrics

    def text(name: str) -> str | None:
        metric = metrics.get(name)
        return metric.value if metric is not None and isinstance(metric.value, str) else None

    def texts(name: str) -> list[str]:
        metric = metrics.get(name)
        return metric.value if metric is not None and isinstance(metric.value, list) else []

    def number(name: str) -> float | None:
        metric = metrics.get(name)
        return float(metric.value) if metric and is_number(metric.value) else None  # type: ignore[arg-type]

    carried = tellings(fused)
    return NewsRecord(
        story_id=fused.entity.removeprefix("story:"),
        title=text("title"),
        url=text("url"),
        published_at=_instant(number("published_at")),
        first_published_at=min((t.published_at for t in carried if t.published_at), default=None),
        publisher=text("source"),
        author=text("author"),
        summary=text("summary"),
        image_url=text("image_url"),
        language=text("language"),
        assets=texts("coins"),
        tags=texts("tags"),
        sentiment=number("sentiment"),
        carried_by=sorted(telling.provider for telling in carried),
        tellings=carried,
        confidence=metrics["title"].confidence,
        origin=fused.origin,
        as_of=instant(fused.as_of_ms),
        fused_at=instant(entry.written_ms),
        stale=stale,
        ver=entry.version,
        seq=entry.offset,
    )
