"""The windows of one entity: who says what of each metric now, and what is set aside; what `engine.emit.claims` tells Python.

All of it stands in the scratch memory until the next call of anything that uses it: head, place of each metric, windows, two
lists of windows, ordered statements, then what is said, CLAIM words each, window by window. In a window claims come from the
front and asides from the back.
"""

from __future__ import annotations

from services.aggregator.compiled.memory import floats, integers
from services.aggregator.fusion.layout import MOST_SOURCES, OUT_WIDTH
from services.aggregator.kernels import layout as lay

# Head: windows, the least real origin, whether a window is of money; sums over the metrics that have a value, and the price
# (all (f)); then one row of fusion's OUTS.
(
    G_WINDOWS,
    G_ORIGIN,
    G_MONEY,
    G_VALUED,
    G_CONSISTENT,
    G_TIMELY,
    G_DIVERSE,
    G_SURE,
    G_PRICE,
    G_OUT,
) = range(10)
HEAD = G_OUT + OUT_WIDTH
# One window. The bits say who may have spoken (or be shown aside), so that a list is searched only where it is likely.
W_METRIC, W_SAID, W_ASIDE, W_FIRST, W_ROOM, W_SPOKEN, W_SHOWN, WINDOW = range(8)
"""W_SAID, W_ASIDE: how many claims and asides; W_FIRST: address of the first claim; W_ROOM: for how many of both."""
# One statement in the order in which they speak.
O_RANK, O_TS, O_NUMBER, O_STATEMENT, O_SOURCE, ORDERED = range(6)
# What one provider says: value (f, or the address of a text), time, weight (f), provider, group, and of words the number of the
# claim that said the same first (words.py); or, aside: value, age, why, provider.
C_VALUE, C_TS, C_WEIGHT, C_PROVIDER, C_GROUP, C_CLASS, CLAIM = range(7)
C_AGE, C_WHY = 1, 2

STALE, NO_RATE, CIRCULAR, OTHER_QUOTE = 7, 8, 9, 10
"""Why something is aside; the numbers before are fusion's reasons."""
BITS = 62
"""Of a word that is also written by Python."""


def windows_of(desk: int) -> int:
    """Address of the first window."""
    x = integers(desk, lay.DESK)
    return int(x[lay.X_SCRATCH] + (HEAD + x[lay.X_METRICS_N]) * lay.WORD)


def listed(desk: int) -> int:
    """Address of the list of the windows' addresses in the order of the record; behind it the one of windows with asides."""
    return int(windows_of(desk) + integers(desk, lay.DESK)[lay.X_METRICS_N] * WINDOW * lay.WORD)


def arrange(desk: int, entity: int) -> int:
    """Order the statements, and make a window with room for each metric; 1 where Python must."""
    x = integers(desk, lay.DESK)
    e = integers(entity, lay.ENTITY)
    count = e[lay.E_COUNT]
    metrics_n = x[lay.X_METRICS_N]
    head = integers(x[lay.X_SCRATCH], HEAD + metrics_n)
    for k in range(HEAD + metrics_n):
        head[k] = 0
    first = windows_of(desk)
    ordered_at = listed(desk) + 2 * metrics_n * lay.WORD
    room = (x[lay.X_SCRATCH] + lay.SCRATCH * lay.WORD - ordered_at) // lay.WORD - count * ORDERED
    if count == 0 or room < 0:
        return 1
    ordered = integers(ordered_at, count * ORDERED)
    lines = integers(e[lay.E_INDEX], count * lay.DIRECTORY)
    for k in range(count):
        number = lines[k * lay.DIRECTORY + lay.D_SOURCE]
        statement = e[lay.E_SAID] + lines[k * lay.DIRECTORY + lay.D_AT] * lay.WORD
        source = x[lay.X_SOURCES] + number * lay.SOURCE * lay.WORD
        n = integers(source, lay.SOURCE)
        values = n[lay.N_COUNT]
        room -= values * CLAIM
        if n[lay.N_PLAIN] == 0 or room < 0:
            return 1
        if n[lay.N_ORIGIN] > head[G_ORIGIN]:
            head[G_ORIGIN] = n[lay.N_ORIGIN]
        places = integers(x[lay.X_PLACES] + n[lay.N_VALUES] * lay.PLACE * lay.WORD, values * lay.PLACE)
        for v in range(values):
            metric = places[v * lay.PLACE + lay.P_METRIC]
            window = head[HEAD + metric]
            if window == 0:
                window = first + head[G_WINDOWS] * WINDOW * lay.WORD
                head[G_WINDOWS] += 1
                head[HEAD + metric] = window
                w = integers(window, WINDOW)
                for word in range(WINDOW):
                    w[word] = 0
                w[W_METRIC] = metric
            integers(window, WINDOW)[W_ROOM] += 1
        rank = n[lay.N_RANK]
        ts = integers(statement, lay.STATEMENT)[lay.S_TS]
        b = k * ORDERED
        while b > 0:
            before = b - ORDERED
            if ordered[before + O_RANK] < rank:
                break
            if ordered[before + O_RANK] == rank:
                if ordered[before + O_TS] > ts:
                    break
                if ordered[before + O_TS] == ts and ordered[before + O_NUMBER] < number:
                    break
            for word in range(ORDERED):
                ordered[b + word] = ordered[before + word]
            b = before
        ordered[b + O_RANK] = rank
        ordered[b + O_TS] = ts
        ordered[b + O_NUMBER] = number
        ordered[b + O_STATEMENT] = statement
        ordered[b + O_SOURCE] = source
    claims = ordered_at + count * ORDERED * lay.WORD
    for k in range(head[G_WINDOWS]):
        w = integers(first + k * WINDOW * lay.WORD, WINDOW)
        w[W_FIRST] = claims
        claims += w[W_ROOM] * CLAIM * lay.WORD
    return 0


def spoke(w: int, provider: int) -> bool:
    """Whether the provider has a claim in this window."""
    window = integers(w, WINDOW)
    if not window[W_SPOKEN] & (1 << (provider % BITS)):
        return False
    claims = integers(window[W_FIRST], window[W_SAID] * CLAIM)
    found = False
    for k in range(window[W_SAID]):
        if claims[k * CLAIM + C_PROVIDER] == provider:
            found = True
            break
    return found


def put_aside(w: int, provider: int, value: float, age: int, why: int) -> bool:
    """Show what a provider says aside, unless it is shown already; whether it is the window's first."""
    window = integers(w, WINDOW)
    shown = window[W_ASIDE]
    bit = 1 << (provider % BITS)
    last = window[W_FIRST] + (window[W_ROOM] - 1) * CLAIM * lay.WORD
    if window[W_SHOWN] & bit:
        for k in range(shown):
            if integers(last - k * CLAIM * lay.WORD, CLAIM)[C_PROVIDER] == provider:
                return False
    at = last - shown * CLAIM * lay.WORD
    one = integers(at, CLAIM)
    floats(at, CLAIM)[C_VALUE] = value
    one[C_AGE] = max(age, 0)
    one[C_WHY] = why
    one[C_PROVIDER] = provider
    window[W_SHOWN] |= bit
    window[W_ASIDE] = shown + 1
    return bool(shown == 0)


def no_rate(desk: int, entity: int, quote: int) -> int:
    """Why money in this quote cannot be converted for the entity."""
    e = integers(entity, lay.ENTITY)
    if e[lay.E_QUOTE] >= 0:
        return OTHER_QUOTE
    if quote != lay.NO_QUOTE and e[lay.E_RANK] >= 0:
        rank = integers(integers(desk, lay.DESK)[lay.X_QUOTES] + quote * lay.QUOTE * lay.WORD, lay.QUOTE)[lay.Q_RANK]
        if rank < 0 or rank >= e[lay.E_RANK]:
            return CIRCULAR
    return NO_RATE


def hear(desk: int, entity: int) -> int:
    """Let the ordered statements speak; 1 where Python must."""
    x = integers(desk, lay.DESK)
    e = integers(entity, lay.ENTITY)
    metrics_n = x[lay.X_METRICS_N]
    head = integers(x[lay.X_SCRATCH], HEAD + metrics_n)
    list_at = listed(desk)
    count = e[lay.E_COUNT]
    order = integers(list_at, metrics_n)
    aside = integers(list_at + metrics_n * lay.WORD, metrics_n)
    ordered = integers(list_at + 2 * metrics_n * lay.WORD, count * ORDERED)
    claimed = 0
    asides = 0
    for k in range(count):
        n = integers(ordered[k * ORDERED + O_SOURCE], lay.SOURCE)
        values = n[lay.N_COUNT]
        statement = floats(ordered[k * ORDERED + O_STATEMENT], lay.STATEMENT + values)
        places = integers(x[lay.X_PLACES] + n[lay.N_VALUES] * lay.PLACE * lay.WORD, values * lay.PLACE)
        rate = statement[lay.S_RATE]
        provider = n[lay.N_PROVIDER]
        ts = ordered[k * ORDERED + O_TS]
        age = e[lay.E_AS_OF] - ts
        for v in range(values):
            metric = places[v * lay.PLACE + lay.P_METRIC]
            m = integers(x[lay.X_METRICS] + metric * lay.METRIC * lay.WORD, lay.METRIC)
            window = head[HEAD + metric]
            w = integers(window, WINDOW)
            said = w[W_SAID]
            if said > 0 and spoke(window, provider):
                continue
            value = statement[lay.STATEMENT + v]
            why = 0
            if m[lay.M_MONEY] != 0:
                head[G_MONEY] = 1
                if rate != rate:
                    why = no_rate(desk, entity, n[lay.N_QUOTE])
                else:
                    value *= rate
            if why == 0 and age > m[lay.M_FRESH]:
                why = STALE
            if m[lay.M_KIND] == lay.KIND_NUMBER and value - value != 0.0:
                return 1
            if why != 0:
                if put_aside(window, provider, value, age, why):
                    aside[asides] = window
                    asides += 1
                continue
            if said == MOST_SOURCES:
                return 1
            if said == 0:
                order[claimed] = window
                claimed += 1
            at = w[W_FIRST] + said * CLAIM * lay.WORD
            one = integers(at, CLAIM)
            numbers = floats(at, CLAIM)
            numbers[C_VALUE] = value
            one[C_TS] = ts
            numbers[C_WEIGHT] = floats(ordered[k * ORDERED + O_SOURCE], lay.SOURCE)[lay.N_WEIGHT]
            one[C_PROVIDER] = provider
            one[C_GROUP] = n[lay.N_GROUP]
            w[W_SPOKEN] |= 1 << (provider % BITS)
            w[W_SAID] = said + 1
    for k in range(asides):
        # What nobody claims is told last, without a value.
        if integers(aside[k], WINDOW)[W_SAID] == 0:
            order[claimed] = aside[k]
            claimed += 1
    return 0


def far_apart(window: int, factor: float) -> bool:
    """Whether any two claims of a window are further apart than this, or not above zero (engine.quarantine)."""
    w = integers(window, WINDOW)
    claims = floats(w[W_FIRST], w[W_SAID] * CLAIM)
    least = claims[C_VALUE]
    most = least
    for k in range(1, w[W_SAID]):
        value = claims[k * CLAIM + C_VALUE]
        if value < least:
            least = value
        if value > most:
            most = value
    return not (most > 0.0 and most <= factor * least)


def peers(desk: int) -> int:
    """Address of the window by which newcomers are judged, if enough speak in it for that; else 0."""
    x = integers(desk, lay.DESK)
    metric = x[lay.X_NEWCOMER]
    if metric < 0:
        return 0
    window = int(integers(x[lay.X_SCRATCH], HEAD + x[lay.X_METRICS_N])[HEAD + metric])
    if window != 0 and integers(window, WINDOW)[W_SAID] > x[lay.X_PEERS]:
        return window
    return 0


def gather(desk: int, entity: int, factor: float) -> int:
    """Fill the windows; 1 where Python must, as it must where newcomers' prices are further apart than `factor`."""
    if arrange(desk, entity) != 0 or hear(desk, entity) != 0:
        return 1
    window = peers(desk)
    if window != 0 and far_apart(window, factor):
        return 1
    return 0
