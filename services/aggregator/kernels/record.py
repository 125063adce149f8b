"""The fused record of an entity as JSON, schemas.events.Fused, from its windows; what needs Python is refused."""

from __future__ import annotations

import math

from services.aggregator.compiled.memory import floats, integers, octets, table
from services.aggregator.fusion import layout as col
from services.aggregator.fusion.rows import ROUNDED_ABOVE, ROUNDED_BELOW, WORK_AT
from services.aggregator.kernels import layout as lay
from services.aggregator.kernels import pieces
from services.aggregator.kernels.choose import choose
from services.aggregator.kernels.digits import rounded_share, write_digits, write_float, write_int
from services.aggregator.kernels.fuse import fuse, lesson_of
from services.aggregator.kernels.gather import (
    C_AGE,
    C_PROVIDER,
    C_TS,
    C_VALUE,
    C_WHY,
    CLAIM,
    G_CONSISTENT,
    G_DIVERSE,
    G_MONEY,
    G_ORIGIN,
    G_OUT,
    G_PRICE,
    G_SURE,
    G_TIMELY,
    G_VALUED,
    G_WINDOWS,
    HEAD,
    W_ASIDE,
    W_FIRST,
    W_METRIC,
    W_ROOM,
    W_SAID,
    WINDOW,
    gather,
    listed,
    spoke,
)
from services.aggregator.kernels.names import write_key
from services.aggregator.kernels.pieces import put, put_quality, put_share, put_text
from services.aggregator.kernels.words import answer_words

# What `render_rows` tells of each entity: SPAN words; places in the output, from its start.
S_REFUSED, S_BEGIN, S_END, S_KEY_BEGIN, S_KEY_END, S_PRICE, S_ORIGIN, SPAN = range(8)
"""S_REFUSED: 1 where Python must, and nothing else is told; S_PRICE (f): value of metric X_PRICE where others' money is
valued by the entity, else NaN."""
RECORD_BYTES, METRIC_BYTES, SAID_BYTES = 512, 768, 160
"""Most that is written for a record, a metric and a source, beside the names in it."""


def put_provider(desk: int, out_at: int, at: int, provider: int) -> int:
    """Write the opening of a source, up to its value."""
    a = integers(integers(desk, lay.DESK)[lay.X_PROVIDERS] + provider * lay.PROVIDER * lay.WORD, lay.PROVIDER)
    at = put(out_at, at, pieces.PROVIDER_1, pieces.PROVIDER_2, 12)
    at = put_text(out_at, at, a[lay.A_NAME], a[lay.A_NAME_N])
    return put(out_at, at, pieces.VALUE_1, pieces.VALUE_2, 9)


def put_why(out_at: int, at: int, why: int) -> int:
    """Write why a source is set aside."""
    at = put(out_at, at, pieces.WHY, 0, 7)
    return put(out_at, at, pieces.WHY_1[why], pieces.WHY_2[why], pieces.WHY_N[why])


def put_said(out_at: int, at: int, text: int) -> int:
    """Write a value that is no number."""
    return put_text(out_at, at, text + lay.TEXT * lay.WORD, integers(text, lay.TEXT)[lay.T_BYTES])


def holds_words(desk: int, window: int) -> bool:
    """Whether what is said in a window are texts."""
    metrics = integers(desk, lay.DESK)[lay.X_METRICS]
    metric = integers(window, WINDOW)[W_METRIC]
    return bool(integers(metrics + metric * lay.METRIC * lay.WORD, lay.METRIC)[lay.M_KIND] != lay.KIND_NUMBER)


def put_claims(desk: int, entity: int, window: int, out_at: int, out_bytes: int, at: int, all_used: bool) -> int:
    """Write what each provider says, with its share of the answer as fusion left it."""
    out = octets(out_at, out_bytes)
    w = integers(window, WINDOW)
    n = w[W_SAID]
    claims = integers(w[W_FIRST], n * CLAIM)
    numbers = floats(w[W_FIRST], n * CLAIM)
    words = holds_words(desk, window)
    as_of = integers(entity, lay.ENTITY)[lay.E_AS_OF]
    scratch = integers(integers(desk, lay.DESK)[lay.X_FUSION], col.CONTEXT)[col.C_SCRATCH]
    work = table(scratch + WORK_AT, col.WORKS, n)
    for i in range(n):
        if i > 0:
            at = put(out_at, at, pieces.COMMA, 0, 1)
        at = put_provider(desk, out_at, at, claims[i * CLAIM + C_PROVIDER])
        if words:
            at = put_said(out_at, at, claims[i * CLAIM + C_VALUE])
        else:
            at = write_float(out, at, numbers[i * CLAIM + C_VALUE])
        at = put(out_at, at, pieces.AGE_1, pieces.AGE_2, 10)
        at = write_int(out, at, max(as_of - claims[i * CLAIM + C_TS], 0))
        share = rounded_share(work[col.SHARE, i])
        if share > 0.0:
            at = put_share(out_at, out_bytes, at, pieces.WEIGHT_1, pieces.WEIGHT_2, 10, share)
        why = int(work[col.CODE, i])
        if not all_used and why != col.USED and not work[col.SHARE, i] > 0.0:
            at = put_why(out_at, at, why)
        at = put(out_at, at, pieces.CLOSE, 0, 1)
    return at


def put_asides(desk: int, window: int, out_at: int, out_bytes: int, at: int) -> int:
    """Write what is set aside of those that have no claim."""
    out = octets(out_at, out_bytes)
    w = integers(window, WINDOW)
    words = holds_words(desk, window)
    first = w[W_SAID] == 0
    for k in range(w[W_ASIDE]):
        place = w[W_FIRST] + (w[W_ROOM] - 1 - k) * CLAIM * lay.WORD
        one = integers(place, CLAIM)
        if spoke(window, one[C_PROVIDER]):
            continue
        if not first:
            at = put(out_at, at, pieces.COMMA, 0, 1)
        first = False
        at = put_provider(desk, out_at, at, one[C_PROVIDER])
        if words:
            at = put_said(out_at, at, one[C_VALUE])
        else:
            at = write_float(out, at, floats(place, CLAIM)[C_VALUE])
        at = put(out_at, at, pieces.AGE_1, pieces.AGE_2, 10)
        at = write_int(out, at, one[C_AGE])
        at = put_why(out_at, at, one[C_WHY])
        at = put(out_at, at, pieces.CLOSE, 0, 1)
    return at


def newest_of(window: int) -> int:
    """Time of the newest claim; 0 for none."""
    w = integers(window, WINDOW)
    claims = integers(w[W_FIRST], w[W_SAID] * CLAIM)
    newest = 0
    for k in range(w[W_SAID]):
        newest = max(newest, claims[k * CLAIM + C_TS])
    return newest


def tellable(o_at: int) -> bool:
    """Whether an answer can be written here: numbers that JSON has, and a value whose digits fusion has rounded."""
    out = floats(o_at, col.OUT_WIDTH)
    for k in range(col.O_SPREAD + 1):
        if out[k] - out[k] != 0.0:
            return False
    size = abs(out[col.O_VALUE])
    return bool(size == 0.0 or (size > ROUNDED_ABOVE and size < ROUNDED_BELOW))


def put_number(desk: int, entity: int, window: int, out_at: int, out_bytes: int, at: int) -> int:
    """Fuse a window of numbers and write the answer up to its spread; -1 where Python must."""
    x = integers(desk, lay.DESK)
    out = octets(out_at, out_bytes)
    metric = integers(window, WINDOW)[W_METRIC]
    m = integers(x[lay.X_METRICS] + metric * lay.METRIC * lay.WORD, lay.METRIC)
    line = lesson_of(entity, metric)
    entry = 0
    capacity = 0
    if line != 0:
        lesson = integers(line, lay.LESSON)
        entry = lesson[lay.L_ENTRY]
        capacity = lesson[lay.L_CAPACITY]
    o_at = x[lay.X_SCRATCH] + G_OUT * lay.WORD
    used = fuse(desk, entity, window, entry, capacity, 0)
    if used == 0.0 or m[lay.M_RULE] == lay.RULE_PYTHON or not tellable(o_at):
        return -1
    o = floats(o_at, col.OUT_WIDTH)
    if m[lay.M_RULE] == lay.RULE_MODEL:
        at = write_digits(out, at, o[col.O_VALUE])
    else:
        choose(desk, entity, window, m[lay.M_SPEC], m[lay.M_RULE], o_at)
        at = write_float(out, at, o[col.O_VALUE])
    at = put_share(out_at, out_bytes, at, pieces.SURE_1, pieces.SURE_2, 14, o[col.O_CONF])
    at = write_digits(out, put(out_at, at, pieces.LOW, 0, 7), o[col.O_LOW])
    at = write_digits(out, put(out_at, at, pieces.HIGH, 0, 8), o[col.O_HIGH])
    return write_digits(out, put(out_at, at, pieces.SPREAD_1, pieces.SPREAD_2, 10), o[col.O_SPREAD])


def put_metric(desk: int, entity: int, window: int, out_at: int, out_bytes: int, at: int) -> int:
    """Fuse one window and write its answer, and add its quality to the head's; -1 where Python must."""
    x = integers(desk, lay.DESK)
    w = integers(window, WINDOW)
    out = octets(out_at, out_bytes)
    several = integers(x[lay.X_SCRATCH], HEAD)[G_WINDOWS] > 1
    m = integers(x[lay.X_METRICS] + w[W_METRIC] * lay.METRIC * lay.WORD, lay.METRIC)
    at = put_text(out_at, at, m[lay.M_NAME], m[lay.M_NAME_N])
    if w[W_SAID] == 0:
        at = put(out_at, at, pieces.NULL, 0, 4)
        at = put_share(out_at, out_bytes, at, pieces.SURE_1, pieces.SURE_2, 14, 0.0)
        at = put_text(out_at, put(out_at, at, pieces.COMMA, 0, 1), m[lay.M_METHOD], m[lay.M_METHOD_N])
        at = put(out_at, at, pieces.BY, 0, 7)
        at = put_asides(desk, window, out_at, out_bytes, at)
        at = put(out_at, at, pieces.END_BY, 0, 1)
        if several:
            at = put(out_at, at, pieces.QUALITY_1, pieces.QUALITY_2, 11)
            at = put_quality(out_at, out_bytes, at, 0.0, 0.0, 0.0, 0.0, 0.0)
        return put(out_at, at, pieces.CLOSE, 0, 1)
    o_at = x[lay.X_SCRATCH] + G_OUT * lay.WORD
    if m[lay.M_KIND] == lay.KIND_NUMBER:
        at = put_number(desk, entity, window, out_at, out_bytes, at)
    else:
        told = answer_words(desk, entity, window, o_at)
        if told < 0:
            return -1
        at = put_said(out_at, at, integers(w[W_FIRST] + told * CLAIM * lay.WORD, CLAIM)[C_VALUE])
        at = put_share(out_at, out_bytes, at, pieces.SURE_1, pieces.SURE_2, 14, floats(o_at, col.OUT_WIDTH)[col.O_CONF])
    if at < 0:
        return -1
    o = floats(o_at, col.OUT_WIDTH)
    used = o[col.O_USED]
    voices = o[col.O_VOICES]
    at = write_int(out, put(out_at, at, pieces.SOURCES_1, pieces.SOURCES_2, 11), int(used))
    at = put_share(out_at, out_bytes, at, pieces.VOICES_1, pieces.VOICES_2, 10, voices)
    at = put_text(out_at, put(out_at, at, pieces.COMMA, 0, 1), m[lay.M_METHOD], m[lay.M_METHOD_N])
    at = write_int(out, put(out_at, at, pieces.AS_OF_1, pieces.AS_OF_2, 12), newest_of(window))
    at = put(out_at, at, pieces.BY, 0, 7)
    at = put_claims(desk, entity, window, out_at, out_bytes, at, used == float(w[W_SAID]))
    at = put_asides(desk, window, out_at, out_bytes, at)
    at = put(out_at, at, pieces.END_BY, 0, 1)
    diverse = 1.0 - 1.0 / voices if voices > 1.0 else 0.0
    if several:
        at = put(out_at, at, pieces.QUALITY_1, pieces.QUALITY_2, 11)
        at = put_quality(
            out_at, out_bytes, at, 1.0, o[col.O_CONSISTENCY], o[col.O_TIMELINESS], diverse, o[col.O_CONF]
        )  # fmt: skip
    sums = floats(x[lay.X_SCRATCH], HEAD)
    sums[G_VALUED] += 1.0
    sums[G_CONSISTENT] += o[col.O_CONSISTENCY]
    sums[G_TIMELY] += o[col.O_TIMELINESS]
    sums[G_DIVERSE] += diverse
    sums[G_SURE] += o[col.O_CONF]
    # The asset in which money is told (rank 0) is not valued by itself.
    if w[W_METRIC] == x[lay.X_PRICE] and integers(entity, lay.ENTITY)[lay.E_RANK] > 0:
        sums[G_PRICE] = o[col.O_VALUE]
    return put(out_at, at, pieces.CLOSE, 0, 1)


def room_for(desk: int, entity: int) -> int:
    """Bytes that the record of the gathered windows takes at most."""
    x = integers(desk, lay.DESK)
    e = integers(entity, lay.ENTITY)
    head = integers(x[lay.X_SCRATCH], HEAD)
    windows = integers(listed(desk), x[lay.X_METRICS_N])
    room = RECORD_BYTES + 7 * e[lay.E_KEY] + x[lay.X_CATEGORY_N]
    quote = e[lay.E_QUOTE] if e[lay.E_QUOTE] >= 0 else lay.TARGET_QUOTE
    room += integers(x[lay.X_QUOTES] + quote * lay.QUOTE * lay.WORD, lay.QUOTE)[lay.Q_NAME_N]
    for k in range(head[G_WINDOWS]):
        w = integers(windows[k], WINDOW)
        m = integers(x[lay.X_METRICS] + w[W_METRIC] * lay.METRIC * lay.WORD, lay.METRIC)
        room += METRIC_BYTES + m[lay.M_NAME_N] + m[lay.M_METHOD_N]
        words = holds_words(desk, windows[k])
        for i in range(w[W_ROOM]):
            if i < w[W_SAID] or i >= w[W_ROOM] - w[W_ASIDE]:
                one = integers(w[W_FIRST] + i * CLAIM * lay.WORD, CLAIM)
                provider = one[C_PROVIDER]
                a = integers(x[lay.X_PROVIDERS] + provider * lay.PROVIDER * lay.WORD, lay.PROVIDER)
                room += SAID_BYTES + a[lay.A_NAME_N]
                if words:
                    # Once where it is said, and once as the answer.
                    room += 2 * integers(one[C_VALUE], lay.TEXT)[lay.T_BYTES]
    return int(room)


def write_record(desk: int, entity: int, out_at: int, out_bytes: int, at: int) -> int:
    """Write the record of the gathered windows; where it ends, or -1 where Python must."""
    x = integers(desk, lay.DESK)
    e = integers(entity, lay.ENTITY)
    out = octets(out_at, out_bytes)
    head = integers(x[lay.X_SCRATCH], HEAD)
    sums = floats(x[lay.X_SCRATCH], HEAD)
    windows = integers(listed(desk), x[lay.X_METRICS_N])
    origins = integers(x[lay.X_ORIGINS] + 2 * head[G_ORIGIN] * lay.WORD, 2)
    sums[G_PRICE] = math.nan
    at = write_key(out, put(out_at, at, pieces.ENTITY_1, pieces.ENTITY_2, 11), entity)
    at = put_text(
        out_at, put(out_at, at, pieces.CATEGORY_1, pieces.CATEGORY_2, 13), x[lay.X_CATEGORY], x[lay.X_CATEGORY_N]
    )
    at = write_int(out, put(out_at, at, pieces.VERSION_1, pieces.VERSION_2, 11), e[lay.E_VERSION])
    at = write_int(out, put(out_at, at, pieces.AS_OF_1, pieces.AS_OF_2, 12), e[lay.E_AS_OF])
    at = put_text(out_at, put(out_at, at, pieces.ORIGIN_1, pieces.ORIGIN_2, 10), origins[0], origins[1])
    at = put(out_at, at, pieces.METRICS_1, pieces.METRICS_2, 12)
    count = head[G_WINDOWS]
    for k in range(count):
        if k > 0:
            at = put(out_at, at, pieces.COMMA, 0, 1)
        at = put_metric(desk, entity, windows[k], out_at, out_bytes, at)
        if at < 0:
            return -1
    at = put(out_at, at, pieces.CLOSE, 0, 1)
    if head[G_MONEY] != 0:
        quote = e[lay.E_QUOTE] if e[lay.E_QUOTE] >= 0 else lay.TARGET_QUOTE
        q = integers(x[lay.X_QUOTES] + quote * lay.QUOTE * lay.WORD, lay.QUOTE)
        at = put_text(out_at, put(out_at, at, pieces.QUOTE_1, pieces.QUOTE_2, 9), q[lay.Q_NAME], q[lay.Q_NAME_N])
    n = max(sums[G_VALUED], 1.0)
    at = put_quality(
        out_at, out_bytes, put(out_at, at, pieces.QUALITY_1, pieces.QUALITY_2, 11), sums[G_VALUED] / count, sums[G_CONSISTENT] / n,
        sums[G_TIMELY] / n, sums[G_DIVERSE] / n, sums[G_SURE] / n,
    )  # fmt: skip
    return put(out_at, at, pieces.CLOSE, 0, 1)


def render_rows(desk: int, count: int, entities_at: int, out_at: int, out_bytes: int, spans_at: int) -> int:
    """Write the records of these entities one after another, and SPAN words about each; how many were done before it was full.

    A record that does not fit into the whole output is refused. Nothing is learned, and nothing of an entity is changed.
    """
    x = integers(desk, lay.DESK)
    entities = integers(entities_at, count)
    factor = floats(desk, lay.DESK)[lay.X_FACTOR]
    at = 0
    for k in range(count):
        entity = entities[k]
        span_at = spans_at + k * SPAN * lay.WORD
        span = integers(span_at, SPAN)
        span[S_REFUSED] = 1
        if gather(desk, entity, factor) != 0:
            continue
        if at + room_for(desk, entity) > out_bytes:
            if at > 0:
                return k
            continue
        end = write_record(desk, entity, out_at, out_bytes, at)
        if end < 0:
            continue
        key_n = integers(entity, lay.ENTITY)[lay.E_KEY]
        span[S_REFUSED] = 0
        span[S_BEGIN] = at
        span[S_END] = end
        span[S_KEY_BEGIN] = end
        span[S_KEY_END] = put_text(out_at, end, entity + lay.ENTITY * lay.WORD, key_n)
        floats(span_at, SPAN)[S_PRICE] = floats(x[lay.X_SCRATCH], HEAD)[G_PRICE]
        span[S_ORIGIN] = integers(x[lay.X_SCRATCH], HEAD)[G_ORIGIN]
        at = span[S_KEY_END]
    return count
