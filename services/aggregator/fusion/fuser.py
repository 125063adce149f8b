"""The one interface to fusion: answers from observations, and the learned state behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from services.aggregator.fusion import strategies
from services.aggregator.fusion.model import Answer, Observation, Spec, nothing


class Fuser:
    """Fuses the metrics of one (category, partition) and learns about their sources; a pure function of its calls."""

    def answer(self, spec: Spec, key: str, observations: Sequence[Observation], as_of_ms: int) -> Answer:
        """The most likely value of `spec` for `key` at `as_of_ms`, in ms; reads the learned state only."""
        n = len(observations)
        if not n:
            return nothing(spec.strategy, 0)
        if spec.scale not in ("rel", "abs"):
            values = [repr(o.value) for o in observations]
            best = max(sorted(set(values)), key=values.count)
            hits = [v == best for v in values]
            share = sum(hits) / n
            return Answer(observations[hits.index(True)].value, share * n / (n + 1), None, None, None,
                          [h / sum(hits) for h in hits], [None if h else "camp" for h in hits], spec.strategy,
                          sum(hits), float(n))
        values_f = [float(o.value) for o in observations]  # type: ignore[arg-type]
        ordered = sorted(values_f)
        centre = strategies.quantile(ordered, 0.5)
        same = spec.tolerance * (abs(centre) if spec.scale == "rel" else 1.0) or 1e-12
        claims = strategies.Claims([o.provider for o in observations], values_f, [o.ts_ms for o in observations],
                                   [o.weight for o in observations], [o.weight for o in observations], same)
        rule = strategies.STRATEGIES.get(spec.strategy, strategies.outlier_removal)
        value, shares = rule(claims)
        inside = [abs(v - centre) <= 4 * same for v in values_f]
        shares = [s if i else 0.0 for s, i in zip(shares, inside, strict=True)]
        near = [v for v, i in zip(values_f, inside, strict=True) if i]
        if spec.strategy == "robust" and near:
            value = sum(near) / len(near)
            shares = [i / len(near) for i in inside]
        sigma = math.sqrt((0.36 + sum(((v - value) / same) ** 2 for v in near)) / (1 + len(near)) / max(1, len(near)))
        confidence = math.erf(1 / sigma / math.sqrt(2)) * (len(near) / n) ** 0.2 * len(near) / (len(near) + 0.2)
        reach = 2 * sigma * same
        return Answer(value, confidence, value - reach, value + reach,
                      (max(near) - min(near)) / abs(value) if near and value else None, shares,
                      [None if i else "camp" for i in inside], spec.strategy, len(near), float(n))

    def learn(self, spec: Spec, key: str, observations: Sequence[Observation], as_of_ms: int) -> None:
        """Learn from the window of `key` that closed at `as_of_ms`; sources change only at `advance`."""

    def advance(self, epoch_ms: int) -> None:
        """Let what was learned about sources since the last epoch take effect."""

    def dump(self) -> bytes:
        """Learned state of sources."""
        return b""

    @classmethod
    def load(cls, data: bytes) -> Fuser:
        """The fuser that `dump` describes, bit for bit."""
        return cls()

    def dump_key(self, key: str) -> bytes | None:
        """Learned state of one key, over all its metrics; None when there is none."""
        return None

    def load_key(self, key: str, data: bytes) -> None:
        """Restore what `dump_key` gave."""

    def forget_key(self, key: str) -> None:
        """Drop the state of a key."""
