"""The one interface to fusion: answers from observations, and the learned state behind them."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import msgspec

from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.fusion import quality, state, words
from services.aggregator.fusion.layout import LAG, MOST_SOURCES, N_IN, RIGHT, S2, VOICE
from services.aggregator.fusion.model import Answer, Observation, Spec, nothing
from services.aggregator.fusion.numbers import Ask, Numbers

_PROVIDER = itemgetter(0)
_NUMERIC = frozenset(("rel", "abs"))


class Saved(msgspec.Struct, array_like=True):
    """A fuser as bytes."""

    numbers: bytes
    words: words.Saved


class Fuser:
    """Fuses the metrics of one (category, partition) and learns about their sources; a pure function of its calls."""

    def __init__(self, most_keys: int | None = None) -> None:
        """`most_keys`: keys whose state is held, for those who never say `forget_key`; the oldest one makes room."""
        self.most_keys = most_keys
        self.state = state.State()
        self.numbers = Numbers(self.state)
        self.words = words.Words()

    @staticmethod
    def warm(wait: bool = False) -> None:
        """Get the compiled kernels, in a thread unless `wait`; answers are the same before and after."""
        KERNELS.warm(wait)

    def answer(self, spec: Spec, key: str, observations: Sequence[Observation], as_of_ms: int) -> Answer:
        """The most likely value of `spec` for `key` at `as_of_ms`; reads what was learned and changes nothing of it."""
        ask = Ask(spec, key, observations, as_of_ms)
        if observations and spec.scale in _NUMERIC and one_each(observations) is None:
            self.numbers.learn()
            return self.numbers.answer((ask,))[0]
        return self.answer_all((ask,))[0]

    def answer_all(self, asks: Sequence[Ask]) -> list[Answer]:
        """The same for many windows, each with its quality; a batch costs a fraction of as many single calls."""
        self.numbers.learn()
        numeric: list[Ask] = []
        found: list[Answer | None] = []
        for ask in asks:
            spec, _, observations, as_of_ms = ask
            n = len(observations)
            if n and spec.scale in _NUMERIC and (n == 1 or one_each(observations) is None):
                numeric.append(ask)
                found.append(None)
            else:
                answer = self._single(ask)
                answer.quality = quality.of_metric(spec, answer, observations, as_of_ms)
                found.append(answer)
        if numeric:
            answers = iter(self.numbers.answer(numeric))
            if len(numeric) == len(asks):
                return list(answers)
            return [next(answers) if one is None else one for one in found]
        return found  # type: ignore[return-value]

    def begin(self) -> Numbers:
        """For those who put windows of numbers together themselves: with everything learned that was told so far."""
        self.numbers.learn()
        return self.numbers

    def _single(self, ask: Ask) -> Answer:
        """A window that is empty, or too full, or of words."""
        spec, key, observations, as_of_ms = ask
        n = len(observations)
        if not n:
            return nothing(spec.strategy, 0)
        chosen = one_each(observations)
        if chosen is not None:
            return _spread_out(self.answer(spec, key, [observations[i] for i in chosen], as_of_ms), chosen, n, "copy")
        chosen = _words(observations)
        if len(chosen) < n:
            return _spread_out(self.answer(spec, key, [observations[i] for i in chosen], as_of_ms), chosen, n, "range")
        return self.words.answer(spec, observations, as_of_ms)

    def learn(self, spec: Spec, key: str, observations: Sequence[Observation], as_of_ms: int) -> None:
        """Learn from the window of `key` that closed at `as_of_ms`; about sources it counts from the next `advance`."""
        if not observations:
            return
        chosen = one_each(observations)
        if chosen is not None:
            observations = [observations[i] for i in chosen]
        if spec.scale in _NUMERIC:
            # Numbers are learned together, before anybody can see that they were not.
            providers, groups, values, times, weights = zip(*observations, strict=True)
            self.numbers.teach(spec, key, list(zip(providers, groups, strict=True)), values, times, weights, as_of_ms)
            while self.most_keys is not None and len(self.state.keys) > self.most_keys:
                self.forget_key(next(iter(self.state.keys)))
        else:
            self.words.learn(spec, [observations[i] for i in _words(observations)], as_of_ms)

    def advance(self, epoch_ms: int) -> None:
        """Let what was learned about sources up to `epoch_ms` take effect."""
        self.numbers.learn()
        self.numbers.advance()
        self.words.advance()

    def dump(self) -> bytes:
        """Learned state of sources, exactly."""
        self.numbers.learn()
        return msgspec.msgpack.encode(Saved(self.state.dump(), self.words.dump()))

    @classmethod
    def load(cls, data: bytes) -> Fuser:
        """The fuser that `dump` describes, bit for bit; no bytes give a new one."""
        fuser = cls()
        if data:
            saved = msgspec.msgpack.decode(data, type=Saved)
            fuser.state = state.State.load(saved.numbers)
            fuser.numbers = Numbers(fuser.state)
            fuser.words = words.Words.load(saved.words)
        return fuser

    def dump_key(self, key: str) -> bytes | None:
        """Learned state of one key, over all its metrics; None when there is none."""
        if key not in self.state.keys:
            return None
        self.numbers.learn()
        return msgspec.msgpack.encode(self.state.dump_key(key))

    def load_key(self, key: str, data: bytes) -> None:
        """Restore what `dump_key` gave; the fuser itself must be restored first."""
        self.state.load_key(key, msgspec.msgpack.decode(data, type=list[state.SavedKey]))

    def forget_key(self, key: str) -> None:
        """Drop the state of a key."""
        if key in self.state.keys:
            self.numbers.learn()
            del self.state.keys[key]

    def reputation(self) -> dict[str, dict[str, float]]:
        """What was learned about each provider, over all metrics: accuracy (P(inlier)), error in tolerances, lag_ms, voice.

        Mean over metrics by the number of windows; voice is 1 for an independent source and 1/m for one of m copies.
        """
        self.numbers.learn()
        sums: dict[str, list[float]] = {}
        for (_, provider), row in self.state.rows.items():
            source = self.state.sources[row]
            weight = float(source[N_IN])
            if not provider or weight <= 0.0:
                continue
            entry = sums.setdefault(provider, [0.0] * 5)
            right = float(source[RIGHT])
            for k, value in enumerate(
                (1.0, right, float(source[S2]) ** 0.5, float(source[LAG]), float(source[VOICE]) / max(right, 0.1))
            ):
                entry[k] += weight * value
        return {
            provider: {
                "windows": s[0],
                "accuracy": s[1] / s[0],
                "error_tol": s[2] / s[0],
                "lag_ms": s[3] / s[0],
                "voice": min(s[4] / s[0], 1.0),
            }
            for provider, s in sorted(sums.items())
        }


def one_each(observations: Sequence[Observation]) -> list[int] | None:
    """Which to keep so that each provider speaks once (its newest word) and no more than can be handled; None for all."""
    n = len(observations)
    if n <= MOST_SOURCES and len(set(map(_PROVIDER, observations))) == n:
        return None
    newest: dict[str, int] = {}
    for i, o in enumerate(observations):
        best = newest.get(o.provider)
        if best is None or (o.ts_ms, repr(o.value)) > (observations[best].ts_ms, repr(observations[best].value)):
            newest[o.provider] = i
    kept = sorted(newest.values(), key=lambda i: (-observations[i].weight, observations[i].provider))
    return sorted(kept[:MOST_SOURCES])


def _words(observations: Sequence[Observation]) -> list[int]:
    """Which statements say anything at all: what is not a number is no word either."""
    return [i for i, o in enumerate(observations) if o.value == o.value]


def _spread_out(answer: Answer, chosen: list[int], n: int, reason: str) -> Answer:
    """The answer to the chosen observations, aligned with all that were given; the others are out for `reason`."""
    weights, why = [0.0] * n, list[str | None]([reason] * n)
    for k, i in enumerate(chosen):
        weights[i], why[i] = answer.weights[k], answer.why[k]
    answer.weights, answer.why = weights, why
    return answer
