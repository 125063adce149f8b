"""Sanity on tapes that real venues really sent. They hold no truth, and none is invented: each tape is only asked about itself."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from services.aggregator.fusion import Fuser, Observation, Plain

SPEC = Plain(name="price", tolerance=1e-3, window_ms=1000)


def tape(folder: Path, venue: str, wanted: str) -> list[tuple[int, float]]:
    """(receive time ms, price) of one instrument's ticker messages."""
    found = []
    for text in (folder / "ws" / f"{venue}.jsonl").read_text().splitlines():
        row = json.loads(text)
        if row["dir"] != "received":
            continue
        message = json.loads(row["data"])
        if isinstance(message, dict) and message.get("type") == "ticker" and message["product_id"] == wanted:
            found.append((int(row["t"] * 1000), float(message["price"])))
        elif isinstance(message, dict) and message.get("stream") == wanted:
            data = message["data"]
            found.append((int(row["t"] * 1000), math.sqrt(float(data["b"]) * float(data["a"]))))
    return found


@pytest.mark.parametrize(("venue", "wanted"), [("coinbase.light", "SKL-USD"), ("binance", "nknusdt@bookTicker")])
def test_many_readers_of_one_tape_agree_with_it_and_a_wrong_one_is_seen(
    recordings: Path, venue: str, wanted: str
) -> None:
    ticks = tape(recordings, venue, wanted)
    assert len(ticks) > 40
    fuser, off, flagged = Fuser(), 0, 0
    Fuser.warm(wait=True)
    starts = range(ticks[0][0] + 3000, ticks[-1][0], 500)
    for as_of in starts:

        def read(delay_ms: int, now: int = as_of) -> tuple[float, int]:
            return next((price, at) for at, price in reversed(ticks) if at <= now - delay_ms)

        window = []
        for i in range(8):
            price, at = read(200 * i)
            window.append(Observation(f"reader{i}", f"reader{i}", price, at))
        price, at = read(0)
        window.append(Observation("wrong", "wrong", price * 1.05, at))
        fuser.advance(as_of)
        found = fuser.answer(SPEC, "tape", window, as_of)
        fuser.learn(SPEC, "tape", window, as_of)
        assert isinstance(found.value, float)
        said = [float(o.value) for o in window[:-1]]  # type: ignore[arg-type]
        assert min(said) * 0.999 <= found.value <= max(said) * 1.001
        off += abs(math.log(found.value / price)) > 2e-3
        flagged += found.why[-1] is not None
    assert flagged == len(starts)
    assert off <= 0.1 * len(starts)
