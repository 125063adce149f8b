"""Metrics that are not numbers: labels and flags, sets, and texts; weighed by what each source's word was worth so far."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Hashable, Sequence

import msgspec

from schemas.events import Value
from services.aggregator.fusion.model import Answer, Observation, Spec, nothing

PRIOR_RIGHT, PRIOR_SEEN = 0.9, 10.0
"""P(right) of an unknown source, and the windows after which its own record counts as much."""
KEEP = 0.995
"""Forgetting per window."""
ALTERNATIVES = 5.0
"""Wrong answers a source could give where they are not just two; the n of ACCU (Dong et al. 2009)."""
SENSITIVITY, FALSE_ALARM = 0.75, 0.05
"""P(a member is named when it belongs), P(it is named when it does not), for an unknown source."""
SAME_TEXT = 0.6
"""Overlap of words (Jaccard) from which two texts say the same."""
HALVED = -math.log(2.0)
MOST_RECORDS = 65_536


class Saved(msgspec.Struct, array_like=True):
    """Records of sources; the first two numbers are in force, the others accumulate."""

    records: list[tuple[str, str, tuple[float, float, float, float]]]


class Words:
    """Answers and learning for metrics that are not numbers."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[float]] = {}
        """(metric, provider) -> right and seen in force, right and seen accumulated."""
        self.changed = 0
        """How often something of it changed; whoever keeps a copy knows by this."""

    def answer(self, spec: Spec, observations: Sequence[Observation], as_of_ms: int) -> Answer:
        """The most likely word, set or text."""
        kinds: dict[str, Callable[[Spec, Sequence[Observation], int], Answer]] = {"set": self._set, "text": self._text}
        return kinds.get(spec.scale, self._label)(spec, observations, as_of_ms)

    def learn(self, spec: Spec, observations: Sequence[Observation], as_of_ms: int) -> None:
        """Each source was as right as the belief says; contested windows teach little, lone voices nothing."""
        if spec.scale not in ("cat", "text") or len(observations) < 2:
            return
        values = self._cluster(spec, observations)
        belief = self._belief(spec, observations, values, as_of_ms)
        best = max(belief.values())
        teach = best * best
        self.changed += 1
        for o, value in zip(observations, values, strict=True):
            record = self.records.get((spec.name, o.provider))
            if record is None:
                if len(self.records) >= MOST_RECORDS:
                    continue
                record = self.records[spec.name, o.provider] = [0.0, 0.0, 0.0, 0.0]
            record[2] = KEEP * record[2] + teach * belief[value]
            record[3] = KEEP * record[3] + teach

    def count(self, metric: str, provider: str, right: float, seen: float) -> None:
        """Take over what others counted on."""
        record = self.records.get((metric, provider))
        if record is not None:
            record[2:] = right, seen
        elif len(self.records) < MOST_RECORDS:
            self.records[metric, provider] = [0.0, 0.0, right, seen]

    def advance(self) -> None:
        """Bring what was learned into force."""
        self.changed += 1
        for record in self.records.values():
            record[0], record[1] = record[2], record[3]

    def dump(self) -> Saved:
        """All records, exactly; in the order of their names, whoever learned first."""
        return Saved([(m, p, (r[0], r[1], r[2], r[3])) for (m, p), r in sorted(self.records.items())])

    @classmethod
    def load(cls, saved: Saved) -> Words:
        """What `dump` gave."""
        words = cls()
        words.records = {(m, p): list(r) for m, p, r in saved.records}
        return words

    def right(self, metric: str, observation: Observation, age: float) -> float:
        """P(this statement is right): static weight, own record, and its age in freshness times."""
        record = self.records.get((metric, observation.provider), (0.0, 0.0))
        start = min(max(PRIOR_RIGHT * observation.weight, 0.3), PRIOR_RIGHT)
        accuracy = (PRIOR_SEEN * start + record[0]) / (PRIOR_SEEN + record[1])
        return 0.5 + (min(accuracy, 0.98) - 0.5) * math.exp(HALVED * min(max(age, 0.0) / 2.0, 10.0))

    def _cluster(self, spec: Spec, observations: Sequence[Observation]) -> list[Hashable]:
        """A canonical form per observation: equal forms are the same answer."""
        if spec.scale == "cat":
            return [canonical(o.value) for o in observations]
        words = [tokens(str(o.value)) for o in observations]
        forms: list[Hashable] = []
        # Names in alphabetical order, so that the order of arrival does not decide who leads a cluster.
        leaders: list[frozenset[str]] = []
        for own in sorted(set(words), key=lambda w: (-words.count(w), sorted(w))):
            if not any(overlap(own, leader) >= SAME_TEXT for leader in leaders):
                leaders.append(own)
        for own in words:
            forms.append(max(leaders, key=lambda leader: (overlap(own, leader), sorted(leader))))
        return forms

    def _belief(
        self, spec: Spec, observations: Sequence[Observation], values: Sequence[Hashable], as_of_ms: int
    ) -> dict[Hashable, float]:
        """Posterior of each answer; what is missing to 1 belongs to answers that nobody gave."""
        groups: dict[tuple[str, Hashable], int] = {}
        for o, value in zip(observations, values, strict=True):
            groups[o.group, value] = groups.get((o.group, value), 0) + 1
        two = all(isinstance(o.value, bool) for o in observations)
        others = 1.0 if two else ALTERNATIVES
        score: dict[Hashable, float] = dict.fromkeys(values, 0.0)
        for o, value in zip(observations, values, strict=True):
            p = self.right(spec.name, o, (as_of_ms - o.ts_ms) / spec.freshness_ms)
            # One group is one voice.
            score[value] += math.log(others * p / (1.0 - p)) / groups[o.group, value]
        top = max(score.values())
        odds = {value: math.exp(s - top) for value, s in score.items()}
        unsaid = max(others + 1.0 - len(odds), 0.0) * math.exp(-top)
        total = sum(odds.values()) + unsaid
        return {value: odd / total for value, odd in odds.items()}

    def _label(self, spec: Spec, observations: Sequence[Observation], as_of_ms: int) -> Answer:
        values = self._cluster(spec, observations)
        belief = self._belief(spec, observations, values, as_of_ms)
        choice: Hashable
        if spec.strategy == "most_recent":
            newest = max(o.ts_ms for o in observations)
            choice = max(
                (v for v, o in zip(values, observations, strict=True) if o.ts_ms == newest),
                key=lambda v: (belief[v], repr(v)),
            )
        elif spec.strategy == "source_priority":
            heaviest = max(o.weight for o in observations)
            choice = max(
                (v for v, o in zip(values, observations, strict=True) if o.weight == heaviest),
                key=lambda v: (belief[v], repr(v)),
            )
        else:
            choice = max(belief, key=lambda v: (belief[v], repr(v)))
        said = sorted((o.provider, o.value) for o, v in zip(observations, values, strict=True) if v == choice)
        return _told(spec, observations, values, choice, said[0][1], belief[choice])

    def _text(self, spec: Spec, observations: Sequence[Observation], as_of_ms: int) -> Answer:
        values = self._cluster(spec, observations)
        belief = self._belief(spec, observations, values, as_of_ms)
        if spec.strategy == "most_recent":
            newest = min(range(len(values)), key=lambda i: (-observations[i].ts_ms, observations[i].provider))
            choice = values[newest]
            return _told(spec, observations, values, choice, observations[newest].value, belief[choice])
        choice = max(belief, key=lambda v: (belief[v], repr(v)))
        own = [o for o, v in zip(observations, values, strict=True) if v == choice]
        # The text that is closest to all others of its kind; of equals the newest.
        middle = max(
            own,
            key=lambda o: (sum(overlap(tokens(str(o.value)), tokens(str(p.value))) for p in own), o.ts_ms, o.provider),
        )
        return _told(spec, observations, values, choice, middle.value, belief[choice])

    def _set(self, spec: Spec, observations: Sequence[Observation], as_of_ms: int) -> Answer:
        """Member by member: naming is evidence for, silence weak evidence against."""
        named = [
            frozenset(str(m).strip() for m in o.value) if isinstance(o.value, list) else frozenset()
            for o in observations
        ]
        sizes: dict[str, int] = {}
        for o in observations:
            sizes[o.group] = sizes.get(o.group, 0) + 1
        members = sorted(frozenset().union(*named))
        sure: list[float] = []
        kept: list[str] = []
        for member in members:
            score = math.log(0.5 / 0.5)
            for o, own in zip(observations, named, strict=True):
                worth = (
                    self.right(spec.name, o, (as_of_ms - o.ts_ms) / spec.freshness_ms) / PRIOR_RIGHT / sizes[o.group]
                )
                if member in own:
                    score += worth * math.log(SENSITIVITY / FALSE_ALARM)
                else:
                    score += worth * math.log((1.0 - SENSITIVITY) / (1.0 - FALSE_ALARM))
            p = 1.0 / (1.0 + math.exp(-score))
            if p > 0.5:
                kept.append(member)
            sure.append(max(p, 1.0 - p))
        confidence = _few_errors(sure, int(spec.tolerance * max(len(kept), 1)))
        answer = frozenset(kept)
        near = [overlap(own, answer) for own in named]
        used = [s > 0.0 or not answer for s in near]
        total = sum(near) or 1.0
        value: Value = kept
        return Answer(
            value,
            confidence,
            None,
            None,
            None,
            [s / total for s in near],
            [None if u else "camp" for u in used],
            spec.strategy,
            sum(used),
            float(len(sizes)),
        )


def canonical(value: Value) -> Hashable:
    """A label without case and outer space; other values as they are."""
    if isinstance(value, str):
        return unicodedata.normalize("NFKC", value).strip().casefold()
    return tuple(sorted(value)) if isinstance(value, list) else value


def tokens(text: str) -> frozenset[str]:
    """The words of a text, without case and punctuation."""
    return frozenset(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def overlap(a: frozenset[str], b: frozenset[str]) -> float:
    """Jaccard index; two empty sets are equal."""
    return len(a & b) / len(a | b) if a or b else 1.0


def _told(
    spec: Spec,
    observations: Sequence[Observation],
    values: Sequence[Hashable],
    choice: Hashable,
    said: Value,
    confidence: float,
) -> Answer:
    hits = [v == choice for v in values]
    groups = {o.group for o in observations}
    against = {v: len({o.group for o, w in zip(observations, values, strict=True) if w == v}) for v in set(values)}
    why = [None if hit else "camp" if against[v] > 1 else "range" for hit, v in zip(hits, values, strict=True)]
    if not any(hits):
        return nothing(spec.strategy, len(values))
    return Answer(
        said,
        confidence,
        None,
        None,
        None,
        [hit / sum(hits) for hit in hits],
        why,
        spec.strategy,
        sum(hits),
        float(len(groups)),
    )


def _few_errors(sure: Sequence[float], allowed: int) -> float:
    """P(at most `allowed` of these independent decisions are wrong)."""
    law = [1.0]
    for p in sure:
        law = [
            (law[k] if k < len(law) else 0.0) * p + (law[k - 1] * (1.0 - p) if k else 0.0) for k in range(len(law) + 1)
        ]
    return min(sum(law[: allowed + 1]), 1.0)
