"""The fold: raw records in log order change entities. What is rare, or needs Python's objects, ends the call with a reason."""

from __future__ import annotations

import math

from schemas.events import CONTROL_RATES
from services.aggregator.compiled.memory import floats, integers
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.bars import bar_add
from services.aggregator.kernels.blocks import add_statement, appetite, find_statement, put_value
from services.aggregator.kernels.index import find_entity, new_entity, same_bytes
from services.aggregator.kernels.scan import read, scan
from services.aggregator.kernels.teach import teach
from services.aggregator.kernels.trades import heard, told
from services.aggregator.kernels.trim import trim

MINUTE_MS = 60_000
CONTROL = CONTROL_RATES.encode()
CONTROL_BYTES = len(CONTROL)
CONTROL_BEGIN, CONTROL_END = (int.from_bytes(part, "little") for part in (CONTROL[:8], CONTROL[-8:]))
QUOTES, TRADED = 1, 2
"""N_BAR: what a source makes bars of."""


def rate_of(desk: int, entity: int, source: int) -> float:
    """What money of this source is multiplied with for this entity; NaN where nothing is money, or no rate is known."""
    x = integers(desk, at.DESK)
    n = integers(source, at.SOURCE)
    e = integers(entity, at.ENTITY)
    quote = n[at.N_QUOTE]
    if n[at.N_MONEY] == 0:
        return math.nan
    if e[at.E_QUOTE] >= 0:
        return 1.0 if quote == at.NO_QUOTE or quote == e[at.E_QUOTE] else math.nan
    if quote == at.TARGET_QUOTE:
        return 1.0
    if quote == at.NO_QUOTE:
        return math.nan
    asset = x[at.X_QUOTES] + quote * at.QUOTE * at.WORD
    rank = integers(asset, at.QUOTE)[at.Q_RANK]
    # An asset is valued only in quotes of a lower rank, so that rates cannot feed on themselves.
    if e[at.E_RANK] >= 0 and (rank < 0 or rank >= e[at.E_RANK]):
        return math.nan
    return float(floats(asset, at.QUOTE)[at.Q_RATE])


def is_control(key: int, n: int) -> bool:
    """Whether this is the key of the records that tell rates, which are no entity."""
    if n != CONTROL_BYTES:
        return False
    return bool(integers(key, 1)[0] == CONTROL_BEGIN and integers(key + n - at.WORD, 1)[0] == CONTROL_END)


def within(desk: int, source: int, values: int) -> bool:
    """Whether all numbers lie where they must."""
    x = integers(desk, at.DESK)
    n = integers(source, at.SOURCE)
    count = n[at.N_COUNT]
    said = floats(values, count)
    places = floats(x[at.X_PLACES] + n[at.N_VALUES] * at.PLACE * at.WORD, count * at.PLACE)
    kinds = integers(x[at.X_PLACES] + n[at.N_VALUES] * at.PLACE * at.WORD, count * at.PLACE)
    for k in range(count):
        if kinds[k * at.PLACE + at.P_KIND] != at.KIND_NUMBER:
            continue
        if not (said[k] >= places[k * at.PLACE + at.P_LOW] and said[k] <= places[k * at.PLACE + at.P_HIGH]):
            return False
    return True


def keep_values(desk: int, source: int, statement: int, values: int) -> None:
    """Put what was read into the place of what a statement said before, texts among it."""
    x = integers(desk, at.DESK)
    n = integers(source, at.SOURCE)
    count = n[at.N_COUNT]
    places = integers(x[at.X_PLACES] + n[at.N_VALUES] * at.PLACE * at.WORD, count * at.PLACE)
    said = integers(values, at.MOST_HOLES + count)
    held = integers(statement + at.STATEMENT * at.WORD, count)
    for k in range(count):
        if places[k * at.PLACE + at.P_KIND] == at.KIND_NUMBER:
            held[k] = said[k]
        else:
            held[k] = put_value(desk, held[k], said[k], said[at.MOST_HOLES + k])


def fold_rows(desk: int, rows: int) -> int:
    """Fold records from R_AT on; the reason why it ended before the last one stands in R_WHY."""
    x = integers(desk, at.DESK)
    r = integers(rows, at.ROWS)
    count = r[at.R_COUNT]
    text = r[at.R_TEXT]
    offsets = integers(r[at.R_OFFSETS], count)
    stamps = integers(r[at.R_STAMPS], count)
    key_begins = integers(r[at.R_KEY_BEGINS], count)
    key_ends = integers(r[at.R_KEY_ENDS], count)
    begins = integers(r[at.R_BEGINS], count)
    ends = integers(r[at.R_ENDS], count)
    said = integers(r[at.R_SAID], at.SAID)
    ready = integers(r[at.R_READY_AT], count)
    later = integers(r[at.R_LATER_AT], 2 * count)
    changed = integers(r[at.R_CHANGED_AT], count)
    opened = integers(r[at.R_OPENED_AT], 2 * count)
    reopened = integers(r[at.R_REOPENED_AT], 2 * count)
    now = r[at.R_NOW]
    window = integers(x[at.X_WINDOWS], 1)[0]
    row = r[at.R_AT]
    why = at.WHY_DONE
    while row < count:
        offset = offsets[row]
        if offset <= x[at.X_POSITION]:
            r[at.R_REPLAYED] += 1
            row += 1
            continue
        key_n = key_ends[row] - key_begins[row]
        if (
            begins[row] < 0
            or key_begins[row] < 0
            or key_n <= 0
            or not (0 < ends[row] - begins[row] <= x[at.X_MAX_BYTES])
        ):
            why = at.WHY_CAREFUL
            break
        if x[at.X_END] - x[at.X_NEXT] < at.MARGIN:
            r[at.R_NEED] = at.MARGIN
            why = at.WHY_MEMORY
            break
        template = scan(desk, text, begins[row], ends[row], r[at.R_HOLES])
        if template <= 0:
            why = at.WHY_UNKNOWN if template == 0 else at.WHY_CAREFUL
            break
        number = integers(template, at.TEMPLATE)[at.H_SOURCE]
        if number < 0 or read(desk, template, text, r[at.R_HOLES], r[at.R_SAID]) != 0:
            why = at.WHY_CAREFUL
            break
        key = text + key_begins[row]
        named = said[at.Y_ENTITY]
        source = x[at.X_SOURCES] + number * at.SOURCE * at.WORD
        values = r[at.R_SAID] + at.SAID * at.WORD
        if (
            said[at.Y_ENTITY_END] - named != key_n or not same_bytes(text + named, key, key_n)
            or not within(desk, source, values)
        ):  # fmt: skip
            why = at.WHY_CAREFUL
            break
        received = said[at.Y_RECEIVED]
        log = x[at.X_LOG]
        if received > log:
            if (stamps[row] >= 0 and received > stamps[row] + x[at.X_FUTURE]) or received > at.LATEST_MS:
                why = at.WHY_CAREFUL
                break
            if received >= x[at.X_TURN]:
                r[at.R_RECEIVED] = received
                why = at.WHY_TURN
                break
            log = received
        elif received < x[at.X_EARLIEST]:
            why = at.WHY_CAREFUL
            break
        n = integers(source, at.SOURCE)
        ts = received
        if said[at.Y_TIMED] != 0:
            ts = min(said[at.Y_EVENT], received + x[at.X_SKEW])
        traded = n[at.N_BAR] == TRADED
        if log - ts > n[at.N_KEEP] or (traded and ts < log - x[at.X_LATENESS] - MINUTE_MS):
            why = at.WHY_CAREFUL
            break
        entity = find_entity(desk, key, key_n)
        if entity == 0:
            if 2 * x[at.X_INDEX_USED] > x[at.X_INDEX_MASK]:
                why = at.WHY_INDEX
                break
            if is_control(key, key_n):
                why = at.WHY_CAREFUL
                break
            entity = new_entity(desk, key, key_n)
            if entity == 0:
                why = at.WHY_QUOTE
                break
        e = integers(entity, at.ENTITY)
        r[at.R_ENTITY] = entity
        need = appetite(entity)
        if x[at.X_END] - x[at.X_NEXT] < need:
            r[at.R_NEED] = need
            why = at.WHY_MEMORY
            break
        if e[at.E_VERSION] >= 0 and log - e[at.E_AS_OF] > x[at.X_EXPIRE]:
            why = at.WHY_CAREFUL
            break
        line = find_statement(desk, entity, number)
        newer = True
        if line != 0:
            held = integers(e[at.E_SAID] + integers(line, at.DIRECTORY)[at.D_AT] * at.WORD, at.STATEMENT)
            newer = ts > held[at.S_TS] or (ts == held[at.S_TS] and said[at.Y_TIE] > held[at.S_TIE])
        if not newer and not traded:
            x[at.X_POSITION] = offset
            x[at.X_LOG] = log
            r[at.R_UNCHANGED] += 1
            row += 1
            continue
        x[at.X_LOG] = log
        if received >= e[at.E_LEARN_AT]:
            # What is said again closes no window: nothing of it is remembered, and a restart would not know.
            if traded and heard(entity, number, said[at.Y_TIE]):
                x[at.X_POSITION] = offset
                r[at.R_UNCHANGED] += 1
                row += 1
                continue
            if e[at.E_COUNT] > 1 and received // MINUTE_MS != e[at.E_AS_OF] // MINUTE_MS:
                trim(desk, entity)
                line = find_statement(desk, entity, number)
            if teach(desk, entity, received) != 0:
                r[at.R_RECEIVED] = received
                why = at.WHY_LEARN
                break
            e[at.E_LEARN_AT] = received - received % window + window
        x[at.X_POSITION] = offset
        row += 1
        if traded and told(desk, entity, number, said[at.Y_TIE]) != 0:
            r[at.R_UNCHANGED] += 1
            continue
        version = x[at.X_BASE] + offset
        rate = rate_of(desk, entity, source)
        told_values = floats(values, n[at.N_COUNT])
        if n[at.N_BAR] != 0 and rate == rate:
            size = 0.0
            if traded and n[at.N_SIZE] >= 0:
                size = told_values[n[at.N_SIZE]]
            quote = n[at.N_QUOTE] if rate == 1.0 else at.TARGET_QUOTE
            made = bar_add(
                desk, entity, number, ts, told_values[n[at.N_PRICE]] * rate, size, 1 if traded else 0, quote, version
            )  # fmt: skip
            start = ts - ts % MINUTE_MS
            if made >= 4:
                k = 2 * r[at.R_REOPENED]
                reopened[k] = entity
                reopened[k + 1] = start
                r[at.R_REOPENED] += 1
            elif made == 2:
                k = 2 * r[at.R_OPENED]
                opened[k] = entity
                opened[k + 1] = start
                r[at.R_OPENED] += 1
        if newer:
            if line == 0:
                line = add_statement(desk, entity, number)
            statement = e[at.E_SAID] + integers(line, at.DIRECTORY)[at.D_AT] * at.WORD
            words = integers(statement, at.STATEMENT)
            words[at.S_TS] = ts
            words[at.S_TIE] = said[at.Y_TIE]
            numbers = floats(statement, at.STATEMENT + n[at.N_COUNT])
            numbers[at.S_RATE] = rate
            if n[at.N_WORDS] != 0:
                keep_values(desk, source, statement, values)
            else:
                for k in range(n[at.N_COUNT]):
                    numbers[at.STATEMENT + k] = told_values[k]
        e[at.E_VERSION] = version
        if received > e[at.E_AS_OF]:
            e[at.E_AS_OF] = received
        flags = e[at.E_FLAGS] & ~at.F_PAYLOAD
        if not flags & at.F_CHANGED:
            flags |= at.F_CHANGED
            changed[r[at.R_CHANGED]] = entity
            r[at.R_CHANGED] += 1
        if not flags & at.F_DIRTY:
            flags |= at.F_DIRTY
            due = e[at.E_SENT_AT] + x[at.X_EMIT]
            if r[at.R_BEHIND]:
                due = now + x[at.X_BEHIND]
            if due <= now:
                ready[r[at.R_READY]] = entity
                r[at.R_READY] += 1
            else:
                k = 2 * r[at.R_LATER]
                later[k] = entity
                later[k + 1] = due
                r[at.R_LATER] += 1
        e[at.E_FLAGS] = flags
        r[at.R_FOLDED] += 1
    r[at.R_AT] = row
    r[at.R_WHY] = why
    return why
