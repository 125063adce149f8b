"""Windows of metrics that are not numbers, as fusion.words answers them and learns from them; what is not plain, Python must."""

from __future__ import annotations

import math

from services.aggregator.compiled.memory import floats, integers, table
from services.aggregator.fusion import layout as col
from services.aggregator.fusion.rows import WORK_AT
from services.aggregator.fusion.words import (
    ALTERNATIVES,
    FALSE_ALARM,
    HALVED,
    KEEP,
    PRIOR_RIGHT,
    PRIOR_SEEN,
    SAME_TEXT,
    SENSITIVITY,
)
from services.aggregator.kernels import layout as lay
from services.aggregator.kernels.choose import named_before
from services.aggregator.kernels.gather import (
    C_CLASS,
    C_GROUP,
    C_PROVIDER,
    C_TS,
    C_VALUE,
    C_WEIGHT,
    CLAIM,
    W_FIRST,
    W_METRIC,
    W_SAID,
    WINDOW,
)
from services.aggregator.kernels.texts import UNCERTAIN, members, overlap, same_label, same_raw, shown_before

SCORE, ODDS, BELIEF = col.RESP, col.Y, col.TAU
"""Rows of fusion's work, by the claim that came first of those that say the same."""


def work_of(desk: int) -> int:
    """Address of fusion's work."""
    return int(integers(integers(desk, lay.DESK)[lay.X_FUSION], col.CONTEXT)[col.C_SCRATCH] + WORK_AT)


def alike(kind: int, one: int, other: int) -> int:
    """Whether two texts are the same answer: 1 or 0, or UNCERTAIN."""
    if kind != lay.KIND_TEXT:
        return same_label(one, other)
    shared = overlap(one, other)
    if shared < 0.0:
        return UNCERTAIN
    return 1 if shared >= SAME_TEXT else 0


def classify(desk: int, window: int) -> bool:
    """Note for each claim of a window which claim said the same first; False where that is not plain.

    Python makes clusters of texts around leaders; where likeness is the same from wherever it is seen, these are the same.
    """
    x = integers(desk, lay.DESK)
    w = integers(window, WINDOW)
    kind = integers(x[lay.X_METRICS] + w[W_METRIC] * lay.METRIC * lay.WORD, lay.METRIC)[lay.M_KIND]
    n = w[W_SAID]
    claims = integers(w[W_FIRST], n * CLAIM)
    for i in range(n):
        own = i
        for j in range(i):
            if own != i and kind != lay.KIND_TEXT:
                break
            if kind != lay.KIND_TEXT and claims[j * CLAIM + C_CLASS] != j:
                continue
            same = alike(kind, claims[i * CLAIM + C_VALUE], claims[j * CLAIM + C_VALUE])
            if same == UNCERTAIN:
                return False
            held = claims[j * CLAIM + C_CLASS]
            if own == i and same == 1:
                # What came before this one and is like it would have been found.
                if held != j:
                    return False
                own = j
            elif own != i and (same == 1) != (held == own):
                return False
        claims[i * CLAIM + C_CLASS] = own
    return True


def right_of(desk: int, metric: int, claim: int, as_of: int) -> float:
    """P(this statement is right): static weight, own record, and its age in freshness times."""
    x = integers(desk, lay.DESK)
    one = integers(claim, CLAIM)
    line = metric * x[lay.X_PROVIDERS_N] + one[C_PROVIDER]
    record = floats(x[lay.X_RECORDS] + line * lay.RECORD * lay.WORD, lay.RECORD)
    fresh = float(integers(x[lay.X_METRICS] + metric * lay.METRIC * lay.WORD, lay.METRIC)[lay.M_FRESH])
    age = float(as_of - one[C_TS]) / fresh
    start = min(max(PRIOR_RIGHT * floats(claim, CLAIM)[C_WEIGHT], 0.3), PRIOR_RIGHT)
    accuracy = (PRIOR_SEEN * start + record[lay.H_RIGHT]) / (PRIOR_SEEN + record[lay.H_SEEN])
    return float(0.5 + (min(accuracy, 0.98) - 0.5) * math.exp(HALVED * min(max(age, 0.0) / 2.0, 10.0)))


def believe(desk: int, entity: int, window: int) -> float:
    """Fill the row BELIEF with the posterior of each answer of a classified window; the highest."""
    x = integers(desk, lay.DESK)
    w = integers(window, WINDOW)
    metric = w[W_METRIC]
    n = w[W_SAID]
    claims = integers(w[W_FIRST], n * CLAIM)
    work = table(work_of(desk), col.WORKS, n)
    as_of = integers(entity, lay.ENTITY)[lay.E_AS_OF]
    kind = integers(x[lay.X_METRICS] + metric * lay.METRIC * lay.WORD, lay.METRIC)[lay.M_KIND]
    others = 1.0 if kind == lay.KIND_FLAG else ALTERNATIVES
    for i in range(n):
        work[SCORE, i] = 0.0
    for i in range(n):
        own = claims[i * CLAIM + C_CLASS]
        shared = 0
        for j in range(n):
            if claims[j * CLAIM + C_CLASS] == own and claims[j * CLAIM + C_GROUP] == claims[i * CLAIM + C_GROUP]:
                shared += 1
        p = right_of(desk, metric, w[W_FIRST] + i * CLAIM * lay.WORD, as_of)
        # One group is one voice.
        work[SCORE, own] += math.log(others * p / (1.0 - p)) / shared
    top = -math.inf
    said = 0
    for i in range(n):
        if claims[i * CLAIM + C_CLASS] == i:
            said += 1
            top = max(top, work[SCORE, i])
    total = 0.0
    for i in range(n):
        if claims[i * CLAIM + C_CLASS] == i:
            work[ODDS, i] = math.exp(work[SCORE, i] - top)
            total += work[ODDS, i]
    total += max(others + 1.0 - said, 0.0) * math.exp(-top)
    best = 0.0
    for i in range(n):
        if claims[i * CLAIM + C_CLASS] == i:
            work[BELIEF, i] = work[ODDS, i] / total
            best = max(best, work[BELIEF, i])
    return best


def chosen_class(desk: int, window: int, kind: int, rule: int) -> int:
    """The first claim of the answer that the rule chooses; -1 where Python must, to decide between equals."""
    w = integers(window, WINDOW)
    n = w[W_SAID]
    claims = integers(w[W_FIRST], n * CLAIM)
    weights = floats(w[W_FIRST], n * CLAIM)
    work = table(work_of(desk), col.WORKS, n)
    newest = claims[C_TS]
    heaviest = weights[C_WEIGHT]
    for i in range(n):
        newest = max(newest, claims[i * CLAIM + C_TS])
        heaviest = max(heaviest, weights[i * CLAIM + C_WEIGHT])
    best = -1
    for i in range(n):
        if rule == lay.RULE_NEWEST and claims[i * CLAIM + C_TS] != newest:
            continue
        if rule == lay.RULE_WEIGHT and weights[i * CLAIM + C_WEIGHT] != heaviest:
            continue
        own = claims[i * CLAIM + C_CLASS]
        if best < 0 or work[BELIEF, own] > work[BELIEF, best]:
            best = own
        elif own != best and work[BELIEF, own] == work[BELIEF, best]:
            if kind == lay.KIND_TEXT:
                return -1
            later = shown_before(claims[best * CLAIM + C_VALUE], claims[own * CLAIM + C_VALUE])
            if later == UNCERTAIN:
                return -1
            if later == 1:
                best = own
    return best


def newest_text(desk: int, window: int) -> int:
    """The newest claim; names decide between equals."""
    w = integers(window, WINDOW)
    claims = integers(w[W_FIRST], w[W_SAID] * CLAIM)
    best = 0
    for i in range(1, w[W_SAID]):
        newer = claims[i * CLAIM + C_TS] - claims[best * CLAIM + C_TS]
        if newer > 0 or (
            newer == 0 and named_before(desk, claims[i * CLAIM + C_PROVIDER], claims[best * CLAIM + C_PROVIDER])
        ):
            best = i
    return best


def middle_text(desk: int, window: int, chosen: int) -> int:
    """Of an answer, the text that is closest to all others of its kind; of equals the newest, then the last by name."""
    w = integers(window, WINDOW)
    n = w[W_SAID]
    claims = integers(w[W_FIRST], n * CLAIM)
    best = -1
    most = 0.0
    for i in range(n):
        a = i * CLAIM
        if claims[a + C_CLASS] != chosen:
            continue
        near = 0.0
        for j in range(n):
            if claims[j * CLAIM + C_CLASS] == chosen:
                near += overlap(claims[a + C_VALUE], claims[j * CLAIM + C_VALUE])
        b = best * CLAIM
        newer = claims[a + C_TS] - claims[b + C_TS] if best >= 0 else 1
        if best < 0 or near > most or (near == most and newer > 0) or (
            near == most and newer == 0 and named_before(desk, claims[b + C_PROVIDER], claims[a + C_PROVIDER])
        ):  # fmt: skip
            best = i
            most = near
    return best


def first_named(desk: int, window: int, chosen: int) -> int:
    """The claim of an answer whose provider comes first by name."""
    w = integers(window, WINDOW)
    claims = integers(w[W_FIRST], w[W_SAID] * CLAIM)
    best = -1
    for i in range(w[W_SAID]):
        if claims[i * CLAIM + C_CLASS] == chosen and (
            best < 0 or named_before(desk, claims[i * CLAIM + C_PROVIDER], claims[best * CLAIM + C_PROVIDER])
        ):
            best = i
    return best


def backed(window: int, answer: int) -> bool:
    """Whether more than one group gives this answer."""
    w = integers(window, WINDOW)
    claims = integers(w[W_FIRST], w[W_SAID] * CLAIM)
    for i in range(w[W_SAID]):
        if claims[i * CLAIM + C_CLASS] == answer and claims[i * CLAIM + C_GROUP] != claims[answer * CLAIM + C_GROUP]:
            return True
    return False


def tell_words(desk: int, entity: int, window: int, chosen: int, told: int, o_at: int) -> float:
    """Write shares, codes and quality of the answer that claim `told` gives; how many said it, or 0 where Python must."""
    x = integers(desk, lay.DESK)
    w = integers(window, WINDOW)
    n = w[W_SAID]
    claims = integers(w[W_FIRST], n * CLAIM)
    work = table(work_of(desk), col.WORKS, n)
    o = floats(o_at, col.OUT_WIDTH)
    as_of = integers(entity, lay.ENTITY)[lay.E_AS_OF]
    hits = 0
    for i in range(n):
        if claims[i * CLAIM + C_CLASS] == chosen:
            hits += 1
    groups = 0
    agreed = 0
    age = 0.0
    total = 0.0
    for i in range(n):
        hit = claims[i * CLAIM + C_CLASS] == chosen
        first = True
        agrees = False
        for j in range(n):
            if claims[j * CLAIM + C_GROUP] != claims[i * CLAIM + C_GROUP]:
                continue
            if j < i:
                first = False
                break
            same = same_label(claims[j * CLAIM + C_VALUE], claims[told * CLAIM + C_VALUE])
            if same == UNCERTAIN:
                return 0.0
            agrees = agrees or same == 1
        if first:
            groups += 1
            if agrees:
                agreed += 1
        work[col.SHARE, i] = 1.0 / hits if hit else 0.0
        work[col.CODE, i] = col.USED
        if not hit:
            work[col.CODE, i] = col.CAMP if backed(window, claims[i * CLAIM + C_CLASS]) else col.RANGE
        if hit:
            ts = claims[i * CLAIM + C_TS]
            if ts < as_of:
                age += work[col.SHARE, i] * float(as_of - ts)
            total += work[col.SHARE, i]
    fresh_ms = integers(x[lay.X_METRICS] + w[W_METRIC] * lay.METRIC * lay.WORD, lay.METRIC)[lay.M_FRESH]
    o[col.O_CONF] = work[BELIEF, chosen]
    o[col.O_VOICES] = float(groups)
    o[col.O_CONSISTENCY] = agreed / groups
    o[col.O_TIMELINESS] = min(max(1.0 - age / total / fresh_ms, 0.0), 1.0)
    return float(hits)


def answer_set(desk: int, entity: int, window: int) -> bool:
    """Believe in the set that all name alike, as one class; False where they do not, or errors are allowed."""
    x = integers(desk, lay.DESK)
    w = integers(window, WINDOW)
    n = w[W_SAID]
    claims = integers(w[W_FIRST], n * CLAIM)
    metric = w[W_METRIC]
    as_of = integers(entity, lay.ENTITY)[lay.E_AS_OF]
    count = members(claims[C_VALUE])
    tolerance = floats(x[lay.X_METRICS] + metric * lay.METRIC * lay.WORD, lay.METRIC)[lay.M_TOLERANCE]
    if count < 0 or tolerance * max(count, 1) >= 1.0:
        return False
    score = 0.0
    for i in range(n):
        claims[i * CLAIM + C_CLASS] = 0
        if not same_raw(claims[C_VALUE], claims[i * CLAIM + C_VALUE]):
            return False
        size = 0
        for j in range(n):
            if claims[j * CLAIM + C_GROUP] == claims[i * CLAIM + C_GROUP]:
                size += 1
        p = right_of(desk, metric, w[W_FIRST] + i * CLAIM * lay.WORD, as_of)
        score += p / PRIOR_RIGHT / size * math.log(SENSITIVITY / FALSE_ALARM)
    # Named by all, each member belongs, and the set is right if each of these decisions is.
    sure = 1.0
    for _ in range(count):
        sure *= 1.0 / (1.0 + math.exp(-score))
    table(work_of(desk), col.WORKS, n)[BELIEF, 0] = sure
    return True


def answer_words(desk: int, entity: int, window: int, o_at: int) -> int:
    """Answer a window of words: the claim whose text is told, shares and codes in fusion's work, the rest at `o_at`.

    -1 where Python must; how many were used stands in O_USED.
    """
    x = integers(desk, lay.DESK)
    w = integers(window, WINDOW)
    m = integers(x[lay.X_METRICS] + w[W_METRIC] * lay.METRIC * lay.WORD, lay.METRIC)
    kind = m[lay.M_KIND]
    rule = m[lay.M_RULE]
    if kind == lay.KIND_SET:
        if not answer_set(desk, entity, window):
            return -1
        floats(o_at, col.OUT_WIDTH)[col.O_USED] = tell_words(desk, entity, window, 0, 0, o_at)
        return 0
    if not classify(desk, window):
        return -1
    believe(desk, entity, window)
    claims = integers(w[W_FIRST], w[W_SAID] * CLAIM)
    if kind == lay.KIND_TEXT and rule == lay.RULE_NEWEST:
        told = newest_text(desk, window)
        chosen = int(claims[told * CLAIM + C_CLASS])
    else:
        if kind == lay.KIND_TEXT:
            rule = lay.RULE_MODEL
        chosen = chosen_class(desk, window, kind, rule)
        if chosen < 0:
            return -1
        told = middle_text(desk, window, chosen) if kind == lay.KIND_TEXT else first_named(desk, window, chosen)
    used = tell_words(desk, entity, window, chosen, told, o_at)
    floats(o_at, col.OUT_WIDTH)[col.O_USED] = used
    return told if used > 0.0 else -1


def learn_words(desk: int, entity: int, window: int) -> None:
    """Each source of a classified window was as right as the belief says; contested windows teach little."""
    x = integers(desk, lay.DESK)
    w = integers(window, WINDOW)
    n = w[W_SAID]
    claims = integers(w[W_FIRST], n * CLAIM)
    work = table(work_of(desk), col.WORKS, n)
    best = believe(desk, entity, window)
    taught = best * best
    for i in range(n):
        line = w[W_METRIC] * x[lay.X_PROVIDERS_N] + claims[i * CLAIM + C_PROVIDER]
        record = floats(x[lay.X_RECORDS] + line * lay.RECORD * lay.WORD, lay.RECORD)
        held = work[BELIEF, claims[i * CLAIM + C_CLASS]]
        record[lay.H_RIGHT_NEXT] = KEEP * record[lay.H_RIGHT_NEXT] + taught * held
        record[lay.H_SEEN_NEXT] = KEEP * record[lay.H_SEEN_NEXT] + taught
