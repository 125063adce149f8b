"""How a story is shown in listings and on sockets."""

from __future__ import annotations

from schemas.events import Fused
from services.gateway.view.feed import Entry
from services.gateway.view.numbers import LAST_MS, instant, is_number
from services.gateway.view.shapes import NewsRecord


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

    published_ms = number("published_at")
    return NewsRecord(
        story_id=fused.entity.removeprefix("story:"),
        title=text("title"),
        url=text("url"),
        published_at=instant(int(published_ms)) if published_ms is not None and 0 <= published_ms <= LAST_MS else None,
        publisher=text("source"),
        author=text("author"),
        summary=text("summary"),
        image_url=text("image_url"),
        language=text("language"),
        assets=texts("coins"),
        tags=texts("tags"),
        sentiment=number("sentiment"),
        carried_by=sorted({source.provider for metric in metrics.values() for source in metric.by}),
        confidence=metrics["title"].confidence,
        origin=fused.origin,
        as_of=instant(fused.as_of_ms),
        fused_at=instant(entry.written_ms),
        stale=stale,
        ver=entry.version,
        seq=entry.offset,
    )
