"""One entity as Python sees it: a view of its words, made when somebody asks and kept by nobody."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import msgspec

from schemas.events import Value
from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.engine.memory import address_of, bytes_at, doubles_at, words_at
from services.aggregator.engine.model import Slot
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.blocks import appetite, entry_words, put_value

if TYPE_CHECKING:
    from services.aggregator.engine.store import Store


class Said(NamedTuple):
    """What one source traded or quoted in one minute."""

    traded: bool
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    first_ms: int
    last_ms: int


class Minute(NamedTuple):
    """One unsettled bar; `voices` by number of the source, in their order, trades apart from quotes."""

    start_ms: int
    version: int
    due: bool
    quote: str
    voices: tuple[tuple[int, Said], ...]


class Longer(NamedTuple):
    """The settled minutes of the current bar of one longer interval."""

    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    sources: int
    version: int


def _word(number: int) -> property:
    """A word of the entity."""

    def get(self: Entity) -> int:
        return self.e[number]

    def put(self: Entity, value: int) -> None:
        self.e[number] = value

    return property(get, put)


def _flag(bit: int) -> property:
    """A bit of its flags."""

    def get(self: Entity) -> bool:
        return bool(self.e[at.E_FLAGS] & bit)

    def put(self: Entity, value: bool) -> None:
        flags = self.e[at.E_FLAGS]
        self.e[at.E_FLAGS] = flags | bit if value else flags & ~bit

    return property(get, put)


_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(Value).decode


def _text(address: int) -> Value:
    """The value that stands there as text."""
    return _decode(bytes_at(address + at.TEXT * at.WORD, words_at(address, at.TEXT)[at.T_BYTES]))  # type: ignore[no-any-return]


class Entity:
    """What all sources last said about one entity, and what is still to be done about it."""

    __slots__ = ("address", "e", "store")

    def __init__(self, store: Store, address: int) -> None:
        self.store = store
        self.address = address
        self.e = words_at(address, at.ENTITY)
        """Its words, by E_*."""

    version = _word(at.E_VERSION)
    as_of_ms = _word(at.E_AS_OF)
    learn_at_ms = _word(at.E_LEARN_AT)
    sent_at_ms = _word(at.E_SENT_AT)
    candle_at_ms = _word(at.E_BAR_AT)
    rank = _word(at.E_RANK)
    own_quote = _word(at.E_QUOTE)
    dirty = _flag(at.F_DIRTY)
    changed = _flag(at.F_CHANGED)
    rendered = _flag(at.F_PAYLOAD)

    @property
    def key(self) -> bytes:
        """Its key."""
        return bytes_at(self.address + at.ENTITY * at.WORD, self.e[at.E_KEY])

    @property
    def name(self) -> str:
        """Its key as text."""
        return self.key.decode()

    # --- statements -----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many statements there are."""
        return self.e[at.E_COUNT]

    def _lines(self) -> Iterator[tuple[int, memoryview[int]]]:
        """Numbers of the sources in memory, and their lines of the directory."""
        line = self.e[at.E_INDEX]
        for _ in range(self.e[at.E_COUNT]):
            words = words_at(line, at.DIRECTORY)
            yield words[at.D_SOURCE], words
            line += at.DIRECTORY * at.WORD

    def _read(self, number: int, begin: int) -> Slot:
        address = self.e[at.E_SAID] + begin * at.WORD
        count = self.store.tables.sources.words[number * at.SOURCE + at.N_COUNT]
        words, floats = words_at(address, at.STATEMENT + count), doubles_at(address, at.STATEMENT + count)
        rate = floats[at.S_RATE]
        values: list[Value] = floats[at.STATEMENT :].tolist()  # type: ignore[assignment]
        for place in self.store.tables.listed[number].texts:
            values[place] = _text(words[at.STATEMENT + place])
        return words[at.S_TS], words[at.S_TIE], None if math.isnan(rate) else rate, tuple(values)

    @property
    def slots(self) -> dict[int, Slot]:
        """Source -> (ts_ms, tie, rate, values), in the order in which they came."""
        return {number: self._read(number, line[at.D_AT]) for number, line in self._lines()}

    def slot(self, number: int) -> Slot | None:
        """What one source said last."""
        line = KERNELS.find_statement(self.store.desk_at, self.address, number)
        if line:
            return self._read(number, words_at(line, at.DIRECTORY)[at.D_AT])
        return None

    def put(self, number: int, ts_ms: int, tie: int | str, rate: float | None, values: tuple[Value, ...]) -> None:
        """Put what a source says in the place of what it said before."""
        store, address = self.store, self.address
        crc = tie if isinstance(tie, int) else crc32(tie.encode())
        source = store.tables.listed[number]
        texts = [(place, _encode(values[place])) for place in source.texts]
        store.ready(appetite(address) + 2 * sum(len(text) for _, text in texts))
        line = KERNELS.find_statement(store.desk_at, address, number) or KERNELS.add_statement(
            store.desk_at, address, number
        )
        said = self.e[at.E_SAID] + words_at(line, at.DIRECTORY)[at.D_AT] * at.WORD
        words, floats = words_at(said, at.STATEMENT + len(values)), doubles_at(said, at.STATEMENT + len(values))
        words[at.S_TS], words[at.S_TIE] = ts_ms, crc
        floats[at.S_RATE] = math.nan if rate is None else rate
        for place, text in texts:
            spot = at.STATEMENT + place
            words[spot] = put_value(store.desk_at, words[spot], address_of(text), len(text))
        for spot, value in enumerate(values, at.STATEMENT):
            if spot - at.STATEMENT not in source.texts:
                floats[spot] = value  # type: ignore[assignment]

    def remove(self, number: int) -> None:
        """Forget what a source said, if it said anything."""
        line = KERNELS.find_statement(self.store.desk_at, self.address, number)
        if line:
            KERNELS.drop_statement(self.store.desk_at, self.address, line)

    @property
    def agreed(self) -> dict[str, int] | None:
        """Provider -> since when its price agrees with the others'; None for nobody."""
        found: dict[str, int] = {}
        listed = self.store.tables.listed
        for number, line in self._lines():
            since_ms = line[at.D_AGREED]
            if since_ms:
                provider = listed[number].provider
                found[provider] = min(since_ms, found.get(provider, since_ms))
        return found or None

    @agreed.setter
    def agreed(self, agreed: Mapping[str, int] | None) -> None:
        listed = self.store.tables.listed
        for number, line in self._lines():
            line[at.D_AGREED] = (agreed or {}).get(listed[number].provider, 0)

    # --- bars -----------------------------------------------------------------------------------------------------

    @property
    def bars(self) -> list[Minute] | None:
        """Unsettled minutes, oldest first; None where there are none."""
        found = []
        names = self.store.tables.quote_names
        bar = self.e[at.E_BARS]
        while bar:
            b = words_at(bar, at.BAR)
            voices = []
            for k in range(b[at.B_VOICES]):
                place = bar + (at.BAR + k * at.VOICE) * at.WORD
                v, f = words_at(place, at.VOICE), doubles_at(place, at.VOICE)
                opened, high, low, close, volume = f[at.V_OPEN : at.V_TRADES]
                said = Said(
                    bool(v[at.V_TRADED]), opened, high, low, close, volume, v[at.V_TRADES], v[at.V_FIRST], v[at.V_LAST]
                )
                voices.append((v[at.V_SOURCE], said))
            found.append(Minute(b[at.B_START], b[at.B_VERSION], bool(b[at.B_DUE]), names[b[at.B_QUOTE]], tuple(voices)))
            bar = b[at.B_NEXT]
        return found or None

    @property
    def rolls(self) -> list[Longer] | None:
        """Settled part of the current bar of each longer interval, shortest first."""
        if not self.e[at.E_ROLLS]:
            return None
        found = []
        for k in range(at.ROLLS):
            place = self.e[at.E_ROLLS] + k * at.ROLL * at.WORD
            r, f = words_at(place, at.ROLL), doubles_at(place, at.ROLL)
            opened, high, low, close, volume = f[at.R_OPEN : at.R_TRADES]
            trades, sources, version = r[at.R_TRADES : at.ROLL]
            found.append(Longer(r[at.R_START], opened, high, low, close, volume, trades, sources, version))
        return found

    @property
    def seen(self) -> dict[int, list[int]] | None:
        """Source -> CRC-32 of its recent trade ids, oldest first."""
        found = {}
        ring = self.e[at.E_TOLD]
        while ring:
            head = words_at(ring, at.RING)
            told = bytes_at(ring + at.RING * at.WORD, 4 * at.TRADES)
            ids = [int.from_bytes(told[4 * k : 4 * k + 4], "little") for k in range(at.TRADES)]
            begin = head[at.T_PLACE] - head[at.T_COUNT]
            found[head[at.T_SOURCE]] = [ids[k % at.TRADES] for k in range(begin, head[at.T_PLACE])]
            ring = head[at.T_NEXT]
        return found or None

    @property
    def lessons(self) -> dict[str, tuple[int, bytes]]:
        """Metric -> for how many sources it has room, and what the fuser remembers."""
        found: dict[str, tuple[int, bytes]] = {}
        block = self.e[at.E_LEARNED]
        if not block:
            return found
        names = self.store.tables.metric_names
        for k in range(words_at(block, 1)[0]):
            one = words_at(block + (1 + k * at.LESSON) * at.WORD, at.LESSON)
            capacity = one[at.L_CAPACITY]
            found[names[one[at.L_METRIC]]] = capacity, bytes_at(one[at.L_ENTRY], entry_words(capacity) * at.WORD)
        return found
