"""Three feeds, three addresses, one story: what is stated again where, what is marked, and that it ends."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.events import Fused, FusedMetric, Raw, Source, Value
from schemas.stories import story_of
from services.aggregator.signals.newsroom import KEPT_MS, PROVIDER, PRUNED, Feed, Newsroom

AS_OF = 1_700_000_000_000
MINUTE = 60_000
TITLE = "Regulator approves the first spot fund for ether"
URLS = {name: f"https://{name}.example/news/ether-fund?utm_source=rss" for name in "abc"}
A, B, C = (str(story_of(URLS[name])) for name in "abc")


class Log:
    """The fold in small: the newest statement of each (provider, endpoint) per entity, as a fused record."""

    def __init__(self) -> None:
        self.said: dict[str, dict[tuple[str, str], Raw]] = {}
        self.as_of_ms: dict[str, int] = {}

    def fold(self, raw: Raw) -> Fused:
        self.said.setdefault(raw.entity, {})[raw.provider, raw.endpoint] = raw
        self.as_of_ms[raw.entity] = max(self.as_of_ms.get(raw.entity, 0), raw.received_ms)
        return self.fused(raw.entity)

    def fused(self, entity: str) -> Fused:
        as_of_ms = self.as_of_ms[entity]
        metrics: dict[str, list[Source]] = {}
        for raw in self.said[entity].values():
            for name, value in raw.metrics.items():
                age_ms = as_of_ms - (raw.event_ms or raw.received_ms)
                metrics.setdefault(name, []).append(Source(provider=raw.provider, value=value, age_ms=age_ms))
        return Fused(
            entity=entity, category="news", version=1, as_of_ms=as_of_ms, origin="live",
            metrics={
                name: FusedMetric(value=by[-1].value, confidence=0.9, as_of_ms=as_of_ms, by=by) for name, by in metrics.items()
            },
        )  # fmt: skip


def raw(name: str, title: str = TITLE, minute: int = 0, provider: str | None = None, **more: Value) -> Raw:
    at_ms = AS_OF + minute * MINUTE
    return Raw(
        id=f"{name}:{minute}", category="news", provider=provider or name, endpoint="rss", entity=str(story_of(URLS[name])),
        metrics={"title": title, "url": URLS[name], "published_at": float(at_ms), **more}, received_ms=at_ms, event_ms=at_ms,
        origin="live",
    )  # fmt: skip


def room() -> Newsroom:
    return Newsroom(lambda text: frozenset({"ethereum"} if "ether" in text.lower() else ()), {"b": Feed("press", 0.8)})


def settle(newsroom: Newsroom, log: Log) -> list[Raw]:
    """State what is owed until nothing is, and give all of it."""
    found: list[Raw] = []
    for _ in range(5):
        owed = newsroom.owed()
        if not owed:
            return found
        found += owed
        for one in owed:
            newsroom.read(log.fold(one))
    raise AssertionError("it does not end")


def shape(statement: Raw) -> tuple[str, str, Value]:
    return statement.entity, statement.provider, statement.metrics.get("same_as") or statement.metrics["url"]


def test_three_feeds_become_one_record_with_all_sources_times_and_links() -> None:
    newsroom, log = room(), Log()
    for name, title, minute in (
        ("a", TITLE, 0),
        ("b", TITLE.replace("the ", "") + " - B Daily", 4),
        ("c", "First spot fund for Ether approved by regulator", 9),
    ):
        newsroom.read(log.fold(raw(name, title, minute)))
    told = settle(newsroom, log)
    assert [shape(one) for one in told] == [
        (B, PROVIDER, A),
        (A, "b", URLS["b"]),
        (C, PROVIDER, A),
        (A, "c", URLS["c"]),
    ]
    again = told[1]
    assert (again.endpoint, again.group, again.weight, again.event_ms) == (
        "same_story",
        "press",
        0.8,
        AS_OF + 4 * MINUTE,
    )
    assert again.metrics == raw("b", TITLE.replace("the ", "") + " - B Daily", 4).metrics
    record = log.fused(A)
    assert {s.provider: s.value for s in record.metrics["url"].by} == URLS
    assert {s.provider: s.value for s in record.metrics["published_at"].by} == {
        name: float(AS_OF + minute * MINUTE) for name, minute in (("a", 0), ("b", 4), ("c", 9))
    }
    assert "same_as" not in record.metrics
    assert [log.fused(entity).metrics["same_as"].value for entity in (B, C)] == [A, A]


def test_what_was_decided_is_read_from_the_records_after_a_restart() -> None:
    newsroom, log = room(), Log()
    for name, minute in (("a", 0), ("b", 4)):
        newsroom.read(log.fold(raw(name, minute=minute)))
    assert len(settle(newsroom, log)) == 2
    fresh = room()
    for entity in (B, A):
        fresh.read(log.fused(entity))
    assert fresh.owed() == []
    fresh.read(log.fold(raw("c", minute=9)))
    assert [shape(one) for one in settle(fresh, log)] == [(C, PROVIDER, A), (A, "c", URLS["c"])]


def test_what_was_not_stated_before_the_end_is_stated_after_a_restart() -> None:
    newsroom, log = room(), Log()
    for name, minute in (("a", 0), ("b", 4)):
        newsroom.read(log.fold(raw(name, minute=minute)))
    lost = newsroom.owed()
    assert newsroom.owed() == []
    fresh = room()
    for entity in (A, B):
        fresh.read(log.fused(entity))
    assert fresh.owed() == lost


def test_the_order_of_arrival_changes_nothing_that_is_served() -> None:
    served = []
    for order in ("abc", "cba", "bca"):
        newsroom, log = room(), Log()
        for name in order:
            newsroom.read(log.fold(raw(name, minute="abc".index(name))))
            settle(newsroom, log)
        marks = {entity: log.fused(entity).metrics.get("same_as") for entity in (A, B, C)}
        tellings = sorted((s.provider, str(s.value)) for s in log.fused(A).metrics["url"].by)
        served.append(({e: m.value if m else None for e, m in marks.items()}, tellings))
    assert served[0] == ({A: None, B: A, C: A}, sorted(URLS.items()))
    assert served[1] == served[2] == served[0]


def test_an_earlier_telling_takes_the_story_over() -> None:
    newsroom, log = room(), Log()
    for name, minute in (("b", 4), ("c", 9)):
        newsroom.read(log.fold(raw(name, minute=minute)))
    settle(newsroom, log)
    assert log.fused(C).metrics["same_as"].value == B
    late = raw("a", minute=20)
    late.metrics["published_at"] = float(AS_OF)
    newsroom.read(log.fold(late))
    assert [shape(one) for one in settle(newsroom, log)] == [
        (B, PROVIDER, A), (A, "b", URLS["b"]), (C, PROVIDER, A), (A, "c", URLS["c"]),
    ]  # fmt: skip


def test_a_corrected_title_gives_a_story_its_own_name_back() -> None:
    newsroom, log = room(), Log()
    for name, minute in (("a", 0), ("b", 4)):
        newsroom.read(log.fold(raw(name, minute=minute)))
    settle(newsroom, log)
    newsroom.read(log.fold(raw("b", "An exchange lost forty million overnight", 8)))
    assert [shape(one) for one in settle(newsroom, log)] == [(B, PROVIDER, B)]


def test_a_feed_that_tells_a_story_twice_speaks_once_with_its_first_word() -> None:
    newsroom, log = room(), Log()
    for name, provider, minute in (("a", "x", 0), ("b", "y", 3), ("c", "y", 1)):
        newsroom.read(log.fold(raw(name, minute=minute, provider=provider)))
    told = settle(newsroom, log)
    assert [shape(one) for one in told if one.provider != PROVIDER] == [(A, "y", URLS["c"])]


def test_a_renewed_story_is_not_stated_again_and_a_changed_one_is() -> None:
    newsroom, log = room(), Log()
    for name, minute in (("a", 0), ("b", 4)):
        newsroom.read(log.fold(raw(name, minute=minute)))
    settle(newsroom, log)
    newsroom.read(log.fold(raw("a", minute=10)))
    same = raw("b", minute=4)
    newsroom.read(log.fold(same))
    assert newsroom.owed() == []
    newsroom.read(log.fold(raw("b", minute=4, summary="More is known now.")))
    assert [shape(one) for one in settle(newsroom, log)] == [(A, "b", URLS["b"])]


def test_a_mood_is_not_a_telling() -> None:
    newsroom, log = room(), Log()
    for name, minute in (("a", 0), ("b", 4)):
        newsroom.read(log.fold(raw(name, minute=minute)))
    mood = Raw(
        id="m", category="news", provider=PROVIDER, endpoint="mood", entity=B, metrics={"sentiment": 0.4}, received_ms=AS_OF,
        origin="live",
    )  # fmt: skip
    newsroom.read(log.fold(mood))
    assert all("sentiment" not in one.metrics for one in settle(newsroom, log))


@pytest.mark.parametrize(
    "change", [{"category": "social"}, {"entity": "asset:ethereum"}, {"metrics": {}}], ids=lambda c: next(iter(c))
)
def test_other_records_are_left_alone(change: dict[str, Any]) -> None:
    newsroom = room()
    record = Log().fold(raw("a"))
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    newsroom.read(Fused(**{**fields, **change}))
    assert (newsroom.owed(), len(newsroom.stories)) == ([], 0)


def test_a_deleted_story_gives_its_name_up() -> None:
    newsroom, log = room(), Log()
    for name, minute in (("a", 0), ("b", 4)):
        newsroom.read(log.fold(raw(name, minute=minute)))
    settle(newsroom, log)
    newsroom.forget(A)
    assert [shape(one) for one in newsroom.owed()] == [(B, PROVIDER, B)]


def test_old_stories_make_room() -> None:
    newsroom, log = room(), Log()
    for name, minute in (("a", 0), ("b", 4)):
        newsroom.read(log.fold(raw(name, minute=minute)))
    settle(newsroom, log)
    late_minute = KEPT_MS // MINUTE + 5
    for k in range(PRUNED):
        newsroom.read(log.fold(raw("c", f"Quite another story number {k} of today", late_minute)))
    assert set(newsroom.held) == {C}
    assert newsroom.owed() == []
