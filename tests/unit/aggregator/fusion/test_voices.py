"""Who speaks with one voice, on windows small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from services.aggregator.fusion import layout as col
from services.aggregator.fusion import voices


def weigh(values: list[float], y: list[float]) -> list[float]:
    """Voices of sources without a record, by what they state (`values`) and what that means now (`y`, in tolerances)."""
    n = len(values)
    window, work = np.zeros(4 * n), np.zeros((col.WORKS, n))
    window[:n], window[3 * n :] = values, range(n)
    work[col.Y] = y
    slots = np.zeros((n, col.SLOT))
    slots[:, col.PID], slots[:, col.GID] = -1.0, range(n)
    voices.weigh(n, window, work, slots, np.zeros((col.PAIRS, col.PAIRS), np.float32))
    return work[col.VOICES].tolist()  # type: ignore[no-any-return]


def test_three_that_agree_to_the_last_digit_among_many_that_do_not_are_one_voice() -> None:
    many = [0.1 * k for k in range(1, 10)]
    found = weigh([5.0, 5.0, 5.0, *many], [0.0, 0.0, 0.0, *many])
    # 36 pairs of the others agree and none of them ties: 1 - 8 x 1 / (36 + 2).
    assert found[:3] == pytest.approx([1 / (1 + 2 * (1 - 8 / 38))] * 3)
    assert found[3:] == [1.0] * 9


@pytest.mark.parametrize("apart", [100.0, 4.0, 5.0])
def test_equal_statements_of_different_age_that_a_trend_carries_apart_prove_nothing(apart: float) -> None:
    assert weigh([5.0] * 3, [0.0, apart, 2 * apart]) == [1.0] * 3


def test_every_count_of_pairs_is_a_count() -> None:
    """Two pairs less than there are groups: what was once a division by zero."""
    assert weigh([5.0, 5.0, 5.0], [0.0, 0.0, 4.5]) == [1.0] * 3


def test_who_shares_a_voice_is_told_by_name() -> None:
    pairs = np.zeros((col.PAIRS, col.PAIRS), np.float32)
    pairs[1, 0], pairs[2, 0], pairs[2, 1] = voices.VOICE_FROM + 0.5 * voices.VOICE_OVER, 20.0, voices.VOICE_FROM
    assert voices.shared(pairs, ["a", "b", "c", "d"]) == {"a": ["b", "c"], "b": ["a"], "c": ["a"]}
    assert voices.share_of(1e9) == voices.MOST_SHARED
    assert voices.share_of(-5.0) == 0.0
