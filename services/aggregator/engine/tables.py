"""Who says what, as kernels read it: sources, their values, metrics, providers, groups and quote assets, by number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec
import numpy as np

from schemas.metrics import Spec
from services.aggregator.compiled.memory import floats
from services.aggregator.engine.memory import Memory, doubles_at, words_at
from services.aggregator.engine.model import EARLIEST_MS, ORIGINS
from services.aggregator.engine.rules import ROBUST, TARGET, kind_of
from services.aggregator.fusion.state import MOST_ROWS
from services.aggregator.kernels import layout as at

if TYPE_CHECKING:
    from services.aggregator.engine.model import Source
    from services.aggregator.engine.rules import Rules
    from services.aggregator.fusion import Fuser
    from services.aggregator.fusion.state import State
    from services.aggregator.fusion.words import Words

UNKNOWN_GROUP = -1 - 8 * MOST_ROWS
"""Numbers of groups that fusion does not know go down from here, below those that it gives to strangers itself."""
NO_BAR, QUOTES, TRADES = range(3)
"""N_BAR: what bars are made of."""
RULES = {ROBUST: at.RULE_MODEL, "median": at.RULE_MEDIAN, "most_recent": at.RULE_NEWEST}
"""Strategy -> M_RULE."""
WORD_RULES = {"most_recent": at.RULE_NEWEST, "source_priority": at.RULE_WEIGHT}
"""The same for words; all others are decided by the belief alone."""
PRICE_TOLD = {"market": "price"}
"""Category -> metric whose value is told beside a record: assets in which money is quoted are valued by it."""


class Table:
    """Lines of `width` words at an address that stands in a word of the desk; moves when it grows."""

    def __init__(self, memory: Memory, word: int, width: int, room: int = 16) -> None:
        self._memory = memory
        self._word = word
        self.width = width
        self.count = 0
        self._hold(memory.block(width * room), room)

    def _hold(self, address: int, room: int) -> None:
        self._memory.desk[self._word] = self.address = address
        self.room = room
        self.words = words_at(address, self.width * room)
        """All its lines, one after another."""
        self.floats = doubles_at(address, self.width * room)

    def add(self, lines: int = 1) -> int:
        """Number of the first of so many new lines, of noughts."""
        number = self.count
        self.count += lines
        if self.count > self.room:
            before, words, room = self.address, self.words, self.room
            more = max(2 * room, self.count)
            address = self._memory.block(self.width * more)
            words_at(address, len(words))[:] = words
            self._hold(address, more)
            self._memory.release(before, self.width * room)
        return number

    def line(self, number: int) -> int:
        """Place of a line in `words`."""
        return number * self.width


class Tables:
    """The tables of one partition, and what of them depends on what its fuser knows."""

    def __init__(self, memory: Memory, rules: Rules) -> None:
        self._memory = memory
        self._rules = rules
        desk = memory.desk
        self.sources = Table(memory, at.X_SOURCES, at.SOURCE)
        self.places = Table(memory, at.X_PLACES, at.PLACE, 64)
        self.metrics = Table(memory, at.X_METRICS, at.METRIC, max(1, len(rules.specs)))
        self.providers = Table(memory, at.X_PROVIDERS, at.PROVIDER)
        self.groups = Table(memory, at.X_GROUPS, at.GROUP)
        self.quotes = Table(memory, at.X_QUOTES, at.QUOTE)
        self.number_of: dict[str, int] = {}
        """Metric -> number, in the order of the catalogue."""
        self.metric_names = list(rules.specs)
        self.provider_of: dict[str, int] = {}
        self.group_of: dict[str, int] = {}
        self.quote_of: dict[str, int] = {}
        self.quote_names: list[str] = []
        self.provider_names: list[str] = []
        self.listed: list[Source] = []
        """Sources by number."""
        self._stems: dict[tuple[str, str, str | None, str], int] = {}
        self._rows = 0, 0
        """Words and address of the table at X_ROWS."""
        self._records_at = 0
        self.fuser: Fuser | None = None
        self._met = self._heard = -1
        for spec in rules.specs.values():
            self._add_metric(spec)
        desk[at.X_METRICS_N] = len(self.number_of)
        desk[at.X_TOUCHED] = memory.block(max(1, len(self.number_of)))
        for quote in ("", TARGET, *rules.ranks):
            self.quote(quote)
        self._write_limits()
        self._lay_rows()

    # --- what is known from the start -----------------------------------------------------------------------------

    def _text(self, text: str) -> tuple[int, int]:
        """Address and length of a text that stays."""
        data = text.encode()
        return self._memory.keep(data), len(data)

    def _json(self, text: str) -> tuple[int, int]:
        return self._text(msgspec.json.encode(text).decode())

    def _add_metric(self, spec: Spec) -> None:
        number = self.metrics.add()
        self.number_of[spec.name] = number
        line, words = self.metrics.line(number), self.metrics.words
        words[line + at.M_MONEY] = spec.money
        words[line + at.M_FRESH] = spec.freshness_ms
        words[line + at.M_WINDOW] = spec.window_ms
        if spec.number:
            words[line + at.M_RULE] = RULES.get(spec.strategy, at.RULE_PYTHON)
        else:
            words[line + at.M_RULE] = WORD_RULES.get(spec.strategy, at.RULE_MODEL)
        words[line + at.M_KIND] = kind_of(spec)
        self.metrics.floats[line + at.M_TOLERANCE] = spec.tolerance
        name, method = (msgspec.json.encode(text).decode() for text in (spec.name, spec.strategy))
        words[line + at.M_NAME], words[line + at.M_NAME_N] = self._text(f'{name}:{{"value":')
        words[line + at.M_METHOD], words[line + at.M_METHOD_N] = self._text(f'"method":{method}')
        words[line + at.M_KEEP] = self._rules.keep_ms(spec.name)
        words[line + at.M_ID] = crc32(spec.name.encode())

    def _write_limits(self) -> None:
        rules, desk, memory = self._rules, self._memory.desk, self._memory
        limits = rules.limits
        for word, value in (
            (at.X_SKEW, limits.skew_ms),
            (at.X_FUTURE, limits.future_ms),
            (at.X_EARLIEST, EARLIEST_MS),
            (at.X_EXPIRE, limits.expire_ms),
            (at.X_LATENESS, limits.lateness_ms),
            (at.X_EMIT, limits.emit_ms),
            (at.X_BEHIND, limits.behind_ms),
            (at.X_MAX_BYTES, limits.max_record_bytes),
            (at.X_WINDOWS_N, len(rules.windows)),
            (at.X_PRICE, self.number_of.get(PRICE_TOLD.get(rules.category, ""), -1)),
        ):
            desk[word] = value
        desk[at.X_CATEGORY], desk[at.X_CATEGORY_N] = self._json(rules.category)
        widths = rules.windows or (limits.epoch_ms,)
        desk[at.X_WINDOWS] = memory.block(len(widths))
        for k, width in enumerate(widths):
            words_at(desk[at.X_WINDOWS], len(widths))[k] = width
        desk[at.X_ORIGINS] = memory.block(2 * len(ORIGINS))
        origins = words_at(desk[at.X_ORIGINS], 2 * len(ORIGINS))
        for origin, number in ORIGINS.items():
            origins[2 * number], origins[2 * number + 1] = self._json(origin)
        bound = rules.newcomers
        desk[at.X_NEWCOMER] = -1 if bound is None else self.number_of[bound.metric]
        if bound is not None:
            desk[at.X_PEERS] = bound.peers
            memory.desk_floats[at.X_FACTOR] = bound.factor
            memory.desk_floats[at.X_NEAR] = bound.near

    def id_of(self, metric: str) -> int:
        """What stands for a metric in states; 0 for one that is not in the category."""
        number = self.number_of.get(metric)
        return 0 if number is None else self.metrics.words[self.metrics.line(number) + at.M_ID]

    # --- what comes with the log ----------------------------------------------------------------------------------

    def quote(self, name: str) -> int:
        """Number of a quote asset; "" is none."""
        number = self.quote_of.get(name)
        if number is None:
            number = self.quote_of[name] = self.quotes.add()
            self.quote_names.append(name)
            line = self.quotes.line(number)
            words = self.quotes.words
            words[line + at.Q_NAME], words[line + at.Q_NAME_N] = self._json(name)
            words[line + at.Q_KEY], words[line + at.Q_KEY_N] = self._text(name)
            words[line + at.Q_RANK] = self._rules.ranks.get(name, -1)
            self.quotes.floats[line + at.Q_RATE] = 1.0 if name == TARGET else math.nan
            self._memory.desk[at.X_QUOTES_N] = self.quotes.count
        return number

    def set_rate(self, asset: str, usd: float) -> None:
        """The rate of a quote asset, from here on; TARGET keeps its own."""
        if asset != TARGET:
            number = self.quote(asset)
            self.quotes.floats[self.quotes.line(number) + at.Q_RATE] = usd

    def provider(self, name: str) -> int:
        """Number of a provider."""
        number = self.provider_of.get(name)
        if number is None:
            number = self.provider_of[name] = self.providers.add()
            self.provider_names.append(name)
            line, words = self.providers.line(number), self.providers.words
            words[line + at.A_NAME], words[line + at.A_NAME_N] = self._json(name)
            words[line + at.A_PID] = -1
            self._lay_rows()
            self._met = self._heard = -1
        return number

    def group(self, name: str) -> int:
        """Number of an independence group."""
        number = self.group_of.get(name)
        if number is None:
            number = self.group_of[name] = self.groups.add()
            self.groups.words[self.groups.line(number) + at.G_GID] = UNKNOWN_GROUP - number
            self._met = -1
        return number

    def add_source(self, source: Source) -> None:
        """The line of a source; they come in the order of their numbers."""
        number = self.sources.add()
        assert number == source.number
        self.listed.append(source)
        shape, limits = source.shape, self._rules.limits
        taken = source.origin in limits.origins
        names = shape.names if source.known else ()
        bounds = {check.name: check for check in shape.numbers}
        line = self.sources.line(number)
        stem = (source.provider, source.endpoint, source.quote, source.origin)
        first = self.places.count
        self.places.add(len(names))
        for place, (name, kind) in enumerate(zip(names, shape.kinds, strict=False), first):
            spot = self.places.line(place)
            self.places.words[spot + at.P_METRIC] = self.number_of[name]
            self.places.words[spot + at.P_KIND] = kind
            if kind == at.KIND_NUMBER:
                self.places.floats[spot + at.P_LOW] = bounds[name].low
                self.places.floats[spot + at.P_HIGH] = bounds[name].high
        bar, candle = NO_BAR, shape.candle
        price = size = -1
        if candle is not None and candle.price in names:
            bar = TRADES if candle.kind == "trade" else QUOTES
            price = names.index(candle.price)
            size = names.index(candle.size) if candle.size in names else -1
        for word, value in (
            (at.N_PLAIN, source.known and taken),
            (at.N_COUNT, len(names)),
            (at.N_VALUES, first),
            (at.N_RANK, source.rank),
            (at.N_QUOTE, self.quote(source.quote or "")),
            (at.N_MONEY, shape.money),
            (at.N_KEEP, shape.keep_ms),
            (at.N_FRESH, source.fresh_ms),
            (at.N_BAR, bar),
            (at.N_PRICE, price),
            (at.N_SIZE, size),
            (at.N_PROVIDER, self.provider(source.provider)),
            (at.N_GROUP, self.group(source.group)),
            (at.N_ORIGIN, ORIGINS[source.origin]),
            (at.N_STEM, self._stems.setdefault(stem, len(self._stems))),
            (at.N_WORDS, len(shape.words) if source.known else 0),
        ):
            self.sources.words[line + word] = value
        self.sources.floats[line + at.N_WEIGHT] = source.weight
        self._memory.desk[at.X_SOURCES_N] = self.sources.count
        self.refresh()

    # --- what the fuser knows -------------------------------------------------------------------------------------

    def _lay_rows(self) -> None:
        """A table at X_ROWS for all metrics and as many providers as there is room for, all strangers."""
        stride = self.providers.room
        words = max(1, len(self.number_of)) * stride
        self.collect()
        if words != self._rows[0]:
            before, records_at = self._rows, self._records_at
            self._rows = words, self._memory.block(words)
            self._records_at = self._memory.block(words * at.RECORD)
            if before[0]:
                self._memory.release(before[1], before[0])
                self._memory.release(records_at, before[0] * at.RECORD)
        self._memory.desk[at.X_RECORDS] = self._records_at
        self._memory.desk[at.X_ROWS] = self._rows[1]
        self._memory.desk[at.X_PROVIDERS_N] = stride

    def link(self, fuser: Fuser) -> None:
        """Use what this fuser knows, from here on; `refresh` follows it."""
        self.fuser = fuser
        self._records()[:] = 0.0
        self._met = self._heard = -1
        self.refresh()

    def refresh(self) -> None:
        """Look again whom the fuser knows, when it has met somebody; before each kernel that asks it or lets it learn."""
        fuser = self.fuser
        if fuser is None:
            return
        self._memory.desk[at.X_FUSION] = fuser.numbers.context()
        if fuser.state.met != self._met:
            self._find_known(fuser.state)
        if fuser.words.changed != self._heard:
            self._find_heard(fuser.words)

    def _records(self) -> Any:
        """The records of words by metric, provider and column, for as many providers as they were laid for."""
        return floats(self._records_at, self._rows[0] * at.RECORD).reshape(max(1, len(self.number_of)), -1, at.RECORD)

    def collect(self) -> None:
        """Tell the fuser what kernels learned about words; before Python learns, advances or saves it."""
        if self.fuser is None or not self._records_at:
            return
        records, known = self._records(), self.fuser.words
        for m, p in zip(*np.nonzero(records[:, : len(self.provider_names), at.H_SEEN_NEXT]), strict=True):
            known.count(self.metric_names[m], self.provider_names[p], *records[m, p, at.H_RIGHT_NEXT :].tolist())

    def _find_heard(self, words: Words) -> None:
        """Look again what the words of sources are worth."""
        self._heard = words.changed
        records = self._records()
        for (metric, provider), record in words.records.items():
            m, p = self.number_of.get(metric), self.provider_of.get(provider)
            if m is not None and p is not None:
                records[m, p] = record

    def _find_known(self, state: State) -> None:
        assert self.fuser is not None
        numbers = self.fuser.numbers
        self._met = state.met
        for spec in self._rules.specs.values():
            if spec.number:
                line = self.metrics.line(self.number_of[spec.name])
                self.metrics.words[line + at.M_SPEC] = numbers.row_of(spec)
                self.metrics.words[line + at.M_ROW] = state.rows.get((spec.name, ""), 0)
        self._memory.desk[at.X_FUSION] = numbers.context()
        stride = self.providers.room
        rows = words_at(self._rows[1], self._rows[0])
        for (metric, provider), row in state.rows.items():
            m, p = self.number_of.get(metric), self.provider_of.get(provider)
            if m is not None and p is not None:
                rows[m * stride + p] = row
        for provider, number in self.provider_of.items():
            self.providers.words[self.providers.line(number) + at.A_PID] = state.providers.get(provider, -1)
        for group, number in self.group_of.items():
            gid = state.groups.get(group, UNKNOWN_GROUP - number)
            self.groups.words[self.groups.line(number) + at.G_GID] = gid
