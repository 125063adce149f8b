"""The signals agent without a broker: what it makes of each record, and what it remembers only."""

from __future__ import annotations

import msgspec
import pytest

from schemas import assets
from schemas.events import Fused, FusedMetric, Raw, Reputation, Signal, Source
from services.aggregator.cli import Agent, merge, names_in
from services.aggregator.engine.checkpoint import FUSER, special
from services.aggregator.fusion import Fuser, Observation, Plain
from services.aggregator.metrics import ROWS
from services.common.metrics import Metrics
from services.common.sentiment import Lexicon

AS_OF = 1_700_000_000_000


@pytest.fixture
def agent() -> Agent:
    return Agent(Lexicon(), Metrics.build(ROWS))


def quotes() -> bytes:
    def metric(values: tuple[float, ...]) -> FusedMetric:
        by = [Source(provider=p, value=v, age_ms=100) for p, v in zip("abc", values, strict=True)]
        return FusedMetric(value=values[0], confidence=0.9, sources=3, voices=3.0, as_of_ms=AS_OF, by=by)

    record = Fused(entity="pair:bitcoin/usd", category="exchange", version=1, as_of_ms=AS_OF, origin="sandbox",
                   metrics={"bid": metric((99.9, 101.0, 99.9)), "ask": metric((100.0, 101.1, 100.0))})  # fmt: skip
    return msgspec.json.encode(record)


def story(title: str, coins: list[str] | None = None, entity: str = "story:1", as_of_ms: int = AS_OF) -> bytes:
    metrics = {"title": FusedMetric(value=title, confidence=0.9, by=[Source(provider="feed", value=title, age_ms=0)])}
    if coins is not None:
        metrics["coins"] = FusedMetric(value=coins, confidence=0.9)
    record = Fused(entity=entity, category="news", version=1, as_of_ms=as_of_ms, origin="sandbox", metrics=metrics)
    return msgspec.json.encode(record)


def test_a_gap_between_venues_becomes_a_signal(agent: Agent) -> None:
    found = agent.take("fused.exchange", 0, b"pair:bitcoin/usd", quotes(), live=True)
    assert [(topic, key) for topic, key, _ in found] == [("signals.arbitrage", b"pair:bitcoin/usd")] * 2
    assert {msgspec.json.decode(value, type=Signal).kind for _, _, value in found} == {"arbitrage_cex_cex"}


def test_what_was_fused_before_the_start_is_remembered_and_not_told(agent: Agent) -> None:
    assert agent.take("fused.exchange", 0, b"k", quotes(), live=False) == []
    assert len(agent.board.pairs) == 1


def test_a_story_is_scored_once_and_gives_moods(agent: Agent) -> None:
    text = story("Bitcoin soars to a new high as inflows surge", ["bitcoin", "nonsense"])
    found = agent.take("fused.news", 0, b"story:1", text, live=True)
    told = [(topic, key, msgspec.json.decode(value, type=Raw)) for topic, key, value in found]
    assert [(topic, key) for topic, key, _ in told] == [("raw.news", b"story:1"), ("raw.social", b"asset:bitcoin")]
    score = told[0][2].metrics["sentiment"]
    assert isinstance(score, float)
    assert score > 0.3
    assert told[0][2].metrics["language"] == "en"
    mood = told[1][2]
    assert (mood.provider, mood.received_ms, mood.origin) == ("parallax", AS_OF, "sandbox")
    assert isinstance(mood.metrics["sentiment_score"], float)
    assert 0.0 < mood.metrics["sentiment_score"] < score
    assert agent.take("fused.news", 0, b"story:1", text, live=True) == []


def test_the_mood_of_an_asset_is_told_once_a_minute(agent: Agent) -> None:
    told = []
    for k, ms in enumerate((0, 30_000, 60_000)):
        found = agent.take(
            "fused.news",
            0,
            b"",
            story("Ethereum plunges after hack", entity=f"story:{k}", as_of_ms=AS_OF + ms),
            live=True,
        )
        told.append([topic for topic, _, _ in found])
    assert told == [["raw.news", "raw.social"], ["raw.news"], ["raw.news", "raw.social"]]


@pytest.mark.parametrize("value", [b"{nonsense", b"[]", b'{"entity": 1}', b"\xff"])
def test_a_bad_record_is_set_aside(agent: Agent, value: bytes) -> None:
    assert agent.take("fused.exchange", 0, b"k", value, live=True) == []
    assert agent.take("fused.exchange", 0, b"k", None, live=True) == []
    assert len(agent.take("fused.exchange", 0, b"k", quotes(), live=True)) == 2


def learned(lag: bool) -> bytes:
    fuser, spec = Fuser(), Plain(name="price", tolerance=1e-3)
    for t in range(5):
        window = [Observation(p, p, 100.0 + t / 100 + i / 1000, t * 5000) for i, p in enumerate("ab")]
        fuser.learn(spec, "k", window, t * 5000)
        fuser.advance(t * 5000)
    return fuser.dump()


def test_reputations_come_from_the_checkpoints_of_the_fusers(agent: Agent) -> None:
    _, value = special(FUSER, 7, AS_OF, learned(False))
    found = agent.take("state.market", 2, FUSER, value, live=True)
    assert [(topic, key) for topic, key, _ in found] == [
        ("ops.providers", b"reputation/a"),
        ("ops.providers", b"reputation/b"),
    ]
    first = msgspec.json.decode(found[0][2], type=Reputation)
    assert (first.provider, first.updated_ms) == ("a", AS_OF)
    assert set(first.reputation) == {"windows", "accuracy", "error_tol", "lag_ms", "voice"}
    assert agent.lags_ms == {"a": 0.0, "b": 0.0}
    assert agent.take("state.market", 2, FUSER, special(FUSER, 8, AS_OF + 1000, learned(False))[1], live=True) == []
    assert agent.take("state.market", 2, b"asset:bitcoin", b"whatever", live=True) == []


def test_reputations_of_several_partitions_are_averaged_by_windows() -> None:
    one = {"a": {"windows": 30.0, "lag_ms": 0.0}, "b": {"windows": 1.0, "lag_ms": 5.0}}
    two = {"a": {"windows": 10.0, "lag_ms": 400.0}}
    assert merge([one, two]) == {"a": {"windows": 40.0, "lag_ms": 100.0}, "b": {"windows": 1.0, "lag_ms": 5.0}}


@pytest.mark.parametrize(("text", "found"), [
    ("Bitcoin and Ethereum rise", {"bitcoin", "ethereum"}), ("bitcoin in lower case proves nothing", set()),
    ("asset:solana", {"solana"}), ("Bitcoin Cash forks", {"bitcoin", "bitcoin-cash"}), ("nothing here", set()),
])  # fmt: skip
def test_assets_are_found_by_their_names(text: str, found: set[str]) -> None:
    assert names_in(assets.load())(text) == found
