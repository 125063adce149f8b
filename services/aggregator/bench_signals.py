"""`parallax bench signals`: seeded cases with known answers; precision and recall of each detector beside a naive rule's."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from schemas.events import Signal
from services.aggregator.signals import arbitrage, manipulation, pump, rugpull, wash, whales
from services.aggregator.signals.model import Quote, Trade
from services.common import bench

QUESTION = (
    "On seeded cases, how many of a detector's signals are right, how many cases does it find, and what does a naive rule get? "
    "Cases are our own and show that the rules do what they say, not how often the world does it."
)
AS_OF = 1_700_000_000_000


class Verdict(NamedTuple):
    """One case: whether there was something, what the detector said, what the naive rule said."""

    truth: bool
    ours: bool
    naive: bool
    strength: float = 1.0
    """Of what there was, 0 to 1: weak ones are drawn as often as strong ones."""
    confidence: float | None = None
    """Of the signal, when there was one."""


def surest(found: Iterable[Signal | None]) -> float | None:
    """The highest confidence of some signals; None without any."""
    return max((one.confidence for one in found if one is not None), default=None)


Random = np.random.Generator


def arbitrages(draw: Random) -> Iterator[Verdict]:
    """Six venues, the last an exchange, a pool or a pool on another chain. Gaps of 0 to 90 bps: fresh, stale, lasting, of a wrong unit.

    There is something when a round at the stated size gains at prices that went on for as long as it takes, with fees that are
    not quite those assumed. Naive: best bid above best ask.
    """
    for case in range(360):
        usual, kinds = arbitrage.Usual(), ("none", "gap", "gap", "stale", "border", "unit")
        kind, last = kinds[case % 6], (case // 6) % 3
        price, border = 100.0, draw.uniform(20, 60) if kind == "border" else 0.0
        strength = draw.uniform(0, 1) if kind == "gap" else 0.0
        quotes: list[Quote] = []
        for step in range(40):
            price *= math.exp(draw.normal(0, 2e-4))
            quotes = []
            for venue in range(6):
                gap, age = draw.normal(0, 1.0) + (border if venue == 5 else 0.0), draw.uniform(0, 800)
                if venue == 5 and step == 39:
                    gap += {"gap": 90.0 * strength, "unit": 69_000.0, "stale": 60.0}.get(kind, 0.0)
                    age = draw.uniform(15_000, 90_000) if kind == "stale" else age
                elsewhere = venue == 5 and last > 0
                middle = price * math.exp(gap / 1e4)
                quotes.append(
                    Quote(
                        f"v{venue}",
                        middle * (1 - 1e-4),
                        middle * (1 + 1e-4),
                        AS_OF + step * 1000 - int(age),
                        None if elsewhere else draw.uniform(50, 900),
                        None if elsewhere else draw.uniform(50, 900),
                        kind="dex" if elsewhere else "cex",
                        # Exchanges stand on no chain; pools of both chains meet in the last third.
                        chain=("b" if venue == 5 else "a" if venue < 2 else None) if last == 2 else None,
                        liquidity=2e7 if elsewhere else None,
                    )
                )
            found = arbitrage.find("pair:a/usd", quotes, AS_OF + step * 1000, origin="sandbox", usual=usual)
        naive = max(q.bid for q in quotes) > min(q.ask for q in quotes)
        paid = draw.normal(1.0, 0.15) * (40.0 + 10.0 if last else 20.0) + (draw.uniform(10, 15) if last == 2 else 0.0)
        moved = draw.normal(0.0, 2.0 * math.sqrt(122.0 if last == 2 and any(_across(one) for one in found) else 2.0))
        gains = kind == "gap" and 90.0 * strength - 2.0 - paid + moved > 0.0
        yield Verdict(gains, bool(found), naive, strength, surest(found))


def _across(one: Signal) -> bool:
    return one.kind == "arbitrage_cross_chain"


def pumps(draw: Random) -> Iterator[Verdict]:
    """Trades on two venues: pumps, moves without rush orders, bursts of volume without a rise. Naive: the price rises."""
    for case in range(60):
        kind = ("none", "pump", "news", "burst")[case % 4]
        detector = pump.Pump("pair:a/bitcoin")
        price, start, strength = 1.0, AS_OF, draw.uniform(0.05, 1.0)
        said: list[Signal | None] = []
        highest = 0.0
        for chunk in range(100):
            now = chunk >= 90
            rate, drift, rush = 8.0, 0.0, 0.3
            if now and kind == "pump":
                rate, drift, rush = 8.0 + 150.0 * strength, 0.04 * strength, 15.0 * strength
            elif now and kind == "news":
                rate, drift, rush = 8.0 + 40.0 * strength, 0.02 * strength, 0.3 + strength
            elif now and kind == "burst":
                rate, drift, rush = 8.0 + 150.0 * strength, 0.0, 3.0 * strength
            price *= math.exp(drift + draw.normal(0, 1.5e-3))
            at = start + chunk * pump.CHUNK_MS
            trades = [
                Trade(
                    f"v{draw.integers(2)}",
                    at + int(draw.integers(pump.CHUNK_MS)),
                    price * math.exp(draw.normal(0, 5e-4)),
                    float(np.exp(draw.normal(3, 1))),
                    bool(draw.random() < (0.85 if drift > 0.02 else 0.5)),
                )
                for _ in range(draw.poisson(rate) + 1)
            ]
            for _ in range(draw.poisson(rush)):
                ms = at + int(draw.integers(pump.CHUNK_MS))
                trades += [
                    Trade("v0", ms, price * (1 + k * 1e-4), float(np.exp(draw.normal(3, 1))), True) for k in range(4)
                ]
            for trade in sorted(trades, key=lambda t: t.ts_ms):
                said.append(detector.see(trade, "sandbox"))
            highest = max(highest, drift)
        yield Verdict(kind == "pump", surest(said) is not None, highest >= 0.01, strength, surest(said))


def washes(draw: Random) -> Iterator[Verdict]:
    """Five venues; washed ones trade machine sizes, in some cases all have odd sizes. Naive: Benford alone at 1 %."""
    for case in range(60):
        kind = ("none", "washed", "odd pair")[case % 3]
        sizes, strength = {}, draw.uniform(0.0, 1.0)
        for venue in range(5):
            own = np.exp(draw.normal(1.0, draw.uniform(1.2, 1.8), 1500))
            if kind == "odd pair":
                own = np.exp(draw.normal(1.0, 0.25, 1500))
            # Venues differ in how many of their traders like round sizes.
            rounded = draw.random(1500) < draw.uniform(0.2, 0.5)
            own = np.where(
                rounded,
                10.0 ** np.floor(np.log10(own)) * np.maximum(np.round(own / 10.0 ** np.floor(np.log10(own))), 1),
                own,
            )
            if kind == "washed" and venue == 4:
                own = np.where(draw.random(1500) < 0.9 * strength, draw.uniform(3.0, 7.0, 1500), own)
            sizes[f"v{venue}"] = own.tolist()
        found = wash.find("pair:a/usd", sizes, AS_OF, origin="sandbox")
        chi2 = 1500 * sum((f - p) ** 2 / p for f, p in zip(wash.digits_of(sizes["v4"]), wash.BENFORD, strict=True))
        yield Verdict(kind == "washed", bool(found), chi2 > 20.09, strength, surest(found))


def pushes(draw: Random) -> Iterator[Verdict]:
    """Five venues; a push with volume, an outage without, a move of all. Naive: any venue 40 bps off the middle."""
    for case in range(80):
        kind = ("none", "push", "outage", "all")[case % 4]
        detector = manipulation.Manipulation("pair:a/usd")
        said: list[Signal | None] = []
        price, naive, strength = 100.0, False, draw.uniform(0.05, 1.0)
        for step in range(80):
            price *= math.exp(draw.normal(0, 3e-4) + (0.01 if kind == "all" and step >= 75 else 0.0))
            voices = []
            for venue in range(5):
                gap = draw.normal(0, 2.0)
                volume = float(np.exp(draw.normal(10, 0.4)))
                if venue == 4 and step >= 75:
                    gap += 150.0 * strength if kind in ("push", "outage") else 0.0
                    volume *= 1.0 + 15.0 * strength if kind == "push" else 1.0
                voices.append(
                    manipulation.Voice(
                        f"v{venue}", price * math.exp(gap / 1e4), volume, float(np.exp(draw.normal(11, 0.3)))
                    )
                )
            found = detector.see(voices, AS_OF + step * 5000, origin="sandbox")
            said += [one for one in found if one.kind == "price_pushed"]
            middle = sorted(v.price for v in voices)[2]
            naive |= any(abs(math.log(v.price / middle)) > 4e-3 for v in voices)
        yield Verdict(kind == "push", bool(said), naive, strength, surest(said))


def depths(draw: Random) -> Iterator[Verdict]:
    """Four venues; depth goes at most of them, at one of them, or slowly. Naive: any venue below a fifth of its mean."""
    for case in range(60):
        kind = ("none", "vanish", "one venue")[case % 3]
        detector = manipulation.Manipulation("pair:a/usd")
        said: list[Signal | None] = []
        naive, strength = False, draw.uniform(0.3, 1.0)
        past: list[list[float]] = [[] for _ in range(4)]
        for step in range(60):
            voices = []
            for venue in range(4):
                depth = float(np.exp(draw.normal(11, 0.35)))
                if step >= 57 and ((kind == "vanish" and venue < 3) or (kind == "one venue" and venue == 0)):
                    depth *= 1.0 - 0.98 * strength
                naive |= bool(past[venue]) and depth < 0.2 * float(np.mean(past[venue]))
                past[venue].append(depth)
                voices.append(manipulation.Voice(f"v{venue}", 100.0, 1e5, depth))
            found = detector.see(voices, AS_OF + step * 5000, origin="sandbox")
            said += [one for one in found if one.kind == "depth_vanished"]
        yield Verdict(kind == "vanish", bool(said), naive, strength, surest(said))


def pulls(draw: Random) -> Iterator[Verdict]:
    """Tokens: pulled, merely powerful, crashed without a pull, one indexer's wrong liquidity. Naive: liquidity halved."""
    for case in range(100):
        kind = ("none", "pulled", "powers", "crash", "glitch")[case % 5]
        token = rugpull.Token("token:ethereum:0x0")
        said: list[Signal | None] = []
        height, naive, strength = 0.0, False, draw.uniform(0.2, 1.0)
        for step in range(30):
            late = step >= 25
            liquidity = 500_000.0 * math.exp(draw.normal(0, 0.05))
            price = 1.0 * math.exp(draw.normal(0, 0.05))
            voices = 3.0
            if late and kind == "pulled":
                liquidity, price = liquidity * (1.0 - 0.98 * strength), price * (1.0 - 0.95 * strength)
            elif late and kind == "crash":
                liquidity, price = liquidity * (1.0 - 0.6 * strength), price * (1.0 - 0.8 * strength)
            elif late and kind == "glitch":
                liquidity, voices = liquidity * (1.0 - 0.95 * strength), 1.0
            powers = kind in ("pulled", "powers")
            facts = {
                "liquidity": rugpull.Fact(liquidity, 0.9 if voices > 1 else 0.5, voices, 0.0),
                "dex_price": rugpull.Fact(price, 0.95, voices, 0.0),
                "is_mintable": rugpull.Fact(powers, 0.9, 2.0, 0.0),
                "slippage_modifiable": rugpull.Fact(powers, 0.9, 2.0, 0.0),
                "hidden_owner": rugpull.Fact(powers, 0.85, 2.0, 0.0),
                "sell_tax_pct": rugpull.Fact(
                    40.0 if late and kind == "pulled" and draw.random() < 0.5 else 2.0, 0.9, 2.0, 0.0
                ),
            }
            said.append(token.see(facts, AS_OF + step * 60_000, origin="sandbox"))
            height = max(height, liquidity)
            naive |= liquidity < 0.5 * height
        yield Verdict(kind == "pulled", surest(said) is not None, naive, strength, surest(said))


def transfers(draw: Random) -> Iterator[Verdict]:
    """Transfers told by up to three watchers in two spellings, some worths wrong. Naive: each word of 1 M USD or more."""
    seen = whales.Whales()
    for case in range(400):
        usd = float(np.exp(draw.normal(13.5, 1.2)))
        watchers = int(draw.integers(1, 4))
        said: list[Signal | None] = []
        naive = 0
        for k in range(watchers):
            wrong = k == 0 and watchers == 1 and case % 7 == 0
            worth = usd * (1000.0 if wrong else 1.0)
            name = f"0x{case:064X}" if k % 2 else f"0x{case:064x}"
            move = whales.Move("ethereum", name, worth, 0.3 if wrong else 0.9, float(k + 1), "tether")
            said.append(seen.see(move, AS_OF + case, origin="sandbox"))
            naive += worth >= 1e6
        large = usd >= 1e6
        # Told once, or twice when a second voice confirms it, counts as found; the naive rule must tell it once.
        yield Verdict(large, surest(said) is not None, naive > 0, min(usd / 3e6, 1.0), surest(said))
        for _ in range(max(naive - 1, 0)):
            yield Verdict(False, False, True)


DETECTORS: dict[str, Callable[[Random], Iterator[Verdict]]] = {
    "arbitrage": arbitrages,
    "pump": pumps,
    "wash_trading": washes,
    "price_pushed": pushes,
    "depth_vanished": depths,
    "rug_pull": pulls,
    "whale": transfers,
}


def rates(verdicts: list[Verdict], naive: bool) -> dict[str, float]:
    """Precision, recall and F1 of one column."""
    said = [v.naive if naive else v.ours for v in verdicts]
    hits = sum(s and v.truth for s, v in zip(said, verdicts, strict=True))
    precision = hits / sum(said) if any(said) else 1.0
    recall = hits / sum(v.truth for v in verdicts)
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
    }


def by_strength(verdicts: list[Verdict]) -> list[float | None]:
    """Recall among the weak, the middling and the strong third of what there was."""
    there = sorted((v for v in verdicts if v.truth), key=lambda v: v.strength)
    cuts = [round(k * len(there) / 3) for k in range(4)]
    thirds = [there[first:last] for first, last in pairwise(cuts)]
    return [sum(v.ours for v in third) / len(third) if third else None for third in thirds]


def sureness(verdicts: list[Verdict]) -> dict[str, float | None]:
    """Mean confidence of the signals that were given, of how many there was something, and Brier score."""
    said = [(v.confidence, v.truth) for v in verdicts if v.confidence is not None]
    if not said:
        return {"confidence": None, "right": None, "brier": None}
    return {
        "confidence": sum(c for c, _ in said) / len(said),
        "right": sum(t for _, t in said) / len(said),
        "brier": sum((c - t) ** 2 for c, t in said) / len(said),
    }


def main(argv: list[str]) -> int:
    """Run `parallax bench signals`."""
    parser = argparse.ArgumentParser(
        prog="parallax bench signals", description="Precision and recall of the detectors on seeded cases."
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=bench.RESULTS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    results: dict[str, Any] = {}
    for name, cases in DETECTORS.items():
        verdicts = [v for seed in range(options.seeds) for v in cases(np.random.default_rng(seed))]
        results[name] = {
            "cases": len(verdicts),
            "ours": rates(verdicts, False),
            "naive": rates(verdicts, True),
            "recall_by_strength": by_strength(verdicts),
            "sureness": sureness(verdicts),
        }
    where = bench.write("signals", QUESTION, ("numpy",), results, options.out / "signals.json")
    if options.json:
        print(msgspec.json.encode(results).decode())
    else:
        print(
            "| detector | cases | precision | recall | F1 | weak / middling / strong | confidence | right | naive precision | recall | F1 |"
            "\n| --- " + "| ---: " * 10 + "|"
        )
        for name, row in results.items():
            ours, naive = ([f"{row[who][k]:.3f}" for k in ("precision", "recall", "f1")] for who in ("ours", "naive"))
            thirds = " / ".join("-" if r is None else f"{r:.2f}" for r in row["recall_by_strength"])
            sure = ["-" if row["sureness"][k] is None else f"{row['sureness'][k]:.2f}" for k in ("confidence", "right")]
            print("| " + " | ".join([name, str(row["cases"]), *ours, thirds, *sure, *naive]) + " |")
    sys.stderr.write(f"written: {where}\n")
    return 0
