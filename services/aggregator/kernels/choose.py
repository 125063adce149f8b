"""Named rules for numbers, as fusion.strategies has them: they choose the value and the shares, the belief says what that is worth."""

from __future__ import annotations

import math

from services.aggregator.compiled.memory import floats, integers, octets, table
from services.aggregator.fusion import layout as col
from services.aggregator.fusion.rows import UNDER_MINIMUM, WORK_AT
from services.aggregator.kernels import layout as lay
from services.aggregator.kernels.gather import (
    C_GROUP,
    C_PROVIDER,
    C_TS,
    C_VALUE,
    C_WEIGHT,
    CLAIM,
    W_FIRST,
    W_SAID,
    WINDOW,
)


def is_usable(value: float, code: int, specs_at: int) -> bool:
    """Whether a value is a number of this metric at all, as opposed to one that is far from the answer."""
    if code != col.RANGE:
        return True
    spec = floats(specs_at, col.SPEC_WIDTH)
    return bool(value >= spec[col.LOWEST] and value <= spec[col.HIGHEST] and (spec[col.REL] == 0.0 or value > 0.0))


def named_before(desk: int, one: int, other: int) -> bool:
    """Whether the name of a provider comes before that of another."""
    providers = integers(desk, lay.DESK)[lay.X_PROVIDERS]
    a = integers(providers + one * lay.PROVIDER * lay.WORD, lay.PROVIDER)
    b = integers(providers + other * lay.PROVIDER * lay.WORD, lay.PROVIDER)
    # As they are between their quotes.
    n = min(a[lay.A_NAME_N], b[lay.A_NAME_N]) - 2
    first = octets(a[lay.A_NAME] + 1, n)
    second = octets(b[lay.A_NAME] + 1, n)
    for k in range(n):
        if first[k] != second[k]:
            return bool(first[k] < second[k])
    return bool(a[lay.A_NAME_N] < b[lay.A_NAME_N])


def newest_claim(desk: int, window: int, specs_at: int, codes_at: int) -> int:
    """The newest claim; of equally new ones that of the higher weight; names break the last tie."""
    w = integers(window, WINDOW)
    claims = integers(w[W_FIRST], w[W_SAID] * CLAIM)
    numbers = floats(w[W_FIRST], w[W_SAID] * CLAIM)
    codes = floats(codes_at, w[W_SAID])
    best = -1
    for i in range(w[W_SAID]):
        a = i * CLAIM
        b = best * CLAIM
        if not is_usable(numbers[a + C_VALUE], int(codes[i]), specs_at):
            continue
        newer = claims[a + C_TS] - claims[b + C_TS] if best >= 0 else 1
        heavier = numbers[a + C_WEIGHT] - numbers[b + C_WEIGHT] if best >= 0 else 1.0
        if newer > 0 or (
            newer == 0
            and (
                heavier > 0.0 or (heavier == 0.0 and named_before(desk, claims[a + C_PROVIDER], claims[b + C_PROVIDER]))
            )
        ):
            best = i
    return best


def ranked_claim(window: int, specs_at: int, codes_at: int, upper: int) -> int:
    """The middle claim by value (of two the lower one, or the upper); equal values in their order."""
    w = integers(window, WINDOW)
    n = w[W_SAID]
    numbers = floats(w[W_FIRST], n * CLAIM)
    codes = floats(codes_at, n)
    usable = 0
    for i in range(n):
        if is_usable(numbers[i * CLAIM + C_VALUE], int(codes[i]), specs_at):
            usable += 1
    place = usable // 2 if upper != 0 else (usable - 1) // 2
    for i in range(n):
        value = numbers[i * CLAIM + C_VALUE]
        if not is_usable(value, int(codes[i]), specs_at):
            continue
        before = 0
        for j in range(n):
            other = numbers[j * CLAIM + C_VALUE]
            if (other < value or (other == value and j < i)) and is_usable(other, int(codes[j]), specs_at):
                before += 1
        if before == place:
            return i
    return -1


def inside(gap: float, sd: float) -> float:
    """Mass of a normal law within 1 of a point that lies `gap` from its mean."""
    scale = 1.0 / (sd * math.sqrt(2.0))
    return 0.5 * (math.erf((gap + 1.0) * scale) - math.erf((gap - 1.0) * scale))


def judge_choice(window: int, entity: int, specs_at: int, shares_at: int, o_at: int) -> None:
    """Quality of the chosen value: share of groups that agree with it, and its age against the metric's freshness."""
    w = integers(window, WINDOW)
    n = w[W_SAID]
    claims = integers(w[W_FIRST], n * CLAIM)
    numbers = floats(w[W_FIRST], n * CLAIM)
    spec = floats(specs_at, col.SPEC_WIDTH)
    shares = floats(shares_at, n)
    o = floats(o_at, col.OUT_WIDTH)
    as_of = float(integers(entity, lay.ENTITY)[lay.E_AS_OF])
    value = o[col.O_VALUE]
    reach = spec[col.TOL] * (1.0 + 1e-9)
    lowest = value - reach
    highest = value + reach
    if spec[col.REL] > 0.0:
        lowest = value * math.exp(-reach)
        highest = value * math.exp(reach)
    groups = 0
    agreed = 0
    age = 0.0
    total = 0.0
    for i in range(n):
        first = True
        for j in range(i):
            if claims[j * CLAIM + C_GROUP] == claims[i * CLAIM + C_GROUP]:
                first = False
                break
        if first:
            groups += 1
            for j in range(i, n):
                said = numbers[j * CLAIM + C_VALUE]
                if claims[j * CLAIM + C_GROUP] == claims[i * CLAIM + C_GROUP] and said >= lowest and said <= highest:
                    agreed += 1
                    break
        if shares[i] > 0.0:
            ts = float(claims[i * CLAIM + C_TS])
            if ts < as_of:
                age += shares[i] * (as_of - ts)
            total += shares[i]
    freshness = 1.0
    if total > 0.0:
        freshness = age / total / spec[col.FRESHNESS]
    o[col.O_CONSISTENCY] = agreed / groups
    o[col.O_TIMELINESS] = min(max(1.0 - freshness, 0.0), 1.0)


def choose(desk: int, entity: int, window: int, spec: int, rule: int, o_at: int) -> None:
    """Put the rule's value and shares into an answer of the model, and what the belief holds of it."""
    context = integers(integers(desk, lay.DESK)[lay.X_FUSION], col.CONTEXT)
    specs_at = context[col.C_SPECS] + spec * col.SPEC_WIDTH * lay.WORD
    s = floats(specs_at, col.SPEC_WIDTH)
    w = integers(window, WINDOW)
    n = w[W_SAID]
    work_at = context[col.C_SCRATCH] + WORK_AT
    codes_at = work_at + col.CODE * n * lay.WORD
    o = floats(o_at, col.OUT_WIDTH)
    if o[col.O_VAR] == 0.0:
        # The belief has no width where most say zero: there is nothing to choose then.
        return
    if rule == lay.RULE_MEDIAN:
        one = ranked_claim(window, specs_at, codes_at, 0)
        other = ranked_claim(window, specs_at, codes_at, 1)
    else:
        one = newest_claim(desk, window, specs_at, codes_at)
        other = one
    numbers = floats(w[W_FIRST], n * CLAIM)
    work = table(work_at, col.WORKS, n)
    for i in range(n):
        work[col.SHARE, i] = 0.0
    value = numbers[one * CLAIM + C_VALUE]
    work[col.SHARE, one] = 1.0
    if other != one:
        value = (value + numbers[other * CLAIM + C_VALUE]) / 2.0
        work[col.SHARE, one] = 0.5
        work[col.SHARE, other] = 0.5
    at = (math.log(value) if s[col.REL] > 0.0 else value) / s[col.TOL]
    held = o[col.O_SURE] * inside(at - o[col.O_MEAN], math.sqrt(o[col.O_VAR]))
    held += o[col.O_RIVAL] * inside(at - o[col.O_RIVAL_MEAN], math.sqrt(o[col.O_RIVAL_VAR]))
    held = min(max(held, 0.0), 1.0)
    if o[col.O_USED] < s[col.MINIMUM]:
        held = min(held, UNDER_MINIMUM)
    o[col.O_VALUE] = value
    o[col.O_CONF] = held
    o[col.O_LOW] = min(o[col.O_LOW], value)
    o[col.O_HIGH] = max(o[col.O_HIGH], value)
    judge_choice(window, entity, specs_at, work_at + col.SHARE * n * lay.WORD, o_at)
