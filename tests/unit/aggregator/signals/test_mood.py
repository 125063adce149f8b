"""The mood about an asset: what counts once, what fades, and how sure it is."""

from __future__ import annotations

import pytest

from services.aggregator.signals import mood
from services.aggregator.signals.mood import HALF_LIFE_MS, KEPT_MS, Feeling, Moods, Text

AS_OF = 1_700_000_000_000


def text(story: str = "s", group: str = "g", score: float = 1.0, confidence: float = 1.0, age_ms: int = 0) -> Text:
    return Text(story, group, score, confidence, AS_OF - age_ms)


def felt(*texts: Text) -> Feeling:
    moods = Moods()
    for one in texts:
        moods.add("bitcoin", one)
    return moods.of("bitcoin", AS_OF)


def test_one_sure_text_moves_the_mood_half_way() -> None:
    assert felt(text()) == Feeling(0.5, 0.5, 1, 1, 0.0)


def test_no_text_is_no_mood() -> None:
    assert Moods().of("bitcoin", AS_OF) == Feeling(0.0, 0.0, 0, 0, 0.0)


def test_a_story_told_twice_counts_once() -> None:
    assert felt(text(), text(group="h")).score == pytest.approx(felt(text()).score)


def test_a_writer_who_repeats_a_story_replaces_his_text() -> None:
    assert felt(text(score=-1.0), text(score=1.0)) == felt(text(score=1.0))


def test_old_texts_fade_and_go() -> None:
    assert felt(text(age_ms=HALF_LIFE_MS)).score == pytest.approx(0.5 / 1.5)
    assert felt(text(age_ms=KEPT_MS + 1)).texts == 0


def test_disagreement_costs_confidence() -> None:
    agree = felt(text("a", "g"), text("b", "h"))
    differ = felt(text("a", "g"), text("b", "h", score=-1.0))
    assert (agree.score, differ.score) == (pytest.approx(2 / 3), 0.0)
    assert differ.confidence == pytest.approx(agree.confidence / 2)
    assert (differ.voices, differ.spread) == (2, 1.0)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mood, "MOST_ASSETS", 2)
    moods = Moods()
    for asset in ("a", "b", "c"):
        moods.add(asset, text())
    assert [moods.of(asset, AS_OF).texts for asset in ("a", "b", "c")] == [0, 1, 1]
